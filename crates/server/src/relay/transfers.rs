//! Who gives what to whom, and how many chunks may be under way. Pure: nothing waits here, time is
//! an argument, and each call returns what is to be done.
//!
//! ```text
//!  open   chunks that the giver may still send
//!  held   chunks that wait in this hub for the taker's socket, or for the disk
//!  open + held <= TRANSFER_WINDOW_CHUNKS, whatever the two sides say
//! ```
//!
//! A side of a transfer that ends badly is told why by END. What no honest client does is a [`Fault`]
//! and ends the connection.

mod transfer;

use std::{collections::HashMap, sync::atomic::Ordering};

use bytes::Bytes;
use chat_protocol::{
    code,
    file::{chunk::FileHeader, relay::HubToRelay},
    frame::RawFrame,
    header::Recipient,
    id::{KeyId, Nonce16},
    name::UserName,
};
use tokio::time::Instant;

use crate::{
    close::CloseReason,
    connection::ConnectionId,
    limits::{
        DATA_CONNECTIONS_PER_PERSON_MAX, DATA_IDLE_TIME_MAX, END_REASON_BYTES_MAX,
        TRANSFER_WINDOW_CHUNKS, TRANSFERS_PER_CONNECTION_MAX, TRANSFERS_RUNNING_MAX,
    },
    request::Refusal,
};

use transfer::{Expected, Key, Side, Transfer};
pub use transfer::{Summary, Target};

/// Number of a transfer in this process, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u64);

/// Something that no honest client does. The connection ends with this reason.
pub type Fault = CloseReason;

/// What is to be done after a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send this.
    Tell(ConnectionId, HubToRelay),
    /// The disk may give more chunks of a copy.
    Go(TransferId),
    /// The disk's side is not wanted any more.
    Stop(TransferId),
    /// Write down that chunks may flow.
    Began(Summary),
    /// Write down that it is over, and why if it did not go well.
    Ended(Summary, &'static str),
}

#[derive(Debug)]
struct Connection {
    name: UserName,
    sk: KeyId,
    /// What it gives and takes.
    places: HashMap<Nonce16, TransferId>,
    /// Chunks that may still come for transfers that have ended.
    strays: u32,
    /// Since when it has no transfer.
    idle_since: Instant,
}

/// Everything that is given and taken now.
#[derive(Debug, Default)]
pub struct Transfers {
    connections: HashMap<ConnectionId, Connection>,
    by_id: HashMap<TransferId, Transfer>,
    /// Halves that wait, and pairs between two connections.
    by_key: HashMap<Key, TransferId>,
    running: usize,
    last: u64,
}

fn fault(reason: &'static str) -> Fault {
    CloseReason::Policy(reason.into())
}

fn end(tid: Nonce16, code: &str, reason: &str) -> HubToRelay {
    let cut = reason.floor_char_boundary(END_REASON_BYTES_MAX);
    let reason = reason.get(..cut).unwrap_or_default().to_owned();
    HubToRelay::End { tid, code: code.to_owned(), reason }
}

const NOT_IN: &str = "a data connection is entered before it is used";

impl Transfers {
    /// A data connection has signed in.
    pub fn enter(
        &mut self,
        now: Instant,
        id: ConnectionId,
        name: UserName,
        sk: KeyId,
    ) -> Result<(), Refusal> {
        let own = self.connections.values().filter(|connection| connection.name == name).count();
        if own >= DATA_CONNECTIONS_PER_PERSON_MAX {
            let reason =
                format!("you have {own} connections for files; use one of them, or close one");
            return Err(Refusal::new(code::TOO_MANY, reason));
        }
        let places = HashMap::new();
        let connection = Connection { name, sk, places, strays: 0, idle_since: now };
        self.connections.insert(id, connection);
        Ok(())
    }

    /// It is gone: the other side of each of its transfers is told.
    pub fn leave(&mut self, now: Instant, id: ConnectionId) -> Vec<Effect> {
        let Some(connection) = self.connections.remove(&id) else { return Vec::new() };
        let mut effects = Vec::new();
        for transfer in connection.places.into_values() {
            self.finish(now, transfer, code::NO_PEER, "the other side is gone", &mut effects);
        }
        effects
    }

    /// How many transfers run.
    pub fn running(&self) -> usize {
        self.running
    }

    fn connection(&mut self, id: ConnectionId) -> Result<&mut Connection, Fault> {
        self.connections.get_mut(&id).ok_or_else(|| fault(NOT_IN))
    }

