//! What is counted during a run: operations by tag, latencies by stage, and who came and went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency told apart; a longer one counts as this.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Digits of a latency that are kept: 12.34 ms and 12.35 ms are two values.
const LATENCY_DIGITS: u8 = 3;

/// The operations of one tag. Each counts once: executed for a command (or its refusal when it
/// was stored), stored for the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TagCounts {
    /// Operations sent, whatever became of them.
    pub sent: u64,
    /// Answered `ACK`.
    pub acked: u64,
    /// Answered `NOACK`.
    pub noacked: u64,
    /// Without an answer at the end.
    pub unanswered: u64,
    /// Deliveries that the members at the message's sequence make necessary, sender excluded.
    pub expected: u64,
    /// Deliveries that happened, each (message, recipient) once.
    pub delivered: u64,
}

impl TagCounts {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acked += other.acked;
        self.noacked += other.noacked;
        self.unanswered += other.unanswered;
        self.expected += other.expected;
        self.delivered += other.delivered;
    }
}

/// How long one stage took, from the intended moment of sending.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Microseconds, rounded to [`LATENCY_DIGITS`].
    histogram: Histogram<u64>,
    /// The longest one, exact; zero without operations.
    max: Duration,
}

impl Latency {
    /// One more operation took `elapsed`.
    pub fn record(&mut self, elapsed: Duration) {
        let us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(us);
        self.max = self.max.max(elapsed);
    }

    /// Number of operations.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that `percent` of the operations did not exceed; `None` without operations.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let value = Duration::from_micros(self.histogram.value_at_percentile(percent));
        match self.count() {
            0 => None,
            _ if percent >= 100.0 => Some(self.max),
            _ => Some(value.min(self.max)),
        }
    }

    fn add(&mut self, other: &Self) {
        // Both have the same bounds, so every value of one fits the other.
        self.histogram.add(&other.histogram).expect("histograms of the same bounds add up");
        self.max = self.max.max(other.max);
    }
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS)
            .expect("the bounds are constants that hdrhistogram accepts");
        Self { histogram, max: Duration::ZERO }
    }
}

/// Who came and went during the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Movement {
    /// Rooms that were left.
    pub leaves: u64,
    /// Rooms that were joined again.
    pub joins: u64,
    /// Connections that clients dropped by themselves, to come back later.
    pub absences: u64,
    /// Those of them that were dropped without a goodbye.
    pub cut: u64,
    /// Absences that could not be gone through to their end.
    pub unmoved: u64,
    /// Times outside a room of which a link's place in the log is not known.
    pub unplaced: u64,
    /// Time away, all clients together.
    pub away: Duration,
    /// The longest one.
    pub away_max: Duration,
}

impl Movement {
    fn add(&mut self, other: &Self) {
        self.leaves += other.leaves;
        self.joins += other.joins;
        self.absences += other.absences;
        self.cut += other.cut;
        self.unmoved += other.unmoved;
        self.unplaced += other.unplaced;
        self.away += other.away;
        self.away_max = self.away_max.max(other.away_max);
    }
}

/// One line; who was away at all.
impl fmt::Display for Movement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { leaves, joins, absences, cut, unplaced, away, away_max, unmoved: _ } = self;
        write!(
            formatter,
            "leaves={leaves} joins={joins} unplaced={unplaced} absences={absences} cut={cut} \
             away={:.2}s longest={:.2}s",
            away.as_secs_f64(),
            away_max.as_secs_f64()
        )
    }
}

/// What one client counted, or all of them together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Counts by the tag of what was sent: `TEXT`, `DM`, `BROADCAST`, `CMD`.
    pub by_tag: BTreeMap<&'static str, TagCounts>,
    /// `NOACK`s by their code.
    pub by_code: BTreeMap<String, u64>,
    /// Deliveries that never happened.
    pub lost: u64,
    /// Deliveries that happened again.
    pub duplicated: u64,
    /// Deliveries behind a later one of the same sender and conversation.
    pub out_of_order: u64,
    /// Deliveries that could not be verified or opened.
    pub unreadable: u64,
    /// Messages that somebody opened, or could have opened, who was not among their recipients.
    pub leaked: u64,
    /// Members of a room that a message said there was not sealed for.
    pub left_out: u64,
    /// Connections that broke or were dropped, and were made again.
    pub reconnects: u64,
    /// Frames sent again because the answer was missing.
    pub resent: u64,
    /// From sending to the server's durable `ACK`.
    pub stored: Latency,
    /// From sending to each recipient's screen.
    pub delivered: Latency,
    /// From sending a command to its outcome.
    pub executed: Latency,
    /// From the return of a recipient who was away to its screen. These are not in `delivered`.
    pub drained: Latency,
    /// Who came and went.
    pub movement: Movement,
}

impl Tally {
    /// Adds what another client counted.
    pub fn merge(&mut self, other: &Self) {
        for (tag, counts) in &other.by_tag {
            self.by_tag.entry(tag).or_default().add(counts);
        }
        for (code, count) in &other.by_code {
            *self.by_code.entry(code.clone()).or_default() += count;
        }
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.unreadable += other.unreadable;
        self.leaked += other.leaked;
        self.left_out += other.left_out;
        self.reconnects += other.reconnects;
        self.resent += other.resent;
        self.stored.add(&other.stored);
        self.delivered.add(&other.delivered);
        self.executed.add(&other.executed);
        self.drained.add(&other.drained);
        self.movement.add(&other.movement);
    }

    /// The counts of all tags.
    pub fn totals(&self) -> TagCounts {
        let mut totals = TagCounts::default();
        self.by_tag.values().for_each(|counts| totals.add(counts));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_beyond_the_range_count_as_its_end() {
        let mut latency = Latency::default();
        latency.record(Duration::from_hours(24));
        latency.record(Duration::ZERO);
        assert_eq!(latency.count(), 2);
        assert!(latency.percentile(75.0).unwrap() >= Duration::from_mins(9));
        assert_eq!(latency.percentile(100.0), Some(Duration::from_hours(24)));
    }
}
