//! The proof of the table of keys: whatever certification admits, `decide` admits at that place, too, with
//! the same proposal.
//!
//! A hub that is behind decides; the log goes on meanwhile. What may differ are the times of grace, by no
//! more than the age that a batch may have.

use std::collections::VecDeque;

use chat_protocol::{handshake::Purpose, keys::BundleOptions};

use super::*;
use crate::{
    admin::request::AdminRequest,
    connection::ConnectionId,
    order::{certify::Certifier, follow::STATE_AGE_MS},
    outbox::{OutboxLimits, bounded},
    request::{Proof, SignIn},
    router::guard::{Key, Keys},
    store::{Incarnation, NewBundle, NewSession, SessionPlace, memory::MemoryStore},
};

/// Worlds of the gate. More of them: `CHAT_GUARD_WORLDS=10000`.
const WORLDS: u64 = 150;

/// Within so many worlds a missing key is found.
const FOUND_WITHIN: u64 = 50;

const STEPS: usize = 150;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % u64::try_from(end).unwrap()).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Something that is decided, here and there.
type Ask = Box<dyn Fn(&Router, u64) -> Option<Proposal>>;

/// A key that the table lacks on purpose.
type Missing = fn(&Key) -> bool;

struct Cluster {
    dice: Dice,
    /// A hub that is behind, and its clock, which is that of all.
    behind: World,
    /// Turns that it has applied.
    applied: u64,
    /// The end of the log.
    end: Router,
    store: MemoryStore,
    certifier: Certifier,
    turn: u64,
    /// What the hub has not applied yet: when it came, what (nothing where it was void), and how it ended.
    under_way: VecDeque<(u64, Vec<u8>, Result<Stored, Conflict>)>,
    users: Vec<User>,
    /// Who does something, and where.
    now_at: (usize, ConversationId),
    missing: Option<Missing>,
    admitted: usize,
}

