//! A router with a store in memory and a clock that tests turn, and the people who use it.

use std::sync::OnceLock;

use chat_protocol::{
    crypto::{SigningKey, UnwrapKey, sha256},
    handshake::Purpose,
    header::{
        Canonical, KeyHeader, MemberArgument, MemberHeader, MemberOperation, MessageHeader,
        Recipient,
    },
    id::{MessageId, Nonce16},
    keys::{Bundle, BundleOptions, DeviceKeys, KeySizes},
    members::{MemberLine, MemberList},
    tag::Tag,
};
use tokio::time::Instant;

use super::*;
use crate::{
    budgets::AccountBudgets,
    connection::ConnectionId,
    outbox::{OutboxLimits, bounded},
    request::{EpochUpload, Heard, Peer},
    store::{DeviceId, NewAccount, NewBundle, memory::MemoryStore},
};

pub(super) fn keys(index: usize) -> &'static DeviceKeys {
    static KEYS: [OnceLock<DeviceKeys>; 4] = [const { OnceLock::new() }; 4];
    KEYS[index].get_or_init(|| DeviceKeys::generate(KeySizes::EMULATED).unwrap())
}

pub(super) fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

pub(super) fn cid(text: &str) -> ConversationId {
    ConversationId::parse(text).unwrap()
}

/// A connection of a device with these keys.
pub(super) fn peer(
    (account, device): (AccountId, DeviceId),
    name: UserName,
    keys: &DeviceKeys,
) -> Arc<Peer> {
    Arc::new(Peer {
        connection: ConnectionId(1),
        account,
        device,
        name,
        sk: keys.signing_id(),
        spki: Vec::new(),
        purpose: Purpose::Task,
        outbox: bounded(OutboxLimits::default()).0,
        budgets: AccountBudgets::lifted(),
        heard: Heard::default(),
        page: tokio::sync::Semaphore::new(1),
    })
}

/// A user as the reader knows them.
#[derive(Clone)]
pub(super) struct User {
    pub(super) peer: Arc<Peer>,
    pub(super) bundle: Arc<Bundle>,
    pub(super) keys: &'static DeviceKeys,
}

impl User {
    pub(super) fn line(&self) -> MemberLine {
        self.bundle.member_line().unwrap()
    }
}

pub(super) struct World {
    pub(super) router: Router,
    pub(super) store: MemoryStore,
    pub(super) now_ms: u64,
    pub(super) ids: u8,
}

/// An epoch that was accepted.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) e: Digest,
    pub(super) g: u32,
}

/// What a request came to.
#[derive(Debug, PartialEq)]
pub(super) enum Came {
    Stored(u64),
    Again(u64),
    Refused(&'static str),
    Rekey,
    Defer,
}

impl World {
    pub(super) fn new() -> Self {
        let router = Router::restore(Snapshot::default(), MailboxLimits::default()).unwrap();
        Self { router, store: MemoryStore::default(), now_ms: 1_000_000, ids: 0 }
    }

    pub(super) fn user(&mut self, user: &str, index: usize) -> User {
        let (user, keys, dev) = (name(user), keys(index), Nonce16([0; 16]));
        let options = BundleOptions::default();
        let bundle = Arc::new(keys.publish(&user, dev, None, 5, options).unwrap());
        let new = NewAccount {
            name: user.clone(),
            bundle: Arc::clone(&bundle),
            password: None,
            vault: None,
            invite: None,
        };
        let committed = self.store.keep(Proposal::Account(Box::new(new)));
        let Ok(Stored::Account(account, device)) = committed.outcome else { panic!("taken") };
        self.router.apply(self.now_ms, committed);
        User { peer: peer((account, device), user, keys), bundle, keys }
    }

    pub(super) fn pair(&mut self) -> (User, User) {
        (self.user("alice", 0), self.user("bob", 1))
    }

    /// Publishes another bundle of a user, with other keys if `index` is given.
    pub(super) fn publish(
        &mut self,
        user: &User,
        index: usize,
        dev: Nonce16,
        rev: Vec<KeyId>,
    ) -> User {
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
        User { peer: peer((account, device), user.peer.name.clone(), keys), bundle, keys }
    }

    /// Applies a proposal as if a store had kept it with this outcome.
    pub(super) fn apply(&mut self, proposal: Proposal, stored: Stored) -> Effects {
        self.router.apply(self.now_ms, Committed { proposal, outcome: Ok(stored) })
    }

