//! Every attack of a hub, run against the real programs through a proxy that holds the hub's keys.
//! Each says what is wanted of it, and what the person saw.

mod accomplice;
mod files;
mod identity;
mod membership;
mod memory;
mod newcomers;
mod own;
mod restore;
mod runs;
mod screen;
mod stage;
mod talk;
mod unseen;

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
        let report = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().map_or("it panicked", String::as_str);
            Report::new(Verdict::Failed, said.lines().next().unwrap_or_default())
        });
        if report.verdict == Verdict::Blind && !is_listed(self.name) {
            let saw = format!("docs/SECURITY.md does not list it as possible; {}", report.saw);
            return Report::new(Verdict::Succeeded, saw);
        }
        report
    }
}

/// Whether `docs/SECURITY.md` says of what this attack does that a hub can do it.
fn is_listed(name: &str) -> bool {
    let security = include_str!("../../docs/SECURITY.md");
    let can = security.split_once("### What the hub can do").map_or("", |(_, can)| can);
    let can = can.split_once("\n## ").map_or(can, |(can, _)| can);
    can.contains(&format!("`{name}`"))
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
        "withheld removal, key cut",
        "R2, R33",
        "withholds from bob that alice has removed mallory, and ends alice's connection at each key",
        membership::withheld_removal_key_cut,
    ),
    story(
        "withheld removal, far position",
        "R33",
        "withholds from bob that alice has removed mallory, and answers alice with positions that it has not given",
        membership::withheld_removal_far_position,
    ),
    story(
        "banned writer",
        "R33",
        "lets mallory write into a room that she is banned from",
        membership::banned_writer,
    ),
    story(
        "said before",
        "R33",
        "lets mallory write after her ban, and gives it a place before",
        membership::said_before,
    ),
    story(
        "withheld bundle",
        "R40: whom what is said does not reach is told",
        "shows alice no key of carol, who joins the lobby and whom bob lets into a room",
        newcomers::withheld_bundle,
    ),
    story(
        "refused setting",
        "R35: a refusal is the hub's word, and shown",
        "refuses what alice's desk tells her laptop, and says so",
        own::refused_setting,
    ),
    story(
        "lost setting",
        "what is held back of what is set changes nothing for good",
        "loses what alice's desk tells her laptop first",
        own::lost_setting,
    ),
    story(
        "lost setting, cut",
        "what is held back of what is set changes nothing for good",
        "loses what alice's desk tells her laptop first, and ends their connections when that shows",
        own::lost_setting_cut,
    ),
    story(
        "settings storm",
        "R39: a hub cannot exhaust its clients",
        "refuses what alice's desk tells her laptop, and makes it due again as fast as it can",
        own::settings_storm,
    ),
    story(
        "old setting",
        "of two values the later one holds, and nobody else reads it",
        "gives alice's laptop her desk's settings late, again and again, and to bob",
        own::old_setting,
    ),
    story("swapped commands", "R34", "delivers the second command before the first", runs::swapped),
    story(
        "refused command",
        "R35",
        "delivers a command and says that it was refused",
        runs::refused,
    ),
    story(
        "command given up",
        "R35",
        "keeps a command back until alice waits for it no longer, and delivers it in the place of what takes it back",
        runs::given_up,
    ),
    story(
        "earlier frame",
        "R35",
        "delivers a command, has it sealed again, and keeps what is sealed then, when alice takes it back",
        runs::first_frame,
    ),
    story(
        "older disk",
        "R36",
        "(honest) is restored from a backup taken before new devices and epochs",
        restore::older_disk,
    ),
];

/// Those of a hub with an account of its own.
const WITH_HELP: &[Attack] = &[
    story(
        "forged receipt",
        "R8: a receipt is signed by who gives it",
        "confirms a message in the name of bob, who does not get it",
        accomplice::receipt_of_another_key,
    ),
    story(
        "foreign receipt",
        "R39: a receipt counts for the conversation that it names",
        "confirms a message by a receipt of its recipient for another conversation",
        accomplice::receipt_of_another_place,
    ),
    story(
        "ids pushed out",
        "R39: what was received is remembered by epoch",
        "repeats a message of alice behind 2,000 messages of an account of its own",
        accomplice::ids_pushed_out,
    ),
];

/// Those that nobody sees. `docs/SECURITY.md` names each.
const UNSEEN: &[Attack] = &[
    story(
        "withheld tail",
        "R30",
        "keeps alice's newest message from bob until she writes again",
        unseen::withheld_tail,
    ),
    story(
        "order of two",
        "R30",
        "delivers carol's answer before alice's question",
        unseen::order_of_two,
    ),
    story(
        "made-up presence",
        "who is online is the hub's word",
        "says that carol is online, who is not",
        unseen::made_up_presence,
    ),
    story(
        "made-up topic",
        "a topic is the hub's word",
        "tells bob a topic in the name of alice",
        unseen::made_up_topic,
    ),
    story(
        "offer taken back",
        "R32",
        "shows a file that its owner has taken off the list",
        unseen::offer_taken_back,
    ),
    story(
        "older offer",
        "R32",
        "shows an old copy of an offer to carol, who never saw the newer one",
        unseen::older_offer,
    ),
    story(
        "two worlds",
        "R24",
        "shows bob another alice from the first contact on, and reads what he writes to her",
        unseen::two_worlds,
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
    [STORIES, WITH_HELP].concat().into_iter().chain(talks).chain(UNSEEN.iter().copied()).collect()
}

/// The attack with this name.
///
/// # Panics
/// When there is none.
pub fn attack(name: &str) -> Attack {
    attacks().into_iter().find(|attack| attack.name == name).unwrap()
}