fn written(proposal: &Proposal) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(proposal, &mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Proposal {
    ciborium::from_reader(bytes).unwrap()
}

fn proposed(decision: Decision) -> Option<Proposal> {
    match decision {
        Decision::Propose(Proposal::Probe(_)) => None,
        Decision::Propose(proposal) => Some(proposal),
        _ => None,
    }
}

fn frame(request: FrameRequest) -> Ask {
    Box::new(move |router, now_ms| {
        proposed(router.decide(now_ms, &request, &mut Pending::default()))
    })
}

fn order(request: AdminRequest) -> Ask {
    Box::new(move |router, now_ms| match router.decide_admin(now_ms, &request) {
        AdminDecision::Propose(proposal, _) => Some(proposal),
        AdminDecision::Answer(_) => None,
    })
}

impl Cluster {
    fn new(seed: u64, missing: Option<Missing>) -> Self {
        let start = || Router::restore(Snapshot::default(), MailboxLimits::default()).unwrap();
        let mut cluster = Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            behind: World::new(),
            applied: 0,
            end: start(),
            store: MemoryStore::default(),
            certifier: Certifier::new(0),
            turn: 0,
            under_way: VecDeque::new(),
            users: Vec::new(),
            now_at: (0, cid("room:crew")),
            missing,
            admitted: 0,
        };
        // Their accounts and bundles are made on a hub of its own, and taken over as records.
        let mut maker = World::new();
        for (index, name) in ["alice", "bob", "carol"].into_iter().enumerate() {
            let user = maker.user(name, index);
            let bundle = Arc::clone(&user.bundle);
            let (name, password, vault, invite) = (user.peer.name.clone(), None, None, None);
            let new = NewAccount { name, bundle, password, vault, invite };
            cluster.commit(&Proposal::Account(Box::new(new)));
            cluster.users.push(user);
        }
        cluster.catch_up(usize::MAX);
        cluster.furnish();
        cluster
    }

    /// All are in a room, and every conversation has an epoch.
    fn furnish(&mut self) {
        use MemberOperation::{Create, Join};
        let crew = cid("room:crew");
        for (index, op) in [Create, Join, Join].into_iter().enumerate() {
            let user = self.users[index].clone();
            let request = self.behind.link(&user, crew.as_str(), op, &user);
            self.settle(&frame(request));
            let request = self.behind.link(&user, "room:lobby", Join, &user);
            self.settle(&frame(request));
        }
        let bob = self.users[1].clone();
        let request = self.behind.link(&bob, "feed:alice", Join, &bob);
        self.settle(&frame(request));
        for place in ["dm:alice:bob", "dm:bob:carol", "room:crew", "room:lobby", "feed:alice"] {
            let maker = usize::from(!place.contains("alice"));
            let user = self.users[maker].clone();
            let ask = self.epoch(&user, &cid(place));
            self.settle(&ask);
        }
    }

    /// Something that is decided and applied everywhere at once.
    fn settle(&mut self, ask: &Ask) {
        let proposal = ask(&self.behind.router, self.behind.now_ms).expect("it is lawful");
        self.commit(&proposal);
        self.catch_up(usize::MAX);
    }

    /// The next turn holds this.
    fn commit(&mut self, proposal: &Proposal) {
        let bytes = written(proposal);
        let committed = self.store.keep(read(&bytes));
        let outcome = committed.outcome;
        self.end.apply(self.behind.now_ms, committed);
        self.turn += 1;
        self.under_way.push_back((self.behind.now_ms, bytes, outcome));
    }

    /// The hub applies some of what it lacks.
    fn catch_up(&mut self, turns: usize) {
        for _ in 0..turns {
            let Some((now_ms, bytes, outcome)) = self.under_way.pop_front() else { break };
            self.applied += 1;
            if bytes.is_empty() {
                continue;
            }
            let proposal = read(&bytes);
            self.behind.router.apply(now_ms, Committed { proposal, outcome });
        }
    }

    fn time_goes_on(&mut self) -> u64 {
        self.behind.now_ms += u64::try_from(self.dice.below(400)).unwrap();
        self.behind.now_ms
    }

    /// One decision, and what the log makes of it.
    fn step(&mut self) -> Result<(), String> {
        let now_ms = self.time_goes_on();
        if self.dice.below(5) == 0 {
            let turns = self.dice.below(12);
            self.catch_up(turns);
        }
        while self.under_way.front().is_some_and(|(at, ..)| now_ms - at > STATE_AGE_MS) {
            self.catch_up(1);
        }
        let Some(ask) = self.ask() else { return Ok(()) };
        let Some(proposal) = ask(&self.behind.router, now_ms) else { return Ok(()) };
        let mut keys = self.behind.router.keys(&proposal);
        if let Some(missing) = self.missing {
            let keep = |keys: Vec<Key>| keys.into_iter().filter(|key| !missing(key)).collect();
            keys = Keys { reads: keep(keys.reads), writes: keys.writes };
        }
        // Another hub each time: what is void of one's own is another rule.
        let place = (Incarnation { node: 1, life: self.turn }, self.applied);
        let turn = self.turn + 1;
        if self.certifier.judge(turn, place, [&keys.guard()]) != [true] {
            self.turn = turn;
            self.under_way.push_back((now_ms, Vec::new(), Ok(Stored::Done)));
            return Ok(());
        }
        self.admitted += 1;
        let again = ask(&self.end, now_ms);
        if again.as_ref().map(written) != Some(written(&proposal)) {
            return Err(format!("admitted: {proposal:?}\nat its place: {again:?}"));
        }
        self.commit(&proposal);
        Ok(())
    }

    fn ask(&mut self) -> Option<Ask> {
        let places = ["dm:alice:bob", "dm:bob:carol", "room:crew", "room:lobby", "feed:alice"];
        // Often somebody goes on where they were.
        if self.dice.below(3) > 0 {
            self.now_at = (self.dice.below(self.users.len()), cid(self.dice.pick(&places)));
        }
        let (user, place) = self.now_at.clone();
        let user = self.users[user].clone();
        let other = self.users[self.dice.below(self.users.len())].clone();
        match self.dice.below(24) {
            0..=4 => self.message(&user, &place),
            5..=7 => Some(self.receipt(&user, &other, &place)),
            8..=10 => Some(self.link(&user, &other, &place)),
            11..=13 => Some(self.epoch(&user, &place)),
            14 | 15 => Some(self.bundle(&user)),
            16..=18 => Some(self.session(&user)),
            19..=21 => Some(self.order(&user)),
            22 => Some(self.topic(&user, &place)),
            _ => Some(self.account()),
        }
    }

    fn message(&mut self, user: &User, place: &ConversationId) -> Option<Ask> {
        let conversation = self.behind.router.conversations.get(place)?;
        let epoch = conversation.current()?;
        let (e, line) = (epoch.e, epoch.line(user.peer.account, &user.peer.sk)?);
        let n = epoch.counter(line).map_or(0, |last| last + 1);
        let mut request = self.behind.message(user, place, e, n);
        if place.is_direct() && self.dice.below(3) == 0 {
            let Header::Message(header) = &mut request.header else { return None };
            header.t = Tag::Cmd;
        }
        Some(frame(request))
    }

    fn receipt(&mut self, user: &User, other: &User, place: &ConversationId) -> Ask {
        let header = ReceiptHeader {
            v: 1,
            t: Tag::Ack,
            stage: Stage::Delivered,
            cid: place.clone(),
            from: user.peer.name.clone(),
            sk: user.peer.sk,
            to: other.peer.name.clone(),
            id: self.behind.id(),
            ts: 0,
        };
        frame(World::request(user, Header::Receipt(header), None))
    }

    fn link(&mut self, user: &User, other: &User, place: &ConversationId) -> Ask {
        use MemberOperation::{Admit, Create, Join, Leave, Remove, Role};
        let op = self.dice.pick(&[Create, Join, Join, Leave, Admit, Remove, Role]);
        let who = if matches!(op, Admit | Remove | Role) { other } else { user };
        let place = if place.is_direct() { cid("room:crew") } else { place.clone() };
        let mut request = self.behind.link(user, place.as_str(), op, who);
        if let (Role, Header::Member(header)) = (op, &mut request.header) {
            header.arg = self.dice.pick(&[MemberArgument::Admin, MemberArgument::Member]);
        }
        frame(request)
    }

    /// An epoch for exactly those who are wanted, as far as the hub that is behind knows.
    fn epoch(&mut self, user: &User, place: &ConversationId) -> Ask {
        let router = &self.behind.router;
        let before = router.conversations.get(place).and_then(|c| c.current());
        let before = before.map(|epoch| Made { e: epoch.e, g: epoch.g });
        let names = match router.conversations.get(place) {
            Some(conversation) => conversation.names(),
            None => vec![user.peer.name.clone()],
        };
        let is_in =
            |one: &&User| names.contains(&one.peer.name) || place.other(&one.peer.name).is_some();
        let with: Vec<User> = self.users.iter().filter(is_in).cloned().collect();
        let with: Vec<&User> = with.iter().collect();
        frame(self.behind.key(user, place, before, &with).0)
    }

    /// Other keys for a device, or another device; the older keys are revoked or not.
    fn bundle(&mut self, user: &User) -> Ask {
        let index = self.users.iter().position(|one| one.peer.name == user.peer.name).unwrap();
        let keys = world::mixed(user.keys, world::keys(self.dice.below(4)));
        let rev = if self.dice.below(2) == 0 { vec![user.peer.sk] } else { Vec::new() };
        let rb = (self.dice.below(2) == 0).then_some(Nonce16([9; 16]));
        let options = BundleOptions { rev, rb, ..BundleOptions::default() };
        let dev = user.bundle.header().dev;
        let now_ms = self.behind.now_ms;
        let bundle = keys.publish(&user.peer.name, dev, Some(&*user.bundle), now_ms, options);
        let Ok(bundle) = bundle.map(Arc::new) else { return Box::new(|_, _| None) };
        let (account, before) = (user.peer.account, user.bundle.digest());
        // From now on the user comes with the new keys, or with the old ones when these are not taken.
        if self.dice.below(2) > 0 {
            let mut next = user.clone();
            (next.bundle, next.keys) = (Arc::clone(&bundle), keys);
            let name = user.peer.name.clone();
            next.peer = world::peer((user.peer.account, user.peer.device), name, keys);
            self.users[index] = next;
        }
        Box::new(move |router, now_ms| {
            let known = router.account(account)?;
            let device = known.devices.iter().find(|device| device.dev == dev)?;
            let is_next = device.digest == before && bundle.identity() == known.identity;
            let is_taken = is_next && known.device_problem(now_ms, &bundle).is_none();
            let is_active = known.standing == Standing::Active;
            let (device, bundle) = (Some(device.id), Arc::clone(&bundle));
            let new = NewBundle { account, device, bundle };
            (is_taken && is_active).then(|| Proposal::Bundle(Box::new(new)))
        })
    }

    fn session(&mut self, user: &User) -> Ask {
        let is_open = self.dice.below(2) == 0;
        let turn = usize::try_from(self.turn).unwrap();
        let turn = if is_open { turn } else { self.dice.below(turn + 1) };
        let connection = ConnectionId(u64::try_from(turn).unwrap());
        let place = SessionPlace { hub: Incarnation::ALONE, connection };
        let purpose = self.dice.pick(&[Purpose::Interactive, Purpose::Task]);
        let (account, device) = (user.peer.account, user.peer.device);
        let new = NewSession { place, account, device, purpose, is_open, replaces: None };
        if !is_open {
            return Box::new(move |_, _| Some(Proposal::Session(new)));
        }
        let (name, sk) = (user.peer.name.clone(), user.peer.sk);
        let dev = user.bundle.header().dev;
        Box::new(move |router, now_ms| {
            let sign_in = SignIn {
                connection,
                name: name.clone(),
                proof: Proof::Known { dev },
                purpose,
                spki: Vec::new(),
                sk,
                invite: None,
                received: None,
                outbox: bounded(OutboxLimits::default()).0,
                reply: tokio::sync::oneshot::channel().0,
            };
            if router.decide_sign_in(now_ms, &sign_in, &mut Pending::default()).is_some() {
                return None;
            }
            let here = Incarnation::ALONE;
            router.admits_session((account, Some(device)), purpose, (here, |_| false)).ok()?;
            Some(Proposal::Session(new))
        })
    }

    fn order(&mut self, user: &User) -> Ask {
        let name = user.peer.name.clone();
        let who = (&name).into();
        let crew = RoomName::new("crew").unwrap();
        match self.dice.below(13) {
            0 => order(AdminRequest::Standing { who, standing: Standing::Disabled }),
            1..=4 => order(AdminRequest::Standing { who, standing: Standing::Active }),
            5..=7 => order(AdminRequest::Ban { what: crate::store::Banned::Key(user.peer.sk) }),
            8..=10 => order(AdminRequest::Unban { what: crate::store::Banned::Key(user.peer.sk) }),
            11 => order(AdminRequest::Moderator { name, is_one: true }),
            // The end of a world for one of them, or for the room.
            _ if self.dice.below(8) > 0 => self.moderation(user),
            _ if self.dice.below(2) > 0 => order(AdminRequest::CloseRoom { room: crew }),
            _ => order(AdminRequest::Standing { who, standing: Standing::Deleted }),
        }
    }

    fn moderation(&mut self, user: &User) -> Ask {
        use chat_protocol::hub::Moderation::{Ban, Kick, Unban};
        let act = self.dice.pick(&[Kick, Ban, Unban]);
        let who = self.users[self.dice.below(self.users.len())].peer.name.clone();
        let (peer, lobby) = (Arc::clone(&user.peer), cid("room:lobby"));
        Box::new(move |router, now_ms| {
            router.decide_moderation(now_ms, &peer, (&lobby, &who, act)).ok()
        })
    }

    fn topic(&mut self, user: &User, place: &ConversationId) -> Ask {
        let (peer, place) = (Arc::clone(&user.peer), place.clone());
        let keep_ms = self.dice.pick(&[None, Some(60_000)]);
        if self.dice.below(2) == 0 {
            return Box::new(move |router, _| router.decide_topic(&peer, &place, "market").ok());
        }
        Box::new(move |router, _| router.decide_retention(&peer, &place, keep_ms).ok())
    }

    /// One name that everybody wants.
    fn account(&mut self) -> Ask {
        let name = name(self.dice.pick(&["dave", "Dave"]));
        let bundle = Arc::clone(&self.users[0].bundle);
        let connection = ConnectionId(self.turn);
        Box::new(move |router, now_ms| {
            let bundle = Arc::clone(&bundle);
            let sign_in = SignIn {
                connection,
                name: name.clone(),
                proof: Proof::New { bundle, password: None, vault: None },
                purpose: Purpose::Task,
                spki: Vec::new(),
                sk: KeyId([1; 16]),
                invite: None,
                received: None,
                outbox: bounded(OutboxLimits::default()).0,
                reply: tokio::sync::oneshot::channel().0,
            };
            router.decide_sign_in(now_ms, &sign_in, &mut Pending::default()).and_then(proposed)
        })
    }
}