    pub(super) fn id(&mut self) -> MessageId {
        self.ids += 1;
        MessageId([self.ids; 16])
    }

    pub(super) fn request(user: &User, header: Header, epoch: Option<EpochUpload>) -> FrameRequest {
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
    pub(super) fn put(&mut self, request: &FrameRequest) -> Came {
        self.put_with(request, &mut Pending::default()).0
    }

    pub(super) fn put_with(
        &mut self,
        request: &FrameRequest,
        pending: &mut Pending,
    ) -> (Came, Effects) {
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

    pub(super) fn message(
        &mut self,
        user: &User,
        place: &ConversationId,
        e: Digest,
        n: u32,
    ) -> FrameRequest {
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

    pub(super) fn say(&mut self, user: &User, place: &ConversationId, e: Digest, n: u32) -> Came {
        let request = self.message(user, place, e, n);
        self.put(&request)
    }

    pub(super) fn key(
        &mut self,
        user: &User,
        place: &ConversationId,
        before: Option<Made>,
        with: &[&User],
    ) -> (FrameRequest, Made) {
        let header = self.key_header(user, place, before, with);
        Self::key_of(user, header, with)
    }

    /// The first epoch of a conversation, whose maker leaves somebody out and says so.
    pub(super) fn key_without(
        &mut self,
        user: &User,
        place: &ConversationId,
        (with, without): (&[&User], &[&User]),
    ) -> (FrameRequest, Made) {
        let mut header = self.key_header(user, place, None, with);
        header.wo = without.iter().map(|user| user.peer.name.clone()).collect();
        Self::key_of(user, header, with)
    }

    fn key_header(
        &mut self,
        user: &User,
        place: &ConversationId,
        before: Option<Made>,
        with: &[&User],
    ) -> KeyHeader {
        let members = MemberList::new(with.iter().map(|user| user.line()));
        let g = before.map_or(0, |made| made.g + 1);
        let head = self.router.head(place);
        KeyHeader {
            v: 1,
            t: Tag::Key,
            cid: place.clone(),
            from: user.peer.name.clone(),
            sk: user.peer.sk,
            eid: Nonce16(self.id().0),
            g,
            pe: before.map_or(Digest::ZERO, |made| made.e),
            mg: head.mg,
            pm: head.pm,
            kc: Digest::ZERO,
            mh: members.hash(),
            ts: 0,
            wo: Vec::new(),
        }
    }

    fn key_of(user: &User, header: KeyHeader, with: &[&User]) -> (FrameRequest, Made) {
        let members = MemberList::new(with.iter().map(|user| user.line()));
        let g = header.g;
        let e = Digest(sha256(&header.to_bytes()));
        let wraps = with.iter().map(|_| Bytes::from_static(b"wrap")).collect();
        let upload = EpochUpload { e, members, wraps };
        (Self::request(user, Header::Key(header), Some(upload)), Made { e, g })
    }

    pub(super) fn make(
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

    pub(super) fn link(
        &mut self,
        user: &User,
        room: &str,
        op: MemberOperation,
        who: &User,
    ) -> FrameRequest {
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

    pub(super) fn do_link(&mut self, user: &User, room: &str, op: MemberOperation, who: &User) {
        let request = self.link(user, room, op, who);
        let came = self.put(&request);
        assert!(matches!(came, Came::Stored(_)), "{came:?}");
    }
}

pub(super) fn came(decision: &Decision) -> Came {
    match decision {
        Decision::Again(position) => Came::Again(*position),
        Decision::Refuse(refusal) => Came::Refused(refusal.code),
        Decision::Rekey(_) => Came::Rekey,
        Decision::Defer => Came::Defer,
        Decision::Propose(_) => panic!("decided twice"),
    }
}

pub(super) fn mixed(identity: &DeviceKeys, other: &DeviceKeys) -> &'static DeviceKeys {
    Box::leak(Box::new(DeviceKeys {
        identity: SigningKey::from_pkcs8(&identity.identity.to_pkcs8()).unwrap(),
        signing: SigningKey::from_pkcs8(&other.signing.to_pkcs8()).unwrap(),
        encryption: UnwrapKey::from_pkcs8(&other.encryption.to_pkcs8()).unwrap(),
        former: Vec::new(),
    }))
}
