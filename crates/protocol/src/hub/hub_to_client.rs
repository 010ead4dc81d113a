//! What the hub says to a client: greetings, answers, and notices that nobody asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::client_to_hub::Moderation;
use crate::b64::{self, B64Vec};
use crate::file::catalogue::Found;
use crate::id::{Digest, KeyId, MessageId};
use crate::name::{ConversationId, RoomName, UserName};

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

/// The last counter of a signing key that the hub has seen in a conversation's current epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// The conversation.
    pub cid: ConversationId,
    /// Its current epoch.
    pub epoch: EpochHead,
    /// The counter.
    pub n: u32,
}

/// The current epoch of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochHead {
    /// Generation: one above the epoch before.
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
    /// Whether a device of theirs is connected that accepts commands.
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

/// Bundles of one person: the newest of each live device, and those that were asked for by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonBundles {
    /// The bundles as signed.
    pub bundles: Vec<B64Vec>,
    /// Bundles, asked for by their keys, of an identity that had this name before: they verify links of
    /// chains and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<B64Vec>,
}

/// From the hub to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tag", rename_all = "UPPERCASE", deny_unknown_fields)]
pub enum HubToClient {
    /// Greets; the first message.
    Hello {
        /// The version of the protocol.
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
        /// The hub's reason, for people.
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
        /// Those who are online now and were not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<UserName>,
        /// Those who were online and are not any more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<UserName>,
    },
    /// Conversations whose membership changed; ephemeral. Or, with an id, a page of this user's rooms.
    Heads {
        /// The request, where it is an answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        /// Their heads; of a page at most [`crate::limits::HEADS_PAGE_MAX`].
        heads: Vec<Head>,
        /// There are more behind the last one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// Answers `COUNTERS`: conversations in whose current epoch this signing key was used.
    Counters {
        /// The request.
        id: MessageId,
        /// The last counter in each; the others are left out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        counters: Vec<Counter>,
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
        /// Those of whom something else is held than the newest bundles of all live devices.
        people: BTreeMap<UserName, PersonBundles>,
        /// Names nobody has.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unknown: Vec<UserName>,
        /// Of the names asked for, those whose accounts were deleted: no key is made for them. Their
        /// bundles are answered like others, for what they have signed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gone: Vec<UserName>,
        /// Not everybody did fit: who is in neither list is to be asked for again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
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
        /// Who runs the hub has deleted the room: nothing is said there any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        closed: bool,
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
    /// Answers `REMIND`: so many prove themselves and are news here. They are taken one after the other.
    Reminded {
        /// The request.
        id: MessageId,
        /// Of the bundles.
        bundles: u32,
        /// Of the links.
        links: u32,
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
    /// Somebody was put out of the lobby by one of its moderators, or let in again: answers `MODERATE`, and
    /// tells everybody in the lobby and whom it is about. Signed by nobody: the hub's word.
    Moderated {
        /// The request, for the one who made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<MessageId>,
        /// The lobby.
        cid: ConversationId,
        /// Whom it is about.
        who: UserName,
        /// What was done.
        act: Moderation,
        /// Which moderator did it.
        by: UserName,
        /// How many links the lobby's chain had: a stay of theirs that began before is the one meant.
        mg: u32,
        /// It is no news: told at a sign-in, of somebody who is out and still a member by the chain.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        past: bool,
    },
    /// Messages of a room were dropped before this device has fetched them, because they were older
    /// than the room keeps. Stands among the deliveries, where they would have been.
    Dropped(DropClaim),
    /// What who runs the hub says to everybody who is connected. Ephemeral, and signed by nobody.
    Announce {
        /// The text for people.
        text: String,
    },
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
