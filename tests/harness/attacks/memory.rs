//! How much memory a program holds.

/// Resident bytes of a process, and the most that it ever had.
///
/// # Panics
/// When there is no such process.
pub fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap()
    };
    (kib("VmRSS:") << 10, kib("VmHWM:") << 10)
}