    /// Whether this connection may have another transfer under `tid`; answers with END if not.
    fn vacant(&mut self, id: ConnectionId, tid: Nonce16) -> Result<Option<Effect>, Fault> {
        let connection = self.connection(id)?;
        if connection.places.contains_key(&tid) {
            return Err(fault("this transfer is under way on this connection already"));
        }
        if connection.places.len() < TRANSFERS_PER_CONNECTION_MAX {
            return Ok(None);
        }
        let reason = format!("at most {TRANSFERS_PER_CONNECTION_MAX} transfers at once");
        Ok(Some(Effect::Tell(id, end(tid, code::TOO_MANY, &reason))))
    }

    fn insert(&mut self, transfer: Transfer) -> TransferId {
        self.last += 1;
        let id = TransferId(self.last);
        let tid = transfer.key.tid;
        for side in [transfer.giver, transfer.taker] {
            if let Side::Connection(connection) = side
                && let Some(connection) = self.connections.get_mut(&connection)
            {
                connection.places.insert(tid, id);
            }
        }
        self.by_id.insert(id, transfer);
        id
    }

    /// GIVE: waits for the taker, or begins.
    pub fn give(
        &mut self,
        now: Instant,
        id: ConnectionId,
        tid: Nonce16,
        to: UserName,
    ) -> Result<Vec<Effect>, Fault> {
        let from = self.connection(id)?.name.clone();
        let key = Key { from, to: Recipient::User(to), tid };
        self.half(now, id, key, |transfer| &mut transfer.giver, 0)
    }

    /// TAKE: waits for the giver, or begins.
    pub fn take(
        &mut self,
        now: Instant,
        id: ConnectionId,
        tid: Nonce16,
        from: UserName,
        credit: u32,
    ) -> Result<Vec<Effect>, Fault> {
        let to = Recipient::User(self.connection(id)?.name.clone());
        let key = Key { from, to, tid };
        self.half(now, id, key, |transfer| &mut transfer.taker, credit)
    }

    /// One half of a transfer came.
    fn half(
        &mut self,
        now: Instant,
        id: ConnectionId,
        key: Key,
        side: fn(&mut Transfer) -> &mut Side,
        credit: u32,
    ) -> Result<Vec<Effect>, Fault> {
        check_credit(credit)?;
        let tid = key.tid;
        if let Some(refused) = self.vacant(id, tid)? {
            return Ok(vec![refused]);
        }
        let Some(&waiting) = self.by_key.get(&key) else {
            let mut transfer = Transfer::new(now, key.clone(), Side::Awaited, Side::Awaited);
            *side(&mut transfer) = Side::Connection(id);
            transfer.open = credit;
            let transfer = self.insert(transfer);
            self.by_key.insert(key, transfer);
            return Ok(Vec::new());
        };
        let Some(transfer) = self.by_id.get_mut(&waiting) else { return Ok(Vec::new()) };
        if *side(transfer) != Side::Awaited {
            let reason = "another connection of yours has this transfer already";
            return Ok(vec![Effect::Tell(id, end(tid, code::CONFLICT, reason))]);
        }
        if self.running >= TRANSFERS_RUNNING_MAX {
            let mut effects = vec![Effect::Tell(id, busy(tid))];
            self.finish(now, waiting, code::TOO_MANY, BUSY, &mut effects);
            return Ok(effects);
        }
        *side(transfer) = Side::Connection(id);
        transfer.open += credit;
        transfer.moved = now;
        self.running += 1;
        let mut effects = vec![Effect::Began(transfer.summary(now))];
        if let (Side::Connection(giver), n @ 1..) = (transfer.giver, transfer.open) {
            effects.push(Effect::Tell(giver, HubToRelay::Credit { tid, n }));
        }
        self.connection(id)?.places.insert(tid, waiting);
        Ok(effects)
    }

    /// KEEP, with room for it on the disk: chunks may come. `None` if there is no place for another
    /// transfer; the effects say so.
    pub fn keep(
        &mut self,
        now: Instant,
        id: ConnectionId,
        tid: Nonce16,
        (chunks, size): (u32, u64),
    ) -> Result<(Option<TransferId>, Vec<Effect>), Fault> {
        let from = self.connection(id)?.name.clone();
        let key = Key { from, to: Recipient::Everyone, tid };
        if let Some(refused) = self.vacant(id, tid)? {
            return Ok((None, vec![refused]));
        }
        if self.running >= TRANSFERS_RUNNING_MAX {
            return Ok((None, vec![Effect::Tell(id, busy(tid))]));
        }
        let mut transfer = Transfer::new(now, key, Side::Connection(id), Side::Disk);
        transfer.open = TRANSFER_WINDOW_CHUNKS.min(chunks);
        transfer.expected = Some(Expected { chunks, size });
        let n = transfer.open;
        let began = Effect::Began(transfer.summary(now));
        self.running += 1;
        let transfer = self.insert(transfer);
        Ok((Some(transfer), vec![began, Effect::Tell(id, HubToRelay::Credit { tid, n })]))
    }

