//! What the hub says that it has dropped because a room keeps messages no longer: it explains no more than it says.
//! Of each sender that is the gap before the first message that comes behind it, and of all together only so many
//! messages as it names. What it explains is not asked for. Every other gap is one, as always.

use chat_protocol::header::MessageHeader;
use chat_protocol::id::Digest;
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};

use super::ChainName;
use crate::event::Event;
use crate::out::Out;
use crate::position::Position;
use crate::table::{Kind, Table};

/// What the hub says of a room, and what is left of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Claimed {
    pub(crate) position: Position,
    pub(crate) before_ms: u64,
    pub(crate) keep_ms: u64,
    /// Messages that no gap has shown yet.
    pub(crate) left: u64,
}

/// Counters that are missing, by epoch.
pub(crate) type Gone = Vec<(Digest, Vec<u32>)>;

/// The hub's word, and what it has explained.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// What the hub says that it has dropped, by room.
    claims: Table<Claimed, ConversationId>,
    /// Up to where of it each sender's gaps were looked at, by room and signing key.
    looked: Table<Position>,
    /// Up to which counter it explains a sender's chain, by room, signing key and epoch.
    excused: Table<u64>,
}

impl Dropped {
    pub(super) fn rows(&mut self) -> [Kind<'_>; 3] {
        let (looked, excused) = (&mut self.looked, &mut self.excused);
        [("dropped", &mut self.claims), ("looked", looked), ("excused", excused)]
    }

    /// The hub says that it has dropped so many messages more of a room.
    pub(crate) fn claim(&mut self, cid: &ConversationId, claimed: Claimed) {
        let left = self.claims.get(cid).map_or(0, |before| before.left);
        let left = left.saturating_add(claimed.left);
        self.claims.put(cid, Claimed { left, ..claimed });
    }

    /// What the hub has dropped before this message, if it is the first of its sender behind that.
    /// One that was sent again stands at no position, and where the hub has gone back since, every other one comes
    /// behind.
    pub(crate) fn before(
        &mut self,
        header: &MessageHeader,
        at: Option<Position>,
    ) -> Option<Claimed> {
        let claimed = self.claims.get(&header.cid)?;
        if at? <= claimed.position {
            return None;
        }
        let key = format!("{}/{}", header.cid, header.sk);
        if self.looked.get(&key) == Some(&claimed.position) {
            return None;
        }
        self.looked.put(&key, claimed.position);
        Some(*claimed)
    }

    /// Leaves of what is missing only what the hub's word does not explain. Several of the first
    /// messages of an epoch name the tail of the one before, so what was explained stays so.
    pub(super) fn unexplained(
        &mut self,
        out: &mut Out,
        (header, me): (&MessageHeader, &UserName),
        claimed: Option<&Claimed>,
        mut gone: Gone,
    ) -> Gone {
        let chain = |e: Digest| ChainName { e, ..ChainName::of(header) };
        for (e, counters) in &mut gone {
            counters.retain(|n| !self.is_excused(&chain(*e), *n));
        }
        let Some(&Claimed { before_ms, keep_ms, .. }) = claimed else { return gone };
        // The hub's number is of other people: what another device of one's own said is not in it.
        let is_sibling = header.from == *me;
        let mut messages = 0;
        for (e, counters) in &mut gone {
            let claimed = self.claims.get(&header.cid);
            let left =
                if is_sibling { u64::MAX } else { claimed.map_or(0, |claimed| claimed.left) };
            let explained = usize::try_from(left).unwrap_or(usize::MAX).min(counters.len());
            let Some(last) = counters.drain(..explained).next_back() else { continue };
            self.excuse(&chain(*e), last);
            let explained = u64::try_from(explained).unwrap_or(u64::MAX);
            messages += explained;
            if !is_sibling && let Some(claimed) = self.claims.get_mut(&header.cid) {
                claimed.left = claimed.left.saturating_sub(explained);
            }
        }
        if is_sibling && messages > 0 {
            let (cid, from) = (header.cid.clone(), Some(header.from.clone()));
            out.tell(Event::Dropped { cid, from, messages, before_ms, keep_ms });
        }
        gone
    }

    /// Whether the hub's word has explained that this counter of a chain is missing.
    pub(crate) fn is_excused(&self, chain: &ChainName, n: u32) -> bool {
        self.excused.get(&tail_key(chain)).is_some_and(|last| u64::from(n) <= *last)
    }

    /// Notes that nothing is asked for of a chain up to this counter.
    pub(crate) fn excuse(&mut self, chain: &ChainName, n: u32) {
        self.excused.put(&tail_key(chain), n.into());
    }
}

/// The key of a sender's chain in an epoch.
fn tail_key(ChainName { cid, e, sk, .. }: &ChainName) -> String {
    format!("{cid}/{sk}/{e}")
}
