//! How the hub ends: who is waited for, in which order and how long. Each task of the hub is waited for here, by
//! one who is, or is cut when its owner goes.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinError,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{RunError, shared::Shared, store::CommitError, tasks::Tasks};

/// For what ends at once when it is asked to: words to a connection that came too late, the last line of the
/// audit log.
const LAST_WORDS_TIME_MAX: Duration = Duration::from_secs(1);

/// What serves until the end.
pub(crate) struct Serving {
    pub(crate) hub: Arc<Shared>,
    /// Ends by itself when the store fails.
    pub(crate) worker: AbortOnDropHandle<Result<(), CommitError>>,
    /// Ends the worker when everything that is queued is done.
    pub(crate) stop: CancellationToken,
    /// Connections that are open; they read nothing more after `drain`.
    pub(crate) sessions: Arc<Tasks>,
    pub(crate) drain: CancellationToken,
    /// The listener; it accepts until `close`.
    pub(crate) accepting: AbortOnDropHandle<()>,
    pub(crate) close: CancellationToken,
    /// The operator's socket; it takes nothing more after `hang_up`.
    pub(crate) asked: AbortOnDropHandle<()>,
    pub(crate) hang_up: CancellationToken,
}

impl Serving {
    /// Finishes what is queued, ends those that are open, and last closes the port; what takes longer than until
    /// `deadline` is cut, and the last words after it have a second each. A disk that hangs is waited for: the folder
    /// is locked as long as something may still be written to it. `failed` is how the worker has ended already.
    pub(crate) async fn end(
        self,
        failed: Option<Result<(), RunError>>,
        deadline: Instant,
    ) -> Result<(), RunError> {
        self.drain.cancel();
        self.stop.cancel();
        let result = match failed {
            Some(result) => result,
            None => finish(self.worker, deadline).await,
        };
        let open = self.sessions.end(deadline).await;
        if open > 0 {
            tracing::warn!(open, "sessions were cut at the end of the drain time");
        }
        // Copies end when those have gone who send and take them, and the disk has done its part.
        let open = self.hub.relay.tasks.end(deadline).await;
        if open > 0 {
            tracing::warn!(open, "copies of files were cut at the end of the drain time");
        }
        self.close.cancel();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "the listener failed");
        }
        // Who has come through the port meanwhile is told to come back.
        self.sessions.end(Instant::now() + LAST_WORDS_TIME_MAX).await;
        self.hang_up.cancel();
        if timeout(LAST_WORDS_TIME_MAX, self.asked).await.is_err() {
            tracing::warn!("an operator's request was cut");
        }
        result
    }
}

/// Waits for the worker. One that is late, because its disk is, is cut between two steps: what it has confirmed is
/// kept.
async fn finish(
    mut worker: AbortOnDropHandle<Result<(), CommitError>>,
    deadline: Instant,
) -> Result<(), RunError> {
    if let Ok(result) = timeout_at(deadline, &mut worker).await {
        return worker_result(result);
    }
    tracing::warn!("requests were cut at the end of the drain time");
    worker.abort();
    // Its store is closed when it has ended, so that nobody else can open it before.
    worker.await.map_or(Ok(()), |result| Ok(result?))
}

/// How the worker has ended.
pub(crate) fn worker_result(
    result: Result<Result<(), CommitError>, JoinError>,
) -> Result<(), RunError> {
    Ok(result.map_err(|_cut| RunError::Ending)??)
}
