//! What a hub that shares a log keeps beside the rows of every hub: how far it is, the last turns, and who is
//! connected elsewhere. These tables are only in the file of such a hub.

use std::collections::BTreeMap;
use std::path::Path;

use chat_protocol::id::Digest;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Outcome, Problem, from_sql, intact, to_sql, unsure};
use crate::store::{
    AppliedTurn, Conflict, Followed, HubRow, Incarnation, KeptBatch, Mark, NewSession, Noted,
    OpenError, SessionPlace, Stored, Written,
};

/// Turns that are remembered: those by which later ones are judged, and the state before the first of them.
const TURNS_KEPT: u64 = 1_025;

/// Rows that go with one turn, at most. A server that was unsure has many that may go, and nobody waits for all of them at once.
const ROWS_DROPPED_MAX: u64 = 64;

/// - `shared`: one row. Which log, which hub, its last life, the last turn, and up to which one keys are
///   forgotten. `position` is the last one given, also when what stood there is gone.
/// - `turns`: what the last turns came to, and the keys that they wrote.
/// - `hubs`: the last number of every hub that ever wrote, its turn, and whether it is gone.
/// - `sessions`: those that are open, wherever.
const SCHEMA: &str = "
CREATE TABLE shared (
  id INTEGER PRIMARY KEY CHECK (id = 1), log BLOB NOT NULL, node TEXT NOT NULL, life INTEGER NOT NULL,
  turn INTEGER NOT NULL, horizon INTEGER NOT NULL, position INTEGER NOT NULL) STRICT;
CREATE TABLE turns (
  turn INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, chain BLOB NOT NULL, written BLOB NOT NULL) STRICT;
CREATE TABLE hubs (
  node INTEGER NOT NULL, life INTEGER NOT NULL, number INTEGER NOT NULL, turn INTEGER NOT NULL,
  gone INTEGER NOT NULL, PRIMARY KEY (node, life)) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
  node INTEGER NOT NULL, life INTEGER NOT NULL, connection INTEGER NOT NULL, session BLOB NOT NULL,
  PRIMARY KEY (node, life, connection)) STRICT, WITHOUT ROWID;
";

/// What came after them.
///
/// - `tail`: the batches of the last turns as they lay in the log, for a log that loses them. The last one is always
///   there: it says from which generation it was read.
/// - `facts`: what is said of the log beside its turns.
/// - `noted`: one row, the newest generation that has begun or was about to.
const TAIL: &str = "
CREATE TABLE IF NOT EXISTS tail (
  turn INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, structure INTEGER NOT NULL, generation INTEGER NOT NULL,
  batch BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS noted (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO noted (id, generation) VALUES (1, 0);
";

/// The tables that only the file of such a hub has. They say where it is in its log, and not what people have written.
pub(super) const OF_SEVERAL: [&str; 9] =
    ["shared", "turns", "hubs", "sessions", "tail", "facts", "noted", "unsure", "unsure_openings"];

/// Which log a file follows, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedLog {
    /// The id of the log.
    pub log: [u8; 16],
    /// What the hub is called.
    pub node: String,
}

/// Lives are any 64 bits, and integers of SQLite are signed.
fn life_to_sql(life: u64) -> i64 {
    i64::from_be_bytes(life.to_be_bytes())
}

fn life_from_sql(life: i64) -> u64 {
    u64::from_be_bytes(life.to_be_bytes())
}

fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    let asked = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'shared'";
    connection.prepare(asked)?.exists([])
}

/// Which log this file follows, if it is that of a hub among several.
pub(super) fn log_of(connection: &Connection) -> rusqlite::Result<Option<FollowedLog>> {
    if !is_there(connection)? {
        return Ok(None);
    }
    let read = |row: &rusqlite::Row<'_>| Ok(FollowedLog { log: row.get(0)?, node: row.get(1)? });
    connection.query_row("SELECT log, node FROM shared", [], read).optional()
}

/// Whose a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's: nothing is in it.
    Nobody,
    /// A server's that runs alone.
    Alone,
    /// A server's that follows this log.
    Follows(FollowedLog),
}

/// Whose this file is.
pub(super) fn owner(connection: &Connection) -> rusqlite::Result<Owner> {
    if let Some(log) = log_of(connection)? {
        return Ok(Owner::Follows(log));
    }
    let has_table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'accounts'";
    let is_used = connection.prepare(has_table)?.exists([])?
        && connection.prepare("SELECT 1 FROM accounts")?.exists([])?;
    Ok(if is_used { Owner::Alone } else { Owner::Nobody })
}

