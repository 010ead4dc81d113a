//! The store in one SQLite file: a thread that writes, and connections that read.

mod brought;
mod checkpoint;
mod copies;
mod digest;
mod excused;
mod offers;
mod open;
mod operator;
mod reads;
mod revoked;
mod signers;
mod turns;
mod unsure;
mod write;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use chat_protocol::id::Digest;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::{
    CommitError, Committed, Conflict, DATABASE_FILE, Followed, KeptBatch, Mark, Noted, OpenError,
    Proposal, ReadError, Reads, Snapshot, Store, Stored, Written,
};
use crate::metrics::Metrics;

use checkpoint::Checkpoints;
pub use digest::{Contents, contents, last_turn};
use reads::Readers;
pub use turns::{FollowedLog, Lost, Owner};

/// What a proposal ends in, or a failure of the whole batch.
type Outcome = rusqlite::Result<Result<Stored, Conflict>>;

/// What can be wrong with a row.
enum Problem {
    Database(rusqlite::Error),
    Damaged(String),
}

impl Problem {
    fn of(self, file: &Path) -> OpenError {
        let file = file.display().to_string();
        match self {
            Self::Database(source) => OpenError::Database { file, source: source.into() },
            Self::Damaged(what) => OpenError::Damaged { file, what },
        }
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Reads a value we wrote; anything else means damage.
fn intact<T, E: std::fmt::Display>(what: &str, value: Result<T, E>) -> Result<T, Problem> {
    value.map_err(|error| Problem::Damaged(format!("{what}: {error}")))
}

/// What was kept, and of a turn of a shared log what everything up to it came to.
type Kept = (Vec<Committed>, Option<Digest>);

/// A batch on its way to the thread, the turn that it is, and the way back.
type Job = (Vec<Proposal>, Option<Box<Mark>>, oneshot::Sender<Result<Kept, CommitError>>);

/// The end of the worker. Dropping it ends the thread after the batch under way.
#[derive(Debug)]
pub struct SqliteStore {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    file: PathBuf,
}

/// Options of the database. Tests make the disk small.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteOptions {
    /// Most pages of the file; `None` leaves it to the disk.
    pub pages_max: Option<u32>,
}

/// Opens or makes the database in `folder` and reads what the router needs.
pub fn open(
    folder: &Path,
    options: SqliteOptions,
    metrics: Arc<Metrics>,
) -> Result<(SqliteStore, Reads, Snapshot), OpenError> {
    let (store, reads, snapshot, _) = open_for(folder, options, metrics, None)?;
    Ok((store, reads, snapshot))
}

/// The same of a hub that follows this log, and begins this life: how far it is, too.
pub fn open_shared(
    folder: &Path,
    options: SqliteOptions,
    metrics: Arc<Metrics>,
    (log, life): (&FollowedLog, u64),
) -> Result<(SqliteStore, Reads, Snapshot, Followed), OpenError> {
    open_for(folder, options, metrics, Some((log, life)))
}

/// Whose the database in `folder` is.
pub fn owner(folder: &Path) -> Result<Owner, OpenError> {
    let file = folder.join(DATABASE_FILE);
    if std::fs::metadata(&file).map_or(true, |metadata| metadata.len() == 0) {
        return Ok(Owner::Nobody);
    }
    let found = Connection::open(&file).and_then(|connection| turns::owner(&connection));
    let name = file.display().to_string();
    found.map_err(|source| OpenError::Database { file: name, source: source.into() })
}

/// What the database in `folder` has noted of the log that it follows; nothing where it follows none, or is of a server
/// that did not note it yet.
pub fn noted(folder: &Path) -> Result<Option<Noted>, OpenError> {
    of_file(folder, turns::noted_in)
}

fn of_file<T>(
    folder: &Path,
    work: impl FnOnce(&Path) -> rusqlite::Result<T>,
) -> Result<T, OpenError> {
    let file = folder.join(DATABASE_FILE);
    work(&file).map_err(|source| OpenError::Database {
        file: file.display().to_string(),
        source: source.into(),
    })
}

/// Makes the database in `folder`, of a server that was alone and is `node` from now on, the beginning of this log.
/// `base` is what is in it, by [`contents`]. Nothing else may use the folder.
pub fn adopt(
    folder: &Path,
    (log, node): (&FollowedLog, u32),
    base: &Digest,
) -> Result<(), OpenError> {
    of_file(folder, |file| turns::adopt(file, (log, node), base))
}

/// Makes the database in `folder`, of the server that was `node`, that of a server that is alone. Nothing else may use
/// the folder.
pub fn leave(folder: &Path, node: u32) -> Result<(), OpenError> {
    of_file(folder, |file| turns::leave(file, node))
}

/// Makes the database of the server `node` in the folder `to` from the one in `folder`, which may be in use. Returns the
/// last turn of the log that is in it.
pub fn copy(folder: &Path, to: &Path, node: &str) -> Result<u64, OpenError> {
    of_file(folder, |file| turns::copy(file, &to.join(DATABASE_FILE), node))
}

/// How far the database in `folder` has followed the log with this id.
pub fn followed_to(folder: &Path, log: [u8; 16]) -> Result<Lost, OpenError> {
    match owner(folder)? {
        Owner::Follows(own) if own.log == log => of_file(folder, turns::followed_to),
        Owner::Follows(FollowedLog { node, .. }) => {
            let file = folder.join(DATABASE_FILE).display().to_string();
            Err(OpenError::OtherLog { file, node })
        }
        Owner::Nobody | Owner::Alone => {
            Err(OpenError::Empty { file: folder.join(DATABASE_FILE).display().to_string() })
        }
    }
}

/// Puts what was committed to the database in `folder` on the disk; another thread may write to it meanwhile. Where commits
/// sync by themselves nobody needs it.
pub fn sync(folder: &Path) -> std::io::Result<()> {
    // What was committed lies in the write-ahead log; SQLite syncs the database itself when it moves that there. The
    // database must not be opened here: closing it would drop the locks of all its connections (fcntl(2)).
    let mut journal = folder.join(DATABASE_FILE).into_os_string();
    journal.push("-wal");
    std::fs::File::open(journal)?.sync_data()
}

/// What everything up to the last turns came to, in the database in `folder`: some thousand of them.
pub fn chains(folder: &Path) -> Result<BTreeMap<u64, Digest>, OpenError> {
    of_file(folder, turns::chains)
}

/// The keys that the last turns have written, in the database in `folder`: those of some thousand.
pub fn written(folder: &Path) -> Result<Vec<Written>, OpenError> {
    of_file(folder, turns::written)
}

/// The batches that the database in `folder` keeps behind a turn: about so many bytes, and at least one.
pub fn kept_batches(folder: &Path, after: u64, bytes: usize) -> Result<Vec<KeptBatch>, OpenError> {
    of_file(folder, |file| turns::tail(file, after, bytes))
}

/// The first turn whose batch the database in `folder` keeps, of each generation of the log that it was read from, and that
/// generation.
pub fn kept_since(folder: &Path) -> Result<Vec<(u64, u64)>, OpenError> {
    of_file(folder, turns::kept_since)
}

/// What `read` makes of the newest batch that the database in `folder` keeps, and of which it makes something.
pub fn newest_batch<T>(
    folder: &Path,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, OpenError> {
    of_file(folder, |file| turns::newest_batch(file, read))
}

/// Does what may wait for the disk, on a thread for such work.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, CommitError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_cut| CommitError::Gone)?;
    done.map_err(|error| CommitError::Failed(error.into()))
}

fn open_for(
    folder: &Path,
    options: SqliteOptions,
    metrics: Arc<Metrics>,
    shared: Option<(&FollowedLog, u64)>,
) -> Result<(SqliteStore, Reads, Snapshot, Followed), OpenError> {
    let failed = |source| OpenError::Io { folder: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = folder.join(DATABASE_FILE);
    if std::fs::metadata(&file).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(OpenError::Empty { file: file.display().to_string() });
    }
    let mut connection = open::writer(&file, options, shared.map(|(log, _)| log))?;
    let mut snapshot = open::snapshot(&connection, &file)?;
    let mut followed = Followed::default();
    if let Some((_, life)) = shared {
        (followed, snapshot.position) = open::followed(&connection, &file, life, &snapshot)?;
        snapshot.sessions = std::mem::take(&mut followed.sessions);
    }
    let reads = Reads::new(Arc::new(Readers::new(file.clone())));
    let checkpoints = Checkpoints::start(&mut connection, &file).map_err(|error| match error {
        checkpoint::Failed::Database(error) => Problem::Database(error).of(&file),
        checkpoint::Failed::Thread(error) => failed(error),
    })?;
    let mut writer =
        write::Writer::new(connection, checkpoints, snapshot.position, shared.is_some());
    let (jobs, waiting) = sync_channel::<Job>(1);
    let run = move || {
        while let Ok((batch, mark, reply)) = waiting.recv() {
            let records = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let start = Instant::now();
            let result = writer.commit(batch, mark.as_deref());
            metrics.commit_duration.observe(start.elapsed().as_secs_f64());
            metrics.commit_batch_size.observe(f64::from(records));
            // Whoever asked may be gone at the end of the process; what is kept is kept.
            reply.send(result).ok();
        }
        writer.end();
    };
    // The store waits for it when it is dropped.
    let thread = thread::Builder::new().name("store".to_owned()).spawn(run).map_err(failed)?;
    let store = SqliteStore { jobs: Some(jobs), thread: Some(thread), file };
    Ok((store, reads, snapshot, followed))
}

impl SqliteStore {
    async fn keep(
        &mut self,
        batch: Vec<Proposal>,
        mark: Option<Box<Mark>>,
    ) -> Result<Kept, CommitError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(CommitError::Gone)?;
        // The worker waits for each batch, so the channel of one never blocks.
        jobs.send((batch, mark, reply)).map_err(|_| CommitError::Gone)?;
        answer.await.map_err(|_| CommitError::Gone)?
    }
}

