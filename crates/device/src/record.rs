//! What is known of a message, and what a step adds to it, as data. Everything may come again: what comes a second time
//! changes nothing.

use chat_endpoint::{Event, KeptFrame, Standing};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;
use chat_protocol::veil;
use serde::{Deserialize, Serialize};

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

/// What the history learns.
#[derive(Debug, Clone)]
pub enum Said {
    /// A message. It is kept once, and takes the place of a copy that could not be read.
    New {
        /// What is known from the start.
        record: Record,
        /// How it came.
        state: State,
        /// The frame and the key that opens it, where somebody else has sealed it.
        frame: Option<Box<KeptFrame>>,
    },
    /// What became of a message of ours. There may be none: commands are not kept.
    Answered {
        /// The message.
        id: MessageId,
        /// What became of it.
        state: State,
        /// The frame under which it went out.
        frame: Option<Box<KeptFrame>>,
    },
    /// Somebody has confirmed a message of ours; the first word of each counts.
    Confirmed {
        /// The message.
        id: MessageId,
        /// Who, and whether they could read it.
        confirmation: Confirmation,
        /// The signed receipt. One receipt names up to 64 messages.
        receipt: Option<Vec<u8>>,
    },
}

impl Said {
    /// A message of ours that was just typed.
    pub fn typed(record: Record) -> Self {
        Self::New { record, state: State::Queued, frame: None }
    }

    /// What was shown: it comes with the durable event that ends in the same step.
    pub fn shown(event: Event) -> Option<Self> {
        match event {
            Event::Message {
                id,
                cid,
                tag,
                from,
                text,
                veiled,
                said_in,
                sent_ms,
                position,
                peer,
                frame,
                ..
            } => {
                // As it was read: a search finds what people have seen.
                let text = Some(if veiled { veil::unshift(&text) } else { text });
                let tag = Some(tag);
                let record = Record { id, cid, tag, from, text, sent_ms, said_in, veiled };
                Some(Self::New { record, state: State::Received { position, peer }, frame })
            }
            // Anybody can make a header that nobody has signed.
            Event::Unreadable { cid, from, id, reason, signed: true } => {
                let (tag, text, said_in, sent_ms, veiled) = (None, None, None, 0, false);
                let record = Record { id, cid, tag, from, text, sent_ms, said_in, veiled };
                Some(Self::New { record, state: State::Unreadable { reason }, frame: None })
            }
            _ => None,
        }
    }

    /// What an event says about a message of ours. An event that comes again after a restart says the same.
    pub fn learnt(event: &Event) -> Option<Self> {
        match event {
            Event::Stored { id, position, kept, recipients, frame, .. } => {
                let recipients = recipients.to_vec();
                let state = State::Stored { position: *position, kept: *kept, recipients };
                Some(Self::Answered { id: *id, state, frame: frame.clone() })
            }
            Event::Refused { id, code, reason, by_hub, .. } => {
                let (code, reason) = (code.clone(), reason.clone());
                let state = State::Refused { code, reason, by_hub: *by_hub };
                Some(Self::Answered { id: *id, state, frame: None })
            }
            Event::Delivered { id, by, readable, receipt, .. } => {
                let confirmation = Confirmation { by: by.clone(), readable: *readable };
                let receipt = receipt.as_ref().map(|receipt| receipt.0.clone());
                Some(Self::Confirmed { id: *id, confirmation, receipt })
            }
            _ => None,
        }
    }
}