/// A file goes the way that it began: alone, or with the log that it follows.
pub(super) fn prepare(
    connection: &Connection,
    file: &Path,
    log: Option<&FollowedLog>,
) -> Result<(), OpenError> {
    let name = || file.display().to_string();
    let failed =
        |source: rusqlite::Error| OpenError::Database { file: name(), source: source.into() };
    let Some(log) = log else {
        return match log_of(connection).map_err(failed)? {
            None => Ok(()),
            Some(found) => Err(OpenError::Shared { file: name(), node: found.node }),
        };
    };
    match owner(connection).map_err(failed)? {
        Owner::Nobody => make(connection, log).map_err(failed),
        Owner::Alone => Err(OpenError::Alone { file: name() }),
        Owner::Follows(found) if found == *log => make_later(connection).map_err(failed),
        Owner::Follows(found) => Err(OpenError::OtherLog { file: name(), node: found.node }),
    }
}

fn make(connection: &Connection, log: &FollowedLog) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    fill(&transaction, log)?;
    transaction.commit()
}

/// Makes what a file that began earlier may lack.
fn make_later(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TAIL)?;
    connection.execute_batch(unsure::TABLES)
}

fn fill(connection: &Connection, log: &FollowedLog) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    make_later(connection)?;
    connection.execute(
        "INSERT INTO shared (id, log, node, life, turn, horizon, position) VALUES (1, ?1, ?2, 0, 0, 0, 0)",
        params![log.log, log.node],
    )?;
    Ok(())
}

/// A file of a server that was alone becomes the beginning of a log: `base` is what its rows come to, and its copies of
/// files lie at `node` from now on.
pub(super) fn adopt(
    file: &Path,
    (log, node): (&FollowedLog, u32),
    base: &Digest,
) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    super::configure(&connection)?;
    // All of it or nothing: a file in between would follow the log from another beginning than the others, and its
    // copies of files would be swept.
    let transaction = connection.unchecked_transaction()?;
    fill(&transaction, log)?;
    super::copies::bring_in(&transaction, node)?;
    let value = base.as_bytes();
    transaction.execute("INSERT INTO facts (name, value) VALUES ('base', ?1)", [value])?;
    transaction.commit()
}

/// A file that followed a log as `node` is that of a server that is alone.
pub(super) fn leave(file: &Path, node: u32) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    super::configure(&connection)?;
    let transaction = connection.unchecked_transaction()?;
    super::copies::take_out(&transaction, node)?;
    for table in OF_SEVERAL {
        transaction.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    transaction.commit()
}

/// Makes the file of another server of the same log from this one, which may be in use. Returns the last turn that is in
/// it.
pub(super) fn copy(file: &Path, to: &Path, node: &str) -> rusqlite::Result<u64> {
    let from = super::reader(file)?;
    from.execute("VACUUM INTO ?1", [to.display().to_string()])?;
    let connection = Connection::open(to)?;
    connection.execute("UPDATE shared SET node = ?1, life = 0", [node])?;
    connection.query_row("SELECT turn FROM shared", [], |row| Ok(from_sql(row.get(0)?)))
}

/// The hub begins this life.
pub(super) fn begin_life(connection: &Connection, life: u64) -> rusqlite::Result<()> {
    connection.execute("UPDATE shared SET life = ?1", [life_to_sql(life)])?;
    Ok(())
}

/// How far the file is, with the last position that was given.
pub(super) fn read(connection: &Connection) -> Result<(Followed, u64), Problem> {
    let (life, horizon, position): (i64, i64, i64) =
        connection.query_row("SELECT life, horizon, position FROM shared", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let life = Some(life_from_sql(life)).filter(|life| *life != 0);
    let mut followed = Followed { horizon: from_sql(horizon), life, ..Followed::default() };
    // There are more of them while the server is unsure, and for a while after it.
    let mut select = connection.prepare(
        "SELECT time_ms, chain, written FROM (SELECT * FROM turns ORDER BY turn DESC LIMIT ?1) ORDER BY turn",
    )?;
    let mut rows = select.query([to_sql(TURNS_KEPT)])?;
    while let Some(row) = rows.next()? {
        let written: Vec<u8> = row.get(2)?;
        let written: Written = intact("turn", ciborium::from_reader(&written[..]))?;
        let (time_ms, chain) = (from_sql(row.get(0)?), Digest(row.get(1)?));
        followed.turns.push(AppliedTurn { time_ms, chain, written });
    }
    let mut select = connection.prepare("SELECT node, life, number, turn, gone FROM hubs")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let hub = Incarnation { node: row.get(0)?, life: life_from_sql(row.get(1)?) };
        let (number, turn) = (from_sql(row.get(2)?), from_sql(row.get(3)?));
        followed.hubs.push(HubRow { hub, number, turn, is_gone: row.get(4)? });
    }
    let mut select = connection.prepare("SELECT session FROM sessions")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let session: Vec<u8> = row.get(0)?;
        followed.sessions.push(intact("session", ciborium::from_reader(&session[..]))?);
    }
    let asked = "SELECT generation FROM tail ORDER BY turn DESC LIMIT 1";
    let generation: Option<i64> = connection.query_row(asked, [], |row| row.get(0)).optional()?;
    followed.generation = from_sql(generation.unwrap_or(0));
    followed.noted = noted(connection)?;
    Ok((followed, from_sql(position)))
}

