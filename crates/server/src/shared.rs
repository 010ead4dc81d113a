//! What the parts of the hub share. Whoever serves a connection or a question needs it, so it knows none of
//! them: it is put together where the hub starts.

use std::sync::Arc;

use chat_oplog::{CryptoTrace, OperationLog};
use chat_protocol::keys::{Bundle, DeviceKeys};
use tokio::sync::oneshot;

use crate::{
    budgets::Budgets,
    clock::Clock,
    config::Verify,
    connection::ConnectionId,
    gate::Gate,
    identity::Identity,
    metrics::Metrics,
    order::health::LogHealth,
    passwords::Passwords,
    queue::Lane,
    relay::Relay,
    request::{LostHub, Request, Requests},
    store::{Incarnation, Reads},
    threads::Threads,
};

/// What every connection of the hub uses.
pub struct Shared {
    pub(crate) requests: Requests,
    pub(crate) reads: Reads,
    pub(crate) identity: Identity,
    /// What opens AUTHs.
    pub(crate) openings: Threads<()>,
    pub(crate) passwords: Passwords,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: OperationLog,
    pub(crate) verify: Verify,
    pub(crate) clock: Clock,
    pub(crate) trace: Option<CryptoTrace>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) gate: Arc<Gate>,
    /// What is known of the log that hubs share, if it is shared.
    pub(crate) health: Option<Arc<LogHealth>>,
}

/// The hub, for those who live in it.
#[derive(Clone)]
pub struct Hub(pub(crate) Arc<Shared>);

impl Hub {
    /// The keys of the account `server`.
    pub fn keys(&self) -> Arc<DeviceKeys> {
        Arc::clone(&self.0.identity.keys)
    }

    /// The log of operations.
    pub fn log(&self) -> OperationLog {
        self.0.log.clone()
    }

    /// The newest bundle of the account `server`, which is the hub's own.
    pub fn bundle(&self) -> &Bundle {
        &self.0.identity.bundle
    }

    /// Another hub that shares the log has not been heard of: that is written down, unless it has written meanwhile.
    /// Whether it is gone now.
    pub async fn lost(&self, hub: Incarnation) -> bool {
        let (reply, answer) = oneshot::channel();
        let request = Request::Lost(Box::new(LostHub { hub, was_tried: false, reply }));
        let queue = self.0.requests.for_connection(ConnectionId::HUB);
        // A hub that is ending writes nothing down.
        let sent = queue.send(Lane::Control, None, size_of::<LostHub>(), request).await;
        sent.is_ok() && answer.await.unwrap_or(false)
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}
