//! Writing, between the begin and the commit of a step. Everything may be written again: what
//! comes a second time changes nothing.

use crate::store::{SqliteStore, StoreError};
use chat_endpoint::{Event, KeptFrame};
use chat_protocol::crypto::sha256;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use rusqlite::{OptionalExtension as _, params};
use serde::Serialize;

use super::{Confirmation, Record, State, bound, conversation_token, id_token, name_token};
use crate::home::HomeError;
use chat_protocol::veil;

/// Keeps a message of ours that was just typed.
pub(crate) fn typed(store: &SqliteStore, record: &Record) -> Result<(), HomeError> {
    insert(store, record, &State::Queued, None)
}

/// What became of one message of others. By its id first: an index begins with that, and a message must not
/// cost a look at all that were ever said.
const STATE_OF: &str = "SELECT state FROM messages WHERE id = ?1 AND name = ?2";

/// Puts something in the place of one message of others.
const PUT_INSTEAD: &str =
    "UPDATE messages SET record = ?3, state = ?4, frame = ?5 WHERE id = ?1 AND name = ?2";

/// The row of a message of one's own.
const OWN_ROW: &str = "SELECT place, name FROM messages WHERE id = ?1";

/// Keeps what was shown: called with the durable event that ends in the same step.
pub(crate) fn shown(store: &SqliteStore, event: &Event) -> Result<(), HomeError> {
    match event {
        Event::Message { id, cid, tag, from, text, veiled, said_in, sent_ms, .. } => {
            let record = Record {
                id: *id,
                cid: cid.clone(),
                tag: Some(*tag),
                from: from.clone(),
                // As it was read: a search finds what people have seen.
                text: Some(if *veiled { veil::unshift(text) } else { text.clone() }),
                sent_ms: *sent_ms,
                said_in: said_in.clone(),
            };
            received(store, &record, event)
        }
        Event::Unreadable { cid, from, id, reason, signed: true } => {
            let (id, cid, from) = (*id, cid.clone(), from.clone());
            let record = Record { id, cid, tag: None, from, text: None, sent_ms: 0, said_in: None };
            insert(store, &record, &State::Unreadable { reason: reason.clone() }, None)
        }
        _ => Ok(()),
    }
}

fn received(store: &SqliteStore, record: &Record, event: &Event) -> Result<(), HomeError> {
    let Event::Message { position, frame, peer, .. } = event else { return Ok(()) };
    let state = State::Received { position: *position, peer: *peer };
    if is_unreadable(store, record)? {
        return replace(store, record, &state, frame.as_deref());
    }
    insert(store, record, &state, frame.as_deref())
}

/// Whether a message has a row that says it could not be read: a damaged copy came first.
fn is_unreadable(store: &SqliteStore, record: &Record) -> Result<bool, HomeError> {
    let (id, name) = (id_token(store, &record.id, false), name_token(store, record));
    let sealed: Option<Vec<u8>> = sql(store
        .connection()
        .prepare_cached(STATE_OF)
        .and_then(|mut select| select.query_row([id, name], |row| row.get(0)).optional()))?;
    let Some(sealed) = sealed else { return Ok(false) };
    let state = store.unseal(&bound("state", &name), &sealed)?;
    let state: State = serde_json::from_slice(&state)?;
    Ok(matches!(state, State::Unreadable { .. }))
}

/// Puts what was read in the place of what could not be.
fn replace(
    store: &SqliteStore,
    record: &Record,
    state: &State,
    frame: Option<&KeptFrame>,
) -> Result<(), HomeError> {
    let (id, name) = (id_token(store, &record.id, false), name_token(store, record));
    let part = |part, value: &[u8]| store.seal(&bound(part, &name), value);
    let frame = frame.map(json).transpose()?.map(|frame| part("frame", &frame));
    let (record, state) = (part("record", &json(record)?), part("state", &json(state)?));
    sql(store
        .connection()
        .prepare_cached(PUT_INSTEAD)
        .and_then(|mut update| update.execute(params![id, name, record, state, frame])))?;
    Ok(())
}

