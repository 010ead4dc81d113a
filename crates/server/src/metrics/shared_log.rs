//! The figures of a server that shares its log with others.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::register;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabels {
    level: &'static str,
}

/// The log that several servers share. Of a server that is alone all of it stays 0.
#[derive(Debug)]
pub struct SharedLogMetrics {
    /// 1 while it does not answer.
    pub away: Gauge,
    /// Records that were decided again because another server was faster.
    pub decided_again: Counter,
    /// Turns of other servers of which something was taken over.
    pub followed: Counter,
    durability: Family<LevelLabels, Gauge>,
}

impl SharedLogMetrics {
    pub(super) fn new(chat: &mut Registry) -> Self {
        Self {
            away: register(
                chat,
                "shared_log_away",
                "1 while the log that servers share does not answer",
                Gauge::default(),
            ),
            decided_again: register(
                chat,
                "shared_log_decided_again",
                "Records decided again because another server was faster",
                Counter::default(),
            ),
            followed: register(
                chat,
                "shared_log_followed",
                "Batches of other servers that were taken over",
                Counter::default(),
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
