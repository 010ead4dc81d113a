//! When one client sends.

use std::time::Duration;

/// When one client sends, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// So many messages; no bound when absent.
    pub(super) count: Option<u32>,
    /// For so long; no bound when absent.
    pub(super) duration: Option<Duration>,
    /// Time of the first message, after the start.
    pub(super) offset: Duration,
    /// From message to message; as fast as they are answered when absent.
    pub(super) interval: Option<Duration>,
}

impl Pace {
    /// When the message after `sent` others is due, `since` the start; `None` when all are sent.
    pub(super) fn due(&self, sent: u32, since: Duration) -> Option<Duration> {
        let due = match self.interval {
            Some(interval) => self.offset.saturating_add(interval.saturating_mul(sent)),
            None => since,
        };
        let is_over = self.count.is_some_and(|count| sent >= count)
            || self.duration.is_some_and(|duration| due.max(since) >= duration);
        (!is_over).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pace_says_when_and_when_it_is_over() {
        let fast = Pace { count: Some(2), duration: None, offset: SECOND, interval: None };
        assert_eq!(fast.due(0, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(fast.due(1, SECOND), Some(SECOND));
        assert_eq!(fast.due(2, SECOND), None);
        let paced = Pace { interval: Some(SECOND * 2), ..fast };
        assert_eq!(paced.due(0, SECOND * 9), Some(SECOND));
        assert_eq!(paced.due(1, SECOND * 9), Some(SECOND * 3));
        let timed = Pace { count: None, duration: Some(SECOND * 4), ..paced };
        assert_eq!(timed.due(1, SECOND), Some(SECOND * 3));
        assert_eq!(timed.due(2, SECOND), None);
        assert_eq!(timed.due(0, SECOND * 4), None);
    }
}
