//! Until when a sign-in must be complete. The time that it waits for others does not count.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// How often a deadline that may move is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// The deadline of one sign-in.
#[derive(Debug)]
pub(super) struct Patience(Mutex<Deadline>);

#[derive(Debug, Clone, Copy)]
enum Deadline {
    /// It must be complete by then.
    At(Instant),
    /// It waits; so much is left when it goes on.
    Paused(Duration),
}

impl Patience {
    pub(super) fn new(deadline: Instant) -> Self {
        Self(Mutex::new(Deadline::At(deadline)))
    }

    fn get(&self) -> Deadline {
        *self.0.lock()
    }

    fn set(&self, deadline: Deadline) {
        *self.0.lock() = deadline;
    }

    /// Waits for something that others hold up. The clock stands still meanwhile.
    pub(super) async fn suspended<T>(&self, waiting: impl Future<Output = T>) -> T {
        if let Deadline::At(at) = self.get() {
            self.set(Deadline::Paused(at.saturating_duration_since(Instant::now())));
        }
        let result = waiting.await;
        if let Deadline::Paused(left) = self.get() {
            self.set(Deadline::At(Instant::now() + left));
        }
        result
    }

    /// Returns when the time is over.
    pub(super) async fn over(&self) {
        loop {
            let now = Instant::now();
            let next = match self.get() {
                Deadline::At(at) if at <= now => return,
                Deadline::At(at) => at.min(now + LOOK_PERIOD),
                Deadline::Paused(_) => now + LOOK_PERIOD,
            };
            sleep_until(next).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_others_take_does_not_count() {
        let start = Instant::now();
        let patience = Patience::new(start + Duration::from_secs(10));
        let work = async {
            sleep(Duration::from_secs(4)).await;
            patience.suspended(sleep(Duration::from_mins(5))).await;
            sleep(Duration::from_hours(1)).await;
        };
        tokio::select! {
            () = work => panic!("it had an hour to go"),
            () = patience.over() => {}
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(310) && took < Duration::from_secs(311), "{took:?}");
    }
}
