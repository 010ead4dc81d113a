//! What an emulation found: the counts, the verdict, and their forms for people and programs.

use std::time::Duration;

use serde::Serialize;

mod about;
mod course;
mod csv;
mod fault;
mod json;
mod tally;
mod text;

pub use about::{About, machine};
pub use course::{ClientFigures, Course};
pub use fault::Fault;
pub use tally::{Latency, Movement, TagCounts, Tally};

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

/// What a run says about its files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FileFigures {
    /// Files put on the list.
    pub shared: u64,
    /// Files that others have fetched, every byte as it was shared.
    pub fetched: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files that came with other bytes.
    pub wrong: u64,
    /// Files that were not found or did not come.
    pub failed: u64,
}

/// What one of several servers has counted during the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerFigures {
    /// Its address.
    pub url: String,
    /// Connections at the end that carry messages.
    pub clients: u64,
    /// Messages and commands that clients have sent to it; nothing where its counters began anew.
    pub received: Option<u64>,
    /// Messages that it has sent to clients; nothing where its counters began anew.
    pub delivered: Option<u64>,
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
    /// What each client did.
    pub per_client: Vec<ClientFigures>,
    /// What was delivered when.
    pub course: Course,
    /// When, where, and with what.
    pub about: About,
    /// Comparison with the server's metrics; empty when they could not be read.
    pub server: Vec<SumCheck>,
    /// What each address of the server has counted; empty when one could not be read.
    pub servers: Vec<ServerFigures>,
    /// Limit of the 99th percentiles of stored and delivered.
    pub p99_max: Option<Duration>,
    /// So many lost messages are no fault.
    pub lost_max: u64,
}

impl Report {
    /// Everything that is wrong; empty means that the run proves what it should.
    pub fn faults(&self) -> Vec<Fault> {
        let tally = &self.tally;
        let totals = tally.totals();
        let others = [
            ("absences not gone through", tally.movement.unmoved),
            ("files with other bytes", self.files.map_or(0, |files| files.wrong)),
            ("files that did not come", self.files.map_or(0, |files| files.failed)),
        ];
        let sums = [
            ("delivered", totals.delivered, totals.expected.saturating_sub(tally.lost)),
            ("answers", totals.acked + totals.noacked + totals.unanswered, totals.sent),
        ];
        let allowed = |what: &str| if what == "lost" { self.lost_max } else { 0 };
        let counts = self.flaws().into_iter().chain(others);
        let counts = counts.filter(|(what, count)| *count > allowed(what));
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
        if self.about.was_interrupted {
            faults.push(Fault::Interrupted);
        }
        faults
    }

    /// What may go wrong with a message, by its name, and how often it did.
    pub(crate) fn flaws(&self) -> [(&'static str, u64); 7] {
        let tally = &self.tally;
        [
            ("lost", tally.lost),
            ("duplicated", tally.duplicated),
            ("out of order", tally.out_of_order),
            ("unreadable", tally.unreadable),
            ("leaked", tally.leaked),
            ("left out", tally.left_out),
            ("unanswered", tally.totals().unanswered),
        ]
    }

    /// Whether nothing is wrong.
    pub fn is_well(&self) -> bool {
        self.faults().is_empty()
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
            per_client: vec![ClientFigures { sent: 2, ..ClientFigures::default() }; 20],
            course: Course::default(),
            about: About::default(),
            server: vec![SumCheck { name: "acked".to_owned(), clients: 37, server: 37 }],
            servers: Vec::new(),
            p99_max: None,
            lost_max: 0,
        }
    }

    #[test]
    fn a_good_run_is_ok() {
        let report = sample();
        assert_eq!(report.faults(), []);
        assert!(report.is_well());
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
        let breakages: [(Breakage, &str); 15] = [
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
            (|r| r.about.was_interrupted = true, "the run was interrupted"),
        ];
        for (break_it, words) in breakages {
            let mut report = sample();
            break_it(&mut report);
            let faults: Vec<_> = report.faults().iter().map(ToString::to_string).collect();
            assert!(faults[0].starts_with(words), "{words}: {faults:?}");
            assert!(!report.is_well(), "{words}");
            assert!(report.to_string().contains(&format!("WRONG: {words}")));
        }
    }

    fn text_of(report: &mut Report) -> &mut TagCounts {
        report.tally.by_tag.get_mut("TEXT").unwrap()
    }

    #[test]
    fn as_many_may_be_lost_as_somebody_allows() {
        let mut report = sample();
        report.tally.lost = 2;
        text_of(&mut report).delivered -= 2;
        assert!(!report.is_well());
        report.lost_max = 1;
        assert!(!report.is_well());
        report.lost_max = 2;
        assert_eq!(report.faults(), []);
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
    fn several_servers_are_listed_with_what_each_has_counted() {
        let one = |url: &str, received| {
            let url = url.to_owned();
            ServerFigures { url, clients: 10, received, delivered: Some(285) }
        };
        let mut report = Report { servers: vec![one("ws://a:1", Some(37))], ..sample() };
        assert!(!report.to_string().contains("ws://a:1"), "the only one is no news");
        report.servers.push(one("ws://b:1", None));
        let text = report.to_string();
        assert!(text.contains("\n  ws://a:1: clients=10 received=37 delivered=285\n"), "{text}");
        assert!(text.contains("\n  ws://b:1: clients=10 received=- delivered=285\n"), "{text}");
        let page = crate::html::page(&report);
        assert!(page.contains("ws://a:1</th><td>10</td><td>37</td>"), "{page}");
        let value: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(
            (&value["servers"][0]["received"], &value["servers"][1]["received"]),
            (&37.into(), &serde_json::Value::Null)
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
}
