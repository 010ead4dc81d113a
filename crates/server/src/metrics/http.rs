//! The figures of plain HTTP.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{counter, family, gauge};

/// What plain HTTP costs and how it ends.
#[derive(Debug)]
pub struct HttpMetrics {
    /// Connections that stay for the next request.
    pub connections: Gauge,
    /// Bytes of bodies that were handed to connections.
    pub body_bytes: Counter,
    /// Bodies that were not taken to their end.
    pub cut: Counter,
    requests: Family<CodeLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: u16,
}

impl HttpMetrics {
    pub(super) fn new(chat: &mut Registry) -> Self {
        Self {
            connections: gauge(
                chat,
                "http_connections",
                "Connections that stay for the next HTTP request",
            ),
            body_bytes: counter(chat, "http_body_bytes", "Bytes of bodies of HTTP answers"),
            cut: counter(
                chat,
                "http_bodies_cut",
                "Bodies of HTTP answers that were not taken to their end",
            ),
            requests: family(chat, "http_requests", "HTTP requests by status code"),
        }
    }

    /// Counts an answer by its status, of which there are as many as this server has.
    pub fn count(&self, code: u16) {
        self.requests.get_or_create(&CodeLabels { code }).inc();
    }
}
