//! What a hub that cheats does, and people who cheat with it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

use std::sync::Arc;

use bytes::Bytes;
use chat_endpoint::Device;
use chat_endpoint::store::MemoryStore;
use chat_protocol::content::{self, ChainNotes, Content};
use chat_protocol::crypto::{self, SigningKey, WrapKey};
use chat_protocol::envelope;
use chat_protocol::epoch::{self, EpochParameters};
use chat_protocol::frame::{Unsigned, sign_all};
use chat_protocol::header::{
    Canonical as _, MemberArgument, MemberHeader, MemberOperation, MessageHeader, Recipient,
};
use chat_protocol::hub::{Counter, EpochHead, Head};
use chat_protocol::id::{Digest, KeyId, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys, KeySizes};
use chat_protocol::members::{MemberLine, MemberList, Membership, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::ratchet::Chain;
use chat_protocol::tag::{Tag, label};
use chat_testkit::keys::keys;

use super::{Entry, TestHub, lobby, name};

/// What the hub does wrong, and how often.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(crate) struct Faults {
    /// Its clock has gone back by so many milliseconds since everybody signed in.
    pub(crate) behind_ms: u64,
    /// Every question for bundles is answered with all there are, whatever is held.
    pub(crate) tells_all: bool,
    /// Whom it says to a device that it does not know.
    pub(crate) unknown_to: Vec<(usize, UserName)>,
    /// These accounts were deleted by its operator.
    pub(crate) deleted: Vec<UserName>,
    /// Every room counts as deleted by its operator.
    pub(crate) deletes_rooms: bool,
    /// What it says of counters.
    pub(crate) counters: Vec<Counter>,
    /// The heads of rooms name a last link that nobody has signed.
    pub(crate) garbles_heads: bool,
    /// So many heads fit in an answer; nothing for all.
    pub(crate) heads_in_page: Option<usize>,
    /// Older bundles are not served by their keys.
    pub(crate) hides_kids: bool,
    /// So many people fit in an answer to a question for bundles; nothing for all.
    pub(crate) people_in_page: Option<usize>,
    /// So many of the next messages are answered as stored and delivered to nobody.
    pub(crate) lose: usize,
    /// So many of the next messages are refused for good.
    pub(crate) refuse: usize,
    /// Messages of this conversation are refused for good.
    pub(crate) refuses_in: Option<ConversationId>,
    /// Messages are refused as what was never looked at.
    pub(crate) refuses_requests: bool,
    /// A KEY is taken and its answer is held back for ever.
    pub(crate) hold_keys: bool,
    /// A KEY is taken and delivered, and its answer is lost.
    pub(crate) loses_key_answers: bool,
    /// Every KEY is refused, and shown as the current one.
    pub(crate) refuses_and_keeps: bool,
    /// Links are taken, and their answers are lost.
    pub(crate) loses_link_answers: bool,
    /// It does not say that all that waited has come.
    pub(crate) goes_never_live: bool,
    /// What it answers with lies so far above the position at which it has put it.
    pub(crate) answers_above: u64,
    /// A link that it has kept is refused when it is said again.
    pub(crate) refuses_kept_links: bool,
    /// There is no room for any KEY.
    pub(crate) has_no_room_for_keys: bool,
    /// Every KEY is refused for good.
    pub(crate) denies_keys: bool,
    /// So many of the next messages are answered with RETRY.
    pub(crate) busy: usize,
    /// So many of the next questions about files are answered with RETRY.
    pub(crate) busy_questions: usize,
    /// So many of the next links are answered with RETRY.
    pub(crate) busy_links: usize,
    /// The devices of every epoch are refused; counts how often.
    pub(crate) refuses_devices: Option<usize>,
    /// Every epoch has lost a race, and this one is named as the winner.
    pub(crate) beaten_by: Option<Winner>,
    /// They are refused no more when the hub was reminded of a bundle.
    pub(crate) learns_devices: bool,
    /// Frames in a closed epoch are delivered as well as answered with REKEY.
    pub(crate) deliver_closed: bool,
    /// What it hides: links of a room from this number on, from a device.
    pub(crate) hides: Vec<(usize, ConversationId, u32)>,
    /// The link of a room with this number and the one behind it are swapped for a device.
    pub(crate) swaps: Vec<(usize, ConversationId, u32)>,
    /// Whose newest bundles it hides from a device.
    pub(crate) hides_keys: Vec<(usize, UserName)>,
    /// Other bundles that it shows a device for a name.
    pub(crate) shows: Vec<(usize, UserName, Vec<Bundle>)>,
    /// Whom keys that are made by hand say that they leave out.
    pub(crate) forged_without: Vec<UserName>,
    /// It wants a line of every device of a member in a key, and no other, as an honest hub does.
    pub(crate) counts_lines: bool,
    /// Messages and keys of any epoch are taken, whoever may speak.
    pub(crate) takes_anything: bool,
    /// So many reminders are put off.
    pub(crate) puts_off_reminders: usize,
    /// What it is reminded of has no answer.
    pub(crate) holds_reminders: bool,
    /// What it is reminded of is thrown away.
    pub(crate) forgets_reminders: bool,
    /// Every message is answered with REKEY.
    pub(crate) closes_all: bool,
    /// So many times the wrap of a KEY is held back from everybody.
    pub(crate) lose_wraps: usize,
    /// Answers about bundles are given when [`TestHub::release_bundles`] is called.
    pub(crate) hold_bundles: bool,
    /// Messages are answered as stored when [`TestHub::release`] is called.
    pub(crate) hold_answers: bool,
}