/// Keeps what an event says about a message of ours. An event that comes again after a restart
/// says the same.
pub(crate) fn learnt(store: &SqliteStore, event: &Event) -> Result<(), HomeError> {
    match event {
        Event::Stored { id, position, kept, recipients, frame, .. } => {
            let recipients = recipients.to_vec();
            let state = State::Stored { position: *position, kept: *kept, recipients };
            answered(store, id, &state, frame.as_deref())
        }
        Event::Refused { id, code, reason, by_hub, .. } => {
            let (code, reason) = (code.clone(), reason.clone());
            let state = State::Refused { code, reason, by_hub: *by_hub };
            answered(store, id, &state, None)
        }
        Event::Delivered { id, by, readable, receipt, .. } => {
            let confirmation = Confirmation { by: by.clone(), readable: *readable };
            let receipt = receipt.as_ref().map(|receipt| receipt.0.as_slice());
            confirmed(store, id, &confirmation, receipt)
        }
        _ => Ok(()),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, HomeError> {
    Ok(serde_json::to_vec(value)?)
}

fn insert(
    store: &SqliteStore,
    record: &Record,
    state: &State,
    frame: Option<&KeptFrame>,
) -> Result<(), HomeError> {
    let name = name_token(store, record);
    let id = id_token(store, &record.id, *state == State::Queued);
    let conversation = conversation_token(store, &record.cid);
    let part = |part, value: &[u8]| store.seal(&bound(part, &name), value);
    let frame = frame.map(json).transpose()?.map(|frame| part("frame", &frame));
    let (record, state) = (part("record", &json(record)?), part("state", &json(state)?));
    sql(store
        .connection()
        .prepare_cached(
            "INSERT OR IGNORE INTO messages (id, name, conversation, record, state, frame) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .and_then(|mut insert| {
            insert.execute(params![id, name, conversation, record, state, frame])
        }))?;
    Ok(())
}

/// The row of a message of ours: place and name. Messages from before there was a history have
/// none, nor have commands.
fn own_row(store: &SqliteStore, id: &MessageId) -> Result<Option<(i64, [u8; 16])>, HomeError> {
    let id = id_token(store, id, true);
    sql(store.connection().prepare_cached(OWN_ROW).and_then(|mut select| {
        select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }))
}

fn answered(
    store: &SqliteStore,
    id: &MessageId,
    state: &State,
    frame: Option<&KeptFrame>,
) -> Result<(), HomeError> {
    let Some((place, name)) = own_row(store, id)? else { return Ok(()) };
    let state = store.seal(&bound("state", &name), &json(state)?);
    let frame = frame.map(json).transpose()?;
    let frame = frame.map(|frame| store.seal(&bound("frame", &name), &frame));
    sql(store
        .connection()
        .prepare_cached(
            "UPDATE messages SET state = ?2, frame = coalesce(?3, frame) WHERE place = ?1",
        )
        .and_then(|mut update| update.execute(params![place, state, frame])))?;
    Ok(())
}

fn confirmed(
    store: &SqliteStore,
    id: &MessageId,
    confirmation: &Confirmation,
    receipt: Option<&[u8]>,
) -> Result<(), HomeError> {
    let Some((message, name)) = own_row(store, id)? else { return Ok(()) };
    let receipt = receipt.map(|receipt| receipt_row(store, receipt)).transpose()?;
    let by = by_token(store, &confirmation.by);
    let confirmation = store.seal(&bound("confirmation", &name), &json(confirmation)?);
    sql(store
        .connection()
        .prepare_cached(
            "INSERT OR IGNORE INTO confirmations (message, by, confirmation, receipt) \
             VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut insert| insert.execute(params![message, by, confirmation, receipt])))?;
    Ok(())
}

fn by_token(store: &SqliteStore, by: &UserName) -> [u8; 16] {
    store.token(&[b"by", by.as_str().as_bytes()])
}

/// The row of a signed receipt. One receipt names up to 64 messages and is kept once.
fn receipt_row(store: &SqliteStore, receipt: &[u8]) -> Result<i64, HomeError> {
    let name = store.token(&[b"receipt", &sha256(receipt)]);
    let known: Option<i64> = sql(store
        .connection()
        .prepare_cached("SELECT number FROM receipts WHERE name = ?1")
        .and_then(|mut select| select.query_row([name], |row| row.get(0)).optional()))?;
    if let Some(number) = known {
        return Ok(number);
    }
    let sealed = store.seal(&bound("receipt", &name), receipt);
    sql(store
        .connection()
        .prepare_cached("INSERT INTO receipts (name, receipt) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.insert(params![name, sealed])))
}

/// An error of SQLite as one of the home.
pub(super) fn sql<T>(result: rusqlite::Result<T>) -> Result<T, HomeError> {
    result.map_err(|error| HomeError::Store(StoreError::Sqlite(error)))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

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
            let mut explained = store.connection().prepare(&explain).unwrap();
            let mut rows = explained.raw_query();
            let plan: String = rows.next().unwrap().unwrap().get(3).unwrap();
            assert!(plan.starts_with("SEARCH messages USING "), "{statement}: {plan}");
        }
    }
}
