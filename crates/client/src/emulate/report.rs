//! What an emulation found: the counts, the verdict, and their forms for people and programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::emulate::run::exchange::FileFigures;
use crate::exit::ExitStatus;

mod fault;
mod json;

pub use fault::Fault;

/// Longest latency told apart; a longer one counts as this.
const LATENCY_US_MAX: u64 = 600_000_000;
/// Digits of a latency that are kept: 12.34 ms and 12.35 ms are two values.
const LATENCY_DIGITS: u8 = 3;

/// The operations of one tag. Each counts once: executed for a command (or its refusal when it
/// was stored), stored for the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TagCounts {
    /// Sent.
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

/// One sum that both the clients and the server know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SumCheck {
    /// What is compared, such as `acked`.
    pub name: String,
    /// What the clients counted.
    pub clients: u64,
    /// By how much the server's metric grew.
    pub server: u64,
}

/// The whole result of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Number of clients.
    pub clients: u32,
    /// Number of different key pairs they had; fewer than clients when a pool was shared.
    pub key_pairs: u32,
    /// What chose the lines.
    pub seed: u64,
    /// From the first message to the last answer and delivery.
    pub elapsed: Duration,
    /// What was counted.
    pub tally: Tally,
    /// What became of files, where there were any.
    pub files: Option<FileFigures>,
    /// Comparison with the server's metrics; empty when they could not be read.
    pub server: Vec<SumCheck>,
    /// Limit of the 99th percentiles of stored and delivered.
    pub p99_max: Option<Duration>,
}

impl Report {
    /// Everything that is wrong; empty means that the run proves what it should.
    pub fn faults(&self) -> Vec<Fault> {
        let tally = &self.tally;
        let totals = tally.totals();
        let counts = [
            ("lost", tally.lost),
            ("duplicated", tally.duplicated),
            ("out of order", tally.out_of_order),
            ("unreadable", tally.unreadable),
            ("leaked", tally.leaked),
            ("left out", tally.left_out),
            ("unanswered", totals.unanswered),
            ("absences not gone through", tally.movement.unmoved),
            ("files with other bytes", self.files.map_or(0, |files| files.wrong)),
            ("files that did not come", self.files.map_or(0, |files| files.failed)),
        ];
        let sums = [
            ("delivered", totals.delivered, totals.expected.saturating_sub(tally.lost)),
            ("answers", totals.acked + totals.noacked + totals.unanswered, totals.sent),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let sums = sums.into_iter().filter(|(_, got, expected)| got != expected);
        let differing = self.server.iter().filter(|check| check.clients != check.server);
        let mut faults: Vec<_> = counts
            .map(|(what, count)| Fault::Count { what, count })
            .chain(sums.map(|(what, got, expected)| Fault::Sum { what, got, expected }))
            .chain(differing.cloned().map(Fault::Server))
            .chain(self.slow_stages())
            .collect();
        if totals.sent == 0 {
            faults.push(Fault::NothingSent);
        }
        faults
    }

    /// 0, or 99 when something is wrong.
    pub fn exit_status(&self) -> ExitStatus {
        if self.faults().is_empty() { ExitStatus::Ok } else { ExitStatus::ReportFailed }
    }

    fn slow_stages(&self) -> impl Iterator<Item = Fault> {
        let stages = [("stored", &self.tally.stored), ("delivered", &self.tally.delivered)];
        stages.into_iter().filter_map(|(stage, latency)| {
            let (p99, limit) = (latency.percentile(99.0)?, self.p99_max?);
            (p99 > limit).then_some(Fault::Slow { stage, p99, limit })
        })
    }

    /// The stages in the order of a message's life; the last one where somebody was away.
    pub fn stages(&self) -> Vec<(&'static str, &Latency)> {
        let Tally { stored, delivered, executed, drained, .. } = &self.tally;
        let mut stages = vec![("stored", stored), ("delivered", delivered), ("executed", executed)];
        if drained.count() > 0 {
            stages.push(("drained", drained));
        }
        stages
    }

    /// Messages per second, as text with one decimal; a dash for a run without time.
    pub fn rate(&self) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let sent = f64::from(u32::try_from(self.tally.totals().sent).unwrap_or(u32::MAX));
        if seconds > 0.0 { format!("{:.1}", sent / seconds) } else { "-".to_owned() }
    }
}

/// A duration in milliseconds with three decimals, for people.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1e3)
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

