//! What the hub does with what devices send.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

use std::collections::BTreeMap;

use chat_endpoint::Transmit;
use chat_protocol::b64::B64Vec;
use chat_protocol::frame::{Binary, RawFrame, Upload};
use chat_protocol::header::{
    Header, KeyHeader, MemberHeader, MemberOperation, MessageHeader, ReceiptHeader,
};
use chat_protocol::hub::{
    self, ClientToHub, EpochHead, Head, HubStage, HubToClient, PersonBundles,
};
use chat_protocol::id::{Digest, KeyId, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceMark, Held};
use chat_protocol::limits::PAGE_ITEMS_MAX;
use chat_protocol::members::{MemberList, Membership};
use chat_protocol::name::{ConversationId, ConversationKind, UserName};
use chat_protocol::tag::{Tag, label};
use chat_protocol::{code, crypto, envelope, epoch};

use super::{Entry, Pending, TestHub, Winner};

/// One less to come of a fault.
pub(super) fn take_one(left: &mut usize) -> bool {
    let due = *left > 0;
    *left = left.saturating_sub(1);
    due
}

/// The newest bundle of each device.
fn newest_of(bundles: &[Bundle]) -> BTreeMap<Nonce16, &Bundle> {
    let mut newest = BTreeMap::new();
    for bundle in bundles {
        let known = newest.entry(bundle.header().dev).or_insert(bundle);
        if known.header().seq <= bundle.header().seq {
            *known = bundle;
        }
    }
    newest
}

/// Those of live devices.
fn live_of(now: u64, bundles: &[Bundle]) -> Vec<&Bundle> {
    let newest = newest_of(bundles);
    let revoked = |sk: &KeyId| newest.values().any(|bundle| bundle.header().rev.contains(sk));
    let is_live =
        |bundle: &&&Bundle| DeviceMark::of(bundle).is_some_and(|mark| mark.is_live(now, revoked));
    newest.values().filter(is_live).copied().collect()
}

/// What somebody holds who has these bundles.
fn held_of(now: u64, bundles: &[Bundle]) -> Held {
    let newest = newest_of(bundles);
    let revoked = |sk: &KeyId| newest.values().any(|bundle| bundle.header().rev.contains(sk));
    Held::of_live(now, newest.values().filter_map(|bundle| DeviceMark::of(bundle)), revoked)
}

/// Somebody of whom nothing is said yet.
fn nobody() -> PersonBundles {
    PersonBundles { bundles: vec![], former: vec![] }
}

/// The first of these bundles with each of these keys.
fn found(kids: &[KeyId], bundles: Option<&Vec<Bundle>>) -> Vec<B64Vec> {
    let bundles = bundles.map(Vec::as_slice).unwrap_or_default();
    let find = |kid: &KeyId| {
        bundles.iter().find(|bundle| bundle.header().sk.iter().any(|key| key.kid == *kid))
    };
    kids.iter().filter_map(find).map(|bundle| B64Vec(bundle.bytes().to_vec())).collect()
}

impl TestHub {
    /// The first bundle with each of these keys.
    fn by_key(&self, kids: &BTreeMap<UserName, Vec<KeyId>>) -> BTreeMap<UserName, PersonBundles> {
        let mut people = BTreeMap::new();
        for (user, kids) in kids {
            let bundles = self.people.get(user);
            let former = self.former.get(user);
            let bundles = found(kids, bundles);
            let former = found(kids, former);
            let is_nobody = bundles.is_empty() && former.is_empty();
            if !is_nobody && !self.faults.hides_kids {
                people.insert(user.clone(), PersonBundles { bundles, former });
            }
        }
        people
    }

    /// What a device is shown of somebody's bundles.
    fn shown_of(&self, index: usize, user: &UserName) -> Option<&Vec<Bundle>> {
        let mut shown = self.faults.shows.iter();
        let shown = shown.find(|(to, who, _)| *to == index && who == user);
        shown.map(|(_, _, bundles)| bundles).or_else(|| self.people.get(user))
    }

