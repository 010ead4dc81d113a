//! The report as a table for a spreadsheet: one line for each kind of message, one for all, one for each stage.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Latency, Report, TagCounts, milliseconds};

/// The names of the columns; a cell that a line has nothing for is empty.
const COLUMNS: &str =
    "what,name,sent,acked,noacked,unanswered,expected,delivered,count,p50_ms,p90_ms,p99_ms,max_ms";

impl Report {
    /// The table, with a line end at its end.
    pub fn to_csv(&self) -> String {
        let mut table = format!("{COLUMNS}\n");
        for (tag, counts) in &self.tally.by_tag {
            push(&mut table, ("tag", tag), Some(counts), None);
        }
        push(&mut table, ("total", "all"), Some(&self.tally.totals()), None);
        for (stage, latency) in self.stages() {
            push(&mut table, ("stage", stage), None, Some(latency));
        }
        for (name, count) in self.flaws() {
            writeln!(table, "flaw,{name},{count},,,,,,,,,,").ok();
        }
        table
    }
}

fn push(
    table: &mut String,
    (what, name): (&str, &str),
    counts: Option<&TagCounts>,
    latency: Option<&Latency>,
) {
    let numbers = counts.map(|of| {
        [of.sent, of.acked, of.noacked, of.unanswered, of.expected, of.delivered]
            .map(|number| number.to_string())
    });
    let cell = |value: Option<Duration>| value.map(milliseconds).unwrap_or_default();
    let times = latency.map(|of| {
        let [p50, p90, p99, max] = [50.0, 90.0, 99.0, 100.0].map(|at| cell(of.percentile(at)));
        [of.count().to_string(), p50, p90, p99, max]
    });
    let cells = [what.to_owned(), name.to_owned()]
        .into_iter()
        .chain(numbers.unwrap_or_default())
        .chain(times.unwrap_or_default());
    // Writing to a string cannot fail.
    writeln!(table, "{}", cells.collect::<Vec<_>>().join(",")).ok();
}

#[cfg(test)]
mod tests {
    use crate::report::tests::sample;

    #[test]
    fn every_line_has_as_many_cells_as_the_first() {
        let table = sample().to_csv();
        let cells = |line: &str| line.split(',').count();
        let columns = cells(table.lines().next().unwrap());
        assert!(table.lines().all(|line| cells(line) == columns), "{table}");
        assert!(table.contains("\ntag,TEXT,30,30,0,0,570,570,,,,,\n"), "{table}");
        assert!(table.contains("\ntotal,all,40,37,3,0,570,570,,,,,\n"), "{table}");
        assert!(table.contains("\nstage,stored,,,,,,,100,50."), "{table}");
        assert!(table.contains("\nflaw,lost,0,"), "{table}");
    }
}
