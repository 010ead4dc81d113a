//! Whether the view of a conversation is up to date, what the hub says about it on this connection, and what is on its
//! way for it. All of it ends with the connection.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::frame::RawFrame;
use chat_protocol::hub::Head;
use chat_protocol::id::MessageId;
use chat_protocol::members::Place;
use chat_protocol::name::ConversationId;

use super::anew::Fresh;
use crate::limits::{HEADS_MAX, LINK_BYTES_MAX, LINKS_WAITING_MAX, PARKED_BYTES_MAX};

/// A view that is being brought up to date.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a refresh")]
pub(crate) struct Refresh {
    /// Links that wait for their signers' bundles.
    pub(super) links: Vec<RawFrame>,
    /// The chain was asked for on this connection, and all of it has come.
    pub(super) complete: bool,
    /// Bundles of everybody were asked for and have come.
    people: bool,
    /// Keys of the links' signers that were not known were asked for.
    signers: bool,
    /// Requests without an answer.
    pub(super) waiting: BTreeSet<MessageId>,
    /// The host asked for it and wants to know.
    pub(super) asked: bool,
    /// The room has grown since it began: its answers may be from before.
    pub(super) is_overtaken: bool,
    /// Number of links that were known before.
    known: Option<u32>,
    /// The chain is fetched from its beginning, because it does not go on from the one held here.
    anew: bool,
    /// What has come of it.
    pub(super) fresh: Option<Box<Fresh>>,
    /// How many links the chain had by the hub's word when this began: no more are asked for.
    until: Option<u32>,
    /// There are more than may wait: they are asked for when those here are applied.
    pub(super) more: bool,
}

/// One conversation.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a conversation")]
pub(crate) struct View {
    /// The end of its chain by the hub's word.
    pub(crate) end: Option<Place>,
    pub(crate) is_current: bool,
    /// The chain was fetched from its beginning.
    pub(crate) was_anew: bool,
    /// The end of the hub's chain, where it is not the one seen.
    pub(crate) forked: Option<Place>,
    /// The end of the chain that a person has decided to take.
    pub(super) accepted: Option<Place>,
    /// The hub does not list it although this user is in it: its answer tells why.
    pub(crate) is_unlisted: bool,
    /// Who runs the hub has deleted it.
    pub(crate) is_deleted: bool,
}

impl View {
    /// Whether nothing is lost with it: what is needed again is asked for again.
    fn is_bare(&self) -> bool {
        let has_place = self.forked.is_some() || self.accepted.is_some();
        let is_marked = self.was_anew || self.is_unlisted || self.is_deleted;
        self.end.is_none() && !has_place && !is_marked
    }
}

/// What is to be asked for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Further links of the chain.
    Links,
    /// Bundles of everybody.
    People,
}

/// Everything that a refresh has asked for has come.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) links: Vec<RawFrame>,
    /// The hub has more links.
    pub(super) more: bool,
    pub(super) is_anew: bool,
    /// The keys of the links' signers were not asked for yet.
    pub(super) is_first: bool,
}

/// All conversations of a connection.
#[derive(Debug, Default)]
pub(crate) struct Views {
    all: BTreeMap<ConversationId, View>,
    /// One of which nothing is known.
    unknown: View,
    refreshing: BTreeMap<ConversationId, Refresh>,
    /// When the answers were asked for that are on their way, Unix time in milliseconds.
    began_ms: BTreeMap<ConversationId, u64>,
    /// Those that have just come up to date.
    viewed: Vec<ConversationId>,
    /// How long the hub took for the last one, in milliseconds.
    pub(crate) answer_ms: u64,
}

impl Views {
    /// What is known of a conversation.
    pub(crate) fn of(&self, cid: &ConversationId) -> &View {
        self.all.get(cid).unwrap_or(&self.unknown)
    }

    /// The same for change, where anything is known.
    pub(super) fn known(&mut self, cid: &ConversationId) -> Option<&mut View> {
        self.all.get_mut(cid)
    }

    /// The same for change, in any case.
    pub(super) fn at(&mut self, cid: &ConversationId) -> &mut View {
        if !self.all.contains_key(cid) {
            self.has_room();
        }
        self.all.entry(cid.clone()).or_default()
    }

    /// Whether one more conversation that the hub names may be known. One that names them without end fills nothing.
    fn has_room(&mut self) -> bool {
        if self.all.len() >= HEADS_MAX {
            self.all.retain(|_, view| !view.is_bare());
        }
        self.all.len() < HEADS_MAX
    }

