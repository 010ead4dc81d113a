//! Transfers whose other side is at another hub. The hub of the taker counts what it has; the hub of the giver
//! lets through what it is told.

use std::collections::BTreeSet;

use bytes::Bytes;
use chat_protocol::{code, file::relay::HubToRelay, header::Recipient, name::UserName};
use tokio::time::Instant;

use super::{
    Effect, Fault, Target, TransferId, Transfers,
    begin::BUSY,
    end::STALLED,
    transfer::{Key, Side, Transfer},
};
use crate::{
    connection::ConnectionId,
    limits::{LINK_SILENCE_MAX, TRANSFER_WINDOW_CHUNKS, TRANSFERS_RUNNING_MAX},
    relay::link::{Address, Far, Half, Peer, SideOf, Word},
};

/// What the side here is told when the hub of the other one is lost.
const LOST: &str = "the other side is at another server, which does not answer; try again";

/// The code of ours that another hub has written.
fn known(code: &str) -> &'static str {
    let all = ["", code::TOO_MANY, code::CONFLICT, code::NO_SUCH_COPY, code::STORAGE_FULL];
    all.into_iter().find(|known| *known == code).unwrap_or(code::NO_PEER)
}

impl Transfers {
    /// The same table, whose halves are told to other hubs.
    pub fn link(&mut self) {
        self.is_linked = true;
    }

    /// Half of a transfer that waits here, for those who look for the other half.
    pub fn waiting(&self, id: TransferId) -> Option<(Half, &Key)> {
        let transfer = self.by_id.get(&id)?;
        (self.by_key.get(&transfer.key) == Some(&id))
            .then(|| Some((transfer.half()?, &transfer.key)))?
    }

    /// All of them.
    pub fn all_waiting(&self) -> Vec<Effect> {
        let mut waiting: Vec<TransferId> =
            self.by_id.keys().copied().filter(|id| self.waiting(*id).is_some()).collect();
        waiting.sort_unstable();
        waiting.into_iter().filter_map(|id| self.announce(id)).collect()
    }

    fn announce(&self, id: TransferId) -> Option<Effect> {
        let (half, key) = self.waiting(id)?;
        Some(Effect::Announce(id, half, key.clone()))
    }

    /// The other half of one that waits here was announced before: its hub is told.
    pub fn found(&mut self, id: TransferId, first: Far) -> Vec<Effect> {
        let Some((_, transfer)) = self.waiting(id).zip(self.by_id.get(&id)) else {
            return Vec::new();
        };
        let Some(side) = transfer.side() else { return Vec::new() };
        let credit = transfer.open;
        let word = Word::Meet { your: first.id, mine: id, side, credit };
        vec![Effect::Say(Address::Peer(first.peer), id, word)]
    }

    /// TAKE of a copy that lies at another hub, which answers as the giver.
    pub fn take_far_copy(
        &mut self,
        now: Instant,
        id: ConnectionId,
        (node, from, word): (u32, UserName, impl FnOnce(TransferId, UserName) -> Word),
        (tid, credit): (chat_protocol::id::Nonce16, u32),
    ) -> Result<Vec<Effect>, Fault> {
        super::begin::check_credit(credit)?;
        let taker = self.connection(id)?.name.clone();
        if let Some(refused) = self.vacant(id, tid)? {
            return Ok(vec![refused]);
        }
        let key = Key { from, to: Recipient::User(taker.clone()), tid };
        let mut transfer = Transfer::new(now, key, Side::Awaited, Side::Connection(id));
        transfer.open = credit;
        // Its giver is asked, so it meets no half that somebody announces.
        let transfer = self.insert(transfer);
        Ok(vec![Effect::Say(Address::Hub(node), transfer, word(transfer, taker))])
    }

