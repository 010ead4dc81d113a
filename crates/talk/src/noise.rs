//! What one wants to hear, and to be asked: whom one ignores, which rooms are silent, why one is away, and what was
//! read already. All of it is set on every device of the user, see [`chat_endpoint::settings`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat_device::clock::now_ms;
use chat_device::history::Entry;
use chat_endpoint::Event;
use chat_endpoint::settings::{IGNORE, READ};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_text::item::{Answer, Item};
use chat_text::slash::NoiseCommand;
use tokio::time::Instant;

use crate::talk::Talk;
use crate::told::Told;

/// Before the conversation that is silent.
const MUTE: &str = "mute:";

/// Why this user is away, and which device answers for them.
const AWAY: &str = "away";

/// Before the name of whoever was answered, with the time of the absence.
const ANSWERED: &str = "answered:";

/// People who are answered in all: what is kept of them must leave room for what is ignored.
const ANSWERED_MAX: usize = 512;

/// What was read is told so much later: who looks through ten rooms says it once.
const READ_DELAY: Duration = Duration::from_millis(300);

/// What stands in the history for what somebody says who is ignored.
const HIDDEN: &str = "(hidden: you ignore them)";

/// An absence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Away {
    /// The device that answers.
    dev: String,
    /// Since when, Unix time in milliseconds.
    since_ms: u64,
    why: String,
}

impl Away {
    fn parse(value: &str) -> Option<Self> {
        let mut parts = value.splitn(3, '|');
        let (dev, since, why) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { dev: dev.to_owned(), since_ms: since.parse().ok()?, why: why.to_owned() })
    }

    fn value(&self) -> String {
        let Self { dev, since_ms, why } = self;
        format!("{dev}|{since_ms}|{why}")
    }
}

/// What is known of it here.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    /// Folded names.
    ignored: BTreeSet<String>,
    away: Option<Away>,
    /// Whom this user's devices have answered, and in which absence.
    answered: BTreeMap<String, u64>,
    /// What was read here and is to be told, by conversation.
    read: BTreeMap<ConversationId, MessageId>,
    read_due: Option<Instant>,
}

impl Noise {
    /// When something is to be told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.read_due
    }

    fn hide(&mut self, folded: String, on: bool) {
        if on {
            self.ignored.insert(folded);
        } else {
            self.ignored.remove(&folded);
        }
    }

    fn ignores(&self, user: &UserName) -> bool {
        self.ignored.contains(&user.folded())
    }
}

impl Talk {
    /// Takes over what is set, at the start.
    pub(crate) async fn know_noise(&mut self) {
        for (key, value) in self.client.settings().await {
            self.apply(&key, &value);
        }
    }

    /// Another device of this user has set something.
    pub(crate) fn hear_settings(&mut self, changed: &[(String, String)]) -> Vec<Item> {
        changed.iter().filter_map(|(key, value)| self.apply(key, value)).map(Item::from).collect()
    }

    /// What a person should know who has just come, and is away by what they said before.
    pub(crate) fn still_away(&self) -> Option<Item> {
        let why = self.noise.away.as_ref().map(|away| away.why.clone())?;
        self.is_person.then(|| Answer::Away(Some(why), false).into())
    }

    /// Takes a setting over; what a person is told of it.
    fn apply(&mut self, key: &str, value: &str) -> Option<Answer> {
        let on = value == "on";
        if let Some(name) = key.strip_prefix(IGNORE) {
            let user = UserName::new(name).ok()?;
            let folded = user.folded();
            self.noise.hide(folded, on);
            return Some(Answer::Ignored(user, on, true));
        }
        if let Some(cid) = key.strip_prefix(MUTE) {
            let cid = ConversationId::parse(cid).ok()?;
            self.conversations.mute(&cid, on);
            let ConversationKind::Room(room) = cid.kind() else { return None };
            return Some(Answer::Muted(room, on, true));
        }
        if let Some(cid) = key.strip_prefix(READ) {
            let (cid, id) = (ConversationId::parse(cid).ok()?, MessageId::parse(value).ok()?);
            self.conversations.read_up_to(&cid, &id);
            return None;
        }
        if let Some(name) = key.strip_prefix(ANSWERED) {
            self.noise.answered.insert(name.to_owned(), value.parse().ok()?);
            return None;
        }
        if key == AWAY {
            self.noise.away = Away::parse(value);
            let why = self.noise.away.as_ref().map(|away| away.why.clone());
            return Some(Answer::Away(why, true));
        }
        None
    }

    async fn set_own(&self, key: String, value: String) {
        self.client.set(vec![(key, value)]).await;
    }

