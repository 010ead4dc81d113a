//! How a transfer begins: by two halves that meet, or by one side and the disk.

use chat_protocol::{
    code, file::relay::HubToRelay, header::Recipient, id::Nonce16, name::UserName,
};
use tokio::time::Instant;

use super::{
    Effect, Fault, TransferId, Transfers,
    end::end,
    fault,
    transfer::{Expected, Key, Side, Transfer},
};
use crate::{
    close::CloseReason,
    connection::ConnectionId,
    limits::{TRANSFER_WINDOW_CHUNKS, TRANSFERS_PER_CONNECTION_MAX, TRANSFERS_RUNNING_MAX},
};

pub(super) const BUSY: &str = "the server carries as many files as it can; try again";

fn busy(tid: Nonce16) -> HubToRelay {
    end(tid, code::TOO_MANY, BUSY)
}

pub(super) fn check_credit(credit: u32) -> Result<(), Fault> {
    if credit <= TRANSFER_WINDOW_CHUNKS {
        return Ok(());
    }
    Err(CloseReason::Policy(format!("at most {TRANSFER_WINDOW_CHUNKS} chunks under way").into()))
}

impl Transfers {
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
            let half = transfer.half();
            let transfer = self.insert(transfer);
            self.by_key.insert(key.clone(), transfer);
            let told = half.filter(|_| self.is_linked);
            return Ok(told
                .map(|half| Effect::Announce(transfer, half, key))
                .into_iter()
                .collect());
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
        let told = transfer.half().filter(|_| self.is_linked);
        let told = told.map(|half| Effect::Withdraw(waiting, half, key));
        *side(transfer) = Side::Connection(id);
        transfer.open += credit;
        transfer.moved = now;
        self.running += 1;
        let mut effects = vec![Effect::Began(transfer.summary(now))];
        effects.extend(told);
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

    /// Whether this connection may have another transfer under `tid`; answers with END if not.
    pub(super) fn vacant(
        &mut self,
        id: ConnectionId,
        tid: Nonce16,
    ) -> Result<Option<Effect>, Fault> {
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

    pub(super) fn insert(&mut self, transfer: Transfer) -> TransferId {
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
}
