//! A chain of the hub that does not go on from the one held here (rule R33): it is fetched from its
//! beginning, verified on its own, and compared. Two verified links with the same number and the same
//! link before them are a fork.
//!
//! A hub that was restored from a backup makes one honestly: newcomers have joined the older chain. Its
//! branch is taken where nobody could have gained anything by it; otherwise nothing is sealed in the
//! room until a person decides.

use std::collections::BTreeMap;

use chat_protocol::frame::RawFrame;
use chat_protocol::header::{MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::members::{Membership, Place};
use chat_protocol::name::{ConversationId, UserName};

use super::struck::is_admin;
use super::unproved::Unproved;
use super::{RoomAction, header};
use crate::endpoint::Endpoint;
use crate::epochs::first_of;
use crate::event::Alarm;
use crate::limits::{LINKS_KEPT_MAX, NAMES_SHOWN_MAX};
use crate::rollback::Behind;
use crate::views::KeptLink;

/// A chain that was verified from its beginning.
#[derive(Debug)]
pub(super) struct Fresh {
    room: Membership,
    links: Vec<(MemberHeader, KeptLink)>,
    /// The last coming or going of people, where that counts by the hub's word.
    unproved: BTreeMap<UserName, Unproved>,
}

impl Fresh {
    fn new(cid: ConversationId) -> Self {
        Self { room: Membership::new(cid), links: Vec::new(), unproved: BTreeMap::new() }
    }

    /// How many links have come.
    pub(super) fn len(&self) -> u32 {
        self.room.next()
    }

    fn push(&mut self, link: MemberHeader, frame: &RawFrame, is_proved: bool) {
        let was = self.unproved.remove(&link.who);
        if let Some(unproved) = Unproved::after(was, &link, frame, is_proved) {
            self.unproved.insert(link.who.clone(), unproved);
        }
        let kept = KeptLink::of(&link, frame, is_proved);
        self.room.apply(&link, kept.digest);
        self.links.push((link, kept));
        // As of any chain, the bytes of the newest ones are kept.
        let old = self.len().checked_sub(LINKS_KEPT_MAX + 1);
        let old = old.and_then(|old| self.links.get_mut(usize::try_from(old).ok()?));
        if let Some((_, old)) = old {
            old.frame = None;
        }
    }

    /// How many people, others than somebody, count by the hub's word.
    fn unproved_but(&self, name: &UserName) -> usize {
        self.unproved.keys().filter(|other| *other != name).count()
    }

    /// Whether it has this end, or goes on from it.
    fn has_place(&self, place: Place) -> bool {
        let last = place.mg.checked_sub(1).and_then(|last| usize::try_from(last).ok());
        match last {
            None => place == Place::START,
            Some(last) => self.links.get(last).is_some_and(|(_, link)| link.digest == place.pm),
        }
    }

    /// The room as it was after its first links.
    fn first(&self, count: usize) -> Membership {
        let mut room = Membership::new(self.room.conversation().clone());
        for (link, kept) in self.links.iter().take(count) {
            room.apply(link, kept.digest);
        }
        room
    }
}

impl Endpoint {
    /// Fetches the chain of a room from its beginning; `false` if it was on this connection.
    pub(crate) fn view_anew(&mut self, cid: &ConversationId) -> bool {
        let is_first = self.views.begin_anew(cid);
        if is_first {
            self.ask_for_view(cid);
        }
        is_first
    }

    /// Whether a link of the hub follows another one than the last of the chain held here.
    pub(super) fn is_fork(&self, cid: &ConversationId, link: &RawFrame) -> bool {
        let place = self.place_of(cid);
        header(link).is_some_and(|link| link.mg == place.mg && link.pm != place.pm)
    }

    /// Takes what has come of the hub's chain; when that is all of it, it is compared with the one held
    /// here. `false` if more is asked for.
    pub(super) fn gather_anew(
        &mut self,
        cid: &ConversationId,
        mut links: Vec<RawFrame>,
        more: bool,
    ) -> bool {
        let fresh = self.views.refresh(cid).and_then(|refresh| refresh.fresh.take());
        let mut fresh = fresh.unwrap_or_else(|| Box::new(Fresh::new(cid.clone())));
        let (taken, problem) = self.verify_anew(&mut fresh, &links);
        links.drain(..taken);
        if more && (problem.is_none() || taken > 0) {
            // Whoever has built on the first one left may be among those that have not come.
            if let Some(refresh) = self.views.refresh(cid) {
                (refresh.links, refresh.fresh) = (links, Some(fresh));
            }
            return false;
        }
        match problem {
            Some(reason) => {
                self.views.known(cid).and_then(|view| view.accepted.take());
                let detail = format!("membership of {}: {reason}", cid.spoken());
                self.out.alarm_in(cid, (Alarm::BadChain, &UserName::server()), &detail);
                self.views.end_pages(cid);
            }
            None => self.compare_anew(cid, *fresh),
        }
        true
    }

    /// The hub's chain is taken, or it is not.
    fn compare_anew(&mut self, cid: &ConversationId, fresh: Fresh) {
        let accepted = self.views.known(cid).and_then(|view| view.accepted.take());
        let is_decided = accepted.is_some_and(|place| fresh.has_place(place));
        let held = self.place_of(cid);
        let fork = self.fork_of(cid, &fresh);
        // All of it may be there, and more: then it has only grown.
        let is_fork = fork < usize::try_from(held.mg).unwrap_or(usize::MAX);
        if !is_fork && fork == fresh.links.len() {
            return;
        }
        if is_fork
            && !is_decided
            && fork == fresh.links.len()
            && !self.link.reminded_in_vain.contains(cid)
        {
            self.hub_serves_less(cid, fresh.room.place());
            return;
        }
        let gives_way = is_fork && self.gives_way(cid, &fresh, fork);
        if is_fork && !is_decided && !gives_way && !self.is_harmless(cid, &fresh, fork) {
            self.fork_is_open(cid, &fresh);
            return;
        }
        if is_fork && !is_decided && !gives_way && fork < fresh.links.len() {
            let detail = format!(
                "the server's membership of {cid} goes on from an older one than was seen; it is \
                 taken, and who was removed since stays out",
                cid = cid.spoken()
            );
            self.out.alarm_in(cid, (Alarm::Fork, &UserName::server()), &detail);
        }
        self.take_anew(cid, fresh, fork, is_decided);
    }

    /// Whether all that the chain held here loses behind the fork counted by the hub's word only: it gives way to
    /// what its signer has signed, and that is no alarm. Where one verified link is lost, or the other way round, it
    /// is a fork as any other: a hub could make up a link, let others follow, and take them back with it.
    fn gives_way(&self, cid: &ConversationId, fresh: &Fresh, fork: usize) -> bool {
        let is_fresh_proved = fresh.links.get(fork).is_none_or(|(_, link)| !link.by_word);
        let first = u32::try_from(fork).unwrap_or(u32::MAX);
        let mut lost = first..self.place_of(cid).mg;
        is_fresh_proved && lost.all(|number| self.is_unproved_link(cid, number))
    }

    /// The hub's chain ends within the one held here: what is done then is that of a hub that went back
    /// (rule R36). It is taken only after the hub was reminded and still shows no more.
    fn hub_serves_less(&mut self, cid: &ConversationId, end: Place) {
        let view = self.views.at(cid);
        (view.end, view.was_anew) = (Some(end), false);
        self.link.behind.entry(cid.clone()).or_insert(Behind::Noticed);
    }

    /// Whether the view is what the hub's chain, fetched anew, has shown.
    pub(super) fn is_taken(&self, cid: &ConversationId) -> bool {
        self.views.of(cid).forked.is_none() && !self.link.behind.contains_key(cid)
    }

    /// Nothing is sealed in the room until a person has decided which membership is right.
    fn fork_is_open(&mut self, cid: &ConversationId, fresh: &Fresh) {
        self.views.at(cid).forked = Some(fresh.room.place());
        let held = self.state.rooms.get(cid);
        let differs = held.map_or_else(String::new, |held| difference(held, &fresh.room));
        let detail = format!(
            "the server shows another membership of {cid} than the one seen before: {differs}; nothing \
             is said there until you take it or leave the room",
            cid = cid.spoken()
        );
        self.out.alarm_in(cid, (Alarm::Fork, &UserName::server()), &detail);
    }

    /// Verifies links on their own and takes them. Says how many, and what is wrong with the next one.
    fn verify_anew(&mut self, fresh: &mut Fresh, links: &[RawFrame]) -> (usize, Option<String>) {
        for (at, frame) in links.iter().enumerate() {
            let later = links.get(at + 1..).unwrap_or_default();
            let checked = self.check_link(&fresh.room, frame, later).and_then(|(link, signer)| {
                fresh.room.check(&link, signer.identity).map_err(|error| error.to_string())?;
                Ok(link)
            });
            match checked {
                Ok(link) => {
                    let is_proved = self.is_proved(&link);
                    fresh.push(link, frame, is_proved);
                }
                Err(reason) => {
                    let counted = |name: &UserName| fresh.unproved_but(name);
                    let Some(link) = self.unproved(&fresh.room, frame, counted) else {
                        return (at, Some(reason));
                    };
                    fresh.push(link, frame, false);
                }
            }
        }
        (links.len(), None)
    }

    /// How many links from the beginning both chains share.
    fn fork_of(&self, cid: &ConversationId, fresh: &Fresh) -> usize {
        let held = (0..self.place_of(cid).mg).map_while(|n| self.kept_link(cid, n));
        let same = held.zip(&fresh.links);
        same.take_while(|(held, (_, link))| held.digest == link.digest).count()
    }

    /// Whether the hub's branch may be taken without asking: it begins behind a link that both share,
    /// or in a room without admins, and whoever admits, removes or gives a role on it is an admin at
    /// the end of both.
    fn is_harmless(&self, cid: &ConversationId, fresh: &Fresh, fork: usize) -> bool {
        let Some(held) = self.state.rooms.get(cid) else { return true };
        let by_both = |link: &MemberHeader| match link.op {
            MemberOperation::Admit | MemberOperation::Remove | MemberOperation::Role => {
                is_admin(held, &link.from)
                    && is_admin(&fresh.room, &link.from)
                    && self.is_untouched(cid, &link.from)
            }
            MemberOperation::Create | MemberOperation::Join | MemberOperation::Leave => true,
        };
        let branch = fresh.links.get(fork..).unwrap_or_default();
        (fork > 0 || held.is_implicit() || held.conversation().is_feed())
            && branch.iter().all(|(link, _)| by_both(link))
    }

    /// Takes the hub's chain in the place of the one held here. What that one took away stays taken,
    /// unless a person decided otherwise, and this device says its own lost links again.
    fn take_anew(&mut self, cid: &ConversationId, fresh: Fresh, fork: usize, is_decided: bool) {
        let lost = self.lost_links(cid, fork);
        let struck = self.lost_by_fork(cid, &fresh.first(fork), &fresh.room);
        self.forget_links(cid);
        let Fresh { room, links, unproved } = fresh;
        self.state.rooms.put(cid, room);
        for (link, kept) in links {
            self.keep_link(cid, link.mg, kept);
        }
        for (name, unproved) in unproved {
            self.keep_unproved(cid, &name, unproved);
        }
        if is_decided {
            self.unstrike_all(cid);
        } else {
            for (name, lost) in struck {
                self.strike(cid, &name, lost);
            }
        }
        self.mark_epochs(cid);
        self.views.known(cid).and_then(|view| view.forked.take());
        self.say_again(cid, lost);
    }

    /// The links that this user signed behind a place of the chain held here.
    fn lost_links(&self, cid: &ConversationId, fork: usize) -> Vec<MemberHeader> {
        let first = u32::try_from(fork).unwrap_or(u32::MAX);
        let lost = (first..self.place_of(cid).mg).filter_map(|n| self.kept_link(cid, n));
        let own = lost.filter(|link| link.by == self.device.user);
        let frames = own.filter_map(|link| RawFrame::decode(link.frame.clone()?.0.into()).ok());
        frames.filter_map(|frame| header(&frame)).collect()
    }

    /// Asks again for what this user had done in a room and its chain has lost.
    fn say_again(&mut self, cid: &ConversationId, lost: Vec<MemberHeader>) {
        let Some(room) = self.state.rooms.get(cid).cloned() else { return };
        for link in lost {
            let action = match (link.op, link.arg) {
                (MemberOperation::Join | MemberOperation::Create, _) if room.is_open() => {
                    RoomAction::Join { create: false }
                }
                (MemberOperation::Admit, _) => RoomAction::Admit(link.who),
                (MemberOperation::Remove, arg) => {
                    RoomAction::Remove { who: link.who, ban: arg == MemberArgument::Ban }
                }
                (MemberOperation::Role, arg) => {
                    RoomAction::Role { who: link.who, admin: arg == MemberArgument::Admin }
                }
                (MemberOperation::Leave, _) => RoomAction::Leave,
                (MemberOperation::Join | MemberOperation::Create, _) => continue,
            };
            let id = chat_protocol::id::MessageId(self.out.random());
            self.requests.begin(id, cid.clone(), action, self.outbox.next());
        }
    }

    /// A person takes the membership that the hub has shown, whatever was seen before. Only the chain
    /// that the alarm was about, and what goes on from it, is taken. `false` if there is nothing to
    /// decide.
    pub fn accept_room(&mut self, cid: &ConversationId) -> bool {
        let Some(view) = self.views.known(cid).filter(|view| view.forked.is_some()) else {
            return false;
        };
        (view.accepted, view.was_anew) = (view.forked.take(), false);
        self.view_anew(cid);
        self.link.dirty.insert(cid.clone());
        true
    }
}

/// What a person compares before taking the hub's membership in the place of the one held.
fn difference(held: &Membership, fresh: &Membership) -> String {
    let missing = |from: &Membership, of: &Membership| {
        let names = of.members().keys().filter(|name| !from.contains(name));
        let names: Vec<UserName> = names.cloned().collect();
        (!names.is_empty()).then(|| first_of(&names, NAMES_SHOWN_MAX))
    };
    let admins = |of: &Membership| {
        let admins = of.members().iter().filter(|(_, member)| member.admin);
        admins.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let mut parts = Vec::new();
    if let Some(names) = missing(held, fresh) {
        parts.push(format!("in only by the server: {names}"));
    }
    if let Some(names) = missing(fresh, held) {
        parts.push(format!("not in by the server: {names}"));
    }
    if admins(held) != admins(fresh) {
        let names = admins(fresh);
        let names =
            if names.is_empty() { "nobody".to_owned() } else { first_of(&names, NAMES_SHOWN_MAX) };
        parts.push(format!("admins by the server: {names}"));
    }
    if parts.is_empty() {
        parts.push("the same people by other signatures".to_owned());
    }
    parts.join("; ")
}
