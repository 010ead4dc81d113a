//! What was committed goes from the write-ahead log into the database on a thread of its own. SQLite by itself does that
//! within the commit that makes the log long: everybody in that batch, and whoever comes meanwhile, waits until some
//! megabytes are written and synced.

use std::{
    ffi::c_int,
    io,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, hooks::Wal};

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

/// Starts the thread for the database that this connection writes to. It ends when that connection is closed.
pub(super) fn start(connection: &mut Connection, file: &Path) -> Result<JoinHandle<()>, Failed> {
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    let own = Connection::open(file)?;
    super::configure(&own)?;
    let (wake, woken) = sync_channel(1);
    connection.wal_hook(Some(on_commit(wake)))?;
    let run = move || run(&own, &woken);
    Ok(thread::Builder::new().name("checkpoint".to_owned()).spawn(run)?)
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
) -> impl FnMut(&mut Wal, c_int) -> rusqlite::Result<()> + Send + 'static {
    let mut growth = Growth { given: 0 };
    move |log, pages| {
        if growth.is_due(pages) {
            // Full is a thread that begins soon, and takes this with it.
            wake.try_send(()).ok();
        }
        if pages >= LOG_PAGES_MAX {
            // The thread may be at it. Then the next commit looks again.
            log.checkpoint().ok();
        }
        Ok(())
    }
}

/// Takes what the log has into the database, whenever it is woken.
fn run(connection: &Connection, woken: &Receiver<()>) {
    let mut is_failing = false;
    while woken.recv().is_ok() {
        // Passive: it waits for nobody, and nobody for it.
        let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match done {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "the write-ahead log cannot be taken into the database");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database with a log, and how far the log was taken into it: its pages, and those that are in the database.
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

    /// Goal: no commit takes the log into the database, and it gets there. Method: some steps are committed; the thread
    /// ends with the connection, and what it has left is what the last close does.
    #[test]
    fn what_was_committed_gets_into_the_database_beside_the_commits() {
        let (folder, mut connection) = database();
        let file = folder.path().join("test.sqlite");
        let reader = Connection::open(&file).unwrap();
        let thread = start(&mut connection, &file).unwrap_or_else(|_| panic!("it starts"));
        let one = vec![7_u8; 64 * 1024];
        for _ in 0..256 {
            connection.execute("INSERT INTO kept (what) VALUES (?1)", [&one]).unwrap();
        }
        drop(connection);
        thread.join().unwrap();
        // It was woken before the last close, and each waking is worked off before the end: the file has grown, though
        // a connection is open that would have kept the log.
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(length >= 4 << 20, "{length}");
        let count: i64 =
            reader.query_row("SELECT count(*) FROM kept", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 256);
    }

    /// Goal: under a load that never pauses the log does not grow for ever. Method: no thread takes anything, and all
    /// wakings are lost.
    #[test]
    fn the_log_has_a_bound_where_the_thread_does_not_keep_up() {
        let (folder, mut connection) = database();
        let (wake, woken) = sync_channel(1);
        connection.wal_hook(Some(on_commit(wake))).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        let one = vec![7_u8; 1 << 20];
        for _ in 0..160 {
            connection.execute("INSERT INTO kept (what) VALUES (?1)", [&one]).unwrap();
        }
        let log = std::fs::metadata(folder.path().join("test.sqlite-wal")).unwrap().len();
        let bound = u64::try_from(LOG_PAGES_MAX).unwrap() * 8_300 + (2 << 20);
        assert!(log <= bound, "{log} of {bound}");
        drop(woken);
    }
}
