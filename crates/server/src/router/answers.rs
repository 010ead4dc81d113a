//! What a device asks for after its sign-in, in pages that fit whatever accounts did (rule R40): heads of
//! its rooms, and how far the hub has seen its signing key in conversations.

use chat_protocol::{
    hub::{Counter, EpochHead, Head},
    id::KeyId,
    limits::HEADS_PAGE_MAX,
    name::{ConversationId, RoomName},
};
use std::{collections::BTreeSet, ops::Bound};

use super::{Account, Router};

impl Router {
    /// A page of the heads of an account's rooms and feeds, and of those that exist from the start, in
    /// the order of their names; and whether there are more.
    pub fn heads_page(
        &self,
        account: &Account,
        after: Option<&ConversationId>,
    ) -> (Vec<Head>, bool) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = |cid: &&ConversationId| after.is_none_or(|after| *cid > after);
        let implicit = [RoomName::lobby(), RoomName::all()].map(|room| ConversationId::room(&room));
        let own = account.conversations.range::<ConversationId, _>((start, Bound::Unbounded));
        let own = own.filter(|cid| !cid.is_direct()).take(HEADS_PAGE_MAX.saturating_add(1));
        let rooms: BTreeSet<&ConversationId> = own.chain(implicit.iter().filter(behind)).collect();
        let more = rooms.len() > HEADS_PAGE_MAX;
        let heads = rooms.into_iter().take(HEADS_PAGE_MAX).map(|cid| self.head(cid)).collect();
        (heads, more)
    }

    /// The last counter of a signing key in the current epochs of conversations.
    pub fn counters(&self, account: &Account, sk: &KeyId, cids: &[ConversationId]) -> Vec<Counter> {
        let counter = |cid: &ConversationId| {
            let epoch = self.conversations.get(cid)?.current()?;
            let n = epoch.line(account.id, sk).and_then(|line| epoch.counter(line))?;
            Some(Counter { cid: cid.clone(), epoch: EpochHead { g: epoch.g, e: epoch.e }, n })
        };
        cids.iter().filter_map(counter).collect()
    }
}
