//! `/veil`: while it is on, everything that is typed for people goes out with its letters shifted,
//! and the prompt says so.

use std::sync::PoisonError;

use chat_protocol::id::MessageId;
use chat_protocol::name::RoomName;
use serde_json::json;

use super::{Said, Talk};
use crate::client::SendError;
use crate::input::Input;

/// Whether a line is something said to people.
pub(super) fn is_text(input: &Input) -> bool {
    matches!(input, Input::Text { .. } | Input::Direct { .. } | Input::Broadcast { .. })
}

impl Talk {
    /// Sends what was typed for people under the veil.
    pub(super) async fn send_veiled(&self, input: Input) -> Result<MessageId, SendError> {
        match input {
            Input::Text { text } => self.client.say_veiled(&RoomName::lobby(), &text).await,
            Input::Broadcast { text } => self.client.say_veiled(&RoomName::all(), &text).await,
            Input::Direct { to, text } => self.client.tell_veiled(&to, &text).await,
            Input::Nothing | Input::Slash(_) => {
                Err(SendError::Refused(chat_endpoint::SendError::Empty))
            }
        }
    }

    /// Puts the veil on or takes it off.
    pub(super) fn veil(&mut self, on: Option<bool>) -> Said {
        self.is_veiled = on.unwrap_or(self.is_veiled);
        self.renew_prompt();
        let line = if self.is_veiled {
            "· the veil is on: the letters of what you send are shifted, and shown shifted back"
        } else {
            "· the veil is off"
        };
        self.say(line, &json!({"event": "veil", "on": self.is_veiled}))
    }

    /// Writes the prompt anew: name, veil, room.
    pub(super) fn renew_prompt(&self) {
        let mark = if self.is_veiled { "~" } else { "" };
        let prompt = format!("{} {mark}#lobby> ", self.lines.me);
        *self.prompt.lock().unwrap_or_else(PoisonError::into_inner) = prompt;
    }
}
