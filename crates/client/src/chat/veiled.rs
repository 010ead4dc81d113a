//! `/veil`: while it is on, everything that is typed for people goes out with its letters shifted,
//! and the prompt says so.

use serde_json::json;

use super::{Said, Talk};

impl Talk {
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