/// What the hub says to who has lost a race for an epoch that it has made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Winner {
    /// Nothing.
    Unnamed,
    /// One that nobody has made, in the place of the loser.
    Invented,
    /// One that nobody has made, further on.
    Ahead,
    /// The one before.
    Old,
}

/// What becomes of one delivery to one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Good,
    Lost,
    Twice,
    /// After the next one; a KEY is never late.
    Late,
    /// With one bit changed, in the byte at this place modulo the length.
    Altered(usize),
    /// A KEY whose wrapped key is damaged; other frames are good.
    BadWrap,
}

/// Says what becomes of a frame on its way to the device of that number.
pub(crate) type Rule = Box<dyn FnMut(usize, &[u8]) -> Fate>;

/// What a hub had at some time.
pub(crate) struct Snapshot {
    log: Vec<Entry>,
    rooms: std::collections::HashMap<ConversationId, (Membership, Vec<Bytes>)>,
    epochs: std::collections::HashMap<ConversationId, (EpochHead, MemberList)>,
    stored: std::collections::HashMap<(UserName, ConversationId, MessageId), (u64, Digest)>,
}

/// Somebody who seals what no device would seal, in an epoch of the lobby of their own making.
#[derive(Clone)]
pub(crate) struct Forger {
    cid: ConversationId,
    user: UserName,
    keys: Arc<DeviceKeys>,
    pub(crate) head: EpochHead,
    chain: Chain,
    /// What the next frame names as the one before it.
    pub(crate) p: Digest,
}

impl Forger {
    pub(crate) fn seal(&mut self, text: &str, notes: &ChainNotes) -> Bytes {
        let content = Content::Text(text.to_owned());
        self.seal_as((Tag::Text, Recipient::Everyone), &content, notes)
    }

    /// Something to one person, in a direct conversation.
    pub(crate) fn tell(&mut self, t: Tag, to: &UserName, content: &Content) -> Bytes {
        self.seal_as((t, Recipient::User(to.clone())), content, &ChainNotes::default())
    }

    fn seal_as(
        &mut self,
        (t, to): (Tag, Recipient),
        content: &Content,
        notes: &ChainNotes,
    ) -> Bytes {
        let (n, key) = self.chain.advance();
        let header = MessageHeader {
            v: 1,
            t,
            stage: None,
            cid: self.cid.clone(),
            from: self.user.clone(),
            sk: self.keys.signing_id(),
            to,
            id: MessageId(crypto::random()),
            e: self.head.e,
            n,
            p: self.p,
            ts: 1_790_000_000_000,
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        };
        let plaintext = content::encode(content, notes);
        let frame = envelope::seal(&header, &key, crypto::random(), &plaintext);
        self.p = frame.digest();
        sign_all(&self.keys.signing, &[frame]).remove(0)
    }

