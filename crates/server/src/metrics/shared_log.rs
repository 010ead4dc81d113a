//! The figures of a server that shares its log with others.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{counter, gauge, register};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    level: &'static str,
}

/// The log that several servers share. Of a server that is alone all of it stays 0.
#[derive(Debug)]
pub struct SharedLogMetrics {
    /// 1 while it does not answer.
    pub away: Gauge,
    /// 1 while it is closed: it is another Redis, and nobody has opened it yet.
    pub closed: Gauge,
    /// Records that were decided again because another server was faster.
    pub decided_again: Counter,
    /// Turns of other servers of which something was taken over.
    pub followed: Counter,
    /// Batches that Redis has.
    pub turns: Gauge,
    /// Bytes that they take there.
    pub bytes: Gauge,
    durability: Family<LevelLabels, Gauge>,
}

impl SharedLogMetrics {
    pub(super) fn new(chat: &mut Registry) -> Self {
        Self {
            away: gauge(
                chat,
                "shared_log_away",
                "1 while the log that servers share does not answer",
            ),
            closed: gauge(
                chat,
                "shared_log_closed",
                "1 while the log that servers share is not open for the Redis that is there",
            ),
            decided_again: counter(
                chat,
                "shared_log_decided_again",
                "Records decided again because another server was faster",
            ),
            followed: counter(
                chat,
                "shared_log_followed",
                "Batches of other servers that were taken over",
            ),
            turns: register(
                chat,
                "shared_log_turns",
                "Batches that the log in Redis has",
                Gauge::default(),
            ),
            bytes: register(
                chat,
                "shared_log_bytes",
                "Bytes that the log takes in Redis",
                Gauge::default(),
            ),
            durability: register(
                chat,
                "ack_durability",
                "1 for what an ACK promises of the log that servers share",
                Family::default(),
            ),
        }
    }

    /// It is away: nothing is acknowledged.
    pub fn set_no_durability(&self, levels: &[&'static str]) {
        self.set_durability("", levels);
    }

    /// An ACK promises this, one of `levels`, and nothing else.
    pub fn set_durability(&self, level: &'static str, levels: &[&'static str]) {
        for one in levels {
            let is_it = i64::from(*one == level);
            self.durability.get_or_create(&LevelLabels { level: one }).set(is_it);
        }
    }
}
