//! Schema, and what the router needs at the start.

use std::path::Path;

use chat_protocol::{
    frame::RawFrame,
    header::{Header, MemberHeader},
    id::{Digest, KeyId, Nonce16},
    members::MemberList,
    name::{ConversationId, ConversationKind, RoomName, UserName},
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Problem, SqliteOptions, brought, configure, copies, excused, from_sql, intact, offers,
    operator, revoked, signers, small, to_sql,
    turns::{self, FollowedLog},
};
use crate::{
    limits::{EPOCH_MEMORY, OLD_EPOCHS_MAX},
    store::{
        AccountId, AccountRow, ConversationRow, DeviceId, DeviceRow, EpochId, EpochRow, Followed,
        LogId, OpenError, Snapshot, Waiting,
    },
};

/// `PRAGMA user_version` of this schema.
const SCHEMA_VERSION: i64 = 3;

/// Pages the writer keeps in memory, in KiB: appends touch few pages, and everything that is read
/// often is in the router's memory already.
const WRITER_CACHE_KIB: i64 = 6 * 1024;

/// Entries lie in the order of their positions, so a batch fills whole pages at the end of the file
/// however many conversations it is for. Ids begin with a time, so their index grows at its end too.
/// The index by log is cut into segments of 4,096 positions: a batch writes into the few pages of the
/// newest segment and not into one page for each conversation. `segments` says in which of them a
/// log has something, so that reading a log does not look into the others.
const SCHEMA: &str = "
CREATE TABLE accounts (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE,
  identity BLOB NOT NULL, password TEXT, vault BLOB) STRICT;
CREATE TABLE devices (
  id INTEGER PRIMARY KEY, account INTEGER NOT NULL, dev BLOB NOT NULL, start INTEGER NOT NULL,
  bundle BLOB NOT NULL, UNIQUE (account, dev)) STRICT;
