//! Each rule by itself, with a virtual clock and a store in memory.

mod away;
mod feeds;
mod offers;
mod rooms;

use std::sync::OnceLock;

use chat_protocol::{
    code,
    crypto::sha256,
    handshake::Purpose,
    header::{
        Canonical, KeyHeader, MemberArgument, MemberHeader, MemberOperation, MessageHeader,
        ReceiptHeader, Recipient,
    },
    id::{MessageId, Nonce16},
    keys::{Bundle, BundleOptions, DeviceKeys, KeySizes},
    members::{MemberLine, MemberList},
    tag::{Stage, Tag},
};
use tokio::time::Instant;

use super::*;
use crate::{
    connection::ConnectionId,
    outbox::{OutboxLimits, bounded},
    request::{EpochUpload, Peer},
    store::{NewAccount, NewBundle, memory::MemoryStore},
};

fn keys(index: usize) -> &'static DeviceKeys {
    static KEYS: [OnceLock<DeviceKeys>; 4] = [const { OnceLock::new() }; 4];
    KEYS[index].get_or_init(|| DeviceKeys::generate(KeySizes::EMULATED).unwrap())
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn cid(text: &str) -> ConversationId {
    ConversationId::parse(text).unwrap()
}

/// A user as the reader knows them.
#[derive(Clone)]
struct User {
    peer: Arc<Peer>,
    bundle: Arc<Bundle>,
    keys: &'static DeviceKeys,
}

impl User {
    fn line(&self) -> MemberLine {
        self.bundle.member_line().unwrap()
    }
}

struct World {
    router: Router,
    store: MemoryStore,
    now_ms: u64,
    ids: u8,
}

/// An epoch that was accepted.
#[derive(Clone, Copy)]
struct Made {
    e: Digest,
    g: u32,
}

/// What a request came to.
#[derive(Debug, PartialEq)]
enum Came {
    Stored(u64),
    Again(u64),
    Refused(&'static str),
    Rekey,
    Defer,
}

impl World {
    fn new() -> Self {
        let router = Router::restore(Snapshot::default(), MailboxLimits::default()).unwrap();
        Self { router, store: MemoryStore::default(), now_ms: 1_000_000, ids: 0 }
    }

    fn user(&mut self, user: &str, index: usize) -> User {
        let (user, keys, dev) = (name(user), keys(index), Nonce16([0; 16]));
        let options = BundleOptions::default();
        let bundle = Arc::new(keys.publish(&user, dev, None, 5, options).unwrap());
        let new = NewAccount {
            name: user.clone(),
            bundle: Arc::clone(&bundle),
            password: None,
            vault: None,
        };
        let committed = self.store.keep(Proposal::Account(Box::new(new)));
        let Ok(Stored::Account(account, device)) = committed.outcome else { panic!("taken") };
        self.router.apply(self.now_ms, committed);
        let sk = keys.signing_id();
        let peer = Peer {
            connection: ConnectionId(1),
            account,
            device,
            name: user,
            sk,
            spki: Vec::new(),
            purpose: Purpose::Task,
            outbox: bounded(OutboxLimits::default()).0,
        };
        User { peer: Arc::new(peer), bundle, keys }
    }

    fn pair(&mut self) -> (User, User) {
        (self.user("alice", 0), self.user("bob", 1))
    }

    /// Publishes another bundle of a user, with other keys if `index` is given.
    fn publish(&mut self, user: &User, index: usize, dev: Nonce16, rev: Vec<KeyId>) -> User {
        let keys = mixed(user.keys, keys(index));
        let before = (dev == user.bundle.header().dev).then_some(&*user.bundle);
        let options = BundleOptions { rev, ..BundleOptions::default() };
        let bundle = keys.publish(&user.peer.name, dev, before, self.now_ms, options).unwrap();
        let bundle = Arc::new(bundle);
        let device = before.map(|_| user.peer.device);
        let account = user.peer.account;
        let new = NewBundle { account, device, bundle: Arc::clone(&bundle) };
        let committed = self.store.keep(Proposal::Bundle(Box::new(new)));
        let Ok(Stored::Device(device)) = committed.outcome else { panic!("not kept") };
        self.router.apply(self.now_ms, committed);
        let (outbox, _) = bounded(OutboxLimits::default());
        let peer = Peer {
            connection: ConnectionId(2),
            account,
            device,
            name: user.peer.name.clone(),
            sk: keys.signing_id(),
            spki: Vec::new(),
            purpose: Purpose::Task,
            outbox,
        };
        User { peer: Arc::new(peer), bundle, keys }
    }

