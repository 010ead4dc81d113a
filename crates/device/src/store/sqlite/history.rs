//! The history in the database: writing between the begin and the commit of a step, and finding again.
//!
//! **Architecture Invariant.** A row is found by a keyed token and everything in it is sealed under
//! that token.

use chat_endpoint::KeptFrame;
use chat_protocol::crypto::sha256;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};
use rusqlite::{OptionalExtension as _, Params, Row, params};
use serde::de::DeserializeOwned;

use super::{SqliteStore, Token};
use crate::record::{Confirmation, Entry, Record, Said, State};
use crate::store::{HistoryStore, StoreError, Take};

/// The columns of an entry, in the order of [`Sealed`].
const COLUMNS: &str = "place, name, record, state";

/// What became of one message of others. By its id first: an index begins with that, and a message must not
/// cost a look at all that were ever said.
const STATE_OF: &str = "SELECT state FROM messages WHERE id = ?1 AND name = ?2";

/// Puts something in the place of one message of others.
const PUT_INSTEAD: &str =
    "UPDATE messages SET record = ?3, state = ?4, frame = ?5 WHERE id = ?1 AND name = ?2";

/// The row of a message of one's own.
const OWN_ROW: &str = "SELECT place, name FROM messages WHERE id = ?1";

/// Adds a message, unless it is there.
const ADD: &str = "INSERT OR IGNORE INTO messages (id, name, conversation, record, state, frame) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// What became of a message of one's own.
const ANSWERED: &str =
    "UPDATE messages SET state = ?2, frame = coalesce(?3, frame) WHERE place = ?1";

/// Who has confirmed a message of one's own.
const CONFIRMED: &str = "INSERT OR IGNORE INTO confirmations (message, by, confirmation, receipt) \
                         VALUES (?1, ?2, ?3, ?4)";

/// The newest message of each conversation. The places come of the index alone.
const NEWEST_OF_EACH: &str = "SELECT name, record FROM messages WHERE place IN \
                              (SELECT max(place) FROM messages GROUP BY conversation \
                               ORDER BY max(place) DESC LIMIT ?1) ORDER BY place DESC";

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

/// What a part of a row is sealed under: which part, and whose.
fn bound(part: &str, name: &Token) -> Vec<u8> {
    let mut bytes = part.as_bytes().to_vec();
    bytes.push(b'/');
    bytes.extend_from_slice(name);
    bytes
}

/// Tokens and seals.
impl SqliteStore {
    /// Finds the conversation's rows.
    fn conversation_token(&self, cid: &ConversationId) -> Token {
        self.token(&[b"conversation", cid.as_str().as_bytes()])
    }

    /// Finds a message by its id. Somebody else's message never has the token of one's own: others
    /// choose their ids themselves.
    fn id_token(&self, id: &MessageId, is_own: bool) -> Token {
        let kind: &[u8] = if is_own { b"own id" } else { b"id" };
        self.token(&[kind, id.as_bytes()])
    }

    /// Names one message: ids are unique per sender and conversation only (rule R13).
    fn name_token(&self, record: &Record) -> Token {
        let (cid, from) = (record.cid.as_str().as_bytes(), record.from.as_str().as_bytes());
        self.token(&[b"message", cid, from, record.id.as_bytes()])
    }

    fn by_token(&self, by: &UserName) -> Token {
        self.token(&[b"by", by.as_str().as_bytes()])
    }

    fn seal_part(&self, name: &Token, part: &str, value: &[u8]) -> Vec<u8> {
        self.seal(&bound(part, name), value)
    }

    fn seal_frame(
        &self,
        name: &Token,
        frame: Option<&KeptFrame>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let frame = frame.map(serde_json::to_vec).transpose()?;
        Ok(frame.map(|frame| self.seal_part(name, "frame", &frame)))
    }

    fn open_part<T: DeserializeOwned>(
        &self,
        name: &Token,
        part: &str,
        sealed: &[u8],
    ) -> Result<T, StoreError> {
        Ok(serde_json::from_slice(&self.unseal(&bound(part, name), sealed)?)?)
    }
}

/// Writing.
impl SqliteStore {
    pub(super) fn learn(&self, said: &Said) -> Result<(), StoreError> {
        match said {
            Said::New { record, state, frame } => self.add(record, state, frame.as_deref()),
            Said::Answered { id, state, frame } => self.answered(id, state, frame.as_deref()),
            Said::Confirmed { id, confirmation, receipt } => {
                self.confirmed(id, confirmation, receipt.as_deref())
            }
        }
    }

