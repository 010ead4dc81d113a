//! What `/metrics` shows. Each figure is a field, moved by the code beside what it counts.
//!
//! On the hot path nothing is looked up: counters are resolved once per tag, lane and outcome, and
//! a count is one atomic addition. No label holds a name, a room or an id.

mod http;
mod process;

use std::{
    fmt,
    sync::{OnceLock, atomic::Ordering},
};

use chat_protocol::tag::Tag;
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

pub use http::HttpMetrics;

use crate::queue::{Lane, PerLane};

/// Depth and waiting time of one lane of the queue.
#[derive(Debug, Clone)]
pub struct QueueMetrics {
    /// Requests that wait now.
    pub depth: Gauge,
    /// Seconds from push to take.
    pub wait: Histogram,
}

impl Default for QueueMetrics {
    fn default() -> Self {
        Self { depth: Gauge::default(), wait: seconds() }
    }
}

/// One counter for each tag of a frame between people, and one for the JSON messages of the hub.
#[derive(Debug)]
pub struct PerTag {
    tags: [(Tag, Counter); TAGS.len()],
    hub: Counter,
}

const TAGS: [Tag; 12] = [
    Tag::Text,
    Tag::Cmd,
    Tag::Ack,
    Tag::Noack,
    Tag::Dm,
    Tag::Broadcast,
    Tag::File,
    Tag::Key,
    Tag::Member,
    Tag::Out,
    Tag::Keyreq,
    Tag::Grant,
];

impl PerTag {
    fn new(family: &Family<FrameLabels, Counter>, direction: &'static str) -> Self {
        let counter = |tag| family.get_or_create_owned(&FrameLabels { tag, direction });
        Self { tags: TAGS.map(|tag| (tag, counter(tag.as_str()))), hub: counter("HUB") }
    }

    /// The counter of a tag; `None` stands for a message between the hub and a client.
    pub fn of(&self, tag: Option<Tag>) -> &Counter {
        self.tags
            .iter()
            .find(|(known, _)| Some(*known) == tag)
            .map_or(&self.hub, |(_, counter)| counter)
    }
}

/// What became of a delivery to one device.
#[derive(Debug)]
pub struct Deliveries {
    /// Put into the outbox of a connection.
    pub pushed: Counter,
    /// Left in the store: the recipient has no connection now.
    pub kept: Counter,
    /// Not put into the outbox because it was full; the connection was closed as slow consumer.
    pub overflowed: Counter,
}

/// How sign-ins ended.
#[derive(Debug)]
pub struct AuthAttempts {
    /// Signed in to an existing account.
    pub signed_in: Counter,
    /// Made an account.
    pub registered: Counter,
    /// Refused: name, signature or password.
    pub refused: Counter,
    /// Neither within the time of the handshake.
    pub timed_out: Counter,
}

/// Why a connection was turned away before sign-in.
#[derive(Debug)]
pub struct Refusals {
    /// No connection more in all.
    pub full: Counter,
    /// Too many that have not signed in, in all or from that address.
    pub strangers: Counter,
    /// TLS, HTTP head or upgrade took too long.
    pub late: Counter,
    /// A web page of another site.
    pub origin: Counter,
    /// The hub is stopping.
    pub draining: Counter,
}

