//! Members who lack links of a room's chain are handed them by whoever has them (rule R33).
//!
//! Links that were handed over are never applied: the chain held here stays what the hub serves. They
//! are verified on a copy, the hub is reminded of them, and what an admin takes away by them counts at
//! once for what is sealed here. So a member that keeps a link from an honest hub forks nothing. Bundles that were
//! handed over verify links and revoke keys, and make no device; see [`crate::people`].

use std::collections::BTreeSet;

use chat_protocol::b64::B64Vec;
use chat_protocol::content::Content;
use chat_protocol::content::healing::{Grant, LinkRequest, LinkRun};
use chat_protocol::frame::RawFrame;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::keys::{Bundle, BundleHeader, key_id};
use chat_protocol::limits::{GRANT_BUNDLES_BYTES_MAX, GRANT_LINKS_BYTES_MAX};
use chat_protocol::members::Place;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::{Tag, label};

use crate::endpoint::Endpoint;
use crate::event::Alarm;
use crate::limits::{
    HANDED_BUNDLE_BYTES_MAX, REPAIR_AGAIN_MS, REPAIR_WAIT_MAX_MS, REPAIR_WAIT_MIN_MS,
    REPAIR_WAIT_PERSON_MS,
};
use crate::people::{Gave, SAME_NUMBER};

/// What a writer lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// Links of the room from this number on; by the newest of them it is seen.
    Links { cid: ConversationId, from: u32, newest: u32 },
    /// What revokes a key of this person: one message, in however many rooms they seal for it.
    Keys(UserName),
}

/// Something that is to be handed to a writer who lacks it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repair {
    /// When it is done, Unix time in milliseconds.
    due_ms: u64,
    is_done: bool,
    /// The epoch by which it was seen.
    e: Digest,
    /// The message that does it, and since when the hub has that.
    id: Option<MessageId>,
    kept_ms: Option<u64>,
}

impl Endpoint {
    /// A writer lacks something: whoever signed it hands it over at once, every other device after a
    /// random wait, if it is still so.
    pub(crate) fn plan_repair(
        &mut self,
        now_ms: u64,
        (e, writer): (&Digest, &UserName),
        cid: &ConversationId,
        lack: Lack,
    ) {
        let people = self.people_of(cid);
        if *writer == self.device.user || !people.contains(writer) {
            return;
        }
        let key = (writer.clone(), lack);
        let again = |repair: &Repair| now_ms.saturating_sub(repair.due_ms) < REPAIR_AGAIN_MS;
        // One message to a writer at a time: what waits for the hub is kept, and would grow with each of them.
        let mut planned = self.link.repairs.iter().filter(|((who, _), _)| who == writer);
        if self.link.repairs.get(&key).is_some_and(again)
            || planned.any(|(_, repair)| !repair.is_done)
            || self.is_granting(writer)
        {
            return;
        }
        let next = self.place_of(cid).mg;
        let is_by_me =
            |n: u32| self.kept_link(cid, n).is_some_and(|link| link.by == self.device.user);
        let is_own = match &key.1 {
            Lack::Links { from, .. } => (*from..next).any(is_by_me),
            Lack::Keys(name) => *name == self.device.user,
        };
        let people = u64::try_from(people.len()).unwrap_or(u64::MAX);
        let window = people.saturating_mul(REPAIR_WAIT_PERSON_MS);
        let window = window.clamp(REPAIR_WAIT_MIN_MS, REPAIR_WAIT_MAX_MS);
        let wait = if is_own { 0 } else { u64::from_be_bytes(self.out.random()) % window };
        let due_ms = now_ms.saturating_add(wait);
        let repair = Repair { due_ms, is_done: false, e: *e, id: None, kept_ms: None };
        self.link.repairs.insert(key, repair);
    }