    /// Somebody at another hub takes a copy that lies here.
    pub fn give_copy_far(
        &mut self,
        now: Instant,
        far: Far,
        key: Key,
        credit: u32,
    ) -> (Option<TransferId>, Vec<Effect>) {
        if self.running >= TRANSFERS_RUNNING_MAX {
            return (None, vec![end_of(far, code::TOO_MANY, BUSY)]);
        }
        let mut transfer = Transfer::new(now, key, Side::Disk, Side::Far(far));
        transfer.open = credit.min(TRANSFER_WINDOW_CHUNKS);
        let began = Effect::Began(transfer.summary(now));
        self.running += 1;
        self.far_heard.insert(far.peer, now);
        let side = SideOf { half: Half::Giver, transfer: transfer.key.clone() };
        let id = self.insert(transfer);
        let met = Word::Met { your: far.id, mine: id, side, credit: 0 };
        (Some(id), vec![began, Effect::Say(Address::Peer(far.peer), id, met)])
    }

    /// A word of another hub about a transfer, without the chunks and questions for copies.
    pub fn hear(&mut self, now: Instant, from: Peer, word: Word) -> Vec<Effect> {
        if let Some(heard) = self.far_heard.get_mut(&from) {
            *heard = now;
        }
        match word {
            Word::Meet { your, mine, side, credit } => {
                let far = Far { peer: from, id: mine };
                let own = side.other();
                if self.waiting(your) != Some((own.half, &own.transfer)) {
                    let word = Word::NotHere { your: mine };
                    return vec![Effect::Say(Address::Peer(from), your, word)];
                }
                let open = self.by_id.get(&your).map_or(0, |transfer| transfer.open);
                let mut effects = self.join(now, your, far, credit);
                if self.by_id.contains_key(&your) {
                    let met = Word::Met { your: mine, mine: your, side: own, credit: open };
                    effects.push(Effect::Say(Address::Peer(from), your, met));
                }
                effects
            }
            Word::Met { your, mine, side, credit } => {
                let far = Far { peer: from, id: mine };
                if self.by_id.get(&your).and_then(Transfer::side) != Some(side.other()) {
                    return vec![end_of(
                        far,
                        code::NO_PEER,
                        "the other side has found another one",
                    )];
                }
                self.join(now, your, far, credit)
            }
            Word::NotHere { your } => self.announce(your).into_iter().collect(),
            Word::Credit { to, n } => self.far_credit(now, from, (to, n)),
            Word::End { to, code, reason } => {
                let mut effects = Vec::new();
                if let Some(transfer) = self.by_id.get_mut(&to)
                    && (transfer.half().is_some()
                        || transfer.far().is_some_and(|far| far.peer == from))
                {
                    transfer.has_far_ended = true;
                    self.finish(now, to, known(&code), &reason, &mut effects);
                }
                effects
            }
            Word::Ping | Word::Chunk { .. } | Word::Ask { .. } => Vec::new(),
        }
    }

    /// The side that was awaited is at another hub: chunks may flow.
    fn join(&mut self, now: Instant, id: TransferId, far: Far, credit: u32) -> Vec<Effect> {
        if self.running >= TRANSFERS_RUNNING_MAX {
            let mut effects = vec![end_of(far, code::TOO_MANY, BUSY)];
            self.finish(now, id, code::TOO_MANY, BUSY, &mut effects);
            return effects;
        }
        let Some(transfer) = self.by_id.get_mut(&id) else { return Vec::new() };
        let mut effects = Vec::new();
        if self.is_linked && self.by_key.get(&transfer.key) == Some(&id) {
            effects.extend(
                transfer.half().map(|half| Effect::Withdraw(id, half, transfer.key.clone())),
            );
        }
        let missing =
            if transfer.giver == Side::Awaited { &mut transfer.giver } else { &mut transfer.taker };
        *missing = Side::Far(far);
        transfer.moved = now;
        if matches!(transfer.taker, Side::Far(_)) {
            transfer.open = credit.min(TRANSFER_WINDOW_CHUNKS);
        }
        self.running += 1;
        self.far_heard.insert(far.peer, now);
        effects.push(Effect::Began(transfer.summary(now)));
        if let (Side::Connection(giver), n @ 1..) = (transfer.giver, transfer.open) {
            let tid = transfer.key.tid;
            effects.push(Effect::Tell(giver, HubToRelay::Credit { tid, n }));
        }
        effects
    }

