//! Rows in memory: those that changed are written out once per step.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::ops::Bound;

use chat_protocol::hub::Log;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::{ConversationId, UserName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::Change;

/// Stored rows that are held in memory.
pub(crate) trait Rows {
    /// Forgets all of them, as before the first was loaded.
    fn clear(&mut self);

    /// Takes a stored row if it is of this kind.
    fn load(&mut self, kind: &str, key: &str, value: &[u8]) -> Result<(), serde_json::Error>;

    /// Writes the changed rows out.
    fn flush(&mut self, kind: &str, changes: &mut Vec<Change>);

    /// Forgets what changed, for a device that keeps nothing.
    fn discard(&mut self);
}

/// Rows, and what stands before their keys.
pub(crate) type Kind<'a> = (&'static str, &'a mut dyn Rows);

fn written<V: Serialize>(row: &V) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows hold only strings, numbers and lists of them")
}

/// A row of its own, under its kind alone: a number that begins with 0.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    value: u64,
    is_changed: bool,
}

impl Counter {
    pub(crate) fn get(&self) -> u64 {
        self.value
    }

    pub(crate) fn put(&mut self, value: u64) {
        (self.value, self.is_changed) = (value, true);
    }
}

impl Rows for Counter {
    fn clear(&mut self) {
        *self = Self::default();
    }

    fn load(&mut self, kind: &str, key: &str, value: &[u8]) -> Result<(), serde_json::Error> {
        if key == kind {
            self.value = serde_json::from_slice(value)?;
        }
        Ok(())
    }

    fn flush(&mut self, kind: &str, changes: &mut Vec<Change>) {
        if std::mem::take(&mut self.is_changed) {
            changes.push(Change { key: kind.to_owned(), value: Some(written(&self.value)) });
        }
    }

    fn discard(&mut self) {
        self.is_changed = false;
    }
}

/// What a row is found by in its table.
pub(crate) trait Key {
    /// As it is stored, behind the kind.
    fn row(&self) -> Cow<'_, str>;
}

macro_rules! keys {
    ($($key:ty => |$of:ident| $row:expr;)*) => {
        $(impl Key for $key {
            fn row(&self) -> Cow<'_, str> {
                let $of = self;
                $row.into()
            }
        })*
    };
}

keys! {
    str => |key| key;
    String => |key| key.as_str();
    ConversationId => |cid| cid.as_str();
    UserName => |name| name.as_str();
    Digest => |digest| digest.to_string();
    MessageId => |id| id.to_string();
    Log => |log| match log {
        Log::Inbox => "inbox",
        Log::Conversation(cid) => cid.as_str(),
    };
}

/// Rows of one kind. They stand in the order of their keys as these are stored.
#[derive(Debug)]
pub(crate) struct Table<V, K: ?Sized = str> {
    rows: BTreeMap<String, V>,
    changed: BTreeSet<String>,
    /// How often a row was changed, or may have been, since it was made.
    changes: u64,
    key: PhantomData<fn(&K)>,
}

impl<V, K: ?Sized> Default for Table<V, K> {
    fn default() -> Self {
        let (rows, changed) = (BTreeMap::new(), BTreeSet::new());
        Self { rows, changed, changes: 0, key: PhantomData }
    }
}

impl<V: Serialize + DeserializeOwned, K: Key + ?Sized> Table<V, K> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(&*key.row())
    }

    /// The row for change; it counts as changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let row = key.row();
        if self.rows.contains_key(&*row) {
            self.note(&row);
        }
        self.rows.get_mut(&*row)
    }

    pub(crate) fn put(&mut self, key: &K, value: V) {
        let row = key.row();
        self.rows.insert(row.clone().into_owned(), value);
        self.note(&row);
    }

    /// The row for change, made if it is missing.
    pub(crate) fn entry(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        let row = key.row();
        self.note(&row);
        self.rows.entry(row.into_owned()).or_insert_with(make)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.remove_row(&key.row())
    }

    fn remove_row(&mut self, row: &str) -> Option<V> {
        let value = self.rows.remove(row)?;
        self.note(row);
        Some(value)
    }

    /// Takes rows out.
    pub(crate) fn extract(&mut self, is_it: impl Fn(&str, &V) -> bool) -> Vec<V> {
        let rows = self.rows.iter().filter(|(row, value)| is_it(row, value));
        let rows: Vec<String> = rows.map(|(row, _)| row.clone()).collect();
        rows.into_iter().filter_map(|row| self.remove_row(&row)).collect()
    }

    /// Changes rows.
    pub(crate) fn change(&mut self, is_it: impl Fn(&V) -> bool, change: impl Fn(&mut V)) {
        for (row, value) in self.rows.iter_mut().filter(|(_, value)| is_it(value)) {
            change(value);
            self.changed.insert(row.clone());
            self.changes = self.changes.saturating_add(1);
        }
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

    pub(crate) fn last_key(&self) -> Option<&str> {
        self.rows.last_key_value().map(|(key, _)| key.as_str())
    }
}

