//! What was said, kept in the home: own messages from the moment they are typed, those of others
//! from the moment they were shown, and who has confirmed what.
//!
//! ```text
//! typed ────► queued ─┬─► stored ─► confirmed by one after another, each with a signed receipt
//!                     └─► refused
//! received ─► shown ────► row, in the transaction that ends its durable event
//! ```
//!
//! Modules in reading order: [`Said`] is what a step adds, written by the [`crate::store`] in the commit of the
//! step; [`read`] finds again, a page at a time; [`proof`] checks signatures without a connection; the crate
//! `chat-text` makes lines and JSON.
//!
//! **Architecture Invariant.** Nothing here loads more than a page.

use chat_endpoint::Standing;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

pub mod proof;
pub mod read;

mod record;

pub use read::{Found, History};
pub use record::Said;

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
    /// It went under the veil; `text` is what was under it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub veiled: bool,
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
}

impl Entry {
    /// Whether it was written on this device.
    pub fn is_own(&self) -> bool {
        self.state.is_own()
    }
}

impl State {
    /// Whether it is the state of a message that was written on this device.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Queued | Self::Stored { .. } | Self::Refused { .. })
    }

    /// Whether a copy in this state makes room for another one of the same message: a damaged one came first.
    pub(crate) fn gives_way_to(&self, new: &Self) -> bool {
        matches!((self, new), (Self::Unreadable { .. }, Self::Received { .. }))
    }
}
