//! Events from what they are made of, and back.

use chat_protocol::content::{Outcome, OutputStream};
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;

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
