//! Why there is no connection.

use std::fmt;
use std::io;
use std::time::Duration;

use chat_protocol::handshake::HandshakeError;
use chat_protocol::{code, sanitise};
use thiserror::Error;
use tokio_tungstenite::tungstenite;

use super::shown::Shown;
use crate::home::HomeError;
use crate::home::known_servers::TwoServers;
use crate::server_url::ServerUrl;

/// Why there is no connection, or no sign-in on it.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No address at all.
    #[error("no server is named; give --server URL")]
    NoServer,
    /// No TCP connection.
    #[error("cannot reach {url}: {source}; is chat-server running there?")]
    Unreachable {
        /// The address that was tried.
        url: ServerUrl,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody accepts connections and says nothing.
    #[error("{url} does not answer in time; is it a chat-server?")]
    Timeout {
        /// The address that was tried.
        url: ServerUrl,
    },
    /// TLS could not be set up on this side.
    #[error("TLS cannot be used: {reason}")]
    TlsSetup {
        /// What is wrong here.
        reason: String,
    },
    /// No TLS.
    #[error("no TLS with {url}: {source}")]
    Tls {
        /// The address that was tried.
        url: ServerUrl,
        /// What TLS or the connection said.
        source: io::Error,
    },
    /// The certificate is not the one seen first.
    #[error(
        "THE CERTIFICATE OF {} HAS CHANGED. Somebody may be listening in. {}; the words are those of \
         the server known here. Compare the certificate with what the server says at its start; if it \
         is the same: --accept-server \"{}\" once, or {forget}. Nothing was sent",
        .shown.url, .shown.described(), .shown.words
    )]
    CertificateChanged {
        /// What it shows now.
        shown: Box<Shown>,
        /// What to type to begin anew.
        forget: String,
    },
    /// It is no chat server, or not at this path.
    #[error("{url} does not speak WebSocket: {source}")]
    Upgrade {
        /// The address that was tried.
        url: ServerUrl,
        /// What the server has answered instead.
        source: Box<tungstenite::Error>,
    },
    /// Another server than the one known answers.
    #[error(
        "ANOTHER SERVER ANSWERS AT {} (server_changed). The words of the known one: {known}. {}. \
         Nothing was sent. {why}", .shown.url, .shown.described()
    )]
    ServerChanged {
        /// The words of the one expected.
        known: String,
        /// Who answers now.
        shown: Box<Shown>,
        /// Why the other one is expected.
        why: Box<Why>,
    },
    /// The home knows two servers at the addresses of one.
    #[error(transparent)]
    TwoServers(Box<TwoServers>),
    /// The first contact with a server that no authority vouches for, and nobody has said yes.
    #[error(
        "{} is not known here, and no authority vouches for its certificate. {}. Compare both with \
         what the server says at its start and with `chat-server fingerprint`; if they are the \
         same: --accept-server \"{}\". Nothing was sent", .shown.url, .shown.described(), .shown.words
    )]
    Unknown {
        /// What it shows.
        shown: Box<Shown>,
    },
    /// Not the words that --accept-server gives.
    #[error(
        "{} IS NOT THE SERVER OF --accept-server. {}. Nothing was sent", .shown.url, .shown.described()
    )]
    OtherWords {
        /// What it shows.
        shown: Box<Shown>,
    },
    /// The greeting or the answer does not prove what it says.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Something else than what comes next.
    #[error("{url} does not speak this protocol; is it a chat-server of this version?")]
    Unexpected {
        /// The address that was tried.
        url: ServerUrl,
    },
    /// No address of several.
    #[error("none of {} addresses lets in: {}", .tried.len(), listed(.tried))]
    Nowhere {
        /// What came of each.
        tried: Vec<ConnectError>,
    },
    /// Not now.
    #[error("the server is busy: {}", sanitise::line(.why))]
    Busy {
        /// When to try again.
        after: Duration,
        /// The server's reason, as received.
        why: String,
    },
    /// The server refuses the sign-in.
    #[error("{} ({})", sanitise::line(.reason), sanitise::line(.code))]
    Refused {
        /// A stable code.
        code: String,
        /// A sentence.
        reason: String,
    },
    /// The connection is gone.
    #[error("the connection is gone: {}", sanitise::line(.reason))]
    Lost {
        /// What ended it, for people.
        reason: String,
    },
    /// What was learnt could not be kept.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl From<Box<TwoServers>> for ConnectError {
    fn from(error: Box<TwoServers>) -> Self {
        Self::TwoServers(error)
    }
}

/// Why a certain server is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The home knows it at this address.
    KnownHere {
        /// What to type to begin anew.
        forget: String,
    },
    /// The home knows it at another address of the same server.
    OneServer {
        /// That address.
        at: ServerUrl,
        /// What to type to begin anew.
        forget: String,
    },
    /// This process has met it.
    Met {
        /// Where.
        at: ServerUrl,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KnownHere { forget } => write!(f, "If the server was set up anew: {forget}"),
            Self::OneServer { at, forget } => write!(
                f,
                "All addresses of one command line are those of one server, and it is known at {at}. Leave this \
                 address out, or, if the server was set up anew: {forget}"
            ),
            Self::Met { at } => write!(
                f,
                "This program began with the other one, it was met at {at}, and has one server for as long as it runs"
            ),
        }
    }
}

fn listed(tried: &[ConnectError]) -> String {
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ConnectError {
    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether somebody answers who is not the server known.
    pub fn is_integrity(&self) -> bool {
        matches!(
            self,
            Self::CertificateChanged { .. }
                | Self::ServerChanged { .. }
                | Self::TwoServers(_)
                | Self::Unknown { .. }
                | Self::OtherWords { .. }
                | Self::Handshake(_)
        )
    }

    /// Whether another try later may succeed without a person doing something.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Tls { .. }
            | Self::Upgrade { .. }
            | Self::Unexpected { .. }
            | Self::Nowhere { .. }
            | Self::Busy { .. }
            | Self::Lost { .. } => true,
            // The server may not have noticed yet that the old connection is gone.
            Self::Refused { code, .. } => code == code::NAME_IN_USE || code == code::STORAGE_FULL,
            _ => false,
        }
    }
}
