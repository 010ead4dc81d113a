//! What `/metrics` shows. Each figure is a field, moved by the code beside what it counts.
//!
//! On the hot path nothing is looked up: counters are resolved once per tag, lane and outcome, and
//! a count is one atomic addition. No label holds a name, a room or an id.

mod frames;
mod http;
mod outcomes;
mod process;
mod queue;
mod relay;
mod shared_log;

use std::{
    fmt,
    sync::{OnceLock, atomic::Ordering},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use crate::queue::{LaneMetrics, PerLane};

use frames::FrameLabels;
pub use frames::PerTag;
pub use http::HttpMetrics;
pub use outcomes::{AuthAttempts, Deliveries, Refusals};
pub use relay::RelayMetrics;
pub use shared_log::SharedLogMetrics;

/// Every figure, and the registry that prints them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Open WebSockets, signed in or not.
    pub connections: Gauge,
    /// Connections turned away.
    pub refusals: Refusals,
    /// Frames that came in and were decoded.
    pub frames_in: PerTag,
    /// Frames that went to an outbox.
    pub frames_out: PerTag,
    /// Payload bytes of the frames that came in.
    pub bytes_in: Counter,
    /// Payload bytes of the frames that went to an outbox.
    pub bytes_out: Counter,
    /// The queue, lane by lane.
    pub queue: PerLane<LaneMetrics>,
    /// Deliveries to devices.
    pub deliveries: Deliveries,
    /// Seconds a commit took, sync included.
    pub commit_duration: Histogram,
    /// Records in one commit.
    pub commit_batch_size: Histogram,
    /// Sign-ins.
    pub auth_attempts: AuthAttempts,
    /// Messages deleted because they were older than their room keeps.
    pub retention_dropped: Counter,
    /// Files.
    pub relay: RelayMetrics,
    /// Bytes of direct messages that wait, all mailboxes together.
    pub mailbox_bytes: Gauge,
    /// When the server's certificate ends, Unix time in seconds; 0 without TLS.
    pub tls_not_after: Gauge,
    /// Offers on the list of shared files.
    pub offers: Gauge,
    /// Seconds the worker took to find one page of shared files.
    pub find_duration: Histogram,
    /// The log that several servers share.
    pub shared_log: SharedLogMetrics,
    /// Plain HTTP.
    pub http: HttpMetrics,
    rejected_frames: Family<ReasonLabels, Counter>,
    acks: Family<AckLabels, Counter>,
    budgets: Family<BudgetLabels, Counter>,
    commands: Family<OutcomeLabels, Counter>,
    log_lines_dropped: Counter,
    lost_lines: OnceLock<LostLines>,
}

/// Asks the operation log how many lines it has lost.
struct LostLines(Box<dyn Fn() -> u64 + Send + Sync>);

impl fmt::Debug for LostLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LostLines")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AckLabels {
    stage: &'static str,
    outcome: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::ProcessCollector));
        let chat = registry.sub_registry_with_prefix("chat");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        chat.register("build", "Version of the server", version);
        let frames = family::<FrameLabels>(chat, "frames", "Frames by tag and direction");
        let bytes = family::<DirectionLabels>(chat, "frame_bytes", "Payload bytes of frames");
        let bytes = |direction| bytes.get_or_create_owned(&DirectionLabels { direction });
        Self {
            connections: gauge(chat, "connections", "Open WebSockets"),
            refusals: Refusals::new(chat),
            frames_in: PerTag::new(&frames, "in"),
            frames_out: PerTag::new(&frames, "out"),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            queue: queue::per_lane(chat),
            deliveries: Deliveries::new(chat),
            commit_duration: register(
                chat,
                "commit_duration_seconds",
                "Time of a commit, sync included",
                seconds(),
            ),
            commit_batch_size: register(
                chat,
                "commit_batch_size",
                "Records in one commit",
                doubling(1.0, 12),
            ),
            auth_attempts: AuthAttempts::new(chat),
            retention_dropped: counter(
                chat,
                "retention_dropped_messages",
                "Messages deleted because they were older than their room keeps",
            ),
            mailbox_bytes: gauge(
                chat,
                "mailbox_bytes",
                "Bytes of direct messages that wait for somebody who is away",
            ),
            tls_not_after: gauge(
                chat,
                "tls_not_after_seconds",
                "When the certificate ends, in Unix time; 0 without TLS",
            ),
            relay: RelayMetrics::new(chat),
            offers: gauge(chat, "offers", "Offers on the list of shared files"),
            find_duration: register(
                chat,
                "find_seconds",
                "Time to find one page of shared files",
                doubling(0.000_005, 16),
            ),
            shared_log: SharedLogMetrics::new(chat),
            http: HttpMetrics::new(chat),
            rejected_frames: family(chat, "rejected_frames", "Frames refused, by reason"),
            acks: family(chat, "acks", "Answers to requests, by stage"),
            budgets: family(chat, "budget_exhausted", "Times that a budget was used up"),
            commands: family(chat, "commands", "Commands run by the server's agent"),
            log_lines_dropped: counter(
                chat,
                "log_lines_dropped",
                "Lines of the operation log that could not be written",
            ),
            lost_lines: OnceLock::new(),
            registry,
        }
    }

    /// Counts a frame that was refused. `reason` is a stable code, never text of the peer.
    pub fn reject_frame(&self, reason: &'static str) {
        self.rejected_frames.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// The counter of an answer, to be kept by who counts often. `stage` is stored or
    /// request; `outcome` is ack, noack or retry.
    pub fn acks(&self, stage: &'static str, outcome: &'static str) -> Counter {
        self.acks.get_or_create_owned(&AckLabels { stage, outcome })
    }

    /// How often a budget was used up.
    pub fn budget(&self, budget: &'static str) -> Counter {
        self.budgets.get_or_create_owned(&BudgetLabels { budget })
    }

    /// Counts a command of the server's own agent by how it ended.
    pub fn count_command(&self, outcome: &'static str) {
        self.commands.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Says where the number of lost log lines is to be read at each scrape. Only the first source
    /// counts: there is one operation log.
    pub fn watch_log(&self, lost_lines: impl Fn() -> u64 + Send + Sync + 'static) {
        self.lost_lines.get_or_init(|| LostLines(Box::new(lost_lines)));
    }

    /// Everything in OpenMetrics text.
    pub fn encode(&self) -> String {
        if let Some(lost) = self.lost_lines.get() {
            self.log_lines_dropped.inner().store(lost.0(), Ordering::Relaxed);
        }
        let mut page = String::new();
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            // Writing to a string cannot fail, but a collector may; half a page would be a lie.
            Err(_) => "# EOF\n".to_owned(),
        }
    }
}

