//! What a device tells its host.

use std::sync::Arc;

use chat_protocol::b64::B64Vec;
use chat_protocol::content::Command;
use chat_protocol::content::files::FileNote;
use chat_protocol::file::catalogue::Found;
use chat_protocol::hub::{HubStage, Moderation, Person, RoomInfo};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::ratchet::MessageKey;
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

mod kinds;
mod made;

pub use kinds::{Alarm, MemberChange, OfferVerdict, Standing};

/// Names a durable event until the host has dealt with it; grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey(pub u64);

/// An event and, if it is durable, the key under which it is kept until
/// [`Endpoint::consumed`](crate::Endpoint::consumed).
#[derive(Debug, Clone)]
pub struct Notification {
    /// Present on events that survive a restart.
    pub key: Option<EventKey>,
    /// The event.
    pub event: Event,
}

/// A frame with the key that opens it: shows a message again, proves who signed it, and grants it
/// to a newcomer (A11). Hosts seal it at rest like everything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFrame {
    /// Its epoch.
    pub e: Digest,
    /// The signing key of its sender.
    pub sk: KeyId,
    /// Its counter.
    pub n: u32,
    /// SHA-256 of what was signed.
    pub digest: Digest,
    /// The message key.
    pub key: MessageKey,
    /// The frame as signed.
    pub frame: B64Vec,
}