    /// A text that says nothing about the chain.
    pub(crate) fn text(&mut self, text: &str) -> Bytes {
        self.seal(text, &ChainNotes::default())
    }
}

impl TestHub {
    /// Delivers a frame to one device, at the end of the log.
    pub(crate) fn hand(&mut self, index: usize, frame: &Bytes) {
        let recipients = vec![self.device_of(index)];
        self.log.push(Entry { frame: frame.clone(), hub_ms: self.now, recipients, epoch: None });
    }

    /// Delivers the newest KEY to one device again.
    pub(crate) fn repeat_key(&mut self, index: usize) {
        let newest = self.log.iter().rfind(|entry| entry.epoch.is_some()).cloned().unwrap();
        self.log.push(Entry { recipients: vec![self.device_of(index)], ..newest });
    }

    pub(super) fn device_of(&self, index: usize) -> (UserName, KeyId) {
        let device = self.peers[index].endpoint.device();
        (device.user.clone(), device.keys.signing_id())
    }

    /// Gives the answers that were held back, and holds none from now on.
    pub(crate) fn release(&mut self) {
        self.faults.hold_answers = false;
        for (index, id) in std::mem::take(&mut self.held) {
            self.ack(index, id);
        }
    }

    /// Gives the answers about bundles, and holds none from now on.
    pub(crate) fn release_bundles(&mut self) {
        self.faults.hold_bundles = false;
        for (index, answer) in std::mem::take(&mut self.held_bundles) {
            self.answer(index, &answer);
        }
    }

    /// The same, the newest first.
    pub(crate) fn release_backwards(&mut self) {
        self.held.reverse();
        self.release();
    }

    /// Puts a device's state back to an older one; it has no connection then.
    pub(crate) fn restore(&mut self, index: usize, older: MemoryStore) {
        self.peers[index].store = older;
        self.reopen(index);
    }

    /// Takes a user out of the lobby by the user's own signature, and tells nobody.
    pub(crate) fn leave(&mut self, index: usize) {
        self.link_by(index, MemberOperation::Leave);
    }

    /// The same back into it.
    pub(crate) fn come_back(&mut self, index: usize) {
        self.link_by(index, MemberOperation::Join);
    }

    /// The frames of the log that are for a device.
    pub(crate) fn frames_for(&self, index: usize) -> Vec<Bytes> {
        let device = self.device_of(index);
        let entries = self.log.iter().filter(|entry| entry.recipients.contains(&device));
        entries.map(|entry| entry.frame.clone()).collect()
    }