    fn add(
        &self,
        record: &Record,
        state: &State,
        frame: Option<&KeptFrame>,
    ) -> Result<(), StoreError> {
        let name = self.name_token(record);
        let id = self.id_token(&record.id, state.is_own());
        let gives_way = match state {
            State::Received { .. } => {
                self.state_of(id, &name)?.is_some_and(|known| known.gives_way_to(state))
            }
            _ => false,
        };
        let conversation = self.conversation_token(&record.cid);
        let frame = self.seal_frame(&name, frame)?;
        let record = self.seal_part(&name, "record", &serde_json::to_vec(record)?);
        let state = self.seal_part(&name, "state", &serde_json::to_vec(state)?);
        if gives_way {
            self.connection
                .prepare_cached(PUT_INSTEAD)?
                .execute(params![id, name, record, state, frame])?;
        } else {
            self.connection.prepare_cached(ADD)?.execute(params![
                id,
                name,
                conversation,
                record,
                state,
                frame
            ])?;
        }
        Ok(())
    }

    /// The state of somebody else's message that is here already.
    fn state_of(&self, id: Token, name: &Token) -> Result<Option<State>, StoreError> {
        let mut select = self.connection.prepare_cached(STATE_OF)?;
        let sealed: Option<Vec<u8>> =
            select.query_row(params![id, name], |row| row.get(0)).optional()?;
        sealed.map(|sealed| self.open_part(name, "state", &sealed)).transpose()
    }

    /// The row of a message of ours: place and name. Messages from before there was a history have
    /// none, nor have commands.
    fn own_row(&self, id: &MessageId) -> Result<Option<(i64, Token)>, StoreError> {
        let mut select = self.connection.prepare_cached(OWN_ROW)?;
        let id = self.id_token(id, true);
        Ok(select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn answered(
        &self,
        id: &MessageId,
        state: &State,
        frame: Option<&KeptFrame>,
    ) -> Result<(), StoreError> {
        let Some((place, name)) = self.own_row(id)? else { return Ok(()) };
        let state = self.seal_part(&name, "state", &serde_json::to_vec(state)?);
        let frame = self.seal_frame(&name, frame)?;
        self.connection.prepare_cached(ANSWERED)?.execute(params![place, state, frame])?;
        Ok(())
    }

    fn confirmed(
        &self,
        id: &MessageId,
        confirmation: &Confirmation,
        receipt: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let Some((message, name)) = self.own_row(id)? else { return Ok(()) };
        let receipt = receipt.map(|receipt| self.receipt_row(receipt)).transpose()?;
        let by = self.by_token(&confirmation.by);
        let confirmation = serde_json::to_vec(confirmation)?;
        let confirmation = self.seal_part(&name, "confirmation", &confirmation);
        self.connection.prepare_cached(CONFIRMED)?.execute(params![
            message,
            by,
            confirmation,
            receipt
        ])?;
        Ok(())
    }

    /// The row of a signed receipt. One receipt names up to 64 messages and is kept once.
    fn receipt_row(&self, receipt: &[u8]) -> Result<i64, StoreError> {
        let name = self.token(&[b"receipt", &sha256(receipt)]);
        let mut select =
            self.connection.prepare_cached("SELECT number FROM receipts WHERE name = ?1")?;
        if let Some(number) = select.query_row([name], |row| row.get(0)).optional()? {
            return Ok(number);
        }
        let sealed = self.seal_part(&name, "receipt", receipt);
        let insert = "INSERT INTO receipts (name, receipt) VALUES (?1, ?2)";
        Ok(self.connection.prepare_cached(insert)?.insert(params![name, sealed])?)
    }
}

/// Finding again.
impl SqliteStore {
    fn select(&self, wanted: &str, values: impl Params) -> Result<Vec<Entry>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM messages WHERE {wanted}");
        let mut select = self.connection.prepare_cached(&select)?;
        let rows = select.query_map(values, Sealed::read)?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        rows.into_iter().map(|row| self.open_entry(row)).collect()
    }

    fn open_entry(&self, row: Sealed) -> Result<Entry, StoreError> {
        let Sealed { place, name, record, state } = row;
        let record = self.open_part(&name, "record", &record)?;
        let state = self.open_part(&name, "state", &state)?;
        let confirmed = match state {
            State::Stored { .. } => self.confirmations(place, &name)?,
            _ => Vec::new(),
        };
        Ok(Entry { place, record, state, confirmed })
    }

    fn confirmations(&self, place: i64, name: &Token) -> Result<Vec<Confirmation>, StoreError> {
        let select = "SELECT confirmation FROM confirmations WHERE message = ?1";
        let mut select = self.connection.prepare_cached(select)?;
        let rows = select.query_map([place], |row| row.get(0))?;
        let rows = rows.collect::<rusqlite::Result<Vec<Vec<u8>>>>()?;
        rows.iter().map(|sealed| self.open_part(name, "confirmation", sealed)).collect()
    }
}

impl HistoryStore for SqliteStore {
    fn page(
        &self,
        cid: &ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let conversation = self.conversation_token(cid);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let wanted = "conversation = ?1 AND place < ?2 ORDER BY place DESC LIMIT ?3";
        let mut page =
            self.select(wanted, params![conversation, before.unwrap_or(i64::MAX), count])?;
        page.reverse();
        Ok(page)
    }

