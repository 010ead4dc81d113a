//! Copies: transfers that lie at the hub until their taker comes.
//!
//! A copy is one file below `<data>/files` and one row of the store. The file is written under a
//! temporary name, synced, renamed and synced again before the row is committed, and the row before
//! KEPT is said. So a row always has its file, and at the start a file without a row is swept.
//!
//! The disk is touched on threads for such work only.

mod disk;
mod ledger;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use chat_protocol::{code, file::relay::HubToRelay, id::Nonce16, name::UserName};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::{spawn_blocking, yield_now},
    time::{Instant, sleep},
};

use super::{
    DataPeer, Job, Relay,
    transfers::{Effect, Fault, TransferId, Transfers},
};
use crate::{
    budgets::CopyLimits,
    clock::Clock,
    connection::ConnectionId,
    gate::Gate,
    limits::{COPIES_SWEEP_PERIOD, TRANSFER_WINDOW_CHUNKS},
    metrics::Metrics,
    queue::Lane,
    request::{CopyRequest, Refusal, Request, Sender},
    store::{AccountId, CopyChange, CopyRow},
};

use disk::{Failure, Incoming};
use ledger::{Ledger, Place};

/// Why a hub without copies keeps none.
pub(crate) const OFF: &str = "this server keeps no copies";

/// Bytes that a change of the list of copies counts in the queue.
const CHANGE_BYTES: usize = 256;

/// The folder of the copies cannot be used.
#[derive(Debug, Error)]
#[error("cannot use the folder {}: {source}; it holds copies of files", folder.display())]
pub struct OpenError {
    folder: PathBuf,
    source: io::Error,
}

/// Where copies lie, and how many there may be.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// Their folder.
    pub folder: PathBuf,
    /// The number of the hub on whose disk it is.
    pub node: u32,
    /// How much one person may leave, and for how long.
    pub limits: CopyLimits,
}

/// What KEEP asks for.
#[derive(Debug, Clone)]
pub struct Keep {
    /// The transfer.
    pub tid: Nonce16,
    /// Size of the file in bytes.
    pub size: u64,
    /// How many chunks it has.
    pub chunks: u32,
    /// Until when it is wanted, Unix time in milliseconds.
    pub until: u64,
}

/// The copies of a hub.
pub struct Copies {
    folder: PathBuf,
    node: u32,
    ledger: Mutex<Ledger>,
    /// Rows whose file is gone.
    lost: Mutex<Vec<(AccountId, Nonce16)>>,
    /// Files here that are not on the list any more.
    orphans: Mutex<Vec<CopyRow>>,
    /// That there are some.
    orphaned: Arc<Notify>,
    /// Held by who takes them off the disk.
    unlinking: tokio::sync::Mutex<()>,
    queue: Sender,
    metrics: Arc<Metrics>,
}

