//! Everything a device remembers. What is here survives a restart; what belongs to one connection
//! is in [`crate::endpoint`].

use std::sync::Arc;

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::content::LastMessage;
use chat_protocol::header::{KeyHeader, MessageHeader};
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::members::{MemberList, Membership, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::ratchet::Chain;
use serde::{Deserialize, Serialize};

use crate::asked::{Asking, Doubtful};
use crate::epochs::{KeptLists, Making};
use crate::event::Event;
use crate::grants::Parked;
use crate::heal::Wanted;
use crate::offers::SeenOffer;
use crate::outgoing::Outgoing;
use crate::people::Pin;
use crate::position::Position;
use crate::received::{ReceivedIn, ReceivedIndex};
use crate::removed::Removed;
use crate::resend::KeptSent;
use crate::retention::Claimed;
use crate::rooms::{KeptOrder, Struck, Unproved};
use crate::store::Change;
use crate::table::Table;
use crate::views::KeptLink;

/// Stored rows: key and value.
pub type Records = Vec<(String, Vec<u8>)>;

/// A message key chain of one sender in one epoch, as this device receives it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Receiving {
    pub(crate) chain: Chain,
    /// Digest of the last frame received, and its counter.
    pub(crate) last: Option<(u32, Digest)>,
}

/// An epoch this device holds chains of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) cid: ConversationId,
    pub(crate) head: EpochHead,
    /// The epoch before it, by its maker's word.
    pub(crate) pe: Digest,
    /// The membership that its list was made from.
    pub(crate) place: Place,
    /// Where the hub has put it; nothing while it has not answered.
    pub(crate) position: Option<u64>,
    /// How often the hub had gone back when it did: positions compare with those of the same time.
    pub(crate) era: u64,
    /// How often it had when it last showed that it has this one.
    #[serde(default)]
    pub(crate) stood: u64,
    members: String,
    /// Members whom its maker leaves out, and says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<UserName>,
    #[serde(skip)]
    pub(crate) list: MemberList,
    /// Its people but this user, shared by everything that was sent in it.
    #[serde(skip)]
    pub(crate) others: Arc<[UserName]>,
    /// When this device first saw it, Unix time in milliseconds.
    pub(crate) seen_ms: u64,
}

impl Epoch {
    pub(crate) fn new(
        header: &KeyHeader,
        head: EpochHead,
        list: MemberList,
        me: &UserName,
        seen_ms: u64,
    ) -> Self {
        let members = String::from_utf8_lossy(list.as_bytes()).into_owned();
        let others = others(&list, me);
        let place = Place { mg: header.mg, pm: header.pm };
        let (cid, pe, left_out) = (header.cid.clone(), header.pe, header.wo.clone());
        Self {
            cid,
            head,
            pe,
            place,
            position: None,
            era: 0,
            stood: 0,
            members,
            left_out,
            list,
            others,
            seen_ms,
        }
    }

    /// By this epochs are older and newer. Positions alone do not tell: a hub that went back gives lower
    /// ones again.
    pub(crate) fn age(&self) -> (u64, Option<u64>) {
        (self.seen_ms, self.position)
    }
}

/// The people of a list but one.
fn others(list: &MemberList, me: &UserName) -> Arc<[UserName]> {
    let mut names: Vec<UserName> = list.lines().iter().map(|line| line.name.clone()).collect();
    names.dedup();
    names.retain(|name| name != me);
    names.into()
}

/// Sending in one epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sending {
    pub(crate) head: EpochHead,
    pub(crate) chain: Chain,
    /// Digest of the last frame sealed here.
    pub(crate) p: Digest,
    /// Burnt counters the others were not told of yet.
    pub(crate) void: Vec<(u32, Digest)>,
    /// The hub accepts nothing more in this epoch.
    pub(crate) closed: bool,
}

/// One conversation, as a sender sees it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Conversation {
    /// The newest epoch known.
    pub(crate) head: Option<EpochHead>,
    pub(crate) sending: Option<Sending>,
    /// How often the hub had gone back when it last showed that it has the end of the chain that is held here.
    #[serde(default)]
    pub(crate) chain_stood: u64,
    /// The last message the hub has kept, and its digest.
    pub(crate) last: Option<(LastMessage, Digest)>,
}

