//! What this user's devices tell each other is set. The hub learns that something was said to oneself.
//!
//! Each device keeps what is set, and each message tells whole values with their times (see
//! [`chat_protocol::content::settings`]): one that is late, or comes twice, changes nothing. What never comes is told
//! again: a device tells everything once a day, to a device whose signing key it has not told it, and to one that asks
//! because it misses something.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::code;
use chat_protocol::content::Content;
use chat_protocol::content::settings::{SETTINGS_PER_MESSAGE_MAX, Setting};
use chat_protocol::hub::HubStage;
use chat_protocol::id::KeyId;
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::{
    SETTING_AHEAD_MAX_MS, SETTINGS_AGAIN_MS, SETTINGS_ASK_DELAY_MS, SETTINGS_ASK_MIN_MS,
    SETTINGS_OTHER_MAX,
};
use crate::outgoing::Outgoing;
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

/// Before the conversation that is silent: `on` or `off`.
pub const MUTE: &str = "mute:";

/// Why the user is away, and which device answers.
pub const AWAY: &str = "away";

/// Before the name of whoever was answered, with the time of the absence.
pub const ANSWERED: &str = "answered:";

/// A device misses something that was said: whoever else hears it tells all that is set. Kept by nobody.
const ASK: &str = "ask";

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

/// Whether a key is one whose meaning is known here.
fn is_known_kind(key: &str) -> bool {
    key == AWAY
        || key == SEEN
        || [IGNORE, MUTE, ANSWERED, ALLOWS, TOLD].iter().any(|kind| key.starts_with(kind))
}

/// A value that holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    v: String,
    at: u64,
}

impl Kept {
    /// When it was set. A time that lies too far ahead is none: nothing that is set later could beat it.
    fn at(&self, now_ms: u64) -> u64 {
        if is_ahead(now_ms, self.at) { 0 } else { self.at }
    }
}

fn is_ahead(now_ms: u64, at: u64) -> bool {
    at > now_ms.saturating_add(SETTING_AHEAD_MAX_MS)
}

/// To whom everything was told that is set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The signing keys of this user's other devices.
    to: BTreeSet<KeyId>,
    /// When, Unix time in milliseconds.
    at_ms: u64,
}

/// The one row of [`Told`].
const ALL: &str = "all";

/// What is to be said about settings on a connection, Unix time in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct SettingsDue {
    /// The others are asked for what was missed.
    ask_ms: Option<u64>,
    /// Somebody has asked.
    tell_ms: Option<u64>,
}

/// When that was last done, whatever the connection.
#[derive(Debug, Default)]
pub(crate) struct SettingsPace {
    asked_ms: u64,
    answered_ms: u64,
}

