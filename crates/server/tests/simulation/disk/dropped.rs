//! What rooms keep no longer, as the SQLite store has it.

use std::{collections::BTreeMap, sync::Arc};

use chat_server::{
    limits::EPOCH_GRACE,
    store::{self, AccountId, EntryKind, LogId, NewDrop, PageDropped},
};

use super::contents::{Contents, Entry};

/// Messages that are gone, and up to where in each log.
#[derive(Debug, Clone, Default)]
pub(super) struct Dropped {
    pub(super) messages: BTreeMap<u64, Arc<Entry>>,
    logs: BTreeMap<LogId, (u64, u64, u64)>,
}

impl Dropped {
    pub(super) fn position(&self, log: LogId) -> u64 {
        self.logs.get(&log).map_or(0, |(position, ..)| *position)
    }
}

impl Contents {
    /// Deletes what is too old, and the keys that nothing needs any more.
    pub(super) fn drop_old(&mut self, step: &NewDrop) -> store::Dropped {
        let of_log = |entry: &Entry| entry.log == step.log && entry.kind == EntryKind::Message;
        let messages = self.entries.iter().filter(|(_, entry)| of_log(entry));
        let old = messages.take_while(|(_, entry)| entry.hub_ms < step.before_ms);
        let old: Vec<u64> = old.map(|(position, _)| *position).collect();
        for position in &old {
            let entry = self.entries.remove(position).expect("it was there");
            self.decides.forget(entry.sender, step.log, entry.id);
            self.dropped.logs.insert(step.log, (*position, entry.hub_ms + 1, step.keep_ms));
            self.dropped.messages.insert(*position, entry);
        }
        let first = self.entries.values().find(|entry| of_log(entry)).map(|entry| entry.hub_ms);
        let key = self.drop_keys(step);
        let messages = u64::try_from(old.len()).unwrap();
        store::Dropped { messages, is_more: false, oldest_ms: first.into_iter().chain(key).min() }
    }

    /// Returns when the first key that stays can go.
    fn drop_keys(&mut self, step: &NewDrop) -> Option<u64> {
        let grace_ms = u64::try_from(EPOCH_GRACE.as_millis()).unwrap();
        let of_log = self.epochs.values().filter(|epoch| epoch.log == step.log);
        let mut places: Vec<(u32, u64)> = of_log.map(|epoch| (epoch.g, epoch.position)).collect();
        places.sort_unstable();
        for pair in places.windows(2) {
            let successor = self.entries.get(&pair[1].1);
            // Where the successor's key is gone this one's went before.
            let Some(successor) = successor else { continue };
            if successor.hub_ms + grace_ms >= step.before_ms {
                return Some(successor.hub_ms + grace_ms);
            }
            self.entries.remove(&pair[0].1);
        }
        None
    }

    /// What one person has missed of a log behind a position.
    pub(super) fn missed(&self, who: AccountId, log: LogId, after: u64) -> Option<PageDropped> {
        let (position, before_ms, keep_ms) = *self.dropped.logs.get(&log)?;
        let behind = self.dropped.messages.range(after + 1..);
        let behind = behind.filter(|(_, entry)| entry.log == log);
        let (others, own): (Vec<_>, Vec<_>) = behind.partition(|(_, entry)| entry.sender != who);
        let messages = u64::try_from(others.len()).unwrap();
        let cid = self.conversations[&log].clone();
        (!(others.is_empty() && own.is_empty()) && position > after).then_some(PageDropped {
            log,
            cid,
            position,
            before_ms,
            keep_ms,
            messages,
        })
    }
}