    /// Heads of the rooms of a device behind one, as many as fit, and whether there are more.
    pub(super) fn heads_page(
        &self,
        index: usize,
        after: Option<&ConversationId>,
    ) -> (Vec<Head>, bool) {
        let mut heads = self.heads_of(index);
        heads.retain(|head| after.is_none_or(|after| head.cid > *after));
        heads.sort_by(|a, b| a.cid.cmp(&b.cid));
        let most = self.faults.heads_in_page.unwrap_or(usize::MAX);
        let more = heads.len() > most;
        heads.truncate(most);
        (heads, more)
    }

    pub(super) fn answer(&mut self, index: usize, message: &HubToClient) {
        self.peers[index].inbox.push_back(Transmit::Text(hub::write(message)));
    }

    pub(super) fn take(&mut self, index: usize, transmit: Transmit) {
        match transmit {
            Transmit::Text(text) => self.take_text(index, hub::read(&text).unwrap()),
            Transmit::Binary(bytes) => match Binary::decode(bytes).unwrap() {
                Binary::Frame(frame) => self.take_frame(index, frame),
                Binary::Upload(upload) => self.take_upload(index, upload),
                Binary::Delivery(_) => panic!("a device delivers nothing"),
            },
        }
    }

    fn take_text(&mut self, index: usize, message: ClientToHub) {
        match message {
            ClientToHub::Bundles { id, known, kids } => {
                self.bundles_asked += 1;
                let mut people = self.by_key(&kids);
                let is_gone = |user: &&UserName| self.faults.deleted.contains(user);
                let gone = known.keys().filter(is_gone).cloned().collect();
                let mut unknown = Vec::new();
                let mut more = false;
                for (user, held) in known {
                    let is_unknown = self.faults.unknown_to.contains(&(index, user.clone()));
                    let Some(bundles) = self.shown_of(index, &user).filter(|_| !is_unknown) else {
                        unknown.push(user);
                        continue;
                    };
                    let hides = self.faults.hides_keys.contains(&(index, user.clone()));
                    if hides || (held == held_of(self.now, bundles) && !self.faults.tells_all) {
                        continue;
                    }
                    more = people.len() == self.faults.people_in_page.unwrap_or(usize::MAX);
                    if more {
                        break;
                    }
                    let bundles = if self.faults.tells_all {
                        bundles.iter().collect()
                    } else {
                        live_of(self.now, bundles)
                    };
                    let bundles = bundles.iter().map(|b| B64Vec(b.bytes().to_vec()));
                    let person = people.entry(user).or_insert_with(nobody);
                    person.bundles.extend(bundles);
                }
                let answer = HubToClient::Bundles { id, people, unknown, gone, more };
                if self.faults.hold_bundles {
                    self.held_bundles.push((index, answer));
                } else {
                    self.answer(index, &answer);
                }
            }
            ClientToHub::Heads { id, after } => {
                let (heads, more) = self.heads_page(index, Some(&after));
                self.answer(index, &HubToClient::Heads { id: Some(id), heads, more });
            }
            ClientToHub::Counters { id, .. } => {
                let counters = self.faults.counters.clone();
                self.answer(index, &HubToClient::Counters { id, counters });
            }
            ClientToHub::Members { id, cid, from } => self.show_members(index, id, cid, from),
            ClientToHub::Rooms { id, .. } => {
                let rooms = self.rooms_of(index);
                self.answer(index, &HubToClient::Rooms { id, rooms, more: false });
            }
            ClientToHub::Find { id, .. } | ClientToHub::Share { id, .. }
                if take_one(&mut self.faults.busy_questions) =>
            {
                let why = "busy".to_owned();
                self.answer(index, &HubToClient::Retry { id, after_ms: 1_000, why });
            }
            ClientToHub::Find { id, .. } => {
                self.answer(index, &HubToClient::Found { id, offers: Vec::new(), more: false });
            }
            ClientToHub::Share { id, .. } => {
                self.answer(index, &HubToClient::Shared { id, offers: 0 });
            }
            ClientToHub::Seen { .. } => {}
            ClientToHub::Remind { id, bundles, links } => self.reminded(index, id, bundles, links),
            other => panic!("not expected: {other:?}"),
        }
    }

