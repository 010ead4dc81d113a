//! Files on their way here, by number. A number is given once: what is said of one that has just ended is not
//! taken for what was begun since.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

/// Those that run.
#[derive(Debug, Default)]
pub(super) struct Running {
    last: u32,
    stops: HashMap<u32, CancellationToken>,
}

impl Running {
    /// Another one begins. Returns its number, from 1.
    pub(super) fn begin(&mut self, stop: CancellationToken) -> u32 {
        // After four thousand million files a number may come again.
        self.last = self.last.wrapping_add(1).max(1);
        self.stops.insert(self.last, stop);
        self.last
    }

    /// It has ended.
    pub(super) fn end(&mut self, n: u32) {
        self.stops.remove(&n);
    }

    /// Stops one. Whether it runs.
    pub(super) fn stop(&self, n: u32) -> bool {
        self.stops.get(&n).map(CancellationToken::cancel).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once() {
        let mut running = Running::default();
        let stop = CancellationToken::new();
        assert_eq!(running.begin(stop.clone()), 1);
        running.end(1);
        assert_eq!(running.begin(CancellationToken::new()), 2, "the end of 1 may not be told yet");
        assert!(!running.stop(1) && running.stop(2));
        assert!(!stop.is_cancelled());
    }
}
