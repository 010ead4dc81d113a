//! The report for people.

use chat_protocol::spoken::counted;
use std::fmt;

use super::{FileFigures, Report, ServerFigures, TagCounts, milliseconds};

/// The report on the screen.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let totals = tally.totals();
        writeln!(
            formatter,
            "{} sent {} in {:.2} s ({}/s), seed {}",
            counted(self.clients, "client"),
            counted(totals.sent, "message"),
            self.elapsed.as_secs_f64(),
            self.rate(),
            self.seed
        )?;
        if self.key_pairs < self.clients {
            let pairs = counted(self.key_pairs, "key pair");
            writeln!(formatter, "the clients share a pool of {pairs}")?;
        }
        self.write_counts(formatter, &totals)?;
        self.write_latencies(formatter)?;
        if !tally.by_code.is_empty() {
            let codes = tally.by_code.iter().map(|(code, count)| format!("{code} {count}"));
            writeln!(formatter, "\nNOACK by code: {}", codes.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(formatter)?;
        for (what, count) in self.flaws() {
            write!(formatter, "{}={count} ", what.replace(' ', "_"))?;
        }
        writeln!(formatter, "reconnects={} resent={}", tally.reconnects, tally.resent)?;
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
        self.write_servers(formatter)?;
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

    /// What each of several servers has counted.
    fn write_servers(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if self.servers.len() < 2 {
            return Ok(());
        }
        let number = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        for ServerFigures { url, clients, received, delivered } in &self.servers {
            let (received, delivered) = (number(*received), number(*delivered));
            writeln!(out, "  {url}: clients={clients} received={received} delivered={delivered}")?;
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
