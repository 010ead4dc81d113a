//! Reading beside the writer: sign-in, catch-up, bundles and membership links.

mod dropped;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chat_protocol::{
    id::{Digest, KeyId},
    name::{ConversationId, UserName},
};
use rusqlite::{Connection, OptionalExtension, params};
use thiserror::Error;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{from_sql, open, signers, small, to_sql};
use crate::{
    limits::READERS_MAX,
    store::{
        AccountId, AccountRow, BundleName, DeviceId, EntryKind, LogId,
        source::{BundlesInOrder, ReadSource},
    },
};

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// SQLite refuses.
    #[error("cannot read the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// A row is not what we wrote.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The reading thread was cut; the process is ending.
    #[error("cannot read the database: the server is ending")]
    Ending,
}

impl From<open::Problem> for ReadError {
    fn from(problem: open::Problem) -> Self {
        match problem {
            open::Problem::Database(error) => Self::Database(error),
            open::Problem::Damaged(what) => Self::Damaged(what),
        }
    }
}

/// An entry that one device may open.
#[derive(Debug, Clone)]
pub struct PageEntry {
    /// Its log.
    pub log: LogId,
    /// Its position.
    pub position: u64,
    /// When the hub accepted it.
    pub hub_ms: u64,
    /// The frame.
    pub frame: Bytes,
    /// Of an epoch: what comes with it.
    pub epoch: Option<PageEpoch>,
}

/// What a device gets with a KEY frame.
#[derive(Debug, Clone)]
pub struct PageEpoch {
    /// The epoch.
    pub e: Digest,
    /// The member lines.
    pub members: Bytes,
    /// The device's line.
    pub line: u32,
    /// The key, wrapped for it.
    pub wrap: Bytes,
}

/// Entries in the order of their positions, and where the next page begins.
#[derive(Debug, Default)]
pub struct Page {
    /// What this device may open.
    pub entries: Vec<PageEntry>,
    /// What of these logs was dropped behind the places asked for.
    pub dropped: Vec<PageDropped>,
    /// Everything up to here was looked at; `None` when nothing is left.
    pub next: Option<u64>,
}

/// Messages of a log that are not kept any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageDropped {
    /// The log.
    pub log: LogId,
    /// The room.
    pub cid: ConversationId,
    /// None is kept up to this position.
    pub position: u64,
    /// They were accepted before this, Unix time in milliseconds.
    pub before_ms: u64,
    /// How long the room kept messages then, in milliseconds.
    pub keep_ms: u64,
    /// How many there were by other people.
    pub messages: u64,
}

/// Which part of which logs a device wants.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Whose device.
    pub name: UserName,
    /// Its signing key.
    pub sk: KeyId,
    /// Logs, and after which position in each.
    pub logs: Vec<(LogId, u64)>,
    /// Nothing up to here.
    pub after: u64,
    /// Nothing beyond.
    pub until: u64,
    /// What was dropped up to here of some logs was asked for before.
    pub counted: HashMap<LogId, u64>,
    /// Entries looked at.
    pub limit: usize,
}

#[derive(Debug)]
struct Pool {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

/// Read connections, made when needed. Clones share them.
#[derive(Debug, Clone)]
pub struct Reads(Place);

#[derive(Debug, Clone)]
enum Place {
    File(Arc<Pool>),
    Elsewhere(Arc<dyn ReadSource>),
}

impl Reads {
    pub(super) fn new(file: PathBuf) -> Self {
        let permits = Semaphore::new(READERS_MAX);
        Self(Place::File(Arc::new(Pool { file, idle: Mutex::default(), permits })))
    }

    /// Reads of a store that is no file, such as a simulation's.
    pub fn elsewhere(source: Arc<dyn ReadSource>) -> Self {
        Self(Place::Elsewhere(source))
    }

