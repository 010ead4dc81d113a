//! What a large room costs the device that sends: setting up an epoch once everybody's keys are
//! known, one message, and a burst that shares signatures. The hub is played by this program, and
//! only the device's own time is counted.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program that measures may fail where it stands, and says what it found"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_endpoint::{Device, Endpoint, Event, SystemRandom, Transmit};
use chat_protocol::b64::B64Vec;
use chat_protocol::frame::{Binary, RawFrame, Unsigned, sign_all};
use chat_protocol::handshake::SignedIn;
use chat_protocol::header::{
    Canonical as _, Header, MemberArgument, MemberHeader, MemberOperation,
};
use chat_protocol::hub::{self, ClientToHub, Head, HubStage, HubToClient, PersonBundles};
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys, KeySizes};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::{Tag, label};

const NOW: u64 = 1_790_000_000_000;
const MEMBERS: usize = 500;
const BURST: usize = 1_000;
/// Messages said one after the other, each when the one before is answered.
const SINGLE: usize = 200;
/// The longest wait before a device makes an epoch that others may be making, with room to spare.
const WAIT_MAX_MS: u64 = 2_000;
/// Links in one page of a chain.
const PAGE: usize = 128;

/// The hub, as far as one device sees it.
struct Hub {
    bundle: Bundle,
    people: BTreeMap<UserName, Bundle>,
    links: Vec<Bytes>,
    head: Digest,
    cid: ConversationId,
    position: u64,
    /// The time, Unix milliseconds. It passes only where the device waits for it.
    now_ms: u64,
    /// A KEY whose parts are coming.
    making: Option<MessageId>,
}

fn join(keys: &DeviceKeys, bundle: &Bundle, hub: &Hub) -> (Digest, Bytes) {
    let user = bundle.header().u.clone();
    let header = MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: hub.cid.clone(),
        from: user.clone(),
        sk: keys.signing_id(),
        op: MemberOperation::Join,
        who: user,
        ik: bundle.identity(),
        arg: MemberArgument::None,
        mg: u32::try_from(hub.links.len()).unwrap(),
        pm: hub.head,
        id: MessageId::new(NOW, [0; 10].map(|_: u8| 7)),
        ts: NOW,
    };
    let frame = Unsigned::new(label::MEMBER, header.to_bytes(), Vec::new());
    (frame.digest(), sign_all(&keys.signing, &[frame]).pop().unwrap())
}

impl Hub {
    fn new(keys: &[Arc<DeviceKeys>]) -> Self {
        let options = BundleOptions::default();
        let publish = |index: usize, user: &UserName| {
            let mut dev = [0; 16];
            dev[..8].copy_from_slice(&index.to_be_bytes());
            keys[index % keys.len()]
                .publish(user, Nonce16(dev), None, NOW, options.clone())
                .unwrap()
        };
        let mut hub = Self {
            bundle: publish(0, &UserName::server()),
            people: BTreeMap::new(),
            links: Vec::new(),
            head: Digest::ZERO,
            cid: ConversationId::room(&RoomName::lobby()),
            position: 0,
            now_ms: NOW,
            making: None,
        };
        for index in 1..MEMBERS {
            let bundle = publish(index, &UserName::new(&format!("member-{index:04}")).unwrap());
            let (digest, link) = join(&keys[index % keys.len()], &bundle, &hub);
            hub.links.push(link);
            hub.head = digest;
            hub.people.insert(bundle.header().u.clone(), bundle);
        }
        hub
    }

    fn next_head(&self) -> Head {
        let mg = u32::try_from(self.links.len()).unwrap();
        Head { cid: self.cid.clone(), mg, pm: self.head, epoch: None }
    }

    fn ack(&mut self, id: MessageId) -> HubToClient {
        self.position += 1;
        HubToClient::Ack { stage: HubStage::Stored, id, position: self.position, kept: false }
    }

    /// What the hub says to one message of the device.
    fn answer(&mut self, transmit: Transmit) -> Option<HubToClient> {
        let bytes = match transmit {
            Transmit::Text(text) => return self.answer_text(&text),
            Transmit::Binary(bytes) => bytes,
        };
        let frame: RawFrame = match Binary::decode(bytes.clone()).unwrap() {
            Binary::Frame(frame) => frame,
            // The last part of an epoch completes it.
            Binary::Upload(_) => return None,
            Binary::Delivery(_) => unreachable!("devices deliver nothing"),
        };
        match Header::parse(frame.header()).unwrap() {
            Header::Member(link) if link.cid == self.cid => {
                self.head = frame.digest(label::MEMBER);
                self.links.push(bytes);
                Some(self.ack(link.id))
            }
            Header::Key(key) => {
                self.making = Some(MessageId(key.eid.0));
                None
            }
            header => Some(self.ack(header.id())),
        }
    }

