//! What an epoch tells of the membership that it was made from, compared with the chain held here
//! (rule R33): who made it, who may still speak, and for whom it is sealed.
//!
//! The order of the log decides, and no clock. An epoch that this device has opened, or made, and
//! whose place counts a link is a mark in the log: behind it nobody honest speaks as if the link did
//! not exist, because the hub has closed every older epoch that the link concerns. So is a removal that
//! this user has signed, where the hub has put it.

use std::collections::BTreeMap;

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::{KeyHeader, MemberHeader};
use chat_protocol::hub::Log;
use chat_protocol::id::Digest;
use chat_protocol::members::{MemberList, Membership, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::label;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::event::Alarm;
use crate::limits::LINKS_KEPT_MAX;
use crate::position::Came;
use crate::repair::Lack;

/// A link of a room's chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptLink {
    pub(crate) digest: Digest,
    /// Who signed it.
    pub(crate) by: UserName,
    /// As signed; only of the newest [`LINKS_KEPT_MAX`], on a device that keeps anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) frame: Option<B64Vec>,
    /// Its signature could not be verified: it counts by the hub's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_word: bool,
}

impl KeptLink {
    pub(crate) fn of(link: &MemberHeader, frame: &RawFrame, is_proved: bool) -> Self {
        Self {
            digest: frame.digest(label::MEMBER),
            by: link.from.clone(),
            frame: Some(B64Vec(frame.bytes().to_vec())),
            by_word: !is_proved,
        }
    }
}

/// Where in each log the epochs stand that count so many links: position and number of links, both
/// growing.
#[derive(Debug, Default)]
pub(crate) struct Marks(BTreeMap<ConversationId, Vec<(u64, u32)>>);

impl Marks {
    /// Notes an epoch at a position whose place counts so many links.
    fn add(&mut self, cid: &ConversationId, position: u64, links: u32) {
        let marks = self.0.entry(cid.clone()).or_default();
        let at = marks.partition_point(|(before, _)| *before <= position);
        let counts_less = |mark: Option<&(u64, u32)>| mark.is_none_or(|(_, mg)| *mg < links);
        if counts_less(at.checked_sub(1).and_then(|last| marks.get(last))) {
            let later = marks.split_off(at);
            marks.push((position, links));
            marks.extend(later.into_iter().filter(|(_, mg)| *mg > links));
        }
    }

    /// How many links are counted by epochs before a position.
    pub(crate) fn counted(&self, cid: &ConversationId, position: u64) -> u32 {
        let marks = self.0.get(cid).map(Vec::as_slice).unwrap_or_default();
        let at = marks.partition_point(|(before, _)| *before < position);
        at.checked_sub(1).and_then(|last| marks.get(last)).map_or(0, |(_, links)| *links)
    }
}

/// What is done with the key of an epoch, by who made it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// It is opened.
    Accepted,
    /// The view is being fetched.
    Unknown,
    /// It is not opened.
    NoMember,
}

/// Something that somebody says in an epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub(crate) cid: &'a ConversationId,
    pub(crate) from: &'a UserName,
    /// The place that the epoch names.
    pub(crate) place: Place,
    pub(crate) came: &'a Came,
}

/// Whether somebody may speak at a place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    /// A member.
    Member,
    /// Gone by now, by the chain held here or by another one that was verified; by the hub's word this was said before.
    Gone,
    /// Was gone by an epoch before this.
    Silenced,
}

/// The row of a link.
pub(crate) fn link_key(cid: &ConversationId, number: u32) -> String {
    format!("{cid}/{number:010}")
}

impl Endpoint {
    /// Keeps a link that the hub has served and that was just applied, and forgets the bytes of one that
    /// is old.
    pub(crate) fn keep_link(&mut self, cid: &ConversationId, number: u32, mut link: KeptLink) {
        if !self.out.is_durable() {
            link.frame = None;
        }
        self.state.links.put(&link_key(cid, number), link);
        self.epochs.links_stand(cid, self.positions.era());
        let old = number.checked_sub(LINKS_KEPT_MAX).map(|old| link_key(cid, old));
        if let Some(old) = old
            && self.state.links.get(&old).is_some_and(|link| link.frame.is_some())
            && let Some(link) = self.state.links.get_mut(&old)
        {
            link.frame = None;
        }
    }

    /// Forgets the links of a room whose chain is replaced.
    pub(crate) fn forget_links(&mut self, cid: &ConversationId) {
        for number in 0..self.place_of(cid).mg {
            self.state.links.remove(&link_key(cid, number));
        }
        self.forget_unproved(cid);
    }

    /// A link of the chain held here.
    pub(crate) fn kept_link(&self, cid: &ConversationId, number: u32) -> Option<&KeptLink> {
        self.state.links.get(&link_key(cid, number))
    }

    /// Whether a place is on the chain held here.
    pub(crate) fn has_place(&self, cid: &ConversationId, place: Place) -> bool {
        let Some(last) = place.mg.checked_sub(1) else { return place == Place::START };
        self.kept_link(cid, last).is_some_and(|link| link.digest == place.pm)
    }