    fn id(&mut self) -> MessageId {
        self.ids += 1;
        MessageId([self.ids; 16])
    }

    fn request(user: &User, header: Header, epoch: Option<EpochUpload>) -> FrameRequest {
        let bytes = match &header {
            Header::Message(header) => header.to_bytes(),
            Header::Receipt(header) => header.to_bytes(),
            Header::Key(header) => header.to_bytes(),
            Header::Member(header) => header.to_bytes(),
        };
        let digest = Digest(sha256(&bytes));
        let (peer, frame) = (Arc::clone(&user.peer), bytes.into());
        FrameRequest { peer, header, frame, digest, epoch, arrived: Instant::now() }
    }

    /// Decides and commits one request alone, and says what it came to.
    fn put(&mut self, request: &FrameRequest) -> Came {
        self.put_with(request, &mut Pending::default()).0
    }

    fn put_with(&mut self, request: &FrameRequest, pending: &mut Pending) -> (Came, Effects) {
        let proposal = match self.router.decide(self.now_ms, request, pending) {
            Decision::Propose(proposal) => proposal,
            other => return (came(&other), Effects::default()),
        };
        let committed = self.store.keep(proposal);
        match committed.outcome {
            Err(conflict) => {
                (came(&self.router.resolve(&request.header, conflict)), Effects::default())
            }
            Ok(Stored::Again(position)) => (Came::Again(position), Effects::default()),
            Ok(
                Stored::Entry(position)
                | Stored::Epoch { position, .. }
                | Stored::Link { position, .. },
            ) => {
                let effects = self.router.apply(self.now_ms, committed);
                (Came::Stored(position), effects)
            }
            Ok(other) => panic!("{other:?}"),
        }
    }

    fn message(&mut self, user: &User, place: &ConversationId, e: Digest, n: u32) -> FrameRequest {
        let to = place.other(&user.peer.name).map_or(Recipient::Everyone, Recipient::User);
        let header = MessageHeader {
            v: 1,
            t: if place.is_direct() { Tag::Dm } else { Tag::Text },
            stage: None,
            cid: place.clone(),
            from: user.peer.name.clone(),
            sk: user.peer.sk,
            to,
            id: self.id(),
            e,
            n,
            p: Digest::ZERO,
            ts: 0,
            nbf: None,
            exp: None,
            rb: None,
            tk: None,
        };
        Self::request(user, Header::Message(header), None)
    }

    fn say(&mut self, user: &User, place: &ConversationId, e: Digest, n: u32) -> Came {
        let request = self.message(user, place, e, n);
        self.put(&request)
    }

    fn key(
        &mut self,
        user: &User,
        place: &ConversationId,
        before: Option<Made>,
        with: &[&User],
    ) -> (FrameRequest, Made) {
        let members = MemberList::new(with.iter().map(|user| user.line()));
        let g = before.map_or(0, |made| made.g + 1);
        let header = KeyHeader {
            v: 1,
            t: Tag::Key,
            cid: place.clone(),
            from: user.peer.name.clone(),
            sk: user.peer.sk,
            eid: Nonce16(self.id().0),
            g,
            pe: before.map_or(Digest::ZERO, |made| made.e),
            kc: Digest::ZERO,
            mh: members.hash(),
            ts: 0,
        };
        let e = Digest(sha256(&header.to_bytes()));
        let wraps = with.iter().map(|_| Bytes::from_static(b"wrap")).collect();
        let upload = EpochUpload { e, members, wraps };
        (Self::request(user, Header::Key(header), Some(upload)), Made { e, g })
    }

    fn make(
        &mut self,
        user: &User,
        place: &ConversationId,
        before: Option<Made>,
        with: &[&User],
    ) -> Made {
        let (request, made) = self.key(user, place, before, with);
        let came = self.put(&request);
        assert!(matches!(came, Came::Stored(_)), "{came:?}");
        made
    }

