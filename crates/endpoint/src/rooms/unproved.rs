//! Links whose signer cannot be verified (rule R40): a join or a leave by a key that nobody can show, or
//! by another identity than the known one. It does not void the chain, because it gives nothing to
//! others; the name counts by the server's word only, and is not wrapped for until the link verifies.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::{MemberHeader, MemberOperation};
use chat_protocol::id::KeyId;
use chat_protocol::limits::PAGE_ITEMS_MAX;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::label;
use serde::{Deserialize, Serialize};

use super::header;
use crate::endpoint::Endpoint;
use crate::limits::UNPROVED_PEOPLE_MAX;
use crate::views::link_key;

/// The last coming or going of somebody in a chain, where that counts by the hub's word. By chain and name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unproved {
    /// The number of the link.
    number: u32,
    /// The link as the hub served it: it may verify later.
    frame: B64Vec,
    /// Before that a stay that was proved has ended by the hub's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    was_taken: bool,
}

impl Unproved {
    /// What is to be remembered of somebody after this link about them. What was before it has ended. A whole
    /// stay that counted by the hub's word leaves nothing behind, however often somebody comes and goes; but
    /// whoever was in by their own signature stays one whom the hub has taken out.
    pub(super) fn after(
        before: Option<Self>,
        link: &MemberHeader,
        frame: &RawFrame,
        is_proved: bool,
    ) -> Option<Self> {
        let is_end = link.op == MemberOperation::Leave;
        let was_taken = match &before {
            Some(before) => before.was_taken,
            None => is_end,
        };
        match link.op {
            MemberOperation::Role => before,
            _ if is_proved || (is_end && !was_taken) => None,
            _ => {
                let frame = B64Vec(frame.bytes().to_vec());
                Some(Self { number: link.mg, frame, was_taken })
            }
        }
    }
}

/// Signing keys that are not known, by whose they should be.
pub(crate) type Kids = BTreeMap<UserName, Vec<KeyId>>;

impl Endpoint {
    /// The link, if it may count although its signer cannot be verified. `counted` says how many others
    /// than somebody do so already.
    pub(super) fn unproved(
        &self,
        room: &Membership,
        frame: &RawFrame,
        counted: impl FnOnce(&UserName) -> usize,
    ) -> Option<MemberHeader> {
        let link = header(frame)?;
        let is_own = link.who == self.device.user
            && (link.ik == self.device.bundle.identity() || self.takes_own_place(room, &link));
        let may_count = link.is_own_coming_or_going() && !is_own;
        let signer = self.people.signer_of_any_time(&link.from, &link.sk);
        // What a known key has not signed is forged.
        let is_unknown = signer.is_none_or(|signer| signer.identity != link.ik);
        (may_count
            && is_unknown
            && room.check(&link, link.ik).is_ok()
            && counted(&link.who) < UNPROVED_PEOPLE_MAX)
            .then_some(link)
    }

    /// Whether a link that verifies is its signer's own beyond the hub's word. Who has made a room under a key
    /// that only the hub calls theirs is an admin of it by that word.
    pub(super) fn is_proved(&self, link: &MemberHeader) -> bool {
        link.op != MemberOperation::Create
            || self.people.signer_of_link(&link.from, &link.sk).is_some()
            || self.people.former_signer(&link.from, &link.sk).is_some()
    }

    /// How many people of a chain, others than somebody, count by the hub's word.
    pub(super) fn unproved_but(&self, cid: &ConversationId, name: &UserName) -> usize {
        let own = row(cid, name);
        self.state.unproved.keys_with(&prefix(cid)).iter().filter(|key| **key != own).count()
    }

    /// A link was taken.
    pub(super) fn note_proof(&mut self, link: &MemberHeader, frame: &RawFrame, is_proved: bool) {
        let key = row(&link.cid, &link.who);
        // Nearly always there is none at all, and rooms are large.
        if is_proved && self.state.unproved.len() == 0 {
            return;
        }
        let before = self.state.unproved.get(&key).cloned();
        match Unproved::after(before, link, frame, is_proved) {
            Some(unproved) => self.state.unproved.put(&key, unproved),
            None => drop(self.state.unproved.remove(&key)),
        }
    }