impl Copies {
    /// Makes the folder, sweeps what was not complete, and believes the rows whose files are there.
    pub fn open(
        options: CopyOptions,
        rows: Vec<CopyRow>,
        queue: Sender,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let CopyOptions { folder, node, limits } = options;
        let (own, elsewhere): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.node == node);
        let (mut found, lost) = disk::sweep(&folder, own)
            .map_err(|source| OpenError { folder: folder.clone(), source })?;
        found.extend(elsewhere);
        if !lost.is_empty() {
            tracing::warn!(count = lost.len(), "files of copies are gone");
        }
        let lost = lost.iter().map(|row| (row.account, row.tid)).collect();
        let ledger = Mutex::new(Ledger::new(limits, node, found));
        let (lost, orphans) = (Mutex::new(lost), Mutex::default());
        let (orphaned, unlinking) = (Arc::default(), tokio::sync::Mutex::default());
        let copies =
            Self { folder, node, ledger, lost, orphans, orphaned, unlinking, queue, metrics };
        copies.count();
        Ok(copies)
    }

    fn count(&self) {
        let bytes = i64::try_from(self.ledger.lock().bytes()).unwrap_or(i64::MAX);
        self.metrics.relay.copies_bytes.set(bytes);
    }

    /// The copy that its owner left under this transfer, if its time is not over.
    pub fn find(&self, owner: &UserName, tid: Nonce16, now_ms: u64) -> Option<CopyRow> {
        self.ledger.lock().find(owner, tid, now_ms)
    }

    /// The same, if its file is here.
    pub(super) fn find_here(&self, owner: &UserName, tid: Nonce16) -> Option<CopyRow> {
        self.find(owner, tid, 0).filter(|row| row.node == self.node)
    }

    /// Whether the file of a copy is on the disk of this hub.
    pub(crate) fn is_here(&self, row: &CopyRow) -> bool {
        row.node == self.node
    }

    /// The list of copies has changed. The worker says so, whichever hub it was, in the order of the changes and before
    /// anybody is answered.
    pub(crate) fn changed(&self, change: &CopyChange) {
        let orphans = self.ledger.lock().changed(change);
        if !orphans.is_empty() {
            self.orphans.lock().extend(orphans);
            self.orphaned.notify_one();
        }
        self.count();
    }

    /// Takes files off the disk that are not on the list any more. When this returns, those of before are gone.
    async fn unlink_orphans(&self) {
        let _alone = self.unlinking.lock().await;
        let mut rows = std::mem::take(&mut *self.orphans.lock());
        if rows.is_empty() {
            return;
        }
        // The same one may have come again meanwhile, and has the same name.
        rows.retain(|row| !self.ledger.lock().is_wanted(row));
        let folder = self.folder.clone();
        let removing = spawn_blocking(move || {
            for row in &rows {
                disk::remove(&folder, row);
            }
        });
        // Cut only when the process ends: the files are swept at the next start.
        removing.await.ok();
    }

    /// KEEP: makes room for the copy and lets its chunks come, or says why not.
    pub(crate) fn begin(
        &self,
        relay: &Arc<Relay>,
        peer: &DataPeer,
        keep: &Keep,
        now_ms: u64,
    ) -> Result<(), Fault> {
        let (id, tid) = (peer.connection, keep.tid);
        let place = self.ledger.lock().reserve(peer.account, &peer.name, keep, now_ms);
        let row = match place {
            Ok(Place::New(row)) => row,
            Ok(Place::Kept(until)) => {
                relay.act(|_| vec![Effect::Tell(id, HubToRelay::Kept { tid, until })]);
                return Ok(());
            }
            Err(refusal) => {
                relay.refuse(id, tid, &refusal);
                return Ok(());
            }
        };
        let mut state = relay.state.lock();
        let begun = state.transfers.keep(Instant::now(), id, tid, (keep.chunks, keep.size));
        let effects = match begun {
            Ok((Some(transfer), effects)) => {
                let window = usize::try_from(TRANSFER_WINDOW_CHUNKS).unwrap_or(usize::MAX);
                let (chunks, receiver) = mpsc::channel(window);
                state.jobs.insert(transfer, Job::Write(chunks));
                // In `Relay::tasks`, which the drain waits for.
                let span = tracing::debug_span!("copy in", %tid);
                relay.tasks.spawn(span, write(Arc::clone(relay), transfer, row, receiver));
                effects
            }
            Ok((None, effects)) => {
                self.ledger.lock().give_up(&row);
                effects
            }
            Err(fault) => {
                self.ledger.lock().give_up(&row);
                return Err(fault);
            }
        };
        relay.carry_out(&mut state, effects);
        Ok(())
    }

    /// Commits a change of the list of copies.
    async fn store(&self, change: CopyChange) -> Result<(), Refusal> {
        let stopping = || Refusal::new(code::STORAGE_FULL, "the server is stopping");
        let (reply, answer) = oneshot::channel();
        let request = Request::Copy(Box::new(CopyRequest { change, reply }));
        let sent = self.queue.send(Lane::Bulk, None, CHANGE_BYTES, request).await;
        sent.map_err(|_closed| stopping())?;
        answer.await.map_err(|_cut| stopping())?
    }

    /// Takes copies off the list and then off the disk.
    async fn remove(&self, rows: &[CopyRow]) -> Result<(), Refusal> {
        let gone = rows.iter().map(|row| (row.account, row.tid)).collect();
        self.store(CopyChange::Remove(gone)).await?;
        self.unlink_orphans().await;
        Ok(())
    }
}

