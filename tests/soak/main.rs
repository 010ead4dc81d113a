//! Somebody at a terminal who types without sense for minutes, while somebody else writes all the time: the
//! chat is never frozen, and shows what was said once and whole. `scripts/soak.sh` runs it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that says what it has seen"
)]

mod full;
mod keys;
mod screen;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use chat_tests::{Dice, Lines, Program, Rig, Server, Terminal, person};
use clap::Parser;

/// Within this time the screen answers a key, and a line that is typed arrives.
const FROZEN: Duration = Duration::from_secs(10);

/// What is frozen is watched for so long after that: it may only have been slow.
const THAWS: Duration = Duration::from_secs(30);

/// Keys are typed for so long between two looks whether anything is frozen.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// The longest pause between two packets of keys.
const KEY_PAUSE_MAX_MS: usize = 60;

/// Keys that belong together come within this time; what comes later is a key of its own. Longer than the
/// editor waits for the rest of a sequence.
const APART: Duration = Duration::from_millis(200);

/// How often the writer looks how much is due.
const TICK: Duration = Duration::from_millis(20);

/// What was still under way is shown within this time.
const DRAIN_MAX: Duration = Duration::from_mins(2);

/// Packets of keys that are told when something is wrong.
const KEYS_TOLD: usize = 30;

/// Characters of the screen that are told then.
const SCREEN_TOLD: usize = 2_000;

/// People whose names begin alike, so that a list of completions is shown.
const ALIKE: [&str; 3] = ["carol", "carla", "carmen"];

