//! The lies of a hub. A lie is told between an honest hub and its devices, to `bob`, about what
//! `alice` says; others are `carol` and `mallory`. It holds the hub's honest keys, keys of its own,
//! and every frame that passes, and nobody else's keys.
//!
//! | module | lies about |
//! |---|---|
//! | [`deliveries`] | frames: altered, repeated, swapped, lost, made up, given to others |
//! | [`words`] | what a hub says in clear: bundles, links, heads, answers, refusals |
//! | [`detour`] | who is in a room: the news of it is held back, frames go around the hub, answers name false places |
//! | [`key_cut`] | the same, and whoever has removed somebody gets no answer to the key that is due |
//! | [`floods`] | how much there is of anything |
//! | [`offers`] | files that are shared |
//! | [`own`] | what a person's devices tell each other |
//! | [`accomplice`] | anything, with an account of its own |
//! | [`unseen`] | what nobody can check |
//!
//! [`LIES`] is the table of those that need nothing but a conversation.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a lie that cannot be told ends the test, with the reason"
)]

pub mod accomplice;
pub mod deliveries;
pub mod detour;
pub mod floods;
pub mod key_cut;
pub mod offers;
pub mod own;
pub mod read;
pub mod unseen;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use chat_protocol::crypto::sha256;
use chat_protocol::frame::Delivery;
use chat_protocol::header::Header;
use chat_protocol::id::Digest;
use chat_testkit::middle::{Message, Middle, Passing, Way};
use chat_testkit::now_ms;

/// The one who is lied to.
pub const VICTIM: &str = "bob";
/// Who says what is lied about.
pub const WRITER: &str = "alice";

/// A lie of the table.
#[derive(Debug, Clone, Copy)]
pub struct Lie {
    /// What it is called.
    pub name: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
    /// What the hub does.
    pub does: &'static str,
    /// Makes it.
    pub make: fn() -> Act,
}

/// What a lie does with one message, while it is told.
pub type Act = Box<dyn FnMut(&mut Scene, Passing) -> Vec<Passing> + Send>;

/// What every lie knows.
#[derive(Debug, Default)]
pub struct Scene {
    /// The newest connection of each user.
    lines: BTreeMap<String, usize>,
    /// The highest position that was delivered, in all logs.
    position: u64,
    /// Frames that the victim was given before the lie, by the digest of their header.
    old: BTreeSet<Digest>,
}

/// Positions that a lie makes up are so far behind the newest one.
const POSITION_STEP: u64 = 1 << 12;

impl Scene {
    fn note(&mut self, passing: &Passing) {
        if !passing.user.is_empty() {
            self.lines.insert(passing.user.clone(), passing.line);
        }
        if let Some((_, delivery)) = read::delivery(passing) {
            self.position = self.position.max(delivery.position);
        }
    }

    /// Takes note of what the victim is given by an honest hub.
    fn note_old(&mut self, passing: &Passing) {
        if let Some((_, delivery)) = read::delivery(passing)
            && passing.user == VICTIM
        {
            self.old.insert(Digest(sha256(delivery.frame.header())));
        }
    }

    /// Whether the victim was given the frame with this digest of its header before the lie. A hub
    /// sends it again after a connection that broke, and a lie about it has no effect.
    fn is_old(&self, header: &Digest) -> bool {
        self.old.contains(header)
    }

    /// A message of the writer on its way to the victim, if it is a new one.
    pub fn news(&self, passing: &Passing) -> Option<(Header, Delivery)> {
        read::writer_to_victim(passing)
            .filter(|(_, delivery)| !self.is_old(&Digest(sha256(delivery.frame.header()))))
    }

    /// A message to whoever this is, if they are here.
    pub fn to(&self, user: &str, message: Message) -> Option<Passing> {
        let line = *self.lines.get(user)?;
        Some(Passing { line, user: user.to_owned(), way: Way::ToClient, message })
    }

    /// A frame delivered at a position behind all others.
    pub fn deliver(&mut self, user: &str, frame: &Bytes) -> Option<Passing> {
        self.position += POSITION_STEP;
        self.deliver_at(self.position, user, frame)
    }

    /// A frame delivered at a position.
    pub fn deliver_at(&self, position: u64, user: &str, frame: &Bytes) -> Option<Passing> {
        self.to(user, Message::Binary(Delivery::encode(position, now_ms(), frame)))
    }
}

/// Whether a lie is told now, and how often it was.
#[derive(Debug, Clone, Default)]
pub struct Switch {
    on: Arc<AtomicBool>,
    told: Arc<AtomicUsize>,
}

impl Switch {
    /// From now on it is told, or not any more.
    pub fn set(&self, is_on: bool) {
        self.on.store(is_on, Ordering::SeqCst);
    }

    /// Whether it is told now.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    /// It was told once more.
    pub fn tell(&self) {
        self.told.fetch_add(1, Ordering::SeqCst);
    }

    /// How many messages an honest hub would have handled in another way. A lie without any is none.
    pub fn told(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }
}

/// A hub with a lie.
pub struct Liar {
    act: Act,
    switch: Switch,
    scene: Scene,
}

impl Liar {
    /// It is honest until the switch is on.
    pub fn new(act: Act, switch: &Switch) -> Self {
        Self { act, switch: switch.clone(), scene: Scene::default() }
    }
}

