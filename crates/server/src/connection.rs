//! What the hub knows about a connection before anybody has signed in on it.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Number of a connection, counted from the start of the process and never used again in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// The hub itself, for requests that no connection made.
    pub const HUB: Self = Self(0);
    /// The hub's own agent. Connections from outside count from 2.
    pub const AGENT: Self = Self(1);
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// The other end of a fresh connection.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Our number for the connection.
    pub id: ConnectionId,
    /// Where it comes from.
    pub addr: SocketAddr,
    /// The channel binding of its TLS session (RFC 9266, `tls-exporter`), `None` without TLS.
    pub tls_exporter: Option<[u8; 32]>,
    /// Sign-in must be complete by then; the time for TLS and HTTP is already taken from it.
    pub deadline: Instant,
}

impl PeerInfo {
    /// Whether the connection is under TLS.
    pub fn is_tls(&self) -> bool {
        self.tls_exporter.is_some()
    }

    /// Whether the peer is a process of this machine.
    pub fn is_loopback(&self) -> bool {
        self.addr.ip().to_canonical().is_loopback()
    }
}
