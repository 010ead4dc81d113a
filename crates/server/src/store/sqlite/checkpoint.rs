//! What was committed goes from the write-ahead log into the database on a thread of its own. SQLite by itself does that
//! within the commit that makes the log long: everybody in that batch, and whoever comes meanwhile, waits until some
//! megabytes are written and synced.

use std::{
    ffi::c_int,
    io,
    path::Path,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, ErrorCode, config::DbConfig, hooks::Wal};

use crate::store::CommitError;

/// Pages by which the log grows before they are taken into the database: 4 MiB. With less a page that is written often
/// goes there more often; with more the sync of a commit waits longer beside that of the database.
const STEP: c_int = 512;

/// Pages of the log after which a commit does it by itself: 64 MiB. The log begins anew only when all of it is in the
/// database, and under a load that never pauses the thread is always a few commits behind. Few pages are left then.
const LOG_PAGES_MAX: c_int = 8_192;

/// The log gets this length again when it begins anew after a load that made it longer, in bytes.
const LOG_BYTES_KEPT: i64 = 16 << 20;

/// When the log was last given to the thread.
struct Growth {
    /// Its pages then.
    given: c_int,
}

impl Growth {
    /// Whether a log of so many pages is due.
    fn is_due(&mut self, pages: c_int) -> bool {
        if pages < self.given {
            // It has begun anew.
            self.given = 0;
        }
        let is_due = pages.saturating_sub(self.given) >= STEP;
        if is_due {
            self.given = pages;
        }
        is_due
    }
}

/// What a checkpoint has failed with, if the disk may have lost what was written to the database: the next one would
/// write only what came after, and succeed. The log still has all of it until a checkpoint is complete, so there is none
/// any more, and the next start writes all of it again.
#[derive(Debug, Clone, Default)]
struct Damage(Arc<OnceLock<String>>);

impl Damage {
    fn note(&self, error: &rusqlite::Error) {
        match error.sqlite_error_code() {
            // Nothing was written, or there is no room for it.
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {}
            _ => drop(self.0.set(format!("the log cannot be taken into the database: {error}"))),
        }
    }

    fn is_there(&self) -> bool {
        self.0.get().is_some()
    }
}

/// The thread, and what came of it.
pub(super) struct Checkpoints {
    thread: JoinHandle<()>,
    damage: Damage,
}

impl Checkpoints {
    /// Starts the thread for the database that this connection writes to.
    pub(super) fn start(connection: &mut Connection, file: &Path) -> Result<Self, Failed> {
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
        let own = Connection::open(file)?;
        super::configure(&own)?;
        let (wake, woken) = sync_channel(1);
        let damage = Damage::default();
        connection.wal_hook(Some(on_commit(wake, damage.clone())))?;
        let noted = damage.clone();
        let run = move || run(&own, &woken, &noted);
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(run)?;
        Ok(Self { thread, damage })
    }

    /// Whether anything may be written.
    pub(super) fn check(&self) -> Result<(), CommitError> {
        self.damage.0.get().map_or(Ok(()), |words| Err(CommitError::Failed(words.clone().into())))
    }

    /// The disk is full: the log needs no more room where it can begin anew.
    pub(super) fn make_room(&self, connection: &Connection) {
        checkpoint(connection, &self.damage);
    }

    /// Ends the thread. The connection that writes is the last one then, and its close takes in what is left, unless that
    /// could lose something.
    pub(super) fn end(self, connection: &mut Connection) {
        let none = None::<fn(&mut Wal, c_int) -> rusqlite::Result<()>>;
        if let Err(error) = connection.wal_hook(none) {
            tracing::error!(%error, "the thread for checkpoints cannot be ended");
            return;
        }
        if self.thread.join().is_err() {
            tracing::error!("the thread for checkpoints failed");
        }
        let keeps_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if self.damage.is_there()
            && let Err(error) = connection.set_db_config(keeps_log, true)
        {
            tracing::error!(%error, "the log of the database is not kept");
        }
    }
}

/// Why it could not be started.
pub(super) enum Failed {
    Database(rusqlite::Error),
    Thread(io::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Thread(error)
    }
}