    /// What the hub of the taker lets come. What it has is counted there.
    fn far_credit(&mut self, now: Instant, from: Peer, (id, n): (TransferId, u32)) -> Vec<Effect> {
        let is_its = |side: Side| matches!(side, Side::Far(far) if far.peer == from);
        let Some(transfer) = self.by_id.get_mut(&id).filter(|one| is_its(one.taker)) else {
            return Vec::new();
        };
        transfer.open = transfer.open.saturating_add(n).min(TRANSFER_WINDOW_CHUNKS);
        transfer.moved = now;
        match transfer.giver {
            Side::Connection(giver) => {
                vec![Effect::Tell(giver, HubToRelay::Credit { tid: transfer.key.tid, n })]
            }
            Side::Disk => vec![Effect::Go(id)],
            Side::Awaited | Side::Far(_) => Vec::new(),
        }
    }

    /// A chunk of a giver at another hub, and what is to be done beside.
    pub fn far_chunk(
        &mut self,
        now: Instant,
        from: Peer,
        (id, frame): (TransferId, Bytes),
    ) -> (Target, Vec<Effect>) {
        if let Some(heard) = self.far_heard.get_mut(&from) {
            *heard = now;
        }
        let is_its = |side: Side| matches!(side, Side::Far(far) if far.peer == from);
        let Some(transfer) = self.by_id.get_mut(&id).filter(|one| is_its(one.giver)) else {
            // It has ended, and END is on the way.
            return (Target::Nowhere, Vec::new());
        };
        let Some(open) = transfer.open.checked_sub(1) else {
            let mut effects = Vec::new();
            let why = "more came than was asked for";
            self.finish(now, id, code::NO_PEER, why, &mut effects);
            return (Target::Nowhere, effects);
        };
        transfer.open = open;
        (transfer.send(now, id, frame), Vec::new())
    }

    /// Ends what goes between hubs and stands still: of what the disk gives to another hub no connection here looks
    /// whether it moves.
    pub fn tend_far(&mut self, now: Instant) -> Vec<Effect> {
        let stands = |transfer: &Transfer| transfer.far().is_some() && transfer.is_late(now);
        let mut late: Vec<TransferId> =
            self.by_id.iter().filter(|(_, one)| stands(one)).map(|(id, _)| *id).collect();
        late.sort_unstable();
        let mut effects = Vec::new();
        for id in late {
            self.finish(now, id, code::NO_PEER, STALLED, &mut effects);
        }
        effects
    }

    /// Hubs with which something is under way, and whether they have said nothing for too long.
    pub fn peers(&mut self, now: Instant) -> Vec<(Peer, bool)> {
        let far = self.by_id.values().filter_map(Transfer::far).map(|far| far.peer);
        let peers: BTreeSet<Peer> = far.collect();
        self.far_heard.retain(|peer, _| peers.contains(peer));
        let is_silent = |peer| {
            let heard = self.far_heard.get(&peer).copied().unwrap_or(now);
            now.saturating_duration_since(heard) >= LINK_SILENCE_MAX
        };
        peers.into_iter().map(|peer| (peer, is_silent(peer))).collect()
    }

    /// A hub is lost, or something that it has said; without one, all of them.
    pub fn lose(&mut self, now: Instant, lost: Option<Peer>) -> Vec<Effect> {
        let is_lost = |far: Far| lost.is_none_or(|peer| peer == far.peer);
        let mut late: Vec<TransferId> = self
            .by_id
            .iter()
            .filter(|(_, transfer)| transfer.far().is_some_and(is_lost))
            .map(|(id, _)| *id)
            .collect();
        late.sort_unstable();
        let mut effects = Vec::new();
        for id in late {
            self.finish(now, id, code::NO_PEER, LOST, &mut effects);
        }
        effects
    }

    /// What was said of this transfer has reached nobody.
    pub fn unheard(
        &mut self,
        now: Instant,
        id: TransferId,
        word: &Word,
        away: &str,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        match word {
            // Whoever has announced it is gone.
            Word::Meet { .. } => effects.extend(self.announce(id)),
            Word::Ask { .. } => self.finish(now, id, code::COPY_AWAY, away, &mut effects),
            _ => {}
        }
        effects
    }
}

fn end_of(far: Far, code: &str, reason: &str) -> Effect {
    let (code, reason) = (code.to_owned(), reason.to_owned());
    Effect::Say(Address::Peer(far.peer), far.id, Word::End { to: far.id, code, reason })
}
