//! The figures of files that go through the hub.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{counter, gauge};

/// Files that go through the hub.
#[derive(Debug)]
pub struct RelayMetrics {
    /// Data connections: those of `chat_connections` that carry files and no messages.
    pub connections: Gauge,
    /// Transfers that run now.
    pub transfers: Gauge,
    /// Chunks taken from a giver or a copy and handed on.
    pub chunks: Counter,
    /// Bytes of those frames.
    pub bytes: Counter,
    /// Bytes of the files of which copies are here or come in.
    pub copies_bytes: Gauge,
}

impl RelayMetrics {
    pub(super) fn new(chat: &mut Registry) -> Self {
        Self {
            connections: gauge(chat, "data_connections", "Open WebSockets for files"),
            transfers: gauge(chat, "relay_transfers", "Transfers of files that run"),
            chunks: counter(chat, "relay_chunks", "Chunks of files handed on"),
            bytes: counter(chat, "relay_bytes", "Bytes of those chunks"),
            copies_bytes: gauge(
                chat,
                "copies_bytes",
                "Bytes of the files of which copies are kept or come in",
            ),
        }
    }
}
