//! The store in one SQLite file: a thread that writes, and connections that read.

mod brought;
mod copies;
mod excused;
mod offers;
mod open;
mod operator;
mod reads;
mod signers;
mod write;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    CommitError, Committed, DATABASE_FILE, OpenError, Proposal, ReadError, Reads, Snapshot, Store,
};
use crate::metrics::Metrics;

use reads::Readers;

/// A batch on its way to the thread, and the way back.
type Job = (Vec<Proposal>, oneshot::Sender<Result<Vec<Committed>, CommitError>>);

/// The end of the worker. Dropping it ends the thread after the batch under way.
#[derive(Debug)]
pub struct SqliteStore {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
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
    let failed = |source| OpenError::Io { folder: folder.display().to_string(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let file = folder.join(DATABASE_FILE);
    if std::fs::metadata(&file).is_ok_and(|metadata| metadata.len() == 0) {
        return Err(OpenError::Empty { file: file.display().to_string() });
    }
    let connection = open::writer(&file, options)?;
    let snapshot = open::snapshot(&connection, &file)?;
    let reads = Reads::new(Arc::new(Readers::new(file)));
    let mut writer = write::Writer::new(connection, snapshot.position);
    let (jobs, waiting) = sync_channel::<Job>(1);
    let run = move || {
        while let Ok((batch, reply)) = waiting.recv() {
            let records = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let start = Instant::now();
            let result = writer.commit(batch);
            metrics.commit_duration.observe(start.elapsed().as_secs_f64());
            metrics.commit_batch_size.observe(f64::from(records));
            // Whoever asked may be gone at the end of the process; what is kept is kept.
            reply.send(result).ok();
        }
    };
    // The store waits for it when it is dropped.
    let thread = thread::Builder::new().name("store".to_owned()).spawn(run).map_err(failed)?;
    Ok((SqliteStore { jobs: Some(jobs), thread: Some(thread) }, reads, snapshot))
}

impl Store for SqliteStore {
    async fn commit(&mut self, batch: Vec<Proposal>) -> Result<Vec<Committed>, CommitError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(CommitError::Gone)?;
        // The worker waits for each batch, so the channel of one never blocks.
        jobs.send((batch, reply)).map_err(|_| CommitError::Gone)?;
        answer.await.map_err(|_| CommitError::Gone)?
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

/// Settings of every connection.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

#[cfg(test)]
mod tests;
