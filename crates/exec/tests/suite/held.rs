//! Knows when a command begins to wait for one before it: the agent warns of that.

use std::sync::Arc;

use tokio::sync::Notify;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};

/// Hears what agents on this thread warn of.
pub(crate) struct Held {
    warned: Arc<Notify>,
    /// Ends the hearing when it is dropped.
    #[expect(dead_code, reason = "it is held, not read")]
    hears: DefaultGuard,
}

impl Held {
    pub(crate) fn new() -> Self {
        let warned = Arc::new(Notify::new());
        let hears = tracing::subscriber::set_default(Ear(Arc::clone(&warned)));
        Self { warned, hears }
    }

    /// Waits until a command waits for one before it.
    pub(crate) async fn wait(&self) {
        self.warned.notified().await;
    }
}

/// An agent warns of nothing else.
struct Ear(Arc<Notify>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target() == "chat_exec::agent"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.notify_one();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