/// A receipt that is owed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Owed {
    pub(crate) cid: ConversationId,
    pub(crate) to: UserName,
    pub(crate) id: MessageId,
    pub(crate) digest: Digest,
    pub(crate) readable: bool,
}

impl Owed {
    /// The receipt for a message with this header.
    pub(crate) fn new(header: &MessageHeader, digest: Digest, readable: bool) -> Self {
        let (cid, to) = (header.cid.clone(), header.from.clone());
        Self { cid, to, id: header.id, digest, readable }
    }
}

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

/// All tables of a device.
#[derive(Debug)]
pub(crate) struct State {
    /// By name.
    pub(crate) pins: Table<Pin>,
    /// By conversation.
    pub(crate) rooms: Table<Membership>,
    /// Verified links, by room and number.
    pub(crate) links: Table<KeptLink>,
    /// Links of those chains that count by the hub's word, with the same keys as `links`.
    pub(crate) unproved: Table<Unproved>,
    /// Who is left out of what is sealed, by room and name.
    pub(crate) struck: Table<Struck>,
    /// Removals that this user has signed, by room and number of the link.
    pub(crate) removed: Table<Removed>,
    /// Rooms this user has joined, or was told that they are full, by conversation.
    pub(crate) joined: Table<bool>,
    /// By conversation.
    pub(crate) conversations: Table<Conversation>,
    /// By digest of the KEY header.
    pub(crate) epochs: Table<Epoch>,
    /// Epochs of ours that the hub has not answered yet, by `eid`.
    pub(crate) making: Table<Making>,
    /// First chain keys and running chains, by epoch and line.
    pub(crate) chains: Table<Receiving>,
    /// By order.
    pub(crate) outgoing: Table<Outgoing>,
    /// Signed receipts without an answer, by id.
    pub(crate) receipts: Table<B64Vec>,
    /// What was asked for in rooms, by order and id.
    pub(crate) orders: Table<KeptOrder>,
    /// By order.
    pub(crate) owed: Table<Owed>,
    /// By id.
    pub(crate) sent: Table<Sent>,
    /// Digests of received messages by number of the epoch, id and sender; the epochs by number; and
    /// the epochs that are too long ago. See [`crate::received`].
    pub(crate) received: Table<B64Array<32>>,
    pub(crate) received_in: Table<ReceivedIn>,
    pub(crate) gone: Table<bool>,
    /// Made of the rows.
    pub(crate) received_index: ReceivedIndex,
    /// Last position kept, by log.
    pub(crate) cursors: Table<Position>,
    /// Durable events by key.
    pub(crate) events: Table<Event>,
    /// What is asked for, by chain.
    pub(crate) missing: Table<Wanted>,
    /// What the hub says that it has dropped, by room.
    pub(crate) dropped: Table<Claimed>,
    /// Up to where of it each sender's gaps were looked at, by room and signing key.
    pub(crate) looked: Table<Position>,
    /// Up to which counter it explains a sender's chain, by room, signing key and epoch.
    pub(crate) excused: Table<u64>,
    /// That a room is deleted, by room.
    pub(crate) deleted: Table<ToldDeleted>,
    /// What others may ask for, by order.
    pub(crate) kept: Table<KeptSent>,
    /// Granted messages that wait, by order.
    pub(crate) parked: Table<Parked>,
    /// The newest signature of each offer that was seen, by order.
    pub(crate) offers: Table<SeenOffer>,
    /// Numbers of commands, by signing key and restart nonce.
    pub(crate) asking: Table<Asking>,
    /// Commands that the hub says it has refused, or that were given up, and that could still start, by id.
    pub(crate) doubtful: Table<Doubtful>,
    /// What of a command came before what stands ahead of it, by id and number.
    pub(crate) pieces: Table<Event>,
    /// How many pieces were said about a command that runs here, by id and requester.
    pub(crate) reported: Table<u64>,
    /// Shown messages whose senders say that the hub refused them, as in `received`.
    pub(crate) disowned: Table<bool>,
    /// Numbers that are never used again, by what they count.
    pub(crate) counters: Table<u64>,
    /// Whom epochs must be made for, as long as the tables stay as they are. No table: it follows from them.
    pub(crate) lists: KeptLists,
}

/// The kind of rows of what is on its way.
pub(crate) const OUTGOING: &str = "outgoing";

/// The counter of durable events.
const EVENTS: &str = "events";