/// A chat at a terminal under messages and keys without sense.
#[derive(Debug, Parser)]
struct Arguments {
    /// For so many minutes.
    #[arg(default_value_t = 10)]
    minutes: u64,
    /// Messages a second.
    #[arg(default_value_t = 200)]
    rate: u32,
    /// The same keys again; another number each time if absent.
    seed: Option<u64>,
    /// At the full screen, in a terminal that changes its size.
    #[arg(long)]
    full: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = arguments.seed.unwrap_or_else(|| u64::from(now.subsec_nanos()));
    println!("seed {seed}: {} min, {} messages a second", arguments.minutes, arguments.rate);
    match soak(&arguments, seed) {
        Ok(told) => {
            println!("ok: {told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("FAILED with seed {seed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Types and looks until the time is over; what was seen.
fn soak(arguments: &Arguments, seed: u64) -> anyhow::Result<String> {
    let rig = Rig::new();
    let server = rig.server_with(&["--limits", "off"]);
    let mut typist = Typist::sit_down(&rig, &server, (seed, arguments.full));
    let bob = person(&rig, server.url(), "bob");
    typist.heard = bob.stdout.clone();
    let (storm, begun) = (Storm::begin(bob, arguments.rate), Instant::now());
    let end = begun + Duration::from_secs(arguments.minutes.saturating_mul(60));
    while Instant::now() < end {
        let time = BETWEEN_LOOKS.min(end.saturating_duration_since(Instant::now()));
        let looked = if arguments.full {
            typist.drives_for(time);
            typist.looks_at_screen()
        } else {
            typist.types_for(time);
            typist.look()
        };
        looked.with_context(|| typist.told())?;
    }
    let (mut bob, sent) = storm.end()?;
    let seconds = begun.elapsed().as_secs_f64();
    bob.type_line("all is said");
    let rate = f64::from(u32::try_from(sent).unwrap_or(u32::MAX)) / seconds;
    let (packets, looks) = (typist.packets, typist.looks);
    if arguments.full {
        let found = full::end(&mut typist, sent, DRAIN_MAX)?;
        return Ok(format!(
            "{sent} messages in {seconds:.0} s ({rate:.0} a second), {found} each seen once at the end; {packets} \
             packets of keys; {looks} looks at the newest rows, the slowest {} ms",
            typist.slowest.as_millis()
        ));
    }
    ensure!(
        typist.chat.shows_within("bob: all is said", DRAIN_MAX),
        "the last message is not shown; {}",
        typist.told()
    );
    typist.chat.type_line("/quit");
    let code = typist.chat.wait();
    ensure!(code == Some(0), "/quit ended with {code:?}; {}", typist.told());
    screen::check(&typist.chat.text(), sent)?;
    Ok(format!(
        "{sent} messages in {seconds:.0} s ({rate:.0} a second) each shown once; {packets} packets of keys; \
         {looks} looks, the slowest {} ms",
        typist.slowest.as_millis()
    ))
}

/// Alice, who types without sense.
struct Typist {
    chat: Terminal,
    /// What somebody else hears.
    heard: Lines,
    dice: Dice,
    packets: u64,
    looks: u64,
    slowest: Duration,
    /// What was typed last.
    last: VecDeque<String>,
}

impl Typist {
    fn sit_down(rig: &Rig, server: &Server, (seed, is_full): (u64, bool)) -> Self {
        for name in ALIKE {
            rig.client(name, server.url()).run(&["users"]).assert_code(0);
        }
        let lines = || {
            let chat = rig.client("alice", server.url()).at_terminal_before(&[], "");
            chat.wait_for("alice #lobby>");
            chat
        };
        let chat = if is_full { full::open(rig, server) } else { lines() };
        Self {
            chat,
            heard: Lines::default(),
            dice: Dice::of(seed),
            packets: 0,
            looks: 0,
            slowest: Duration::ZERO,
            last: VecDeque::new(),
        }
    }

    fn types_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let keys = keys::next(&mut self.dice);
            self.types(&keys);
            let pause = u64::try_from(self.dice.below(KEY_PAUSE_MAX_MS)).unwrap_or_default();
            sleep(Duration::from_millis(pause));
        }
    }

    /// Types one packet.
    fn types(&mut self, keys: &[u8]) {
        self.last.push_back(keys.escape_ascii().to_string());
        if self.last.len() > KEYS_TOLD {
            self.last.pop_front();
        }
        self.chat.type_keys(keys);
        self.packets += 1;
    }

    /// Whether the screen answers a key, and a line that is typed arrives.
    fn look(&mut self) -> anyhow::Result<()> {
        // What was typed last may be the beginning of a sequence, or of a character: with one that is none the
        // editor drops what came in the same packet.
        sleep(APART);
        self.chat.type_keys(b" ");
        sleep(APART);
        let begun = Instant::now();
        self.chat.type_keys(keys::LEAVE_MODES);
        let answer = "Ctrl-C again, or /quit, leaves";
        if !self.chat.shows_within(answer, FROZEN) {
            let late = if self.chat.shows_within(answer, THAWS) { "late" } else { "none" };
            let (looks, time) = (self.looks, begun.elapsed());
            bail!("frozen at look {looks}: answer to Ctrl-C: {late}, after {time:.1?}");
        }
        let (before, shown) = (self.heard.count(), self.chat.text().len());
        let line = format!("look {}", self.looks);
        self.chat.type_line(&line);
        let is_it = |heard: &String| heard.ends_with(&format!("alice: {line}"));
        let arrives =
            |lines: &[String]| lines.get(before..).is_some_and(|new| new.iter().any(is_it));
        if !self.heard.within(FROZEN, arrives) {
            let late = if self.heard.within(THAWS, arrives) { "late" } else { "not at all" };
            let heard = self.heard.text();
            let heard: Vec<&str> =
                heard.lines().skip(before).filter(|line| line.contains("alice: ")).collect();
            let text = self.chat.text();
            let screen: String =
                text.get(shown..).unwrap_or_default().chars().take(SCREEN_TOLD).collect();
            bail!(
                "frozen: {line:?} arrives {late}, after {:.1?}; heard of its writer: {heard:?}; the screen from \
                 then on: {}",
                begun.elapsed(),
                screen.escape_debug()
            );
        }
        self.looks += 1;
        self.slowest = self.slowest.max(begun.elapsed());
        Ok(())
    }

    /// What was typed last, and what the screen showed.
    fn told(&self) -> String {
        let keys: Vec<&str> = self.last.iter().map(String::as_str).collect();
        let text = self.chat.text();
        let from = text.char_indices().rev().nth(SCREEN_TOLD).map_or(0, |(at, _)| at);
        let screen = text.get(from..).unwrap_or_default().escape_debug();
        format!("the last keys: {}\nthe screen: {screen}", keys.join(" | "))
    }
}

/// Somebody who writes so many messages a second.
struct Storm {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Program, usize)>,
}

impl Storm {
    fn begin(mut bob: Program, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (begun, mut sent) = (Instant::now(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let due = begun.elapsed().as_millis() * u128::from(rate) / 1_000;
                while u128::try_from(sent).is_ok_and(|sent| sent < due) {
                    bob.type_line(&format!("{} {sent}", screen::STORM));
                    sent += 1;
                }
                sleep(TICK);
            }
            (bob, sent)
        });
        Self { stop, thread }
    }

    /// The writer again, and how many were written.
    fn end(self) -> anyhow::Result<(Program, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the writer has failed"))
    }
}
