//! What the kernel says about this process, read from `/proc/self` when somebody asks.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// The kernel reports CPU time to programs in hundredths of a second on every platform Rust runs
/// on (`USER_HZ`), whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers nothing and remembers nothing: it reads at each scrape. Outside of Linux it shows
/// nothing.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let gauge = ConstGauge::new(bytes);
            let name = "process_resident_memory_bytes";
            gauge.encode(encoder.encode_descriptor(
                name,
                "Resident memory",
                None,
                gauge.metric_type(),
            )?)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let name = "process_cpu_seconds";
            counter.encode(encoder.encode_descriptor(
                name,
                "CPU time, user and system",
                None,
                counter.metric_type(),
            )?)?;
        }
        if let Some(files) = open_files() {
            let gauge = ConstGauge::new(files);
            let name = "process_open_fds";
            gauge.encode(encoder.encode_descriptor(
                name,
                "Open file descriptors",
                None,
                gauge.metric_type(),
            )?)?;
        }
        if let Some(files) = max_files() {
            let gauge = ConstGauge::new(files);
            let name = "process_max_fds";
            gauge.encode(encoder.encode_descriptor(
                name,
                "Most open file descriptors",
                None,
                gauge.metric_type(),
            )?)?;
        }
        if let Some(seconds) = start_time() {
            let gauge = ConstGauge::new(seconds);
            let name = "process_start_time_seconds";
            gauge.encode(encoder.encode_descriptor(
                name,
                "When the process was started, in Unix time",
                None,
                gauge.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// A field of the process's status, counted behind the program's name, which is in brackets and may
/// hold anything.
fn stat_field(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number)?.parse().ok()
}

/// User time is the 12th field and system time the 13th.
fn cpu_seconds() -> Option<f64> {
    Some((stat_field(11)? + stat_field(12)?) / TICKS_PER_SECOND)
}

/// The 20th field counts from the start of the machine, which the kernel gives in seconds of Unix time.
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let machine: f64 = line.trim().parse().ok()?;
    Some(machine + stat_field(19)? / TICKS_PER_SECOND)
}

/// The limit in force, which is raised at the start.
fn max_files() -> Option<i64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    i64::try_from(limit?).ok()
}

fn open_files() -> Option<i64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the directory being read.
    i64::try_from(entries).ok()?.checked_sub(1)
}