/// What happened. Texts are as received: a host sanitises them before it shows them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Event {
    /// A message for people: TEXT, DM or BROADCAST, verified and opened.
    Message {
        /// Its id.
        id: MessageId,
        /// The conversation it was said in.
        cid: ConversationId,
        /// What kind.
        tag: Tag,
        /// Who wrote it.
        from: UserName,
        /// The text as received.
        text: String,
        /// The letters of the text are moved on by one: a spoiler.
        #[serde(default)]
        veiled: bool,
        /// How well its writer's identity is known.
        #[serde(default)]
        peer: Standing,
        /// It came by the feed of who wrote it, who has said it in this open room.
        #[serde(default)]
        said_in: Option<RoomName>,
        /// Place in the hub's log.
        position: u64,
        /// The writer's clock, Unix time in milliseconds.
        sent_ms: u64,
        /// The hub's clock.
        hub_ms: u64,
        /// The frame and its key; absent on a device that keeps nothing.
        frame: Option<Box<KeptFrame>>,
        /// It was missing, and its sender has sent it again. Its position is 0.
        #[serde(default)]
        healed_by: Option<UserName>,
        /// It is history that this member has granted. Its position is 0.
        #[serde(default)]
        granted_by: Option<UserName>,
        /// Its sender has gone from the room since; by the hub's word it was said before.
        #[serde(default)]
        gone: bool,
    },
    /// Somebody's program says something about a file; verified and opened.
    File {
        /// The message's id.
        id: MessageId,
        /// The conversation it was said in.
        cid: ConversationId,
        /// The person who runs the program.
        from: UserName,
        /// Whether their key is the one known for that name, without an alarm.
        pinned: bool,
        /// What the program says.
        note: FileNote,
        /// The hub's clock, Unix time in milliseconds.
        hub_ms: u64,
    },
    /// A command for this machine; signature, target and freshness are checked, the policy is not.
    Command {
        /// Its id.
        id: MessageId,
        /// Digest of its frame, to be named in the outcome.
        digest: Digest,
        /// Who asks.
        from: UserName,
        /// The identity key that stands behind the signature.
        identity: KeyId,
        /// The key that signed it: commands are numbered for each.
        sk: KeyId,
        /// Unix time in milliseconds at which that key expires.
        sk_ends_ms: u64,
        /// Whether the identity is the one known for that name, without an alarm.
        pinned: bool,
        /// What to run.
        #[serde(with = "made")]
        command: Command,
        /// Unix time in milliseconds after which it must not start.
        expires_ms: u64,
    },
    /// A command for this machine is taken back.
    Cancel {
        /// By whom.
        from: UserName,
        /// The identity key that stands behind the signature.
        identity: KeyId,
        /// The command.
        re: MessageId,
    },
    /// A command for this machine that the device has refused by itself, for its time or its sender's
    /// keys. Its number is dealt with.
    CommandPassed {
        /// Who asked.
        from: UserName,
        /// The identity key that stands behind the signature.
        identity: KeyId,
        /// The key that signed it.
        sk: KeyId,
        /// Unix time in milliseconds at which that key expires.
        sk_ends_ms: u64,
        /// Its number.
        no: u64,
    },
    /// A machine answers a command of ours that was given up; what it says of it follows.
    Late {
        /// The command.
        re: MessageId,
        /// By whom.
        by: UserName,
    },
    /// A command of ours was started.
    Started {
        /// The command.
        re: MessageId,
        /// By whom.
        by: UserName,
    },
    /// A command of ours wrote something.
    Output {
        /// The command.
        re: MessageId,
        /// Which stream.
        stderr: bool,
        /// Raw bytes.
        data: Vec<u8>,
    },
    /// Pieces of what a command of ours wrote are missing here, and are not to be had.
    OutputLost {
        /// The command.
        re: MessageId,
        /// How many.
        pieces: u64,
    },
    /// A command of ours ended or was refused.
    Ended {
        /// The command.
        re: MessageId,
        /// By whom.
        by: UserName,
        /// Whether it succeeded.
        ok: bool,
        /// Exit status, where there is one.
        status: Option<i32>,
        /// Code of the failure.
        code: String,
        /// Sentence about the failure.
        reason: String,
    },
    /// A recipient's signed receipt for a message of ours.
    Delivered {
        /// The message.
        id: MessageId,
        /// The conversation of the message.
        cid: ConversationId,
        /// Who received it.
        by: UserName,
        /// Whether they could read it.
        readable: bool,
        /// The hub had said that it refused it.
        #[serde(default)]
        refused: bool,
        /// The receipt as signed; absent where there is none, and on a device that keeps nothing.
        receipt: Option<B64Vec>,
    },
    /// The hub keeps a message of ours durably.
    Stored {
        /// The message.
        id: MessageId,
        /// Where it was said.
        cid: ConversationId,
        /// Its place in the log.
        position: u64,
        /// The recipient is away.
        kept: bool,
        /// Who is to receive it: the people of its epoch but the sender.
        recipients: Arc<[UserName]>,
        /// The frame and its key; absent on a device that keeps nothing.
        frame: Option<Box<KeptFrame>>,
    },
    /// A message of ours is refused for good.
    Refused {
        /// The message.
        id: MessageId,
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
        /// The hub says so: it may have delivered the message all the same.
        #[serde(default)]
        by_hub: bool,
        /// Of a command that has left: until when it could start if it was delivered all the same, Unix
        /// time in milliseconds.
        #[serde(default)]
        may_start_until_ms: Option<u64>,
    },
    /// Somebody says that the hub refused a message of theirs that this device has shown. Their word: a
    /// member could invent it.
    Disowned {
        /// The conversation of the message.
        cid: ConversationId,
        /// The sender of the message, who says so.
        from: UserName,
        /// The message.
        id: MessageId,
    },
    /// A message of somebody else could not be read or did not verify.
    Unreadable {
        /// The conversation it was delivered in.
        cid: ConversationId,
        /// From whom, by the header.
        from: UserName,
        /// Its id, by the header.
        id: MessageId,
        /// Why, for the log.
        reason: String,
        /// Its sender has signed it. If not, its header is the hub's word, and nothing of it is kept.
        signed: bool,
    },
    /// Messages of somebody are missing.
    Gap {
        /// The conversation they are missing in.
        cid: ConversationId,
        /// The sender of what is missing.
        from: UserName,
        /// Their counters.
        missing: Vec<u32>,
    },
    /// What was missing has come, or its sender has said nothing under these counters.
    Healed {
        /// The conversation they were missing in.
        cid: ConversationId,
        /// The sender of what was missing.
        from: UserName,
        /// Their counters.
        n: Vec<u32>,
    },
    /// What is missing, or did not open, could not be had from its sender.
    Unhealed {
        /// The conversation they are missing in.
        cid: ConversationId,
        /// The sender of what is missing.
        from: UserName,
        /// Their counters.
        n: Vec<u32>,
        /// A sentence for people.
        reason: String,
    },
    /// Something that must not happen.
    Alarm {
        /// The kind of alarm.
        kind: Alarm,
        /// Who is concerned.
        user: UserName,
        /// A sentence.
        detail: String,
        /// How many of this kind about this person are told of: those of a minute come together,
        /// with the sentence of the last one.
        #[serde(default = "one")]
        count: u32,
    },
    /// Somebody whom this user talks to, or this user, has a device that was not known before.
    NewDevice {
        /// The owner of the device.
        user: UserName,
        /// Its number in the list of that person's devices.
        number: usize,
        /// The words of its key.
        words: String,
    },
    /// Who came and went.
    Presence {
        /// Those who are online now and were not.
        joined: Vec<UserName>,
        /// Those who were online and are not any more.
        left: Vec<UserName>,
        /// Those of both whom this user follows.
        followed: Vec<UserName>,
    },
    /// The answer to [`Endpoint::subscriptions`](crate::Endpoint::subscriptions), by verified views.
    Subscriptions {
        /// Whom this user follows.
        follows: Vec<UserName>,
        /// Who follows this user.
        subscribers: Vec<UserName>,
    },
    /// An answer to a question about people.
    People {
        /// Accounts in the order of their names.
        people: Vec<Person>,
        /// More pages follow by themselves.
        more: bool,
    },
    /// The view of a conversation is up to date, as asked for.
    Refreshed {
        /// The conversation.
        cid: ConversationId,
    },
    /// This user is a member of a room now.
    Joined {
        /// What was asked for; nothing for the rooms that everybody is in.
        id: Option<MessageId>,
        /// The room.
        cid: ConversationId,
        /// Place of the link in the hub's log, if its answer has come. What stands behind it is
        /// said to this member too.
        position: Option<u64>,
    },
    /// This user has left a room.
    Left {
        /// What was asked for.
        id: Option<MessageId>,
        /// The room.
        cid: ConversationId,
        /// Place of the link in the hub's log, if its answer has come. Nothing behind it is said
        /// to this user.
        position: Option<u64>,
    },
    /// The members of a room or their roles have changed, by a verified link.
    MemberChanged {
        /// What was asked for, if it was this user who asked here.
        id: Option<MessageId>,
        /// The room.
        cid: ConversationId,
        /// What has changed for them.
        change: MemberChange,
        /// Whom it is about.
        who: UserName,
        /// Who signed it.
        by: UserName,
    },
    /// The topic of a room was set. The hub's word, and so is its author.
    Topic {
        /// What was asked for, if it was asked for here.
        id: Option<MessageId>,
        /// The room.
        cid: ConversationId,
        /// The topic; empty for none.
        text: String,
        /// Who set it.
        by: UserName,
    },
    /// Somebody was put out of the lobby by a moderator, or let in again. The hub's word, and so is who
    /// did it.
    Moderated {
        /// What was asked for, if it was asked for here.
        id: Option<MessageId>,
        /// Whom it is about.
        who: UserName,
        /// What was done.
        act: Moderation,
        /// Which moderator did it.
        by: UserName,
    },
    /// What somebody's program says while they are away, to whoever wrote to them alone. It is not answered.
    Away {
        /// Its id.
        id: MessageId,
        /// The conversation.
        cid: ConversationId,
        /// Who is away.
        from: UserName,
        /// Why, as received.
        text: String,
        /// The writer's clock, Unix time in milliseconds.
        sent_ms: u64,
    },
    /// Another device of this user has set something.
    Settings {
        /// Keys and values.
        changed: Vec<(String, String)>,
    },
    /// What who runs the hub says to everybody who is connected.
    Announcement {
        /// The text as received.
        text: String,
    },
    /// How long the hub keeps the messages of a room was set. The hub's word, and so is who did it.
    Retention {
        /// What was asked for, if it was asked for here.
        id: Option<MessageId>,
        /// The room.
        cid: ConversationId,
        /// What applies now, in milliseconds; 0 for ever.
        keep_ms: u64,
        /// Who set it.
        by: UserName,
    },
    /// Messages of a room are missing, and the hub says that it has dropped them because they were
    /// older than the room keeps. Its word: nobody has signed it.
    Dropped {
        /// The room.
        cid: ConversationId,
        /// The sender whose messages are missing, by their counters; `None` for what the hub says
        /// of all of them.
        from: Option<UserName>,
        /// How many.
        messages: u64,
        /// They were accepted before this, Unix time in milliseconds.
        before_ms: u64,
        /// How long the room kept messages then, in milliseconds.
        keep_ms: u64,
    },
    /// An answer to a question about rooms, by the hub's word.
    Rooms {
        /// Rooms in the order of their names.
        rooms: Vec<RoomInfo>,
        /// Those of them that this device is about to come into: that this user is in none of them is from before.
        entering: Vec<RoomName>,
        /// More pages follow by themselves.
        more: bool,
    },
    /// The hub's list of what this person shares is as it was asked to be.
    Shared {
        /// The question.
        id: MessageId,
        /// How many offers of this person stand on it.
        offers: u32,
    },
    /// One page of the hub's list of shared files, by the hub's word.
    Found {
        /// The question.
        id: MessageId,
        /// In the order of owner and id.
        offers: Vec<Found>,
        /// There are more: ask again after the last one.
        more: bool,
    },
    /// What listed offers are worth, in the order of the question.
    OffersChecked {
        /// The question.
        id: MessageId,
        /// A verdict for each.
        verdicts: Vec<OfferVerdict>,
    },
    /// The hub refused a question about its list of files.
    ListRefused {
        /// The question.
        id: MessageId,
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
    },
    /// The hub refused something that has no message of ours to name.
    Complaint {
        /// At which step.
        stage: HubStage,
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
        /// The hub says so; otherwise the device says it of the hub.
        by_hub: bool,
    },
    /// The hub puts off what this device has sent, and has done so more than once. It is sent again without being asked
    /// for; told once until nothing is put off any more.
    PutOff {
        /// A sentence of the hub.
        reason: String,
    },
}