/// DROP: takes an own copy away.
pub(crate) async fn take_away(relay: &Arc<Relay>, peer: &DataPeer, tid: Nonce16) {
    let copies = relay.copies.as_ref();
    let found = copies.and_then(|copies| Some((copies, copies.find(&peer.name, tid, 0)?)));
    let result = match found {
        Some((copies, row)) => copies.remove(&[row]).await,
        None => Err(Refusal::new(code::NO_SUCH_COPY, "you have no copy of this transfer here")),
    };
    let refusal = result.err().unwrap_or_else(|| Refusal::new("", ""));
    relay.refuse(peer.connection, tid, &refusal);
}

/// Takes away copies whose time is over or whose owner was deleted, as long as there is a hub.
pub async fn tend(relay: Weak<Relay>, clock: Clock, gate: Arc<Gate>) {
    let mut changes = gate.changes();
    let mut orphaned = Arc::new(Notify::new());
    while let Some(relay) = relay.upgrade() {
        if let Some(copies) = &relay.copies {
            orphaned = Arc::clone(&copies.orphaned);
            copies.unlink_orphans().await;
            let lost = std::mem::take(&mut *copies.lost.lock());
            let admittance = gate.now();
            let is_gone = |owner: &UserName| admittance.is_deleted(owner);
            let expired = copies.ledger.lock().expired(clock(), is_gone);
            let result = async {
                if !lost.is_empty() {
                    copies.store(CopyChange::Remove(lost)).await?;
                }
                if !expired.is_empty() {
                    copies.remove(&expired).await?;
                }
                Ok::<_, Refusal>(())
            };
            if let Err(refusal) = result.await {
                tracing::warn!(reason = refusal.reason, "copies of files were not taken away");
            }
        }
        drop(relay);
        tokio::select! {
            () = sleep(COPIES_SWEEP_PERIOD) => {}
            () = orphaned.notified() => {}
            // The gate lives as long as this task.
            _ = changes.changed() => {}
        }
    }
}

/// Writes a copy that comes in. Ends when it is kept, when it cannot be, or when nobody sends it.
async fn write(
    relay: Arc<Relay>,
    id: TransferId,
    row: CopyRow,
    chunks: mpsc::Receiver<(u32, Bytes)>,
) {
    let Some(copies) = &relay.copies else { return };
    match fill(&relay, copies, id, &row, chunks).await {
        Ok(()) => {
            let until = row.until;
            relay.act(|table| table.kept(Instant::now(), id, until));
        }
        Err(refusal) => {
            copies.ledger.lock().give_up(&row);
            finish(&relay, id, &refusal);
        }
    }
}

/// Everything of it until its row is durable. What is on the disk after an error is taken away.
async fn fill(
    relay: &Relay,
    copies: &Copies,
    id: TransferId,
    row: &CopyRow,
    mut chunks: mpsc::Receiver<(u32, Bytes)>,
) -> Result<(), Refusal> {
    let (folder, new) = (copies.folder.clone(), row.clone());
    let mut incoming = blocking(move || Incoming::create(&folder, &new)).await?;
    while !incoming.is_complete() {
        let Some(first) = chunks.recv().await else {
            discard(incoming).await;
            return Err(Refusal::new(code::NO_PEER, "it was not sent to its end"));
        };
        let mut batch = vec![first];
        while let Ok(next) = chunks.try_recv() {
            batch.push(next);
        }
        let written = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        incoming = blocking(move || {
            for (index, frame) in batch {
                incoming.write(index, &frame)?;
            }
            incoming.sync_when_due()?;
            Ok(incoming)
        })
        .await?;
        relay.act(|table| table.written(Instant::now(), id, written));
    }
    let file = blocking(move || incoming.finish()).await?;
    match copies.store(CopyChange::Keep(row.clone())).await {
        Ok(()) => file.keep(),
        Err(refusal) => {
            discard(file).await;
            return Err(refusal);
        }
    }
    Ok(())
}

/// Drops what takes its file away: of a long file that is work for the disk.
async fn discard(file: impl Send + 'static) {
    // Cut only when the process ends: the files are swept at the next start.
    spawn_blocking(move || drop(file)).await.ok();
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Refusal> {
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(Refusal::from),
        Err(_cut) => Err(Refusal::new(code::STORAGE_FULL, "the server is stopping")),
    }
}

/// A copy that somebody takes.
pub(crate) struct Wanted {
    pub(crate) copy: CopyRow,
    /// Half-open ranges of chunks; empty for all.
    pub(crate) parts: Vec<(u32, u32)>,
}