    /// Runs a query on a blocking thread.
    async fn query<T: Send + 'static>(
        pool: &Arc<Pool>,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let _permit = pool.permits.acquire().await.map_err(|_closed| ReadError::Ending)?;
        let pool = Arc::clone(pool);
        let run = move || {
            let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => open::reader(&pool.file)?,
            };
            let result = query(&connection);
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        };
        spawn_blocking(run).await.map_err(|_cut| ReadError::Ending)?
    }

    /// The account of a name, in any case of its letters.
    pub async fn account(&self, name: &UserName) -> Result<Option<AccountRow>, ReadError> {
        let pool = match &self.0 {
            Place::File(pool) => pool,
            Place::Elsewhere(source) => return source.account(name).await,
        };
        let folded = name.folded();
        Self::query(pool, move |connection| {
            let mut select =
                connection.prepare_cached("SELECT id FROM accounts WHERE folded = ?1")?;
            let id: Option<i64> = select.query_row([folded], |row| row.get(0)).optional()?;
            let Some(id) = id else { return Ok(None) };
            Ok(open::account(connection, AccountId(id))?)
        })
        .await
    }

    /// The vault of an account.
    pub async fn vault(&self, account: AccountId) -> Result<Option<Vec<u8>>, ReadError> {
        let pool = match &self.0 {
            Place::File(pool) => pool,
            Place::Elsewhere(source) => return source.vault(account).await,
        };
        Self::query(pool, move |connection| {
            let mut select =
                connection.prepare_cached("SELECT vault FROM accounts WHERE id = ?1")?;
            Ok(select.query_row([account.0], |row| row.get(0)).optional()?.flatten())
        })
        .await
    }

    /// Bundles by their names, in the order of these.
    pub async fn bundles(&self, names: Vec<BundleName>) -> Result<BundlesInOrder, ReadError> {
        let pool = match &self.0 {
            Place::File(pool) => pool,
            Place::Elsewhere(source) => return source.bundles(names).await,
        };
        Self::query(pool, move |connection| {
            let mut newest =
                connection.prepare_cached("SELECT bundle FROM devices WHERE id = ?1")?;
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                found.push(match name {
                    BundleName::Newest(device) => {
                        newest.query_row([device.0], |row| row.get(0)).optional()?
                    }
                    BundleName::Key(account, kid) => signers::find(connection, account, &kid)?,
                });
            }
            Ok(found)
        })
        .await
    }

    /// Bytes of the frames that are kept, by who sent them. Looks at every entry.
    pub async fn kept_bytes(&self) -> Result<HashMap<AccountId, u64>, ReadError> {
        // Other stores are a simulation's, which nobody fills.
        let Place::File(pool) = &self.0 else { return Ok(HashMap::new()) };
        Self::query(pool, move |connection| {
            let mut select = connection
                .prepare_cached("SELECT sender, sum(length(frame)) FROM entries GROUP BY sender")?;
            let rows = select.query_map([], |row| {
                Ok((AccountId(row.get(0)?), from_sql(row.get::<_, i64>(1)?)))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// MEMBER frames of a room from number `from` on, and whether there are more.
    pub async fn links(
        &self,
        log: LogId,
        from: u32,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, bool), ReadError> {
        let pool = match &self.0 {
            Place::File(pool) => pool,
            Place::Elsewhere(source) => return source.links(log, from, limit).await,
        };
        Self::query(pool, move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT frame FROM links WHERE log = ?1 AND mg >= ?2 ORDER BY mg LIMIT ?3",
            )?;
            let rows = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let links = select.query_map(params![log.0, from, rows], |row| row.get(0))?;
            let mut links: Vec<Vec<u8>> = links.collect::<Result<_, _>>()?;
            let is_more = links.len() > limit;
            links.truncate(limit);
            Ok((links, is_more))
        })
        .await
    }

    /// Whether the chain of a room has this link at this place.
    pub async fn has_link(
        &self,
        cid: &ConversationId,
        mg: u32,
        link: Digest,
    ) -> Result<bool, ReadError> {
        let pool = match &self.0 {
            Place::File(pool) => pool,
            Place::Elsewhere(source) => return source.has_link(cid, mg, link).await,
        };
        let cid = cid.clone();
        Self::query(pool, move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT 1 FROM links JOIN conversations ON conversations.id = links.log \
                 WHERE cid = ?1 AND mg = ?2 AND digest = ?3",
            )?;
            Ok(select.exists(params![cid.as_str(), mg, link.as_bytes()])?)
        })
        .await
    }

    /// Where a device began, and its cursors.
    pub async fn cursors(&self, device: DeviceId) -> Result<(u64, HashMap<LogId, u64>), ReadError> {
        let pool = match &self.0 {
            Place::File(pool) => pool,
            Place::Elsewhere(source) => return source.cursors(device).await,
        };
        Self::query(pool, move |connection| {
            let mut select =
                connection.prepare_cached("SELECT start FROM devices WHERE id = ?1")?;
            let start: i64 = select.query_row([device.0], |row| row.get(0))?;
            let mut select =
                connection.prepare_cached("SELECT log, position FROM cursors WHERE device = ?1")?;
            let rows = select
                .query_map([device.0], |row| Ok((LogId(row.get(0)?), from_sql(row.get(1)?))))?;
            Ok((from_sql(start), rows.collect::<Result<_, _>>()?))
        })
        .await
    }

    /// The next entries of several logs together, in the order of their positions.
    pub async fn page(&self, request: PageRequest) -> Result<Page, ReadError> {
        let pool = match &self.0 {
            Place::File(pool) => pool,
            Place::Elsewhere(source) => return source.page(request).await,
        };
        Self::query(pool, move |connection| page(connection, &request)).await
    }
}

