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
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::store::Records;

/// Settings that are kept: the people and rooms that somebody ignores or mutes. What is set beyond it is not kept.
pub const SETTINGS_MAX: usize = 2_048;

/// How the keys begin that say how far something was read: what they are about is over at the next start, so nothing
/// of them is kept, and nothing told to a new device.
pub const READ: &str = "read:";

/// Before the name of somebody whose words are hidden: `on` or `off`.
pub const IGNORE: &str = "ignore:";

/// Whether this user allows others to see when they were heard of last, told to one of them: `on` or `off`.
pub const SEEN: &str = "seen";

/// Before the name of somebody who has told this user so.
pub const ALLOWS: &str = "allows:";

/// Before the name of somebody whom this user has told so last.
const TOLD: &str = "told:";

/// Whether a person may say this to others, and not to their own devices alone.
pub(crate) fn is_for_others(set: &[Setting]) -> bool {
    matches!(set, [one] if one.k == SEEN && ["on", "off"].contains(&one.v.as_str()))
}

/// Whether somebody allows it, by these settings, that this user sees when they were heard of last.
pub fn allows(settings: &BTreeMap<String, String>, user: &UserName) -> bool {
    settings.get(&format!("{ALLOWS}{user}")).is_some_and(|value| value == "on")
}

/// Whether what somebody says is hidden, by these settings.
pub fn ignores(settings: &BTreeMap<String, String>, user: &UserName) -> bool {
    settings.get(&format!("{IGNORE}{user}")).is_some_and(|value| value == "on")
}

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

    /// Somebody else has said of themselves what is theirs to say. The copies of what this user says to them mean nothing.
    pub(crate) fn on_settings_of(&mut self, from: &UserName, set: Vec<Setting>) {
        if *from != self.device.user {
            let of = |one: Setting| Setting::new(&format!("{ALLOWS}{from}"), &one.v, one.at);
            self.on_settings(set.into_iter().filter_map(of).collect());
        }
    }

    /// Tells somebody whether they may see when this user was heard of last, where they were told something else before.
    /// Whoever was never told knows that they may not. It goes with a message that is written to them anyway.
    pub fn allow_seen(&mut self, now_ms: u64, to: &UserName, on: bool) {
        let (told, value) = (format!("{TOLD}{to}"), if on { "on" } else { "off" });
        let known = self.state.settings.get(told.as_str());
        let is_full = known.is_none() && self.state.settings.len() >= SETTINGS_MAX;
        let is_told = known.map_or(!on, |known| known.v == value);
        if is_told || is_full || *to == self.device.user {
            return;
        }
        let at = known.map_or(now_ms, |known| now_ms.max(known.at.saturating_add(1)));
        if let Some(setting) = Setting::new(SEEN, value, at.min(INTEGER_MAX)) {
            self.draft_quietly(now_ms, to, Tag::Dm, &Content::Settings(vec![setting]));
            self.set(now_ms, &[(told, value.to_owned())]);
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