impl Middle for Liar {
    fn pass(&mut self, passing: Passing) -> Vec<Passing> {
        self.scene.note(&passing);
        if !self.switch.is_on() {
            self.scene.note_old(&passing);
            return vec![passing];
        }
        let honest = [passing.clone()];
        let out = (self.act)(&mut self.scene, passing);
        if out != honest {
            self.switch.tell();
        }
        out
    }
}

/// Lies that are told in a conversation of alice and bob, and in the lobby.
pub const LIES: &[Lie] = &[
    Lie {
        name: "altered",
        rule: "a frame is as its sender signed it",
        does: "changes one bit in a message",
        make: deliveries::altered,
    },
    Lie {
        name: "replayed",
        rule: "a message is shown once",
        does: "delivers a message again, at a later position",
        make: deliveries::replayed,
    },
    Lie {
        name: "dropped",
        rule: "what is missing is seen",
        does: "loses a message",
        make: deliveries::dropped,
    },
    Lie {
        name: "swapped",
        rule: "messages have the order of their writer",
        does: "delivers a message after the next one",
        make: deliveries::swapped,
    },
    Lie {
        name: "redirected",
        rule: "a message is for whom it is addressed to",
        does: "gives carol what alice says to bob, and its key",
        make: deliveries::redirected,
    },
    Lie {
        name: "withheld key",
        rule: "R19",
        does: "loses the KEY of an epoch",
        make: deliveries::withheld_key,
    },
    Lie {
        name: "withheld part",
        rule: "R39",
        does: "loses the wrapped key of an epoch, and delivers everything else",
        make: deliveries::withheld_part,
    },
    Lie {
        name: "made-up counters",
        rule: "R39: nothing is shown because of a header that was not verified",
        does: "makes up messages of alice with high counters, without her signature",
        make: deliveries::made_up_counters,
    },
    Lie {
        name: "ghost key",
        rule: "R33: who made it",
        does: "makes an epoch in the name of alice, with keys of its own",
        make: deliveries::ghost_key,
    },
    Lie {
        name: "huge generation",
        rule: "R37",
        does: "says that the newest epoch has the generation 2^32 - 2",
        make: words::huge_generation,
    },
    Lie {
        name: "huge position",
        rule: "R37",
        does: "delivers a message at the position 2^53 - 1, the highest that there is",
        make: deliveries::huge_position,
    },
    Lie {
        name: "huge version",
        rule: "R37",
        does: "gives bundles the version 2^32 - 1, a number that no message has",
        make: words::huge_version,
    },
    Lie {
        name: "false counters",
        rule: "R37, R7",
        does: "says that this device has used counters that it has not",
        make: words::false_counters,
    },
    Lie {
        name: "another's bundle",
        rule: "R37: a bundle under a wrong name is rubbish",
        does: "answers with the bundles of carol under the name of alice",
        make: words::anothers_bundle,
    },
    Lie {
        name: "ghost device",
        rule: "a device is vouched for by the identity of its person",
        does: "adds a device with keys of the hub's own to the bundles of alice",
        make: words::ghost_device,
    },
    Lie {
        name: "made-up link",
        rule: "a link is signed by who may sign it",
        does: "lets an account into a room by a link that the hub has signed",
        make: words::made_up_link,
    },
    Lie {
        name: "dropped by retention",
        rule: "what a hub says that it has dropped is set against the counters",
        does: "loses messages and says that they were too old",
        make: words::dropped_by_retention,
    },
    Lie {
        name: "false deletion",
        rule: "that a room was deleted is the hub's word, and each number of messages with it",
        does: "loses messages and says that their room was deleted",
        make: words::false_deletion,
    },
    Lie {
        name: "false gone",
        rule: "whom what is said does not reach is told and named in the key",
        does: "says to alice that bob's account was deleted",
        make: words::false_gone,
    },
    Lie {
        name: "refused",
        rule: "R35",
        does: "delivers a message and tells its sender that it was refused",
        make: words::refused,
    },
    Lie {
        name: "retry at once",
        rule: "R39: RETRY waits at least 200 ms",
        does: "answers every frame with RETRY after 0 ms",
        make: floods::retry_at_once,
    },
    Lie {
        name: "rekey storm",
        rule: "R39: REKEY is acted on at once and then every 2 s",
        does: "answers every message with REKEY",
        make: floods::rekey_storm,
    },
    Lie {
        name: "lost races",
        rule: "R39: a race that is lost again is run again after 2 s",
        does: "says of every key that another one was first, which nobody has made",
        make: floods::lost_races,
    },
    Lie {
        name: "unasked parts",
        rule: "R39: parts of an epoch without its KEY are dropped",
        does: "sends 300 MiB of parts of epochs that nobody has made",
        make: floods::unasked_parts,
    },
    Lie {
        name: "first frames",
        rule: "R39: what waits has one budget for all logs",
        does: "sends the first frames of thousands of conversations that nobody has",
        make: floods::first_frames,
    },
    Lie {
        name: "pages without end",
        rule: "R39: pages are asked for while each brings something new",
        does: "says after each page that there are more",
        make: floods::pages_without_end,
    },
];

/// The lie with this name.
///
/// # Panics
/// When there is none.
pub fn lie(name: &str) -> &'static Lie {
    LIES.iter().find(|lie| lie.name == name).unwrap()
}
