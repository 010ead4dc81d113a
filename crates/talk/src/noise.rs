//! What one wants to hear, and to be asked: whom one ignores, which rooms are silent, why one is away, and what was
//! read already. All of it is set on every device of the user, see [`chat_endpoint::settings`].

use std::collections::BTreeMap;
use std::time::Duration;

use chat_device::clock::now_ms;
use chat_device::ignored::Ignored;
use chat_endpoint::Event;
use chat_endpoint::settings::{IGNORE, READ};
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_text::item::{Answer, Item, What};
use chat_text::slash::NoiseCommand;
use tokio::time::Instant;

use crate::conversations::{Conversation, Newest};
use crate::talk::Talk;
use crate::told::Told;

/// Before the conversation that is silent.
const MUTE: &str = "mute:";

/// Why this user is away, and which device answers for them.
const AWAY: &str = "away";

/// Before the number of a row that says in which absence somebody was answered, and who. The rows of one absence are
/// written over in the next one.
const ANSWERED: &str = "answered:";

/// People who are remembered as answered: what is kept of them must leave room for what is ignored. Of more who write
/// in one absence some may be answered again; nobody is left without an answer.
const ANSWERED_MAX: usize = 512;

/// What was read is told so much later: who looks through ten rooms says it once.
const READ_DELAY: Duration = Duration::from_millis(300);

/// What comes while a conversation is open is told no more often than this, however much is said there: each mark is a
/// message that the server keeps.
const READ_PAUSE: Duration = Duration::from_mins(5);

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

/// Whom this user's devices have answered in which absence, in rows of a fixed number.
#[derive(Debug, Default)]
struct Answered {
    /// By row: since when the absence was, and the folded name.
    rows: BTreeMap<usize, (u64, String)>,
    /// Where the next row is looked for.
    next: usize,
}

impl Answered {
    /// Takes a row as it is kept; what is none is passed over.
    fn read(&mut self, row: &str, value: &str) {
        let row = row.parse().ok().filter(|row| *row < ANSWERED_MAX);
        let value = value.split_once('|').and_then(|(since, name)| {
            since.parse().ok().map(|since: u64| (since, name.to_owned()))
        });
        if let (Some(row), Some(value)) = (row, value) {
            self.rows.insert(row, value);
        }
    }

    /// Notes that somebody is answered, and says which row is to be kept; nothing where they were.
    fn answer(&mut self, since_ms: u64, name: &str) -> Option<(String, String)> {
        let is_told = |(since, told): &(u64, String)| *since == since_ms && told == name;
        if self.rows.values().any(is_told) {
            return None;
        }
        let is_free = |row: &usize| self.rows.get(row).is_none_or(|(since, _)| *since != since_ms);
        let rows = (self.next..ANSWERED_MAX).chain(0..self.next);
        let row = rows.into_iter().find(is_free).unwrap_or(self.next);
        self.next = (row + 1) % ANSWERED_MAX;
        self.rows.insert(row, (since_ms, name.to_owned()));
        Some((format!("{ANSWERED}{row}"), format!("{since_ms}|{name}")))
    }
}

/// What was read here and is to be told to this user's other devices.
#[derive(Debug, Default)]
struct Read {
    /// By conversation: up to which message, and when it is told. Nothing is told of the open one by itself: a screen
    /// that nobody sits at reads nothing.
    marks: BTreeMap<ConversationId, (Newest, Option<Instant>)>,
    /// When the last mark of an open conversation was told.
    told: Option<Instant>,
}

impl Read {
    fn due(&self) -> Option<Instant> {
        self.marks.values().filter_map(|(_, due)| *due).min()
    }

    /// Somebody has come to a conversation with something new.
    fn came(&mut self, cid: &ConversationId, newest: Newest, now: Instant) {
        self.marks.insert(cid.clone(), (newest, Some(now + READ_DELAY)));
    }

    /// Something new has come to the conversation that is open.
    fn saw(&mut self, cid: &ConversationId, newest: Newest) {
        match self.marks.get_mut(cid) {
            Some((up_to, _)) => *up_to = newest,
            None => drop(self.marks.insert(cid.clone(), (newest, None))),
        }
    }

    /// Somebody leaves the conversation that was open: they have read what is there.
    fn left(&mut self, cid: &ConversationId, now: Instant) {
        if let Some((_, due)) = self.marks.get_mut(cid) {
            due.get_or_insert(now + READ_DELAY);
        }
    }

    /// Somebody does something in the open conversation.
    fn is_there(&mut self, cid: &ConversationId, now: Instant) {
        if let Some((_, due)) = self.marks.get_mut(cid)
            && due.is_none()
            && self.told.is_none_or(|told| told + READ_PAUSE <= now)
        {
            (*due, self.told) = (Some(now + READ_DELAY), Some(now));
        }
    }

    /// What is to be told now.
    fn take(&mut self, now: Instant) -> BTreeMap<ConversationId, Newest> {
        let is_due = |_: &ConversationId, (_, due): &mut (Newest, Option<Instant>)| {
            due.is_some_and(|due| due <= now)
        };
        self.marks.extract_if(.., is_due).map(|(cid, (newest, _))| (cid, newest)).collect()
    }
}

