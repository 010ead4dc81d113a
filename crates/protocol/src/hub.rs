//! Text messages: JSON between one client and the hub. A closed set; unknown fields are refused.
//!
//! What the hub says here is the hub's word: unsigned, and never a reason to trust a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::b64::{self, B64Vec};
use crate::file::catalogue::{Found, Offer, Query};
use crate::id::{Digest, KeyId, MessageId};
use crate::limits::{JSON_DEPTH_MAX, TEXT_BYTES_MAX};
use crate::name::{ConversationId, RoomName, UserName};

/// Why a text message was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// Above [`TEXT_BYTES_MAX`].
    #[error("message of {got} bytes, at most {TEXT_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("JSON is nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// Not JSON, or not one of the messages.
    #[error("message: {0}")]
    Form(String),
}

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
    /// Asks for the bundles of people; at most [`crate::limits::PAGE_ITEMS_MAX`] names.
    Bundles {
        /// Request id.
        id: MessageId,
        /// Name, and the version already held; 0 for none.
        known: BTreeMap<UserName, u32>,
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

/// At which step the hub speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HubStage {
    /// Signing in.
    SignIn,
    /// Keeping a frame.
    Stored,
    /// Answering a request that keeps nothing.
    Request,
}

/// Where a conversation stands, by the hub's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The conversation.
    pub cid: ConversationId,
    /// Number of links in its membership chain; 0 for direct conversations.
    pub mg: u32,
    /// Digest of the last link.
    pub pm: Digest,
    /// Generation and digest of the current epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<EpochHead>,
}

/// The current epoch of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochHead {
    /// Generation.
    pub g: u32,
    /// Digest of the KEY header.
    pub e: Digest,
}

/// One account, for a list of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The name.
    pub name: UserName,
    /// Whether a device of theirs is connected.
    pub online: bool,
    /// Whether a device of theirs says that it accepts commands.
    pub agent: bool,
}

/// One room of a list, by the hub's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomInfo {
    /// Its name.
    pub room: RoomName,
    /// Whether anybody may join.
    pub open: bool,
    /// How many members it has.
    pub users: u32,
    /// What it is about; open rooms only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// Whether the asker is a member.
    pub member: bool,
    /// How long the hub keeps its messages, in milliseconds; 0 for ever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// All bundles of one person: the newest of each device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonBundles {
    /// Grows with every new bundle of this person.
    pub version: u32,
    /// The bundles as signed.
    pub bundles: Vec<B64Vec>,
}

/// From the hub to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tag", rename_all = "UPPERCASE", deny_unknown_fields)]
pub enum HubToClient {
    /// Greets; the first message.
    Hello {
        /// Version.
        v: u8,
        /// Names this connection: 32 random bytes.
        sid: Digest,
        /// The hub (rule R16).
        srv: KeyId,
        /// The hub's bundle.
        #[serde(with = "b64::vec")]
        bundle: Vec<u8>,
    },
    /// Signed in: [`crate::handshake::SignedIn`], sealed.
    Ok {
        /// The sealed answer.
        #[serde(with = "b64::vec")]
        body: Vec<u8>,
    },
    /// A frame is kept durably.
    Ack {
        /// Always `stored`.
        stage: HubStage,
        /// The frame's id (of a KEY: its `eid`).
        id: MessageId,
        /// Its place in the log.
        position: u64,
        /// The recipient has no session now: it waits for them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        kept: bool,
    },
    /// Refused for good.
    Noack {
        /// At which step.
        stage: HubStage,
        /// The id refused, if it could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        /// A stable code of [`crate::code`].
        code: String,
        /// A sentence for people.
        reason: String,
        /// Where the conversation stands, for `E_EPOCH` and `E_MEMBERS`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Head>,
        /// The hub's time in Unix milliseconds, for `E_CLOCK`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time: Option<u64>,
    },
    /// Not an answer: try this id again later.
    Retry {
        /// The id.
        id: MessageId,
        /// How long to wait, in milliseconds.
        after_ms: u64,
        /// Why.
        why: String,
    },
    /// Not an answer: seal this id again in a newer epoch (rule R5). Nothing was kept.
    Rekey {
        /// The id.
        id: MessageId,
        /// Where the conversation stands.
        head: Head,
    },
    /// Who came and who went since the last such notice. Ephemeral.
    Presence {
        /// Came.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<UserName>,
        /// Went.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<UserName>,
    },
    /// Conversations whose membership changed. Ephemeral.
    Heads {
        /// Their new heads.
        heads: Vec<Head>,
    },
    /// People who have published new keys: a new device, or other keys of a known one. Ephemeral.
    Keys {
        /// Their names.
        users: Vec<UserName>,
    },
    /// Answers `BUNDLES`.
    Bundles {
        /// The request.
        id: MessageId,
        /// Those whose version is newer than the one held.
        people: BTreeMap<UserName, PersonBundles>,
        /// Names nobody has.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unknown: Vec<UserName>,
    },
    /// Answers `MEMBERS`.
    Members {
        /// The request.
        id: MessageId,
        /// The room.
        cid: ConversationId,
        /// MEMBER frames in order, from the number asked for.
        links: Vec<B64Vec>,
        /// There are more: ask again.
        more: bool,
    },
    /// Answers `WHO`.
    Who {
        /// The request.
        id: MessageId,
        /// Accounts in the order of their names.
        people: Vec<Person>,
        /// There are more: ask again after the last name.
        more: bool,
    },
    /// Answers `ROOMS`.
    Rooms {
        /// The request.
        id: MessageId,
        /// Rooms in the order of their names in lower case.
        rooms: Vec<RoomInfo>,
        /// There are more: ask again after the last room.
        more: bool,
    },
    /// Answers `SHARE`: the list is as asked, durably.
    Shared {
        /// The request.
        id: MessageId,
        /// How many offers of this person stand on it now.
        offers: u32,
    },
    /// Answers `FIND`.
    Found {
        /// The request.
        id: MessageId,
        /// In the order of owner and id.
        offers: Vec<Found>,
        /// There are more: ask again after the last one.
        more: bool,
    },
    /// The topic of a room was set: answers `TOPIC`, and tells the other members. Who set it is the
    /// hub's word too.
    Topic {
        /// The request, for the one who made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        /// The room.
        cid: ConversationId,
        /// The topic.
        text: String,
        /// Who set it.
        by: UserName,
    },
    /// How long a room's messages are kept was set: answers `RETENTION`, and tells the other
    /// members.
    Retention {
        /// The request, for the one who made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        /// The room.
        cid: ConversationId,
        /// What applies now, in milliseconds; 0 for ever.
        keep_ms: u64,
        /// Who set it.
        by: UserName,
    },
    /// Messages of a room were dropped before this device has fetched them, because they were older
    /// than the room keeps. Stands among the deliveries, where they would have been.
    Dropped(DropClaim),
    /// All that waited for this device when it signed in has been sent, and what is new follows as it
    /// comes. Stands among the deliveries, once in a connection.
    Live {},
}