impl Endpoint {
    /// What is set on this user's devices.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let all = self.state.settings.iter();
        all.map(|(key, kept)| (key.to_owned(), kept.v.clone())).collect()
    }

    /// Sets something here and on this user's other devices. What is longer than a setting may be is passed over. Returns
    /// whether there was room for all of it; else the host is told so.
    pub fn set(&mut self, now_ms: u64, changes: &[(String, String)]) -> bool {
        let (mut set, mut has_room) = (Vec::new(), true);
        for (key, value) in changes {
            let known = self.state.settings.get(key.as_str());
            let at = known.map_or(now_ms, |known| now_ms.max(known.at(now_ms).saturating_add(1)));
            if known.is_some_and(|known| known.v == *value && !is_ahead(now_ms, known.at)) {
                continue;
            }
            // Of what was read nothing is asked: it is worth no question whether there is another device by now.
            let is_alone = || self.other_lines(now_ms).is_empty();
            if key.starts_with(READ) && (!self.link.online || is_alone()) {
                continue;
            }
            let Some(setting) = Setting::new(key, value, at.min(INTEGER_MAX)) else { continue };
            if self.keep_setting(&setting, true) {
                set.push(setting);
            } else {
                let reason = format!(
                    "{SETTINGS_MAX} things are set already, and this one is not kept; take others back first"
                );
                self.out.complain(code::TOO_MANY, &reason);
                has_room = false;
            }
        }
        if set.is_empty() {
            return has_room;
        }
        // Whoever is no line any more is told everything when they are back.
        let lines = self.other_lines(now_ms);
        let told = self.state.told.get(ALL).cloned().unwrap_or_default();
        let is_fresh = now_ms.saturating_sub(told.at_ms) < SETTINGS_AGAIN_MS;
        if lines.is_empty() || (lines.is_subset(&told.to) && is_fresh) {
            if told.to != lines && self.state.told.get(ALL).is_some() {
                self.state.told.put(ALL, Told { to: lines, ..told });
            }
            self.say_settings(now_ms, &set);
        } else {
            set.retain(|setting| setting.k.starts_with(READ));
            self.say_all_settings(now_ms, set);
        }
        has_room
    }

    /// The signing keys of this user's other devices that something would be sealed for.
    fn other_lines(&self, now_ms: u64) -> BTreeSet<KeyId> {
        let own = self.device.keys.signing_id();
        let lines = self.lines_of(now_ms, &self.device.user).into_iter();
        lines.map(|line| line.sk).filter(|sk| *sk != own).collect()
    }

    /// There may be a device that was not told what is set, or the hub has refused it before.
    pub(crate) fn bring_settings(&mut self, now_ms: u64) {
        let lines = self.other_lines(now_ms);
        let told = self.state.told.get(ALL);
        if !told.map_or(lines.is_empty(), |told| lines.is_subset(&told.to)) {
            self.say_all_settings(now_ms, Vec::new());
        }
    }

    /// Tells all that is set, and this.
    fn say_all_settings(&mut self, now_ms: u64, more: Vec<Setting>) {
        let all = self.state.settings.iter().filter(|(_, kept)| !is_ahead(now_ms, kept.at));
        let all = all.filter_map(|(key, kept)| Setting::new(key, &kept.v, kept.at));
        let all: Vec<Setting> = all.chain(more).collect();
        let told = Told { to: self.other_lines(now_ms), at_ms: now_ms };
        self.state.told.put(ALL, told);
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
    pub(crate) fn on_settings(&mut self, now_ms: u64, set: Vec<Setting>) {
        let mut changed = Vec::new();
        for setting in set.into_iter().filter(|setting| !is_ahead(now_ms, setting.at)) {
            if setting.k == ASK {
                let from = self.pace.settings.answered_ms.saturating_add(SETTINGS_ASK_MIN_MS);
                self.link.settings.tell_ms.get_or_insert(from.max(now_ms));
                continue;
            }
            let known = self.state.settings.get(setting.k.as_str());
            if known.is_none_or(|known| setting.beats(&known.v, known.at(now_ms)))
                && self.keep_setting(&setting, false)
            {
                changed.push((setting.k, setting.v));
            }
        }
        if !changed.is_empty() {
            self.out.tell(Event::Settings { changed });
        }
    }

    /// Somebody else has said of themselves what is theirs to say. The copies of what this user says to them mean nothing.
    pub(crate) fn on_settings_of(&mut self, now_ms: u64, from: &UserName, set: Vec<Setting>) {
        if *from != self.device.user {
            let of = |one: Setting| Setting::new(&format!("{ALLOWS}{from}"), &one.v, one.at);
            self.on_settings(now_ms, set.into_iter().filter_map(of).collect());
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

    /// Keeps a value where there is room; of what was read nothing is. `is_own`: it was set here.
    fn keep_setting(&mut self, setting: &Setting, is_own: bool) -> bool {
        if setting.k.starts_with(READ) {
            return true;
        }
        let settings = &self.state.settings;
        if settings.get(setting.k.as_str()).is_none() {
            let others = settings.iter().filter(|(key, _)| !is_known_kind(key)).count();
            if !is_known_kind(&setting.k) && others >= SETTINGS_OTHER_MAX {
                return false;
            }
            if settings.len() >= SETTINGS_MAX && !self.make_room_for_setting(is_own) {
                return false;
            }
        }
        let kept = Kept { v: setting.v.clone(), at: setting.at };
        self.state.settings.put(setting.k.as_str(), kept);
        true
    }

    /// The oldest value that says nothing gives way; for what is set here one that takes something back, too.
    fn make_room_for_setting(&mut self, is_own: bool) -> bool {
        let says_nothing = |kept: &Kept| kept.v.is_empty() || (is_own && kept.v == "off");
        let idle = self.state.settings.iter().filter(|(_, kept)| says_nothing(kept));
        let oldest = idle.min_by_key(|(_, kept)| kept.at).map(|(key, _)| key.clone());
        oldest.is_some_and(|key| self.state.settings.remove(key.as_str()).is_some())
    }

    /// The hub has refused to take what is set, or it cannot be said: the others do not know it. It is told again on
    /// the next connection, and with the next thing that is set.
    pub(crate) fn settings_refused(
        &mut self,
        now_ms: u64,
        said: &Outgoing,
        no: (&str, &str, bool),
    ) {
        let Some(Content::Settings(set)) = said.content() else { return };
        // What was read is worth no word, and nothing else is told again because of it.
        let is_kept = set.iter().any(|setting| !setting.k.starts_with(READ) && setting.k != ASK);
        let was_told = is_kept && self.state.told.remove(ALL).is_some();
        if !was_told || self.other_lines(now_ms).is_empty() {
            return;
        }
        let (code, reason, by_hub) = no;
        let reason = format!("your other devices do not know what you have set: {reason}");
        let (stage, code) = (HubStage::Stored, code.to_owned());
        self.out.tell(Event::Complaint { stage, code, reason, by_hub });
    }

    /// Something that another device of this user has said did not come, or cannot be read.
    pub(crate) fn miss_settings(&mut self, now_ms: u64) {
        let from = self.pace.settings.asked_ms.saturating_add(SETTINGS_ASK_MIN_MS);
        let soon = now_ms.saturating_add(SETTINGS_ASK_DELAY_MS);
        self.link.settings.ask_ms.get_or_insert(from.max(soon));
    }

    /// When the next is to be said about settings.
    pub(crate) fn settings_deadline(&self) -> Option<u64> {
        let SettingsDue { ask_ms, tell_ms } = self.link.settings;
        ask_ms.into_iter().chain(tell_ms).min()
    }

    /// Says what is due.
    pub(crate) fn settle_settings(&mut self, now_ms: u64) {
        let is_due = |due: &mut u64| *due <= now_ms;
        let asks = self.link.settings.ask_ms.take_if(is_due).is_some();
        if asks && let Some(ask) = Setting::new(ASK, &self.device.dev.to_string(), now_ms) {
            self.pace.settings.asked_ms = now_ms;
            self.say_settings(now_ms, &[ask]);
        }
        if self.link.settings.tell_ms.take_if(is_due).is_some() {
            self.pace.settings.answered_ms = now_ms;
            self.say_all_settings(now_ms, Vec::new());
        }
    }

    /// Another process of this device may have set something: what is other than before is told.
    pub(crate) fn tell_reloaded_settings(&mut self, before: &BTreeMap<String, String>) {
        let mut changed: Vec<(String, String)> = self.settings().into_iter().collect();
        changed.retain(|(key, value)| before.get(key) != Some(value));
        if !changed.is_empty() {
            self.out.tell(Event::Settings { changed });
        }
    }
}
