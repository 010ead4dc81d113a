//! Finding again, a page at a time.

use std::collections::BTreeMap;

use chat_endpoint::{KeptFrame, Pinned};
use chat_protocol::fold::fold;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};

use super::{Entry, Record};
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

/// How far back conversations are looked for: a program that shows them starts with it.
const CONVERSATIONS_LOOKED_AT_MAX: usize = 2_000;

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

    /// The names with a known key that are this one but for the case of letters.
    fn known_as(&self, typed: &UserName) -> Result<Vec<UserName>, StoreError> {
        let rows = self.store.rows()?;
        let names = rows.iter().filter_map(|(row, _)| UserName::new(Pinned::name_of(row)?).ok());
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
    /// opened in turn; only what fits is kept.
    pub fn search(&self, words: &[String]) -> Result<Found, StoreError> {
        let words: Vec<String> = words.iter().map(|word| fold(word)).collect();
        let mut found = Found::default();
        let fits = |record: &Record| {
            let text = fold(record.text.as_deref().unwrap_or_default());
            words.iter().all(|word| text.contains(word))
        };
        self.store.newest(&mut |place, record| {
            found.looked_at += 1;
            if !fits(&record) {
                return Ok(true);
            }
            found.more = found.entries.len() == FOUND_MAX;
            if !found.more {
                found.entries.extend(self.store.entry(place)?);
            }
            Ok(!found.more)
        })?;
        Ok(found)
    }

    /// The message of this id: one's own, or those of others, which may be several because each
    /// sender chooses ids.
    pub fn by_id(&self, id: &MessageId) -> Result<Vec<Entry>, StoreError> {
        self.store.by_id(id)
    }

    /// The newest message of one's own, if it is not too long ago.
    pub fn last_own(&self) -> Result<Option<Entry>, StoreError> {
        let (mut last, mut looked_at) = (None, 0);
        self.store.newest(&mut |place, _| {
            looked_at += 1;
            last = self.store.entry(place)?.filter(Entry::is_own);
            Ok(last.is_none() && looked_at < LAST_LOOKED_AT_MAX)
        })?;
        Ok(last)
    }

    /// The conversations of the newest messages, and when the newest of each was sent, Unix time in milliseconds.
    pub fn conversations(&self) -> Result<Vec<(ConversationId, u64)>, StoreError> {
        let (mut found, mut looked_at) = (BTreeMap::new(), 0);
        self.store.newest(&mut |_, record| {
            looked_at += 1;
            found.entry(record.cid).or_insert(record.sent_ms);
            Ok(looked_at < CONVERSATIONS_LOOKED_AT_MAX)
        })?;
        Ok(found.into_iter().collect())
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