    /// TAKE of a copy that is here.
    pub fn take_copy(
        &mut self,
        now: Instant,
        id: ConnectionId,
        tid: Nonce16,
        from: UserName,
        credit: u32,
    ) -> Result<(Option<TransferId>, Vec<Effect>), Fault> {
        check_credit(credit)?;
        let to = Recipient::User(self.connection(id)?.name.clone());
        if let Some(refused) = self.vacant(id, tid)? {
            return Ok((None, vec![refused]));
        }
        if self.running >= TRANSFERS_RUNNING_MAX {
            return Ok((None, vec![Effect::Tell(id, busy(tid))]));
        }
        let key = Key { from, to, tid };
        let mut transfer = Transfer::new(now, key, Side::Disk, Side::Connection(id));
        transfer.open = credit;
        let began = Effect::Began(transfer.summary(now));
        self.running += 1;
        Ok((Some(self.insert(transfer)), vec![began]))
    }

    /// CREDIT of the taker.
    pub fn credit(
        &mut self,
        now: Instant,
        id: ConnectionId,
        tid: Nonce16,
        n: u32,
    ) -> Result<Vec<Effect>, Fault> {
        let Some(&transfer) = self.connection(id)?.places.get(&tid) else {
            // Its END is on the way.
            return Ok(Vec::new());
        };
        let is_taker = |transfer: &Transfer| transfer.taker == Side::Connection(id);
        if !self.by_id.get(&transfer).is_some_and(is_taker) {
            return Err(fault("credit comes from who takes"));
        }
        self.open(now, transfer, n)
    }

    /// So many chunks of an incoming copy are written.
    pub fn written(&mut self, now: Instant, transfer: TransferId, n: u32) -> Vec<Effect> {
        let Some(incoming) = self.by_id.get(&transfer) else { return Vec::new() };
        let chunks = incoming.expected.map_or(0, |expected| expected.chunks);
        let left = u64::from(chunks).saturating_sub(incoming.chunks);
        let left = u32::try_from(left).unwrap_or(u32::MAX).saturating_sub(incoming.open);
        // What was written is not held any more, so this never is beyond the window.
        self.open(now, transfer, n.min(left)).unwrap_or_default()
    }

    fn open(&mut self, now: Instant, id: TransferId, n: u32) -> Result<Vec<Effect>, Fault> {
        let Some(transfer) = self.by_id.get_mut(&id) else { return Ok(Vec::new()) };
        let held = transfer.held.load(Ordering::Acquire);
        let is_within = transfer
            .open
            .checked_add(held)
            .and_then(|under_way| under_way.checked_add(n))
            .is_some_and(|under_way| under_way <= TRANSFER_WINDOW_CHUNKS);
        if !is_within {
            return Err(fault("credit for chunks that cannot have been taken"));
        }
        if n == 0 {
            return Ok(Vec::new());
        }
        transfer.open += n;
        transfer.moved = now;
        Ok(match transfer.giver {
            Side::Connection(giver) => {
                vec![Effect::Tell(giver, HubToRelay::Credit { tid: transfer.key.tid, n })]
            }
            Side::Disk => vec![Effect::Go(id)],
            Side::Awaited => Vec::new(),
        })
    }

    /// END of one side.
    pub fn end(
        &mut self,
        now: Instant,
        id: ConnectionId,
        tid: Nonce16,
        reason: &str,
    ) -> Result<Vec<Effect>, Fault> {
        let Some(&transfer) = self.connection(id)?.places.get(&tid) else {
            // The other side ended it at the same time.
            return Ok(Vec::new());
        };
        let mut effects = Vec::new();
        if reason.is_empty() && self.by_id.get(&transfer).is_some_and(Transfer::is_complete) {
            // Of a copy: KEPT follows.
            return Ok(effects);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.places.remove(&tid);
            connection.idle_since = now;
        }
        let code = if reason.is_empty() { "" } else { code::NO_PEER };
        self.finish(now, transfer, code, reason, &mut effects);
        Ok(effects)
    }

    /// Ends a transfer and tells every side that still has a place for it.
    pub fn finish(
        &mut self,
        now: Instant,
        id: TransferId,
        code: &'static str,
        reason: &str,
        effects: &mut Vec<Effect>,
    ) {
        self.close(now, id, code, effects, |tid| end(tid, code, reason));
    }

    /// A copy is kept, durably, until then.
    pub fn kept(&mut self, now: Instant, id: TransferId, until: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.close(now, id, "", &mut effects, |tid| HubToRelay::Kept { tid, until });
        effects
    }

