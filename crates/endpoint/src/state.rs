//! Everything a device remembers. What is here survives a restart; what belongs to one connection
//! is in [`crate::endpoint`].

use chat_protocol::id::{Digest, MessageId};
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};

use crate::asked::Doubtful;
use crate::epochs::KeptLists;
use crate::event::Event;
use crate::grants::Parked;
use crate::offers::SeenOffer;
use crate::removed::Removed;
use crate::rooms::{Struck, Unproved};
use crate::settings::{Kept, Missed, Told};
use crate::table::{Kind, Table};
use crate::views::KeptLink;

/// A message of ours that others may still confirm.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Where it was said.
    pub(crate) cid: ConversationId,
    /// Digests of every frame that was sealed under its id.
    pub(crate) digests: Vec<Digest>,
    /// The epoch it was sealed in last: its people are the recipients.
    pub(crate) e: Digest,
    /// Who has confirmed it.
    pub(crate) confirmed: Vec<UserName>,
    /// Who could not read it, and may have been sent it again since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<UserName>,
    /// The hub says that it has refused it, and nobody has contradicted.
    pub(crate) refused: bool,
    /// How often the hub had gone back when it was sealed first.
    pub(crate) era: u64,
    /// Of a command: how many pieces of what it said were told.
    pub(crate) heard: u64,
    /// Of a command: how many pieces there are, once its result has come.
    pub(crate) outs: Option<u64>,
    /// Of a command: its result was told.
    pub(crate) ended: bool,
    /// Of a command: nobody waits for it, and its machine has said nothing of it.
    pub(crate) given_up: bool,
}

impl Sent {
    pub(crate) fn new(cid: ConversationId, e: Digest, era: u64) -> Self {
        Self {
            era,
            cid,
            digests: Vec::new(),
            e,
            confirmed: Vec::new(),
            unread: Vec::new(),
            refused: false,
            heard: 0,
            outs: None,
            ended: false,
            given_up: false,
        }
    }
}

/// The hub has said that a room is deleted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ToldDeleted {
    /// When, by this device's clock, Unix time in milliseconds.
    pub(crate) at_ms: u64,
    /// How often the hub had gone back then.
    pub(crate) era: u64,
}

/// The tables of a device that several subjects read.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By conversation.
    pub(crate) rooms: Table<Membership, ConversationId>,
    /// Verified links, by room and number.
    pub(crate) links: Table<KeptLink>,
    /// Links of those chains that count by the hub's word, with the same keys as `links`.
    pub(crate) unproved: Table<Unproved>,
    /// Who is left out of what is sealed, by room and name.
    pub(crate) struck: Table<Struck>,
    /// Removals that this user has signed, by room and number of the link.
    pub(crate) removed: Table<Removed>,
    /// Rooms this user has joined, or was told that they are full, by conversation.
    pub(crate) joined: Table<bool, ConversationId>,
    /// By id.
    pub(crate) sent: Table<Sent, MessageId>,
    /// That a room is deleted, by room.
    pub(crate) deleted: Table<ToldDeleted, ConversationId>,
    /// Granted messages that wait, by order.
    pub(crate) parked: Table<Parked>,
    /// The newest signature of each offer that was seen, by order.
    pub(crate) offers: Table<SeenOffer>,
    /// Commands that the hub says it has refused, or that were given up, and that could still start, by id.
    pub(crate) doubtful: Table<Doubtful, MessageId>,
    /// What of a command came before what stands ahead of it, by id and number.
    pub(crate) pieces: Table<Event>,
    /// How many pieces were said about a command that runs here, by id and requester.
    pub(crate) reported: Table<u64>,
    /// What is set on this user's devices, by key.
    pub(crate) settings: Table<Kept>,
    /// To whom that was told.
    pub(crate) told: Table<Told>,
    /// That something of it is missing here.
    pub(crate) missed: Table<Missed>,
    /// When this user has last written to people, about, Unix time in milliseconds.
    pub(crate) written: Table<u64, UserName>,
    /// Shown messages whose senders say that the hub refused them, as in `received`.
    pub(crate) disowned: Table<bool>,
    /// Whom epochs must be made for, as long as the tables stay as they are. No table: it follows from them.
    pub(crate) lists: KeptLists,
}

impl State {
    pub(crate) fn rows(&mut self) -> [Kind<'_>; 18] {
        [
            ("room", &mut self.rooms),
            ("link", &mut self.links),
            ("unproved", &mut self.unproved),
            ("struck", &mut self.struck),
            ("removed", &mut self.removed),
            ("joined", &mut self.joined),
            ("sent", &mut self.sent),
            ("deleted", &mut self.deleted),
            ("parked", &mut self.parked),
            ("offer", &mut self.offers),
            ("doubtful", &mut self.doubtful),
            ("piece", &mut self.pieces),
            ("reported", &mut self.reported),
            ("disowned", &mut self.disowned),
            ("setting", &mut self.settings),
            ("told", &mut self.told),
            ("missed", &mut self.missed),
            ("written", &mut self.written),
        ]
    }
}