    fn show_members(&mut self, index: usize, id: MessageId, cid: ConversationId, from: u32) {
        let links = self.rooms.get(&cid).map(|(_, links)| links.clone());
        let mut links = links.unwrap_or_default();
        self.swap_links(index, &cid, &mut links);
        let links: Vec<_> = links.iter().take(self.shown_to(index, &cid)).collect();
        let links = links.get(usize::try_from(from).unwrap()..).unwrap_or_default();
        let more = links.len() > PAGE_ITEMS_MAX;
        let links = links.iter().take(PAGE_ITEMS_MAX).map(|link| B64Vec(link.to_vec()));
        let links = links.collect();
        let closed = self.faults.deletes_rooms;
        self.answer(index, &HubToClient::Members { id, cid, links, more, closed });
    }

    /// Whether an honest hub takes a bundle that somebody brings back: of the identity that it has for the name, of a
    /// device that it does not know or with a higher number.
    fn takes_reminded(&self, bundle: &Bundle) -> bool {
        let header = bundle.header();
        let known = self.people.get(&header.u).map(Vec::as_slice).unwrap_or_default();
        let is_newer =
            |known: &Bundle| known.header().dev != header.dev || known.header().seq < header.seq;
        let is_theirs = known.first().is_some_and(|known| known.identity() == bundle.identity());
        is_theirs && known.iter().all(is_newer)
    }

    /// Takes what the hub has forgotten: bundles that it does not know, links that go on.
    fn reminded(&mut self, index: usize, id: MessageId, bundles: Vec<B64Vec>, links: Vec<B64Vec>) {
        self.reminds_heard += 1;
        if take_one(&mut self.faults.puts_off_reminders) {
            let why = "too many".to_owned();
            return self.answer(index, &HubToClient::Retry { id, after_ms: 3_000, why });
        }
        if self.faults.holds_reminders {
            return;
        }
        self.reminders += 1;
        self.links_reminded += links.len();
        let answer = HubToClient::Reminded { id, bundles: 0, links: 0 };
        self.answer(index, &answer);
        if self.faults.forgets_reminders {
            return;
        }
        if self.faults.learns_devices && !bundles.is_empty() {
            self.faults.refuses_devices = None;
        }
        let mut users = Vec::new();
        for B64Vec(bytes) in bundles {
            let bundle = Bundle::verify(bytes.into()).unwrap();
            let user = bundle.header().u.clone();
            if self.takes_reminded(&bundle) {
                self.people.entry(user.clone()).or_default().push(bundle);
                users.push(user);
            }
        }
        if !users.is_empty() {
            users.sort_unstable();
            users.dedup();
            self.tell_all(&HubToClient::Keys { users });
        }
        for B64Vec(bytes) in links {
            let frame = RawFrame::decode(bytes.into()).unwrap();
            let Header::Member(link) = Header::parse(frame.header()).unwrap() else { continue };
            let Some(signer) = self.people.get(&link.from).map(|bundles| bundles[0].identity())
            else {
                continue;
            };
            let make = || (Membership::new(link.cid.clone()), Vec::new());
            let (room, links) = self.rooms.entry(link.cid.clone()).or_insert_with(make);
            if room.check(&link, signer).is_err() {
                continue;
            }
            room.apply(&link, frame.digest(label::MEMBER));
            links.push(frame.bytes().clone());
            let heads = vec![self.head(&link.cid)];
            for other in 0..self.peers.len() {
                if self.hears_of(other, &link) {
                    self.answer(
                        other,
                        &HubToClient::Heads { id: None, heads: heads.clone(), more: false },
                    );
                }
            }
        }
    }

    /// Swaps what is to be swapped for a device.
    fn swap_links(&self, index: usize, cid: &ConversationId, links: &mut [bytes::Bytes]) {
        for (who, room, first) in &self.faults.swaps {
            let first = usize::try_from(*first).unwrap();
            if *who == index && room == cid && first + 1 < links.len() {
                links.swap(first, first + 1);
            }
        }
    }

