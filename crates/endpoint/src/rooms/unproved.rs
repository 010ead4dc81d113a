//! Links whose signer cannot be verified (rule R40): a join or a leave by a key that nobody can show, or
//! by another identity than the known one. It does not void the chain, because it gives nothing to
//! others; the name counts by the server's word only, and is not wrapped for until the link verifies.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::MemberHeader;
use chat_protocol::id::KeyId;
use chat_protocol::limits::PAGE_ITEMS_MAX;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::label;
use serde::{Deserialize, Serialize};

use super::header;
use crate::endpoint::Endpoint;
use crate::limits::UNPROVED_LINKS_MAX;
use crate::views::link_key;

/// A link that counts by the hub's word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unproved {
    /// As the hub served it: it may verify later.
    frame: B64Vec,
}

/// Signing keys that are not known, by whose they should be.
pub(crate) type Kids = BTreeMap<UserName, Vec<KeyId>>;

impl Endpoint {
    /// The link, if it may count although its signer cannot be verified. `counted` are those that do
    /// so already.
    pub(super) fn unproved(
        &self,
        room: &Membership,
        frame: &RawFrame,
        counted: usize,
    ) -> Option<MemberHeader> {
        let link = header(frame)?;
        let is_own = link.who == self.device.user
            && (link.ik == self.device.bundle.identity() || self.takes_own_place(room, &link));
        let may_count = link.is_own_coming_or_going() && !is_own && counted < UNPROVED_LINKS_MAX;
        let signer = self.people.signer_of_any_time(&link.from, &link.sk);
        // What a known key has not signed is forged.
        let is_unknown = signer.is_none_or(|signer| signer.identity != link.ik);
        (may_count && is_unknown && room.check(&link, link.ik).is_ok()).then_some(link)
    }

    /// How many links of a chain count by the hub's word.
    pub(super) fn unproved_links(&self, cid: &ConversationId) -> usize {
        self.state.unproved.keys_with(&prefix(cid)).len()
    }

    pub(super) fn keep_unproved(&mut self, cid: &ConversationId, number: u32, frame: &RawFrame) {
        let frame = B64Vec(frame.bytes().to_vec());
        self.state.unproved.put(&link_key(cid, number), Unproved { frame });
    }

    pub(crate) fn forget_unproved(&mut self, cid: &ConversationId) {
        for key in self.state.unproved.keys_with(&prefix(cid)) {
            self.state.unproved.remove(&key);
        }
    }

    /// Whether a link of the chain held here counts by the hub's word only.
    pub(super) fn is_unproved_link(&self, cid: &ConversationId, number: u32) -> bool {
        // Nearly always there is none at all, and rooms are large.
        self.state.unproved.len() > 0 && self.state.unproved.get(&link_key(cid, number)).is_some()
    }

    /// Whether somebody is a member by the hub's word only.
    pub(crate) fn is_unproved(&self, cid: &ConversationId, name: &UserName) -> bool {
        let room = self.state.rooms.get(cid.as_str());
        let member = room.and_then(|room| room.members().get(name));
        member.is_some_and(|member| self.is_unproved_link(cid, member.since))
    }

    /// Looks again at what could not be verified: the keys may have come.
    pub(super) fn prove_links(&mut self, cid: &ConversationId) {
        for key in self.state.unproved.keys_with(&prefix(cid)) {
            let kept = self.state.unproved.get(&key).cloned();
            let frame = kept.and_then(|kept| RawFrame::decode(kept.frame.0.into()).ok());
            let Some((link, frame)) = frame.and_then(|frame| Some((header(&frame)?, frame))) else {
                continue;
            };
            let signer = self.people.signer_of_any_time(&link.from, &link.sk);
            let signer =
                signer.or_else(|| self.people.former_signer(&link.from, &link.sk)).cloned();
            let Some(signer) = signer.filter(|signer| signer.identity == link.ik) else { continue };
            let verified =
                frame.verify(label::MEMBER, &signer.key, &signer.digest, &mut self.verified);
            if verified.is_ok() {
                self.state.unproved.remove(&key);
                self.link.dirty.insert(cid.clone());
            }
        }
    }

    /// Asks for the keys of links that are not known, those of a refresh and those that could not be
    /// verified before. Returns whether anything was asked.
    pub(super) fn ask_for_signers(&mut self, cid: &ConversationId, links: &[RawFrame]) -> bool {
        let kept = self.state.unproved.keys_with(&prefix(cid)).into_iter();
        let kept = kept.filter_map(|key| self.state.unproved.get(&key));
        let kept = kept.filter_map(|kept| RawFrame::decode(kept.frame.0.clone().into()).ok());
        let signers = links.iter().filter_map(header).chain(kept.filter_map(|kept| header(&kept)));
        let unknown: BTreeSet<(UserName, KeyId)> = signers
            .map(|link| (link.from, link.sk))
            .filter(|(name, sk)| self.people.signer_of_any_time(name, sk).is_none())
            .filter(|(name, sk)| self.people.former_signer(name, sk).is_none())
            .filter(|(name, sk)| self.link.shown_former.signer(name, sk).is_none())
            .collect();
        let unknown: Vec<(UserName, KeyId)> = unknown.into_iter().collect();
        for page in unknown.chunks(PAGE_ITEMS_MAX) {
            let mut kids = Kids::new();
            for (name, sk) in page {
                kids.entry(name.clone()).or_default().push(*sk);
            }
            let id = self.ask_bundles(&[], kids, Some(cid.clone()));
            self.refresh_waits_for(cid, id);
        }
        !unknown.is_empty()
    }
}

fn prefix(cid: &ConversationId) -> String {
    format!("{cid}/")
}