    /// What is on its way for a view.
    pub(super) fn refresh(&mut self, cid: &ConversationId) -> Option<&mut Refresh> {
        self.refreshing.get_mut(cid)
    }

    pub(crate) fn is_refreshing(&self, cid: &ConversationId) -> bool {
        self.refreshing.contains_key(cid)
    }

    /// The hub says where a conversation stands.
    pub(super) fn hear(&mut self, head: &Head) {
        if self.of(&head.cid).end.is_some() || self.has_room() {
            self.at(&head.cid).end = Some(Place { mg: head.mg, pm: head.pm });
        }
    }

    /// The hub says whether a room is deleted.
    pub(super) fn hear_deleted(&mut self, cid: &ConversationId, is_deleted: bool) {
        if is_deleted != self.of(cid).is_deleted {
            self.at(cid).is_deleted = is_deleted;
        }
    }

    /// Conversations of which the hub has said where they stand.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &ConversationId> {
        self.all.iter().filter(|(_, view)| view.end.is_some()).map(|(cid, _)| cid)
    }

    /// A view is not up to date any more.
    pub(crate) fn outdate(&mut self, cid: &ConversationId) {
        if let Some(view) = self.all.get_mut(cid) {
            view.is_current = false;
        }
    }

    /// Something is news in a conversation: what is on its way may be from before.
    pub(crate) fn overtake(&mut self, cid: &ConversationId) {
        self.outdate(cid);
        if let Some(refresh) = self.refresh(cid) {
            refresh.is_overtaken = true;
        }
    }

    /// Views that are up to date, or about to be.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ConversationId> {
        let current = self.all.iter().filter(|(_, view)| view.is_current).map(|(cid, _)| cid);
        current.chain(self.refreshing.keys())
    }

    /// Views that are being brought up to date.
    pub(crate) fn refreshing(&self) -> impl Iterator<Item = &ConversationId> {
        self.refreshing.keys()
    }

    /// Begins to bring a view up to date. One that is fetched from its beginning is fetched so again, and a host that
    /// waits for one goes on waiting.
    pub(super) fn begin(&mut self, cid: &ConversationId, asked: bool) {
        self.outdate(cid);
        let before = self.refreshing.get(cid);
        let anew = before.is_some_and(|refresh| refresh.anew);
        let asked = asked || before.is_some_and(|refresh| refresh.asked);
        let until = self.of(cid).end.map(|end| end.mg);
        let complete = cid.is_direct();
        let refresh = Refresh { complete, asked, anew, until, ..Refresh::default() };
        self.refreshing.insert(cid.clone(), refresh);
    }

    /// From now on the chain is fetched from its beginning; `false` if it was on this connection.
    pub(super) fn begin_anew(&mut self, cid: &ConversationId) -> bool {
        let is_first = !std::mem::replace(&mut self.at(cid).was_anew, true);
        if is_first {
            self.begin(cid, false);
            if let Some(refresh) = self.refresh(cid) {
                refresh.anew = true;
            }
        }
        is_first
    }

    /// The number of the link behind those that are held, so many of the chain, or wait.
    pub(super) fn next_link(&self, cid: &ConversationId, held: u32) -> u32 {
        let Some(refresh) = self.refreshing.get(cid) else { return held };
        let fresh = refresh.fresh.as_ref().map_or(0, |fresh| fresh.len());
        let known = if refresh.anew { fresh } else { held };
        known.saturating_add(u32::try_from(refresh.links.len()).unwrap_or(u32::MAX))
    }

    /// Takes links of a chain of which so many are held, while so many bytes of other things wait. What is needed
    /// next.
    pub(super) fn take_links(
        &mut self,
        cid: &ConversationId,
        (links, more): (&[B64Vec], bool),
        held: u32,
        others: usize,
    ) -> Option<Need> {
        let parked = others.saturating_add(self.bytes());
        let refresh = self.refresh(cid)?;
        let before = refresh.links.len();
        // The budget is that of all that waits; one page always has room, so that each chain goes on.
        let mut room =
            if before == 0 { usize::MAX } else { PARKED_BYTES_MAX.saturating_sub(parked) };
        let max = LINKS_WAITING_MAX.saturating_sub(before);
        let is_small = |B64Vec(bytes): &B64Vec| bytes.len() <= LINK_BYTES_MAX;
        let fitting = links.iter().take(max).take_while(|link| {
            let fits = link.0.len() <= room;
            room = room.saturating_sub(link.0.len());
            fits && is_small(link)
        });
        let fitting: Vec<B64Vec> = fitting.cloned().collect();
        let is_full = fitting.len() < links.len() && links.iter().all(is_small);
        let read = fitting.into_iter().map(|B64Vec(bytes)| RawFrame::decode(bytes.into()));
        refresh.links.extend(read.filter_map(Result::ok));
        // A page that brings nothing is the last, and so is one behind the end that was named; one link
        // behind it may be this device's own.
        let is_news = refresh.links.len() > before;
        let has_more = (more || is_full) && is_news;
        let (is_full, until) = (is_full || refresh.links.len() >= LINKS_WAITING_MAX, refresh.until);
        let next = self.next_link(cid, held);
        let has_more = has_more && until.is_none_or(|until| next <= until);
        if has_more && !is_full {
            return Some(Need::Links);
        }
        let refresh = self.refresh(cid)?;
        (refresh.complete, refresh.more) = (true, has_more);
        Some(Need::People)
    }

    /// Bundles of everybody were asked for, by these requests.
    pub(super) fn people_asked(&mut self, cid: &ConversationId, waiting: BTreeSet<MessageId>) {
        if let Some(refresh) = self.refresh(cid) {
            (refresh.waiting, refresh.people) = (waiting, true);
        }
    }

    /// Takes out what has come, once that is all.
    pub(super) fn complete(&mut self, cid: &ConversationId) -> Option<Complete> {
        let refresh = self.refresh(cid)?;
        if !(refresh.complete && refresh.people && refresh.waiting.is_empty()) {
            return None;
        }
        Some(Complete {
            links: std::mem::take(&mut refresh.links),
            more: refresh.more,
            is_anew: refresh.anew,
            is_first: !std::mem::replace(&mut refresh.signers, true),
        })
    }

    /// The links are applied to a chain that has so many. How many it had before this refresh; nothing where there is
    /// none any more.
    pub(super) fn applies(&mut self, cid: &ConversationId, held: u32) -> Option<u32> {
        let refresh = self.refresh(cid)?;
        refresh.anew = false;
        Some(*refresh.known.get_or_insert(held))
    }

    /// What is left of a chain is not worth asking for.
    pub(super) fn end_pages(&mut self, cid: &ConversationId) {
        if let Some(refresh) = self.refresh(cid) {
            refresh.more = false;
        }
    }

    /// Whether links are to be asked for behind those that were dealt with; if so, the refresh goes on.
    pub(super) fn goes_on(&mut self, cid: &ConversationId) -> bool {
        let Some(refresh) = self.refresh(cid).filter(|refresh| refresh.more) else {
            return false;
        };
        (refresh.complete, refresh.people, refresh.more) = (false, false, false);
        refresh.signers = false;
        true
    }

    /// Ends a refresh.
    pub(super) fn end(&mut self, cid: &ConversationId) -> Refresh {
        self.refreshing.remove(cid).unwrap_or_default()
    }

    /// A view is up to date.
    pub(super) fn set_current(&mut self, cid: &ConversationId) {
        self.at(cid).is_current = true;
        self.viewed.push(cid.clone());
    }

    /// Views that have come up to date since the last call.
    pub(crate) fn take_viewed(&mut self) -> Vec<ConversationId> {
        std::mem::take(&mut self.viewed)
    }

    /// Learns how long the hub takes for a view.
    pub(crate) fn pass_time(&mut self, now_ms: u64) {
        let refreshing = &self.refreshing;
        let over = self.began_ms.extract_if(.., |cid, _| !refreshing.contains_key(cid));
        if let Some(longest) = over.map(|(_, began)| now_ms.saturating_sub(began)).max() {
            self.answer_ms = longest;
        }
        for cid in refreshing.keys() {
            if !self.began_ms.contains_key(cid) {
                self.began_ms.insert(cid.clone(), now_ms);
            }
        }
    }

    /// Bytes of the links that wait for bundles.
    pub(crate) fn bytes(&self) -> usize {
        let links = self.refreshing.values().flat_map(|refresh| &refresh.links);
        links.map(|link| link.bytes().len()).sum()
    }

    /// How many things are held by the hub's word.
    pub(crate) fn len(&self) -> usize {
        let facts = |view: &View| {
            let facts = [view.end.is_some(), view.is_current, view.is_deleted];
            facts.into_iter().filter(|fact| *fact).count()
        };
        self.all.values().map(facts).sum::<usize>() + self.refreshing.len()
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::Digest;

    use super::*;

    fn room() -> ConversationId {
        ConversationId::parse("room:ops").unwrap()
    }

    const ID: MessageId = MessageId([1; 16]);

    /// Goal: a refresh is complete with its last answer, and once. Method: a page that brings nothing ends the chain.
    #[test]
    fn a_refresh_waits_for_all_of_its_answers() {
        let (mut views, cid) = (Views::default(), room());
        views.begin(&cid, true);
        assert!(views.is_refreshing(&cid) && !views.of(&cid).is_current);
        assert_eq!(views.take_links(&cid, (&[], true), 3, 0), Some(Need::People));
        views.people_asked(&cid, [ID].into());
        assert!(views.complete(&cid).is_none());
        views.refresh(&cid).unwrap().waiting.remove(&ID);
        let complete = views.complete(&cid).unwrap();
        assert!(complete.is_first && !complete.more && !complete.is_anew);
        assert_eq!(views.applies(&cid, 3), Some(3));
        assert!(!views.goes_on(&cid) && views.end(&cid).asked);
        views.set_current(&cid);
        assert!(views.of(&cid).is_current && views.take_viewed() == [cid]);
    }

    /// Goal: news that come while answers are on their way are not lost; those before it begins are. A host that has
    /// asked is told, whatever begins a refresh anew. (Before: where the device itself began it anew, it was not.)
    #[test]
    fn what_grows_meanwhile_overtakes_a_refresh() {
        let (mut views, cid) = (Views::default(), room());
        views.overtake(&cid);
        views.begin(&cid, true);
        assert!(!views.refresh(&cid).unwrap().is_overtaken);
        views.overtake(&cid);
        assert!(views.refresh(&cid).unwrap().is_overtaken);
        views.begin(&cid, false);
        let ended = views.end(&cid);
        assert!(!ended.is_overtaken && ended.asked);
    }

    /// Goal: the time that the hub takes is that of the whole refresh, however often it begins anew.
    #[test]
    fn the_time_of_a_refresh_is_learnt() {
        let (mut views, cid) = (Views::default(), room());
        views.begin(&cid, false);
        views.pass_time(10);
        views.begin(&cid, false);
        views.pass_time(20);
        assert_eq!(views.answer_ms, 0);
        views.end(&cid);
        views.pass_time(35);
        assert_eq!(views.answer_ms, 25);
    }

    /// Goal: a chain is fetched from its beginning once in a connection, and stays so while it is fetched.
    #[test]
    fn a_chain_is_fetched_anew_once() {
        let (mut views, cid) = (Views::default(), room());
        assert!(views.begin_anew(&cid) && !views.begin_anew(&cid));
        assert_eq!(views.next_link(&cid, 7), 0);
        views.begin(&cid, false);
        assert_eq!(views.next_link(&cid, 7), 0, "what is fetched so is fetched so again");
        views.at(&cid).was_anew = false;
        assert!(views.begin_anew(&cid));
    }

    fn invented(number: usize) -> ConversationId {
        ConversationId::parse(&format!("room:r{number}")).unwrap()
    }

    /// Goal: a hub that names conversations without end fills nothing. Before: of each view that was asked for something
    /// stayed, also where the hub refused it. Method: they are refused, then they come, then it says where they stand.
    #[test]
    fn invented_conversations_are_bounded() {
        let mut views = Views::default();
        for number in 0..10 {
            views.begin(&invented(number), false);
            views.end(&invented(number));
        }
        assert_eq!((views.all.len(), views.len()), (0, 0));
        views.at(&room()).is_unlisted = true;
        for number in 0..HEADS_MAX + 10 {
            views.set_current(&invented(number));
            assert!(views.of(&invented(number)).is_current && views.all.len() <= HEADS_MAX);
        }
        for number in 0..HEADS_MAX + 10 {
            views.hear(&Head { cid: invented(number), mg: 1, pm: Digest::ZERO, epoch: None });
        }
        assert_eq!((views.all.len(), views.listed().count()), (HEADS_MAX, HEADS_MAX - 1));
        assert!(views.of(&room()).is_unlisted, "what is not to be had again stays");
    }
}
