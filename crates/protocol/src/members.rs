//! Who belongs to a conversation: the signed membership chain of a room (rule R2), and the member
//! lines that an epoch is wrapped for (section 9).

mod cut;
mod feed;
mod list;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::header::{MemberArgument, MemberHeader, MemberOperation};
use crate::id::{Digest, KeyId};
use crate::name::{ConversationId, RoomName, UserName};

pub use cut::{Candidate, fitting};
pub use list::{MemberLine, MemberList, MemberListError};

/// How much of a membership chain somebody has: the number of its links and the digest of the last
/// one (rule R33).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Number of links.
    pub mg: u32,
    /// Digest of the last one, 32 zero bytes for none.
    pub pm: Digest,
}

impl Place {
    /// Before the first link.
    pub const START: Self = Self { mg: 0, pm: Digest::ZERO };
}

/// One member of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member's identity key.
    pub ik: KeyId,
    /// Whether they may admit, remove and change roles.
    pub admin: bool,
    /// The number of the link by which they came.
    pub since: u32,
}

/// A stay that is over: from the link by which somebody came to the one by which they went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stay {
    /// The number of the link that let them in.
    pub came: u32,
    /// The number of the link that took them out.
    pub went: u32,
}

/// Why a link of a membership chain was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The link does not follow the last one: another link came first.
    #[error("membership: link {got} was made, the next one is {expected}")]
    Stale {
        /// The link's number.
        got: u32,
        /// The number that comes next.
        expected: u32,
    },
    /// Not a room.
    #[error("membership: {0} has no membership to change")]
    NotARoom(ConversationId),
    /// The room does not exist yet, or exists already.
    #[error("membership: the room {0}")]
    Existence(&'static str),
    /// The signer may not do this.
    #[error("membership: {0}")]
    NotAllowed(&'static str),
}

/// The members of one room, computed from its verified chain. The hub and every device apply the
/// same links with the same code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    cid: ConversationId,
    /// Number of links: the `mg` that comes next.
    next: u32,
    /// Digest of the last link.
    head: Digest,
    open: bool,
    members: BTreeMap<UserName, Member>,
    /// When somebody was a member before: what they said in their time is still to be read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    stays: BTreeMap<UserName, Vec<Stay>>,
    /// Identities that may not join: a `remove` said so, and no `admit` came since.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    banned: BTreeSet<KeyId>,
}

impl Membership {
    /// A room before its first link. The lobby and ALL exist from the start and are open, and so do
    /// feeds: each has its owner from the start, who is in no link.
    pub fn new(cid: ConversationId) -> Self {
        Self {
            cid,
            next: 0,
            head: Digest::ZERO,
            open: true,
            members: BTreeMap::new(),
            stays: BTreeMap::new(),
            banned: BTreeSet::new(),
        }
    }

    /// The room.
    pub fn conversation(&self) -> &ConversationId {
        &self.cid
    }

    /// The number of the next link, which is how many there are.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The digest that the next link names as the one before it.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// The number of links and the digest of the last one.
    pub fn place(&self) -> Place {
        Place { mg: self.next, pm: self.head }
    }

    /// The members by name; of a feed its subscribers.
    pub fn members(&self) -> &BTreeMap<UserName, Member> {
        &self.members
    }

    /// Everybody who belongs to it: the members, and the owner of a feed.
    pub fn names(&self) -> Vec<UserName> {
        self.members.keys().cloned().chain(self.cid.feed_owner()).collect()
    }

    /// Whether `name` belongs to it.
    pub fn contains(&self, name: &UserName) -> bool {
        self.members.contains_key(name) || self.cid.is_feed_of(name)
    }

    /// Whether `name` is a member, and with this identity: a name can have had another owner.
    pub fn holds(&self, name: &UserName, ik: &KeyId) -> bool {
        self.members.get(name).is_some_and(|member| member.ik == *ik)
    }

    /// Whether `name` is a member or has been one.
    pub fn has_known(&self, name: &UserName) -> bool {
        self.contains(name) || self.stays.contains_key(name)
    }

    /// Whether `name` was a member when the chain had so many links (rule R33).
    pub fn was_in(&self, name: &UserName, links: u32) -> bool {
        let is_now = self.members.get(name).is_some_and(|member| member.since < links);
        let was = |stay: &Stay| stay.came < links && links <= stay.went;
        is_now
            || self.cid.is_feed_of(name)
            || self.stays.get(name).is_some_and(|s| s.iter().any(was))
    }

    /// The number of the last of the first `links` links by which `name` went, if there is one.
    pub fn went_before(&self, name: &UserName, links: u32) -> Option<u32> {
        let stays = self.stays.get(name).into_iter().flatten();
        stays.map(|stay| stay.went).filter(|went| *went < links).max()
    }

