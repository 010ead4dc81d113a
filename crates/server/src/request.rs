//! What reaches the worker: verified by the reader, and carrying what an answer needs.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chat_protocol::{
    code,
    handshake::{Purpose, ReceivedAuth, SignedIn},
    header::Header,
    hub::{ClientToHub, Head, HubStage, HubToClient},
    id::{Digest, KeyId, MessageId, Nonce16},
    keys::Bundle,
    members::MemberList,
    name::{ConversationId, UserName},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use crate::{
    admin::request::{AdminAnswer, AdminRequest},
    budgets::{AccountBudgets, MailboxLimits},
    connection::ConnectionId,
    outbox::Outbox,
    queue::{ConnectionSender, QueueSender},
    store::{
        AccountId, Banned, CopyChange, DeviceId, Incarnation, LogId, NewPassword, Registration,
    },
};

/// What a device is told that another one of its account has shut out.
pub const REVOKED: &str = "another device of your account has revoked this one: nothing is sent or read \
                           here any more";

/// What a device is told whose account has another identity now.
pub const REPLACED: &str = "this account has another identity now: somebody has entered it with a code of who \
                            runs this server, and its devices of before are out. If that was not you, ask there";

/// What a device is told that comes with older keys than it has published.
pub const OLD_KEYS: &str =
    "this device has published newer keys than these: another copy of its home has gone on";

/// The queue of the hub, as readers see it.
pub type Requests = QueueSender<Request, ConversationId>;

/// The queue of the hub, as one connection sees it.
pub type Sender = ConnectionSender<Request, ConversationId>;

/// A signed-in connection.
pub struct Peer {
    /// Its number.
    pub connection: ConnectionId,
    /// Whose.
    pub account: AccountId,
    /// Which device.
    pub device: DeviceId,
    /// The name.
    pub name: UserName,
    /// The device's signing key.
    pub sk: KeyId,
    /// That key as SPKI DER.
    pub spki: Vec<u8>,
    /// What the connection is for.
    pub purpose: Purpose,
    /// Where answers and deliveries go.
    pub outbox: Outbox,
    /// What its account may use, shared by all of its connections.
    pub budgets: Arc<AccountBudgets>,
    /// When it last said anything.
    pub heard: Heard,
    /// The right to ask for a large page: there is one, and it comes back with the answer. So no more is
    /// read for a connection than it takes.
    pub page: Semaphore,
}

/// When a connection last said anything.
#[derive(Debug)]
pub struct Heard(Mutex<Instant>);

impl Default for Heard {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Heard {
    /// It says something now.
    pub fn now(&self) {
        *self.0.lock() = Instant::now();
    }