    /// How many links of a room a device is shown.
    fn shown_to(&self, index: usize, cid: &ConversationId) -> usize {
        let hides = self.faults.hides.iter();
        let ends = hides.filter(|(who, room, _)| *who == index && room == cid);
        ends.map(|(.., end)| usize::try_from(*end).unwrap()).min().unwrap_or(usize::MAX)
    }

    pub(super) fn ack(&mut self, index: usize, id: MessageId) {
        let position = u64::try_from(self.log.len()).unwrap();
        self.ack_at(index, id, position);
    }

    /// Something is kept at a position.
    fn ack_at(&mut self, index: usize, id: MessageId, position: u64) {
        let stage = HubStage::Stored;
        let position = position + self.faults.answers_above;
        // Answers and deliveries leave in the order of their positions.
        self.deliver(index);
        self.answer(index, &HubToClient::Ack { stage, id, position, kept: false });
    }

    fn take_frame(&mut self, index: usize, frame: RawFrame) {
        match Header::parse(frame.header()).unwrap() {
            Header::Member(link) if take_one(&mut self.faults.busy_links) => {
                let (id, why) = (link.id, "busy".to_owned());
                self.answer(index, &HubToClient::Retry { id, after_ms: 100, why });
            }
            Header::Member(link) => self.take_link(index, &frame, &link),
            Header::Key(key) if self.faults.refuses_devices.is_some() => {
                *self.faults.refuses_devices.as_mut().unwrap() += 1;
                self.pending = None;
                let head = Some(self.head(&key.cid));
                self.refuse(index, MessageId(key.eid.0), code::MEMBERS, head);
            }
            Header::Key(key) if self.faults.beaten_by.is_some() => {
                self.epochs_offered += 1;
                self.pending = None;
                let old = self.head(&key.cid);
                let invented = |g| Some(EpochHead { g, e: Digest(crypto::random()) });
                let epoch = match self.faults.beaten_by {
                    Some(Winner::Invented) => invented(key.g),
                    Some(Winner::Ahead) => invented(key.g + 7),
                    _ => old.epoch,
                };
                let is_named = self.faults.beaten_by != Some(Winner::Unnamed);
                let head = is_named.then_some(Head { epoch, ..old });
                self.refuse(index, MessageId(key.eid.0), code::EPOCH, head);
            }
            Header::Key(_) => {
                self.pending = Some(Pending { frame, members: Vec::new(), wraps: Vec::new() });
            }
            Header::Receipt(receipt) => self.take_receipt(index, &frame, &receipt),
            Header::Message(header) => self.take_message(index, &frame, &header),
        }
    }

    fn take_link(&mut self, index: usize, frame: &RawFrame, link: &MemberHeader) {
        let bytes = frame.bytes().clone();
        self.links_offered += 1;
        let digest = frame.digest(label::MEMBER);
        let signer = self.people[&link.from][0].identity();
        let cid = link.cid.clone();
        let make = || (Membership::new(cid.clone()), Vec::new());
        let (room, links) = self.rooms.entry(cid.clone()).or_insert_with(make);
        if links.contains(&bytes) && self.faults.refuses_kept_links {
            return self.refuse(index, link.id, code::NOT_ALLOWED, None);
        }
        if links.contains(&bytes) {
            // One that it was told again stands behind everything.
            let newest = u64::try_from(self.log.len()).unwrap();
            let position = self.placed.get(&digest).copied().unwrap_or(newest);
            return self.ack_at(index, link.id, position);
        }
        let comes_in = matches!(link.op, MemberOperation::Join | MemberOperation::Admit);
        if comes_in && room.holds(&link.who, &link.ik) {
            return self.refuse(index, link.id, code::NOT_ALLOWED, None);
        }
        if room.check(link, signer).is_err() {
            let head = Some(self.head(&cid));
            return self.refuse(index, link.id, code::MEMBERS, head);
        }
        room.apply(link, digest);
        links.push(bytes);
        self.placed.insert(digest, u64::try_from(self.log.len()).unwrap());
        self.close_for(link);
        if !self.faults.loses_link_answers {
            self.ack(index, link.id);
        }
        let heads = vec![self.head(&cid)];
        if self.quiet {
            return;
        }
        for other in (0..self.peers.len()).filter(|other| *other != index) {
            let end = self.shown_to(other, &cid);
            if !self.hears_of(other, link) || end <= usize::try_from(link.mg).unwrap() {
                continue;
            }
            self.answer(other, &HubToClient::Heads { id: None, heads: heads.clone(), more: false });
        }
    }

