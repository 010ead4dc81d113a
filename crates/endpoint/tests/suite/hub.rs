//! A hub in memory, with a clock and faults that tests choose.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

mod faults;
mod intake;
mod liar;
mod made_up;
mod rooms;
mod siblings;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use chat_endpoint::store::MemoryStore;
use chat_endpoint::{Device, Endpoint, Event, Step, SystemRandom, Transmit};
use chat_protocol::frame::{Delivery, RawFrame, Upload};
use chat_protocol::handshake::SignedIn;
use chat_protocol::hub::{EpochHead, Head, HubToClient};
use chat_protocol::id::{Digest, KeyId, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys};
use chat_protocol::members::{MemberList, Membership};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_testkit::keys::keys;
use chat_testkit::middle::Middle;

pub(crate) use faults::{Fate, Faults, Rule, Snapshot, Winner};
pub(crate) use rooms::{Forgery, room};

/// Sets of prepared keys that people have here; the hub has the next one.
const SETS: usize = 3;

/// The hub's own keys.
fn hub_keys() -> Arc<DeviceKeys> {
    keys(SETS)
}

/// Many people share keys: nothing here looks for that.
fn keys_of(index: usize) -> Arc<DeviceKeys> {
    if index <= SETS { keys(index) } else { keys(index % SETS) }
}

pub(crate) fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

pub(crate) fn lobby() -> RoomName {
    RoomName::lobby()
}

/// How far ahead [`TestHub::run`] goes.
const MINUTE_MS: u64 = 60_000;

/// What a frame in the log is for.
#[derive(Clone)]
struct Entry {
    frame: Bytes,
    /// When the hub took it.
    hub_ms: u64,
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
    /// Its host shows nothing: events stay for another process.
    pub(crate) shows_nothing: bool,
    /// What it told of the encryption.
    pub(crate) trace: Vec<String>,
    pub(crate) inbox: VecDeque<Transmit>,
    /// What a lie has sent to this device beside it.
    smuggled: Vec<Transmit>,
    next: usize,
    /// Deliveries that are overtaken by the next one.
    /// It was told that all that waited has come.
    is_live: bool,
    late: Vec<Transmit>,
}

impl Peer {
    /// A device that was never connected.
    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            store: MemoryStore::default(),
            events: Vec::new(),
            connected: false,
            shows_nothing: false,
            trace: Vec::new(),
            inbox: VecDeque::new(),
            smuggled: Vec::new(),
            next: 0,
            is_live: false,
            late: Vec::new(),
        }
    }
}

