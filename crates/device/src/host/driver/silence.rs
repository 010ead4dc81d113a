//! Whether the server answers what it was asked. A connection that is dead, or a server that hangs, is
//! otherwise seen only when nothing at all has come for long.

use std::time::Duration;

use tokio::time::Instant;

/// A server answers within milliseconds, a loaded one within a second or two. Longer is worth a word.
pub(super) const SILENCE_TOLD: Duration = Duration::from_secs(5);

/// How long the server owes an answer.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Since when something has no answer and nothing has come.
    since: Option<Instant>,
    is_told: bool,
}

impl Silence {
    /// Something came from the server. Whether that ends a silence that was told.
    pub(super) fn heard(&mut self) -> bool {
        self.since = None;
        std::mem::take(&mut self.is_told)
    }

    /// Notes whether something has no answer now. Whether that ends a silence that was told.
    pub(super) fn waits(&mut self, now: Instant, is_open: bool) -> bool {
        if is_open {
            self.since.get_or_insert(now);
            return false;
        }
        self.heard()
    }

    /// When a silence is to be told.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.filter(|_| !self.is_told).map(|since| since + SILENCE_TOLD)
    }

    /// The silence is told.
    pub(super) fn tell(&mut self) {
        self.is_told = self.since.is_some();
    }

    /// How long it lasts, once it is worth a word.
    pub(super) fn lasts(&self, now: Instant) -> Option<Duration> {
        let lasts = now.saturating_duration_since(self.since?);
        (lasts >= SILENCE_TOLD).then_some(lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_told_once_and_ends_with_the_next_word() {
        let (mut silence, begun) = (Silence::default(), Instant::now());
        assert!(!silence.waits(begun, false));
        assert_eq!(silence.due(), None, "nothing was asked");
        silence.waits(begun, true);
        silence.waits(begun + Duration::from_secs(3), true);
        assert_eq!(silence.due(), Some(begun + SILENCE_TOLD), "the oldest counts");
        assert_eq!(silence.lasts(begun + Duration::from_secs(4)), None);
        silence.tell();
        assert_eq!(silence.due(), None, "once");
        assert_eq!(silence.lasts(begun + SILENCE_TOLD * 2), Some(SILENCE_TOLD * 2));
        assert!(silence.heard());
        assert!(!silence.heard());
        silence.waits(begun, true);
        assert!(!silence.heard(), "an answer in time is no news");
    }
}