    fn by_id(&self, id: &MessageId) -> Result<Vec<Entry>, StoreError> {
        let tokens = [true, false].map(|is_own| self.id_token(id, is_own));
        self.select("id IN (?1, ?2) ORDER BY place", tokens)
    }

    fn newest(&self, before: Option<i64>, take: &mut Take<'_>) -> Result<(), StoreError> {
        let select =
            "SELECT place, name, record FROM messages WHERE place < ?1 ORDER BY place DESC";
        let mut select = self.connection.prepare_cached(select)?;
        let mut rows = select.query([before.unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let (place, name, record): (i64, Token, Vec<u8>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            if !take(place, self.open_part(&name, "record", &record)?)? {
                break;
            }
        }
        Ok(())
    }

    fn newest_of_each(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let mut select = self.connection.prepare_cached(NEWEST_OF_EACH)?;
        let rows = select.query_map([count], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<(Token, Vec<u8>)>>>()?;
        rows.iter().map(|(name, record)| self.open_part(name, "record", record)).collect()
    }

    fn entry(&self, place: i64) -> Result<Option<Entry>, StoreError> {
        Ok(self.select("place = ?1", [place])?.pop())
    }

    fn frame(&self, place: i64) -> Result<Option<KeptFrame>, StoreError> {
        let mut select =
            self.connection.prepare_cached("SELECT name, frame FROM messages WHERE place = ?1")?;
        let row: (Token, Option<Vec<u8>>) =
            select.query_row([place], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (name, sealed) = row;
        sealed.map(|sealed| self.open_part(&name, "frame", &sealed)).transpose()
    }

    fn receipts(&self, place: i64) -> Result<Vec<Vec<u8>>, StoreError> {
        let select = "SELECT name, receipt FROM receipts WHERE number IN \
                      (SELECT receipt FROM confirmations WHERE message = ?1) ORDER BY number";
        let mut select = self.connection.prepare_cached(select)?;
        let rows = select.query_map([place], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<rusqlite::Result<Vec<(Token, Vec<u8>)>>>()?;
        rows.iter().map(|(name, sealed)| self.unseal(&bound("receipt", name), sealed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::store::{Changes, Home as _};

    /// Goal: a message costs the same however long the history is. Method: SQLite says how it finds the
    /// rows. (The build before read all rows for each message that was shown: after half a minute of 200
    /// messages a second the chat stood still.)
    #[test]
    fn no_message_is_found_by_reading_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.db");
        let store = SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        for statement in [STATE_OF, PUT_INSTEAD, OWN_ROW] {
            let explain = format!("EXPLAIN QUERY PLAN {statement}");
            let mut explained = store.connection.prepare(&explain).unwrap();
            let mut rows = explained.raw_query();
            let plan: String = rows.next().unwrap().unwrap().get(3).unwrap();
            assert!(plan.starts_with("SEARCH messages USING "), "{statement}: {plan}");
        }
    }
    #[test]
    fn rows_are_sealed_and_cannot_be_put_in_each_others_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.db");
        let mut store = SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        let (alice, bob) = (UserName::new("alice").unwrap(), UserName::new("bob").unwrap());
        let cid = ConversationId::direct(&alice, &bob).unwrap();
        let said = |number: u64, from: &UserName, text: &str| {
            let (id, text) = (MessageId::new(number, [7; 10]), Some(text.to_owned()));
            let (cid, from) = (cid.clone(), from.clone());
            let (tag, sent_ms, said_in, veiled) = (None, 1, None, false);
            Said::typed(Record { id, cid, tag, from, text, sent_ms, said_in, veiled })
        };
        let history = vec![said(1, &alice, "secret plans"), said(2, &bob, "secret answer")];
        store.begin().unwrap();
        store.commit(&Changes { rows: Vec::new(), history }).unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            for plain in ["secret", "alice", "bob"] {
                let is_there = bytes.windows(plain.len()).any(|part| part == plain.as_bytes());
                assert!(!is_there, "{plain}");
            }
        }
        assert_eq!(store.page(&cid, None, 10).unwrap().len(), 2);
        let swap = "UPDATE messages SET record = (SELECT record FROM messages WHERE place = 1) \
                    WHERE place = 2";
        store.connection.execute(swap, []).unwrap();
        assert!(matches!(store.page(&cid, None, 10).unwrap_err(), StoreError::Sealed));
    }
}