    /// Who has gone reads nothing more: the epoch that is for them is closed.
    fn close_for(&mut self, link: &MemberHeader) {
        let goes = matches!(link.op, MemberOperation::Remove | MemberOperation::Leave);
        if let Some((head, list)) = self.epochs.get(&link.cid).filter(|_| goes)
            && list.lines().iter().any(|line| line.name == link.who)
        {
            self.closed.insert(head.e);
        }
    }

    fn take_receipt(&mut self, index: usize, frame: &RawFrame, receipt: &ReceiptHeader) {
        let body = envelope::read_receipt(receipt, frame.body()).unwrap();
        self.receipts.extend(body.re);
        let devices = self.people.get(&receipt.to).into_iter().flatten();
        let recipients = devices.map(|b| (receipt.to.clone(), b.header().sk[0].kid)).collect();
        let hub_ms = self.now - self.faults.behind_ms;
        self.log.push(Entry { frame: frame.bytes().clone(), hub_ms, recipients, epoch: None });
        self.ack(index, receipt.id);
    }

    fn take_message(&mut self, index: usize, frame: &RawFrame, header: &MessageHeader) {
        let (id, bytes) = (header.id, frame.bytes().clone());
        self.seen.push(bytes.clone());
        let digest = frame.digest(label::MSG);
        let key = (header.from.clone(), header.cid.clone(), id);
        if let Some((_, known)) = self.stored.get(&key) {
            assert_eq!(*known, digest, "a resend is byte-identical");
            return self.answer_stored(index, id);
        }
        if take_one(&mut self.faults.busy) {
            let why = "busy".to_owned();
            return self.answer(index, &HubToClient::Retry { id, after_ms: 100, why });
        }
        let is_refused = self.faults.refuses_in.as_ref() == Some(&header.cid);
        if is_refused || take_one(&mut self.faults.refuse) {
            self.withheld.push(bytes);
            return self.refuse(index, id, code::STORAGE_FULL, None);
        }
        let current = self.epochs.get(&header.cid).map(|(head, _)| head.e);
        if std::mem::take(&mut self.close_next) {
            self.closed.insert(header.e);
        }
        let closed = self.closed.contains(&header.e) || current != Some(header.e);
        let closed = closed && !self.faults.takes_anything || self.faults.closes_all;
        if !closed {
            self.stored.insert(key, (0, digest));
        }
        if take_one(&mut self.faults.lose) {
            self.withheld.push(bytes);
        } else if !closed || self.faults.deliver_closed {
            let recipients = self.by_digest[&header.e]
                .lines()
                .iter()
                .map(|line| (line.name.clone(), line.sk))
                .filter(|line| (&line.0, line.1) != (&header.from, header.sk))
                .collect();
            self.log.push(Entry {
                frame: bytes,
                hub_ms: self.now - self.faults.behind_ms,
                recipients,
                epoch: None,
            });
        }
        assert_ne!(header.t, Tag::Key);
        if closed {
            let head = self.head(&header.cid);
            self.answer(index, &HubToClient::Rekey { id, head });
        } else {
            self.answer_stored(index, id);
        }
    }

    fn answer_stored(&mut self, index: usize, id: MessageId) {
        if self.faults.hold_answers {
            self.held.push((index, id));
        } else {
            self.ack(index, id);
        }
    }

    pub(super) fn refuse(&mut self, index: usize, id: MessageId, code: &str, head: Option<Head>) {
        let stage = if self.faults.refuses_requests { HubStage::Request } else { HubStage::Stored };
        let (id, code, reason) = (Some(id), code.to_owned(), "because".to_owned());
        let noack = HubToClient::Noack { stage, id, code, reason, head, time: None };
        self.answer(index, &noack);
    }

