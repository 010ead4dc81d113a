//! Whoever comes from a banned address is told so, as long as few do: to be told costs a handshake, to be cut
//! nothing.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{BARRED_TIME_MAX, BARRED_TOLD_MAX};

/// Places for those who are told, by when each is free again. A place is taken for the whole of
/// [`BARRED_TIME_MAX`], so that nobody is told again and again by ending early.
#[derive(Debug, Default)]
pub struct Barred(Mutex<VecDeque<Instant>>);

impl Barred {
    /// Until when one more may listen to the reason; nothing when no place is left.
    pub(super) fn hear(&self) -> Option<Instant> {
        let mut taken = self.0.lock();
        let now = Instant::now();
        // All are taken for the same time, so the oldest are free first.
        while taken.pop_front_if(|until| *until <= now).is_some() {}
        if taken.len() >= BARRED_TOLD_MAX {
            return None;
        }
        let until = now + BARRED_TIME_MAX;
        taken.push_back(until);
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_again_after_its_time_and_not_before() {
        let barred = Barred::default();
        let heard = |_| barred.hear().is_some();
        assert!((0..BARRED_TOLD_MAX).all(heard));
        assert!(barred.hear().is_none());
        tokio::time::advance(BARRED_TIME_MAX).await;
        assert!((0..BARRED_TOLD_MAX).all(heard));
        assert!(barred.hear().is_none());
    }
}
