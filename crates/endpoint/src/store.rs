//! Where a device keeps its state: rows of text key and bytes.

use std::collections::BTreeMap;

/// Stored rows: key and value.
pub type Records = Vec<(String, Vec<u8>)>;

/// One changed row; no value means it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `kind/key`.
    pub key: String,
    /// The new value.
    pub value: Option<Vec<u8>>,
}

/// Rows in memory, as long as the process lives: for tests, and to restart a device in them.
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
    pub fn rows(&self) -> Records {
        self.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
