//! What this user's devices tell each other is set. The hub learns that something was said to oneself.
//!
//! Each device keeps what is set, and each message tells whole values with their times (see
//! [`chat_protocol::content::settings`]): one that is late, or comes twice, changes nothing. What never comes is told
//! again (`told.rs`): a device tells everything once a day, to a device whose signing key it has not told it, and to one
//! that asks because it misses something, and asks until it is answered.

mod told;

use std::collections::BTreeMap;

use chat_protocol::code;
use chat_protocol::content::Content;
use chat_protocol::content::settings::{SETTINGS_PER_MESSAGE_MAX, Setting};
use chat_protocol::hub::HubStage;
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::{
    ALLOWS_MAX, ANSWERED_MAX, SETTING_AHEAD_MAX_MS, SETTINGS_OTHER_MAX, TOLD_MAX, WRITTEN_AGAIN_MS,
    WRITTEN_MAX,
};
use crate::outgoing::Outgoing;
use crate::store::Records;

pub(crate) use told::{Missed, SettingsPace, Told};

/// Settings that a person makes, and are kept: the people and rooms that they ignore or mute. What is set beyond it is not
/// kept. What devices note, and others say, has places of its own.
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

/// Before the device that has asked: with this all is told that is set, and the time is that of the question. Kept by nobody.
const ALL: &str = "all:";

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

impl Kept {
    /// When it was set. A time that lies too far ahead is none: nothing that is set later could beat it.
    fn at(&self, now_ms: u64) -> u64 {
        if is_ahead(now_ms, self.at) { 0 } else { self.at }
    }
}

fn is_ahead(now_ms: u64, at: u64) -> bool {
    at > now_ms.saturating_add(SETTING_AHEAD_MAX_MS)
}

/// The kinds of settings of which a number of their own is kept: however many there are, none takes the place of what a
/// person sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What a person sets.
    Own,
    Answered,
    Allows,
    Told,
    /// One that is not known here.
    Other,
}

impl Kind {
    fn of(key: &str) -> Self {
        let begins = [(ANSWERED, Self::Answered), (ALLOWS, Self::Allows), (TOLD, Self::Told)];
        let kind = begins.iter().find(|(begin, _)| key.starts_with(begin)).map(|(_, kind)| *kind);
        let is_own =
            key == AWAY || key == SEEN || [IGNORE, MUTE].iter().any(|own| key.starts_with(own));
        kind.unwrap_or(if is_own { Self::Own } else { Self::Other })
    }

    fn max(self) -> usize {
        match self {
            Self::Own => SETTINGS_MAX,
            Self::Answered => ANSWERED_MAX,
            Self::Allows => ALLOWS_MAX,
            Self::Told => TOLD_MAX,
            Self::Other => SETTINGS_OTHER_MAX,
        }
    }
}

