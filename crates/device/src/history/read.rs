//! Finding again, a page at a time.

use std::collections::BTreeMap;

use crate::store::{SqliteStore, Token};
use chat_endpoint::{KeptFrame, Pinned};
use chat_protocol::fold::fold;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use rusqlite::{Row, params};
use serde::de::DeserializeOwned;

use super::record::sql;
use super::{Confirmation, Entry, Record, State, bound, conversation_token, id_token};
use crate::home::HomeError;
use crate::names::{self, Names};
use crate::recipient::Recipient;

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

/// The columns of an entry, in the order of [`Sealed`].
const COLUMNS: &str = "place, name, record, state";

/// The history of one home. Reading blocks: it is for threads that may wait.
#[derive(Debug)]
pub struct History {
    store: SqliteStore,
    me: UserName,
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

/// A row as it stands.
struct Sealed {
    place: i64,
    name: Token,
    record: Vec<u8>,
    state: Vec<u8>,
}

impl Sealed {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { place: row.get(0)?, name: row.get(1)?, record: row.get(2)?, state: row.get(3)? })
    }
}

impl History {
    /// The history in this database, of this user.
    pub fn new(store: SqliteStore, me: UserName) -> Self {
        Self { store, me }
    }

    /// The user of this history.
    pub fn me(&self) -> &UserName {
        &self.me
    }

    /// The database, for what else is in it.
    pub fn store(&self) -> &SqliteStore {
        &self.store
    }