    /// Whether something that is handed to a writer has no answer of the hub yet, also from before this connection.
    fn is_granting(&self, writer: &UserName) -> bool {
        let Ok(cid) = self.direct(writer) else { return false };
        self.outbox.iter().any(|(_, outgoing)| outgoing.tag == Tag::Grant && outgoing.cid == cid)
    }

    /// Since when the hub has what was to be handed over to a writer, if it does, Unix time in milliseconds.
    pub(crate) fn repaired_since(&self, writer: &UserName, lack: Lack) -> Option<u64> {
        self.link.repairs.get(&(writer.clone(), lack))?.kept_ms
    }

    /// The hub has a message of which the host hears nothing.
    pub(crate) fn repair_kept(&mut self, id: &MessageId) {
        let now_ms = self.link.clock_ms;
        for repair in self.link.repairs.values_mut().filter(|repair| repair.id == Some(*id)) {
            repair.kept_ms = Some(now_ms);
        }
    }

    /// When the next is to be handed over.
    pub(crate) fn repair_deadline(&self) -> Option<u64> {
        let open = self.link.repairs.values().filter(|repair| !repair.is_done);
        open.map(|repair| repair.due_ms).min()
    }

    /// Hands over what is due, to those who still lack it.
    pub(crate) fn do_repairs(&mut self, now_ms: u64) {
        let due = self.link.repairs.iter_mut();
        let due = due.filter(|(_, repair)| !repair.is_done && repair.due_ms <= now_ms);
        let due: Vec<_> = due
            .map(|(key, repair)| {
                repair.is_done = true;
                (key.clone(), repair.e)
            })
            .collect();
        for ((writer, lack), e) in due {
            match &lack {
                Lack::Links { cid, from, newest } => {
                    if self.link.warned.contains_key(&(cid.clone(), writer.clone(), *newest)) {
                        self.hand_over_links(now_ms, cid, &writer, *from);
                    }
                }
                Lack::Keys(name) => {
                    let mut warned = self.link.warned_of_keys.keys();
                    let is_still_so = warned.any(|(_, who, of)| *who == writer && of == name);
                    let bundles = self.revoking(name, &e);
                    if !is_still_so || bundles.is_empty() {
                        continue;
                    }
                    let content = Content::Grant(Grant { bundles, ..Grant::default() });
                    let id = self.draft_quietly(now_ms, &writer, Tag::Grant, &content);
                    if let Some(repair) = self.link.repairs.get_mut(&(writer, lack)) {
                        repair.id = id;
                    }
                }
            }
        }
    }

    /// What revokes the keys of a person for which an epoch is sealed, as much as one message carries: whoever is handed
    /// more passes over what comes from this user next.
    fn revoking(&self, name: &UserName, e: &Digest) -> Vec<B64Vec> {
        let lines = self.epochs.get(e).into_iter().flat_map(|epoch| epoch.list.lines());
        let keys = lines.filter(|line| line.name == *name).map(|line| line.sk);
        fitting(self.people.first_revoking(name, keys.collect()))
    }

