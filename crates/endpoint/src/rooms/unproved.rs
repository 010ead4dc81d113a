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

/// The last coming or going of somebody in a chain, where that counts by the hub's word. By chain and name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unproved {
    /// The number of the link.
    number: u32,
    /// The link as the hub served it: it may verify later.
    frame: B64Vec,
}

/// Signing keys that are not known, by whose they should be.
pub(crate) type Kids = BTreeMap<UserName, Vec<KeyId>>;

/// Whether somebody's coming or going counts by the hub's word after this link about them. What was before it
/// has ended; a whole stay that counted so leaves nothing behind, however often somebody comes and goes.
pub(super) fn counts_by_word(was: bool, link: &MemberHeader, is_proved: bool) -> bool {
    match link.op {
        MemberOperation::Role => was,
        MemberOperation::Leave => !was && !is_proved,
        _ => !is_proved,
    }
}

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
            || self.people.signer_of_any_time(&link.from, &link.sk).is_some()
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
        let was = self.state.unproved.len() > 0 && self.state.unproved.get(&key).is_some();
        if !counts_by_word(was, link, is_proved) {
            if was {
                self.state.unproved.remove(&key);
            }
        } else if link.op != MemberOperation::Role {
            self.keep_unproved(link, frame);
        }
    }

    pub(super) fn keep_unproved(&mut self, link: &MemberHeader, frame: &RawFrame) {
        let unproved = Unproved { number: link.mg, frame: B64Vec(frame.bytes().to_vec()) };
        self.state.unproved.put(&row(&link.cid, &link.who), unproved);
    }

    pub(crate) fn forget_unproved(&mut self, cid: &ConversationId) {
        for key in self.state.unproved.keys_with(&prefix(cid)) {
            self.state.unproved.remove(&key);
        }
    }

    /// Whether a link of the chain held here counts by the hub's word only.
    pub(super) fn is_unproved_link(&self, cid: &ConversationId, number: u32) -> bool {
        let keys = self.state.unproved.keys_with(&prefix(cid));
        let mut rows = keys.iter().filter_map(|key| self.state.unproved.get(key));
        rows.any(|row| row.number == number)
    }

    /// Whether somebody is a member by the hub's word only.
    pub(crate) fn is_unproved(&self, cid: &ConversationId, name: &UserName) -> bool {
        if self.state.unproved.len() == 0 {
            return false;
        }
        let room = self.state.rooms.get(cid.as_str());
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

fn row(cid: &ConversationId, name: &UserName) -> String {
    format!("{cid}/{name}")
}