impl Event {
    /// The message, or what was asked for in a room, that this is the answer to.
    pub fn answers(&self) -> Option<MessageId> {
        match self {
            Self::Joined { id, .. }
            | Self::Left { id, .. }
            | Self::MemberChanged { id, .. }
            | Self::Topic { id, .. }
            | Self::Moderated { id, .. }
            | Self::Retention { id, .. } => *id,
            Self::Stored { id, .. }
            | Self::Refused { id, .. }
            | Self::Shared { id, .. }
            | Self::Found { id, .. }
            | Self::OffersChecked { id, .. }
            | Self::ListRefused { id, .. } => Some(*id),
            Self::File {
                note: FileNote::Give { re, .. } | FileNote::Refuse { re, .. }, ..
            } => Some(*re),
            _ => None,
        }
    }

    /// Whether it must survive a restart until the host has dealt with it. What others did to `me`
    /// must not be missed.
    pub(crate) fn is_durable(&self, me: &UserName) -> bool {
        if let Self::MemberChanged { id: None, cid, who, .. } = self {
            return who == me || cid.is_feed_of(me);
        }
        matches!(
            self,
            Self::Message { .. }
                | Self::Away { .. }
                | Self::File { .. }
                | Self::Command { .. }
                | Self::CommandPassed { .. }
                | Self::Cancel { .. }
                | Self::Late { .. }
                | Self::Started { .. }
                | Self::Output { .. }
                | Self::OutputLost { .. }
                | Self::Ended { .. }
                | Self::Delivered { .. }
                | Self::Stored { .. }
                | Self::Refused { .. }
                | Self::Disowned { .. }
                | Self::Unreadable { signed: true, .. }
                | Self::Gap { .. }
                | Self::Dropped { .. }
                | Self::Healed { .. }
                | Self::Unhealed { .. }
                | Self::Alarm { .. }
                | Self::NewDevice { .. }
        )
    }
}

fn one() -> u32 {
    1
}