    fn link(&mut self, user: &User, room: &str, op: MemberOperation, who: &User) -> FrameRequest {
        let place = cid(room);
        let head = self.router.head(&place);
        let arg = match op {
            MemberOperation::Create => MemberArgument::Open,
            _ => MemberArgument::None,
        };
        let header = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: place,
            from: user.peer.name.clone(),
            sk: user.peer.sk,
            op,
            who: who.peer.name.clone(),
            ik: who.bundle.identity(),
            arg,
            mg: head.mg,
            pm: head.pm,
            id: self.id(),
            ts: 0,
        };
        Self::request(user, Header::Member(header), None)
    }

    fn do_link(&mut self, user: &User, room: &str, op: MemberOperation, who: &User) {
        let request = self.link(user, room, op, who);
        let came = self.put(&request);
        assert!(matches!(came, Came::Stored(_)), "{came:?}");
    }
}

fn came(decision: &Decision) -> Came {
    match decision {
        Decision::Again(position) => Came::Again(*position),
        Decision::Refuse(refusal) => Came::Refused(refusal.code),
        Decision::Rekey(_) => Came::Rekey,
        Decision::Defer => Came::Defer,
        Decision::Propose(_) => panic!("decided twice"),
    }
}

fn mixed(identity: &DeviceKeys, other: &DeviceKeys) -> &'static DeviceKeys {
    use chat_protocol::crypto::{SigningKey, UnwrapKey};
    Box::leak(Box::new(DeviceKeys {
        identity: SigningKey::from_pkcs8(&identity.identity.to_pkcs8()).unwrap(),
        signing: SigningKey::from_pkcs8(&other.signing.to_pkcs8()).unwrap(),
        encryption: UnwrapKey::from_pkcs8(&other.encryption.to_pkcs8()).unwrap(),
        former: Vec::new(),
    }))
}

#[test]
fn counters_grow_and_a_resend_is_answered_again() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &bob]);
    let first = world.message(&alice, &place, made.e, 0);
    let Came::Stored(position) = world.put(&first) else { panic!("not stored") };
    assert_eq!(world.put(&first), Came::Again(position));
    assert!(matches!(world.say(&alice, &place, made.e, 7), Came::Stored(_)), "gaps are allowed");
    assert_eq!(world.say(&alice, &place, made.e, 7), Came::Refused(code::REPLAY));
    assert_eq!(world.say(&alice, &place, made.e, 3), Came::Refused(code::REPLAY));
    assert!(matches!(world.say(&bob, &place, made.e, 0), Came::Stored(_)), "bob counts himself");
    assert_eq!(world.say(&alice, &place, Digest([9; 32]), 8), Came::Refused(code::EPOCH));
}

#[test]
fn requests_of_one_batch_see_what_the_earlier_ones_take() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &bob]);
    let mut pending = Pending::default();
    let mut decide = |world: &World, request: &FrameRequest| {
        let decision = world.router.decide(world.now_ms, request, &mut pending);
        matches!(decision, Decision::Propose(_)).then_some(()).ok_or(decision)
    };
    let first = world.message(&alice, &place, made.e, 0);
    let second = world.message(&alice, &place, made.e, 1);
    assert!(decide(&world, &first).is_ok());
    assert!(decide(&world, &second).is_ok(), "pipelined");
    assert!(matches!(decide(&world, &first), Err(Decision::Defer)), "its own resend waits");
    let (key, _) = world.key(&bob, &place, Some(made), &[&alice, &bob]);
    assert!(decide(&world, &key).is_ok());
    let third = world.message(&alice, &place, made.e, 2);
    assert!(matches!(decide(&world, &third), Err(Decision::Defer)), "the epoch changes");
    let (race, _) = world.key(&alice, &place, Some(made), &[&alice, &bob]);
    assert!(matches!(decide(&world, &race), Err(Decision::Defer)));
}

#[test]
fn an_epoch_is_made_by_compare_and_set() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let (first, made) = world.key(&alice, &place, None, &[&alice, &bob]);
    let (late, _) = world.key(&bob, &place, None, &[&alice, &bob]);
    let Came::Stored(position) = world.put(&first) else { panic!("not stored") };
    assert_eq!(world.put(&late), Came::Refused(code::EPOCH));
    assert_eq!(world.put(&first), Came::Again(position));
    let (skips, _) = world.key(&bob, &place, Some(Made { e: made.e, g: 4 }), &[&alice, &bob]);
    assert_eq!(world.put(&skips), Came::Refused(code::EPOCH));
    let mut newest = made;
    for _ in 0..OLD_EPOCHS {
        newest = world.make(&bob, &place, Some(newest), &[&alice, &bob]);
    }
    assert_eq!(world.put(&first), Came::Again(position), "forgotten here, known to the store");
}

