//! What flows in a transfer: credit towards the giver, chunks towards the taker.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use chat_protocol::{
    file::{chunk::FileHeader, relay::HubToRelay},
    frame::RawFrame,
    id::Nonce16,
};
use tokio::time::Instant;

use super::{
    Effect, Fault, Target, TransferId, Transfers, fault,
    transfer::{Side, Transfer},
};
use crate::{
    connection::ConnectionId,
    limits::TRANSFER_WINDOW_CHUNKS,
    relay::link::{Address, Word},
};

impl Transfers {
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
            Side::Far(far) => {
                let word = Word::Credit { to: far.id, n };
                vec![Effect::Say(Address::Peer(far.peer), id, word)]
            }
            Side::Disk => vec![Effect::Go(id)],
            Side::Awaited => Vec::new(),
        })
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
}