/// Files that go through the hub.
#[derive(Debug)]
pub struct RelayMetrics {
    /// Data connections: those of `chat_connections` that carry files and no messages.
    pub connections: Gauge,
    /// Transfers that run now.
    pub transfers: Gauge,
    /// Chunks taken from a giver or a copy and handed on.
    pub chunks: Counter,
    /// Bytes of those frames.
    pub bytes: Counter,
    /// Bytes of the files of which copies are here or come in.
    pub copies_bytes: Gauge,
}

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
    pub queue: PerLane<QueueMetrics>,
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
    /// Offers on the list of shared files.
    pub offers: Gauge,
    /// Seconds the worker took to find one page of shared files.
    pub find_duration: Histogram,
    /// Plain HTTP.
    pub http: HttpMetrics,
    rejected_frames: Family<ReasonLabels, Counter>,
    acks: Family<AckLabels, Counter>,
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
struct FrameLabels {
    tag: &'static str,
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
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
        chat.register(
            "build",
            "Version of the server",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let connections = register(chat, "connections", "Open WebSockets", Gauge::default());
        let frames: Family<FrameLabels, Counter> =
            family(chat, "frames", "Frames by tag and direction");
        let bytes: Family<DirectionLabels, Counter> =
            family(chat, "frame_bytes", "Payload bytes of frames");
        let bytes = |direction| bytes.get_or_create_owned(&DirectionLabels { direction });
        Self {
            connections,
            refusals: refusals(chat),
            frames_in: PerTag::new(&frames, "in"),
            frames_out: PerTag::new(&frames, "out"),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            queue: queue(chat),
            deliveries: deliveries(chat),
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
                Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            ),
            auth_attempts: auth_attempts(chat),
            retention_dropped: register(
                chat,
                "retention_dropped_messages",
                "Messages deleted because they were older than their room keeps",
                Counter::default(),
            ),
            relay: relay(chat),
            offers: register(
                chat,
                "offers",
                "Offers on the list of shared files",
                Gauge::default(),
            ),
            find_duration: register(
                chat,
                "find_seconds",
                "Time to find one page of shared files",
                Histogram::new(exponential_buckets(0.000_005, 2.0, 16)),
            ),
            http: HttpMetrics::new(chat),
            rejected_frames: family(chat, "rejected_frames", "Frames refused, by reason"),
            acks: family(chat, "acks", "Answers to requests, by stage"),
            commands: family(chat, "commands", "Commands run by the server's agent"),
            log_lines_dropped: register(
                chat,
                "log_lines_dropped",
                "Lines of the operation log that could not be written",
                Counter::default(),
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

fn family<L>(registry: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    L: Clone + std::hash::Hash + Eq + EncodeLabelSet + fmt::Debug + Send + Sync + 'static,
{
    register(registry, name, help, Family::default())
}

/// From 50 us to 26 s; the interesting part is around a millisecond.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 20))
}

fn queue(registry: &mut Registry) -> PerLane<QueueMetrics> {
    let depth: Family<LaneLabels, Gauge> =
        register(registry, "queue_depth", "Requests waiting", Family::default());
    let wait: Family<LaneLabels, Histogram> = register(
        registry,
        "queue_wait_seconds",
        "Time of requests in the queue, by the lane they came to",
        Family::new_with_constructor(seconds),
    );
    PerLane::from_fn(|lane: Lane| {
        let labels = LaneLabels { lane: lane.as_str() };
        QueueMetrics {
            depth: depth.get_or_create_owned(&labels),
            wait: wait.get_or_create_owned(&labels),
        }
    })
}

fn refusals(registry: &mut Registry) -> Refusals {
    let counts: Family<ReasonLabels, Counter> =
        family(registry, "connections_refused", "Connections turned away before sign-in");
    let of = |reason| counts.get_or_create_owned(&ReasonLabels { reason });
    Refusals {
        full: of("full"),
        strangers: of("strangers"),
        late: of("late"),
        origin: of("origin"),
        draining: of("draining"),
    }
}

fn deliveries(registry: &mut Registry) -> Deliveries {
    let counts: Family<OutcomeLabels, Counter> =
        family(registry, "deliveries", "Deliveries to devices");
    let of = |outcome| counts.get_or_create_owned(&OutcomeLabels { outcome });
    Deliveries { pushed: of("pushed"), kept: of("kept"), overflowed: of("overflowed") }
}

fn auth_attempts(registry: &mut Registry) -> AuthAttempts {
    let counts: Family<ResultLabels, Counter> =
        family(registry, "auth_attempts", "Sign-ins by how they ended");
    let of = |result| counts.get_or_create_owned(&ResultLabels { result });
    AuthAttempts {
        signed_in: of("signed_in"),
        registered: of("registered"),
        refused: of("refused"),
        timed_out: of("timed_out"),
    }
}

fn relay(registry: &mut Registry) -> RelayMetrics {
    RelayMetrics {
        connections: register(
            registry,
            "data_connections",
            "Open WebSockets for files",
            Gauge::default(),
        ),
        transfers: register(
            registry,
            "relay_transfers",
            "Transfers of files that run",
            Gauge::default(),
        ),
        chunks: register(registry, "relay_chunks", "Chunks of files handed on", Counter::default()),
        bytes: register(registry, "relay_bytes", "Bytes of those chunks", Counter::default()),
        copies_bytes: register(
            registry,
            "copies_bytes",
            "Bytes of the files of which copies are kept or come in",
            Gauge::default(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