/// Runs a world; how many records were admitted, or what is wrong.
fn run(seed: u64, missing: Option<Missing>) -> Result<usize, String> {
    let mut cluster = Cluster::new(seed, missing);
    for _ in 0..STEPS {
        cluster.step().map_err(|wrong| format!("world {seed}: {wrong}"))?;
    }
    Ok(cluster.admitted)
}

#[test]
fn guards_cover_decide() {
    let worlds = std::env::var("CHAT_GUARD_WORLDS").ok();
    let worlds = worlds.map_or(WORLDS, |worlds| worlds.parse().unwrap());
    let admitted: usize = (0..worlds).map(|seed| run(seed, None).unwrap()).sum();
    assert!(admitted > 20 * usize::try_from(worlds).unwrap(), "{admitted} say too little");
}

/// Goal: the test above would find a key that is missing. Method: each kind is left out of what is read.
#[test]
fn a_missing_key_is_found() {
    let missing: [(&str, Missing); 6] = [
        ("structure", |key| matches!(key, Key::Structure)),
        ("account", |key| matches!(key, Key::Account(_))),
        ("conversation", |key| matches!(key, Key::Conversation(_))),
        ("line", |key| matches!(key, Key::Line(..))),
        ("door", |key| matches!(key, Key::Door)),
        ("device", |key| matches!(key, Key::Device(_))),
    ];
    for (name, missing) in missing {
        let found = (0..FOUND_WITHIN).find(|seed| run(*seed, Some(missing)).is_err());
        println!("{name}: {found:?}");
        assert!(found.is_some(), "nobody misses the key of {name}");
    }
}