/// Calls a method on every table.
macro_rules! every_table {
    ($state:expr, $table:ident => $call:expr) => {{
        every_table!(@each $state, $table, $call;
            pins rooms links unproved struck removed joined conversations epochs making chains outgoing receipts
            orders owed sent received received_in gone cursors events missing dropped looked excused deleted kept
            parked
            offers asking doubtful pieces reported disowned counters);
    }};
    (@each $state:expr, $table:ident, $call:expr; $($name:ident)*) => {
        $({ let $table = &mut $state.$name; $call; })*
    };
}

impl State {
    /// The state that the rows hold. Rows of other kinds are left alone.
    pub(crate) fn load(records: &Records, me: &UserName) -> Result<Self, serde_json::Error> {
        let mut state = Self {
            pins: Table::new("pin"),
            rooms: Table::new("room"),
            links: Table::new("link"),
            unproved: Table::new("unproved"),
            struck: Table::new("struck"),
            removed: Table::new("removed"),
            joined: Table::new("joined"),
            conversations: Table::new("conversation"),
            epochs: Table::new("epoch"),
            making: Table::new("making"),
            chains: Table::new("chain"),
            outgoing: Table::new(OUTGOING),
            receipts: Table::new("receipt"),
            orders: Table::new("order"),
            owed: Table::new("owed"),
            sent: Table::new("sent"),
            received: Table::new("received"),
            received_in: Table::new("received-in"),
            gone: Table::new("gone"),
            received_index: ReceivedIndex::default(),
            cursors: Table::new("cursor"),
            events: Table::new("event"),
            missing: Table::new("missing"),
            dropped: Table::new("dropped"),
            looked: Table::new("looked"),
            excused: Table::new("excused"),
            deleted: Table::new("deleted"),
            kept: Table::new("kept"),
            parked: Table::new("parked"),
            offers: Table::new("offer"),
            asking: Table::new("asking"),
            doubtful: Table::new("doubtful"),
            pieces: Table::new("piece"),
            reported: Table::new("reported"),
            disowned: Table::new("disowned"),
            counters: Table::new("counter"),
            lists: KeptLists::default(),
        };
        for (key, value) in records {
            // Each table takes the rows of its kind.
            every_table!(state, table => table.load(key, value)?);
        }
        let keys: Vec<String> = state.epochs.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(epoch) = state.epochs.get_mut(&key) {
                epoch.list = MemberList::parse(epoch.members.as_bytes()).unwrap_or_default();
                epoch.others = others(&epoch.list, me);
            }
        }
        state.index_received();
        state.discard();
        Ok(state)
    }

    /// Who a message of ours was sealed for.
    pub(crate) fn recipients(&self, id: &MessageId) -> Arc<[UserName]> {
        let sent = self.sent.get(&id.to_string());
        let epoch = sent.and_then(|sent| self.epochs.get(&sent.e.to_string()));
        epoch.map(|epoch| Arc::clone(&epoch.others)).unwrap_or_default()
    }

    /// The number of the next durable event. Events that were dealt with leave no row, so it is counted:
    /// each process of a home knows up to where it has heard, and a number that came twice would be
    /// taken for heard.
    pub(crate) fn next_event(&self) -> u64 {
        let counted = self.counters.get(EVENTS).copied().unwrap_or(0);
        counted.max(next_order(&self.events))
    }

    /// Keeps an event until it is dealt with.
    pub(crate) fn put_event(&mut self, event: Event) -> u64 {
        let order = self.next_event();
        self.counters.put(EVENTS, order + 1);
        self.events.put(&order_key(order), event);
        order
    }

    /// The rows that changed since the last call.
    pub(crate) fn flush(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        every_table!(self, table => table.flush(&mut changes));
        changes
    }

    /// Forgets what changed.
    pub(crate) fn discard(&mut self) {
        every_table!(self, table => table.discard());
    }
}

/// The key of the next row in a table that is ordered by number.
pub(crate) fn next_order<V: Serialize + serde::de::DeserializeOwned>(table: &Table<V>) -> u64 {
    table.last_key().and_then(|key| key.parse::<u64>().ok()).map_or(0, |last| last + 1)
}

/// A number as a key that sorts.
pub(crate) fn order_key(order: u64) -> String {
    format!("{order:016}")
}

/// The key of a chain.
pub(crate) fn chain_key(e: &Digest, line: usize) -> String {
    format!("{e}/{line}")
}