/// What each commit does. An error here would be that of a commit that was made: there is none.
fn on_commit(
    wake: SyncSender<()>,
    damage: Damage,
) -> impl FnMut(&mut Wal, c_int) -> rusqlite::Result<()> + Send + 'static {
    let mut growth = Growth { given: 0 };
    move |log, pages| {
        if growth.is_due(pages) {
            // Full is a thread that begins soon, and takes this with it.
            wake.try_send(()).ok();
        }
        // The thread may be at it. Then the next commit looks again.
        if pages >= LOG_PAGES_MAX
            && !damage.is_there()
            && let Err(error) = log.checkpoint()
        {
            damage.note(&error);
        }
        Ok(())
    }
}

/// Takes what the log has into the database, whenever it is woken.
fn run(connection: &Connection, woken: &Receiver<()>, damage: &Damage) {
    while woken.recv().is_ok() {
        checkpoint(connection, damage);
    }
}

/// Passive: it waits for nobody, and nobody for it.
fn checkpoint(connection: &Connection, damage: &Damage) {
    if !damage.is_there()
        && let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    {
        damage.note(&error);
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    /// A database with a log.
    fn database() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("test.sqlite")).unwrap();
        connection.pragma_update(None, "page_size", 8192).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch("CREATE TABLE kept (what BLOB) STRICT").unwrap();
        (folder, connection)
    }

    #[test]
    fn the_log_is_due_by_its_growth_and_anew_when_it_begins_anew() {
        let mut growth = Growth { given: 0 };
        let due: Vec<bool> = [STEP - 1, STEP, STEP + 1, 2 * STEP, 2 * STEP + 1]
            .map(|pages| growth.is_due(pages))
            .into();
        assert_eq!(due, [false, true, false, true, false]);
        assert!(!growth.is_due(1));
        assert!(growth.is_due(STEP));
    }

    /// Goal: what was committed gets into the database while others have it open. Method: another connection reads, so that
    /// no close takes the log in.
    #[test]
    fn what_was_committed_gets_into_the_database_beside_the_commits() {
        let (folder, mut connection) = database();
        let file = folder.path().join("test.sqlite");
        let reader = Connection::open(&file).unwrap();
        let count = || reader.query_row("SELECT count(*) FROM kept", [], |row| row.get(0));
        assert_eq!(count(), Ok(0));
        let checkpoints = Checkpoints::start(&mut connection, &file).ok().unwrap();
        let one = vec![7_u8; 64 * 1024];
        for _ in 0..256 {
            connection.execute("INSERT INTO kept (what) VALUES (?1)", [&one]).unwrap();
        }
        // Each waking is worked off before the end.
        checkpoints.end(&mut connection);
        drop(connection);
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(length >= 4 << 20, "{length}");
        assert_eq!(count(), Ok(256));
    }

    /// Goal: after a checkpoint that the disk has failed nothing is written, and the log is kept for the next start.
    #[test]
    fn a_disk_that_fails_ends_the_writing_and_keeps_the_log() {
        let (folder, mut connection) = database();
        let file = folder.path().join("test.sqlite");
        let checkpoints = Checkpoints::start(&mut connection, &file).ok().unwrap();
        let failure = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        checkpoints.damage.note(&failure(ffi::SQLITE_BUSY));
        checkpoints.damage.note(&failure(ffi::SQLITE_FULL));
        assert!(checkpoints.check().is_ok());
        checkpoints.damage.note(&failure(ffi::SQLITE_IOERR_FSYNC));
        assert!(matches!(checkpoints.check(), Err(CommitError::Failed(_))));
        checkpoints.end(&mut connection);
        drop(connection);
        let log = std::fs::metadata(folder.path().join("test.sqlite-wal")).unwrap().len();
        assert!(log > 0);
    }

    /// Goal: under a load that never pauses the log does not grow for ever. Method: no thread takes anything, and all
    /// wakings are lost.
    #[test]
    fn the_log_has_a_bound_where_the_thread_does_not_keep_up() {
        let (folder, mut connection) = database();
        let (wake, woken) = sync_channel(1);
        connection.wal_hook(Some(on_commit(wake, Damage::default()))).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        let one = vec![7_u8; 1 << 20];
        for n in 0..160 {
            connection.execute("INSERT INTO kept (what) VALUES (?1)", [&one]).unwrap();
            let length = std::fs::metadata(folder.path().join("test.sqlite")).unwrap().len();
            assert!(n >= 48 || length < 1 << 20, "a commit has taken the log in: {length}");
        }
        let log = std::fs::metadata(folder.path().join("test.sqlite-wal")).unwrap().len();
        let bound = u64::try_from(LOG_PAGES_MAX).unwrap() * 8_300 + (2 << 20);
        assert!(log <= bound, "{log} of {bound}");
        drop(woken);
    }
}