/// The report on the screen.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let totals = tally.totals();
        writeln!(
            formatter,
            "{} clients sent {} messages in {:.2} s ({}/s), seed {}",
            self.clients,
            totals.sent,
            self.elapsed.as_secs_f64(),
            self.rate(),
            self.seed
        )?;
        if self.key_pairs < self.clients {
            writeln!(formatter, "the clients share a pool of {} key pairs", self.key_pairs)?;
        }
        self.write_counts(formatter, &totals)?;
        self.write_latencies(formatter)?;
        if !tally.by_code.is_empty() {
            let codes = tally.by_code.iter().map(|(code, count)| format!("{code} {count}"));
            writeln!(formatter, "\nNOACK by code: {}", codes.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(
            formatter,
            "\nlost={} duplicated={} out_of_order={} unreadable={} leaked={} left_out={} unanswered={} reconnects={} resent={}",
            tally.lost,
            tally.duplicated,
            tally.out_of_order,
            tally.unreadable,
            tally.leaked,
            tally.left_out,
            totals.unanswered,
            tally.reconnects,
            tally.resent
        )?;
        if tally.movement.absences > 0 {
            writeln!(formatter, "{}", tally.movement)?;
        }
        if let Some(FileFigures { shared, fetched, bytes, wrong, failed }) = self.files {
            writeln!(
                formatter,
                "files: shared={shared} fetched={fetched} bytes={bytes} wrong={wrong} failed={failed}"
            )?;
        }
        match self.server.iter().filter(|check| check.clients == check.server).count() {
            0 if self.server.is_empty() => writeln!(formatter, "server sums: not compared")?,
            equal => writeln!(formatter, "server sums: {equal} of {} equal", self.server.len())?,
        }
        let faults = self.faults();
        for fault in &faults {
            writeln!(formatter, "WRONG: {fault}")?;
        }
        if faults.is_empty() {
            writeln!(formatter, "ok: every message arrived once, in order and readable")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_counts(&self, out: &mut impl fmt::Write, totals: &TagCounts) -> fmt::Result {
        writeln!(
            out,
            "\n{:<10}{:>9}{:>9}{:>9}{:>11}{:>10}{:>10}",
            "", "sent", "ACK", "NOACK", "unanswered", "expected", "delivered"
        )?;
        let rows = self.tally.by_tag.iter().map(|(tag, counts)| (*tag, counts));
        for (tag, counts) in rows.chain([("total", totals)]) {
            let TagCounts { sent, acked, noacked, unanswered, expected, delivered } = counts;
            writeln!(
                out,
                "{tag:<10}{sent:>9}{acked:>9}{noacked:>9}{unanswered:>11}{expected:>10}{delivered:>10}"
            )?;
        }
        Ok(())
    }

    fn write_latencies(&self, out: &mut impl fmt::Write) -> fmt::Result {
        writeln!(
            out,
            "\n{:<12}{:>9}{:>12}{:>12}{:>12}{:>12}",
            "latency ms", "count", "p50", "p90", "p99", "max"
        )?;
        for (stage, latency) in self.stages() {
            write!(out, "{stage:<12}{:>9}", latency.count())?;
            for percent in [50.0, 90.0, 99.0, 100.0] {
                let shown = latency.percentile(percent).map_or("-".to_owned(), milliseconds);
                write!(out, "{shown:>12}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run in which all is well.
    pub(crate) fn sample() -> Report {
        let mut tally = Tally::default();
        let text = TagCounts {
            sent: 30,
            acked: 30,
            expected: 570,
            delivered: 570,
            ..TagCounts::default()
        };
        let command = TagCounts { sent: 10, acked: 7, noacked: 3, ..TagCounts::default() };
        tally.by_tag.extend([("TEXT", text), ("CMD", command)]);
        tally.by_code.insert("E_POLICY".to_owned(), 3);
        for ms in 1..=100 {
            tally.stored.record(Duration::from_millis(ms));
            tally.delivered.record(Duration::from_micros(ms * 1500));
            tally.executed.record(Duration::from_millis(ms * 2));
        }
        Report {
            clients: 20,
            key_pairs: 20,
            seed: 42,
            elapsed: Duration::from_millis(2500),
            tally,
            files: None,
            server: vec![SumCheck { name: "acked".to_owned(), clients: 37, server: 37 }],
            p99_max: None,
        }
    }

    #[test]
    fn a_good_run_is_ok() {
        let report = sample();
        assert_eq!(report.faults(), []);
        assert_eq!(report.exit_status(), ExitStatus::Ok);
        let text = report.to_string();
        assert!(text.contains("20 clients sent 40 messages in 2.50 s (16.0/s), seed 42"), "{text}");
        assert!(text.contains(
            "lost=0 duplicated=0 out_of_order=0 unreadable=0 leaked=0 left_out=0 unanswered=0"
        ));
        assert!(text.contains("ok: every message arrived once"));
        assert!(!text.contains("share a pool"));
    }

    /// Each rule of the verdict alone makes the run fail, with its own words.
    #[test]
    fn each_fault_is_found() {
        type Breakage = fn(&mut Report);
        let breakages: [(Breakage, &str); 14] = [
            (
                |r| {
                    r.tally.lost = 1;
                    text_of(r).delivered -= 1;
                },
                "1 lost",
            ),
            (|r| r.tally.duplicated = 2, "2 duplicated"),
            (|r| r.tally.out_of_order = 3, "3 out of order"),
            (|r| r.tally.unreadable = 4, "4 unreadable"),
            (|r| r.tally.leaked = 5, "5 leaked"),
            (|r| r.tally.left_out = 7, "7 left out"),
            (|r| r.tally.movement.unmoved = 6, "6 absences not gone through"),
            (
                |r| {
                    text_of(r).unanswered = 1;
                    text_of(r).acked -= 1;
                },
                "1 unanswered",
            ),
            (|r| text_of(r).delivered -= 1, "delivered: 569, expected 570"),
            (|r| text_of(r).acked += 1, "answers: 41, expected 40"),
            (|r| r.server[0].server = 36, "acked: clients counted 37, the server 36"),
            (|r| r.p99_max = Some(Duration::from_millis(98)), "p99 of stored is 99."),
            (|r| r.p99_max = Some(Duration::from_millis(120)), "p99 of delivered is 148."),
            (|r| r.tally = Tally::default(), "nothing was sent"),
        ];
        for (break_it, words) in breakages {
            let mut report = sample();
            break_it(&mut report);
            let faults: Vec<_> = report.faults().iter().map(ToString::to_string).collect();
            assert!(faults[0].starts_with(words), "{words}: {faults:?}");
            assert_eq!(report.exit_status(), ExitStatus::ReportFailed, "{words}");
            assert!(report.to_string().contains(&format!("WRONG: {words}")));
        }
    }

    fn text_of(report: &mut Report) -> &mut TagCounts {
        report.tally.by_tag.get_mut("TEXT").unwrap()
    }

    #[test]
    fn json_has_the_documented_fields_in_order() {
        let json = sample().to_json();
        assert!(!json.contains('\n'));
        let start = r#"{"event":"report","clients":20,"sent":40,"acked":37,"noacked":3,"unanswered":0,"expected":570,"delivered":570,"lost":0,"duplicated":0,"out_of_order":0,"unreadable":0,"by_tag":{"CMD":{"#;
        assert!(json.starts_with(start), "{json}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for stage in ["stored", "delivered", "executed"] {
            for percentile in ["p50", "p90", "p99", "max"] {
                assert!(value["latency_ms"][stage][percentile].as_f64().unwrap() > 0.0);
            }
        }
        let p50 = value["latency_ms"]["stored"]["p50"].as_f64().unwrap();
        assert!((50.0..50.1).contains(&p50), "{p50}");
        assert_eq!(value["latency_ms"]["stored"]["max"], 100.0);
        assert_eq!((&value["elapsed_s"], &value["seed"]), (&2.5.into(), &42.into()));
        assert_eq!(
            (&value["ok"], &value["by_tag"]["TEXT"]["delivered"]),
            (&true.into(), &570.into())
        );
    }

    #[test]
    fn a_stage_without_measurements_is_null_and_not_zero() {
        let mut report = sample();
        report.tally.executed = Latency::default();
        let value: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert!(value["latency_ms"]["executed"]["p99"].is_null());
        assert_eq!(value["latency_ms"]["executed"]["count"], 0);
    }

    #[test]
    fn tallies_add_up() {
        let (one, mut both) = (sample().tally, sample().tally);
        both.merge(&one);
        assert_eq!(both.totals().sent, 80);
        assert_eq!(both.by_code["E_POLICY"], 6);
        assert_eq!(both.stored.count(), 200);
        assert_eq!(both.stored.percentile(50.0), one.stored.percentile(50.0));
    }

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
