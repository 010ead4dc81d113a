//! The relay's part in transfers between hubs.

use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{code, header::Recipient};
use tokio::time::Instant;

use super::{
    Relay, State,
    copies::Wanted,
    length,
    link::{Address, Far, Peer, Post, Word},
    transfers::{Effect, Key, Target, TransferId},
};

impl Relay {
    /// What is to be done at other hubs; nothing where there are none.
    pub(super) fn carry(&self, effect: Effect) {
        let Some(link) = &self.link else { return };
        match effect {
            Effect::Announce(id, half, key) => {
                link.tell_of(Post::Announce(id, half, link.place(&key)));
            }
            Effect::Withdraw(id, half, key) => {
                link.tell_of(Post::Withdraw(id, half, link.place(&key)));
            }
            Effect::Say(to, about, word) => {
                let is_said = link.say(to, about, word);
                if !is_said {
                    tracing::warn!("too much waits to be said to other servers about files");
                }
            }
            _ => {}
        }
    }

    /// Gives a chunk to the hub of its taker.
    pub(super) fn forward_far(&self, state: &mut State, id: TransferId, far: Far, frame: Bytes) {
        let bytes = length(frame.len());
        let word = Word::Chunk { to: far.id, frame };
        let link = self.link.as_ref();
        if link.is_some_and(|link| link.say(Address::Peer(far.peer), id, word)) {
            self.metrics.relay.chunks.inc();
            self.metrics.relay.bytes.inc_by(bytes);
        } else {
            let mut effects = Vec::new();
            let why = "the server of the other side cannot be reached";
            state.transfers.finish(Instant::now(), id, code::NO_PEER, why, &mut effects);
            self.carry_out(state, effects);
        }
    }

    /// Another hub says something.
    pub(crate) fn hear(self: &Arc<Self>, from: Peer, word: Word) {
        match word {
            Word::Chunk { to, frame } => {
                let mut state = self.state.lock();
                let bytes = length(frame.len());
                let heard = state.transfers.far_chunk(Instant::now(), from, (to, frame));
                let (target, effects) = heard;
                match target {
                    Target::Taker(to, frame) => self.forward(&state, to, frame, bytes),
                    // A copy comes in at the hub of its owner's connection alone.
                    Target::Disk(..) | Target::Far(..) | Target::Nowhere => {}
                }
                self.carry_out(&mut state, effects);
            }
            Word::Ask { .. } => self.give_far(from, word),
            word => self.act(|table| table.hear(Instant::now(), from, word)),
        }
    }

    /// Somebody at another hub takes a copy.
    fn give_far(self: &Arc<Self>, from: Peer, word: Word) {
        let Word::Ask { mine, owner, taker, tid, parts, credit } = word else { return };
        let far = Far { peer: from, id: mine };
        let copies = self.copies.as_ref();
        let Some(copy) = copies.and_then(|copies| copies.find_here(&owner, tid)) else {
            let (code, reason) = (code::NO_SUCH_COPY.to_owned(), "the copy is gone".to_owned());
            let word = Word::End { to: mine, code, reason };
            self.act(|_| vec![Effect::Say(Address::Peer(from), mine, word)]);
            return;
        };
        let key = Key { from: owner, to: Recipient::User(taker), tid };
        let begin = |table: &mut super::transfers::Transfers| {
            table.give_copy_far(Instant::now(), far, key, credit)
        };
        Wanted { copy, parts }.give_by(self, tid, begin);
    }

    /// Somebody has announced the other half of one that waits here.
    pub(crate) fn found(&self, id: TransferId, first: Far) {
        self.act(|table| table.found(id, first));
    }

    /// What was said has reached nobody; `away` says of a copy why it is not to be had.
    pub(crate) fn unheard(&self, to: Address, id: TransferId, word: &Word, away: &str) {
        self.act(|table| {
            let mut effects = table.unheard(Instant::now(), id, word, away);
            if let Address::Peer(peer) = to {
                effects.extend(table.lose(Instant::now(), Some(peer)));
            }
            effects
        });
    }

    /// A hub is lost, or something that it has said; without one, all of them.
    pub(crate) fn lose(&self, peer: Option<Peer>) {
        self.act(|table| table.lose(Instant::now(), peer));
    }

    /// Other hubs can be reached now: they are told of every half that waits here.
    pub(crate) fn announce_all(&self) {
        self.act(|table| table.all_waiting());
    }

    /// Hubs with which something is under way. Those that have said nothing for too long are given up, and so is what
    /// stands still.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.act(|table| table.tend_far(Instant::now()));
        let peers = self.state.lock().transfers.peers(Instant::now());
        let (silent, there): (Vec<_>, Vec<_>) = peers.into_iter().partition(|(_, silent)| *silent);
        for (peer, _) in silent {
            self.lose(Some(peer));
        }
        there.into_iter().map(|(peer, _)| peer).collect()
    }
}
