//! The report for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{FileFigures, Latency, Movement, Report, ServerFigures, SumCheck, TagCounts};

impl Report {
    /// The last line of `--json`, without its line end.
    pub fn to_json(&self) -> String {
        let line = JsonReport::new(self);
        serde_json::to_string(&line).expect("numbers and texts always serialise")
    }
}

/// The JSON form. The order of the fields is the documented one; more may follow at the end.
#[derive(Serialize)]
struct JsonReport<'a> {
    event: &'static str,
    clients: u32,
    sent: u64,
    acked: u64,
    noacked: u64,
    unanswered: u64,
    expected: u64,
    delivered: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    unreadable: u64,
    by_tag: &'a BTreeMap<&'static str, TagCounts>,
    latency_ms: JsonLatencies,
    elapsed_s: f64,
    seed: u64,
    key_pairs: u32,
    reconnects: u64,
    resent: u64,
    by_code: &'a BTreeMap<String, u64>,
    server: &'a [SumCheck],
    ok: bool,
    wrong: Vec<String>,
    leaked: u64,
    left_out: u64,
    moves: JsonMoves,
    files: Option<FileFigures>,
    interrupted: bool,
    room: &'a str,
    others: u64,
    started_at: String,
    server_url: &'a str,
    server_version: Option<&'a str>,
    version: &'static str,
    machine: &'a str,
    servers: &'a [ServerFigures],
}

/// Who came and went; times in seconds.
#[derive(Serialize)]
struct JsonMoves {
    leaves: u64,
    joins: u64,
    unplaced: u64,
    absences: u64,
    cut: u64,
    unmoved: u64,
    away_s: f64,
    away_max_s: f64,
}

#[derive(Serialize)]
struct JsonLatencies {
    stored: JsonLatency,
    delivered: JsonLatency,
    executed: JsonLatency,
    drained: JsonLatency,
}

/// Milliseconds; `null` where nothing was measured.
#[derive(Serialize)]
struct JsonLatency {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
    count: u64,
}

impl<'a> JsonReport<'a> {
    fn new(report: &'a Report) -> Self {
        let tally = &report.tally;
        let totals = tally.totals();
        let faults = report.faults();
        Self {
            event: "report",
            clients: report.clients,
            sent: totals.sent,
            acked: totals.acked,
            noacked: totals.noacked,
            unanswered: totals.unanswered,
            expected: totals.expected,
            delivered: totals.delivered,
            lost: tally.lost,
            duplicated: tally.duplicated,
            out_of_order: tally.out_of_order,
            unreadable: tally.unreadable,
            by_tag: &tally.by_tag,
            latency_ms: JsonLatencies {
                stored: JsonLatency::new(&tally.stored),
                delivered: JsonLatency::new(&tally.delivered),
                executed: JsonLatency::new(&tally.executed),
                drained: JsonLatency::new(&tally.drained),
            },
            elapsed_s: thousandths(report.elapsed.as_millis(), 1e3),
            seed: report.seed,
            key_pairs: report.key_pairs,
            reconnects: tally.reconnects,
            resent: tally.resent,
            by_code: &tally.by_code,
            server: &report.server,
            ok: faults.is_empty(),
            wrong: faults.iter().map(ToString::to_string).collect(),
            leaked: tally.leaked,
            left_out: tally.left_out,
            moves: JsonMoves::new(&tally.movement),
            files: report.files,
            interrupted: report.about.was_interrupted,
            room: &report.about.room,
            others: report.about.others,
            started_at: format!("{:.3}", report.about.at),
            server_url: &report.about.server,
            server_version: report.about.server_version.as_deref(),
            version: env!("CARGO_PKG_VERSION"),
            machine: &report.about.machine,
            servers: &report.servers,
        }
    }
}

impl JsonMoves {
    fn new(movement: &Movement) -> Self {
        let Movement { leaves, joins, unplaced, absences, cut, unmoved, away, away_max } =
            *movement;
        let seconds = |time: Duration| thousandths(time.as_millis(), 1e3);
        let (away_s, away_max_s) = (seconds(away), seconds(away_max));
        Self { leaves, joins, unplaced, absences, cut, unmoved, away_s, away_max_s }
    }
}

impl JsonLatency {
    fn new(latency: &Latency) -> Self {
        let at =
            |percent| latency.percentile(percent).map(|value| thousandths(value.as_micros(), 1e3));
        Self { p50: at(50.0), p90: at(90.0), p99: at(99.0), max: at(100.0), count: latency.count() }
    }
}

/// A whole number of small units as a decimal number of large ones, without a tail of digits.
fn thousandths(units: u128, per_unit: f64) -> f64 {
    f64::from(u32::try_from(units).unwrap_or(u32::MAX)) / per_unit
}
