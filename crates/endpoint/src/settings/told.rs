//! When what is set is told to this user's other devices as a whole, and asked of them: at a pace, because each of it
//! costs a hub one short message, or the end of a connection (rule R39).

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::content::settings::Setting;
use chat_protocol::hub::HubStage;
use chat_protocol::id::KeyId;
use serde::{Deserialize, Serialize};

use super::{ALL, ASK, Kept, READ};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::{
    SETTINGS_AGAIN_MS, SETTINGS_ASK_DELAY_MS, SETTINGS_ASK_MIN_MS, SETTINGS_ASKERS_MAX,
    SETTINGS_TELL_MIN_MS, SETTINGS_WAIT_MAX_MS,
};

/// The one row of [`Told`], and of [`Missed`].
const ONE: &str = "all";

/// To whom everything was told that is set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The signing keys of this user's other devices.
    to: BTreeSet<KeyId>,
    /// When, Unix time in milliseconds.
    at_ms: u64,
}

/// Something that another device has set did not come, or cannot be read, and no other device has told everything since.
/// A new connection, and another process of the home, ask for it, too.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Missed {
    /// When that was seen last, Unix time in milliseconds.
    seen_ms: u64,
    /// When the others were asked last, and how often.
    asked_ms: u64,
    times: u32,
    /// It came and lies too far ahead of this device's clock: it is asked for on the next connection.
    is_ahead: bool,
    /// Something lay so since the others were asked last.
    #[serde(default)]
    saw_ahead: bool,
}

impl Missed {
    /// When the others are asked. A time in the future is none: a clock was put back.
    fn due_ms(&self, now_ms: u64) -> u64 {
        let is_seen = self.seen_ms <= now_ms;
        let seen =
            if is_seen { self.seen_ms.saturating_add(SETTINGS_ASK_DELAY_MS) } else { now_ms };
        let Some(before) = self.times.checked_sub(1).filter(|_| self.asked_ms <= now_ms) else {
            return seen;
        };
        seen.max(self.asked_ms.saturating_add(doubled(SETTINGS_ASK_MIN_MS, before)))
    }
}

/// A wait that was doubled so many times, within bounds.
fn doubled(wait_ms: u64, times: u32) -> u64 {
    wait_ms.saturating_mul(1 << times.min(16)).min(SETTINGS_WAIT_MAX_MS)
}

/// What is to be told, and how fast; whatever the connection.
#[derive(Debug, Default)]
pub(crate) struct SettingsPace {
    /// When everything is told, Unix time in milliseconds.
    tell_ms: Option<u64>,
    /// When it was told last, and how often since it was told at leisure.
    told_ms: u64,
    times: u32,
    /// When it was told last because somebody asked.
    answered_ms: u64,
    /// Devices that have asked and are to be told that this was for them, with the time of their question.
    askers: BTreeMap<String, u64>,
    /// The user was told that the hub does not take it, and it has taken nothing since.
    is_refused: bool,
    /// The user was told that something lies ahead of this device's clock.
    pub(super) is_ahead_told: bool,
}

impl SettingsPace {
    /// From when on everything may be told. What is told for the first time is told at once.
    fn next_ms(&self, now_ms: u64) -> u64 {
        let is_calm =
            !(self.told_ms..self.told_ms.saturating_add(SETTINGS_WAIT_MAX_MS)).contains(&now_ms);
        match self.times.checked_sub(1).filter(|_| !is_calm) {
            Some(before) => self.told_ms.saturating_add(doubled(SETTINGS_TELL_MIN_MS, before)),
            None => now_ms,
        }
    }

    fn tells(&mut self, now_ms: u64) {
        let is_calm = self.told_ms.saturating_add(SETTINGS_WAIT_MAX_MS) <= now_ms;
        self.times = if is_calm { 1 } else { self.times.saturating_add(1) };
        (self.told_ms, self.tell_ms) = (now_ms, None);
    }
}

impl Endpoint {
    /// The signing keys of this user's other devices that something would be sealed for.
    pub(super) fn other_lines(&self, now_ms: u64) -> BTreeSet<KeyId> {
        let own = self.device.keys.signing_id();
        let lines = self.lines_of(now_ms, &self.device.user).into_iter();
        lines.map(|line| line.sk).filter(|sk| *sk != own).collect()
    }

    /// Something was set here. It is said, or all is where that is due.
    pub(super) fn tell_set(&mut self, now_ms: u64, mut set: Vec<Setting>) {
        // Whoever is no line any more is told everything when they are back.
        let lines = self.other_lines(now_ms);
        let told = self.state.told.get(ONE).cloned().unwrap_or_default();
        let is_fresh = (told.at_ms..told.at_ms.saturating_add(SETTINGS_AGAIN_MS)).contains(&now_ms);
        if lines.is_empty() || (lines.is_subset(&told.to) && is_fresh) {
            if told.to != lines && self.state.told.get(ONE).is_some() {
                self.state.told.put(ONE, Told { to: lines, ..told });
            }
            return self.say_settings(now_ms, &set);
        }
        if self.may_tell_all(now_ms) {
            set.retain(|setting| setting.k.starts_with(READ));
            self.say_all_settings(now_ms, set);
        } else {
            self.say_settings(now_ms, &set);
            self.tell_all_later(now_ms, now_ms);
        }
    }