/// More than are kept in memory.
const OLD_EPOCHS: usize = crate::limits::OLD_EPOCHS_MAX + 2;

#[test]
fn a_replaced_epoch_is_good_for_ten_seconds() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let old = world.make(&alice, &place, None, &[&alice, &bob]);
    let stored = world.message(&alice, &place, old.e, 0);
    let Came::Stored(position) = world.put(&stored) else { panic!("not stored") };
    let next = world.make(&bob, &place, Some(old), &[&alice, &bob]);
    world.now_ms += 10_000;
    assert!(matches!(world.say(&alice, &place, old.e, 1), Came::Stored(_)));
    world.now_ms += 1;
    assert_eq!(world.say(&alice, &place, old.e, 2), Came::Rekey);
    assert_eq!(world.put(&stored), Came::Again(position), "a resend comes before staleness");
    world.make(&bob, &place, Some(next), &[&alice, &bob]);
    assert_eq!(world.say(&alice, &place, old.e, 2), Came::Rekey, "forgotten in memory");
    assert_eq!(world.put(&stored), Came::Again(position));
}

#[test]
fn a_newcomer_may_be_missing_for_ten_seconds() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let lobby = cid("room:lobby");
    world.do_link(&alice, "room:lobby", MemberOperation::Join, &alice);
    let made = world.make(&alice, &lobby, None, &[&alice]);
    world.now_ms += 60_000;
    world.do_link(&bob, "room:lobby", MemberOperation::Join, &bob);
    world.now_ms += 10_000;
    assert!(matches!(world.say(&alice, &lobby, made.e, 0), Came::Stored(_)));
    assert_eq!(world.say(&bob, &lobby, made.e, 0), Came::Refused(code::NOT_A_MEMBER));
    let lacking = world.make(&alice, &lobby, Some(made), &[&alice]);
    world.now_ms += 1;
    assert_eq!(world.say(&alice, &lobby, lacking.e, 0), Came::Rekey);
    let (without, _) = world.key(&alice, &lobby, Some(lacking), &[&alice]);
    assert_eq!(world.put(&without), Came::Refused(code::MEMBERS));
    let whole = world.make(&bob, &lobby, Some(lacking), &[&alice, &bob]);
    world.now_ms += 60_000;
    assert!(matches!(world.say(&alice, &lobby, whole.e, 0), Came::Stored(_)));
}

#[test]
fn who_leaves_closes_the_epoch_at_once() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let den = cid("room:den");
    world.do_link(&alice, "room:den", MemberOperation::Create, &alice);
    world.do_link(&bob, "room:den", MemberOperation::Join, &bob);
    let made = world.make(&alice, &den, None, &[&alice, &bob]);
    let outsider = world.user("carol", 2);
    let (foreign, _) = world.key(&outsider, &den, Some(made), &[&alice, &bob]);
    assert_eq!(world.put(&foreign), Came::Refused(code::NOT_A_MEMBER));
    world.do_link(&alice, "room:den", MemberOperation::Remove, &bob);
    assert_eq!(world.say(&alice, &den, made.e, 0), Came::Rekey);
    assert_eq!(world.say(&bob, &den, made.e, 0), Came::Refused(code::NOT_A_MEMBER));
    let (with_bob, _) = world.key(&alice, &den, Some(made), &[&alice, &bob]);
    assert_eq!(world.put(&with_bob), Came::Refused(code::MEMBERS));
    let next = world.make(&alice, &den, Some(made), &[&alice]);
    assert!(matches!(world.say(&alice, &den, next.e, 0), Came::Stored(_)));
}

#[test]
fn links_are_appended_in_order_and_resent_safely() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let join = world.link(&alice, "room:lobby", MemberOperation::Join, &alice);
    let late = world.link(&bob, "room:lobby", MemberOperation::Join, &bob);
    let Came::Stored(position) = world.put(&join) else { panic!("not stored") };
    assert_eq!(world.put(&join), Came::Again(position));
    assert_eq!(world.put(&late), Came::Refused(code::MEMBERS));
    let for_other = world.link(&alice, "room:lobby", MemberOperation::Join, &bob);
    assert_eq!(world.put(&for_other), Came::Refused(code::NOT_ALLOWED));
    let nowhere = world.link(&bob, "room:nowhere", MemberOperation::Join, &bob);
    assert_eq!(world.put(&nowhere), Came::Refused(code::NO_SUCH_ROOM));
    let heads =
        world.router.signed_in(world.router.account(alice.peer.account).unwrap(), &alice.peer.sk);
    assert_eq!(heads.0.len(), 2, "lobby and ALL");
}

