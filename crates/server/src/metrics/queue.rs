//! The figures of the queue, lane by lane.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{register, seconds};
use crate::queue::{Lane, LaneMetrics, PerLane};

impl Default for LaneMetrics {
    fn default() -> Self {
        Self { depth: Gauge::default(), wait: seconds() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    lane: &'static str,
}

/// Both figures of every lane.
pub(super) fn per_lane(chat: &mut Registry) -> PerLane<LaneMetrics> {
    let depth: Family<LaneLabels, Gauge> =
        register(chat, "queue_depth", "Requests waiting", Family::default());
    let wait: Family<LaneLabels, Histogram> = register(
        chat,
        "queue_wait_seconds",
        "Time of requests in the queue, by the lane they came to",
        Family::new_with_constructor(seconds),
    );
    PerLane::from_fn(|lane: Lane| {
        let labels = LaneLabels { lane: lane.as_str() };
        LaneMetrics {
            depth: depth.get_or_create_owned(&labels),
            wait: wait.get_or_create_owned(&labels),
        }
    })
}
