//! What was said, kept in the home: own messages from the moment they are typed, those of others
//! from the moment they were shown, and who has confirmed what.
//!
//! ```text
//! typed ────► queued ─┬─► stored ─► confirmed by one after another, each with a signed receipt
//!                     └─► refused
//! received ─► shown ────► row, in the transaction that ends its durable event
//! ```
//!
//! Modules in reading order: `record` writes, within the step of the device; [`read`] finds again,
//! a page at a time; [`proof`] checks signatures without a connection; the crate `chat-text` makes lines and
//! JSON.
//!
//! **Architecture Invariant.** A row is found by a keyed token and everything in it is sealed under
//! that token. Nothing here loads more than a page.

use crate::store::{SqliteStore, Token};
use chat_endpoint::Standing;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

pub mod proof;
pub mod read;

pub(crate) mod record;

pub use read::{Found, History};

/// What is known about a message from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: MessageId,
    /// The conversation it stands in.
    pub cid: ConversationId,
    /// What kind; none for one that could not be read.
    pub tag: Option<Tag>,
    /// Who wrote it.
    pub from: UserName,
    /// What; nothing where it could not be read.
    pub text: Option<String>,
    /// The writer's clock, Unix time in milliseconds; 0 where it is not known.
    pub sent_ms: u64,
    /// It came by the feed of who wrote it, who has said it in this open room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_in: Option<RoomName>,
}

/// What has become of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Ours, and the hub has not answered yet.
    Queued,
    /// Ours, and the hub keeps it.
    Stored {
        /// Its place in the hub's log.
        position: u64,
        /// The recipient was away.
        kept: bool,
        /// Who is to receive it.
        recipients: Vec<UserName>,
    },
    /// Ours, and refused for good.
    Refused {
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
        /// The hub says so.
        #[serde(default)]
        by_hub: bool,
    },
    /// Somebody else's, or one's own from another device.
    Received {
        /// Its place in the hub's log.
        position: u64,
        /// How well its writer's key was known when it was shown.
        peer: Standing,
    },
    /// Somebody else's, and it could not be read.
    Unreadable {
        /// What was wrong with it, for people.
        reason: String,
    },
}

/// Who has confirmed a message of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The recipient.
    pub by: UserName,
    /// Whether they could read it.
    pub readable: bool,
}

/// One message of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in this home's history; grows.
    pub place: i64,
    /// What is known from the start.
    pub record: Record,
    /// What has become of it.
    pub state: State,
    /// Who has confirmed it, in the order of their tokens, which means nothing.
    pub confirmed: Vec<Confirmation>,
    /// The token that its row is sealed under.
    name: Token,
}

impl Entry {
    /// Whether it was written on this device.
    pub fn is_own(&self) -> bool {
        matches!(self.state, State::Queued | State::Stored { .. } | State::Refused { .. })
    }
}

/// Finds the conversation's rows.
fn conversation_token(store: &SqliteStore, cid: &ConversationId) -> Token {
    store.token(&[b"conversation", cid.as_str().as_bytes()])
}

/// Finds a message by its id. Somebody else's message never has the token of one's own: others
/// choose their ids themselves.
fn id_token(store: &SqliteStore, id: &MessageId, is_own: bool) -> Token {
    let kind: &[u8] = if is_own { b"own id" } else { b"id" };
    store.token(&[kind, id.as_bytes()])
}

/// Names one message: ids are unique per sender and conversation only (rule R13).
fn name_token(store: &SqliteStore, record: &Record) -> Token {
    let (cid, from) = (record.cid.as_str().as_bytes(), record.from.as_str().as_bytes());
    store.token(&[b"message", cid, from, record.id.as_bytes()])
}

/// What a part of a row is sealed under: which part, and whose.
fn bound(part: &str, name: &Token) -> Vec<u8> {
    let mut bytes = part.as_bytes().to_vec();
    bytes.push(b'/');
    bytes.extend_from_slice(name);
    bytes
}
