//! What has to be remembered about files between two starts: rows in the home, sealed like the rest.
//! A device in memory remembers as long as it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::SqliteStore;
use chat_endpoint::store::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::home::HomeError;

/// Rows about files in the home's database.
const PREFIX: &str = "host/files/";

/// The rows. Clones share them.
#[derive(Debug, Clone)]
pub struct Keep(Arc<Mutex<Rows>>);

#[derive(Debug)]
enum Rows {
    Home(Box<SqliteStore>),
    Memory(BTreeMap<String, Vec<u8>>),
}

impl Keep {
    /// In the home, or in memory for a device that keeps nothing.
    pub fn new(store: Option<SqliteStore>) -> Self {
        let rows = store.map_or(Rows::Memory(BTreeMap::new()), |store| Rows::Home(store.into()));
        Self(Arc::new(Mutex::new(rows)))
    }

    /// Reads a row. Waits for the disk, as all of these do.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, HomeError> {
        let key = format!("{PREFIX}{name}");
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match &*rows {
            Rows::Home(store) => store.get(&key)?,
            Rows::Memory(rows) => rows.get(&key).cloned(),
        };
        Ok(value.map(|value| serde_json::from_slice(&value)).transpose()?)
    }

    /// Writes a row, durably.
    pub fn put(&self, name: &str, value: &impl Serialize) -> Result<(), HomeError> {
        let (key, value) = (format!("{PREFIX}{name}"), serde_json::to_vec(value)?);
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *rows {
            Rows::Home(store) => store.put(&key, value)?,
            Rows::Memory(rows) => drop(rows.insert(key, value)),
        }
        Ok(())
    }

    /// Takes a row away, durably.
    pub fn remove(&self, name: &str) -> Result<(), HomeError> {
        let key = format!("{PREFIX}{name}");
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *rows {
            Rows::Home(store) => {
                store.begin()?;
                store.commit(&[Change { key, value: None }])?;
            }
            Rows::Memory(rows) => drop(rows.remove(&key)),
        }
        Ok(())
    }

    /// All rows whose name begins so, in the order of their names; what cannot be read is passed
    /// over.
    pub fn all<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, HomeError> {
        let prefix = format!("{PREFIX}{prefix}");
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |key: &str, value: &[u8]| {
            let name = key.strip_prefix(&prefix)?.to_owned();
            Some((name, serde_json::from_slice(value).ok()?))
        };
        Ok(match &*rows {
            Rows::Home(store) => {
                let rows = store.rows()?;
                rows.iter().filter_map(|(key, value)| read(key, value)).collect()
            }
            Rows::Memory(rows) => rows.iter().filter_map(|(key, value)| read(key, value)).collect(),
        })
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
