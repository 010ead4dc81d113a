//! Until when a connection that nobody has signed in on may live.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant, sleep_until};

/// One moment for a stranger; for a visitor it moves on with each step.
#[derive(Debug)]
pub(crate) struct Deadline {
    state: Mutex<State>,
    step: Duration,
}

#[derive(Debug, Clone, Copy)]
struct State {
    at: Instant,
    is_visit: bool,
}

impl Deadline {
    /// `step` is what a visitor gets for each of its steps.
    pub(crate) fn new(at: Instant, step: Duration) -> Self {
        Self { state: Mutex::new(State { at, is_visit: false }), step }
    }

    pub(crate) fn at(&self) -> Instant {
        self.state.lock().at
    }

    pub(crate) fn is_visit(&self) -> bool {
        self.state.lock().is_visit
    }

    /// A request of a visitor has come.
    pub(crate) fn visit(&self) {
        *self.state.lock() = State { at: Instant::now() + self.step, is_visit: true };
    }

    /// A visitor has become a stranger, who gets what strangers get. Others keep their deadline.
    pub(crate) fn end_visit(&self, handshake: Duration) {
        let mut state = self.state.lock();
        if state.is_visit {
            *state = State { at: Instant::now() + handshake, is_visit: false };
        }
    }

    /// A block of a visitor's answer is taken.
    pub(crate) fn extend(&self) {
        let mut state = self.state.lock();
        if state.is_visit {
            state.at = Instant::now() + self.step;
        }
    }

    /// Waits until the deadline has passed, also one that moves meanwhile.
    pub(crate) async fn passed(&self) {
        loop {
            let at = self.at();
            sleep_until(at).await;
            if self.at() == at {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_a_visit_moves_it() {
        let start = Instant::now();
        let deadline = Deadline::new(start + 10 * SECOND, 3 * SECOND);
        deadline.extend();
        assert_eq!(deadline.at(), start + 10 * SECOND);
        deadline.end_visit(60 * SECOND);
        assert_eq!(deadline.at(), start + 10 * SECOND, "a stranger cannot buy time");
        deadline.visit();
        assert_eq!(deadline.at(), start + 3 * SECOND);
        tokio::join!(deadline.passed(), async {
            for _ in 0..4 {
                tokio::time::sleep(2 * SECOND).await;
                deadline.extend();
            }
        });
        assert_eq!(start.elapsed(), 11 * SECOND);
        deadline.end_visit(5 * SECOND);
        assert!(!deadline.is_visit());
        deadline.passed().await;
        assert_eq!(start.elapsed(), 16 * SECOND);
    }
}
