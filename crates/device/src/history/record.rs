//! What a step adds to the history, as data. Everything may come again: what comes a second time changes nothing.

use chat_endpoint::{Event, KeptFrame};
use chat_protocol::id::MessageId;
use chat_protocol::veil;

use super::{Confirmation, Record, State};

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
