//! When a revocation is said again that nobody has asked for.

use std::time::Duration;

use chat_protocol::crypto::random;
use tokio::time::Instant;

/// Within this time of the first look it is said again, at any moment: all devices of an account see at once that it is
/// needed, and one of them is enough.
const WAIT: Duration = Duration::from_secs(10);

/// Two are this far apart at least, and each further one twice as far, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_mins(1);
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// So many of one process at most. Whoever sees more of them lost has somebody with the identity key against them.
const REPEATS_MAX: u32 = 16;

/// Those of this process.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    count: u32,
    /// When the last one was begun.
    last: Option<Instant>,
    /// When the next one begins, if it is needed still.
    next: Option<Instant>,
}

impl Repeats {
    /// When to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Whether what is needed is done now. If not, the time for it is chosen, by chance.
    pub(super) fn is_time(&mut self, now: Instant) -> bool {
        if self.count >= REPEATS_MAX {
            return false;
        }
        let paused = self.last.map(|last| last + pause_after(self.count));
        let next = *self.next.get_or_insert_with(|| {
            let share = f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX);
            paused.unwrap_or(now).max(now) + WAIT.mul_f64(share)
        });
        if now < next {
            return false;
        }
        *self = Self { count: self.count.saturating_add(1), last: Some(now), next: None };
        true
    }

    /// Somebody else has done it, or there is no connection.
    pub(super) fn not_needed(&mut self) {
        self.next = None;
    }
}

fn pause_after(count: u32) -> Duration {
    PAUSE.saturating_mul(1 << count.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: siblings that see at once that a revocation is lost do not all say it again at once, and a server that never
    /// shows it makes a device say it a few times. Before: each ended its connection at once, and once a minute. Method: a
    /// clock that goes on by seconds, over two days.
    #[test]
    fn a_revocation_is_said_again_after_a_while_and_less_and_less_often() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        let mut said = Vec::new();
        for second in 0..172_800 {
            if repeats.is_time(start + Duration::from_secs(second)) {
                said.push(second);
            }
        }
        assert_eq!(said.len(), 16, "{said:?}");
        assert!(said[0] <= 11, "{said:?}");
        let pauses: Vec<u64> = said.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] >= 60 && pauses[0] <= 71, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= 3_611), "{pauses:?}");
        assert!(pauses[10] >= 3_600, "{pauses:?}");
    }

    #[test]
    fn what_another_device_has_said_is_not_said_again() {
        let (mut repeats, start) = (Repeats::default(), Instant::now());
        repeats.is_time(start);
        repeats.not_needed();
        assert_eq!(repeats.due(), None);
        assert_eq!(repeats.count, 0);
    }
}
