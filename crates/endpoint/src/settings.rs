//! What this user's devices tell each other is set. The hub learns that something was said to oneself.
//!
//! Each device keeps what is set, and each message tells whole values with their times (see
//! [`chat_protocol::content::settings`]): one that is late, comes twice or never comes leaves nothing half done. A
//! device that is new to the others is told everything by each of them; so is one that was restored, because it
//! comes back with a new key.

use std::collections::BTreeMap;

use chat_protocol::content::Content;
use chat_protocol::content::settings::{SETTINGS_PER_MESSAGE_MAX, Setting};
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::state::Records;

/// Settings that are kept: the people and rooms that somebody ignores or mutes. What is set beyond it is not kept.
pub const SETTINGS_MAX: usize = 2_048;

/// How the keys begin that say how far something was read: what they are about is over at the next start, so nothing
/// of them is kept, and nothing told to a new device.
pub const READ: &str = "read:";

/// Before the name of somebody whose words are hidden: `on` or `off`.
pub const IGNORE: &str = "ignore:";

/// What is set, by the rows of a home that nobody runs.
pub fn of_rows(rows: &Records) -> Result<BTreeMap<String, String>, serde_json::Error> {
    let keys = rows.iter().filter_map(|(row, value)| Some((row.strip_prefix(SETTING_ROW)?, value)));
    let read = |(key, value): (&str, &Vec<u8>)| {
        serde_json::from_slice(value).map(|kept: Kept| (key.to_owned(), kept.v))
    };
    keys.map(read).collect()
}

/// How the keys of their rows begin.
const SETTING_ROW: &str = "setting/";

/// A value that holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    v: String,
    at: u64,
}

impl Endpoint {
    /// What is set on this user's devices.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let all = self.state.settings.iter();
        all.map(|(key, kept)| (key.to_owned(), kept.v.clone())).collect()
    }

    /// Sets something here and on this user's other devices. What is longer than a setting may be is passed over.
    pub fn set(&mut self, now_ms: u64, changes: &[(String, String)]) {
        let mut set = Vec::new();
        for (key, value) in changes {
            let known = self.state.settings.get(key.as_str());
            let at = known.map_or(now_ms, |known| now_ms.max(known.at.saturating_add(1)));
            if known.is_some_and(|known| known.v == *value) {
                continue;
            }
            // Of what was read nothing is asked: it is worth no question whether there is another device by now.
            let is_alone = || self.lines_of(now_ms, &self.device.user).len() < 2;
            if key.starts_with(READ) && (!self.link.online || is_alone()) {
                continue;
            }
            let Some(setting) = Setting::new(key, value, at.min(INTEGER_MAX)) else { continue };
            self.keep_setting(&setting);
            set.push(setting);
        }
        self.say_settings(now_ms, &set);
    }

    /// Tells all that is set: there is a device that knows nothing of it.
    pub(crate) fn say_all_settings(&mut self, now_ms: u64) {
        let all = self.state.settings.iter();
        let all: Vec<Setting> =
            all.filter_map(|(key, kept)| Setting::new(key, &kept.v, kept.at)).collect();
        self.say_settings(now_ms, &all);
    }

    /// Tells it, if there is anybody: that is known when it is sealed, by the newest keys of this user.
    fn say_settings(&mut self, now_ms: u64, set: &[Setting]) {
        let me = self.device.user.clone();
        for part in set.chunks(SETTINGS_PER_MESSAGE_MAX) {
            let content = Content::Settings(part.to_vec());
            let id = self.draft(now_ms, ConversationId::own(&me), Tag::Dm, None, &content);
            if let Some(key) = self.out.questions.message(&id).cloned() {
                self.outbox.quiet(&key);
            }
        }
    }

    /// Another device of this user has said what is set.
    pub(crate) fn on_settings(&mut self, set: Vec<Setting>) {
        let mut changed = Vec::new();
        for setting in set {
            let known = self.state.settings.get(setting.k.as_str());
            if known.is_none_or(|known| setting.beats(&known.v, known.at)) {
                self.keep_setting(&setting);
                changed.push((setting.k, setting.v));
            }
        }
        if !changed.is_empty() {
            self.out.tell(Event::Settings { changed });
        }
    }

    fn keep_setting(&mut self, setting: &Setting) {
        let is_known = self.state.settings.get(setting.k.as_str()).is_some();
        if setting.k.starts_with(READ) || (!is_known && self.state.settings.len() >= SETTINGS_MAX) {
            return;
        }
        let kept = Kept { v: setting.v.clone(), at: setting.at };
        self.state.settings.put(setting.k.as_str(), kept);
    }
}
