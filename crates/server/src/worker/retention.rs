//! Drops what rooms keep no longer: one bounded step at a time, between two batches.

use std::time::Duration;

use tokio::time::Instant;

use super::{Queue, Worker};
use crate::{
    limits::{DROP_FULL_PAUSE, DROP_STEP_PAUSE},
    order::Turns,
    store::{CommitError, Proposal},
};

/// The hub's clock may be set while nobody talks, so it is looked at this often.
const LOOK_PERIOD: Duration = Duration::from_mins(1);

/// When the next step may be.
#[derive(Debug, Default)]
pub(super) struct Dropping {
    not_before: Option<Instant>,
}

impl<T: Turns> Worker<T> {
    /// When the worker has something to do that nobody has asked for.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = [self.notify.next_due(), self.drop_due(), self.erase_due(), self.later.due()];
        due.into_iter().flatten().min()
    }

    fn drop_due(&self) -> Option<Instant> {
        let due_ms = self.router.next_drop_ms()?;
        let wait = Duration::from_millis(due_ms.saturating_sub((self.clock)()));
        let due = Instant::now() + wait.min(LOOK_PERIOD);
        Some(self.dropping.not_before.map_or(due, |at| at.max(due)))
    }

    /// One step, if it is time. A busy hub makes them between its batches, at the same pace.
    pub(super) async fn drop_old(&mut self, queue: &mut Queue) -> Result<(), CommitError> {
        if self.dropping.not_before.is_some_and(|at| at > Instant::now()) {
            return Ok(());
        }
        let now_ms = (self.clock)();
        let Some(step) = self.router.decide_drop(now_ms) else { return Ok(()) };
        self.dropping.not_before = Some(Instant::now() + DROP_STEP_PAUSE);
        if !self.keep(now_ms, Proposal::Drop(step), queue).await? {
            tracing::error!("the disk is full; old messages cannot be deleted either");
            self.dropping.not_before = Some(Instant::now() + DROP_FULL_PAUSE);
        }
        Ok(())
    }
}