fn page(connection: &Connection, request: &PageRequest) -> Result<Page, ReadError> {
    // One view of the file: what is dropped meanwhile is either here or said to be gone.
    let transaction = connection.unchecked_transaction()?;
    let page = read_page(&transaction, request)?;
    transaction.finish()?;
    Ok(page)
}

fn read_page(connection: &Connection, request: &PageRequest) -> Result<Page, ReadError> {
    let places = places(connection, request)?;
    let dropped = dropped::behind(connection, request)?;
    let mut page = Page { dropped, ..Page::default() };
    if places.len() >= request.limit {
        page.next = places.last().map(|(position, _)| *position);
    }
    let mut lines = HashMap::new();
    for (position, log) in places {
        if let Some(entry) = entry(connection, request, (log, position), &mut lines)? {
            page.entries.push(entry);
        }
    }
    Ok(page)
}

/// Positions and logs of the next entries, merged over all logs. The plus takes the column's type
/// away: otherwise SQLite could not look the expression up in its index.
fn places(connection: &Connection, request: &PageRequest) -> Result<Vec<(u64, LogId)>, ReadError> {
    let mut select = connection.prepare_cached(
        "SELECT position FROM segments CROSS JOIN entries INDEXED BY entries_by_log \
         ON position >> 12 = +segment AND entries.log = segments.log \
         WHERE segments.log = ?1 AND segment >= ?2 >> 12 AND position > ?2 AND position <= ?3 \
         ORDER BY segment, position LIMIT ?4",
    )?;
    let limit = i64::try_from(request.limit).unwrap_or(i64::MAX);
    let mut places = Vec::new();
    for (log, after) in &request.logs {
        let after = to_sql((*after).max(request.after));
        let rows = select
            .query_map(params![log.0, after, to_sql(request.until), limit], |row| row.get(0))?;
        for position in rows {
            places.push((from_sql(position?), *log));
        }
    }
    places.sort_unstable();
    places.truncate(request.limit);
    Ok(places)
}

/// Member lines and the device's own line, for each epoch of a page.
type Lines = HashMap<i64, Option<OwnLine>>;

/// One entry, unless the device cannot open it or sent it.
fn entry(
    connection: &Connection,
    request: &PageRequest,
    (log, position): (LogId, u64),
    lines: &mut Lines,
) -> Result<Option<PageEntry>, ReadError> {
    let mut select = connection.prepare_cached(
        "SELECT kind, epoch, line, hub_ms, frame FROM entries WHERE position = ?1",
    )?;
    let (kind, epoch, sender_line, hub_ms, frame): (i64, i64, i64, i64, Vec<u8>) = select
        .query_row([to_sql(position)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
    // Erased, with the account that it was for.
    if frame.is_empty() {
        return Ok(None);
    }
    let mut found =
        PageEntry { log, position, hub_ms: from_sql(hub_ms), frame: frame.into(), epoch: None };
    let kind = kind_of(kind)?;
    if kind == EntryKind::Receipt {
        return Ok(Some(found));
    }
    let own = if let Some(own) = lines.get(&epoch) {
        own.clone()
    } else {
        let own = own_line(connection, epoch, request)?;
        lines.insert(epoch, own.clone());
        own
    };
    let Some((e, members, line)) = own.filter(|(_, _, line)| *line != small(sender_line)) else {
        return Ok(None);
    };
    if kind == EntryKind::Key {
        let mut select =
            connection.prepare_cached("SELECT wrap FROM wraps WHERE epoch = ?1 AND line = ?2")?;
        let wrap: Vec<u8> = select.query_row(params![epoch, line], |row| row.get(0))?;
        found.epoch = Some(PageEpoch { e, members, line, wrap: wrap.into() });
    }
    Ok(Some(found))
}

fn kind_of(number: i64) -> Result<EntryKind, ReadError> {
    match number {
        0 => Ok(EntryKind::Message),
        1 => Ok(EntryKind::Receipt),
        2 => Ok(EntryKind::Key),
        _ => Err(ReadError::Damaged(format!("entry of kind {number}"))),
    }
}

/// Digest and member lines of an epoch, and the device's own line in it.
type OwnLine = (Digest, Bytes, u32);

/// The device's line in an epoch: the lines are text, `name sk ek`.
fn own_line(
    connection: &Connection,
    epoch: i64,
    request: &PageRequest,
) -> Result<Option<OwnLine>, ReadError> {
    let mut select = connection.prepare_cached("SELECT e, members FROM epochs WHERE id = ?1")?;
    let row = select
        .query_row([epoch], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    let Some((e, members)) = row else { return Ok(None) };
    let start = format!("{} {} ", request.name, request.sk);
    let line = members.split(|&byte| byte == b'\n').position(|l| l.starts_with(start.as_bytes()));
    let line = line.and_then(|line| u32::try_from(line).ok());
    Ok(line.map(|line| (Digest(e), Bytes::from(members), line)))
}