impl Store for SqliteStore {
    async fn commit(&mut self, batch: Vec<Proposal>) -> Result<Vec<Committed>, CommitError> {
        Ok(self.keep(batch, None).await?.0)
    }

    async fn commit_turn(
        &mut self,
        batch: Vec<Proposal>,
        mark: Mark,
    ) -> Result<(Vec<Committed>, Digest), CommitError> {
        let (kept, chain) = self.keep(batch, Some(Box::new(mark))).await?;
        Ok((kept, chain.unwrap_or(Digest::ZERO)))
    }

    async fn tail(&self, after: u64, bytes: usize) -> Result<Vec<KeptBatch>, CommitError> {
        let file = self.file.clone();
        blocking(move || turns::tail(&file, after, bytes)).await
    }

    async fn note(&mut self, noted: Noted) -> Result<(), CommitError> {
        let file = self.file.clone();
        blocking(move || turns::note(&file, &noted)).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the database thread failed");
        }
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A position for SQLite, whose integers are signed.
fn to_sql(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// A position from SQLite; we never write a negative one.
fn from_sql(position: i64) -> u64 {
    u64::try_from(position).unwrap_or(0)
}

/// A small number from SQLite; we never write another one.
fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Opens a connection that only reads.
fn reader(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    configure(&connection)?;
    Ok(connection)
}

/// Settings of every connection.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

#[cfg(test)]
mod tests;