    /// When that was.
    pub fn at(&self) -> Instant {
        *self.0.lock()
    }
}

/// One thing for the worker to do.
pub enum Request {
    /// A frame to keep.
    Frame(Box<FrameRequest>),
    /// A question, or cursors.
    Ask(Arc<Peer>, ClientToHub),
    /// Somebody wants to come in.
    SignIn(Box<SignIn>),
    /// Another password, proved and hashed.
    Password(Box<PasswordChange>),
    /// An account is to be deleted by its owner's wish, which was proved.
    Delete(Box<Deletion>),
    /// What the hub had lost, proved.
    Remind(Reminder),
    /// The operator asks for something.
    Admin(Box<AdminOrder>),
    /// The configuration was read again.
    Settings(Box<Settings>),
    /// The list of copies changes.
    Copy(Box<CopyRequest>),
    /// A session has caught up.
    GoLive(GoLive),
    /// A connection has ended.
    Leave(Arc<Peer>),
    /// A hub that shares the log has not been heard of.
    Lost(Box<LostHub>),
    /// Somebody waits until all that was kept until now, wherever, can be read here.
    Look(oneshot::Sender<()>),
}

/// A frame whose signature, shape and addresses are in order.
pub struct FrameRequest {
    /// Who sent it.
    pub peer: Arc<Peer>,
    /// Its header.
    pub header: Header,
    /// The whole frame.
    pub frame: Bytes,
    /// SHA-256 of what was signed.
    pub digest: Digest,
    /// What came with a KEY.
    pub epoch: Option<EpochUpload>,
    /// When it arrived.
    pub arrived: Instant,
}

impl FrameRequest {
    /// How much there is of it, with what came with a KEY.
    pub fn bytes(&self) -> usize {
        let parts = self.epoch.as_ref().map_or(0, |epoch| {
            epoch.members.as_bytes().len() + epoch.wraps.iter().map(Bytes::len).sum::<usize>()
        });
        self.frame.len().saturating_add(parts)
    }
}

/// The parts of an epoch beside its KEY frame.
#[derive(Clone)]
pub struct EpochUpload {
    /// Digest of the KEY header.
    pub e: Digest,
    /// Who holds the key; its hash is the one in the header.
    pub members: MemberList,
    /// One wrapped key for each line.
    pub wraps: Vec<Bytes>,
}

/// Something that the hub had lost.
pub enum Reminder {
    /// A bundle of an account.
    Bundle(Arc<Bundle>),
    /// A link of a room's chain, with the connection that brings it, and the identity of its signer.
    Link(Box<FrameRequest>, KeyId),
}

/// A sign-in of which everything but the state of the hub has been checked.
pub struct SignIn {
    /// Its connection.
    pub connection: ConnectionId,
    /// The name.
    pub name: UserName,
    /// What was proved.
    pub proof: Proof,
    /// What the connection is for.
    pub purpose: Purpose,
    /// The signing key as SPKI DER.
    pub spki: Vec<u8>,
    /// Its id.
    pub sk: KeyId,
    /// SHA-256 of the code for a new account, if one was given.
    pub invite: Option<Digest>,
    /// Seals the OK; none for a connection inside of this process.
    pub received: Option<Box<ReceivedAuth>>,
    /// Where OK goes.
    pub outbox: Outbox,
    /// How it ended.
    pub reply: oneshot::Sender<Result<Admitted, Refusal>>,
}

/// Another password.
pub struct PasswordChange {
    /// What is to be kept.
    pub new: NewPassword,
    /// How it ended.
    pub reply: oneshot::Sender<Result<(), Refusal>>,
}

/// The end of an account that its owner wants.
pub struct Deletion {
    /// Which.
    pub account: AccountId,
    /// The signing key of the device that has asked.
    pub sk: KeyId,
    /// How it ended.
    pub reply: oneshot::Sender<Result<(), Refusal>>,
}

/// A hub that has not been heard of for so long that it is taken for dead.
pub struct LostHub {
    /// Which.
    pub hub: Incarnation,
    /// Whether that was tried to be written down: it is not true where the hub has written since.
    pub was_tried: bool,
    /// Whether it is gone by the log.
    pub reply: oneshot::Sender<bool>,
}

/// What of the configuration the worker decides by.
pub struct Settings {
    /// How long rooms keep messages where they say nothing, in milliseconds; 0 for ever.
    pub retention_ms: u64,
    /// Who may make an account.
    pub registration: Registration,
    /// Who is kept out, beside the ban list.
    pub bans: Vec<Banned>,
    /// How much may wait for somebody.
    pub mailbox: MailboxLimits,
}

/// What the operator asks for.
pub struct AdminOrder {
    /// What.
    pub request: AdminRequest,
    /// What is answered when it is kept; filled in when it is decided.
    pub what: Vec<String>,
    /// How it ended.
    pub reply: oneshot::Sender<AdminAnswer>,
}

/// A change of the list of copies.
pub struct CopyRequest {
    /// What is to be kept.
    pub change: CopyChange,
    /// Whether it is durable.
    pub reply: oneshot::Sender<Result<(), Refusal>>,
}

/// What a sign-in has proved.
pub enum Proof {
    /// A new account.
    New {
        /// Its first bundle.
        bundle: Arc<Bundle>,
        /// Argon2 string of the login secret.
        password: Option<String>,
        /// The sealed vault.
        vault: Option<Vec<u8>>,
    },
    /// Another identity for an account, with a code of the operator, and its first device.
    Reset {
        /// SHA-256 of the code.
        code: Digest,
        /// Its first bundle.
        bundle: Arc<Bundle>,
        /// Argon2 string of the login secret.
        password: Option<String>,
        /// The sealed vault.
        vault: Option<Vec<u8>>,
    },
    /// The newest key of a known device.
    Known {
        /// Which device.
        dev: Nonce16,
    },
    /// A new bundle of a known device, or by password one of a new device.
    Bundle {
        /// The bundle.
        bundle: Arc<Bundle>,
        /// Digest of the bundle that it follows; none for a new device.
        after: Option<Digest>,
    },
}

/// Signed in.
pub struct Admitted {
    /// The session.
    pub peer: Arc<Peer>,
    /// What it has to catch up with.
    pub plan: Plan,
    /// Whether the account is new.
    pub is_new: bool,
    /// What OK says, for a connection inside of this process, which gets no OK.
    pub signed_in: Option<SignedIn>,
}

/// What is newer than a device may have.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Logs and their last positions.
    pub logs: Vec<(LogId, u64)>,
    /// The last position given when this was written.
    pub target: u64,
    /// What is told before anything of them.
    pub notices: Vec<HubToClient>,
}

/// A session has read everything up to a position.
pub struct GoLive {
    /// The session.
    pub peer: Arc<Peer>,
    /// Up to here.
    pub position: u64,
    /// `None`: it is live. Otherwise what is to be read first.
    pub reply: oneshot::Sender<Option<Plan>>,
}

/// Why the hub does not do it. Its text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable code.
    pub code: &'static str,
    /// A sentence.
    pub reason: String,
    /// Where the conversation stands.
    pub head: Option<Box<Head>>,
    /// The hub's time.
    pub time: Option<u64>,
    /// The same may come again after so many milliseconds.
    pub retry_ms: Option<u64>,
}

/// Longest reason that is told: it may quote what the client has sent.
const REASON_BYTES_MAX: usize = 1024;

impl Refusal {
    /// A refusal with a code and a sentence.
    pub fn new(code: &'static str, reason: impl Into<String>) -> Self {
        let mut reason: String = reason.into();
        if reason.len() > REASON_BYTES_MAX {
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        }
        Self { code, reason, head: None, time: None, retry_ms: None }
    }

    /// The same may come again after this time.
    #[must_use]
    pub fn with_retry(self, after: Duration) -> Self {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self { retry_ms: Some(after_ms), ..self }
    }

    /// Tells where the conversation stands, too.
    #[must_use]
    pub fn with_head(self, head: Head) -> Self {
        Self { head: Some(Box::new(head)), ..self }
    }

    /// The disk is full.
    pub fn storage_full() -> Self {
        Self::new(code::STORAGE_FULL, "the disk of the server is full; nothing was kept")
    }

    /// The message for the client.
    pub fn to_message(&self, stage: HubStage, id: Option<MessageId>) -> HubToClient {
        if let Some(after_ms) = self.retry_ms {
            let id = id.unwrap_or(MessageId([0; 16]));
            return HubToClient::Retry { id, after_ms, why: self.reason.clone() };
        }
        HubToClient::Noack {
            stage,
            id,
            code: self.code.to_owned(),
            reason: self.reason.clone(),
            head: self.head.as_deref().cloned(),
            time: self.time,
        }
    }
}