impl Endpoint {
    /// What is set on this user's devices.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let all = self.state.settings.iter();
        all.map(|(key, kept)| (key.to_owned(), kept.v.clone())).collect()
    }

    /// Sets something here and on this user's other devices. What is longer than a setting may be is passed over, and what
    /// is set already is said once more: another device may not know it. Returns whether there was room for all of it;
    /// else the host is told so.
    pub fn set(&mut self, now_ms: u64, changes: &[(String, String)]) -> bool {
        let (mut set, mut has_room) = (Vec::new(), true);
        for (key, value) in changes {
            // Of what was read nothing is asked: it is worth no question whether there is another device by now.
            let is_alone = || self.other_lines(now_ms).is_empty();
            if key.starts_with(READ) && (!self.link.online || is_alone()) {
                continue;
            }
            let known = self.state.settings.get(key.as_str());
            let is_set = known.filter(|k| k.v == *value && !is_ahead(now_ms, k.at));
            if let Some(known) = is_set {
                set.extend(Setting::new(key, value, known.at));
                continue;
            }
            let at = known.map_or(now_ms, |known| now_ms.max(known.at(now_ms).saturating_add(1)));
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
        if !set.is_empty() {
            self.tell_set(now_ms, set);
        }
        has_room
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
        for setting in set {
            // By the clock of who has asked.
            if setting.k == ASK {
                self.is_asked_for_settings(now_ms, &setting);
            } else if setting.k.starts_with(ALL) {
                self.is_told_all(&setting);
            } else if is_ahead(now_ms, setting.at) {
                self.miss_ahead(now_ms);
            } else if self.beats(now_ms, &setting) && self.keep_setting(&setting, false) {
                changed.push((setting.k, setting.v));
            }
        }
        if !changed.is_empty() {
            self.out.tell(Event::Settings { changed });
        }
    }

    fn beats(&self, now_ms: u64, setting: &Setting) -> bool {
        let known = self.state.settings.get(setting.k.as_str());
        known.is_none_or(|known| setting.beats(&known.v, known.at(now_ms)))
    }

    /// Somebody else has said of themselves what is theirs to say. The copies of what this user says to them mean nothing.
    pub(crate) fn on_settings_of(&mut self, now_ms: u64, from: &UserName, set: Vec<Setting>) {
        if *from == self.device.user {
            return;
        }
        let of = |one: Setting| Setting::new(&format!("{ALLOWS}{from}"), &one.v, one.at);
        let mut changed = Vec::new();
        for setting in set.into_iter().filter_map(of) {
            if !is_ahead(now_ms, setting.at)
                && self.beats(now_ms, &setting)
                && self.keep_setting(&setting, false)
            {
                changed.push((setting.k, setting.v));
            }
        }
        if !changed.is_empty() {
            self.out.tell(Event::Settings { changed });
        }
    }

    /// This user has written to somebody, on this device or another one.
    pub(crate) fn note_written(&mut self, now_ms: u64, to: &UserName) {
        let written = &mut self.state.written;
        let is_recent = |at: &u64| (*at..at.saturating_add(WRITTEN_AGAIN_MS)).contains(&now_ms);
        if *to == self.device.user || to.is_server() || written.get(to).is_some_and(is_recent) {
            return;
        }
        written.put(to, now_ms);
        if written.len() > WRITTEN_MAX {
            let oldest = written.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.and_then(|name| UserName::new(&name).ok()) {
                written.remove(&oldest);
            }
        }
    }

    /// Tells somebody whether they may see when this user was heard of last, where they were told something else before.
    /// Whoever was never told knows that they may not. It goes with a message that is written to them anyway.
    pub fn allow_seen(&mut self, now_ms: u64, to: &UserName, on: bool) {
        let (told, value) = (format!("{TOLD}{to}"), if on { "on" } else { "off" });
        let known = self.state.settings.get(told.as_str());
        let is_told = known.map_or(!on, |known| known.v == value);
        let at = known.map_or(now_ms, |known| now_ms.max(known.at.saturating_add(1)));
        if is_told || *to == self.device.user {
            return;
        }
        // Whom this device cannot remember to have told it tells nothing.
        if known.is_none() && !self.make_room_of_kind(&told, at, true) {
            return;
        }
        if let Some(setting) = Setting::new(SEEN, value, at.min(INTEGER_MAX)) {
            self.draft_quietly(now_ms, to, Tag::Dm, &Content::Settings(vec![setting]));
            self.set(now_ms, &[(told, value.to_owned())]);
        }
    }

    /// What was said to somebody about this was refused, or could not be said: they know what they were told before. Who has
    /// taken it back is told that they may still see it.
    fn seen_refused(
        &mut self,
        now_ms: u64,
        to: &UserName,
        set: &[Setting],
        (code, reason, by_hub): (&str, &str, bool),
    ) {
        let [said] = set else { return };
        let told = format!("{TOLD}{to}");
        // Something else may have been said since.
        let known = self.state.settings.get(told.as_str());
        if known.is_some_and(|known| known.v == said.v) {
            let before = if said.v == "on" { "off" } else { "on" };
            self.set(now_ms, &[(told, before.to_owned())]);
            if said.v == "off" {
                let reason = format!(
                    "{to} was not told that they may not see any more when you were heard of last: {reason}"
                );
                let (stage, code) = (HubStage::Stored, code.to_owned());
                self.out.tell_word(Event::Complaint { stage, code, reason, by_hub });
            }
        }
    }

    /// A message of which the host hears nothing was refused, or can never be sent.
    pub(crate) fn quiet_refused(&mut self, now_ms: u64, said: &Outgoing, no: (&str, &str, bool)) {
        match (said.content(), self.other(&said.cid)) {
            (Some(Content::Settings(set)), _) if self.is_own(&said.cid) => {
                self.settings_refused(now_ms, &set, no);
            }
            (Some(Content::Settings(set)), Some(to)) => self.seen_refused(now_ms, &to, &set, no),
            (Some(Content::Auto(_)), Some(to)) => {
                let (code, reason, by_hub) = no;
                let reason = format!(
                    "{to} was not told that you are away, whatever your history says: {reason}"
                );
                let (stage, code) = (HubStage::Stored, code.to_owned());
                self.out.tell_word(Event::Complaint { stage, code, reason, by_hub });
            }
            _ => {}
        }
    }

    /// Keeps a value where there is room; of what was read nothing is. `is_own`: it was set here.
    fn keep_setting(&mut self, setting: &Setting, is_own: bool) -> bool {
        if setting.k.starts_with(READ) {
            return true;
        }
        let is_new = self.state.settings.get(setting.k.as_str()).is_none();
        if is_new && !self.make_room_of_kind(&setting.k, setting.at, is_own) {
            return false;
        }
        let kept = Kept { v: setting.v.clone(), at: setting.at };
        self.state.settings.put(setting.k.as_str(), kept);
        true
    }

    /// Whether there is room for one more key of its kind. Of what a person sets the oldest value that says nothing gives
    /// way; for what `is_own`, set here, one that takes something back, too. Of what people allow, and of whom that was told, the oldest `off`
    /// gives way: it says no more than nothing does. Then of what people allow the oldest, of whom this user has not written
    /// to first, because anybody can have any number of names; and none for what comes after it in this order.
    fn make_room_of_kind(&mut self, key: &str, at: u64, is_own: bool) -> bool {
        let kind = Kind::of(key);
        let settings = &self.state.settings;
        let alike = || settings.iter().filter(move |(key, _)| Kind::of(key) == kind);
        if alike().count() < kind.max() {
            return true;
        }
        let written = |key: &str| {
            let name = key.strip_prefix(ALLOWS).and_then(|name| UserName::new(name).ok());
            name.is_some_and(|name| self.state.written.get(&name).is_some())
        };
        let goes = match kind {
            Kind::Allows => {
                let rank = |key: &str, at| (written(key), at);
                let last = alike().min_by_key(|(key, kept)| (kept.v == "on", rank(key, kept.at)));
                last.filter(|(last, kept)| kept.v != "on" || rank(last, kept.at) < rank(key, at))
            }
            Kind::Told => {
                alike().filter(|(_, kept)| kept.v != "on").min_by_key(|(_, kept)| kept.at)
            }
            Kind::Own => {
                let says_nothing = |kept: &Kept| kept.v.is_empty() || (is_own && kept.v == "off");
                alike().filter(|(_, kept)| says_nothing(kept)).min_by_key(|(_, kept)| kept.at)
            }
            Kind::Answered | Kind::Other => None,
        };
        let goes = goes.map(|(key, _)| key.clone());
        goes.is_some_and(|key| self.state.settings.remove(key.as_str()).is_some())
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

#[cfg(test)]
mod tests;
