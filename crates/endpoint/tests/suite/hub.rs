//! A hub in memory, with a clock and faults that tests choose.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use chat_endpoint::store::memory::MemoryStore;
use chat_endpoint::{BundleCache, Device, Endpoint, Event, Step, Transmit};
use chat_protocol::b64::B64Vec;
use chat_protocol::crypto::WrapKey;
use chat_protocol::epoch::EpochParameters;
use chat_protocol::frame::{Binary, Delivery, RawFrame, Upload, sign_all};
use chat_protocol::handshake::SignedIn;
use chat_protocol::header::Header;
use chat_protocol::hub::{
    self, ClientToHub, EpochHead, Head, HubStage, HubToClient, PersonBundles,
};
use chat_protocol::id::{Digest, KeyId, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys, KeySizes};
use chat_protocol::members::{MemberLine, MemberList, Membership};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::{Tag, label};
use chat_protocol::{code, epoch};

/// Keys are slow to make and may be the same in every test.
static KEYS: LazyLock<Vec<Arc<DeviceKeys>>> = LazyLock::new(|| {
    (0..4).map(|_| Arc::new(DeviceKeys::generate(KeySizes::EMULATED).unwrap())).collect()
});

/// The hub's own keys come last.
fn hub_keys() -> Arc<DeviceKeys> {
    Arc::clone(&KEYS[3])
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

pub(crate) fn lobby() -> RoomName {
    RoomName::lobby()
}

/// What a frame in the log is for.
struct Entry {
    frame: Bytes,
    /// Names and signing keys that get it.
    recipients: Vec<(UserName, KeyId)>,
    /// Member lines and wraps of a KEY.
    epoch: Option<(MemberList, Vec<Bytes>)>,
}

struct Pending {
    frame: RawFrame,
    members: Vec<u8>,
    wraps: Vec<Bytes>,
}

/// Changes the bytes of a frame.
type Tamper = fn(&[u8]) -> Vec<u8>;

pub(crate) struct Peer {
    pub(crate) endpoint: Endpoint,
    pub(crate) store: MemoryStore,
    pub(crate) events: Vec<Event>,
    pub(crate) connected: bool,
    inbox: VecDeque<Transmit>,
    next: usize,
}

pub(crate) struct TestHub {
    pub(crate) now: u64,
    pub(crate) peers: Vec<Peer>,
    people: BTreeMap<UserName, Vec<Bundle>>,
    rooms: HashMap<ConversationId, (Membership, Vec<Bytes>)>,
    epochs: HashMap<ConversationId, (EpochHead, MemberList)>,
    by_digest: HashMap<Digest, MemberList>,
    stored: HashMap<(UserName, ConversationId, MessageId), (u64, Digest)>,
    log: Vec<Entry>,
    pending: Option<Pending>,
    bundle: Bundle,
    /// Close the epoch of the next message: it and all later ones in it get REKEY.
    pub(crate) close_next: bool,
    closed: Option<Digest>,
    /// Tell nobody of joins.
    pub(crate) quiet: bool,
    /// Frames of messages as they came from the devices.
    pub(crate) seen: Vec<Bytes>,
    /// Changes a frame before it is delivered.
    pub(crate) tamper: Option<Tamper>,
}

impl TestHub {
    pub(crate) fn new() -> Self {
        let options = BundleOptions::default();
        let bundle =
            hub_keys().publish(&UserName::server(), Nonce16([9; 16]), None, 1, options).unwrap();
        Self {
            now: 1_790_000_000_000,
            peers: Vec::new(),
            people: BTreeMap::new(),
            rooms: HashMap::new(),
            epochs: HashMap::new(),
            by_digest: HashMap::new(),
            stored: HashMap::new(),
            log: Vec::new(),
            pending: None,
            bundle,
            close_next: false,
            quiet: false,
            closed: None,
            seen: Vec::new(),
            tamper: None,
        }
    }

    /// A hub with these people signed in; those whose name begins with `m` accept commands.
    pub(crate) fn with(names: &[&str]) -> Self {
        let mut hub = Self::new();
        for text in names {
            hub.add(text);
        }
        hub.run();
        hub
    }

    pub(crate) fn add(&mut self, text: &str) -> usize {
        let index = self.peers.len();
        let user = name(text);
        let rb = text.starts_with('m').then_some(Nonce16([5; 16]));
        let dev = Nonce16([u8::try_from(index).unwrap(); 16]);
        let options = BundleOptions { rb, ..BundleOptions::default() };
        let keys = Arc::clone(&KEYS[index]);
        let bundle = keys.publish(&user, dev, None, self.now, options).unwrap();
        self.people.entry(user.clone()).or_default().push(bundle.clone());
        let server = self.bundle.identity();
        let device = Device { user, dev, server, keys, bundle: Arc::new(bundle) };
        let endpoint =
            Endpoint::new(device, &Vec::new(), Arc::new(BundleCache::default())).unwrap();
        self.peers.push(Peer {
            endpoint,
            store: MemoryStore::default(),
            events: Vec::new(),
            connected: false,
            inbox: VecDeque::new(),
            next: 0,
        });
        self.connect(index);
        index
    }

    pub(crate) fn connect(&mut self, index: usize) {
        let heads = [RoomName::lobby(), RoomName::all()]
            .map(|room| self.head(&ConversationId::room(&room)))
            .into();
        let signed_in = SignedIn { time: self.now, heads, counters: vec![], vault: None };
        let peer = &mut self.peers[index];
        peer.connected = true;
        peer.endpoint.connected(self.now, &signed_in, &self.bundle).unwrap();
        self.redeliver(index);
    }

    pub(crate) fn disconnect(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.connected = false;
        peer.inbox.clear();
        peer.endpoint.disconnected();
    }

    /// Replaces a device's process by one that knows only what was committed.
    pub(crate) fn restart(&mut self, index: usize) {
        self.disconnect(index);
        let peer = &mut self.peers[index];
        let device = peer.endpoint.device().clone();
        let rows = peer.store.rows();
        peer.endpoint = Endpoint::new(device, &rows, Arc::new(BundleCache::default())).unwrap();
        self.connect(index);
    }

    /// Everything from the start again, as after a crash before the cursor moved.
    pub(crate) fn redeliver(&mut self, index: usize) {
        self.peers[index].next = 0;
    }

    fn head(&self, cid: &ConversationId) -> Head {
        let room = self.rooms.get(cid);
        Head {
            cid: cid.clone(),
            mg: room.map_or(0, |(room, _)| room.next()),
            pm: room.map_or(Digest::ZERO, |(room, _)| room.head()),
            epoch: self.epochs.get(cid).map(|(head, _)| *head),
        }
    }

    /// Runs until nobody has anything to say and no deadline of the next minute is left.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            if self.turn() {
                continue;
            }
            let deadlines = self.peers.iter().filter_map(|peer| peer.endpoint.next_deadline());
            let Some(next) = deadlines.min() else { return };
            self.now = self.now.max(next);
            let now = self.now;
            self.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
        }
        panic!("the devices never come to rest");
    }

    /// One round over all devices; whether anything happened.
    pub(crate) fn turn(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.peers.len() {
            self.deliver(index);
            let now = self.now;
            let peer = &mut self.peers[index];
            while let Some(message) = peer.inbox.pop_front() {
                match message {
                    Transmit::Text(text) => peer.endpoint.handle_text(now, &text),
                    Transmit::Binary(bytes) => peer.endpoint.handle_binary(now, bytes),
                }
                busy = true;
            }
            let Step { changes, transmits, events } = peer.endpoint.finish(now);
            peer.store.commit(changes);
            busy |= !transmits.is_empty() || !events.is_empty();
            for notification in events {
                peer.events.push(notification.event);
                if let Some(key) = notification.key {
                    peer.endpoint.consumed(key);
                }
            }
            if peer.connected {
                for transmit in transmits {
                    self.take(index, transmit);
                }
            }
        }
        busy
    }

    fn deliver(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if !peer.connected {
            return;
        }
        let me = (peer.endpoint.device().user.clone(), peer.endpoint.device().keys.signing_id());
        while let Some(entry) = self.log.get(peer.next) {
            peer.next += 1;
            if !entry.recipients.contains(&me) {
                continue;
            }
            let position = u64::try_from(peer.next).unwrap();
            let bytes = self.tamper.map_or_else(|| entry.frame.to_vec(), |f| f(&entry.frame));
            let message = Delivery::encode(position, self.now, &bytes);
            peer.inbox.push_back(Transmit::Binary(message));
            if let Some((members, wraps)) = &entry.epoch {
                let e = Digest(chat_protocol::crypto::sha256(
                    RawFrame::decode(entry.frame.clone()).unwrap().header(),
                ));
                let line = members.position(&me.0, &me.1).unwrap();
                let first = u16::try_from(line).unwrap();
                let parts = Upload::split(e, members.as_bytes(), &[]);
                peer.inbox.extend(parts.into_iter().map(Transmit::Binary));
                let wrap = Upload::Wraps { e, first, wraps: vec![wraps[line].clone()] };
                peer.inbox.push_back(Transmit::Binary(wrap.encode()));
            }
        }
    }

    fn answer(&mut self, index: usize, message: &HubToClient) {
        self.peers[index].inbox.push_back(Transmit::Text(hub::write(message)));
    }

    fn take(&mut self, index: usize, transmit: Transmit) {
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
            ClientToHub::Bundles { id, known } => {
                let mut people = BTreeMap::new();
                let mut unknown = Vec::new();
                for (user, version) in known {
                    let Some(bundles) = self.people.get(&user) else {
                        unknown.push(user);
                        continue;
                    };
                    let held = usize::try_from(version).unwrap();
                    let newer: Vec<_> =
                        bundles[held..].iter().map(|b| B64Vec(b.bytes().to_vec())).collect();
                    if !newer.is_empty() {
                        let version = u32::try_from(bundles.len()).unwrap();
                        people.insert(user, PersonBundles { version, bundles: newer });
                    }
                }
                self.answer(index, &HubToClient::Bundles { id, people, unknown });
            }
            ClientToHub::Members { id, cid, from } => {
                let links = self.rooms.get(&cid).map(|(_, links)| links.clone());
                let links = links.unwrap_or_default()[usize::try_from(from).unwrap()..]
                    .iter()
                    .map(|link| B64Vec(link.to_vec()))
                    .collect();
                self.answer(index, &HubToClient::Members { id, cid, links, more: false });
            }
            ClientToHub::Seen { .. } => {}
            other => panic!("not expected: {other:?}"),
        }
    }

    fn ack(&mut self, index: usize, id: MessageId) {
        let position = u64::try_from(self.log.len()).unwrap();
        let stage = HubStage::Stored;
        self.answer(index, &HubToClient::Ack { stage, id, position, kept: false });
    }

    fn take_frame(&mut self, index: usize, frame: RawFrame) {
        let bytes = frame.bytes().clone();
        match Header::parse(frame.header()).unwrap() {
            Header::Member(link) => {
                let digest = frame.digest(label::MEMBER);
                let signer = self.people[&link.from][0].identity();
                let cid = link.cid.clone();
                let make = || (Membership::new(cid.clone()), Vec::new());
                let (room, links) = self.rooms.entry(cid.clone()).or_insert_with(make);
                if room.check(&link, signer).is_err() {
                    let head = Some(self.head(&cid));
                    return self.refuse(index, link.id, code::MEMBERS, head);
                }
                room.apply(&link, digest);
                links.push(bytes);
                self.ack(index, link.id);
                let heads = vec![self.head(&cid)];
                if self.quiet {
                    return;
                }
                for other in (0..self.peers.len()).filter(|other| *other != index) {
                    self.answer(other, &HubToClient::Heads { heads: heads.clone() });
                }
            }
            Header::Key(_) => {
                self.pending = Some(Pending { frame, members: Vec::new(), wraps: Vec::new() });
            }
            Header::Receipt(receipt) => {
                let recipients = self.people[&receipt.to]
                    .iter()
                    .map(|b| (receipt.to.clone(), b.header().sk[0].kid))
                    .collect();
                self.log.push(Entry { frame: bytes, recipients, epoch: None });
                self.ack(index, receipt.id);
            }
            Header::Message(header) => {
                self.seen.push(bytes.clone());
                let digest = frame.digest(label::MSG);
                let key = (header.from.clone(), header.cid.clone(), header.id);
                if let Some((_, known)) = self.stored.get(&key) {
                    assert_eq!(*known, digest, "a resend is byte-identical");
                    return self.ack(index, header.id);
                }
                let current = self.epochs.get(&header.cid).map(|(head, _)| head.e);
                if std::mem::take(&mut self.close_next) {
                    self.closed = Some(header.e);
                }
                if self.closed == Some(header.e) || current != Some(header.e) {
                    let head = self.head(&header.cid);
                    return self.answer(index, &HubToClient::Rekey { id: header.id, head });
                }
                let recipients = self.by_digest[&header.e]
                    .lines()
                    .iter()
                    .map(|line| (line.name.clone(), line.sk))
                    .filter(|line| line.1 != header.sk)
                    .collect();
                self.stored.insert(key, (0, digest));
                self.log.push(Entry { frame: bytes, recipients, epoch: None });
                assert_ne!(header.t, Tag::Key);
                self.ack(index, header.id);
            }
        }
    }

    fn refuse(&mut self, index: usize, id: MessageId, code: &str, head: Option<Head>) {
        let (stage, id, code, reason) =
            (HubStage::Stored, Some(id), code.to_owned(), "because".to_owned());
        let noack = HubToClient::Noack { stage, id, code, reason, head, time: None };
        self.answer(index, &noack);
    }

    fn take_upload(&mut self, index: usize, upload: Upload) {
        let pending = self.pending.as_mut().expect("a KEY came first");
        match upload {
            Upload::Members { bytes, .. } => pending.members.extend_from_slice(&bytes),
            Upload::Wraps { wraps, .. } => pending.wraps.extend(wraps),
        }
        let list = MemberList::parse(&pending.members).unwrap();
        if pending.wraps.len() < list.lines().len() {
            return;
        }
        let Pending { frame, wraps, .. } = self.pending.take().unwrap();
        let Header::Key(header) = Header::parse(frame.header()).unwrap() else {
            panic!("not a KEY")
        };
        let current = self.epochs.get(&header.cid).map(|(head, _)| *head);
        let next = current.map_or((0, Digest::ZERO), |head| (head.g + 1, head.e));
        let id = MessageId(header.eid.0);
        if (header.g, header.pe) != next {
            let head = Some(self.head(&header.cid));
            return self.refuse(index, id, code::EPOCH, head);
        }
        let head = EpochHead { g: header.g, e: epoch::digest(&frame) };
        let recipients = list
            .lines()
            .iter()
            .map(|line| (line.name.clone(), line.sk))
            .filter(|line| line.1 != header.sk)
            .collect();
        self.by_digest.insert(head.e, list.clone());
        self.epochs.insert(header.cid.clone(), (head, list.clone()));
        let epoch = Some((list, wraps));
        self.log.push(Entry { frame: frame.bytes().clone(), recipients, epoch });
        self.ack(index, id);
    }

    /// Texts that a device was shown.
    pub(crate) fn texts(&self, index: usize) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Message { from, text, .. } => Some(format!("{from}: {text}")),
            _ => None,
        };
        self.peers[index].events.iter().filter_map(text).collect()
    }

    /// How many events of a device fit.
    pub(crate) fn count(&self, index: usize, fits: impl Fn(&Event) -> bool) -> usize {
        self.peers[index].events.iter().filter(|event| fits(event)).count()
    }
}