    fn link_by(&mut self, index: usize, op: MemberOperation) {
        let device = self.peers[index].endpoint.device().clone();
        let cid = ConversationId::room(&lobby());
        let (room, links) = self.rooms.get_mut(&cid).unwrap();
        let link = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid,
            from: device.user.clone(),
            sk: device.keys.signing_id(),
            op,
            who: device.user,
            ik: device.bundle.identity(),
            arg: MemberArgument::None,
            mg: room.next(),
            pm: room.head(),
            id: MessageId(crypto::random()),
            ts: self.now,
        };
        let frame = Unsigned::new(label::MEMBER, link.to_bytes(), Vec::new());
        room.apply(&link, frame.digest());
        links.push(sign_all(&device.keys.signing, &[frame]).remove(0));
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let (log, epochs) = (self.log.clone(), self.epochs.clone());
        Snapshot { log, rooms: self.rooms.clone(), epochs, stored: self.stored.clone() }
    }

    /// Puts the hub back to what it had; everybody connects anew.
    pub(crate) fn roll_back(&mut self, older: &Snapshot) {
        self.put_back(older);
        for index in 0..self.peers.len() {
            self.connect(index);
        }
    }

    /// Puts back what the hub had of one conversation's epochs; everybody connects anew.
    pub(crate) fn roll_back_epoch(&mut self, older: &Snapshot, cid: &ConversationId) {
        self.epochs.insert(cid.clone(), older.epochs[cid].clone());
        for index in 0..self.peers.len() {
            self.disconnect(index);
            self.connect(index);
        }
    }

    /// Shows a device the epoch that a room had as its current one.
    pub(crate) fn show_epoch(&mut self, index: usize, older: &Snapshot, text: &str) {
        let cid = ConversationId::room(&super::room(text));
        let epoch = Some(older.epochs[&cid].0);
        let head = Some(Head { epoch, ..self.head(&cid) });
        self.refuse(index, MessageId(crypto::random()), chat_protocol::code::MEMBERS, head);
        self.run();
    }

    /// Puts the hub back; nobody has come back yet.
    pub(crate) fn put_back(&mut self, older: &Snapshot) {
        self.log.clone_from(&older.log);
        self.rooms.clone_from(&older.rooms);
        self.epochs.clone_from(&older.epochs);
        self.stored.clone_from(&older.stored);
        let newest = u64::try_from(self.log.len()).unwrap();
        self.placed.retain(|_, position| *position <= newest);
        self.closed.clear();
        for index in 0..self.peers.len() {
            self.disconnect(index);
        }
    }

    /// Appends a link to a room's chain that a device's user signs, as if they had asked for it.
    pub(crate) fn sign_link(
        &mut self,
        index: usize,
        text: &str,
        (op, arg): (MemberOperation, MemberArgument),
        who: usize,
    ) {
        let device = self.peers[index].endpoint.device().clone();
        let other = self.peers[who].endpoint.device().clone();
        let cid = ConversationId::room(&super::room(text));
        let (room, links) = self.rooms.get_mut(&cid).unwrap();
        let link = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid,
            from: device.user,
            sk: device.keys.signing_id(),
            op,
            who: other.user,
            ik: other.bundle.identity(),
            arg,
            mg: room.next(),
            pm: room.head(),
            id: MessageId(crypto::random()),
            ts: self.now,
        };
        let frame = Unsigned::new(label::MEMBER, link.to_bytes(), Vec::new());
        room.apply(&link, frame.digest());
        links.push(sign_all(&device.keys.signing, &[frame]).remove(0));
    }

    /// The newest epoch of the lobby and who it is for.
    pub(crate) fn newest_epoch(&self) -> (EpochHead, MemberList) {
        self.epochs[&ConversationId::room(&lobby())].clone()
    }
}

impl TestHub {
    /// Offers keys of the hub's own for a user from now on.
    pub(crate) fn swap_identity(&mut self, text: &str) {
        let options = BundleOptions::default();
        let bundle = keys(2).publish(&name(text), Nonce16([7; 16]), None, self.now, options);
        self.people.entry(name(text)).or_default().push(bundle.unwrap());
    }

    /// Shows one device keys of the hub's own for a user.
    pub(crate) fn swap_for(&mut self, text: &str, index: usize) {
        let options = BundleOptions::default();
        let bundle = keys(2).publish(&name(text), Nonce16([7; 16]), None, self.now, options);
        self.faults.shows.push((index, name(text), vec![bundle.unwrap()]));
    }

    /// Offers keys of the hub's own for a user, and not the user's.
    pub(crate) fn replace_people(&mut self, text: &str) {
        self.people.remove(&name(text));
        self.swap_identity(text);
    }

    /// Knows nobody of this name any more.
    pub(crate) fn forget(&mut self, text: &str) {
        self.people.remove(&name(text));
    }

    /// Gives a name to somebody else, with a new device; the operator's word is enough for that.
    pub(crate) fn give_name(&mut self, text: &str) -> usize {
        let is_theirs = |peer: &super::Peer| peer.endpoint.device().user == name(text);
        let before = self.peers.iter().position(is_theirs).unwrap();
        self.disconnect(before);
        let bundles = self.people.remove(&name(text)).unwrap();
        self.former.entry(name(text)).or_default().extend(bundles);
        let index = self.add(text);
        self.run();
        index
    }

