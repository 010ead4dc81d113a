//! Events from what they are made of, and back; commands in the plaintext's own form.

use chat_protocol::content::{self, ChainNotes, Command, Content, Outcome, OutputStream};
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use chat_protocol::tag::Tag;
use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

use super::Event;

impl Event {
    /// The event for what an agent said about a command of ours.
    pub(crate) fn ended(outcome: Outcome, by: UserName, ok: bool) -> Self {
        let Outcome { re, of: _, outs: _, status, code, reason } = outcome;
        Self::Ended { re, by, ok, status, code, reason }
    }

    /// The event for a piece of output.
    pub(crate) fn output(re: MessageId, stream: OutputStream, data: Vec<u8>) -> Self {
        Self::Output { re, stderr: stream == OutputStream::Stderr, data }
    }

    /// Whether a command of ours has said this.
    pub(crate) fn is_said_by_command(&self, of: &MessageId) -> bool {
        match self {
            Self::Late { re, .. }
            | Self::Started { re, .. }
            | Self::Output { re, .. }
            | Self::OutputLost { re, .. }
            | Self::Ended { re, .. } => re == of,
            _ => false,
        }
    }
}

/// A command in a durable event: the plaintext's own form.
pub(super) fn serialize<S: Serializer>(command: &Command, to: S) -> Result<S::Ok, S::Error> {
    let bytes = content::encode(&Content::Command(command.clone()), &ChainNotes::default());
    to.serialize_str(&String::from_utf8(bytes).map_err(ser::Error::custom)?)
}

/// It is read back.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Command, D::Error> {
    let text = String::deserialize(from)?;
    match content::decode(Tag::Cmd, text.as_bytes()).map_err(de::Error::custom)? {
        (Content::Command(command), _) => Ok(command),
        _ => Err(de::Error::custom("not a command")),
    }
}