    /// The bundles that verify these links, then what is known of these people: what revokes their keys first, be it that
    /// the hub has shown it or a member has handed it over.
    pub(crate) fn bundles_about<'a>(
        &self,
        links: &[B64Vec],
        names: impl IntoIterator<Item = &'a UserName>,
    ) -> Vec<B64Vec> {
        let signed = links.iter().filter_map(|link| RawFrame::decode(link.0.clone().into()).ok());
        let mut bundles: Vec<B64Vec> =
            signed.filter_map(|link| self.people.bundle_behind(&link)).collect();
        for name in names {
            let given = self.people.given_revoking(name);
            let shown = self.people.devices(name);
            let (revoking, others): (Vec<&Bundle>, Vec<&Bundle>) =
                shown.partition(|bundle| !bundle.header().rev.is_empty());
            let all = given.iter().chain(revoking).chain(others);
            bundles.extend(all.map(|bundle| B64Vec(bundle.bytes().to_vec())));
        }
        let mut met = BTreeSet::new();
        bundles.retain(|B64Vec(bytes)| met.insert(bytes.clone()));
        bundles
    }

    /// Hands a member the links from a number on, with the bundles that verify them.
    fn hand_over_links(&mut self, now_ms: u64, cid: &ConversationId, to: &UserName, from: u32) {
        let (mut frames, mut signers, mut room) = (Vec::new(), Vec::new(), GRANT_LINKS_BYTES_MAX);
        for number in from..self.place_of(cid).mg {
            let Some(link) = self.kept_link(cid, number) else { break };
            let Some(frame) = link.frame.clone().filter(|frame| frame.0.len() <= room) else {
                break;
            };
            room -= frame.0.len();
            if !signers.contains(&link.by) {
                signers.push(link.by.clone());
            }
            frames.push(frame);
        }
        if frames.is_empty() {
            return;
        }
        let bundles = fitting(self.bundles_about(&frames, &signers));
        let links = vec![LinkRun { cid: cid.clone(), mg: from, frames }];
        let content = Content::Grant(Grant { links, bundles, ..Grant::default() });
        self.draft_quietly(now_ms, to, Tag::Grant, &content);
    }

    /// Asks a member for what they have behind the end of the chain held here.
    pub(crate) fn ask_for_links(&mut self, now_ms: u64, cid: &ConversationId, of: &UserName) {
        let place = self.place_of(cid);
        let content = Content::LinkRequest(LinkRequest { cid: cid.clone(), place });
        self.draft_quietly(now_ms, of, Tag::Keyreq, &content);
    }

    /// A member asks for what comes behind a place of the chain.
    pub(crate) fn on_link_request(&mut self, now_ms: u64, by: &UserName, asked: &LinkRequest) {
        let LinkRequest { cid, place } = asked;
        let both = self.reaches(cid, by) && self.reaches(cid, &self.device.user);
        let is_behind = !cid.is_direct() && both && self.has_place(cid, *place);
        if is_behind && self.place_of(cid) != *place && self.may_hand_over(now_ms, by, cid) {
            self.hand_over_links(now_ms, cid, by, place.mg);
        }
    }

    /// Takes links and bundles that a member has handed over.
    pub(crate) fn on_links(
        &mut self,
        now_ms: u64,
        by: &UserName,
        runs: &[LinkRun],
        bundles: &[B64Vec],
    ) {
        let is_shared =
            |run: &&LinkRun| !run.cid.is_direct() && self.people_of(&run.cid).contains(by);
        let mut runs: Vec<&LinkRun> = runs.iter().filter(is_shared).collect();
        // One of each room is all that anybody has.
        let mut rooms = BTreeSet::new();
        runs.retain(|run| rooms.insert(&run.cid));
        let is_met =
            self.has_talked_with(by) || self.state.rooms.iter().any(|(_, room)| room.contains(by));
        for bytes in bundles.iter().filter(|_| is_met) {
            let Some(header) = BundleHeader::peek(&bytes.0) else { continue };
            // Only of somebody whose identity is known: a member must not be the first to say whose
            // key is whose.
            let is_known = self.expected_identity(&header.u) == Some(key_id(&header.ik));
            let is_short = bytes.0.len() <= HANDED_BUNDLE_BYTES_MAX;
            if !is_known || !is_short || !self.may_be_handed(now_ms, by, bytes.0.len()) {
                continue;
            }
            if let Some(bundle) = self.people.verify(bytes) {
                self.take_handed(now_ms, by, &bundle);
            }
        }
        for run in runs {
            let bytes = run.frames.iter().map(|frame| frame.0.len()).sum();
            if self.may_be_handed(now_ms, by, bytes) {
                self.check_run(now_ms, by, run);
            }
        }
    }

    /// Takes what a bundle proves that a member has handed over.
    fn take_handed(&mut self, now_ms: u64, by: &UserName, bundle: &Bundle) {
        let name = &bundle.header().u;
        let is_one_of_two = self.people.contradicts_given(bundle);
        let gave = self.people.give(now_ms, bundle);
        if is_one_of_two || gave == Gave::Contradicts {
            self.out.alarm(Alarm::BadChain, name, SAME_NUMBER);
        }
        match gave {
            Gave::Nothing | Gave::Contradicts => {}
            // An old key may stand in the list of an epoch.
            Gave::Kept => self.audiences_changed(),
            Gave::Revokes => {
                self.audiences_changed();
                self.people.note_giver(name, by);
                // Whether the hub shows the same is asked before anything is sealed for them. They are left out at once, so
                // what is not asked now harms nobody: the next view asks it.
                if self.may_make_ask(now_ms, by) {
                    self.on_keys(std::slice::from_ref(name));
                }
            }
            Gave::RevokesOwn if self.may_make_ask(now_ms, by) => self.tell_undecided(),
            Gave::RevokesOwn => self.await_undecided(),
        }
    }

    /// Verifies handed links on a copy of the chain, from where they meet.
    fn check_run(&mut self, now_ms: u64, by: &UserName, run: &LinkRun) {
        let cid = &run.cid;
        let frames = run.frames.iter().map(|frame| RawFrame::decode(frame.0.clone().into()));
        let Ok(frames) = frames.collect::<Result<Vec<RawFrame>, _>>() else { return };
        let is_held = |(at, frame): &(usize, &RawFrame)| {
            self.is_held(cid, run.mg, *at, frame.digest(label::MEMBER))
        };
        let held = u32::try_from(frames.iter().enumerate().take_while(is_held).count());
        let meets = held.ok().and_then(|held| run.mg.checked_add(held));
        let Some(mut copy) = meets.and_then(|meets| self.room_after(cid, meets)) else { return };
        let (mut news, mut taken) = (Vec::new(), Vec::new());
        for (at, frame) in frames.iter().enumerate() {
            let digest = frame.digest(label::MEMBER);
            if self.is_held(cid, run.mg, at, digest) {
                continue;
            }
            let later = frames.get(at + 1..).unwrap_or_default();
            let Ok((link, signer)) = self.check_link(&copy, frame, later) else { break };
            if copy.check(&link, signer.identity).is_err() {
                break;
            }
            copy.apply(&link, digest);
            news.push(B64Vec(frame.bytes().to_vec()));
            taken.push(link);
        }
        let end = (cid.clone(), copy.head());
        if news.is_empty() || self.link.reminded.contains(&end) {
            return;
        }
        self.strike_by(cid, &taken, &copy);
        // Anybody makes any number of ends, by links that nobody needs to have let in.
        if self.is_telling_links_of(cid) || !self.may_make_ask(now_ms, by) {
            return;
        }
        self.link.reminded.insert(end);
        let bundles = fitting(self.bundles_about(&news, []));
        self.send_reminder_of(BTreeSet::new(), bundles, news);
        // What the hub shows is asked for, and what is on its way goes on: it tells of what comes later by itself.
        self.views.outdate(cid);
        self.ensure_view(cid);
    }

    /// Whether a handed link is one of the chain held here.
    fn is_held(&self, cid: &ConversationId, first: u32, at: usize, digest: Digest) -> bool {
        let number = u32::try_from(at).ok().and_then(|at| first.checked_add(at));
        let place = number.and_then(|n| n.checked_add(1)).map(|mg| Place { mg, pm: digest });
        place.is_some_and(|place| self.has_place(cid, place))
    }
}

/// As many bundles as one message carries.
fn fitting(mut bundles: Vec<B64Vec>) -> Vec<B64Vec> {
    let mut room = Some(GRANT_BUNDLES_BYTES_MAX);
    bundles.retain(|bundle| {
        room = room.and_then(|room| room.checked_sub(bundle.0.len()));
        room.is_some()
    });
    bundles
}
