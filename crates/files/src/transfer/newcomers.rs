//! People who join a room after something was shared with it: they are told the index key, and the
//! keys of the copies that lie at the hub.
//!
//! Another program of this home may change a room too, without a word to this one. So the rosters are
//! looked at, and no event is waited for.

use std::collections::{BTreeMap, BTreeSet};

use crate::folder::Listing;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind, UserName};

use super::copies::{LEFT, Left};
use super::{Shared, TransferError, aside};
use chat_device::clock::now_ms;

/// Who is in the rooms that something is offered to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rosters(BTreeMap<ConversationId, BTreeSet<UserName>>);

impl Shared {
    /// Who is in the rooms of a listing, as far as this device knows without asking.
    pub(super) async fn rosters(&self, listing: &Listing) -> Rosters {
        let mut rosters = BTreeMap::new();
        for shared in &listing.shared {
            let Audience::Conversation(cid) = &shared.audience else { continue };
            let ConversationKind::Room(room) = cid.kind() else { continue };
            if rosters.contains_key(cid) {
                continue;
            }
            let roster = self.client.roster(&room).await;
            let names = roster.into_iter().flat_map(|roster| roster.members);
            rosters.insert(cid.clone(), names.map(|(name, _)| name).collect());
        }
        Rosters(rosters)
    }

    /// Tells the keys of copies of what is offered to a conversation again if one of these members was
    /// not there when they were told. They are stored when this returns.
    pub(super) async fn tell_copies(
        &self,
        cid: &ConversationId,
        members: &BTreeSet<UserName>,
    ) -> Result<(), TransferError> {
        let keep = self.keep.clone();
        let rows = aside(move || keep.all::<Left>(LEFT)).await??;
        for (offer, left) in rows {
            let Ok(offer) = MessageId::parse(&offer) else { continue };
            let is_here = left.until > now_ms() && self.shelf.givable(&offer).is_some();
            if left.cid != *cid || !is_here || members.is_subset(&left.told) {
                continue;
            }
            self.tell_key(cid.clone(), left.note(offer)).await?;
            let (keep, told) = (self.keep.clone(), members.clone());
            aside(move || left.was_told(&keep, &offer, told)).await??;
        }
        Ok(())
    }
}
