//! Finding again, a page at a time.

use chat_endpoint::{KeptFrame, Pinned, settings};
use chat_protocol::fold::fold;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};

use super::{Entry, Record};
use crate::ignored::Ignored;
use crate::names::{self, Names};
use crate::recipient::Recipient;
use crate::store::{HistoryStore, StoreError};

/// Messages that are shown where nobody says how many.
pub const SHOWN_DEFAULT: usize = 20;

/// Messages of one page at most: they are in memory together.
pub const PAGE_MAX: usize = 1_000;

/// Messages that a search shows.
pub const FOUND_MAX: usize = 50;

/// How far back the newest message of one's own is looked for.
const LAST_LOOKED_AT_MAX: usize = 10_000;

/// Conversations that are found at most: a program that shows them starts with it.
const CONVERSATIONS_MAX: usize = 1_024;

/// The history of one home. Reading blocks: it is for threads that may wait.
pub struct History {
    store: Box<dyn HistoryStore + Send>,
    me: UserName,
}

impl std::fmt::Debug for History {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("History").field("me", &self.me).finish_non_exhaustive()
    }
}

/// What a search has found.
#[derive(Debug, Default)]
pub struct Found {
    /// Newest first, [`FOUND_MAX`] at most.
    pub entries: Vec<Entry>,
    /// How many messages were looked at.
    pub looked_at: u64,
    /// Whether there may be older ones.
    pub more: bool,
    /// The place before which a search that was cut short goes on; nothing where it is at its end.
    pub goes_on: Option<i64>,
}

impl History {
    /// The history in this home, of this user.
    pub fn new(store: Box<dyn HistoryStore + Send>, me: UserName) -> Self {
        Self { store, me }
    }

    /// The user of this history.
    pub fn me(&self) -> &UserName {
        &self.me
    }

    /// Whom this user ignores.
    pub fn ignored(&self) -> Result<Ignored, StoreError> {
        Ok(Ignored::of(&settings::of_rows(&self.store.rows()?)?))
    }

    /// What this home knows about somebody's key.
    pub(crate) fn pinned(&self, name: &UserName) -> Result<Option<Pinned>, StoreError> {
        let row = self.store.get(&Pinned::row(name))?;
        Ok(row.map(|row| Pinned::read(&row)).transpose()?)
    }

    /// The conversation that is meant; none with oneself. A bare name with which nothing was said is a
    /// room's, where that has something.
    pub fn meant(&self, place: &Recipient) -> Result<Option<ConversationId>, StoreError> {
        let Recipient::User(typed) = place else { return Ok(place.conversation(&self.me)) };
        let name = names::meant(typed, &self.known_as(typed)?, &Names::default());
        let cid = ConversationId::direct(&self.me, &name).ok();
        let has_any =
            |cid: &ConversationId| Ok::<_, StoreError>(!self.page(cid, None, 1)?.is_empty());
        if let Some(cid) = &cid
            && has_any(cid)?
        {
            return Ok(Some(cid.clone()));
        }
        let Ok(room) = RoomName::new(name.as_str()) else { return Ok(cid) };
        let room = ConversationId::room(&room);
        Ok(if has_any(&room)? { Some(room) } else { cid })
    }

    /// Everybody with a known key.
    pub fn known_users(&self) -> Result<Vec<UserName>, StoreError> {
        let rows = self.store.rows()?;
        Ok(rows.iter().filter_map(|(row, _)| UserName::new(Pinned::name_of(row)?).ok()).collect())
    }

    /// The names with a known key that are this one but for the case of letters.
    fn known_as(&self, typed: &UserName) -> Result<Vec<UserName>, StoreError> {
        let names = self.known_users()?.into_iter();
        Ok(names.filter(|name| name.folded() == typed.folded()).collect())
    }

    /// The newest messages of a conversation before a place, [`PAGE_MAX`] at most, in the order in
    /// which they came.
    pub fn page(
        &self,
        cid: &ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.store.page(cid, before, count.min(PAGE_MAX))
    }

    /// Messages that have all these words somewhere in their text, in any case and spelling. Every message is
    /// opened in turn; only what fits is kept, and nothing of those who are ignored.
    pub fn search(&self, words: &[String], ignored: &Ignored) -> Result<Found, StoreError> {
        let mut found = Found::default();
        self.search_on((words, ignored), &mut found, u64::MAX)?;
        Ok(found)
    }

    /// Goes on with a search for so many messages: whoever has others waiting looks at some at a time.
    pub fn search_on(
        &self,
        (words, ignored): (&[String], &Ignored),
        found: &mut Found,
        looked_at_max: u64,
    ) -> Result<(), StoreError> {
        let words: Vec<String> = words.iter().map(|word| fold(word)).collect();
        let end = found.looked_at.saturating_add(looked_at_max);
        let fits = |record: &Record| {
            let text = fold(record.text.as_deref().unwrap_or_default());
            words.iter().all(|word| text.contains(word)) && !ignored.has(&record.from)
        };
        self.store.newest(found.goes_on.take(), &mut |place, record| {
            found.looked_at += 1;
            if fits(&record) {
                found.more = found.entries.len() == FOUND_MAX;
                if found.more {
                    return Ok(false);
                }
                found.entries.extend(self.store.entry(place)?);
            }
            found.goes_on = (found.looked_at >= end).then_some(place);
            Ok(found.goes_on.is_none())
        })
    }

    /// The message of this id: one's own, or those of others, which may be several because each
    /// sender chooses ids.
    pub fn by_id(&self, id: &MessageId) -> Result<Vec<Entry>, StoreError> {
        self.store.by_id(id)
    }

    /// The newest message of one's own, if it is not too long ago.
    pub fn last_own(&self) -> Result<Option<Entry>, StoreError> {
        let (mut last, mut looked_at) = (None, 0);
        self.store.newest(None, &mut |place, _| {
            looked_at += 1;
            last = self.store.entry(place)?.filter(Entry::is_own);
            Ok(last.is_none() && looked_at < LAST_LOOKED_AT_MAX)
        })?;
        Ok(last)
    }

    /// The conversations in which something was said last, and when the newest of each was sent, Unix time in
    /// milliseconds.
    pub fn conversations(&self) -> Result<Vec<(ConversationId, u64)>, StoreError> {
        let newest = self.store.newest_of_each(CONVERSATIONS_MAX)?;
        Ok(newest.into_iter().map(|record| (record.cid, record.sent_ms)).collect())
    }

    /// The frame of a message and the key that opens it.
    pub fn frame(&self, entry: &Entry) -> Result<Option<KeptFrame>, StoreError> {
        self.store.frame(entry.place)
    }

    /// The signed receipts for a message of ours, as they came.
    pub fn receipts(&self, entry: &Entry) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.receipts(entry.place)
    }
}