    /// There may be a device that was not told what is set, or the hub has refused it before.
    pub(crate) fn bring_settings(&mut self, now_ms: u64) {
        let lines = self.other_lines(now_ms);
        let told = self.state.told.get(ONE);
        if told.map_or(lines.is_empty(), |told| lines.is_subset(&told.to)) {
            return;
        }
        if self.may_tell_all(now_ms) {
            self.say_all_settings(now_ms, Vec::new());
        } else {
            self.tell_all_later(now_ms, now_ms);
        }
    }

    /// The connection is signed in.
    pub(crate) fn settings_connected(&mut self, now_ms: u64) {
        // What lay ahead of the clock may not any more.
        if let Some(missed) = self.state.missed.get(ONE).filter(|missed| missed.is_ahead).cloned() {
            let seen = Missed { is_ahead: false, saw_ahead: false, seen_ms: now_ms, ..missed };
            self.state.missed.put(ONE, seen);
        }
        self.bring_settings(now_ms);
    }

    /// The hub has gone back, and may have lost what was set last. That shows in no number.
    pub(crate) fn settings_may_be_lost(&mut self, now_ms: u64) {
        if self.state.told.remove(ONE).is_some() {
            self.tell_all_later(now_ms, now_ms);
        }
    }

    /// Whether everything may be told now: not while something that was said before has no answer, nor too often.
    fn may_tell_all(&self, now_ms: u64) -> bool {
        self.pace.settings.next_ms(now_ms) <= now_ms && !self.is_telling_settings()
    }

    fn is_telling_settings(&self) -> bool {
        self.outbox.iter().any(|(_, said)| self.is_own(&said.cid))
    }

    fn tell_all_later(&mut self, now_ms: u64, from_ms: u64) {
        let pace = &mut self.pace.settings;
        let from = pace.next_ms(now_ms).max(from_ms);
        pace.tell_ms.get_or_insert(from);
    }

    /// Tells all that is set, and this; and whom it answers, last, so that what is lost of it shows.
    fn say_all_settings(&mut self, now_ms: u64, more: Vec<Setting>) {
        let all = self.state.settings.iter();
        let all = all.filter(|(_, kept)| !super::is_ahead(now_ms, kept.at));
        let all = all.filter_map(|(key, Kept { v, at })| Setting::new(key, v, *at));
        let askers = std::mem::take(&mut self.pace.settings.askers);
        let askers =
            askers.iter().filter_map(|(dev, at)| Setting::new(&format!("{ALL}{dev}"), "", *at));
        let all: Vec<Setting> = all.chain(more).chain(askers).collect();
        let told = Told { to: self.other_lines(now_ms), at_ms: now_ms };
        self.state.told.put(ONE, told);
        if !all.is_empty() {
            self.pace.settings.tells(now_ms);
            self.say_settings(now_ms, &all);
        }
    }

    /// The hub has kept something that was said to the other devices.
    pub(crate) fn settings_kept(&mut self) {
        // One that takes the first of many and refuses the others has not.
        if !self.is_telling_settings() && self.state.told.get(ONE).is_some() {
            self.pace.settings.is_refused = false;
        }
    }

    /// The hub has refused to take what is set, or it cannot be said: the others do not know it. It is told again on
    /// the next connection, and with the next thing that is set; the user is told once, until it is taken.
    pub(super) fn settings_refused(
        &mut self,
        now_ms: u64,
        set: &[Setting],
        (code, reason, by_hub): (&str, &str, bool),
    ) {
        // What was read is worth no word, and nothing else is told again because of it. A question is asked again.
        let is_kept = |setting: &Setting| {
            !setting.k.starts_with(READ) && !setting.k.starts_with(ALL) && setting.k != ASK
        };
        let was_told = set.iter().any(is_kept) && self.state.told.remove(ONE).is_some();
        if !was_told || self.other_lines(now_ms).is_empty() {
            return;
        }
        if std::mem::replace(&mut self.pace.settings.is_refused, true) {
            return;
        }
        let reason = format!("your other devices do not know what you have set: {reason}");
        let (stage, code) = (HubStage::Stored, code.to_owned());
        self.out.tell_word(Event::Complaint { stage, code, reason, by_hub });
    }

    /// Another device has asked for everything that is set.
    pub(super) fn is_asked_for_settings(&mut self, now_ms: u64, ask: &Setting) {
        let pace = &mut self.pace.settings;
        if pace.askers.len() < SETTINGS_ASKERS_MAX || pace.askers.contains_key(&ask.v) {
            let at = pace.askers.entry(ask.v.clone()).or_default();
            *at = ask.at.max(*at);
        }
        // A time in the future is none: the clock was put back.
        let answered = Some(pace.answered_ms).filter(|at| *at > 0 && *at <= now_ms);
        let from = answered.map_or(now_ms, |at| at.saturating_add(SETTINGS_ASK_MIN_MS));
        self.tell_all_later(now_ms, from);
    }

