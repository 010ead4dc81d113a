//! Files on their way: data connections, pairs of giver and taker, and copies for those who come later.
//!
//! ```text
//!  data connection of alice                                    data connection of bob
//!  GIVE, FILE … ─► connection ─► transfers (pure) ─► outbox ─► writer ─► FILE …
//!  KEEP, FILE … ─► connection ─► transfers ─► copies ─► disk
//! ```
//!
//! The connection is `session/files.rs`; here is what all of them share.
//!
//! Nothing of this goes through the queue or the worker, except that a copy was kept or taken away:
//! chunks need neither an order among messages nor a commit, and they would be most of the work.

pub mod copies;
mod far;
pub mod link;
pub mod transfers;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use chat_oplog::{Operation, OperationLog, Outcome};
use chat_protocol::{
    code,
    file::{chunk::FileHeader, relay::HubToRelay},
    frame::RawFrame,
    hub,
    id::{KeyId, Nonce16},
    name::UserName,
    tag::Tag,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{
    close::CloseReason,
    connection::ConnectionId,
    metrics::Metrics,
    outbox::{Outbox, Outgoing},
    queue::Lane,
    request::Refusal,
    store::AccountId,
    tasks::Tasks,
};

use copies::Copies;
use link::Link;
use transfers::{Effect, Fault, Summary, Target, TransferId, Transfers};

/// A device whose data connection has signed in.
#[derive(Debug, Clone)]
pub struct DataPeer {
    /// The connection.
    pub connection: ConnectionId,
    /// Whose.
    pub account: AccountId,
    /// The name.
    pub name: UserName,
    /// The device's signing key.
    pub sk: KeyId,
}

/// What the disk does for a transfer.
enum Job {
    /// Writes a copy: gets its chunks here, and gives up when this is gone.
    Write(mpsc::Sender<(u32, Bytes)>),
    /// Reads a copy: is woken when it may go on, or has to look whether it still may.
    Read(Arc<Notify>),
}

#[derive(Default)]
struct State {
    transfers: Transfers,
    outboxes: HashMap<ConnectionId, Outbox>,
    jobs: HashMap<TransferId, Job>,
}

/// What all data connections share.
pub struct Relay {
    /// The lock is held for a few instructions and never across an await.
    state: Mutex<State>,
    metrics: Arc<Metrics>,
    log: OperationLog,
    /// Copies, where the hub has a place for them.
    pub(crate) copies: Option<Copies>,
    /// The way to other hubs, where a log is shared.
    link: Option<Link>,
    /// What the disk does for transfers. Who ends the hub waits for it: it ends when both sides have gone.
    pub(crate) tasks: Tasks,
}

impl Relay {
    /// Nobody is connected.
    pub fn new(metrics: Arc<Metrics>, log: OperationLog, copies: Option<Copies>) -> Self {
        let (state, tasks) = (Mutex::default(), Tasks::default());
        Self { state, metrics, log, copies, link: None, tasks }
    }

    /// The same, with this way to other hubs.
    #[must_use]
    pub fn with_link(self, link: Option<Link>) -> Self {
        if link.is_some() {
            self.state.lock().transfers.link();
        }
        Self { link, ..self }
    }

    /// Lets a data connection in, or says why not.
    pub fn enter(
        self: &Arc<Self>,
        peer: DataPeer,
        max: usize,
        outbox: &Outbox,
    ) -> Result<Seat, Refusal> {
        let mut state = self.state.lock();
        let (id, name) = (peer.connection, peer.name.clone());
        state.transfers.enter(Instant::now(), id, (name, max), peer.sk)?;
        state.outboxes.insert(id, outbox.clone());
        drop(state);
        Ok(Seat { relay: Arc::clone(self), peer })
    }

    /// Whether somebody's words wait for the worker: files let them pass.
    pub fn is_urgent(&self) -> bool {
        let depth = |lane| {
            let depth: &AtomicI64 = self.metrics.queue.get(lane).depth.inner();
            depth.load(Ordering::Relaxed)
        };
        Lane::ALL.into_iter().filter(|lane| *lane != Lane::Bulk).any(|lane| depth(lane) > 0)
    }

    /// Asks the table and does what it says.
    pub(crate) fn act(&self, ask: impl FnOnce(&mut Transfers) -> Vec<Effect>) {
        let mut state = self.state.lock();
        let effects = ask(&mut state.transfers);
        self.carry_out(&mut state, effects);
    }

    pub(crate) fn try_act(
        &self,
        ask: impl FnOnce(&mut Transfers) -> Result<Vec<Effect>, Fault>,
    ) -> Result<(), Fault> {
        let mut state = self.state.lock();
        let effects = ask(&mut state.transfers)?;
        self.carry_out(&mut state, effects);
        Ok(())
    }

    fn carry_out(&self, state: &mut State, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Tell(to, message) => self.tell(state, to, &message),
                Effect::Go(id) => {
                    if let Some(Job::Read(wake)) = state.jobs.get(&id) {
                        wake.notify_one();
                    }
                }
                Effect::Stop(id) => {
                    if let Some(Job::Read(wake)) = state.jobs.remove(&id) {
                        wake.notify_one();
                    }
                }
                effect @ (Effect::Announce(..) | Effect::Withdraw(..) | Effect::Say(..)) => {
                    self.carry(effect);
                }
                Effect::Began(summary) => {
                    self.metrics.relay.transfers.inc();
                    self.write_down("file.begin", &summary, None);
                }
                Effect::Ended(summary, code) => {
                    if summary.is_running {
                        self.metrics.relay.transfers.dec();
                    }
                    self.write_down("file.end", &summary, Some(code));
                }
            }
        }
    }

    fn tell(&self, state: &State, to: ConnectionId, message: &HubToRelay) {
        let Some(outbox) = state.outboxes.get(&to) else { return };
        let text = Outgoing::Text(hub::write(message).into());
        self.metrics.frames_out.of(None).inc();
        self.metrics.bytes_out.inc_by(length(text.len()));
        // A full outbox has closed its connection: leaving tells the other sides.
        outbox.push(text).ok();
    }

    /// One line for a transfer; `code` tells how it ended.
    fn write_down(&self, op: &str, summary: &Summary, code: Option<&'static str>) {
        let (tid, to) = (summary.tid.to_string(), summary.to.to_string());
        let is_end = code.is_some();
        let code = code.filter(|code| !code.is_empty());
        let outcome = if code.is_some() { Outcome::Failed } else { Outcome::Ok };
        self.log.write(&Operation {
            user: Some(summary.from.as_str().into()),
            peer: Some(to.as_str().into()),
            tag: Some(Tag::File.as_str().into()),
            id: Some(tid.as_str().into()),
            bytes: is_end.then_some(summary.bytes),
            chunks: is_end.then_some(summary.chunks),
            outcome: is_end.then_some(outcome),
            code: code.map(Into::into),
            total_us: is_end.then_some(summary.duration_us),
            ..Operation::new(op)
        });
    }

    /// A chunk came in.
    pub(crate) fn chunk(
        &self,
        from: ConnectionId,
        header: &FileHeader,
        frame: &RawFrame,
    ) -> Result<(), Fault> {
        let bytes = length(frame.bytes().len());
        let mut state = self.state.lock();
        match state.transfers.chunk(Instant::now(), from, header, frame)? {
            Target::Taker(to, frame) => self.forward(&state, to, frame, bytes),
            Target::Far(id, far, frame) => self.forward_far(&mut state, id, far, frame),
            Target::Disk(id, frame) => {
                let Some(Job::Write(chunks)) = state.jobs.get(&id) else { return Ok(()) };
                // It has room for what credit allows.
                if chunks.try_send((header.i, frame)).is_ok() {
                    self.metrics.relay.chunks.inc();
                    self.metrics.relay.bytes.inc_by(bytes);
                } else {
                    let mut effects = Vec::new();
                    let why = "the copy cannot be written";
                    let now = Instant::now();
                    state.transfers.finish(now, id, code::STORAGE_FULL, why, &mut effects);
                    self.carry_out(&mut state, effects);
                }
            }
            Target::Nowhere => {}
        }
        Ok(())
    }

    fn forward(&self, state: &State, to: ConnectionId, frame: Bytes, bytes: u64) {
        let Some(outbox) = state.outboxes.get(&to) else { return };
        // A closed outbox belongs to a connection that is leaving, which tells the giver.
        if outbox.push(Outgoing::Binary(frame)).is_ok() {
            let metrics = &self.metrics;
            metrics.relay.chunks.inc();
            metrics.relay.bytes.inc_by(bytes);
            metrics.frames_out.of(Some(Tag::File)).inc();
            metrics.bytes_out.inc_by(bytes);
        }
    }

    /// The disk gives chunks of a copy, as many as are wanted.
    fn give_copy(&self, id: TransferId, frame: Bytes) {
        let bytes = length(frame.len());
        let mut state = self.state.lock();
        match state.transfers.chunk_of_copy(Instant::now(), id, frame) {
            Target::Taker(to, frame) => self.forward(&state, to, frame, bytes),
            Target::Far(id, far, frame) => self.forward_far(&mut state, id, far, frame),
            Target::Disk(..) | Target::Nowhere => {}
        }
    }

    pub(crate) fn refuse(&self, to: ConnectionId, tid: Nonce16, refusal: &Refusal) {
        let (code, reason) = (refusal.code.to_owned(), refusal.reason.clone());
        self.act(|_| vec![Effect::Tell(to, HubToRelay::End { tid, code, reason })]);
    }

    /// Ends the waiting of this connection that has lasted too long.
    pub(crate) fn tend(&self, id: ConnectionId) -> Option<CloseReason> {
        let mut state = self.state.lock();
        let (effects, is_idle) = state.transfers.tend(Instant::now(), id);
        self.carry_out(&mut state, effects);
        is_idle.then_some(CloseReason::Done)
    }
}

/// A length for the figures.
pub(crate) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// A data connection's place in the relay. Dropping it ends its transfers.
pub struct Seat {
    pub(crate) relay: Arc<Relay>,
    pub(crate) peer: DataPeer,
}

impl Seat {
    /// Whose it is.
    pub fn name(&self) -> &UserName {
        &self.peer.name
    }

    /// The signing key of the device.
    pub fn signing_id(&self) -> KeyId {
        self.peer.sk
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let id = self.peer.connection;
        let mut state = self.relay.state.lock();
        state.outboxes.remove(&id);
        let effects = state.transfers.leave(Instant::now(), id);
        self.relay.carry_out(&mut state, effects);
    }
}