fn register<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    register(registry, name, help, Gauge::default())
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    register(registry, name, help, Counter::default())
}

fn family<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    L: Clone + std::hash::Hash + Eq + EncodeLabelSet + fmt::Debug + Send + Sync + 'static,
{
    register(registry, name, help, Family::default())
}

/// From 50 us to 26 s; the interesting part is around a millisecond.
fn seconds() -> Histogram {
    doubling(0.000_05, 20)
}

/// So many buckets, each twice as wide as the one before.
fn doubling(first: f64, count: u16) -> Histogram {
    Histogram::new(exponential_buckets(first, 2.0, count))
}

#[cfg(test)]
mod tests {
    use chat_protocol::tag::Tag;

    use super::*;
    use crate::queue::Lane;

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.connections.inc();
        metrics.frames_in.of(Some(Tag::Dm)).inc_by(3);
        metrics.frames_out.of(None).inc();
        metrics.bytes_in.inc_by(700);
        metrics.queue.get(Lane::Bulk).depth.inc();
        metrics.queue.get(Lane::Command).wait.observe(0.001);
        metrics.deliveries.kept.inc();
        metrics.commit_batch_size.observe(64.0);
        metrics.auth_attempts.refused.inc();
        metrics.refusals.strangers.inc();
        metrics.offers.set(3);
        metrics.mailbox_bytes.set(17);
        metrics.tls_not_after.set(1_900_000_000);
        metrics.find_duration.observe(0.001);
        metrics.reject_frame("E_BAD_SIGNATURE");
        metrics.acks("stored", "ack").inc_by(5);
        metrics.count_command("noack");
        metrics.relay.connections.inc();
        metrics.relay.transfers.inc();
        metrics.relay.chunks.inc_by(2);
        metrics.relay.bytes.inc_by(9);
        metrics.relay.copies_bytes.set(8);
        metrics.http.count(404);
        metrics.http.body_bytes.inc_by(7);
        metrics.http.cut.inc();
        metrics.http.connections.inc();
        metrics.watch_log(|| 2);
        let page = metrics.encode();
        for line in [
            "chat_connections 1",
            "chat_frames_total{tag=\"DM\",direction=\"in\"} 3",
            "chat_frames_total{tag=\"HUB\",direction=\"out\"} 1",
            "chat_frame_bytes_total{direction=\"in\"} 700",
            "chat_queue_depth{lane=\"bulk\"} 1",
            "chat_queue_wait_seconds_count{lane=\"command\"} 1",
            "chat_deliveries_total{outcome=\"kept\"} 1",
            "chat_commit_batch_size_sum 64.0",
            "chat_auth_attempts_total{result=\"refused\"} 1",
            "chat_connections_refused_total{reason=\"strangers\"} 1",
            "chat_rejected_frames_total{reason=\"E_BAD_SIGNATURE\"} 1",
            "chat_offers 3",
            "chat_mailbox_bytes 17",
            "chat_tls_not_after_seconds 1900000000",
            "chat_find_seconds_count 1",
            "chat_acks_total{stage=\"stored\",outcome=\"ack\"} 5",
            "chat_commands_total{outcome=\"noack\"} 1",
            "chat_data_connections 1",
            "chat_relay_transfers 1",
            "chat_relay_chunks_total 2",
            "chat_relay_bytes_total 9",
            "chat_copies_bytes 8",
            "chat_http_requests_total{code=\"404\"} 1",
            "chat_http_body_bytes_total 7",
            "chat_http_bodies_cut_total 1",
            "chat_http_connections 1",
            "chat_log_lines_dropped_total 2",
            concat!("chat_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# EOF",
        ] {
            assert!(page.lines().any(|shown| shown == line), "no line {line:?} in:\n{page}");
        }
    }

    #[test]
    fn the_process_is_measured_at_the_scrape() {
        let page = Metrics::new().encode();
        let value = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_max_fds ") >= 3.0);
        assert!(value("process_start_time_seconds ") > 1.6e9);
    }
}
