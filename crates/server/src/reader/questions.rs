//! How many questions about the list of shared files one connection may ask.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{LIST_QUESTIONS_BURST, LIST_QUESTIONS_PER_SECOND};

/// A token bucket: a token a question.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: u32,
    /// Until when `tokens` is counted; `None` before the first question.
    since: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { tokens: LIST_QUESTIONS_BURST, since: None }
    }
}

impl Budget {
    /// Whether one more may be asked now.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / LIST_QUESTIONS_PER_SECOND;
        let since = *self.since.get_or_insert(now);
        let earned = now.duration_since(since).as_nanos() / each.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(LIST_QUESTIONS_BURST);
        // What is left of the time counts for the next one.
        self.since = Some(since + each * earned);
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        let asked = |budget: &mut Budget, now| (0..10_000).filter(|_| budget.allow(now)).count();
        let (burst, second) = (LIST_QUESTIONS_BURST, LIST_QUESTIONS_PER_SECOND);
        assert_eq!(asked(&mut budget, start), usize::try_from(burst).unwrap());
        let later = start + Duration::from_secs(3);
        assert_eq!(asked(&mut budget, later), usize::try_from(3 * second).unwrap());
        // Whoever asks slower than that is never put off.
        let step = Duration::from_secs(1) / second;
        assert!((1..100).all(|n| budget.allow(later + step * n)));
        assert!(!budget.allow(later + step * 99));
        let much_later = later + Duration::from_hours(24);
        assert_eq!(asked(&mut budget, much_later), usize::try_from(burst).unwrap());
    }
}