    /// Does what was asked for.
    pub(crate) async fn about_noise(&mut self, command: NoiseCommand) -> Told {
        match command {
            NoiseCommand::Ignore(None, _) => {
                let names = self.noise.ignored.iter().filter_map(|name| UserName::new(name).ok());
                Answer::Ignoring(names.collect()).into()
            }
            NoiseCommand::Ignore(Some(user), on) => self.ignore(user, on).await,
            NoiseCommand::Mute(None, _) => Answer::Muting(self.muted_rooms()).into(),
            NoiseCommand::Mute(Some(room), on) => {
                let cid = ConversationId::room(&room);
                self.conversations.mute(&cid, on);
                self.set_own(format!("{MUTE}{cid}"), on_off(on)).await;
                Answer::Muted(room, on, false).into()
            }
            NoiseCommand::Away(why) => {
                let Some(status) = self.client.status().await else { return Told::default() };
                let dev = status.dev.to_string();
                let away = Away { dev, since_ms: now_ms(), why: why.clone() };
                self.set_own(AWAY.to_owned(), away.value()).await;
                self.noise.away = Some(away);
                Answer::Away(Some(why), false).into()
            }
            NoiseCommand::Back => {
                self.set_own(AWAY.to_owned(), String::new()).await;
                self.noise.away = None;
                Answer::Away(None, false).into()
            }
        }
    }

    async fn ignore(&mut self, user: UserName, on: bool) -> Told {
        if user == self.me {
            return Told::error("nobody ignores themselves");
        }
        let folded = user.folded();
        self.set_own(format!("{IGNORE}{user}"), on_off(on)).await;
        self.noise.hide(folded, on);
        Answer::Ignored(user, on, false).into()
    }

    fn muted_rooms(&self) -> Vec<RoomName> {
        let muted = self.conversations.iter().filter(|one| one.is_muted);
        muted
            .filter_map(|one| match one.cid.kind() {
                ConversationKind::Room(room) => Some(room),
                _ => None,
            })
            .collect()
    }

    /// Whether this comes from somebody who is ignored: it is received and confirmed as ever, and not shown.
    pub(crate) fn is_hidden(&self, event: &Event) -> bool {
        match event {
            Event::Message { from, .. } | Event::Away { from, .. } => self.is_ignored(from),
            _ => false,
        }
    }

    /// Whether what somebody says is hidden.
    pub fn is_ignored(&self, user: &UserName) -> bool {
        self.noise.ignores(user)
    }

    /// Takes the words of those who are ignored out of what was said; its places stay.
    pub(crate) fn without_ignored(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        for entry in &mut entries {
            if self.is_ignored(&entry.record.from) {
                entry.record.text = Some(HIDDEN.to_owned());
            }
        }
        entries
    }

    /// Tells whoever has written to this user alone why there is no answer; once in an absence.
    pub(crate) async fn answer_for_away(&mut self, event: &Event) {
        let Event::Message { cid, from, healed_by: None, granted_by: None, .. } = event else {
            return;
        };
        let Some(away) = self.noise.away.clone() else { return };
        let name = from.folded();
        let is_told = self.noise.answered.get(&name) == Some(&away.since_ms);
        let is_full =
            !self.noise.answered.contains_key(&name) && self.noise.answered.len() >= ANSWERED_MAX;
        if !cid.is_direct() || *from == self.me || is_told || is_full {
            return;
        }
        // One device answers: the one at which it was said.
        let dev = self.client.status().await.map(|status| status.dev.to_string());
        if dev.as_ref() != Some(&away.dev) {
            return;
        }
        self.noise.answered.insert(name.clone(), away.since_ms);
        self.set_own(format!("{ANSWERED}{name}"), away.since_ms.to_string()).await;
        self.client.answer_for_away(from, &away.why).await;
    }

    /// A person has this conversation before them: what is there was read.
    pub(crate) fn note_read(&mut self, cid: &ConversationId) {
        if !self.is_person {
            return;
        }
        if let Some(id) = self.conversations.newest(cid) {
            self.noise.read.insert(cid.clone(), id);
            self.noise.read_due.get_or_insert(Instant::now() + READ_DELAY);
        }
    }

    /// Tells this user's other devices what was read.
    pub(crate) async fn tell_read(&mut self, now: Instant) {
        if self.noise.read_due.is_none_or(|due| now < due) {
            return;
        }
        self.noise.read_due = None;
        let read = std::mem::take(&mut self.noise.read);
        let changes = read.into_iter().map(|(cid, id)| (format!("{READ}{cid}"), id.to_string()));
        self.client.set(changes.collect()).await;
    }
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_read_as_it_was_written_whatever_its_reason() {
        let away = Away { dev: "AZ8R".to_owned(), since_ms: 7, why: "at|lunch".to_owned() };
        assert_eq!(Away::parse(&away.value()), Some(away));
        for value in ["", "a|b", "a|x|why"] {
            assert_eq!(Away::parse(value), None, "{value:?}");
        }
    }
}