/// What is known of it here.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    pub(crate) ignored: Ignored,
    away: Option<Away>,
    answered: Answered,
    read: Read,
}

impl Noise {
    /// When something is to be told.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.read.due()
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
            self.noise.ignored.set(&user, on);
            return Some(Answer::Ignored(user, on, true));
        }
        if let Some(cid) = key.strip_prefix(MUTE) {
            let cid = ConversationId::parse(cid).ok()?;
            self.conversations.mute(&cid, on);
            let ConversationKind::Room(room) = cid.kind() else { return None };
            return Some(Answer::Muted(room, on, true));
        }
        if let Some(cid) = key.strip_prefix(READ) {
            let (id, from) = value.split_once('|')?;
            let newest = (MessageId::parse(id).ok()?, UserName::new(from).ok()?);
            self.conversations.read_up_to(&ConversationId::parse(cid).ok()?, &newest);
            return None;
        }
        if let Some(row) = key.strip_prefix(ANSWERED) {
            self.noise.answered.read(row, value);
            return None;
        }
        if key == AWAY {
            self.noise.away = Away::parse(value);
            let why = self.noise.away.as_ref().map(|away| away.why.clone());
            return Some(Answer::Away(why, true));
        }
        None
    }

    /// Sets something; where there is no room for it, the device says so.
    async fn set_own(&self, key: String, value: String) -> bool {
        self.client.set(vec![(key, value)]).await
    }

    /// Does what was asked for.
    pub(crate) async fn about_noise(&mut self, command: NoiseCommand) -> Told {
        match command {
            NoiseCommand::Ignore(None, _) => {
                Answer::Ignoring(self.noise.ignored.names().collect()).into()
            }
            NoiseCommand::Ignore(Some(user), on) => self.ignore(user, on).await,
            NoiseCommand::Mute(None, _) => Answer::Muting(self.muted_rooms()).into(),
            NoiseCommand::Mute(Some(room), on) => {
                let room = self.rooms.known(room);
                let cid = ConversationId::room(&room);
                if !self.set_own(format!("{MUTE}{cid}"), on_off(on)).await {
                    return Told::default();
                }
                self.conversations.mute(&cid, on);
                Answer::Muted(room, on, false).into()
            }
            NoiseCommand::Away(why) => {
                let Some(status) = self.client.status().await else { return Told::default() };
                let dev = status.dev.to_string();
                let away = Away { dev, since_ms: now_ms(), why: why.clone() };
                if !self.set_own(AWAY.to_owned(), away.value()).await {
                    return Told::default();
                }
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
        if !self.set_own(format!("{IGNORE}{user}"), on_off(on)).await {
            return Told::default();
        }
        self.noise.ignored.set(&user, on);
        if on && let Ok(cid) = ConversationId::direct(&self.me, &user) {
            self.conversations.passes_over(&cid);
        }
        Answer::Ignored(user, on, false).into()
    }

    fn muted_rooms(&self) -> Vec<RoomName> {
        let muted = self.conversations.muted();
        muted
            .filter_map(|cid| match cid.kind() {
                ConversationKind::Room(room) => Some(room),
                _ => None,
            })
            .collect()
    }

    /// Whose words are hidden.
    pub fn ignored(&self) -> &Ignored {
        &self.noise.ignored
    }

    /// Whether what somebody says is hidden.
    pub fn is_ignored(&self, user: &UserName) -> bool {
        self.noise.ignored.has(user)
    }

    /// Tells whoever has written to this user alone why there is no answer; once in an absence. What was said in this
    /// user's name is shown to them.
    pub(crate) async fn answer_for_away(&mut self, event: &Event) -> Option<Item> {
        let Event::Message { cid, from, healed_by: None, granted_by: None, .. } = event else {
            return None;
        };
        let away = self.noise.away.clone()?;
        if !cid.is_direct() || *from == self.me {
            return None;
        }
        // One device answers: the one at which it was said.
        let dev = self.client.status().await.map(|status| status.dev.to_string());
        if dev.as_ref() != Some(&away.dev) {
            return None;
        }
        let (key, value) = self.noise.answered.answer(away.since_ms, &from.folded())?;
        self.set_own(key, value).await;
        self.client.answer_for_away(from, &away.why).await;
        let what = What::Answer(Answer::AnsweredFor(from.clone(), away.why));
        Some(Item { cid: Some(cid.clone()), id: None, what })
    }

    /// A person looks at another conversation, or at none: they have read what is there, and what was in the one that
    /// they leave.
    pub(crate) fn look(&mut self, cid: Option<ConversationId>) {
        let now = Instant::now();
        if let Some(here) = self.conversations.here().filter(|here| Some(*here) != cid.as_ref()) {
            self.noise.read.left(here, now);
        }
        if let Some((cid, newest)) = self.news(cid.as_ref()) {
            self.noise.read.came(&cid, newest, now);
        }
        self.conversations.look_at(cid);
    }

    /// Another conversation is before them, and they have done nothing for it.
    pub(crate) fn look_without_mark(&mut self, cid: Option<ConversationId>) {
        if let Some((cid, newest)) = self.news(cid.as_ref()) {
            self.noise.read.saw(&cid, newest);
        }
        self.conversations.look_at(cid);
    }

    /// The newest message of a conversation in which something is new, for a person.
    fn news(&self, cid: Option<&ConversationId>) -> Option<(ConversationId, Newest)> {
        let one = self.conversations.get(cid?).filter(|one| self.is_person && one.unread > 0)?;
        Some((one.cid.clone(), one.newest()?.clone()))
    }

    /// Notes a message that has come to the open conversation.
    pub(crate) fn note_seen(&mut self, event: &Event) {
        if let Event::Message { cid, .. } = event
            && self.is_person
            && self.conversations.here() == Some(cid)
            && let Some(newest) = self.conversations.get(cid).and_then(Conversation::newest)
        {
            self.noise.read.saw(cid, newest.clone());
        }
    }

    /// A person types a line where they are: they have read what is there.
    pub(crate) fn note_there(&mut self) {
        if let Some(here) = self.conversations.here() {
            self.noise.read.is_there(here, Instant::now());
        }
    }

    /// A person leaves the chat: they have read what is before them.
    pub async fn leaves(&mut self) {
        if let Some(here) = self.conversations.here() {
            let now = Instant::now();
            self.noise.read.left(here, now);
            self.tell_read(now + READ_DELAY).await;
        }
    }

    /// Tells this user's other devices what was read; without a connection, once there is one again.
    pub(crate) async fn tell_read(&mut self, now: Instant) {
        if !self.is_online() {
            return;
        }
        let read = self.noise.read.take(now).into_iter();
        let changes: Vec<(String, String)> = read
            .map(|(cid, (id, from))| (format!("{READ}{cid}"), format!("{id}|{from}")))
            .collect();
        if !changes.is_empty() {
            self.client.set(changes).await;
        }
    }
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_absence_is_read_as_it_was_written_whatever_its_reason() {
        let away = Away { dev: "AZ8R".to_owned(), since_ms: 7, why: "at|lunch".to_owned() };
        assert_eq!(Away::parse(&away.value()), Some(away));
        for value in ["", "a|b", "a|x|why"] {
            assert_eq!(Away::parse(value), None, "{value:?}");
        }
    }

    /// Goal: people who write again and again in one absence are answered once, and those of earlier absences take
    /// nobody's place. (The build before answered nobody any more after 512 people.)
    #[test]
    fn each_absence_has_room_for_everybody_in_the_same_rows() {
        let mut answered = Answered::default();
        let mut rows = BTreeSet::new();
        for since_ms in [7, 8] {
            for number in 0..ANSWERED_MAX {
                let (row, value) = answered.answer(since_ms, &format!("b{number}")).unwrap();
                assert!(answered.answer(since_ms, &format!("b{number}")).is_none());
                // As it is read at the next start.
                let mut again = Answered::default();
                again.read(row.strip_prefix(ANSWERED).unwrap(), &value);
                assert!(again.answer(since_ms, &format!("b{number}")).is_none());
                rows.insert(row);
            }
        }
        assert!(answered.answer(8, "one-more").is_some(), "nobody is left without an answer");
        assert_eq!(rows.len(), ANSWERED_MAX);
        assert_eq!(answered.rows.len(), ANSWERED_MAX);
        for (row, value) in [("512", "7|bob"), ("x", "7|bob"), ("1", "7"), ("1", "x|bob")] {
            let mut answered = Answered::default();
            answered.read(row, value);
            assert!(answered.rows.is_empty(), "{row} {value}");
        }
    }

    /// Goal: what is read is told when somebody comes and when they go; what comes meanwhile makes no traffic, however
    /// much it is, and nothing at all while nobody does anything.
    #[test]
    fn an_open_conversation_makes_no_marks_by_itself() {
        let (ops, dev) = (cid("room:ops"), cid("room:dev"));
        let newest = |number: u8| (MessageId([number; 16]), UserName::new("bob").unwrap());
        let (start, mut read) = (Instant::now(), Read::default());
        let mut told = Vec::new();
        read.came(&ops, newest(0), start);
        told.extend(read.take(start + READ_DELAY));
        for number in 1..200 {
            let now = start + Duration::from_secs(number.into());
            read.saw(&ops, newest(number));
            assert_eq!(read.due(), None);
            assert!(read.take(now).is_empty());
        }
        let later = start + Duration::from_secs(1_000);
        for second in 0..300 {
            let now = later + Duration::from_secs(second);
            read.is_there(&ops, now);
            told.extend(read.take(now + READ_DELAY));
            read.saw(&ops, newest(200));
        }
        assert_eq!(told, [(ops.clone(), newest(0)), (ops.clone(), newest(199))]);
        read.left(&ops, later);
        read.came(&dev, newest(201), later);
        let both = read.take(later + READ_DELAY);
        assert_eq!(both, BTreeMap::from([(dev, newest(201)), (ops, newest(200))]));
    }

    fn cid(cid: &str) -> ConversationId {
        ConversationId::parse(cid).unwrap()
    }
}