    fn answer_text(&mut self, text: &str) -> Option<HubToClient> {
        match hub::read::<ClientToHub>(text).unwrap() {
            ClientToHub::Bundles { id, known, .. } => {
                let newer = known.into_iter().filter(|(_, held)| held.0.is_none());
                let people = newer.filter_map(|(name, _)| {
                    let bundles = vec![B64Vec(self.people.get(&name)?.bytes().to_vec())];
                    Some((name, PersonBundles { bundles, former: vec![] }))
                });
                let people = people.collect();
                let (unknown, gone) = (Vec::new(), Vec::new());
                Some(HubToClient::Bundles { id, people, unknown, gone, more: false })
            }
            ClientToHub::Members { id, cid, from } => {
                let from = usize::try_from(from).unwrap();
                let links: Vec<_> = self.links.iter().skip(from).take(PAGE).collect();
                let more = from + links.len() < self.links.len();
                let links = links.into_iter().map(|link| B64Vec(link.to_vec())).collect();
                Some(HubToClient::Members { id, cid, links, more, closed: false })
            }
            ClientToHub::Counters { id, .. } => {
                Some(HubToClient::Counters { id, counters: Vec::new() })
            }
            _ => None,
        }
    }
}

/// Plays on until the device has nothing more to say and waits for no time that is near. Returns the
/// device's own time, what it sent, and its events.
fn settle(hub: &mut Hub, device: &mut Endpoint) -> (Duration, usize, Vec<Event>) {
    let (mut spent, mut frames, mut events) = (Duration::ZERO, 0, Vec::new());
    loop {
        let start = Instant::now();
        let step = device.finish(hub.now_ms);
        spent += start.elapsed();
        events.extend(step.events.into_iter().map(|notification| notification.event));
        if step.transmits.is_empty() {
            let soon = hub.now_ms + WAIT_MAX_MS;
            let Some(due) = device.next_deadline().filter(|due| *due <= soon) else {
                return (spent, frames, events);
            };
            hub.now_ms = hub.now_ms.max(due);
            let start = Instant::now();
            device.handle_timeout(hub.now_ms);
            spent += start.elapsed();
            continue;
        }
        frames += step.transmits.len();
        let mut answers: Vec<_> =
            step.transmits.into_iter().filter_map(|transmit| hub.answer(transmit)).collect();
        if let Some(id) = hub.making.take() {
            answers.push(hub.ack(id));
        }
        for answer in answers {
            let text = hub::write(&answer);
            let start = Instant::now();
            device.handle_text(hub.now_ms, &text);
            spent += start.elapsed();
        }
    }
}

fn stored(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Stored { .. })).count()
}

fn main() {
    let keys: Vec<_> =
        (0..4).map(|_| Arc::new(DeviceKeys::generate(KeySizes::EMULATED).unwrap())).collect();
    let mut hub = Hub::new(&keys);
    let own = Arc::new(DeviceKeys::generate(KeySizes::EMULATED).unwrap());
    let user = UserName::new("alice").unwrap();
    let bundle = own.publish(&user, Nonce16([9; 16]), None, NOW, BundleOptions::default()).unwrap();
    hub.people.insert(user.clone(), bundle.clone());
    let device = Device {
        user,
        dev: Nonce16([9; 16]),
        server: hub.bundle.identity(),
        keys: own,
        bundle: Arc::new(bundle),
    };
    let mut alice = Endpoint::in_memory(device, Arc::default(), Box::new(SystemRandom));
    let heads = vec![hub.next_head()];
    let signed_in = SignedIn { heads, ..SignedIn::at(NOW) };
    alice.connected(NOW, &signed_in, &hub.bundle);
    settle(&mut hub, &mut alice);
    let lobby = RoomName::lobby();
    alice.refresh(&hub.cid.clone());
    let (view, _, _) = settle(&mut hub, &mut alice);
    println!("first view of {MEMBERS} members, chain and keys verified: {view:?}");

    alice.say(hub.now_ms, &lobby, "hello").unwrap();
    let (epoch, _, events) = settle(&mut hub, &mut alice);
    assert_eq!(stored(&events), 1);
    let mut single = Vec::with_capacity(SINGLE);
    for number in 0..SINGLE {
        alice.say(hub.now_ms, &lobby, &format!("message {number} by itself")).unwrap();
        let (one, _, events) = settle(&mut hub, &mut alice);
        assert_eq!(stored(&events), 1);
        single.push(one);
    }
    single.sort_unstable();
    println!("a new epoch, its {MEMBERS} wraps and the first message: {epoch:?}");
    println!(
        "one more message, best and median of {SINGLE}: {:?}, {:?}",
        single[0],
        single[SINGLE / 2]
    );

    for number in 0..BURST {
        alice.say(hub.now_ms, &lobby, &format!("message {number} of a burst")).unwrap();
    }
    let (burst, sent, events) = settle(&mut hub, &mut alice);
    assert_eq!(stored(&events), BURST);
    let each = burst / u32::try_from(BURST).unwrap();
    println!("a burst of {BURST}: {burst:?}, {each:?} each, {sent} frames");
}
