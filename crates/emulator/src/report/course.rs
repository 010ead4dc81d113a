//! How a run went: what each client did, and what was delivered when.

use std::time::Duration;

/// Spans of a course at most; with more, two neighbours become one.
const SPANS_MAX: usize = 512;

/// The first width of a span; fine enough for a run of a second.
const SPAN_FIRST: Duration = Duration::from_millis(50);

/// What one client did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientFigures {
    /// Messages and commands that it sent.
    pub sent: u64,
    /// Those of them that the server stored.
    pub stored: u64,
    /// Together, from sending to the server's `ACK`.
    pub stored_time: Duration,
}

impl ClientFigures {
    /// From sending to the server's `ACK`, on average; zero where nothing was stored.
    pub fn mean(&self) -> Duration {
        let count = u32::try_from(self.stored).unwrap_or(u32::MAX);
        self.stored_time.checked_div(count).unwrap_or_default()
    }
}

/// Counts over time in spans of one width, which doubles as often as a run needs: no run has more than
/// `SPANS_MAX` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    width: Duration,
    counts: Vec<u64>,
}

impl Default for Course {
    fn default() -> Self {
        Self { width: SPAN_FIRST, counts: Vec::new() }
    }
}

impl Course {
    /// One more, so long after the start.
    pub fn count(&mut self, since: Duration) {
        let mut span = self.span(since);
        while span >= SPANS_MAX {
            self.halve();
            span = self.span(since);
        }
        if self.counts.len() <= span {
            self.counts.resize(span + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(span) {
            *count += 1;
        }
    }

    fn span(&self, since: Duration) -> usize {
        let span = since.as_millis().checked_div(self.width.as_millis()).unwrap_or_default();
        usize::try_from(span).unwrap_or(usize::MAX)
    }

    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.counts = self.counts.chunks(2).map(|pair| pair.iter().sum()).collect();
    }

    /// The same in `spans` spans at most: each with its count per second.
    pub fn rates(&self, spans: usize) -> Vec<f64> {
        let mut course = self.clone();
        while course.counts.len() > spans.max(1) {
            course.halve();
        }
        let width = course.width.as_secs_f64();
        let rate = |count: &u64| f64::from(u32::try_from(*count).unwrap_or(u32::MAX)) / width;
        course.counts.iter().map(rate).collect()
    }

    /// How long all spans are together when there are `spans` of them at most.
    pub fn length(&self, spans: usize) -> Duration {
        let (mut width, mut count) = (self.width, self.counts.len());
        while count > spans.max(1) {
            (width, count) = (width.saturating_mul(2), count.div_ceil(2));
        }
        width.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_of_any_length_has_few_spans_and_loses_nothing() {
        let mut course = Course::default();
        for second in 0..10_000 {
            course.count(Duration::from_secs(second));
        }
        assert!(course.counts.len() <= SPANS_MAX, "{}", course.counts.len());
        assert_eq!(course.counts.iter().sum::<u64>(), 10_000);
        let rates = course.rates(60);
        assert!(rates.len() <= 60 && rates.len() > 30, "{}", rates.len());
        assert!(
            rates[..rates.len() - 1].iter().all(|rate| (0.9..=1.1).contains(rate)),
            "{rates:?}"
        );
        let length = course.length(60).as_secs();
        assert!((10_000..11_000).contains(&length), "{length}");
        assert_eq!(Course::default().rates(60), <[f64; 0]>::default());
    }

    #[test]
    fn a_client_without_an_answer_has_no_time() {
        let figures = ClientFigures { sent: 3, stored: 2, stored_time: Duration::from_millis(30) };
        assert_eq!(figures.mean(), Duration::from_millis(15));
        assert_eq!(ClientFigures::default().mean(), Duration::ZERO);
    }
}