fn noted(connection: &Connection) -> rusqlite::Result<Noted> {
    let generation: i64 =
        connection.query_row("SELECT generation FROM noted", [], |row| row.get(0))?;
    let mut select = connection.prepare("SELECT name, value FROM facts ORDER BY name")?;
    let facts = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (facts, unsure) = (facts.collect::<Result<_, _>>()?, unsure::read(connection)?);
    Ok(Noted { generation: from_sql(generation), facts, unsure })
}

/// How far a file has followed its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The last turn.
    pub applied: u64,
    /// The generation of the log that it was read from.
    pub read_from: u64,
}

/// How far this file has followed its log.
pub(super) fn followed_to(file: &Path) -> rusqlite::Result<Lost> {
    let connection = super::reader(file)?;
    let asked = "SELECT turn, generation FROM tail ORDER BY turn DESC LIMIT 1";
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Lost { applied: from_sql(row.get(0)?), read_from: from_sql(row.get(1)?) })
    };
    Ok(connection
        .query_row(asked, [], row)
        .optional()?
        .unwrap_or(Lost { applied: 0, read_from: 0 }))
}

/// What everything up to the last turns came to.
pub(super) fn chains(file: &Path) -> rusqlite::Result<BTreeMap<u64, Digest>> {
    let connection = super::reader(file)?;
    let mut select = connection.prepare("SELECT turn, chain FROM turns")?;
    let rows = select.query_map([], |row| Ok((from_sql(row.get(0)?), Digest(row.get(1)?))))?;
    rows.collect()
}

/// The keys that the last turns have written.
pub(super) fn written(file: &Path) -> rusqlite::Result<Vec<Written>> {
    let connection = super::reader(file)?;
    let mut select = connection.prepare("SELECT written FROM turns")?;
    let rows = select.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    // What cannot be read is what is not there.
    let read = |written: Vec<u8>| ciborium::from_reader(&written[..]).ok();
    let written: Result<Vec<Option<Written>>, _> = rows.map(|row| row.map(read)).collect();
    Ok(written?.into_iter().flatten().collect())
}

/// What a file has noted of the log that it follows, if it has.
pub(super) fn noted_in(file: &Path) -> rusqlite::Result<Option<Noted>> {
    let connection = super::reader(file)?;
    let asked = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'noted'";
    if !connection.prepare(asked)?.exists([])? {
        return Ok(None);
    }
    noted(&connection).map(Some)
}

/// Keeps what is known of the log, through a connection of its own: the next commits need not survive a power cut, and
/// this one must.
pub(super) fn note(file: &Path, noted: &Noted) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    super::configure(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction()?;
    transaction
        .execute("UPDATE noted SET generation = max(generation, ?1)", [to_sql(noted.generation)])?;
    if !noted.facts.is_empty() {
        // They are all that there are.
        transaction.execute("DELETE FROM facts", [])?;
    }
    for (name, value) in &noted.facts {
        transaction
            .execute("INSERT INTO facts (name, value) VALUES (?1, ?2)", params![name, value])?;
    }
    unsure::keep(&transaction, noted.unsure.as_ref())?;
    transaction.commit()
}

/// The first turn whose batch is there, of each generation, and that generation.
pub(super) fn kept_since(file: &Path) -> rusqlite::Result<Vec<(u64, u64)>> {
    let connection = super::reader(file)?;
    let mut select =
        connection.prepare("SELECT min(turn), generation FROM tail GROUP BY generation")?;
    let rows = select.query_map([], |row| Ok((from_sql(row.get(0)?), from_sql(row.get(1)?))))?;
    rows.collect()
}

/// The batches behind a turn: about so many bytes, and at least one.
pub(super) fn tail(file: &Path, after: u64, bytes: usize) -> rusqlite::Result<Vec<KeptBatch>> {
    let connection = super::reader(file)?;
    let mut select = connection.prepare(
        "SELECT turn, time_ms, structure, batch FROM tail WHERE turn > ?1 ORDER BY turn",
    )?;
    let mut rows = select.query([to_sql(after)])?;
    let (mut found, mut length): (Vec<KeptBatch>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let batch: Vec<u8> = row.get(3)?;
        length = length.saturating_add(batch.len());
        if length > bytes && !found.is_empty() {
            break;
        }
        found.push(KeptBatch {
            turn: from_sql(row.get(0)?),
            time_ms: from_sql(row.get(1)?),
            is_structure: row.get(2)?,
            batch: batch.into(),
        });
    }
    Ok(found)
}