    /// Who went by one of the links from number `from` up to `to`, each with the last such link.
    pub fn went_between(&self, from: u32, to: u32) -> impl Iterator<Item = (&UserName, u32)> {
        self.stays.iter().filter_map(move |(name, stays)| {
            let went = stays.iter().map(|stay| stay.went);
            Some((name, went.filter(|went| (from..to).contains(went)).max()?))
        })
    }

    /// Whether a private room would be left without an admin and not be empty: nobody could be let in
    /// or put out any more. No rule of the chain: chains in which it has happened stay valid.
    pub fn needs_admin(&self, name: &UserName) -> bool {
        let others = || self.members.iter().filter(|(other, _)| *other != name);
        !self.open
            && self.members.get(name).is_some_and(|member| member.admin)
            && others().count() > 0
            && !others().any(|(_, member)| member.admin)
    }

    /// Whether anybody may join.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether this identity may not join until an admin admits it.
    pub fn is_banned(&self, ik: &KeyId) -> bool {
        self.banned.contains(ik)
    }

    /// Whether there is such a room: it was created and has members, or needs no creation.
    pub fn exists(&self) -> bool {
        !self.members.is_empty() || self.is_implicit() || self.cid.is_feed()
    }

    /// Whether everybody has gone: its chain goes on with a `create` (rule R41).
    pub fn is_abandoned(&self) -> bool {
        self.next > 0 && !self.exists()
    }

    /// Whether the room exists without being created: the lobby and ALL.
    pub fn is_implicit(&self) -> bool {
        self.cid == ConversationId::all() || self.cid == ConversationId::room(&RoomName::lobby())
    }

    /// Whether this link may come next. `signer` is the identity key behind `link.sk`, which the
    /// caller has verified.
    pub fn check(&self, link: &MemberHeader, signer: KeyId) -> Result<(), MemberError> {
        if link.cid != self.cid || self.cid.is_direct() {
            return Err(MemberError::NotARoom(link.cid.clone()));
        }
        if link.mg != self.next || link.pm != self.head {
            return Err(MemberError::Stale { got: link.mg, expected: self.next });
        }
        if self.cid.is_feed() {
            return self.check_feed(link, signer).map_err(MemberError::NotAllowed);
        }
        let exists = self.exists();
        if exists == (link.op == MemberOperation::Create) {
            return Err(MemberError::Existence(if exists {
                "exists already"
            } else {
                "does not exist"
            }));
        }
        let own = link.who == link.from && link.ik == signer;
        let admin =
            self.members.get(&link.from).is_some_and(|member| member.admin && member.ik == signer);
        let inside = self.contains(&link.who);
        // Whoever has the name by another identity is somebody else, whose stay ends here.
        let is_same = self.holds(&link.who, &link.ik);
        let plain = link.arg == MemberArgument::None;
        let kind = matches!(link.arg, MemberArgument::Open | MemberArgument::Invite);
        let ban = link.arg == MemberArgument::Ban;
        let role = matches!(link.arg, MemberArgument::Admin | MemberArgument::Member);
        let refuse = |reason| Err(MemberError::NotAllowed(reason));
        match link.op {
            MemberOperation::Create if !own || !kind => {
                refuse("a room is created by its first member, open or invite")
            }
            MemberOperation::Join if !own || !plain || !self.open => {
                refuse("an open room is joined by one's own signature; others admit")
            }
            MemberOperation::Join | MemberOperation::Admit if is_same => refuse("already a member"),
            MemberOperation::Join if self.is_banned(&link.ik) => {
                refuse("banned from this room; an admin of it can admit you again")
            }
            MemberOperation::Leave if !own || !plain => refuse("one leaves by one's own signature"),
            MemberOperation::Leave if self.cid == ConversationId::all() => {
                refuse("ALL cannot be left")
            }
            MemberOperation::Admit | MemberOperation::Remove | MemberOperation::Role if !admin => {
                refuse("only an admin may do that")
            }
            MemberOperation::Leave | MemberOperation::Remove | MemberOperation::Role
                if inside && !is_same =>
            {
                refuse("the member has another identity key")
            }
            // Who has just left can be banned all the same.
            MemberOperation::Remove if ban && self.is_banned(&link.ik) => refuse("already banned"),
            MemberOperation::Remove if ban => Ok(()),
            MemberOperation::Leave | MemberOperation::Remove | MemberOperation::Role if !inside => {
                refuse("not a member")
            }
            MemberOperation::Remove if !plain => refuse("removing has no argument, or says ban"),
            MemberOperation::Admit if !plain => refuse("admitting has no argument"),
            MemberOperation::Role if !role => refuse("the role is admin or member"),
            _ => Ok(()),
        }
    }

