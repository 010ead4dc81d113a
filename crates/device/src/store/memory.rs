//! Rows and history in memory, for as long as the process lives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_endpoint::store::Change;
use chat_endpoint::{KeptFrame, Records};
use chat_protocol::id::MessageId;
use chat_protocol::name::ConversationId;

use super::{Changes, HistoryStore, Home, StoreError, Take};
use crate::record::{Confirmation, Entry, Record, Said, State};

/// One opening of a home in memory; [`MemoryStore::again`] is another one of the same home. A step is one thread's
/// between its begin and its commit.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Arc<Mutex<Kept>>,
    /// How many commits there had been when this opening last looked.
    seen: u64,
}

#[derive(Debug, Default)]
struct Kept {
    commits: u64,
    rows: BTreeMap<String, Vec<u8>>,
    /// A message's place is its index.
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    record: Record,
    state: State,
    frame: Option<KeptFrame>,
    confirmed: Vec<(Confirmation, Option<Vec<u8>>)>,
}

impl MemoryStore {
    /// Another opening of the same home.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { kept: Arc::clone(&self.kept), seen: self.seen }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing between two writes can fail, so what is there is whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn records(&self) -> Records {
        self.rows.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn change(&mut self, rows: &[Change]) {
        for Change { key, value } in rows {
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
    }

    fn learn(&mut self, said: &Said) {
        match said {
            Said::New { record, state, frame } => self.add(record, state, frame.as_deref()),
            Said::Answered { id, state, frame } => {
                if let Some(message) = self.own(id) {
                    message.state = state.clone();
                    message.frame = frame.as_deref().cloned().or_else(|| message.frame.take());
                }
            }
            Said::Confirmed { id, confirmation, receipt } => {
                if let Some(message) = self.own(id)
                    && message.confirmed.iter().all(|(known, _)| known.by != confirmation.by)
                {
                    message.confirmed.push((confirmation.clone(), receipt.clone()));
                }
            }
        }
    }

    fn add(&mut self, record: &Record, state: &State, frame: Option<&KeptFrame>) {
        let is_same = |known: &&mut Message| {
            let Record { id, cid, from, .. } = &known.record;
            known.state.is_own() == state.is_own()
                && (id, cid, from) == (&record.id, &record.cid, &record.from)
        };
        let (record, state, frame) = (record.clone(), state.clone(), frame.cloned());
        let new = Message { record, state, frame, confirmed: Vec::new() };
        match self.messages.iter_mut().find(is_same) {
            None => self.messages.push(new),
            Some(known) if known.state.gives_way_to(&new.state) => *known = new,
            Some(_) => {}
        }
    }

    fn own(&mut self, id: &MessageId) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.state.is_own() && message.record.id == *id)
    }

    fn at(&self, place: i64) -> Option<&Message> {
        self.messages.get(usize::try_from(place).ok()?)
    }

    /// All messages with their places, oldest first.
    fn entries(&self) -> impl DoubleEndedIterator<Item = Entry> {
        self.messages.iter().enumerate().map(|(index, message)| {
            let confirmed = message.confirmed.iter().map(|(confirmation, _)| confirmation.clone());
            Entry {
                place: i64::try_from(index).unwrap_or(i64::MAX),
                record: message.record.clone(),
                state: message.state.clone(),
                confirmed: confirmed.collect(),
            }
        })
    }
}

impl Home for MemoryStore {
    fn begin(&mut self) -> Result<Option<Records>, StoreError> {
        let (commits, rows) = {
            let kept = self.kept();
            (kept.commits, (kept.commits != self.seen).then(|| kept.records()))
        };
        self.seen = commits;
        Ok(rows)
    }

    fn commit(&mut self, Changes { rows, history }: &Changes) -> Result<(), StoreError> {
        let mut kept = self.kept();
        kept.change(rows);
        for said in history {
            kept.learn(said);
        }
        let is_changed = !rows.is_empty() || !history.is_empty();
        kept.commits += u64::from(is_changed);
        drop(kept);
        self.seen += u64::from(is_changed);
        Ok(())
    }

    fn rows(&self) -> Result<Records, StoreError> {
        Ok(self.kept().records())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().rows.get(key).cloned())
    }

    fn write(&mut self, rows: Vec<Change>) -> Result<(), StoreError> {
        self.commit(&rows.into())
    }
}

impl HistoryStore for MemoryStore {
    fn page(
        &self,
        cid: &ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let kept = self.kept();
        let is_before = |entry: &Entry| before.is_none_or(|before| entry.place < before);
        let entries = kept.entries().filter(|entry| entry.record.cid == *cid && is_before(entry));
        let mut newest: Vec<Entry> = entries.rev().take(count).collect();
        newest.reverse();
        Ok(newest)
    }

    fn by_id(&self, id: &MessageId) -> Result<Vec<Entry>, StoreError> {
        Ok(self.kept().entries().filter(|entry| entry.record.id == *id).collect())
    }

    fn newest(&self, before: Option<i64>, take: &mut Take<'_>) -> Result<(), StoreError> {
        let is_before = |entry: &Entry| before.is_none_or(|before| entry.place < before);
        let entries: Vec<Entry> = self.kept().entries().rev().filter(is_before).collect();
        for Entry { place, record, .. } in entries {
            if !take(place, record)? {
                break;
            }
        }
        Ok(())
    }

    fn newest_of_each(&self, count: usize) -> Result<Vec<Record>, StoreError> {
        let mut found: Vec<Record> = Vec::new();
        for Entry { record, .. } in self.kept().entries().rev() {
            if found.len() < count && found.iter().all(|one| one.cid != record.cid) {
                found.push(record);
            }
        }
        Ok(found)
    }

    fn entry(&self, place: i64) -> Result<Option<Entry>, StoreError> {
        Ok(self.kept().entries().find(|entry| entry.place == place))
    }

    fn frame(&self, place: i64) -> Result<Option<KeptFrame>, StoreError> {
        Ok(self.kept().at(place).and_then(|message| message.frame.clone()))
    }

    fn receipts(&self, place: i64) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut receipts: Vec<Vec<u8>> = Vec::new();
        for (_, receipt) in self.kept().at(place).into_iter().flat_map(|message| &message.confirmed)
        {
            receipts.extend(receipt.clone().filter(|receipt| !receipts.contains(receipt)));
        }
        Ok(receipts)
    }
}