CREATE TABLE conversations (id INTEGER PRIMARY KEY, cid TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE entries (
  position INTEGER PRIMARY KEY, log INTEGER NOT NULL, kind INTEGER NOT NULL, sender INTEGER NOT NULL,
  id BLOB NOT NULL, digest BLOB NOT NULL, epoch INTEGER NOT NULL, line INTEGER NOT NULL,
  n INTEGER NOT NULL, hub_ms INTEGER NOT NULL, frame BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX entries_by_id ON entries (id, sender, log);
CREATE TABLE epochs (
  id INTEGER PRIMARY KEY, log INTEGER NOT NULL, g INTEGER NOT NULL, e BLOB NOT NULL,
  position INTEGER NOT NULL, members BLOB NOT NULL, UNIQUE (log, g)) STRICT;
CREATE INDEX epochs_by_digest ON epochs (log, e);
CREATE TABLE wraps (
  epoch INTEGER NOT NULL, line INTEGER NOT NULL, wrap BLOB NOT NULL,
  PRIMARY KEY (epoch, line)) STRICT, WITHOUT ROWID;
CREATE TABLE links (
  log INTEGER NOT NULL, mg INTEGER NOT NULL, position INTEGER NOT NULL, digest BLOB NOT NULL,
  frame BLOB NOT NULL, PRIMARY KEY (log, mg)) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (
  device INTEGER NOT NULL, log INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (device, log)) STRICT, WITHOUT ROWID;
";

/// What version 2 has more than version 1: see the comment on `SCHEMA`.
const SEGMENTS: &str = "
CREATE INDEX entries_by_log ON entries (position >> 12, log);
CREATE TABLE segments (
  log INTEGER NOT NULL, segment INTEGER NOT NULL, PRIMARY KEY (log, segment)) STRICT, WITHOUT ROWID;
";

/// What version 3 has more than version 2. A server of version 2 would give the positions of
/// deleted messages again, so it must not open such a file.
///
/// - `retention`: what a room says for itself.
/// - `dropped`: no message of this log up to `position` is kept; they were accepted before
///   `before_ms`. Epochs below `g` have no key any more.
/// - `dropped_from`: one bit for each position where a message of `sender` was, 64 in a row: how
///   many of them somebody who was away has missed.
/// - `dropped_counters`: the highest counter of a line in an epoch, once its frame is gone.
const RETENTION: &str = "
CREATE TABLE retention (log INTEGER PRIMARY KEY, keep_ms INTEGER NOT NULL) STRICT;
CREATE TABLE dropped (
  log INTEGER PRIMARY KEY, position INTEGER NOT NULL, before_ms INTEGER NOT NULL,
  keep_ms INTEGER NOT NULL, g INTEGER NOT NULL) STRICT;
CREATE TABLE dropped_from (
  log INTEGER NOT NULL, bucket INTEGER NOT NULL, sender INTEGER NOT NULL, bits INTEGER NOT NULL,
  PRIMARY KEY (log, bucket, sender)) STRICT, WITHOUT ROWID;
CREATE TABLE dropped_counters (
  epoch INTEGER NOT NULL, line INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (epoch, line)) STRICT, WITHOUT ROWID;
";

/// A table that came after the schema. Its absence is no other version: who does not know it has no
/// use for it.
const TOPICS: &str = "CREATE TABLE IF NOT EXISTS topics (
  log INTEGER PRIMARY KEY, topic TEXT NOT NULL) STRICT;";

/// Opens the one connection that writes, and makes the schema in a new file.
pub(super) fn writer(
    file: &Path,
    options: SqliteOptions,
    log: Option<&FollowedLog>,
) -> Result<Connection, OpenError> {
    let name = file.display().to_string();
    let failed =
        |source: rusqlite::Error| OpenError::Database { file: name.clone(), source: source.into() };
    let connection = Connection::open(file).map_err(failed)?;
    prepare(&connection, options, log.is_some()).map_err(failed)?;
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    match found {
        0 => make(&connection).map_err(failed)?,
        1 => {
            add_segments(&connection).map_err(failed)?;
            add_retention(&connection).map_err(failed)?;
        }
        2 => add_retention(&connection).map_err(failed)?,
        SCHEMA_VERSION => {}
        _ => return Err(OpenError::Version { file: name, found, known: SCHEMA_VERSION }),
    }
    connection.execute_batch(TOPICS).map_err(failed)?;
    drop_bundle_count(&connection).map_err(failed)?;
    copies::make(&connection).map_err(failed)?;
    excused::make(&connection).map_err(failed)?;
    brought::make(&connection).map_err(failed)?;
    offers::prepare(&connection).map_err(failed)?;
    operator::prepare(&connection).map_err(failed)?;
    signers::prepare(&connection).map_err(failed)?;
    revoked::prepare(&connection).map_err(failed)?;
    turns::prepare(&connection, file, log)?;
    Ok(connection)
}

fn prepare(
    connection: &Connection,
    options: SqliteOptions,
    is_shared: bool,
) -> rusqlite::Result<()> {
    configure(connection)?;
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An ACK means durable: the log is synced at every commit. Where the log that hubs share has it already, the
    // file may be an earlier one after a power cut: it knows its turn, and reads on from there.
    let synchronous = if is_shared { "NORMAL" } else { "FULL" };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    if let Some(pages) = options.pages_max {
        connection.pragma_update(None, "max_page_count", i64::from(pages))?;
    }
    Ok(())
}

fn make(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(SCHEMA)?;
    transaction.execute_batch(SEGMENTS)?;
    transaction.execute_batch(RETENTION)?;
    for room in [RoomName::lobby(), RoomName::all()] {
        let cid = ConversationId::room(&room);
        transaction.execute("INSERT INTO conversations (cid) VALUES (?1)", [cid.as_str()])?;
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Brings a file of version 1 to version 2.
fn add_segments(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch("DROP INDEX entries_by_log")?;
    transaction.execute_batch(SEGMENTS)?;
    transaction.execute_batch(
        "INSERT INTO segments (log, segment) SELECT DISTINCT log, position >> 12 FROM entries",
    )?;
    transaction.pragma_update(None, "user_version", 2)?;
    transaction.commit()
}

/// Brings a file of version 2 to version 3.
fn add_retention(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(RETENTION)?;
    transaction.pragma_update(None, "user_version", 3)?;
    transaction.commit()
}

/// Takes a column away that counted an account's bundles: clients compare what they hold.
fn drop_bundle_count(connection: &Connection) -> rusqlite::Result<()> {
    let counted = "SELECT count(*) FROM pragma_table_info('accounts') WHERE name = 'version'";
    let columns: i64 = connection.query_row(counted, [], |row| row.get(0))?;
    if columns > 0 {
        connection.execute_batch("ALTER TABLE accounts DROP COLUMN version")?;
    }
    Ok(())
}

/// Reads what the router needs.
pub(super) fn snapshot(connection: &Connection, file: &Path) -> Result<Snapshot, OpenError> {
    read_snapshot(connection).map_err(|problem| problem.of(file))
}

/// How far a file is that follows a shared log, and the last position that was given there. This life of its hub
/// begins.
pub(super) fn followed(
    connection: &Connection,
    file: &Path,
    life: u64,
    snapshot: &Snapshot,
) -> Result<(Followed, u64), OpenError> {
    let read = turns::read(connection).map_err(|problem| problem.of(file))?;
    let (followed, position) = read;
    let begun = turns::begin_life(connection, life).map_err(Problem::from);
    begun.map_err(|problem| problem.of(file))?;
    Ok((followed, position.max(snapshot.position)))
}

fn read_snapshot(connection: &Connection) -> Result<Snapshot, Problem> {
    let mut snapshot = Snapshot::default();
    let mut select = connection.prepare("SELECT id FROM accounts ORDER BY id")?;
    let ids: Vec<i64> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids {
        let Some(account) = account(connection, AccountId(id))? else { continue };
        let newest = newest(connection, LogId::inbox(account.id))?;
        snapshot.position = snapshot.position.max(newest);
        snapshot.accounts.push((account, newest));
    }
    snapshot.copies = copies::all(connection)?;
    let since_ms = remembered_since(connection)?;
    let mut select = connection.prepare("SELECT id, cid FROM conversations ORDER BY id")?;
    let rows: Vec<(i64, String)> =
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (id, cid) in rows {
        let cid = intact("conversation", ConversationId::parse(&cid))?;
        let row = conversation(connection, (LogId(id), cid), since_ms)?;
        let last_link: Option<i64> = connection
            .query_row(
                "SELECT position FROM links WHERE log = ?1 ORDER BY mg DESC LIMIT 1",
                [id],
                |row| row.get(0),
            )
            .optional()?;
        let last_link = from_sql(last_link.unwrap_or(0));
        snapshot.position = snapshot.position.max(row.newest).max(last_link);
        snapshot.conversations.push(row);
    }
    snapshot.offers = offers::read(connection)?;
    snapshot.operator = operator::read(connection)?;
    Ok(snapshot)
}

/// The last position of a log, 0 for an empty one.
fn newest(connection: &Connection, log: LogId) -> rusqlite::Result<u64> {
    let mut select = connection.prepare_cached(
        "SELECT max(position) FROM entries WHERE log = ?1 AND \
         position >> 12 = (SELECT max(segment) FROM segments WHERE log = ?1)",
    )?;
    let newest: Option<i64> = select.query_row([log.0], |row| row.get(0))?;
    // What was deleted had its position too.
    let mut select = connection.prepare_cached("SELECT position FROM dropped WHERE log = ?1")?;
    let dropped: Option<i64> = select.query_row([log.0], |row| row.get(0)).optional()?;
    Ok(from_sql(newest.max(dropped).unwrap_or(0)))
}

/// One account with its devices.
pub(super) fn account(
    connection: &Connection,
    id: AccountId,
) -> Result<Option<AccountRow>, Problem> {
    let mut select =
        connection.prepare_cached("SELECT name, identity, password FROM accounts WHERE id = ?1")?;
    let row = select
        .query_row([id.0], |row| {
            let name: String = row.get(0)?;
            let identity: [u8; 16] = row.get(1)?;
            Ok((name, KeyId(identity), row.get(2)?))
        })
        .optional()?;
    let Some((name, identity, password)) = row else { return Ok(None) };
    let mut select = connection
        .prepare_cached("SELECT id, dev, bundle FROM devices WHERE account = ?1 ORDER BY id")?;
    let devices = select.query_map([id.0], |row| {
        let bundle: Vec<u8> = row.get(2)?;
        Ok(DeviceRow {
            id: DeviceId(row.get(0)?),
            dev: Nonce16(row.get(1)?),
            bundle: bundle.into(),
        })
    })?;
    let devices = devices.collect::<Result<_, _>>()?;
    let name = intact("name", UserName::new(&name))?;
    let reset = operator::reset_code(connection, id)?;
    let revoked = revoked::of_account(connection, id)?;
    Ok(Some(AccountRow { id, name, identity, password, reset, devices, revoked }))
}

fn conversation(
    connection: &Connection,
    (log, cid): (LogId, ConversationId),
    since_ms: u64,
) -> Result<ConversationRow, Problem> {
    let mut select = connection
        .prepare_cached("SELECT frame, digest, position FROM links WHERE log = ?1 ORDER BY mg")?;
    let rows: Vec<(Vec<u8>, [u8; 32], i64)> = select
        .query_map([log.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut links = Vec::with_capacity(rows.len());
    for (frame, digest, position) in rows {
        links.push((member_header(frame)?, Digest(digest), from_sql(position)));
    }
    let mut select = connection.prepare_cached("SELECT topic FROM topics WHERE log = ?1")?;
    let topic: Option<String> = select.query_row([log.0], |row| row.get(0)).optional()?;
    let topic = topic.unwrap_or_default();
    let mut select = connection.prepare_cached("SELECT keep_ms FROM retention WHERE log = ?1")?;
    let keep_ms: Option<i64> = select.query_row([log.0], |row| row.get(0)).optional()?;
    let keep_ms = keep_ms.map(from_sql);
    let epochs = epochs(connection, log, since_ms)?;
    let waiting = waiting(connection, log, &cid)?;
    let newest = newest(connection, log)?;
    let excused = excused::of_room(connection, log)?;
    let brought = brought::of_room(connection, log)?;
    Ok(ConversationRow {
        log,
        cid,
        links,
        excused,
        brought,
        topic,
        keep_ms,
        epochs,
        newest,
        waiting,
    })
}

/// What no device of the two in a direct conversation has fetched yet.
fn waiting(
    connection: &Connection,
    log: LogId,
    cid: &ConversationId,
) -> rusqlite::Result<Vec<(AccountId, Waiting)>> {
    let ConversationKind::Direct(a, b) = cid.kind() else { return Ok(Vec::new()) };
    // Devices of one person: what they say to each other waits in nobody's mailbox.
    if a == b {
        return Ok(Vec::new());
    }
    let mut cursor = connection.prepare_cached(
        "SELECT account, max(coalesce(cursors.position, start)) \
         FROM accounts JOIN devices ON account = accounts.id \
         LEFT JOIN cursors ON device = devices.id AND log = ?2 \
         WHERE name = ?1 GROUP BY account",
    )?;
    let mut count = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(length(frame)), 0) \
         FROM segments CROSS JOIN entries INDEXED BY entries_by_log \
         ON position >> 12 = +segment AND entries.log = segments.log \
         WHERE segments.log = ?1 AND segment >= ?2 >> 12 AND position > ?2 \
         AND kind = 0 AND sender <> ?3",
    )?;
    let mut found = Vec::new();
    for name in [a, b] {
        let fetched = cursor
            .query_row(params![name.as_str(), log.0], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        let Some((account, position)) = fetched else { continue };
        let waiting = count.query_row([log.0, position, account], |row| {
            Ok(Waiting { messages: from_sql(row.get(0)?), bytes: from_sql(row.get(1)?) })
        })?;
        if waiting.messages > 0 {
            found.push((AccountId(account), waiting));
        }
    }
    Ok(found)
}

fn member_header(frame: Vec<u8>) -> Result<MemberHeader, Problem> {
    let frame = intact("membership frame", RawFrame::decode(frame.into()))?;
    match intact("membership header", Header::parse(frame.header()))? {
        Header::Member(header) => Ok(header),
        _ => Err(Problem::Damaged("a membership chain holds another frame".to_owned())),
    }
}

/// When the last entry of all was accepted, less the time for which older epochs are remembered.
fn remembered_since(connection: &Connection) -> rusqlite::Result<u64> {
    let select = "SELECT hub_ms FROM entries ORDER BY position DESC LIMIT 1";
    let last: Option<i64> = connection.query_row(select, [], |row| row.get(0)).optional()?;
    let memory_ms = u64::try_from(EPOCH_MEMORY.as_millis()).unwrap_or(u64::MAX);
    Ok(from_sql(last.unwrap_or(0)).saturating_sub(memory_ms))
}

/// The newest epoch, and those before it that were replaced since then.
fn epochs(connection: &Connection, log: LogId, since_ms: u64) -> Result<Vec<EpochRow>, Problem> {
    let mut select = connection.prepare_cached(
        "SELECT epochs.id, g, e, epochs.position, members, hub_ms \
         FROM epochs LEFT JOIN entries ON entries.position = epochs.position \
         WHERE epochs.log = ?1 ORDER BY g DESC LIMIT ?2",
    )?;
    let limit = i64::try_from(OLD_EPOCHS_MAX).unwrap_or(i64::MAX);
    let mut rows = select.query([log.0, limit])?;
    let mut epochs: Vec<EpochRow> = Vec::new();
    let mut replaced_ms = None;
    while let Some(row) = rows.next()? {
        if replaced_ms.is_some_and(|replaced_ms| replaced_ms <= since_ms) {
            break;
        }
        let (id, position) = (EpochId(row.get(0)?), from_sql(row.get(3)?));
        let members: Vec<u8> = row.get(4)?;
        if members.is_empty() && replaced_ms.is_some() {
            // Its key was dropped, and those before it, too.
            break;
        }
        epochs.push(EpochRow {
            id,
            g: small(row.get(1)?),
            e: Digest(row.get(2)?),
            position,
            members: intact("member list", MemberList::parse(&members))?,
            counters: counters(connection, log, (id, position))?,
            replaced_ms,
        });
        // The entry of an old one may be gone, with all that was said then.
        replaced_ms = Some(from_sql(row.get::<_, Option<i64>>(5)?.unwrap_or(0)));
    }
    Ok(epochs)
}

/// Lines of an epoch and the last counter of each. A line that is there twice counts with its highest.
fn counters(
    connection: &Connection,
    log: LogId,
    (epoch, position): (EpochId, u64),
) -> rusqlite::Result<Vec<(u32, u32)>> {
    // Only what came after the epoch can be in it.
    let mut select = connection.prepare_cached(
        "SELECT line, max(n) FROM segments CROSS JOIN entries INDEXED BY entries_by_log \
         ON position >> 12 = +segment AND entries.log = segments.log \
         WHERE segments.log = ?1 AND segment >= ?2 >> 12 AND position > ?2 AND epoch = ?3 \
         GROUP BY line \
         UNION ALL SELECT line, n FROM dropped_counters WHERE epoch = ?3",
    )?;
    let rows = select.query_map(params![log.0, to_sql(position), epoch.0], |row| {
        Ok((small(row.get(0)?), small(row.get(1)?)))
    })?;
    rows.collect()
}
