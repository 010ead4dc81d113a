//! What the kernel says of a running program.

use anyhow::Context as _;

/// Clock ticks in a second, the unit of `/proc/PID/stat`: 100 on every Linux of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of a process so far; one that has ended and was not waited for still has them.
///
/// # Errors
/// When there is no such process, or its figures are in another form.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').context("stat")?.1;
    let mut ticks = after.split_whitespace().skip(11);
    let (user, system): (f64, f64) =
        (ticks.next().context("utime")?.parse()?, ticks.next().context("stime")?.parse()?);
    Ok((user + system) / TICKS_PER_SECOND)
}
