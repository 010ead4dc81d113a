//! What a client tells its host: what happens, why it is over, and how things stand.

use std::time::Duration;

use chat_endpoint::Notification;
use chat_protocol::id::{KeyId, MessageId, Nonce16};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use thiserror::Error;

use crate::connection::{Brought, ConnectError};
use crate::home::HomeError;
use crate::server_url::ServerUrl;

/// What happens.
#[derive(Debug)]
pub enum ClientEvent {
    /// The connection is signed in.
    Online {
        /// The server's address.
        url: ServerUrl,
        /// The server's identity.
        server: KeyId,
        /// This machine's clock and the server's at that moment, Unix time in milliseconds.
        clocks: (u64, u64),
    },
    /// All that waited at the server when this connection was signed in was told; what follows is new.
    CaughtUp,
    /// The server owes an answer for some time, and has said nothing.
    Silent {
        /// For how long.
        seconds: u64,
    },
    /// The server says something again.
    Answering,
    /// The connection is gone; another try follows by itself.
    Offline {
        /// What ended it, for people.
        reason: String,
    },
    /// The device says something.
    Notification(Notification),
    /// It is over; nothing follows.
    Stopped(Stopped),
}

/// Why a client ended without being asked to.
#[derive(Debug, Error)]
pub enum Stopped {
    /// No further try can succeed.
    #[error(transparent)]
    Connection(#[from] ConnectError),
    /// The home's database or another file of it failed.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The server claims too often that this device is older than what it has sent.
    #[error(
        "the server says once more that this device is older than what it has sent, and three new \
         signing keys were made because of that within a day; no other is made. Ask its operator what \
         happened, and start again later"
    )]
    Counters,
    /// A part of this program failed.
    #[error("internal error: {0}")]
    Internal(String),
}

/// How things stand, for people.
#[derive(Debug, Clone)]
pub struct Status {
    /// The user who is signed in.
    pub user: UserName,
    /// Which device.
    pub dev: Nonce16,
    /// Identity key of this user.
    pub identity: KeyId,
    /// Identity of the server.
    pub server: KeyId,
    /// Where the connection is; none while there is none.
    pub url: Option<ServerUrl>,
    /// All addresses of the server, as they were given.
    pub addresses: Vec<ServerUrl>,
    /// After this time the next attempt to connect begins, while one is waited for.
    pub retry_in: Option<Duration>,
    /// It has gone away by [`Client::go_away`](crate::client::Client::go_away): nothing is tried before
    /// [`Client::come_back`](crate::client::Client::come_back).
    pub is_away: bool,
    /// How long the last answer took, in microseconds.
    pub answer_us: Option<u64>,
    /// How many seconds the server has owed an answer, if that is long.
    pub silent_s: Option<u64>,
    /// Messages and receipts without an answer.
    pub unanswered: usize,
    /// Messages without an answer, oldest first.
    pub pending: Vec<(MessageId, ConversationId, Tag)>,
}

/// Why keys were not replaced or revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RenewError {
    /// There is nobody to publish them.
    #[error("there is no connection; try again when there is one")]
    Offline,
    /// Something is on its way that the old key has signed.
    #[error("messages are still on their way; try again when they are answered")]
    Unanswered,
    /// The server has other keys of this device than this home has made.
    #[error(
        "NOT DONE: the server says that this device has published newer keys than those of this home (E_OLD_KEYS), and has \
         not taken what was to be published. A copy of this home has gone on, somebody has your identity key, or the server is \
         wrong; try again in a minute"
    )]
    TooOld,
    /// The server takes it later.
    #[error(
        "not done yet: the server puts off what was to be published; this device publishes it with its next connection"
    )]
    PutOff,
    /// The client has stopped.
    #[error("the client has stopped before the new keys were published; start it again")]
    Stopped,
}

impl RenewError {
    /// Why the server does not have what was to be published, by what became of it at the sign-in.
    pub(crate) fn after(brought: Brought) -> Self {
        match brought {
            Brought::TooOld => Self::TooOld,
            Brought::PutOff => Self::PutOff,
            Brought::Taken | Brought::Nothing => Self::Offline,
        }
    }
}