pub(crate) struct TestHub {
    pub(crate) now: u64,
    pub(crate) peers: Vec<Peer>,
    people: BTreeMap<UserName, Vec<Bundle>>,
    /// Bundles of who had a name before somebody else.
    former: BTreeMap<UserName, Vec<Bundle>>,
    rooms: HashMap<ConversationId, (Membership, Vec<Bytes>)>,
    epochs: HashMap<ConversationId, (EpochHead, MemberList)>,
    by_digest: HashMap<Digest, MemberList>,
    stored: HashMap<(UserName, ConversationId, MessageId), (u64, Digest)>,
    log: Vec<Entry>,
    pending: Option<Pending>,
    bundle: Bundle,
    /// Close the epoch of the next message: it and all later ones in it get REKEY.
    pub(crate) close_next: bool,
    closed: BTreeSet<Digest>,
    /// Where it has put keys and links, by the digest of the header or of the frame.
    placed: HashMap<Digest, u64>,
    /// What devices send in a round arrives after it: nobody is faster than anybody else.
    pub(crate) lockstep: bool,
    /// Tell nobody of joins.
    pub(crate) quiet: bool,
    /// Frames of messages as they came from the devices.
    pub(crate) seen: Vec<Bytes>,
    /// Links that were sent, those that came second included.
    pub(crate) links_offered: usize,
    /// Epochs that were uploaded, those that lost the race included.
    pub(crate) epochs_offered: usize,
    /// Times that it was told what it forgot.
    pub(crate) reminders: usize,
    /// How often it was told something again, whatever it has made of it.
    pub(crate) reminds_heard: usize,
    /// How often it was asked for bundles.
    pub(crate) bundles_asked: usize,
    /// Links that it was told it forgot.
    pub(crate) links_reminded: usize,
    /// What receipts have named.
    pub(crate) receipts: Vec<(MessageId, Digest)>,
    /// Messages that were lost or refused.
    pub(crate) withheld: Vec<Bytes>,
    pub(crate) faults: Faults,
    /// Answers that are held back: to whom, about what.
    held: Vec<(usize, MessageId)>,
    /// Answers about bundles that are held back.
    held_bundles: Vec<(usize, HubToClient)>,
    /// Changes a frame before it is delivered.
    pub(crate) tamper: Option<Tamper>,
    /// What becomes of each delivery.
    pub(crate) rule: Option<Rule>,
    /// A lie of the library.
    pub(crate) liar: Option<Box<dyn Middle>>,
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
            former: BTreeMap::new(),
            rooms: HashMap::new(),
            epochs: HashMap::new(),
            by_digest: HashMap::new(),
            stored: HashMap::new(),
            log: Vec::new(),
            pending: None,
            bundle,
            close_next: false,
            lockstep: false,
            quiet: false,
            closed: BTreeSet::new(),
            placed: HashMap::new(),
            seen: Vec::new(),
            links_offered: 0,
            epochs_offered: 0,
            reminders: 0,
            reminds_heard: 0,
            bundles_asked: 0,
            links_reminded: 0,
            receipts: Vec::new(),
            withheld: Vec::new(),
            faults: Faults::default(),
            held: Vec::new(),
            held_bundles: Vec::new(),
            tamper: None,
            rule: None,
            liar: None,
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
        let keys = keys_of(index);
        let bundle = keys.publish(&user, dev, None, self.now, options).unwrap();
        self.people.entry(user.clone()).or_default().push(bundle.clone());
        let server = self.bundle.identity();
        let device = Device { user, dev, server, keys, bundle: Arc::new(bundle) };
        let endpoint =
            Endpoint::new(device, &Vec::new(), Arc::default(), Box::new(SystemRandom)).unwrap();
        self.peers.push(Peer::new(endpoint));
        self.connect(index);
        index
    }

    pub(crate) fn connect(&mut self, index: usize) {
        let (heads, more) = self.heads_page(index, None);
        let position = u64::try_from(self.positions()).unwrap() + self.faults.answers_above;
        let signed_in = SignedIn { position, heads, more, ..SignedIn::at(self.now) };
        let signed_in = self.lie_at_sign_in(index, signed_in);
        let peer = &mut self.peers[index];
        peer.endpoint.connected(self.now, &signed_in, &self.bundle);
        (peer.connected, peer.is_live) = (true, false);
        self.redeliver(index);
    }

    /// Connects a device, and all come to rest; so the four behind it.
    pub(crate) fn comes(&mut self, index: usize) {
        self.connect(index);
        self.run();
    }

    pub(crate) fn joins(&mut self, text: &str) -> usize {
        let index = self.add(text);
        self.run();
        index
    }

    pub(crate) fn joins_sibling(&mut self, owner: usize, rb: Option<Nonce16>) -> usize {
        let index = self.add_sibling(owner, rb);
        self.run();
        index
    }

    pub(crate) fn restarts(&mut self, index: usize) {
        self.restart(index);
        self.run();
    }

    pub(crate) fn rolls_back(&mut self, older: &Snapshot) {
        self.roll_back(older);
        self.run();
    }

    pub(crate) fn disconnect(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        peer.connected = false;
        peer.inbox.clear();
        peer.late.clear();
        peer.endpoint.disconnected();
    }

    /// Replaces a device's process by one that knows only what was committed.
    pub(crate) fn restart(&mut self, index: usize) {
        self.reopen(index);
        self.connect(index);
    }

    /// The same, and not connected yet.
    pub(crate) fn reopen(&mut self, index: usize) {
        self.disconnect(index);
        let peer = &mut self.peers[index];
        let device = peer.endpoint.device().clone();
        let rows = peer.store.rows();
        peer.endpoint =
            Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).unwrap();
    }

    /// Everything from the start again, as after a crash before the cursor moved.
    pub(crate) fn redeliver(&mut self, index: usize) {
        self.peers[index].next = 0;
    }

    /// How many positions it has given.
    pub(crate) fn positions(&self) -> usize {
        self.log.len()
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
        let end = self.now + MINUTE_MS;
        assert!(!(0..10_000).all(|_| self.step(end)), "the devices never come to rest");
    }

    /// One round, or what is due next before `end`; false when there is nothing left.
    pub(crate) fn step(&mut self, end: u64) -> bool {
        if self.turn() {
            return true;
        }
        let deadlines = self.peers.iter().filter_map(|peer| peer.endpoint.next_deadline());
        let Some(next) = deadlines.min().filter(|next| *next < end) else { return false };
        self.now = self.now.max(next);
        let now = self.now;
        self.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
        true
    }

    /// One round over all devices; whether anything happened.
    pub(crate) fn turn(&mut self) -> bool {
        let mut busy = false;
        let mut sent = Vec::new();
        for index in 0..self.peers.len() {
            self.deliver(index);
            self.go_live(index);
            let now = self.now;
            let arrived = self.arrived(index);
            let peer = &mut self.peers[index];
            for message in arrived {
                match message {
                    Transmit::Text(text) => peer.endpoint.handle_text(now, &text),
                    Transmit::Binary(bytes) => peer.endpoint.handle_binary(now, bytes),
                }
                busy = true;
            }
            let Step { changes, transmits, events, trace } = peer.endpoint.finish(now);
            peer.store.commit(changes);
            peer.trace.extend(trace);
            busy |= !transmits.is_empty() || !events.is_empty();
            for notification in events {
                peer.events.push(notification.event);
                if let Some(key) = notification.key.filter(|_| !peer.shows_nothing) {
                    peer.endpoint.consumed(key);
                }
            }
            if peer.connected {
                sent.extend(transmits.into_iter().map(|transmit| (index, transmit)));
            }
            if !self.lockstep {
                for (index, transmit) in sent.drain(..) {
                    self.hear(index, transmit);
                }
            }
        }
        for (index, transmit) in sent {
            self.hear(index, transmit);
        }
        busy
    }

    pub(super) fn deliver(&mut self, index: usize) {
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
            let (position, hub_ms) = (u64::try_from(peer.next).unwrap(), entry.hub_ms);
            let mut bytes = self.tamper.map_or_else(|| entry.frame.to_vec(), |f| f(&entry.frame));
            let fate = self.rule.as_mut().map_or(Fate::Good, |rule| rule(index, &bytes));
            if let Fate::Altered(at) = fate {
                let at = at % bytes.len();
                bytes[at] ^= 1;
            }
            let message = Transmit::Binary(Delivery::encode(position, hub_ms, &bytes));
            match fate {
                Fate::Lost => continue,
                Fate::Late if entry.epoch.is_none() => {
                    peer.late.push(message);
                    continue;
                }
                Fate::Twice => peer.inbox.extend([message.clone(), message]),
                Fate::Good | Fate::Late | Fate::Altered(_) | Fate::BadWrap => {
                    peer.inbox.push_back(message);
                }
            }
            peer.inbox.extend(peer.late.drain(..));
            if let Some((members, wraps)) = &entry.epoch {
                let e = Digest(chat_protocol::crypto::sha256(
                    RawFrame::decode(entry.frame.clone()).unwrap().header(),
                ));
                // Who has no line gets the first one's wrap.
                let line = members.position(&me.0, &me.1).unwrap_or_default();
                let first = u16::try_from(line).unwrap();
                let parts = Upload::split(e, members.as_bytes(), &[]);
                peer.inbox.extend(parts.into_iter().map(Transmit::Binary));
                let mut wrap = wraps[line].to_vec();
                if fate == Fate::BadWrap {
                    wrap[9] ^= 1;
                }
                let wrap = Upload::Wraps { e, first, wraps: vec![wrap.into()] };
                if intake::take_one(&mut self.faults.lose_wraps) {
                    continue;
                }
                peer.inbox.push_back(Transmit::Binary(wrap.encode()));
            }
        }
    }

    /// All that waited has been sent.
    fn go_live(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if peer.connected && !peer.is_live && !self.faults.goes_never_live {
            peer.is_live = true;
            peer.inbox.push_back(Transmit::Text(chat_protocol::hub::write(&HubToClient::Live {})));
        }
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
