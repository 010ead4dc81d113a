//! `/veil`: while it is on, everything that is typed for people goes out with its letters shifted,
//! and the prompt says so.

use chat_protocol::id::MessageId;
use chat_protocol::name::RoomName;
use serde_json::json;

use super::{Said, Talk};
use chat_device::client::SendError;
use chat_text::input::Input;

/// Whether a line is something said to people.
pub(super) fn is_text(input: &Input) -> bool {
    matches!(input, Input::Text { .. } | Input::Direct { .. } | Input::Broadcast { .. })
}

impl Talk {
    /// Sends what was typed for people under the veil.
    pub(super) async fn send_veiled(
        &self,
        current: &RoomName,
        input: Input,
    ) -> Result<MessageId, SendError> {
        match input {
            Input::Text { text } => self.client.say_veiled(current, &text).await,
            Input::Broadcast { text } => self.client.say_veiled(&RoomName::all(), &text).await,
            Input::Direct { to, text } => self.client.tell_veiled(&to, &text).await,
            Input::Nothing | Input::Slash(_) => {
                Err(SendError::Refused(chat_endpoint::SendError::Empty))
            }
        }
    }

    /// Puts the veil on or takes it off.
    pub(super) fn veil(&mut self, on: Option<bool>) -> Said {
        self.rooms.is_veiled = on.unwrap_or(self.rooms.is_veiled);
        self.rooms.show_prompt(&self.lines.me);
        let line = if self.rooms.is_veiled {
            "· the veil is on: the letters of what you send are shifted, and shown shifted back"
        } else {
            "· the veil is off"
        };
        self.say(line, &json!({"event": "veil", "on": self.rooms.is_veiled}))
    }
}