impl Wanted {
    /// Lets the disk give it, if there is a place for another transfer.
    pub(crate) fn begin(
        self,
        relay: &Arc<Relay>,
        id: ConnectionId,
        (tid, from): (Nonce16, UserName),
        credit: u32,
    ) -> Result<(), Fault> {
        let mut fault = None;
        self.give_by(relay, tid, |table| {
            match table.take_copy(Instant::now(), id, tid, from, credit) {
                Ok(begun) => begun,
                Err(error) => {
                    fault = Some(error);
                    (None, Vec::new())
                }
            }
        });
        fault.map_or(Ok(()), Err)
    }

    /// Lets the disk give it in the transfer that begins so.
    pub(super) fn give_by(
        self,
        relay: &Arc<Relay>,
        tid: Nonce16,
        begin: impl FnOnce(&mut Transfers) -> (Option<TransferId>, Vec<Effect>),
    ) {
        let mut state = relay.state.lock();
        let (transfer, effects) = begin(&mut state.transfers);
        if let Some(transfer) = transfer {
            let wake = Arc::new(Notify::new());
            state.jobs.insert(transfer, Job::Read(Arc::clone(&wake)));
            // In `Relay::tasks`, which the drain waits for.
            let span = tracing::debug_span!("copy out", %tid);
            relay.tasks.spawn(span, give(Arc::clone(relay), transfer, self, wake));
        }
        relay.carry_out(&mut state, effects);
    }

    /// The chunks in order.
    fn indices(&self) -> impl Iterator<Item = u32> + Send + use<> {
        let chunks = self.copy.chunks;
        let parts = if self.parts.is_empty() { vec![(0, chunks)] } else { self.parts.clone() };
        parts.into_iter().flat_map(move |(start, end)| start..end.min(chunks))
    }
}

/// Reads a copy for its taker, as its credit allows.
async fn give(relay: Arc<Relay>, id: TransferId, wanted: Wanted, wake: Arc<Notify>) {
    let Some(copies) = &relay.copies else { return };
    let refusal = match read(&relay, copies, id, &wanted, &wake).await {
        Ok(()) => Refusal::new("", ""),
        Err(refusal) => refusal,
    };
    finish(&relay, id, &refusal);
}

/// A transfer is over; one that went well has no code.
fn finish(relay: &Relay, id: TransferId, end: &Refusal) {
    let now = Instant::now();
    relay.act(|table| {
        let mut effects = Vec::new();
        table.finish(now, id, end.code, &end.reason, &mut effects);
        effects
    });
}

async fn read(
    relay: &Relay,
    copies: &Copies,
    id: TransferId,
    wanted: &Wanted,
    wake: &Notify,
) -> Result<(), Refusal> {
    let (folder, row) = (copies.folder.clone(), wanted.copy.clone());
    let mut file = blocking(move || disk::open(&folder, &row)).await?;
    let mut indices = wanted.indices().peekable();
    while indices.peek().is_some() {
        let open = relay.state.lock().transfers.wanted(id);
        let open = match open {
            None => return Ok(()),
            Some(0) => {
                wake.notified().await;
                continue;
            }
            Some(open) => usize::try_from(open).unwrap_or(usize::MAX),
        };
        let batch: Vec<u32> = indices.by_ref().take(open).collect();
        let frames: Vec<Bytes>;
        (file, frames) = blocking(move || {
            let frames = batch.iter().map(|&index| disk::read(&file, index));
            let frames = frames.collect::<Result<_, _>>()?;
            Ok((file, frames))
        })
        .await?;
        for frame in frames {
            relay.give_copy(id, frame);
        }
        if relay.is_urgent() {
            yield_now().await;
        }
    }
    Ok(())
}

/// What a list of copies is after these changes.
pub(crate) fn after(rows: Vec<CopyRow>, changes: Vec<CopyChange>) -> Vec<CopyRow> {
    let mut rows: HashMap<_, _> =
        rows.into_iter().map(|row| ((row.account, row.tid), row)).collect();
    for change in changes {
        match change {
            CopyChange::Keep(row) => {
                rows.insert((row.account, row.tid), row);
            }
            CopyChange::Remove(gone) => {
                for key in gone {
                    rows.remove(&key);
                }
            }
        }
    }
    rows.into_values().collect()
}

#[cfg(test)]
mod tests;