/// What a hub says that it has dropped of a room. Nobody has signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropClaim {
    /// The room.
    pub cid: ConversationId,
    /// No message up to this position is kept.
    pub position: u64,
    /// They were accepted before this, Unix time in milliseconds.
    pub before_ms: u64,
    /// How long the room kept messages when they were dropped, in milliseconds.
    pub keep_ms: u64,
    /// How many of them were by other people and behind this device's cursor.
    pub messages: u64,
}

/// Reads a message strictly: length and depth first, then the closed set.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, TextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong { got: text.len() });
    }
    check_depth(text)?;
    serde_json::from_str(text).map_err(|error| TextError::Form(error.to_string()))
}

/// Writes a message.
pub fn write<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).expect("messages hold only strings, numbers and lists of them")
}

/// Refuses deep nesting before a parser recurses into it.
fn check_depth(text: &str) -> Result<(), TextError> {
    let (mut depth, mut inside, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(TextError::TooDeep);
                }
            }
            b'}' | b']' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_their_text_and_nothing_else_is_read() {
        let id = MessageId([1; 16]);
        let log = Log::Conversation(ConversationId::parse("room:lobby").unwrap());
        let messages = [
            ClientToHub::Bundles { id, known: [(UserName::new("bob").unwrap(), 3)].into() },
            ClientToHub::Who { id, after: None },
            ClientToHub::Rooms { id, after: Some(RoomName::lobby()) },
            ClientToHub::Topic {
                id,
                cid: ConversationId::parse("room:ops").unwrap(),
                text: "on call".to_owned(),
            },
            ClientToHub::Retention {
                id,
                cid: ConversationId::parse("room:ops").unwrap(),
                keep_ms: Some(0),
            },
            ClientToHub::Share { id, offers: Vec::new(), ended: vec![id] },
            ClientToHub::Find { id, query: Query::default() },
            ClientToHub::Seen { positions: [(log, 7), (Log::Inbox, 9)].into() },
        ];
        for message in messages {
            let text = write(&message);
            assert_eq!(read::<ClientToHub>(&text), Ok(message), "{text}");
            let more = text.replacen('{', "{\"extra\":1,", 1);
            assert!(read::<ClientToHub>(&more).is_err(), "{more}");
        }
        assert!(read::<ClientToHub>("{\"tag\":\"SHOUT\"}").is_err());
    }

    #[test]
    fn deep_json_is_refused_before_it_is_parsed() {
        let deep = "[".repeat(100_000);
        assert_eq!(read::<ClientToHub>(&deep), Err(TextError::TooDeep));
        let quoted = format!("{{\"tag\":\"{}\"}}", "[".repeat(100));
        assert!(matches!(read::<ClientToHub>(&quoted), Err(TextError::Form(_))));
    }
}