    /// What is offered for a name.
    pub(crate) fn offered(&self, text: &str) -> Vec<Bundle> {
        self.people[&name(text)].clone()
    }

    /// Offers these bundles for a name from now on.
    pub(crate) fn offer(&mut self, text: &str, bundles: Vec<Bundle>) {
        self.people.insert(name(text), bundles);
    }

    /// Offers what one user has published for another name too.
    pub(crate) fn also_called(&mut self, text: &str, other: &str) {
        let bundles = self.people[&name(text)].clone();
        self.people.insert(name(other), bundles);
    }

    /// Publishes another first bundle of a device, signed by its identity.
    pub(crate) fn fork_first_bundle(&mut self, index: usize) {
        let device = self.peers[index].endpoint.device().clone();
        let (at, options) = (self.now + 1, BundleOptions::default());
        let bundle = device.keys.publish(&device.user, device.dev, None, at, options).unwrap();
        self.people.entry(device.user).or_default().push(bundle);
    }

    /// Gives a device a new encryption key and publishes it.
    pub(crate) fn rotate(&mut self, index: usize) {
        let keys = &self.peers[index].endpoint.device().keys;
        let keys = keys.with_new_encryption_key(self.now).unwrap();
        self.publish(index, keys, vec![]);
    }

    /// Gives a device a new signing key; the old one is revoked.
    pub(crate) fn replace_signing_key(&mut self, index: usize) {
        let keys = Arc::clone(&self.peers[index].endpoint.device().keys);
        let signing = DeviceKeys::generate(KeySizes::EMULATED).unwrap().signing;
        self.publish(index, keys.with_signing_key(signing).unwrap(), vec![keys.signing_id()]);
    }

    /// Publishes a second device of a device's user; returns its signing key.
    pub(crate) fn add_second_device(&mut self, index: usize) -> KeyId {
        let first = self.peers[index].endpoint.device();
        let identity = SigningKey::from_pkcs8(&first.keys.identity.to_pkcs8()).unwrap();
        let keys = DeviceKeys { identity, ..DeviceKeys::generate(KeySizes::EMULATED).unwrap() };
        let (dev, options) = (Nonce16([6; 16]), BundleOptions::default());
        let bundle = keys.publish(&first.user, dev, None, self.now, options).unwrap();
        self.people.get_mut(&first.user).unwrap().push(bundle);
        keys.signing_id()
    }

    /// Publishes that a key is revoked, by a device that keeps its own.
    pub(crate) fn revoke(&mut self, index: usize, revoked: KeyId) {
        let keys = &self.peers[index].endpoint.device().keys;
        let signing = SigningKey::from_pkcs8(&keys.signing.to_pkcs8()).unwrap();
        let keys = keys.with_signing_key(signing).unwrap();
        self.publish(index, keys, vec![revoked]);
    }

    fn publish(&mut self, index: usize, keys: DeviceKeys, rev: Vec<KeyId>) {
        let device = self.peers[index].endpoint.device().clone();
        // What accepts commands does so with its new keys, too.
        let rb = device.bundle.header().rb;
        let options = BundleOptions { rev, rb, ..BundleOptions::default() };
        let previous = Some(&*device.bundle);
        let bundle = keys.publish(&device.user, device.dev, previous, self.now, options).unwrap();
        self.people.entry(device.user.clone()).or_default().push(bundle.clone());
        let device = Device { keys: Arc::new(keys), bundle: Arc::new(bundle), ..device };
        self.peers[index].endpoint.replace_device(device);
    }
}

impl TestHub {
    /// Makes up an account with keys of the hub's own; returns its line.
    pub(super) fn make_up(&mut self, text: &str) -> MemberLine {
        let (user, options) = (name(text), BundleOptions::default());
        let bundle = keys(2).publish(&user, Nonce16([8; 16]), None, self.now, options).unwrap();
        let line = bundle.member_line().unwrap();
        self.people.insert(user, vec![bundle]);
        line
    }

