//! Rows in memory: for tests, and to restart a device in them.

use std::collections::BTreeMap;

use super::Change;

/// Rows that live as long as the process.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore {
    rows: BTreeMap<String, Vec<u8>>,
}

impl MemoryStore {
    /// Applies the changes of one step.
    pub fn commit(&mut self, changes: Vec<Change>) {
        for Change { key, value } in changes {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// All rows.
    pub fn rows(&self) -> Vec<(String, Vec<u8>)> {
        self.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