    fn close(
        &mut self,
        now: Instant,
        id: TransferId,
        code: &'static str,
        effects: &mut Vec<Effect>,
        last_word: impl Fn(Nonce16) -> HubToRelay,
    ) {
        let Some(transfer) = self.by_id.remove(&id) else { return };
        let tid = transfer.key.tid;
        if self.by_key.get(&transfer.key) == Some(&id) {
            self.by_key.remove(&transfer.key);
        }
        let is_running = transfer.is_running();
        self.running -= usize::from(is_running);
        for side in [transfer.giver, transfer.taker] {
            match side {
                Side::Awaited => {}
                Side::Disk => effects.push(Effect::Stop(id)),
                Side::Connection(side) => {
                    let Some(connection) = self.connections.get_mut(&side) else { continue };
                    if connection.places.remove(&tid).is_some() {
                        if is_running && transfer.giver == Side::Connection(side) {
                            connection.strays = connection.strays.saturating_add(transfer.open);
                        }
                        connection.idle_since = now;
                        effects.push(Effect::Tell(side, last_word(tid)));
                    }
                }
            }
        }
        effects.push(Effect::Ended(transfer.summary(now), code));
    }

    /// Looks at a chunk that came on a connection and says where it goes.
    pub fn chunk(
        &mut self,
        now: Instant,
        id: ConnectionId,
        header: &FileHeader,
        frame: &RawFrame,
    ) -> Result<Target, Fault> {
        let connection = self.connection(id)?;
        if header.from != connection.name || header.sk != connection.sk {
            return Err(fault("a chunk is from the name and signing key that are signed in here"));
        }
        let Some(&transfer_id) = connection.places.get(&header.tid) else {
            let left = connection.strays.checked_sub(1);
            connection.strays =
                left.ok_or_else(|| fault("a chunk of a transfer that is not given here"))?;
            return Ok(Target::Nowhere);
        };
        let Some(transfer) = self.by_id.get_mut(&transfer_id) else {
            return Ok(Target::Nowhere);
        };
        if transfer.giver != Side::Connection(id) {
            return Err(fault("a chunk of a transfer that is taken here"));
        }
        if header.to != transfer.key.to {
            return Err(fault("a chunk for another recipient than its transfer"));
        }
        if transfer.expected.is_some_and(|expected| !expected.fits(header, frame.body().len())) {
            return Err(fault("a chunk that does not fit the size of its copy"));
        }
        let open = if transfer.is_running() { transfer.open.checked_sub(1) } else { None };
        transfer.open = open.ok_or_else(|| fault("a chunk beyond the credit of its transfer"))?;
        Ok(transfer.send(now, transfer_id, frame.bytes().clone()))
    }

    /// How many chunks the disk may give now; `None` when the transfer is over.
    pub fn wanted(&self, id: TransferId) -> Option<u32> {
        self.by_id.get(&id).map(|transfer| transfer.open)
    }

    /// A chunk from the disk.
    pub fn chunk_of_copy(&mut self, now: Instant, id: TransferId, frame: Bytes) -> Target {
        let Some(transfer) = self.by_id.get_mut(&id) else { return Target::Nowhere };
        let Some(open) = transfer.open.checked_sub(1) else { return Target::Nowhere };
        transfer.open = open;
        transfer.send(now, id, frame)
    }

    /// Ends what has waited too long, and says whether this connection has been idle too long.
    pub fn tend(&mut self, now: Instant, id: ConnectionId) -> (Vec<Effect>, bool) {
        let Some(connection) = self.connections.get(&id) else { return (Vec::new(), true) };
        let places = connection.places.values();
        let late: Vec<TransferId> = places
            .filter(|&place| self.by_id.get(place).is_some_and(|t| t.is_late(now)))
            .copied()
            .collect();
        let idle = now.saturating_duration_since(connection.idle_since);
        let is_idle = connection.places.is_empty() && idle >= DATA_IDLE_TIME_MAX;
        let mut effects = Vec::new();
        for transfer in late {
            let is_running = self.by_id.get(&transfer).is_some_and(Transfer::is_running);
            let reason = if is_running {
                "nothing moved for a long time"
            } else {
                "the other side did not come"
            };
            self.finish(now, transfer, code::NO_PEER, reason, &mut effects);
        }
        (effects, is_idle)
    }
}

const BUSY: &str = "the server carries as many files as it can; try again";

fn busy(tid: Nonce16) -> HubToRelay {
    end(tid, code::TOO_MANY, BUSY)
}

fn check_credit(credit: u32) -> Result<(), Fault> {
    if credit <= TRANSFER_WINDOW_CHUNKS {
        return Ok(());
    }
    Err(CloseReason::Policy(format!("at most {TRANSFER_WINDOW_CHUNKS} chunks under way").into()))
}

#[cfg(test)]
mod tests;
