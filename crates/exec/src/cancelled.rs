//! That the sender of a command has taken it back.

use tokio::sync::watch;

/// Tells a command under way that its sender has taken it back.
#[derive(Clone)]
pub(crate) struct Cancelled(pub(crate) watch::Receiver<bool>);

impl Cancelled {
    /// Completes when that has happened.
    pub(crate) async fn happened(&mut self) {
        if self.0.wait_for(|is_cancelled| *is_cancelled).await.is_err() {
            // Nobody can do it any more.
            std::future::pending::<()>().await;
        }
    }

    pub(crate) fn has_happened(&self) -> bool {
        *self.0.borrow()
    }
}
