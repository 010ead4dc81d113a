//! Why there is no connection.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chat_protocol::code;
use chat_protocol::handshake::HandshakeError;
use chat_protocol::id::KeyId;
use chat_protocol::sanitise;
use thiserror::Error;
use tokio_tungstenite::tungstenite;

use crate::config::ServerUrl;
use crate::exit::ExitStatus;
use crate::home::HomeError;

/// Why there is no connection, or no sign-in on it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address at all.
    #[error("no server is named; give --server URL")]
    NoServer,
    /// No TCP connection.
    #[error("cannot reach {url}: {source}; is chat-server running there?")]
    Unreachable {
        /// Where.
        url: ServerUrl,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody accepts connections and says nothing.
    #[error("{url} does not answer in time; is it a chat-server?")]
    Timeout {
        /// Where.
        url: ServerUrl,
    },
    /// TLS could not be set up on this side.
    #[error("TLS cannot be used: {reason}")]
    TlsSetup {
        /// Why.
        reason: String,
    },
    /// No TLS.
    #[error("no TLS with {url}: {source}")]
    Tls {
        /// Where.
        url: ServerUrl,
        /// Why.
        source: io::Error,
    },
    /// The certificate is not the one seen first.
    #[error(
        "THE CERTIFICATE OF {url} HAS CHANGED. Somebody may be listening in. Its fingerprint is \
         now sha256:{got}. Ask its operator; if the change is right, take the sha256 word out of \
         the line of this address in known_servers, in the home folder"
    )]
    CertificateChanged {
        /// Where.
        url: ServerUrl,
        /// What was offered.
        got: String,
    },
    /// It is no chat server, or not at this path.
    #[error("{url} does not speak WebSocket: {source}")]
    Upgrade {
        /// Where.
        url: ServerUrl,
        /// Why.
        source: Box<tungstenite::Error>,
    },
    /// Another server than the one known answers.
    #[error(
        "ANOTHER SERVER ANSWERS AT {url}. Known is {known}, it says {got}. Nothing was sent. If the \
         server was set up anew, take its line out of {}", .path.as_deref().map_or_else(
            || "known_servers".to_owned(), |path| path.display().to_string())
    )]
    ServerChanged {
        /// Where.
        url: ServerUrl,
        /// Who answered before.
        known: KeyId,
        /// Who answers now.
        got: KeyId,
        /// The file of known servers.
        path: Option<PathBuf>,
    },
    /// The greeting or the answer does not prove what it says.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Something else than what comes next.
    #[error("{url} does not speak this protocol; is it a chat-server of this version?")]
    Unexpected {
        /// Where.
        url: ServerUrl,
    },
    /// Not now.
    #[error("the server is busy: {}", sanitise::line(.why))]
    Busy {
        /// When to try again.
        after: Duration,
        /// Why.
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
        /// Why.
        reason: String,
    },
    /// What was learnt could not be kept.
    #[error(transparent)]
    Home(#[from] HomeError),
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
            Self::CertificateChanged { .. } | Self::ServerChanged { .. } | Self::Handshake(_)
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
            | Self::Busy { .. }
            | Self::Lost { .. } => true,
            // The server may not have noticed yet that the old connection is gone.
            Self::Refused { code, .. } => code == code::NAME_IN_USE || code == code::STORAGE_FULL,
            _ => false,
        }
    }

    /// How the program ends because of it.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Home(_) => ExitStatus::Storage,
            Self::TlsSetup { .. } => ExitStatus::Failure,
            Self::Refused { code, .. } => match code.as_str() {
                code::NAME_TAKEN | code::NAME_IN_USE => ExitStatus::NameTaken,
                code::SIGN_IN | code::NO_SUCH_USER | code::TOO_MANY => ExitStatus::SignInRefused,
                code::STORAGE_FULL => ExitStatus::Storage,
                _ => ExitStatus::Refused,
            },
            _ if self.is_integrity() => ExitStatus::Integrity,
            _ => ExitStatus::CannotConnect,
        }
    }
}