#[test]
fn a_revoked_key_is_out_and_closes_its_epochs() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let second = world.publish(&alice, 2, Nonce16([2; 16]), Vec::new());
    let made = world.make(&bob, &place, None, &[&alice, &second, &bob]);
    assert!(matches!(world.say(&second, &place, made.e, 0), Came::Stored(_)));
    let stolen = second.peer.sk;
    let alice = world.publish(&alice, 0, alice.bundle.header().dev, vec![stolen]);
    assert_eq!(world.say(&second, &place, made.e, 1), Came::Refused(code::BAD_SIGNATURE));
    assert_eq!(world.say(&bob, &place, made.e, 0), Came::Rekey);
    let (with_it, _) = world.key(&bob, &place, Some(made), &[&alice, &second, &bob]);
    assert_eq!(world.put(&with_it), Came::Refused(code::MEMBERS));
    world.make(&bob, &place, Some(made), &[&alice, &bob]);
}

#[test]
fn a_changed_key_needs_a_new_epoch_after_ten_seconds() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &bob]);
    world.now_ms += 60_000;
    let fresh = world.publish(&alice, 3, alice.bundle.header().dev, Vec::new());
    assert_eq!(world.say(&alice, &place, made.e, 0), Came::Refused(code::BAD_SIGNATURE));
    assert!(matches!(world.say(&bob, &place, made.e, 0), Came::Stored(_)));
    world.now_ms += 10_001;
    assert_eq!(world.say(&bob, &place, made.e, 1), Came::Rekey);
    let (old_line, _) = world.key(&bob, &place, Some(made), &[&alice, &bob]);
    assert_eq!(world.put(&old_line), Came::Refused(code::MEMBERS));
    world.make(&fresh, &place, Some(made), &[&fresh, &bob]);
}

#[test]
fn receipts_go_to_the_inbox_of_who_sent() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let carol = world.user("carol", 2);
    let receipt = |world: &mut World, from: &User, place: &str, to: &str| {
        let header = ReceiptHeader {
            v: 1,
            t: Tag::Ack,
            stage: Stage::Delivered,
            cid: cid(place),
            from: from.peer.name.clone(),
            sk: from.peer.sk,
            to: name(to),
            id: world.id(),
            ts: 0,
        };
        World::request(from, Header::Receipt(header), None)
    };
    let good = receipt(&mut world, &bob, "dm:alice:bob", "alice");
    let (stored, effects) = world.put_with(&good, &mut Pending::default());
    let Came::Stored(position) = stored else { panic!("{stored:?}") };
    let audience = effects.delivery.unwrap().audience;
    assert!(matches!(audience, Audience::Account(account) if account == alice.peer.account));
    assert_eq!(world.put(&good), Came::Again(position));
    let foreign = receipt(&mut world, &carol, "dm:alice:bob", "alice");
    assert_eq!(world.put(&foreign), Came::Refused(code::NOT_A_MEMBER));
    let outside = receipt(&mut world, &bob, "room:lobby", "alice");
    assert_eq!(world.put(&outside), Came::Refused(code::NOT_A_MEMBER));
    let nobody = receipt(&mut world, &bob, "dm:alice:bob", "nobody");
    assert_eq!(world.put(&nobody), Came::Refused(code::NO_SUCH_USER));
}

#[test]
fn a_message_goes_to_the_devices_of_the_epoch_but_the_sender() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let second = world.publish(&alice, 2, Nonce16([2; 16]), Vec::new());
    let place = cid("dm:alice:bob");
    let made = world.make(&alice, &place, None, &[&alice, &second, &bob]);
    let request = world.message(&alice, &place, made.e, 0);
    let (_, effects) = world.put_with(&request, &mut Pending::default());
    assert_eq!(effects.recipient, Some(bob.peer.account));
    let wire = crate::delivery::Wire::new(effects.delivery.unwrap());
    assert_eq!(wire.tag, None, "this frame is a bare header");
    let gets = [&alice, &second, &bob].map(|user| wire.line_for(&user.peer).is_some());
    assert_eq!(gets, [false, true, true]);
}