    /// Applies a link that [`Membership::check`] accepted. `digest` is that of the link.
    pub fn apply(&mut self, link: &MemberHeader, digest: Digest) {
        let who = link.who.clone();
        match link.op {
            MemberOperation::Create => {
                self.open = link.arg == MemberArgument::Open;
                // Who made it before has no say any more.
                self.banned.clear();
                self.members.insert(who, Member { ik: link.ik, admin: true, since: link.mg });
            }
            MemberOperation::Join | MemberOperation::Admit => {
                self.banned.remove(&link.ik);
                self.end_stay(&who, link.mg);
                self.members.insert(who, Member { ik: link.ik, admin: false, since: link.mg });
            }
            MemberOperation::Leave | MemberOperation::Remove => {
                if link.arg == MemberArgument::Ban {
                    self.banned.insert(link.ik);
                }
                self.end_stay(&who, link.mg);
            }
            MemberOperation::Role => {
                if let Some(member) = self.members.get_mut(&who) {
                    member.admin = link.arg == MemberArgument::Admin;
                }
            }
        }
        self.next = self.next.saturating_add(1);
        self.head = digest;
    }

    /// Whoever has this name is no member from the link with number `went` on.
    fn end_stay(&mut self, who: &UserName, went: u32) {
        if let Some(member) = self.members.remove(who) {
            self.stays.entry(who.clone()).or_default().push(Stay { came: member.since, went });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::tag::Tag;

    fn link(room: &Membership, from: &str, op: MemberOperation, who: &str) -> MemberHeader {
        MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: room.conversation().clone(),
            from: UserName::new(from).unwrap(),
            sk: KeyId([0; 16]),
            op,
            who: UserName::new(who).unwrap(),
            ik: KeyId([1; 16]),
            arg: MemberArgument::None,
            mg: room.next(),
            pm: room.head(),
            id: MessageId([0; 16]),
            ts: 0,
        }
    }

    #[test]
    fn the_lobby_is_joined_and_left_by_ones_own_signature() {
        let mut lobby = Membership::new(ConversationId::parse("room:lobby").unwrap());
        let signer = KeyId([1; 16]);
        let join = link(&lobby, "alice", MemberOperation::Join, "alice");
        assert_eq!(lobby.check(&join, signer), Ok(()));
        assert!(lobby.check(&join, KeyId([2; 16])).is_err(), "another identity");
        assert!(lobby.check(&link(&lobby, "bob", MemberOperation::Join, "alice"), signer).is_err());
        lobby.apply(&join, Digest([7; 32]));
        assert!(lobby.contains(&join.who));
        assert!(matches!(lobby.check(&join, signer), Err(MemberError::Stale { .. })));
        let again = link(&lobby, "alice", MemberOperation::Join, "alice");
        assert!(lobby.check(&again, signer).is_err(), "already inside");
        let leave = link(&lobby, "alice", MemberOperation::Leave, "alice");
        assert_eq!(lobby.check(&leave, signer), Ok(()));
        let remove = link(&lobby, "alice", MemberOperation::Remove, "alice");
        assert!(lobby.check(&remove, signer).is_err(), "nobody is an admin here");
    }

    #[test]
    fn who_is_banned_joins_only_after_an_admin_has_admitted_them() {
        let mut room = Membership::new(ConversationId::parse("room:ops").unwrap());
        let (alice, bob) = (KeyId([1; 16]), KeyId([2; 16]));
        let by = |room: &Membership, from: &str, op, who: &str, arg| MemberHeader {
            arg,
            ik: if who == "bob" { bob } else { alice },
            ..link(room, from, op, who)
        };
        let create = by(&room, "alice", MemberOperation::Create, "alice", MemberArgument::Open);
        room.apply(&create, Digest([1; 32]));
        let join = by(&room, "bob", MemberOperation::Join, "bob", MemberArgument::None);
        assert_eq!(room.check(&join, bob), Ok(()));
        room.apply(&join, Digest([2; 32]));

        let ban = |room: &Membership, from| {
            by(room, from, MemberOperation::Remove, "bob", MemberArgument::Ban)
        };
        assert!(room.check(&ban(&room, "bob"), bob).is_err(), "not an admin");
        let wrong = MemberHeader { ik: alice, ..ban(&room, "alice") };
        assert!(room.check(&wrong, alice).is_err(), "another identity than the member's");
        let first = ban(&room, "alice");
        assert_eq!(room.check(&first, alice), Ok(()));
        room.apply(&first, Digest([3; 32]));
        assert!(room.is_banned(&bob) && room.has_known(&first.who) && !room.contains(&first.who));

        let again = by(&room, "bob", MemberOperation::Join, "bob", MemberArgument::None);
        assert!(room.check(&again, bob).is_err(), "banned");
        assert!(room.check(&ban(&room, "alice"), alice).is_err(), "banned already");
        let admit = by(&room, "alice", MemberOperation::Admit, "bob", MemberArgument::None);
        assert_eq!(room.check(&admit, alice), Ok(()));
        room.apply(&admit, Digest([4; 32]));
        assert!(room.contains(&admit.who) && !room.is_banned(&bob));

        let kick = by(&room, "alice", MemberOperation::Remove, "bob", MemberArgument::None);
        room.apply(&kick, Digest([5; 32]));
        let join = by(&room, "bob", MemberOperation::Join, "bob", MemberArgument::None);
        assert_eq!(room.check(&join, bob), Ok(()), "a kick is no ban");
        assert_eq!(room.check(&ban(&room, "alice"), alice), Ok(()), "who has left can be banned");
        let other = by(&room, "alice", MemberOperation::Remove, "bob", MemberArgument::Admin);
        assert!(room.check(&other, alice).is_err(), "no such argument");
        let kick = by(&room, "alice", MemberOperation::Remove, "bob", MemberArgument::None);
        assert!(room.check(&kick, alice).is_err(), "who is outside cannot be kicked");
    }

    /// Goal: a name that somebody else has by now can be joined and admitted by its new owner, and by nobody
    /// else; the old stay ends. Method: bob's name has two identities in an open room.
    #[test]
    fn a_name_with_another_identity_is_somebody_else() {
        let mut room = Membership::new(ConversationId::parse("room:lobby").unwrap());
        let (old, new) = (KeyId([1; 16]), KeyId([2; 16]));
        let bob = UserName::new("bob").unwrap();
        let first = link(&room, "bob", MemberOperation::Join, "bob");
        room.apply(&first, Digest([1; 32]));
        let by_new =
            |room: &Membership, op| MemberHeader { ik: new, ..link(room, "bob", op, "bob") };
        let leave = by_new(&room, MemberOperation::Leave);
        assert!(room.check(&leave, new).is_err(), "nobody leaves for the former owner of a name");
        let join = by_new(&room, MemberOperation::Join);
        assert!(room.check(&join, old).is_err(), "signed by the old one");
        assert_eq!(room.check(&join, new), Ok(()));
        room.apply(&join, Digest([2; 32]));
        assert!(room.holds(&bob, &new) && !room.holds(&bob, &old));
        assert_eq!(room.went_before(&bob, 2), Some(1), "the old stay is over");
        assert!(room.was_in(&bob, 1) && room.was_in(&bob, 2));
        assert!(
            room.check(&by_new(&room, MemberOperation::Join), new).is_err(),
            "already a member"
        );
    }

    /// Goal: who was in at each place. Method: every place of a short chain against a count by hand.
    #[test]
    fn a_place_says_who_was_in_then() {
        let mut room = Membership::new(ConversationId::parse("room:lobby").unwrap());
        let (alice, bob) = (UserName::new("alice").unwrap(), UserName::new("bob").unwrap());
        let story = [
            ("alice", MemberOperation::Join),
            ("bob", MemberOperation::Join),
            ("bob", MemberOperation::Leave),
            ("alice", MemberOperation::Leave),
            ("bob", MemberOperation::Join),
        ];
        for (who, op) in story {
            let link = link(&room, who, op, who);
            room.apply(&link, Digest([1; 32]));
        }
        let places = |name| (0..=5).map(|links| room.was_in(name, links)).collect::<Vec<_>>();
        assert_eq!(places(&alice), [false, true, true, true, false, false]);
        assert_eq!(places(&bob), [false, false, true, false, false, true]);
        assert_eq!((room.went_before(&bob, 2), room.went_before(&bob, 3)), (None, Some(2)));
        assert_eq!(room.went_between(3, 5).collect::<Vec<_>>(), [(&alice, 3)]);
    }

    #[test]
    fn the_last_admin_of_a_private_room_is_needed_while_others_are_in_it() {
        for (kind, needed) in [(MemberArgument::Invite, true), (MemberArgument::Open, false)] {
            let mut room = Membership::new(ConversationId::parse("room:crew").unwrap());
            let apply = |room: &mut Membership, op, who: &str, arg| {
                let link = MemberHeader { arg, ..link(room, "alice", op, who) };
                room.apply(&link, Digest([1; 32]));
            };
            let alice = UserName::new("alice").unwrap();
            apply(&mut room, MemberOperation::Create, "alice", kind);
            assert!(!room.needs_admin(&alice), "nobody else is in it");
            apply(&mut room, MemberOperation::Admit, "bob", MemberArgument::None);
            assert_eq!(room.needs_admin(&alice), needed);
            assert!(!room.needs_admin(&UserName::new("bob").unwrap()), "no admin");
            apply(&mut room, MemberOperation::Role, "bob", MemberArgument::Admin);
            assert!(!room.needs_admin(&alice), "bob is one, too");
        }
    }
}
