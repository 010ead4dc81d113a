//! The figures of files that go through the hub.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::register;

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
            connections: register(
                chat,
                "data_connections",
                "Open WebSockets for files",
                Gauge::default(),
            ),
            transfers: register(
                chat,
                "relay_transfers",
                "Transfers of files that run",
                Gauge::default(),
            ),
            chunks: register(chat, "relay_chunks", "Chunks of files handed on", Counter::default()),
            bytes: register(chat, "relay_bytes", "Bytes of those chunks", Counter::default()),
            copies_bytes: register(
                chat,
                "copies_bytes",
                "Bytes of the files of which copies are kept or come in",
                Gauge::default(),
            ),
        }
    }
}