    /// A link, or an epoch that counts it, stands at a position of the log.
    pub(crate) fn mark(&mut self, cid: &ConversationId, place: Place, position: u64) {
        if !cid.is_direct() && self.has_place(cid, place) {
            self.marks.add(cid, position, place.mg);
        }
    }

    /// The chain has changed, so other places are on it: the marks are made anew.
    pub(crate) fn mark_epochs(&mut self, cid: &ConversationId) {
        self.marks.0.remove(cid);
        for (_, place, position) in self.placed(|other| other == cid) {
            self.mark(cid, place, position);
        }
    }

    /// The same for every room, after the state was loaded, and when the hub has gone back: what stands
    /// in its log from then on compares with no position from before.
    pub(crate) fn mark_all_epochs(&mut self) {
        self.marks = Marks::default();
        for (cid, place, position) in self.placed(|_| true) {
            self.mark(&cid, place, position);
        }
    }

    /// Epochs, and removals by this user, that stand in the log as the hub has it since it went back last.
    fn placed(
        &self,
        is_asked: impl Fn(&ConversationId) -> bool,
    ) -> Vec<(ConversationId, Place, u64)> {
        let era = self.positions.era();
        let epochs = self.epochs.iter();
        let epochs = epochs.filter(|epoch| epoch.era == era && is_asked(&epoch.cid));
        let epochs = epochs.filter_map(|e| Some((e.cid.clone(), e.place, e.position?)));
        let mut placed: Vec<_> = epochs.collect();
        placed.extend(self.placed_removals(is_asked));
        placed
    }

    /// Whether the maker of a key may make it. A place that is not on the chain held here costs one
    /// refresh for each key and connection.
    pub(crate) fn judge_maker(&mut self, now_ms: u64, e: &Digest, header: &KeyHeader) -> Maker {
        let KeyHeader { cid, from, mg, pm, .. } = header;
        let place = Place { mg: *mg, pm: *pm };
        if cid.is_direct() || cid.is_feed() {
            // Of a feed that is its owner, whatever its chain.
            let is_party = cid.is_feed_of(from) || (cid.is_direct() && self.has_known(cid, from));
            return if is_party { Maker::Accepted } else { Maker::NoMember };
        }
        if self.has_place(cid, place) {
            let was_in = self.state.rooms.get(cid).is_some_and(|r| r.was_in(from, place.mg));
            return if was_in { Maker::Accepted } else { Maker::NoMember };
        }
        if self.link.questioned.insert(*e) {
            self.start_refresh(cid, false);
            return Maker::Unknown;
        }
        if self.views.is_refreshing(cid) {
            return Maker::Unknown;
        }
        // The hub's chain may have forked off from the one held here: then that is what is told.
        let is_other = self.views.of(cid).end.is_some_and(|end| !self.has_place(cid, end));
        if is_other && !self.views.of(cid).was_anew {
            self.view_anew(cid);
            return Maker::Unknown;
        }
        if !self.people_of(cid).contains(from) {
            return Maker::NoMember;
        }
        if self.views.of(cid).forked.is_none() {
            self.other_view(now_ms, cid, from);
        }
        Maker::Accepted
    }

    /// Somebody who is a member sees a membership that the hub does not show here.
    fn other_view(&mut self, now_ms: u64, cid: &ConversationId, who: &UserName) {
        if self.link.other_views.insert((cid.clone(), who.clone())) {
            let detail = format!(
                "{who} sees another membership of {cid} than the server shows here; compare the \
                 members with {who}",
                cid = cid.spoken()
            );
            self.out.alarm_in(cid, (Alarm::OtherView, who), &detail);
            self.ask_for_links(now_ms, cid, who);
        }
    }

    /// Whether what somebody says counts where it came. Positions of a log grow, so where this connection has come
    /// further an honest hub has nothing more to show: who has gone does not say it now under a number from before.
    /// How far it came on another one decides nothing: it may have gone back since.
    pub(crate) fn may_be_heard(&self, said: &Said<'_>) -> bool {
        match self.voice(said) {
            Voice::Member => true,
            Voice::Gone => self.is_in_order(&Log::Conversation(said.cid.clone()), said.came),
            Voice::Silenced => false,
        }
    }

    /// Whether the key that somebody has made counts where it came: who was struck makes none behind what the hub had
    /// named then. Before that it may have been on its way.
    pub(crate) fn may_make_key(&self, said: &Said<'_>) -> bool {
        let struck = self.struck_at(said.cid, said.from);
        struck.is_none_or(|struck| self.positions.at(said.came.position) <= struck)
            && self.may_be_heard(said)
    }

    /// Whether what somebody says in a room is that of one who has gone.
    pub(crate) fn has_gone(&self, cid: &ConversationId, name: &UserName) -> bool {
        let room = self.state.rooms.get(cid);
        let is_in = room.map_or_else(|| cid.is_feed_of(name), |room| room.contains(name));
        !cid.is_direct() && (!is_in || self.is_struck(cid, name))
    }

