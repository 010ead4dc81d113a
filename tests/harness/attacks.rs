//! Every attack of a hub, run against the real programs through a proxy that holds the hub's keys.
//! Each says what is wanted of it, and what the person saw.

mod files;
mod identity;
mod membership;
mod memory;
mod restore;
mod runs;
mod stage;
mod talk;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chat_evil_hub::LIES;

pub use memory::memory;
pub use stage::{Stage, server_key};

/// What became of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The lie had no effect.
    Refused,
    /// It had one, and the person was told.
    Detected,
    /// It had one, and nobody can know: only where `docs/SECURITY.md` says so.
    Blind,
    /// It had one, and nobody was told.
    Succeeded,
    /// It could not be shown either way.
    Failed,
}

impl Verdict {
    /// Whether the promise held.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Refused | Self::Detected | Self::Blind)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "REFUSED",
            Self::Detected => "DETECTED",
            Self::Blind => "BLIND",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        })
    }
}

/// A verdict and what the person saw.
#[derive(Debug, Clone)]
pub struct Report {
    /// What became of it.
    pub verdict: Verdict,
    /// In one line.
    pub saw: String,
}

impl Report {
    fn new(verdict: Verdict, saw: impl Into<String>) -> Self {
        Self { verdict, saw: saw.into() }
    }

    /// Detected, if any of these lines has one of these parts; else what was seen is a success.
    fn detected(said: &str, parts: &[&str], otherwise: &str) -> Self {
        let told = said.lines().find(|line| parts.iter().any(|part| line.contains(part)));
        told.map_or_else(
            || Self::new(Verdict::Succeeded, otherwise),
            |line| Self::new(Verdict::Detected, line.trim()),
        )
    }
}

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// What the hub does.
    pub does: &'static str,
    run: Run,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    /// People talk while the lie is told, and afterwards.
    Talk(&'static chat_evil_hub::Lie),
    /// A story of its own.
    Story(fn() -> Report),
}

impl Attack {
    /// Runs it. A story that does not come to its end is a failure, not a panic.
    pub fn run(&self) -> Report {
        let run = || match self.run {
            Run::Talk(lie) => talk::run(lie),
            Run::Story(story) => story(),
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map_or("it panicked", String::as_str);
            Report::new(Verdict::Failed, said.lines().next().unwrap_or_default())
        })
    }
}

const fn story(
    name: &'static str,
    rule: &'static str,
    does: &'static str,
    run: fn() -> Report,
) -> Attack {
    Attack { name, rule, does, run: Run::Story(run) }
}

/// Those with a story of their own.
const STORIES: &[Attack] = &[
    story(
        "vault in clear",
        "R31",
        "answers a new machine with a vault in clear that holds the hub's key",
        identity::vault_in_clear,
    ),
    story(
        "other identity",
        "R38",
        "shows another identity on the second connection of a first sign-in",
        identity::other_identity,
    ),
    story(
        "another's file",
        "R32",
        "lists mallory's file under the name of alice",
        files::anothers_file,
    ),
    story(
        "other content",
        "R32",
        "puts root and size of mallory's file into an offer of alice",
        files::other_content,
    ),
    story(
        "withheld removal",
        "R33",
        "withholds from bob that alice has removed mallory",
        membership::withheld_removal,
    ),
    story(
        "banned writer",
        "R33",
        "lets mallory write into a room that she is banned from",
        membership::banned_writer,
    ),
    story("swapped commands", "R34", "delivers the second command before the first", runs::swapped),
    story(
        "refused command",
        "R35",
        "delivers a command and says that it was refused",
        runs::refused,
    ),
    story(
        "older disk",
        "R36",
        "(honest) is restored from a backup taken before new devices and epochs",
        restore::older_disk,
    ),
];

/// All attacks, in the order in which the script runs them.
pub fn attacks() -> Vec<Attack> {
    let talks = LIES.iter().map(|lie| Attack {
        name: lie.name,
        rule: lie.rule,
        does: lie.does,
        run: Run::Talk(lie),
    });
    STORIES.iter().copied().chain(talks).collect()
}

/// The attack with this name.
///
/// # Panics
/// When there is none.
pub fn attack(name: &str) -> Attack {
    attacks().into_iter().find(|attack| attack.name == name).unwrap()
}