/// What this makes of the newest batch of which it makes something.
pub(super) fn newest_batch<T>(
    file: &Path,
    read: impl Fn(&[u8]) -> Option<T>,
) -> rusqlite::Result<Option<T>> {
    let connection = super::reader(file)?;
    let mut select = connection.prepare("SELECT batch FROM tail ORDER BY turn DESC")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let batch: Vec<u8> = row.get(0)?;
        if let Some(found) = read(&batch) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn keep_batch(connection: &Connection, mark: &Mark) -> rusqlite::Result<()> {
    let KeptBatch { turn, time_ms, is_structure, ref batch } = mark.batch;
    connection
        .prepare_cached(
            "INSERT INTO tail (turn, time_ms, structure, generation, batch) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            to_sql(turn),
            to_sql(time_ms),
            is_structure,
            to_sql(mark.generation),
            &batch[..]
        ])?;
    drop_upto(connection, "tail", mark.forget.min(turn.saturating_sub(1)))
}

/// Drops the first rows of this table up to a turn. What was there before it was not known whether the log has it is needed by
/// who takes it up from here.
fn drop_upto(connection: &Connection, table: &str, turn: u64) -> rusqlite::Result<()> {
    let delete = format!(
        "DELETE FROM {table} WHERE turn IN (SELECT turn FROM {table} WHERE turn <= ?1 ORDER BY turn LIMIT ?2) \
         AND NOT EXISTS (SELECT 1 FROM unsure)"
    );
    connection.prepare_cached(&delete)?.execute([to_sql(turn), to_sql(ROWS_DROPPED_MAX)])?;
    Ok(())
}

/// Keeps how far the file is with this turn.
pub(super) fn keep(
    connection: &Connection,
    (mark, chain): (&Mark, &Digest),
    position: u64,
) -> rusqlite::Result<()> {
    let turn = mark.written.turn;
    let mut written = Vec::new();
    ciborium::into_writer(&mark.written, &mut written).map_err(unwritten)?;
    connection
        .prepare_cached(
            "INSERT INTO turns (turn, time_ms, chain, written) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![to_sql(turn), to_sql(mark.time_ms), chain.as_bytes(), written])?;
    drop_upto(connection, "turns", turn.saturating_sub(TURNS_KEPT))?;
    connection
        .prepare_cached("UPDATE shared SET turn = ?1, horizon = ?2, position = ?3")?
        .execute(params![to_sql(turn), to_sql(mark.horizon), to_sql(position)])?;
    keep_batch(connection, mark)?;
    if let Some((hub, number)) = mark.by {
        connection
            .prepare_cached(
                "INSERT INTO hubs (node, life, number, turn, gone) VALUES (?1, ?2, ?3, ?4, 0) \
                 ON CONFLICT (node, life) DO UPDATE SET number = excluded.number, turn = excluded.turn \
                 WHERE excluded.number > number",
            )?
            .execute(params![hub.node, life_to_sql(hub.life), to_sql(number), to_sql(turn)])?;
    }
    for hub in &mark.gone {
        connection
            .prepare_cached(
                "INSERT INTO hubs (node, life, number, turn, gone) VALUES (?1, ?2, 0, 0, 1) \
                 ON CONFLICT (node, life) DO UPDATE SET gone = 1",
            )?
            .execute(params![hub.node, life_to_sql(hub.life)])?;
    }
    Ok(())
}

fn unwritten<E: std::error::Error + Send + Sync + 'static>(error: E) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// A session begins or ends.
pub(super) fn session(connection: &Connection, new: &NewSession) -> Outcome {
    let hub = new.place.hub;
    let place = (hub.node, life_to_sql(hub.life), to_sql(new.place.connection.0));
    if let Some(SessionPlace { hub, connection: other }) = new.replaces {
        let place = (hub.node, life_to_sql(hub.life), to_sql(other.0));
        end_session(connection, place)?;
    }
    if new.is_open {
        let mut session = Vec::new();
        ciborium::into_writer(new, &mut session).map_err(unwritten)?;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO sessions (node, life, connection, session) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![place.0, place.1, place.2, session])?;
    } else {
        end_session(connection, place)?;
    }
    Ok(Ok::<Stored, Conflict>(Stored::Done))
}

fn end_session(connection: &Connection, place: (u32, i64, i64)) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM sessions WHERE node = ?1 AND life = ?2 AND connection = ?3")?
        .execute(params![place.0, place.1, place.2])?;
    Ok(())
}

/// A hub is gone, with its sessions.
pub(super) fn gone(connection: &Connection, hub: Incarnation) -> Outcome {
    connection
        .prepare_cached("DELETE FROM sessions WHERE node = ?1 AND life = ?2")?
        .execute(params![hub.node, life_to_sql(hub.life)])?;
    Ok(Ok::<Stored, Conflict>(Stored::Done))
}
