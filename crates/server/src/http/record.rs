//! What is counted and logged of a request, when its answer is gone.

use std::{net::SocketAddr, sync::Arc};

use chat_oplog::{Operation, OperationLog, Outcome};
use chat_protocol::sanitise;
use hyper::{Method, StatusCode, http::request};
use tokio::time::Instant;

use crate::{connection::ConnectionId, metrics::Metrics};

/// A request and what has become of it. Dropping it writes the line: then the last byte has been
/// handed over, or the connection has ended before.
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    log: OperationLog,
    connection: ConnectionId,
    address: SocketAddr,
    method: Method,
    path: String,
    began: Instant,
    status: StatusCode,
    expected: u64,
    sent: u64,
}

impl Record {
    /// A request that has just arrived.
    pub(crate) fn new(
        head: &request::Parts,
        metrics: Arc<Metrics>,
        log: OperationLog,
        connection: ConnectionId,
        address: SocketAddr,
    ) -> Self {
        Self {
            metrics,
            log,
            connection,
            address,
            method: head.method.clone(),
            // Not the query: it may hold what nobody should find in a log.
            path: head.uri.path().to_owned(),
            began: Instant::now(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            expected: 0,
            sent: 0,
        }
    }

    /// It has been decided.
    pub(crate) fn answered(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn expect(&mut self, bytes: u64) {
        self.expected = if self.method == Method::HEAD { 0 } else { bytes };
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_add(bytes);
        self.metrics.http.body_bytes.inc_by(bytes);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.http.count(self.status.as_u16());
        let is_cut = self.sent < self.expected;
        let outcome = match self.status {
            _ if is_cut => Outcome::Failed,
            StatusCode::SERVICE_UNAVAILABLE => Outcome::Retry,
            status if status.is_server_error() => Outcome::Failed,
            status if status.is_client_error() => Outcome::Refused,
            _ => Outcome::Ok,
        };
        if is_cut {
            self.metrics.http.cut.inc();
        }
        let reason = is_cut.then(|| "the connection ended before the whole body was taken".into());
        self.log.write(&Operation {
            conn_id: Some(self.connection.0),
            address: Some(self.address.to_string().into()),
            method: Some(sanitise::line(self.method.as_str()).into_owned().into()),
            path: Some(sanitise::line(&self.path).into_owned().into()),
            status: Some(self.status.as_u16()),
            bytes: Some(self.sent),
            outcome: Some(outcome),
            reason,
            total_us: u64::try_from(self.began.elapsed().as_micros()).ok(),
            ..Operation::new("http.request")
        });
    }
}
