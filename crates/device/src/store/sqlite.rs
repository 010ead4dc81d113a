//! One SQLite database per home.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_endpoint::Records;
use chat_endpoint::store::Change;
use chat_protocol::crypto::{gcm_open, gcm_seal, hmac_sha256, random};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{Changes, Home, StoreError};

mod history;
mod schema;

/// How long one process waits for another's step. A step takes a few milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk is full; free some space and start again",
            Some(ErrorCode::SystemIoFailure) => {
                "it cannot be read or written; look whether the disk is full or failing, and start again"
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "it is damaged. Put a copy of home.db back, or move it away to go on as a new device of the \
                 account: the key file beside it stays, history and unsent messages are lost"
            }
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                "it cannot be opened for writing; look at the permissions of the home's folder"
            }
            _ => return Self::Database(error.to_string()),
        };
        Self::Database(format!("{advice} ({error})"))
    }
}

/// Sets the key of tokens apart from the key that seals.
const TOKEN_LABEL: &[u8] = b"chat-home/1 token";

/// A keyed token: finds a row again without saying in clear what it is about.
type Token = [u8; 16];

/// Rows on disk, sealed with the home's key.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    key: Zeroizing<[u8; 32]>,
    token_key: Zeroizing<[u8; 32]>,
    /// SQLite's counter of changes by others, as of the last look.
    seen: i64,
}