impl TestHub {
    /// Offers keys of the hub's own for a user from now on.
    pub(crate) fn swap_identity(&mut self, text: &str) {
        let options = BundleOptions::default();
        let bundle = KEYS[2].publish(&name(text), Nonce16([7; 16]), None, self.now, options);
        self.people.entry(name(text)).or_default().push(bundle.unwrap());
    }
}

impl TestHub {
    /// Hands a device a key for the lobby by an account that the hub has made up, with that account
    /// in the list.
    pub(crate) fn forge_key(&mut self, text: &str, victim: usize) {
        let (user, keys) = (name(text), &KEYS[2]);
        let options = BundleOptions::default();
        let bundle = keys.publish(&user, Nonce16([8; 16]), None, self.now, options).unwrap();
        let lines = [Some(&bundle), self.people[&name("alice")].first()];
        let list = MemberList::new(lines.into_iter().flatten().filter_map(Bundle::member_line));
        self.people.insert(user.clone(), vec![bundle]);
        let wrap = |line: &MemberLine| {
            let bundle = self.people[&line.name].first().unwrap();
            WrapKey::from_spki(&bundle.header().ek[0].spki).unwrap()
        };
        let wrap_keys: Vec<_> = list.lines().iter().map(wrap).collect();
        let parameters = EpochParameters {
            cid: ConversationId::room(&lobby()),
            from: user,
            sk: keys.signing_id(),
            previous: None,
            ts: self.now,
        };
        let key = zeroize::Zeroizing::new([3; 32]);
        let new = epoch::create(parameters, &list, &wrap_keys, &key, Nonce16([4; 16])).unwrap();
        let frame = sign_all(&keys.signing, &[new.frame]).remove(0);
        let me = self.peers[victim].endpoint.device();
        let line = list.position(&me.user, &me.keys.signing_id()).unwrap();
        let first = u16::try_from(line).unwrap();
        let wraps = vec![new.wraps[line].clone().into()];
        let mut messages = vec![Delivery::encode(1_000, self.now, &frame)];
        messages.extend(Upload::split(new.head.e, list.as_bytes(), &[]));
        messages.push(Upload::Wraps { e: new.head.e, first, wraps }.encode());
        self.peers[victim].inbox.extend(messages.into_iter().map(Transmit::Binary));
    }
}

impl TestHub {
    /// Gives a device a new encryption key and publishes it.
    pub(crate) fn rotate(&mut self, index: usize) {
        let device = self.peers[index].endpoint.device().clone();
        let keys = Arc::new(device.keys.with_new_encryption_key(self.now).unwrap());
        let (previous, options) = (Some(&*device.bundle), BundleOptions::default());
        let bundle = keys.publish(&device.user, device.dev, previous, self.now, options).unwrap();
        self.people.entry(device.user.clone()).or_default().push(bundle.clone());
        let device = Device { keys, bundle: Arc::new(bundle), ..device };
        self.peers[index].endpoint.replace_device(device);
    }
}
