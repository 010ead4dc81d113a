//! Reading beside the writer: sign-in, catch-up, bundles and membership links.

mod dropped;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chat_protocol::{
    id::Digest,
    name::{ConversationId, UserName},
};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{from_sql, open, reader, signers, small, to_sql};
use crate::{
    limits::READERS_MAX,
    store::{
        AccountId, AccountRow, Answer, BundleName, BundlesInOrder, DeviceId, EntryKind, LogId,
        Page, PageEntry, PageEpoch, PageRequest, ReadError, ReadSource,
    },
};

impl From<super::Problem> for ReadError {
    fn from(problem: super::Problem) -> Self {
        match problem {
            super::Problem::Database(error) => error.into(),
            super::Problem::Damaged(what) => Self::Damaged(what),
        }
    }
}

#[derive(Debug)]
struct Pool {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

/// Read connections, made when needed.
#[derive(Debug)]
pub(super) struct Readers(Arc<Pool>);

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        let permits = Semaphore::new(READERS_MAX);
        Self(Arc::new(Pool { file, idle: Mutex::default(), permits }))
    }

    /// Runs a query on a blocking thread, which whoever asks waits for.
    fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Answer<'_, T> {
        let pool = &self.0;
        Box::pin(async move {
            let _permit = pool.permits.acquire().await.map_err(|_closed| ReadError::Ending)?;
            let pool = Arc::clone(pool);
            let run = move || {
                let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = match idle {
                    Some(connection) => connection,
                    None => reader(&pool.file)?,
                };
                let result = query(&connection);
                pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                result
            };
            spawn_blocking(run).await.map_err(|_cut| ReadError::Ending)?
        })
    }
}

impl ReadSource for Readers {
    fn account<'a>(&'a self, name: &'a UserName) -> Answer<'a, Option<AccountRow>> {
        let folded = name.folded();
        self.query(move |connection| {
            let mut select =
                connection.prepare_cached("SELECT id FROM accounts WHERE folded = ?1")?;
            let id: Option<i64> = select.query_row([folded], |row| row.get(0)).optional()?;
            let Some(id) = id else { return Ok(None) };
            Ok(open::account(connection, AccountId(id))?)
        })
    }

    fn vault(&self, account: AccountId) -> Answer<'_, Option<Vec<u8>>> {
        self.query(move |connection| {
            let mut select =
                connection.prepare_cached("SELECT vault FROM accounts WHERE id = ?1")?;
            Ok(select.query_row([account.0], |row| row.get(0)).optional()?.flatten())
        })
    }

    fn bundles(&self, names: Vec<BundleName>) -> Answer<'_, BundlesInOrder> {
        self.query(move |connection| {
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
    }

    fn kept_bytes(&self) -> Answer<'_, HashMap<AccountId, u64>> {
        self.query(move |connection| {
            let mut select = connection
                .prepare_cached("SELECT sender, sum(length(frame)) FROM entries GROUP BY sender")?;
            let rows = select.query_map([], |row| {
                Ok((AccountId(row.get(0)?), from_sql(row.get::<_, i64>(1)?)))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn links(&self, log: LogId, from: u32, limit: usize) -> Answer<'_, (Vec<Vec<u8>>, bool)> {
        self.query(move |connection| {
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
    }

    fn has_link<'a>(&'a self, cid: &'a ConversationId, mg: u32, link: Digest) -> Answer<'a, bool> {
        let cid = cid.clone();
        self.query(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT 1 FROM links JOIN conversations ON conversations.id = links.log \
                 WHERE cid = ?1 AND mg = ?2 AND digest = ?3",
            )?;
            Ok(select.exists(params![cid.as_str(), mg, link.as_bytes()])?)
        })
    }

    fn cursors(&self, device: DeviceId) -> Answer<'_, (u64, HashMap<LogId, u64>)> {
        self.query(move |connection| {
            let mut select =
                connection.prepare_cached("SELECT start FROM devices WHERE id = ?1")?;
            let start: i64 = select.query_row([device.0], |row| row.get(0))?;
            let mut select =
                connection.prepare_cached("SELECT log, position FROM cursors WHERE device = ?1")?;
            let rows = select
                .query_map([device.0], |row| Ok((LogId(row.get(0)?), from_sql(row.get(1)?))))?;
            Ok((from_sql(start), rows.collect::<Result<_, _>>()?))
        })
    }

    fn page(&self, request: PageRequest) -> Answer<'_, Page> {
        self.query(move |connection| page(connection, &request))
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
