//! Links of a chain by keys that were revoked later.
//!
//! Whoever comes to a room sees its whole chain at once, and cannot tell by time which links were
//! made before their key was revoked. What others have built on tells (rule R14):
//! - A link that only concerns its signer counts: who creates, joins or leaves gives no key to
//!   anybody else, because nothing is wrapped for a revoked key, nor for a key of somebody who had the
//!   name before.
//! - A link that concerns others counts if a later link follows from it that its signer has made
//!   with another key, or somebody who was an admin without it. They have seen it before.
//! - A link of the chain that is held here was verified before, and one that this device has signed for what it
//!   was asked is its own, although it has had other keys since.
//! - Every other one is refused, as if its key were not known: whoever has stolen the key may have
//!   made it, together with the hub.

use chat_protocol::frame::RawFrame;
use chat_protocol::header::MemberHeader;
use chat_protocol::members::Membership;
use chat_protocol::tag::label;

use super::header;
use crate::endpoint::Endpoint;
use crate::people::Signer;

/// Links behind one by a revoked key that are searched for whoever vouches for it: the work that a
/// hub can make with a long chain is bounded, and a person who goes on in a room is found sooner.
const VOUCHING_LINKS_MAX: usize = 1_024;

impl Endpoint {
    /// The key that has signed a link, whose signature is verified with it; `later` are the links
    /// behind it.
    pub(super) fn link_signer(
        &mut self,
        room: &Membership,
        link: &MemberHeader,
        frame: &RawFrame,
        later: &[RawFrame],
    ) -> Result<Signer, String> {
        let signer = self.people.signer_of_any_identity(&link.from, &link.sk);
        // The hub's word that a name had another owner takes nobody's place: such a coming and going
        // counts by its word only (rule R40).
        let shown = || self.people.signer_by_word(&link.from, &link.sk);
        let signer = signer.or_else(|| if link.is_own_coming_or_going() { None } else { shown() });
        let signer = signer.ok_or("a link by an unknown key")?.clone();
        frame
            .verify(label::MEMBER, &signer.key, &signer.digest, &mut self.verified)
            .map_err(|error| error.to_string())?;
        // A key of an identity that is not known any more is as good as a revoked one.
        let is_good = self.people.signer_of_link(&link.from, &link.sk).is_some()
            && !self.people.is_revoked(&link.from, &link.sk);
        let was_held = self.kept_link(&link.cid, link.mg);
        let was_held = was_held.is_some_and(|known| known.digest == frame.digest(label::MEMBER));
        if !is_good
            && !was_held
            && !self.requests.has_signed(frame)
            && !link.concerns_signer_only()
            && !self.is_vouched(room, (link, &signer), frame, later)
        {
            let reason = "a link by a key that was revoked, on which no admin has built; \
                they must say it again";
            return Err(reason.to_owned());
        }
        Ok(signer)
    }

    /// Whether somebody who needed no such link to do so has built on this one.
    fn is_vouched(
        &mut self,
        room: &Membership,
        link: (&MemberHeader, &Signer),
        frame: &RawFrame,
        later: &[RawFrame],
    ) -> bool {
        let mut before = frame.digest(label::MEMBER);
        for frame in later.iter().take(VOUCHING_LINKS_MAX) {
            let Some(next) = header(frame).filter(|next| next.pm == before) else { return false };
            if self.may_vouch(room, link, &next) {
                let signer = self.people.signer(&next.from, &next.sk).cloned();
                let has_signed =
                    |signer: Signer| signer.has_signed(frame, label::MEMBER, &mut self.verified);
                if signer.is_some_and(has_signed) {
                    return true;
                }
            }
            before = frame.digest(label::MEMBER);
        }
        false
    }

    fn may_vouch(
        &self,
        room: &Membership,
        (link, by): (&MemberHeader, &Signer),
        next: &MemberHeader,
    ) -> bool {
        let Some(signer) = self.people.signer(&next.from, &next.sk) else { return false };
        let member = room.members().get(&next.from);
        let is_admin = member.is_some_and(|member| member.admin && member.ik == signer.identity);
        is_admin || (next.from == link.from && signer.identity == by.identity)
    }
}
