//! A map whose changed rows are written out once per step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::Change;

/// Rows of one kind, by text key.
#[derive(Debug)]
pub(crate) struct Table<V> {
    kind: &'static str,
    rows: BTreeMap<String, V>,
    changed: BTreeSet<String>,
    /// How often a row was changed, or may have been, since it was made.
    changes: u64,
}

impl<V: Serialize + DeserializeOwned> Table<V> {
    pub(crate) fn new(kind: &'static str) -> Self {
        Self { kind, rows: BTreeMap::new(), changed: BTreeSet::new(), changes: 0 }
    }

    /// Takes a stored row if it is of this kind.
    pub(crate) fn load(&mut self, key: &str, value: &[u8]) -> Result<(), serde_json::Error> {
        let kind = key.strip_prefix(self.kind).and_then(|rest| rest.strip_prefix('/'));
        if let Some(key) = kind {
            self.rows.insert(key.to_owned(), serde_json::from_slice(value)?);
            self.changes = self.changes.saturating_add(1);
        }
        Ok(())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.rows.get(key)
    }

    /// The row for change; it counts as changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        if self.rows.contains_key(key) {
            self.note(key);
        }
        self.rows.get_mut(key)
    }

    pub(crate) fn put(&mut self, key: &str, value: V) {
        self.rows.insert(key.to_owned(), value);
        self.note(key);
    }

    /// The row for change, made if it is missing.
    pub(crate) fn entry(&mut self, key: &str, make: impl FnOnce() -> V) -> &mut V {
        self.note(key);
        self.rows.entry(key.to_owned()).or_insert_with(make)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        let row = self.rows.remove(key)?;
        self.note(key);
        Some(row)
    }

    /// A row has changed, or may have.
    fn note(&mut self, key: &str) {
        self.changed.insert(key.to_owned());
        self.changes = self.changes.saturating_add(1);
    }

    /// How often rows have changed since the table was made: what follows from them is the same while this is.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&String, &V)> {
        self.rows.iter()
    }

    /// The keys that begin like this.
    pub(crate) fn keys_with(&self, prefix: &str) -> Vec<String> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let keys = self.rows.range::<str, _>(from).map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn first_key(&self) -> Option<String> {
        self.rows.first_key_value().map(|(key, _)| key.clone())
    }

    pub(crate) fn last_key(&self) -> Option<&str> {
        self.rows.last_key_value().map(|(key, _)| key.as_str())
    }

    /// Writes the changed rows out.
    pub(crate) fn flush(&mut self, changes: &mut Vec<Change>) {
        for key in std::mem::take(&mut self.changed) {
            let value = self.rows.get(&key).map(|row| {
                serde_json::to_vec(row).expect("rows hold only strings, numbers and lists of them")
            });
            changes.push(Change { key: format!("{}/{key}", self.kind), value });
        }
    }

    /// Forgets what changed, for a device that keeps nothing.
    pub(crate) fn discard(&mut self) {
        self.changed.clear();
    }
}
