//! Takes away what is kept no longer, one bounded step at a time between two batches: messages that are older than
//! their room keeps, and what was sent to accounts that were deleted.

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

/// When the next step may be. A busy hub makes them between its batches, at the same pace.
#[derive(Debug, Default)]
pub(super) struct Steps {
    not_before: Option<Instant>,
}

impl Steps {
    fn is_due(&self) -> bool {
        self.not_before.is_none_or(|at| at <= Instant::now())
    }

    /// A step was made, unless the disk is full.
    fn made(&mut self, is_kept: bool) {
        let pause = if is_kept { DROP_STEP_PAUSE } else { DROP_FULL_PAUSE };
        self.not_before = Some(Instant::now() + pause);
    }
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

    fn erase_due(&self) -> Option<Instant> {
        self.router.decide_erase()?;
        Some(self.erasing.not_before.unwrap_or_else(Instant::now))
    }

    /// One step of what is too old, if it is time.
    pub(super) async fn drop_old(&mut self, queue: &mut Queue) -> Result<(), CommitError> {
        let now_ms = (self.clock)();
        let step = self.dropping.is_due().then(|| self.router.decide_drop(now_ms)).flatten();
        let Some(step) = step else { return Ok(()) };
        self.dropping.made(true);
        if !self.keep(now_ms, Proposal::Drop(step), queue).await? {
            tracing::error!("the disk is full; old messages cannot be deleted either");
            self.dropping.made(false);
        }
        Ok(())
    }

    /// One step of what was sent to deleted accounts, if it is time.
    pub(super) async fn erase_deleted(&mut self, queue: &mut Queue) -> Result<(), CommitError> {
        let step = self.erasing.is_due().then(|| self.router.decide_erase()).flatten();
        let Some(step) = step else { return Ok(()) };
        let now_ms = (self.clock)();
        self.erasing.made(true);
        if !self.keep(now_ms, Proposal::Erase(step), queue).await? {
            self.erasing.made(false);
        }
        Ok(())
    }
}
