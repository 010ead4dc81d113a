//! How soon the full screen shows what is there, and what a key does: with a long history, many conversations, and
//! while messages come. `scripts/paint.sh` runs it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that says what it has seen"
)]

mod seed;

use std::fmt::Write as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chat_protocol::handshake::PasswordKeys;
use chat_tests::{Client, PASSWORD, Program, Rig, Terminal, person};
use clap::Parser;

/// Columns and rows of the terminal.
const SIZE: (u16, u16) = (120, 40);

/// Something that is waited for is there within this time, or is taken for lost.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two keys: a quick typist's pause.
const KEY_PAUSE: Duration = Duration::from_millis(60);

/// Letters in the line before it is cut.
const LINE: u16 = 50;

/// How often the writer looks how much is due.
const TICK: Duration = Duration::from_millis(5);

/// How soon the full screen shows what is there, and what a key does.
#[derive(Debug, Parser)]
struct Arguments {
    /// Lines of history in one conversation.
    #[arg(long, default_value_t = 100_000)]
    lines: u64,
    /// Conversations.
    #[arg(long, default_value_t = 1_000)]
    conversations: u64,
    /// Messages a second while keys are pressed; several, one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 50, 500])]
    rates: Vec<u32>,
    /// Keys that are pressed at each rate.
    #[arg(long, default_value_t = 500)]
    keys: usize,
    /// The client has this core for itself; without one it shares all.
    #[arg(long)]
    core: Option<u32>,
}

fn main() -> ExitCode {
    match measured(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measured(arguments: &Arguments) -> anyhow::Result<()> {
    let rig = Rig::new();
    let server = rig.server_with(&["--limits", "off"]);
    let alice = rig.client("alice", server.url());
    alice.run(&["users"]).assert_code(0);
    let begun = Instant::now();
    let (id, user) = seed::fill(alice.home(), (arguments.lines, arguments.conversations))?;
    println!(
        "{} lines in #lobby and {} conversations, written in {:.1} s",
        arguments.lines,
        arguments.conversations,
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    drop(PasswordKeys::derive(PASSWORD, &id, &user));
    let stretching = begun.elapsed();
    let begun = Instant::now();
    let mut chat = start(&alice, arguments.core);
    let newest = format!("line {}", arguments.lines.saturating_sub(1));
    ensure!(chat.is_seen_within(LIMIT, |picture| picture.contains(&newest)), "nothing is shown");
    let painted = begun.elapsed();
    println!(
        "first paint {} ms after the start of the process, of which stretching the password takes about {} ms: \
         {} ms are left",
        painted.as_millis(),
        stretching.as_millis(),
        painted.saturating_sub(stretching).as_millis()
    );
    chat.wait_until_seen("connected to");
    for rate in &arguments.rates {
        let storm = Storm::begin(person(&rig, server.url(), &format!("bob{rate}")), *rate);
        let keys = press(&mut chat, arguments.keys)?;
        println!("{} a second: {}", storm.end(), told(keys));
    }
    println!("scrolling up: {}", told(scroll(&mut chat)?));
    println!("memory: {}", memory(&chat)?);
    chat.type_line("/quit");
    ensure!(chat.wait() == Some(0), "it ends with an error");
    Ok(())
}

/// Starts the client at a full screen, on a core of its own if one is given.
fn start(alice: &Client, core: Option<u32>) -> Terminal {
    let plain = alice.plain(&[]);
    let Some(core) = core else { return Terminal::start_full(&plain, SIZE, "") };
    let mut bound = Command::new("taskset");
    bound.args(["-c", &core.to_string()]).arg(plain.get_program()).args(plain.get_args());
    bound.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = plain.get_current_dir() {
        bound.current_dir(folder);
    }
    Terminal::start_full(&bound, SIZE, "")
}

/// Types letters; how long each took until its cell had changed.
fn press(chat: &mut Terminal, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    let row = SIZE.1 - 1;
    chat.type_keys(b"\x15");
    let mut column = 0;
    for _ in 0..count {
        if column == LINE {
            chat.type_keys(b"\x15");
            ensure!(chat.has_cell_within(LIMIT, (2, row), "a"), "the line is not cut");
            column = 0;
        }
        sleep(KEY_PAUSE);
        let begun = Instant::now();
        chat.type_keys(b"x");
        let is_there = chat.has_cell_within(LIMIT, (column + 2, row), "x");
        ensure!(is_there, "a key is not shown:\n{}", chat.picture());
        times.push(begun.elapsed());
        column += 1;
    }
    chat.type_keys(b"\x15");
    Ok(times)
}

/// Scrolls up by screens into what only the home has; how long each took until the screen had changed.
fn scroll(chat: &mut Terminal) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for _ in 0..200 {
        let before = chat.picture();
        let begun = Instant::now();
        chat.type_keys(b"\x1b[5~");
        let is_other = |picture: &str| picture != before;
        ensure!(chat.is_seen_within(LIMIT, is_other), "it does not scroll:\n{before}");
        times.push(begun.elapsed());
    }
    chat.type_keys(b"\x1b[1;5F");
    Ok(times)
}

/// Percentiles.
fn told(mut times: Vec<Duration>) -> String {
    times.sort();
    let mut told = format!("{} keys", times.len());
    for (name, thousandths) in [("p50", 500), ("p99", 990), ("max", 1_000)] {
        let at = (times.len() * thousandths / 1_000).min(times.len().saturating_sub(1));
        let time = times.get(at).copied().unwrap_or_default();
        // A string takes everything.
        write!(told, ", {name} {:.1} ms", time.as_secs_f64() * 1_000.0).ok();
    }
    told
}

/// What the client takes now, and has taken at most.
fn memory(chat: &Terminal) -> anyhow::Result<String> {
    let pid = chat.pid_of("chat-client").as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("no process")?;
    let of = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let (now, most, own) = (of("VmRSS:"), of("VmHWM:"), of("RssAnon:"));
    Ok(format!(
        "{} MB now, {} MB at most; {} MB of it are not files",
        now / 1_024,
        most / 1_024,
        own / 1_024
    ))
}

/// Somebody who writes so many messages a second.
struct Storm {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<String>,
}

impl Storm {
    fn begin(mut bob: Program, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (begun, mut sent) = (Instant::now(), 0_u32);
            while !stopped.load(Ordering::Relaxed) {
                let due = begun.elapsed().as_secs_f64() * f64::from(rate);
                while f64::from(sent) < due {
                    bob.type_line(&format!(
                        "storm {sent} and some more words, as people have them"
                    ));
                    sent += 1;
                }
                sleep(TICK);
            }
            let seconds = begun.elapsed().as_secs_f64();
            let stored = bob.stdout.text().matches("stored for").count();
            let stored = f64::from(u32::try_from(stored).unwrap_or(u32::MAX)) / seconds;
            format!("{rate} wanted, {stored:.0} stored")
        });
        Self { stop, thread }
    }

    /// The rate that was reached.
    fn end(self) -> String {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| "the writer has failed".to_owned())
    }
}