impl<V: Serialize + DeserializeOwned> Table<V> {
    /// Takes the first row out.
    pub(crate) fn pop_first(&mut self) -> Option<V> {
        let (row, value) = self.rows.pop_first()?;
        self.note(&row);
        Some(value)
    }
}

impl<V: Serialize + DeserializeOwned> Table<V, MessageId> {
    /// The rows with their ids. They stand in the order of the ids as text, which says nothing about their age.
    pub(crate) fn by_id(&self) -> impl Iterator<Item = (MessageId, &V)> {
        self.rows.iter().filter_map(|(row, value)| Some((MessageId::parse(row).ok()?, value)))
    }

    /// Forgets the rows whose ids were made first, but so many.
    pub(crate) fn keep_newest(&mut self, count: usize) {
        let mut ids: Vec<MessageId> = self.by_id().map(|(id, _)| id).collect();
        ids.sort_unstable();
        let old = ids.len().saturating_sub(count);
        for id in ids.into_iter().take(old) {
            self.remove(&id);
        }
    }
}

impl<V: Serialize + DeserializeOwned, K: Key + ?Sized> Rows for Table<V, K> {
    fn clear(&mut self) {
        *self = Self { changes: self.changes.saturating_add(1), ..Self::default() };
    }

    fn load(&mut self, kind: &str, key: &str, value: &[u8]) -> Result<(), serde_json::Error> {
        let key = key.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
        if let Some(key) = key {
            self.rows.insert(key.to_owned(), serde_json::from_slice(value)?);
            self.changes = self.changes.saturating_add(1);
        }
        Ok(())
    }

    fn flush(&mut self, kind: &str, changes: &mut Vec<Change>) {
        for key in std::mem::take(&mut self.changed) {
            let value = self.rows.get(&key).map(written);
            changes.push(Change { key: format!("{kind}/{key}"), value });
        }
    }

    fn discard(&mut self) {
        self.changed.clear();
    }
}

/// The key of the next row in a table that is ordered by number.
pub(crate) fn next_order<V: Serialize + DeserializeOwned>(table: &Table<V>) -> u64 {
    table.last_key().and_then(|key| key.parse::<u64>().ok()).map_or(0, |last| last + 1)
}

/// A number as a key that sorts.
pub(crate) fn order_key(order: u64) -> String {
    format!("{order:016}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: rows by id are forgotten by the age of their ids, which their order as text does not tell.
    #[test]
    fn the_newest_rows_by_id_are_kept() {
        let ids: Vec<MessageId> = (0..64).map(|at| MessageId::new(at << 18, [0; 10])).collect();
        let mut table = Table::<u64, MessageId>::default();
        for (id, number) in ids.iter().zip(0..) {
            table.put(id, number);
        }
        assert!(!table.by_id().map(|(id, _)| id).is_sorted(), "this tests nothing");
        table.keep_newest(5);
        let mut kept: Vec<u64> = table.by_id().map(|(_, number)| *number).collect();
        kept.sort_unstable();
        assert_eq!(kept, [59, 60, 61, 62, 63]);
        let mut changes = Vec::new();
        table.flush("kind", &mut changes);
        let gone = changes.iter().filter(|change| change.value.is_none()).count();
        assert_eq!((changes.len(), gone), (64, 59), "their rows go, too");
    }

    /// Goal: what is loaded is in the place of what was held, and each row comes under its own kind.
    #[test]
    fn rows_are_loaded_by_their_kind() {
        let mut table = Table::<u64>::default();
        table.put("a", 1);
        let before = table.changes();
        table.clear();
        for (key, value) in [("kind/b", "2"), ("kind-of/c", "3"), ("other/d", "4"), ("kind", "5")] {
            table.load("kind", key, value.as_bytes()).unwrap();
        }
        assert_eq!(
            table.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>(),
            [("b", 2)]
        );
        assert!(table.changes() > before, "what followed from the rows before does not any more");
        let mut counter = Counter::default();
        for (key, value) in [("count/er", "7"), ("count", "8")] {
            counter.load("count", key, value.as_bytes()).unwrap();
        }
        assert_eq!(counter.get(), 8);
        assert!(table.load("kind", "kind/b", b"no number").is_err());
    }
}