    /// Another device has told everything to those who have asked at these times.
    pub(super) fn is_told_all(&mut self, answered: &Setting) {
        let is_for_this = answered.k.strip_prefix(ALL) == Some(&self.device.dev.to_string());
        let is_later = |missed: &&Missed| !missed.is_ahead && missed.seen_ms <= answered.at;
        let Some(missed) = self.state.missed.get(ONE).filter(is_later).filter(|_| is_for_this)
        else {
            return;
        };
        if missed.saw_ahead {
            // Something of the answer itself lies ahead still.
            let missed = Missed { is_ahead: true, ..missed.clone() };
            self.state.missed.put(ONE, missed);
        } else {
            self.state.missed.remove(ONE);
        }
    }

    /// Something that another device of this user has said did not come, or cannot be read.
    pub(crate) fn miss_settings(&mut self, now_ms: u64) {
        let missed = self.state.missed.get(ONE).cloned().unwrap_or_default();
        self.state.missed.put(ONE, Missed { seen_ms: now_ms, is_ahead: false, ..missed });
    }

    /// Something that another device has set lies too far ahead. It is asked for again on the next connection.
    pub(super) fn miss_ahead(&mut self, now_ms: u64) {
        let missed = self.state.missed.get(ONE).cloned();
        let missed = match missed.filter(|missed| !missed.is_ahead) {
            Some(missed) => Missed { saw_ahead: true, ..missed },
            None => {
                Missed { seen_ms: now_ms, is_ahead: true, saw_ahead: true, ..Missed::default() }
            }
        };
        self.state.missed.put(ONE, missed);
        if !std::mem::replace(&mut self.pace.settings.is_ahead_told, true) {
            let reason = "another of your devices has set something for more than a day from now, and that is \
                passed over here: see which of their clocks is wrong";
            self.out.complain(chat_protocol::code::CLOCK, reason);
        }
    }

    /// When the others are to be asked for what was missed, if there are any, and nobody has been asked who may still
    /// hear it.
    fn settings_ask_due(&self, now_ms: u64) -> Option<u64> {
        let missed = self.state.missed.get(ONE).filter(|missed| !missed.is_ahead)?;
        let may_ask = !self.is_telling_settings() && !self.other_lines(now_ms).is_empty();
        may_ask.then(|| missed.due_ms(now_ms))
    }

    fn settings_tell_due(&self) -> Option<u64> {
        self.pace.settings.tell_ms.filter(|_| !self.is_telling_settings())
    }

    /// When the next is to be said about settings.
    pub(crate) fn settings_deadline(&self) -> Option<u64> {
        let ask = self.settings_ask_due(self.link.clock_ms);
        ask.into_iter().chain(self.settings_tell_due()).min()
    }

    /// Says what is due.
    pub(crate) fn settle_settings(&mut self, now_ms: u64) {
        let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now_ms);
        if is_due(self.settings_ask_due(now_ms)) {
            let missed = self.state.missed.get(ONE).cloned().unwrap_or_default();
            let times = missed.times.saturating_add(1);
            // A clock that was put back: the answer names the time of this question.
            let seen_ms = missed.seen_ms.min(now_ms);
            let asked = Missed { seen_ms, asked_ms: now_ms, times, saw_ahead: false, ..missed };
            self.state.missed.put(ONE, asked);
            let ask = Setting::new(ASK, &self.device.dev.to_string(), now_ms);
            self.say_settings(now_ms, ask.as_slice());
        }
        if is_due(self.settings_tell_due()) {
            if !self.pace.settings.askers.is_empty() {
                self.pace.settings.answered_ms = now_ms;
            }
            self.say_all_settings(now_ms, Vec::new());
            self.pace.settings.tell_ms = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the waits grow within bounds, and a time in the future holds nothing up.
    #[test]
    fn waits_grow_and_no_clock_holds_them_up() {
        let missed =
            |times| Missed { seen_ms: 1_000, asked_ms: 10_000, times, ..Missed::default() };
        let due = |times| missed(times).due_ms(20_000);
        assert_eq!([due(0), due(1), due(2), due(3)], [2_000, 70_000, 130_000, 250_000]);
        assert_eq!(due(u32::MAX), 10_000 + SETTINGS_WAIT_MAX_MS);
        assert_eq!(missed(9).due_ms(500), 500, "a clock that was put back");
        let mut pace = SettingsPace::default();
        let now = 5_000_000;
        let mut waits = Vec::new();
        for _ in 0..4 {
            waits.push(pace.next_ms(now) - now);
            pace.tells(now);
        }
        assert_eq!(waits, [0, 2_000, 4_000, 8_000]);
        assert_eq!(pace.next_ms(now - 1), now - 1, "a clock that was put back");
        let later = now + SETTINGS_WAIT_MAX_MS;
        assert_eq!(pace.next_ms(later), later);
        pace.tells(later);
        assert_eq!(pace.next_ms(later), later + SETTINGS_TELL_MIN_MS, "at leisure");
    }
}