    /// Whether somebody may speak there.
    fn voice(&self, said: &Said<'_>) -> Voice {
        let Said { cid, from, place, came } = *said;
        let Some(room) = self.state.rooms.get(cid).filter(|_| !cid.is_feed()) else {
            return Voice::Member;
        };
        if let Some(went) = room.went_before(from, self.counted_links(cid, came)) {
            let is_back =
                place.mg > went && self.has_place(cid, place) && room.was_in(from, place.mg);
            if !is_back {
                return Voice::Silenced;
            }
        }
        if !self.is_member_by_key(cid, from) {
            return Voice::Silenced;
        }
        if self.has_gone(cid, from) { Voice::Gone } else { Voice::Member }
    }

    /// The names of a list who were no members at the place that its maker names.
    pub(crate) fn strangers_in(&self, header: &KeyHeader, list: &MemberList) -> Vec<UserName> {
        let cid = &header.cid;
        let place = Place { mg: header.mg, pm: header.pm };
        let Some(room) = self.state.rooms.get(cid).filter(|_| !cid.is_feed()) else {
            return Vec::new();
        };
        if !self.has_place(cid, place) {
            return Vec::new();
        }
        let names = list.lines().iter().map(|line| &line.name);
        let mut strangers: Vec<UserName> =
            names.filter(|name| !room.was_in(name, place.mg)).cloned().collect();
        strangers.dedup();
        strangers
    }

    /// Somebody who had gone by an epoch before speaks as if they were a member.
    pub(crate) fn silenced(&mut self, cid: &ConversationId, from: &UserName) {
        let detail = format!(
            "{from} was no member of {cid} any more when this was said; the server let it through",
            cid = cid.spoken()
        );
        self.out.alarm_in(cid, (Alarm::NotAMember, from), &detail);
    }

    /// Looks for whom an epoch is sealed behind an epoch that counts that they went.
    pub(crate) fn check_audience(
        &mut self,
        now_ms: u64,
        (e, writer): (&Digest, &UserName),
        cid: &ConversationId,
        came: &Came,
    ) {
        let counted = self.counted_links(cid, came);
        let Some(epoch) = self.epochs.get(e) else { return };
        let place = epoch.place;
        if counted <= place.mg || cid.is_feed() || !self.has_place(cid, place) {
            self.link.warned.retain(|(room, who, _), _| (room, who) != (cid, writer));
            return;
        }
        let is_listed = |name: &UserName| epoch.list.lines().iter().any(|l| l.name == *name);
        // What the writer was handed counts by now, or they leave out whom it removes.
        self.link.warned.retain(|(room, who, link), name| {
            (room, who) != (cid, writer) || (*link >= place.mg && is_listed(name))
        });
        let Some(room) = self.state.rooms.get(cid) else { return };
        let gone = went_since(room, place.mg, counted).filter(|(name, _)| is_listed(name));
        let gone: Vec<(UserName, u32)> = gone.map(|(name, link)| (name.clone(), link)).collect();
        let Some(newest) = gone.iter().map(|(_, link)| *link).max() else { return };
        let mut is_news = false;
        for (name, link) in gone {
            let key = (cid.clone(), writer.clone(), link);
            is_news |= self.link.warned_told.insert(key.clone());
            self.link.warned.insert(key, name);
        }
        if is_news {
            self.seals_for_others(cid, writer);
        }
        let lack = Lack::Links { cid: cid.clone(), from: place.mg, newest };
        self.plan_repair(now_ms, (e, writer), cid, lack);
    }

    /// Who has gone by a link, and how.
    pub(crate) fn how_gone(&self, cid: &ConversationId, (name, link): (&UserName, u32)) -> String {
        let by = self.kept_link(cid, link).map(|link| &link.by);
        match by.filter(|by| *by != name) {
            Some(by) => format!("{name}, whom {by} has removed"),
            None => format!("{name}, who has left"),
        }
    }
}

/// Who went by a link from number `from` up to `to` and was not back then.
fn went_since(room: &Membership, from: u32, to: u32) -> impl Iterator<Item = (&UserName, u32)> {
    room.went_between(from, to).filter(move |(name, _)| !room.was_in(name, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the marks say how many links any epoch before a position counts. Method: all orders of
    /// adding the same epochs, against a search through all of them.
    #[test]
    fn marks_are_the_most_links_counted_before_a_position() {
        let cid = ConversationId::parse("room:ops").unwrap();
        let epochs = [(5, 1), (9, 3), (7, 4), (12, 2), (20, 6), (20, 5)];
        for turn in 0..epochs.len() {
            let mut marks = Marks::default();
            for at in 0..epochs.len() {
                let (position, links) = epochs[(at * 5 + turn) % epochs.len()];
                marks.add(&cid, position, links);
            }
            for position in 0..25 {
                let before = epochs.iter().filter(|(at, _)| *at < position);
                let most = before.map(|(_, links)| *links).max().unwrap_or(0);
                assert_eq!(marks.counted(&cid, position), most, "turn {turn}, position {position}");
            }
        }
    }
}
