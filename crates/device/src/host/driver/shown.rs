//! When what was shown becomes durable.

use std::time::Duration;

use chat_endpoint::EventKey;
use tokio::time::Instant;

use super::Input;

/// Events that were shown wait this long for others, so that one commit ends many. A crash within
/// this time shows them again; it loses nothing.
const SHOWN_DELAY: Duration = Duration::from_millis(5);

/// Shown events that make a step worth its commit at once.
const SHOWN_MAX: usize = 256;

/// Events that the host has dealt with, for the next step.
#[derive(Default)]
pub(super) struct Shown {
    consumed: Vec<Input>,
    due: Option<Instant>,
}

impl Shown {
    /// The host has dealt with an event, which it has shown or not. Returns whether a step is due now.
    pub(super) fn consumed(&mut self, key: EventKey, is_shown: bool) -> bool {
        self.consumed.push(Input::Consumed { key, is_shown });
        self.due.get_or_insert_with(|| Instant::now() + SHOWN_DELAY);
        self.consumed.len() >= SHOWN_MAX
    }

    /// When a step is due for what the host has dealt with.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What the host has dealt with since the last step.
    pub(super) fn take(&mut self) -> Vec<Input> {
        self.due = None;
        std::mem::take(&mut self.consumed)
    }
}