    /// The conversation that is meant; none with oneself. A bare name with which nothing was said is a
    /// room's, where that has something.
    pub fn meant(&self, place: &Recipient) -> Result<Option<ConversationId>, HomeError> {
        let Recipient::User(typed) = place else { return Ok(place.conversation(&self.me)) };
        let name = names::meant(typed, &self.known_as(typed)?, &Names::default());
        let cid = ConversationId::direct(&self.me, &name).ok();
        let has_any =
            |cid: &ConversationId| Ok::<_, HomeError>(!self.page(cid, None, 1)?.is_empty());
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
    fn known_as(&self, typed: &UserName) -> Result<Vec<UserName>, HomeError> {
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
    ) -> Result<Vec<Entry>, HomeError> {
        let conversation = conversation_token(&self.store, cid);
        let count = i64::try_from(count.min(PAGE_MAX)).unwrap_or(i64::MAX);
        let select = format!(
            "SELECT {COLUMNS} FROM messages WHERE conversation = ?1 AND place < ?2 \
             ORDER BY place DESC LIMIT ?3"
        );
        let values = params![conversation, before.unwrap_or(i64::MAX), count];
        let rows = sql(self.store.connection().prepare_cached(&select).and_then(|mut select| {
            let rows = select.query_map(values, Sealed::read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        }))?;
        rows.into_iter().rev().map(|row| self.entry(row)).collect()
    }

    /// Messages that have all these words somewhere in their text, in any case and spelling. Every message is
    /// opened in turn; only what fits is kept.
    pub fn search(&self, words: &[String]) -> Result<Found, HomeError> {
        let words: Vec<String> = words.iter().map(|word| fold(word)).collect();
        let mut found = Found::default();
        let fits = |record: &Record| {
            let text = fold(record.text.as_deref().unwrap_or_default());
            words.iter().all(|word| text.contains(word))
        };
        self.newest(|row| {
            found.looked_at += 1;
            if !fits(&self.part(&row.name, "record", &row.record)?) {
                return Ok(true);
            }
            if found.entries.len() == FOUND_MAX {
                found.more = true;
                return Ok(false);
            }
            found.entries.push(self.entry(row)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// The message of this id: one's own, or those of others, which may be several because each
    /// sender chooses ids.
    pub fn by_id(&self, id: &MessageId) -> Result<Vec<Entry>, HomeError> {
        let select = format!("SELECT {COLUMNS} FROM messages WHERE id IN (?1, ?2) ORDER BY place");
        let tokens = [true, false].map(|is_own| id_token(&self.store, id, is_own));
        let rows = sql(self.store.connection().prepare_cached(&select).and_then(|mut select| {
            let rows = select.query_map(tokens, Sealed::read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        }))?;
        rows.into_iter().map(|row| self.entry(row)).collect()
    }

    /// The newest message of one's own, if it is not too long ago.
    pub fn last_own(&self) -> Result<Option<Entry>, HomeError> {
        let (mut last, mut looked_at) = (None, 0);
        self.newest(|row| {
            looked_at += 1;
            let entry = self.entry(row)?;
            if entry.is_own() {
                last = Some(entry);
            }
            Ok(last.is_none() && looked_at < LAST_LOOKED_AT_MAX)
        })?;
        Ok(last)
    }

    /// The conversations of the newest messages, and when the newest of each was sent, Unix time in milliseconds.
    pub fn conversations(&self) -> Result<Vec<(ConversationId, u64)>, HomeError> {
        let (mut found, mut looked_at) = (BTreeMap::new(), 0);
        self.newest(|row| {
            looked_at += 1;
            let record: Record = self.part(&row.name, "record", &row.record)?;
            found.entry(record.cid).or_insert(record.sent_ms);
            Ok(looked_at < CONVERSATIONS_LOOKED_AT_MAX)
        })?;
        Ok(found.into_iter().collect())
    }

    /// The frame of a message and the key that opens it.
    pub fn frame(&self, entry: &Entry) -> Result<Option<KeptFrame>, HomeError> {
        let sealed: Option<Vec<u8>> = sql(self
            .store
            .connection()
            .prepare_cached("SELECT frame FROM messages WHERE place = ?1")
            .and_then(|mut select| select.query_row([entry.place], |row| row.get(0))))?;
        sealed.map(|sealed| self.part(&entry.name, "frame", &sealed)).transpose()
    }

    /// The signed receipts for a message of ours, as they came.
    pub fn receipts(&self, entry: &Entry) -> Result<Vec<Vec<u8>>, HomeError> {
        let rows: Vec<(Token, Vec<u8>)> = sql(self
            .store
            .connection()
            .prepare_cached(
                "SELECT name, receipt FROM receipts WHERE number IN \
                 (SELECT receipt FROM confirmations WHERE message = ?1) ORDER BY number",
            )
            .and_then(|mut select| {
                let rows = select.query_map([entry.place], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect()
            }))?;
        rows.into_iter()
            .map(|(name, sealed)| Ok(self.store.unseal(&bound("receipt", &name), &sealed)?))
            .collect()
    }

    /// Goes through all rows from the newest on, until `take` says that it is enough.
    fn newest(
        &self,
        mut take: impl FnMut(Sealed) -> Result<bool, HomeError>,
    ) -> Result<(), HomeError> {
        let select = format!("SELECT {COLUMNS} FROM messages ORDER BY place DESC");
        let mut select = sql(self.store.connection().prepare_cached(&select))?;
        let mut rows = sql(select.query([]))?;
        while let Some(row) = sql(rows.next())? {
            if !take(sql(Sealed::read(row))?)? {
                break;
            }
        }
        Ok(())
    }

    fn entry(&self, row: Sealed) -> Result<Entry, HomeError> {
        let Sealed { place, name, record, state } = row;
        let record = self.part(&name, "record", &record)?;
        let state = self.part(&name, "state", &state)?;
        let mut entry = Entry { place, record, state, confirmed: Vec::new(), name };
        if matches!(entry.state, State::Stored { .. }) {
            entry.confirmed = self.confirmed(&entry)?;
        }
        Ok(entry)
    }

    fn confirmed(&self, entry: &Entry) -> Result<Vec<Confirmation>, HomeError> {
        let rows: Vec<Vec<u8>> = sql(self
            .store
            .connection()
            .prepare_cached("SELECT confirmation FROM confirmations WHERE message = ?1")
            .and_then(|mut select| {
                let rows = select.query_map([entry.place], |row| row.get(0))?;
                rows.collect()
            }))?;
        rows.iter().map(|sealed| self.part(&entry.name, "confirmation", sealed)).collect()
    }

    fn part<T: DeserializeOwned>(
        &self,
        name: &Token,
        part: &str,
        sealed: &[u8],
    ) -> Result<T, HomeError> {
        let opened = self.store.unseal(&bound(part, name), sealed)?;
        Ok(serde_json::from_slice(&opened)?)
    }
}

#[cfg(test)]
mod tests;