impl SqliteStore {
    /// Opens or makes the database. Values are sealed with `key`; row names are not secret.
    pub fn open(path: &Path, key: Zeroizing<[u8; 32]>) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What is deleted is overwritten: names of rows are in clear, and a home is copied as a whole.
        connection.pragma_update(None, "secure_delete", "ON")?;
        schema::migrate(&connection)?;
        let token_key = Zeroizing::new(hmac_sha256(&*key, &[TOKEN_LABEL]));
        let mut store = Self { connection, path: path.to_owned(), key, token_key, seen: 0 };
        store.seen = store.data_version()?;
        Ok(store)
    }

    /// Another connection to the same database, for a thread that only reads.
    pub fn again(&self) -> Result<Self, StoreError> {
        Self::open(&self.path, self.key.clone())
    }

    /// The token of these parts in this home: 128 bits of a keyed hash, each part with its length.
    fn token(&self, parts: &[&[u8]]) -> Token {
        let mut bytes = Vec::new();
        for part in parts {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        *hmac_sha256(&*self.token_key, &[&bytes]).first_chunk().expect("a digest has 32 bytes")
    }

    fn data_version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    fn write_all(&self, Changes { rows, history }: &Changes) -> Result<(), StoreError> {
        for Change { key, value } in rows {
            match value {
                Some(value) => {
                    let sealed = self.seal(key.as_bytes(), value);
                    self.connection
                        .prepare_cached("INSERT OR REPLACE INTO rows (key, value) VALUES (?1, ?2)")?
                        .execute(params![key, sealed])?;
                }
                None => {
                    self.connection
                        .prepare_cached("DELETE FROM rows WHERE key = ?1")?
                        .execute([key])?;
                }
            }
        }
        for said in history {
            self.learn(said)?;
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(())
    }

    /// `nonce || AES-256-GCM`, bound to the row's name.
    fn seal(&self, name: &[u8], value: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = random();
        let mut sealed = nonce.to_vec();
        sealed.extend(gcm_seal(&self.key, &nonce, name, value));
        sealed
    }

    /// What [`Self::seal`] sealed under this name.
    fn unseal(&self, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or(StoreError::Sealed)?;
        let opened = gcm_open(&self.key, nonce, name, sealed);
        opened.map(|value| value.to_vec()).map_err(|_| StoreError::Sealed)
    }
}

impl Home for SqliteStore {
    fn begin(&mut self) -> Result<Option<Records>, StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let now = self.data_version()?;
        let is_changed = std::mem::replace(&mut self.seen, now) != now;
        is_changed.then(|| self.rows()).transpose()
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let written = self.write_all(changes);
        if written.is_err() {
            // After some errors, a full disk among them, SQLite has rolled back itself. What went wrong
            // first is what counts.
            self.connection.execute_batch("ROLLBACK").ok();
        }
        written
    }

    fn rows(&self) -> Result<Records, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT key, value FROM rows")?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let (key, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let value = self.unseal(key.as_bytes(), &sealed)?;
            records.push((key, value));
        }
        Ok(records)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT value FROM rows WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        sealed.map(|sealed| self.unseal(key.as_bytes(), &sealed)).transpose()
    }

    fn write(&mut self, rows: Vec<Change>) -> Result<(), StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.commit(&rows.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: &[u8]) -> Vec<Change> {
        vec![Change { key: key.to_owned(), value: Some(value.to_vec()) }]
    }

    #[test]
    fn a_full_disk_is_told_as_such_and_the_next_step_is_taken() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("home.db");
        let mut store = SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        // As a disk that has room for no more pages.
        store.connection.pragma_update(None, "max_page_count", 30).unwrap();
        let told = store.write(row("a/b", &vec![1; 1 << 20])).unwrap_err().to_string();
        assert!(told.contains("the disk is full; free some space"), "{told}");
        store.write(row("a/b", &[1; 10])).unwrap();
        assert_eq!(store.get("a/b").unwrap().unwrap().len(), 10);
    }

    #[test]
    fn values_are_sealed_at_rest_and_open_with_their_key_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("home.db");
        let mut store = SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        store.write(row("host/x", b"secret words")).unwrap();
        assert_eq!(store.get("host/x").unwrap().unwrap(), b"secret words");
        drop(store);
        for entry in std::fs::read_dir(home.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"secret"));
        }
        let other = SqliteStore::open(&path, Zeroizing::new([8; 32])).unwrap();
        assert!(matches!(other.rows(), Err(StoreError::Sealed)));
    }

    #[test]
    fn what_was_deleted_is_gone_from_the_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("home.db");
        let mut store = SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        let name = "pin/somebody-i-knew";
        store.write(row(name, b"key")).unwrap();
        store.write(vec![Change { key: name.into(), value: None }]).unwrap();
        // The last one to close writes everything to the file.
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(name.len()).any(|window| window == name.as_bytes()));
    }

    #[test]
    fn a_database_of_the_first_version_gets_the_history_and_keeps_its_rows() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("home.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "CREATE TABLE rows (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID; \
             PRAGMA user_version = 1",
        )
        .unwrap();
        drop(old);
        let open = || SqliteStore::open(&path, Zeroizing::new([7; 32]));
        let mut store = open().unwrap();
        store.write(row("host/x", b"kept")).unwrap();
        let count = |table: &str| -> u32 {
            let sql = format!("SELECT count(*) FROM {table}");
            store.connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("rows"), count("messages"), count("confirmations")), (1, 0, 0));
        assert_eq!(store.again().unwrap().get("host/x").unwrap().unwrap(), b"kept");
        store.connection.pragma_update(None, "user_version", 3).unwrap();
        assert!(matches!(open(), Err(StoreError::Version { got: 3, .. })));
    }

    #[test]
    fn what_is_deleted_is_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let key = Zeroizing::new([7; 32]);
        let store = SqliteStore::open(&home.path().join("home.db"), key).unwrap();
        let read = |row: &rusqlite::Row<'_>| row.get::<_, u32>(0);
        let is_on = store.connection.pragma_query_value(None, "secure_delete", read).unwrap();
        assert_eq!(is_on, 1);
    }

    #[test]
    fn tokens_tell_parts_apart_and_depend_on_the_key() {
        let home = tempfile::tempdir().unwrap();
        let open = |name: &str, key| {
            SqliteStore::open(&home.path().join(name), Zeroizing::new([key; 32])).unwrap()
        };
        let (one, other) = (open("a", 1), open("b", 2));
        assert_eq!(one.token(&[b"ab", b"c"]), one.token(&[b"ab", b"c"]));
        assert_ne!(one.token(&[b"ab", b"c"]), one.token(&[b"a", b"bc"]));
        assert_ne!(one.token(&[b"ab"]), other.token(&[b"ab"]));
    }
}
