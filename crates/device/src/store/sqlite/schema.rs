//! The tables of a home's database, and how an older database comes to have them.

use rusqlite::Connection;

use crate::store::StoreError;

/// Schema of the database. 2 added the history.
pub(super) const VERSION: u32 = 2;

/// Rows of the device and its host.
const ROWS: &str = "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB NOT NULL) \
     WITHOUT ROWID";

/// What was said. `id`, `name` and `conversation` are keyed tokens, the other blobs are sealed:
/// what a thief of the file sees is how many messages there are, in which order, and how long.
/// `frame` comes last, so that a search that does not need it does not read it.
const HISTORY: &str = "
CREATE TABLE IF NOT EXISTS messages (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL,
    name BLOB NOT NULL,
    conversation BLOB NOT NULL,
    record BLOB NOT NULL,
    state BLOB NOT NULL,
    frame BLOB,
    UNIQUE (id, name)
);
CREATE INDEX IF NOT EXISTS messages_of_conversation ON messages (conversation, place);
CREATE TABLE IF NOT EXISTS receipts (
    number INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    receipt BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS confirmations (
    message INTEGER NOT NULL,
    by BLOB NOT NULL,
    confirmation BLOB NOT NULL,
    receipt INTEGER,
    PRIMARY KEY (message, by)
) WITHOUT ROWID;
";

/// Brings the database to [`VERSION`]. Several processes may try at once: one does it.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let version = || -> Result<u32, StoreError> {
        let got = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if got > VERSION {
            return Err(StoreError::Version { got, known: VERSION });
        }
        Ok(got)
    };
    if version()? == VERSION {
        return Ok(());
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let migrated = (|| {
        if version()? < VERSION {
            connection.execute_batch(ROWS)?;
            connection.execute_batch(HISTORY)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        connection.execute_batch("COMMIT")?;
        Ok(())
    })();
    if migrated.is_err() {
        // The first error is the one that counts; a connection that is dropped rolls back too.
        connection.execute_batch("ROLLBACK").ok();
    }
    migrated
}