    /// A link of this user was kept: it is proved.
    pub(super) fn note_own_link(&mut self, link: &MemberHeader) {
        if link.op != MemberOperation::Role {
            self.state.unproved.remove(&row(&link.cid, &link.who));
        }
    }

    pub(super) fn keep_unproved(
        &mut self,
        cid: &ConversationId,
        name: &UserName,
        unproved: Unproved,
    ) {
        self.state.unproved.put(&row(cid, name), unproved);
    }

    /// Who was in a room by their own signature and has left it by the hub's word.
    pub(crate) fn gone_by_word(&self, cid: &ConversationId) -> Vec<UserName> {
        if self.state.unproved.len() == 0 {
            return Vec::new();
        }
        let prefix = prefix(cid);
        let room = self.state.rooms.get(cid);
        let is_in = |name: &UserName| room.is_some_and(|room| room.contains(name));
        let taken =
            self.state.unproved.keys_with(&prefix).into_iter().filter(|key| {
                self.state.unproved.get(key).is_some_and(|unproved| unproved.was_taken)
            });
        let names = taken.filter_map(|key| UserName::new(key.strip_prefix(&prefix)?).ok());
        names.filter(|name| !is_in(name) && *name != self.device.user).collect()
    }

    pub(crate) fn forget_unproved(&mut self, cid: &ConversationId) {
        for key in self.state.unproved.keys_with(&prefix(cid)) {
            self.state.unproved.remove(&key);
        }
    }

    /// Whether a link of the chain held here counts by the hub's word only.
    pub(super) fn is_unproved_link(&self, cid: &ConversationId, number: u32) -> bool {
        self.kept_link(cid, number).is_some_and(|link| link.by_word)
    }

    /// Whether somebody is a member by the hub's word only.
    pub(crate) fn is_unproved(&self, cid: &ConversationId, name: &UserName) -> bool {
        if self.state.unproved.len() == 0 {
            return false;
        }
        let room = self.state.rooms.get(cid);
        let member = room.and_then(|room| room.members().get(name));
        let unproved = self.state.unproved.get(&row(cid, name));
        member.zip(unproved).is_some_and(|(member, unproved)| member.since == unproved.number)
    }

    /// Looks again at what could not be verified: the keys may have come.
    pub(super) fn prove_links(&mut self, cid: &ConversationId) {
        for key in self.state.unproved.keys_with(&prefix(cid)) {
            let kept = self.state.unproved.get(&key).cloned();
            let frame = kept.and_then(|kept| RawFrame::decode(kept.frame.0.into()).ok());
            let Some((link, frame)) = frame.and_then(|frame| Some((header(&frame)?, frame))) else {
                continue;
            };
            let signer = self.people.signer_of_link(&link.from, &link.sk);
            let signer =
                signer.or_else(|| self.people.former_signer(&link.from, &link.sk)).cloned();
            let Some(signer) = signer.filter(|signer| signer.identity == link.ik) else { continue };
            if signer.has_signed(&frame, label::MEMBER, &mut self.verified) {
                self.state.unproved.remove(&key);
                if let Some(link) = self.state.links.get_mut(&link_key(cid, link.mg)) {
                    link.by_word = false;
                }
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
            .filter(|(name, sk)| self.people.signer_of_link(name, sk).is_none())
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
            if let Some(refresh) = self.views.refresh(cid) {
                refresh.waiting.insert(id);
            }
        }
        !unknown.is_empty()
    }
}

fn prefix(cid: &ConversationId) -> String {
    format!("{cid}/")
}

fn row(cid: &ConversationId, name: &UserName) -> String {
    format!("{cid}/{name}")
}
