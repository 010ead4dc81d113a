//! What has to be remembered about files between two starts: rows in the home, sealed like the rest.
//! A device in memory remembers as long as it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{Home, MemoryStore, SqliteStore};
use chat_endpoint::store::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::home::HomeError;

/// Rows about files in the home's database.
const PREFIX: &str = "host/files/";

/// The rows. Clones share them.
#[derive(Clone)]
pub struct Keep(Arc<Mutex<dyn Home + Send>>);

impl std::fmt::Debug for Keep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keep").finish_non_exhaustive()
    }
}

impl Keep {
    /// In the home, or in memory for a device that keeps nothing.
    pub fn new(store: Option<SqliteStore>) -> Self {
        match store {
            Some(store) => Self(Arc::new(Mutex::new(store))),
            None => Self(Arc::new(Mutex::new(MemoryStore::default()))),
        }
    }

    fn rows(&self) -> MutexGuard<'_, dyn Home + Send + 'static> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a row. Waits for the disk, as all of these do.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, HomeError> {
        let value = self.rows().get(&format!("{PREFIX}{name}"))?;
        Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
    }

    /// Writes a row, durably.
    pub fn put(&self, name: &str, value: &impl Serialize) -> Result<(), HomeError> {
        self.write(name, Some(serde_json::to_vec(value)?))
    }

    /// Takes a row away, durably.
    pub fn remove(&self, name: &str) -> Result<(), HomeError> {
        self.write(name, None)
    }

    fn write(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), HomeError> {
        Ok(self.rows().write(vec![Change { key: format!("{PREFIX}{name}"), value }])?)
    }

    /// All rows whose name begins so, in the order of their names; what cannot be read is passed
    /// over.
    pub fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, HomeError> {
        let prefix = format!("{PREFIX}{prefix}");
        let read = |(key, value): &(String, Vec<u8>)| {
            let name = key.strip_prefix(&prefix)?.to_owned();
            Some((name, serde_json::from_slice(value).ok()?))
        };
        let mut all: Vec<_> = self.rows().rows()?.iter().filter_map(read).collect();
        all.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn rows_are_written_listed_and_taken_away_in_both_forms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home.db");
        let store = SqliteStore::open(&path, Zeroizing::new([7; 32])).unwrap();
        for keep in [Keep::new(Some(store)), Keep::new(None)] {
            assert_eq!(keep.get::<u32>("index/a").unwrap(), None);
            keep.put("index/a", &1).unwrap();
            keep.put("index/b", &2).unwrap();
            keep.put("other", &"x").unwrap();
            assert_eq!(keep.get("index/a").unwrap(), Some(1));
            let all = keep.all::<u32>("index/").unwrap();
            assert_eq!(all, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
            keep.remove("index/a").unwrap();
            assert_eq!(keep.all::<u32>("index/").unwrap().len(), 1);
        }
    }
}
