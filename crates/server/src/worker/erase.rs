//! Erases what was sent to accounts that were deleted: one bounded step at a time, as old messages go.

use tokio::time::Instant;

use super::{Queue, Worker};
use crate::{
    limits::{DROP_FULL_PAUSE, DROP_STEP_PAUSE},
    order::Turns,
    store::{CommitError, Proposal},
};

/// When the next step may be.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    not_before: Option<Instant>,
}

impl<T: Turns> Worker<T> {
    pub(super) fn erase_due(&self) -> Option<Instant> {
        self.router.decide_erase()?;
        Some(self.erasing.not_before.unwrap_or_else(Instant::now))
    }

    /// One step, if there is one and it is time.
    pub(super) async fn erase_deleted(&mut self, queue: &mut Queue) -> Result<(), CommitError> {
        if self.erasing.not_before.is_some_and(|at| at > Instant::now()) {
            return Ok(());
        }
        let Some(step) = self.router.decide_erase() else { return Ok(()) };
        let now_ms = (self.clock)();
        self.erasing.not_before = Some(Instant::now() + DROP_STEP_PAUSE);
        if !self.keep(now_ms, Proposal::Erase(step), queue).await? {
            self.erasing.not_before = Some(Instant::now() + DROP_FULL_PAUSE);
        }
        Ok(())
    }
}
