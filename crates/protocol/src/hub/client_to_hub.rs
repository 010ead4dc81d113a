//! What a client says to the hub.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::b64::{self, B64Vec};
use crate::file::catalogue::{Offer, Query};
use crate::id::{KeyId, MessageId};
use crate::keys::Held;
use crate::name::{ConversationId, RoomName, UserName};

/// From a client to the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tag", rename_all = "UPPERCASE", deny_unknown_fields)]
pub enum ClientToHub {
    /// Signs in; the first message, and the only one that is not answered by its id.
    Auth {
        /// [`crate::handshake::AuthHeader`], canonical JSON.
        #[serde(with = "b64::vec")]
        hdr: Vec<u8>,
        /// [`crate::handshake::AuthBody`], sealed.
        #[serde(with = "b64::vec")]
        body: Vec<u8>,
        /// Signature; empty in the mode that fetches the vault.
        #[serde(with = "b64::vec")]
        sig: Vec<u8>,
    },
    /// Asks for the newest bundles of people's live devices, at most
    /// [`crate::limits::PAGE_ITEMS_MAX`] names, and for older ones by the keys in them.
    Bundles {
        /// Request id.
        id: MessageId,
        /// Name, and what is held of it.
        known: BTreeMap<UserName, Held>,
        /// Name, and signing keys whose bundles are wanted: at most
        /// [`crate::limits::PAGE_ITEMS_MAX`] in all.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kids: BTreeMap<UserName, Vec<KeyId>>,
    },
    /// Asks for the heads of this user's rooms that did not fit into OK, in the order of their names.
    Heads {
        /// Request id.
        id: MessageId,
        /// The page begins after this room.
        after: ConversationId,
    },
    /// Asks which counter of this device's signing key was the last one in conversations.
    Counters {
        /// Request id.
        id: MessageId,
        /// At most [`crate::limits::COUNTERS_PAGE_MAX`].
        cids: Vec<ConversationId>,
    },
    /// Asks for links of a membership chain.
    Members {
        /// Request id.
        id: MessageId,
        /// The room.
        cid: ConversationId,
        /// Number of the first link wanted.
        from: u32,
    },
    /// Asks who has an account and who is here.
    Who {
        /// Request id.
        id: MessageId,
        /// The page begins after this name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<UserName>,
    },
    /// Asks which rooms there are: the open ones, and those that the asker is in.
    Rooms {
        /// Request id.
        id: MessageId,
        /// The page begins after this room.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<RoomName>,
    },
    /// Sets the topic of an open room. The hub reads it and keeps it.
    Topic {
        /// Request id.
        id: MessageId,
        /// The room.
        cid: ConversationId,
        /// At most [`crate::limits::TOPIC_BYTES_MAX`] bytes; empty takes the topic away.
        text: String,
    },
    /// Says how long the hub keeps the messages of a room. Admins of the room may.
    Retention {
        /// Request id.
        id: MessageId,
        /// The room.
        cid: ConversationId,
        /// Milliseconds between [`crate::retention::KEEP_MS_MIN`] and
        /// [`crate::retention::KEEP_MS_MAX`]; 0 keeps everything, absent is the server's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep_ms: Option<u64>,
    },
    /// Puts somebody out of the lobby, or lets them in again. Its moderators may; the hub carries it out.
    Moderate {
        /// Request id.
        id: MessageId,
        /// The lobby.
        cid: ConversationId,
        /// The person it is about.
        who: UserName,
        /// Put out for minutes, put out until it is taken back, or let in again.
        act: Moderation,
    },
    /// Tells the hub what it has forgotten, after it was restored from a backup. Everything in it proves
    /// itself (rule R36).
    Remind {
        /// Request id.
        id: MessageId,
        /// Bundles of devices that the hub does not know, or newer ones; with the links at most
        /// [`crate::limits::REMIND_BYTES_MAX`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bundles: Vec<B64Vec>,
        /// Links that continue chains of the hub, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        links: Vec<B64Vec>,
    },
    /// Puts files on the list of what this person shares, or takes them off.
    Share {
        /// Request id.
        id: MessageId,
        /// At most [`crate::limits::OFFERS_PAGE_MAX`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        offers: Vec<Offer>,
        /// Offers that end; unknown ones are passed over.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ended: Vec<MessageId>,
    },
    /// Asks which shared files there are.
    Find {
        /// Request id.
        id: MessageId,
        /// What is looked for.
        query: Query,
    },
    /// Says how far this device has kept what it was sent: moves its cursors. Has no answer.
    Seen {
        /// Log (a conversation, or `inbox` for receipts) and the last position kept in it.
        positions: BTreeMap<Log, u64>,
    },
}

/// What a moderator of the lobby does about somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moderation {
    /// Put out for some minutes.
    Kick,
    /// Put out until it is taken back.
    Ban,
    /// Let in again.
    Unban,
}

/// A log that a device reads: a conversation, or its inbox of receipts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// Receipts for what this user sent.
    Inbox,
    /// A conversation.
    Conversation(ConversationId),
}

impl Serialize for Log {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Inbox => serializer.serialize_str("inbox"),
            Self::Conversation(cid) => cid.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Log {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::id::from_text(deserializer, |text| match text {
            "inbox" => Ok(Self::Inbox),
            cid => ConversationId::parse(cid).map(Self::Conversation),
        })
    }
}