    /// Whether a list has the live devices of all members but of those who are left out, and no other.
    fn has_right_lines(&self, header: &KeyHeader, list: &MemberList) -> bool {
        let names = match header.cid.kind() {
            ConversationKind::Direct(a, b) => vec![a, b],
            _ => self.rooms.get(&header.cid).map(|(room, _)| room.names()).unwrap_or_default(),
        };
        let names = names.into_iter().filter(|name| !header.leaves_out(name));
        let bundles = names.filter_map(|name| self.people.get(&name));
        let live = bundles.flat_map(|bundles| live_of(self.now, bundles));
        let wanted = MemberList::new(live.filter_map(Bundle::member_line));
        wanted.hash() == list.hash()
    }

    fn take_upload(&mut self, index: usize, upload: Upload) {
        let Some(pending) = self.pending.as_mut() else { return };
        match upload {
            Upload::Members { bytes, .. } => pending.members.extend_from_slice(&bytes),
            Upload::Wraps { wraps, .. } => pending.wraps.extend(wraps),
        }
        let list = MemberList::parse(&pending.members).unwrap();
        if pending.wraps.len() < list.lines().len() {
            return;
        }
        self.epochs_offered += 1;
        let Pending { frame, wraps, .. } = self.pending.take().unwrap();
        let Header::Key(header) = Header::parse(frame.header()).unwrap() else {
            panic!("not a KEY")
        };
        let current = self.epochs.get(&header.cid).map(|(head, _)| *head);
        let next = current.map_or((0, Digest::ZERO), |head| (head.g + 1, head.e));
        let id = MessageId(header.eid.0);
        if self.faults.hold_keys {
            return;
        }
        let e = epoch::digest(&frame);
        if self.placed.contains_key(&e) {
            return self.answer_key(index, id, &header.cid, e);
        }
        if self.faults.has_no_room_for_keys {
            return self.refuse(index, id, code::STORAGE_FULL, None);
        }
        if self.faults.denies_keys {
            return self.refuse(index, id, code::NOT_ALLOWED, None);
        }
        if (header.g, header.pe) != next && !self.faults.takes_anything {
            let head = Some(self.head(&header.cid));
            return self.refuse(index, id, code::EPOCH, head);
        }
        if self.faults.counts_lines && !self.has_right_lines(&header, &list) {
            let head = Some(self.head(&header.cid));
            return self.refuse(index, id, code::MEMBERS, head);
        }
        let head = EpochHead { g: header.g, e };
        let recipients = list
            .lines()
            .iter()
            .map(|line| (line.name.clone(), line.sk))
            .filter(|line| (&line.0, line.1) != (&header.from, header.sk))
            .collect();
        self.by_digest.insert(head.e, list.clone());
        self.epochs.insert(header.cid.clone(), (head, list.clone()));
        let epoch = Some((list, wraps));
        let hub_ms = self.now - self.faults.behind_ms;
        self.log.push(Entry { frame: frame.bytes().clone(), hub_ms, recipients, epoch });
        self.placed.insert(e, u64::try_from(self.log.len()).unwrap());
        self.answer_key(index, id, &header.cid, e);
    }

    /// A KEY is kept; the answer may be lost, or a lie.
    fn answer_key(&mut self, index: usize, id: MessageId, cid: &ConversationId, e: Digest) {
        if self.faults.refuses_and_keeps {
            let head = Some(self.head(cid));
            self.refuse(index, id, code::EPOCH, head);
        } else if !self.faults.loses_key_answers {
            self.ack_at(index, id, self.placed[&e]);
        }
    }

    /// Gives every KEY to who has made it, too, as it gives it to the others.
    pub(crate) fn give_keys_back(&mut self) {
        for entry in self.log.iter_mut().filter(|entry| entry.epoch.is_some()) {
            let frame = RawFrame::decode(entry.frame.clone()).unwrap();
            let Header::Key(key) = Header::parse(frame.header()).unwrap() else { continue };
            entry.recipients.push((key.from, key.sk));
        }
    }
}
