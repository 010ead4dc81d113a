//! Removals that this user has signed. Each has a place in the order of the log, by the hub's answer to its
//! link, and is a mark there as a key is (rule R33): the hub has closed with it every epoch of who was
//! removed. And the next key is due at once (rule R2), until one that counts the removal stands in the
//! log. Both follow from what is kept here, whatever becomes of the connection.

use std::collections::BTreeSet;

use chat_protocol::id::Digest;
use chat_protocol::members::Place;
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::limits::REMOVALS_KEPT_MAX;
use crate::position::Position;
use crate::views::link_key;

/// A link by which this user has removed somebody from a room.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Removed {
    cid: ConversationId,
    /// The membership behind it.
    place: Place,
    /// Where the hub has put it; nothing where it has not told this device.
    position: Option<Position>,
    /// No epoch that counts it stands in the log.
    is_due: bool,
}

impl Endpoint {
    /// The chain has a link by which this user has removed somebody, at this place of the log if the hub
    /// has said so.
    pub(crate) fn note_removed(
        &mut self,
        cid: &ConversationId,
        (number, digest): (u32, Digest),
        position: Option<u64>,
    ) {
        let place = Place { mg: number.saturating_add(1), pm: digest };
        let key = link_key(cid, number);
        let known = self.state.removed.get(&key).filter(|known| known.place == place);
        let kept = position.map(|at| self.positions.at(at)).or_else(|| known?.position);
        let is_due = !self.epochs.iter().any(|epoch| {
            let is_placed = epoch.cid == *cid && epoch.position.is_some();
            is_placed && epoch.place.mg >= place.mg && self.has_place(cid, epoch.place)
        });
        let removed = Removed { cid: cid.clone(), place, position: kept, is_due };
        self.state.removed.put(&key, removed);
        let kept = self.state.removed.keys_with(&format!("{cid}/"));
        let old = kept.len().saturating_sub(REMOVALS_KEPT_MAX);
        for key in kept.into_iter().take(old) {
            self.state.removed.remove(&key);
        }
        if let Some(position) = position {
            self.mark(cid, place, position);
        }
    }

    /// The last link by which this user has removed somebody from a room, if that is how they went last.
    pub(crate) fn removal_of(&self, cid: &ConversationId, who: &UserName) -> Option<(u32, Digest)> {
        let room = self.state.rooms.get(cid)?;
        let number = room.went_before(who, room.next())?;
        let link = self.kept_link(cid, number)?;
        let is_own = link.by == self.device.user && *who != self.device.user;
        is_own.then_some((number, link.digest))
    }

    /// Where removals stand in logs as the hub has them since it went back last. Where it has, no mark of before is
    /// left of them: a link that it has lost and was told again stands elsewhere, and it tells nobody where. The key that
    /// counts a removal is one again as soon as the hub shows it.
    pub(crate) fn placed_removals(
        &self,
        is_asked: impl Fn(&ConversationId) -> bool,
    ) -> Vec<(ConversationId, Place, u64)> {
        let removed = self.state.removed.iter().map(|(_, removed)| removed);
        let removed = removed.filter(|removed| is_asked(&removed.cid));
        let placed = removed.filter_map(|r| {
            Some((r.cid.clone(), r.place, self.positions.comparable(r.position?)?))
        });
        placed.collect()
    }

    /// An epoch stands in the log, or is as good as one that does: the next one is not due because of what it
    /// counts.
    pub(crate) fn removals_are_counted(&mut self, cid: &ConversationId, place: Place) {
        if !self.has_place(cid, place) {
            return;
        }
        for key in self.state.removed.keys_with(&format!("{cid}/")) {
            let is_counted = |r: &Removed| r.is_due && r.place.mg <= place.mg;
            if self.state.removed.get(&key).is_some_and(is_counted)
                && let Some(removed) = self.state.removed.get_mut(&key)
            {
                removed.is_due = false;
            }
        }
    }

    /// The hub has gone back: what counts a removal may be lost. It is due until a key that does is shown, or made
    /// (rule R2).
    pub(crate) fn removals_are_due_again(&mut self) {
        for key in self.state.removed.keys_with("") {
            if let Some(removed) = self.state.removed.get_mut(&key) {
                removed.is_due = true;
            }
        }
    }

    /// Whether the next epoch of a room is made at once, because somebody was removed (rule R2). Not where the
    /// hub refuses all that this user makes there.
    pub(crate) fn is_epoch_due(&self, cid: &ConversationId) -> bool {
        if self.link.keys_denied.contains(cid) {
            return false;
        }
        let keys = self.state.removed.keys_with(&format!("{cid}/"));
        let mut removed = keys.iter().filter_map(|key| self.state.removed.get(key));
        removed.any(|removed| removed.is_due && self.has_place(cid, removed.place))
    }

    /// The rooms from which this user has removed somebody, as far as that is kept.
    pub(crate) fn removal_rooms(&self) -> BTreeSet<ConversationId> {
        self.state.removed.iter().map(|(_, removed)| removed.cid.clone()).collect()
    }

    /// The rooms in which it is, as far as the tables tell.
    pub(crate) fn due_rooms(&self) -> impl Iterator<Item = &ConversationId> {
        let removed = self.state.removed.iter().map(|(_, removed)| removed);
        removed.filter(|removed| removed.is_due).map(|removed| &removed.cid)
    }
}