    /// Hands a device a key for the lobby by an account that the hub has made up, with that account
    /// in the list.
    pub(crate) fn forge_key(&mut self, text: &str, victim: usize) {
        let ghost = self.make_up(text);
        let user = self.peers[victim].endpoint.device().user.clone();
        let line = self.people[&user].first().and_then(Bundle::member_line).unwrap();
        let list = MemberList::new([ghost, line]);
        let (_, entry) = self.forge(ConversationId::room(&lobby()), (name(text), keys(2)), list);
        self.log.push(Entry { recipients: vec![self.device_of(victim)], ..entry });
    }

    /// Makes a device's user the newest epoch's maker by hand. A ghost is an account that the hub
    /// has made up and that the maker puts into the list.
    pub(crate) fn forge_epoch(&mut self, maker: usize, ghost: Option<&str>) -> Forger {
        let ghost = ghost.map(|text| self.make_up(text));
        let cid = ConversationId::room(&lobby());
        let people = self.rooms[&cid].0.members().keys();
        let lines = people.filter_map(|user| self.people[user].last()?.member_line());
        let list = MemberList::new(lines.chain(ghost));
        let device = self.peers[maker].endpoint.device().clone();
        let (forger, entry) = self.forge(cid.clone(), (device.user, device.keys), list.clone());
        self.by_digest.insert(forger.head.e, list.clone());
        self.epochs.insert(cid, (forger.head, list));
        self.log.push(entry);
        forger
    }

    /// Hands the devices at these places an epoch of a conversation, made by the first of them for all of them.
    pub(crate) fn forge_for(&mut self, cid: ConversationId, devices: &[usize]) -> Forger {
        let device = |index: &usize| self.peers[*index].endpoint.device().clone();
        let lines = devices.iter().filter_map(|index| device(index).bundle.member_line());
        let (maker, list) = (device(&devices[0]), MemberList::new(lines));
        let (forger, entry) = self.forge(cid, (maker.user, maker.keys), list);
        self.log.push(entry);
        forger
    }

    /// An epoch of a conversation after the newest one, for exactly these devices.
    fn forge(
        &self,
        cid: ConversationId,
        (user, keys): (UserName, Arc<DeviceKeys>),
        list: MemberList,
    ) -> (Forger, Entry) {
        let wrap = |line: &MemberLine| {
            let published = self.people[&line.name].iter().flat_map(|b| &b.header().ek);
            let key = published.into_iter().find(|key| key.kid == line.ek).unwrap();
            WrapKey::from_spki(&key.spki).unwrap()
        };
        let wrap_keys: Vec<_> = list.lines().iter().map(wrap).collect();
        let sk = keys.signing_id();
        let previous = self.epochs.get(&cid).map(|(head, _)| *head);
        let from = user.clone();
        let place = self.rooms.get(&cid).map_or(Place::START, |(room, _)| room.place());
        let (left_out, ts) = (self.faults.forged_without.clone(), self.now);
        let of = cid.clone();
        let parameters = EpochParameters { cid: of, from, sk, previous, place, left_out, ts };
        let key = zeroize::Zeroizing::new(crypto::random());
        let eid = Nonce16(crypto::random());
        let new = epoch::create(parameters, &list, &wrap_keys, &key, eid).unwrap();
        let own = list.position(&user, &sk).and_then(|line| new.chains.get(line)).unwrap();
        let (chain, head) = (Chain::new(own), new.head);
        let frame = sign_all(&keys.signing, &[new.frame]).remove(0);
        let lines = list.lines().iter().filter(|line| line.sk != sk);
        let recipients = lines.map(|line| (line.name.clone(), line.sk)).collect();
        let wraps = new.wraps.into_iter().map(Bytes::from).collect();
        let entry = Entry { frame, hub_ms: self.now, recipients, epoch: Some((list, wraps)) };
        (Forger { cid, user, keys, head, chain, p: Digest::ZERO }, entry)
    }
}
