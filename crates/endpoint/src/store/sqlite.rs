//! Rows in one SQLite database per home: durable before anything leaves the device, and shared by
//! several processes of the same home (rule R7).

use std::path::Path;
use std::time::Duration;

use chat_protocol::crypto::{gcm_open, gcm_seal, random};
use rusqlite::{Connection, OptionalExtension as _, params};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Change;
use crate::state::Records;

/// Schema of the database.
const VERSION: u32 = 1;

/// How long one process waits for another's step. A step takes a few milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the home's database failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite says no.
    #[error("the home's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Made by a newer version.
    #[error("the home's database has schema {got}, this program knows {VERSION}; use a newer one")]
    Version {
        /// The schema found.
        got: u32,
    },
    /// A value does not open: another key, or damage.
    #[error("the home's database does not open with this key; it is damaged or from another home")]
    Sealed,
}

/// Rows on disk, sealed with the home's key.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    key: Zeroizing<[u8; 32]>,
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
        let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > VERSION {
            return Err(StoreError::Version { got: version });
        }
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB NOT NULL) \
             WITHOUT ROWID",
        )?;
        connection.pragma_update(None, "user_version", VERSION)?;
        let mut store = Self { connection, key, seen: 0 };
        store.seen = store.data_version()?;
        Ok(store)
    }

    fn data_version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// Takes the database for one step of this process. Returns whether another process has
    /// changed it since: then the rows must be read again before anything is decided.
    pub fn begin(&mut self) -> Result<bool, StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let now = self.data_version()?;
        Ok(std::mem::replace(&mut self.seen, now) != now)
    }

    /// Writes the changes of the step and makes them durable.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let written = self.write(changes);
        if written.is_err() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        written
    }

    fn write(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for Change { key, value } in changes {
            match value {
                Some(value) => {
                    let sealed = self.seal(key, value);
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
        self.connection.execute_batch("COMMIT")?;
        Ok(())
    }

    /// All rows.
    pub fn rows(&self) -> Result<Records, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT key, value FROM rows")?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let (key, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let value = self.open_value(&key, &sealed)?;
            records.push((key, value));
        }
        Ok(records)
    }

    /// One row that is not the endpoint's own, such as a setting of the host.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT value FROM rows WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        sealed.map(|sealed| self.open_value(key, &sealed)).transpose()
    }

    /// Writes one row of the host, in a transaction of its own.
    pub fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.commit(&[Change { key: key.to_owned(), value: Some(value) }])
    }

    /// `nonce || AES-256-GCM`, bound to the row's name.
    fn seal(&self, key: &str, value: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = random();
        let mut sealed = nonce.to_vec();
        sealed.extend(gcm_seal(&self.key, &nonce, key.as_bytes(), value));
        sealed
    }

    fn open_value(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or(StoreError::Sealed)?;
        let opened = gcm_open(&self.key, nonce, key.as_bytes(), sealed);
        opened.map(|value| value.to_vec()).map_err(|_| StoreError::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_of_a_home_see_each_others_rows() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("home.db");
        let open = || SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        let (mut second, mut first) = (open(), open());
        assert!(!first.begin().unwrap());
        let change = Change { key: "a/b".into(), value: Some(b"secret words".to_vec()) };
        first.commit(&[change]).unwrap();
        assert!(second.begin().unwrap(), "the other process has changed it");
        assert_eq!(second.rows().unwrap(), [("a/b".to_owned(), b"secret words".to_vec())]);
        second.commit(&[Change { key: "a/b".into(), value: None }]).unwrap();
        assert!(first.begin().unwrap());
        assert!(first.rows().unwrap().is_empty());
        first.commit(&[]).unwrap();
        assert!(!first.begin().unwrap(), "nothing new");
    }

    #[test]
    fn values_are_sealed_at_rest_and_open_with_their_key_only() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("home.db");
        let mut store = SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        store.put("host/x", b"secret words".to_vec()).unwrap();
        assert_eq!(store.get("host/x").unwrap().unwrap(), b"secret words");
        drop(store);
        for entry in std::fs::read_dir(home.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"secret"));
        }
        let other = SqliteStore::open(&path, Zeroizing::new([8; 32])).unwrap();
        assert!(matches!(other.rows(), Err(StoreError::Sealed)));
    }
}
