//! The report as one page: no script, nothing loaded from elsewhere, light or dark as the reader
//! prefers, and every curve again as a table.

use std::fmt::{self, Write as _};
use std::time::Duration;

use chat_protocol::sanitise;
use chat_protocol::spoken::counted;

use crate::report::{About, Latency, Movement, Report, ServerFigures, TagCounts, milliseconds};

mod charts;

/// Percentiles of the axis and of the tables, and where they stand: equal steps of "ten times
/// rarer", so that the slow tail has as much room as the rest.
const MARKS: [(f64, &str); 7] = [
    (0.0, "min"),
    (50.0, "p50"),
    (90.0, "p90"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
    (100.0, "max"),
];
/// Points of a curve; more cannot be told apart at its width.
const POINTS: u32 = 120;
/// Tens at which the axis ends: 99.99 % are four, the largest value stands a half behind.
const TENS_MAX: f64 = 4.5;

/// Size of a drawing and of the frame inside it, in its own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 32.0;
/// Horizontal lines above the zero line.
const GRID_LINES: u32 = 4;

/// Why a run with refusals can be in order.
const MEANT: &str = "The refusals below are meant: some lines ask for commands that fail, that no rule \
    allows, or that go to somebody who runs none. In order means that each line had exactly one answer.";

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;\
--curve:#0b62c4;--good:#116329;--bad:#a40e26}\
@media(prefers-color-scheme:dark){:root{--back:#0d1117;--ink:#e6edf3;--soft:#9da7b1;\
--line:#3d444d;--curve:#6cb6ff;--good:#57ce75;--bad:#ff8a84}}\
body{background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif;\
max-width:72rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
caption{text-align:left;color:var(--soft)}\
th,td{padding:.2rem .8rem;border-bottom:1px solid var(--line);text-align:right}\
th:first-child{text-align:left}\
.wide{overflow-x:auto}.pair{display:flex;flex-wrap:wrap;gap:2rem;align-items:center}\
svg{flex:1 1 26rem;min-width:0;max-width:44rem;height:auto}\
svg text{fill:var(--soft);font-size:12px}svg .grid{stroke:var(--line)}\
svg .bar{fill:var(--curve)}svg .curve{fill:none;stroke:var(--curve);stroke-width:2}\
.good{color:var(--good)}.bad{color:var(--bad)}";

/// The page. All text from outside is escaped, control characters too.
pub fn page(report: &Report) -> String {
    let mut html = String::new();
    write_page(&mut html, report).expect("writing to a String cannot fail");
    html
}

fn write_page(out: &mut String, report: &Report) -> fmt::Result {
    let totals = report.tally.totals();
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none';style-src 'unsafe-inline'\">\n\
         <title>Emulation of {clients}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<h1>{clients} sent {sent}</h1>\n\
         <p>{seconds:.2} s, {rate} messages per second, seed {seed}, {pairs}</p>\n",
        clients = counted(report.clients, "client"),
        sent = counted(totals.sent, "message"),
        seconds = report.elapsed.as_secs_f64(),
        rate = report.rate(),
        seed = report.seed,
        pairs = counted(report.key_pairs, "key pair"),
    )?;
    write_about(out, &report.about)?;
    write_verdict(out, report)?;
    write_counts(out, report, &totals)?;
    charts::write_course(out, report)?;
    charts::write_clients(out, report)?;
    for (stage, latency) in report.stages() {
        write_stage(out, stage, latency)?;
    }
    if !report.tally.by_code.is_empty() {
        writeln!(out, "<p>{MEANT}</p>")?;
    }
    write_pairs(out, "Refusals and failures by code", ["code", "NOACK"], &report.tally.by_code)?;
    write_server(out, report)?;
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

/// When, where, and with what.
fn write_about(out: &mut String, about: &About) -> fmt::Result {
    let version = about.server_version.as_deref().unwrap_or("of a version that it does not say");
    writeln!(
        out,
        "<p>{:.0}, chat-client {} with chat-server {} at {}; clients on {}; texts in {}</p>",
        about.at,
        env!("CARGO_PKG_VERSION"),
        escape(version),
        escape(&about.server),
        escape(&about.machine),
        escape(&about.room)
    )
}

fn write_verdict(out: &mut String, report: &Report) -> fmt::Result {
    let faults = report.faults();
    if faults.is_empty() {
        let verdict = "ok: every message arrived once, in order and readable";
        return writeln!(out, "<p class=\"good\"><strong>{verdict}</strong></p>");
    }
    writeln!(out, "<p class=\"bad\"><strong>Something is wrong:</strong></p>\n<ul class=\"bad\">")?;
    for fault in faults {
        writeln!(out, "<li>{}</li>", escape(&fault.to_string()))?;
    }
    writeln!(out, "</ul>")
}

fn write_counts(out: &mut String, report: &Report, totals: &TagCounts) -> fmt::Result {
    out.push_str("<h2>Messages</h2>\n<div class=\"wide\"><table>\n<thead><tr>");
    for head in ["tag", "sent", "ACK", "NOACK", "unanswered", "expected", "delivered"] {
        write!(out, "<th scope=\"col\">{head}</th>")?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let rows = report.tally.by_tag.iter().map(|(tag, counts)| (*tag, counts));
    for (tag, counts) in rows.chain([("total", totals)]) {
        let TagCounts { sent, acked, noacked, unanswered, expected, delivered } = counts;
        write!(out, "<tr><th scope=\"row\">{}</th>", escape(tag))?;
        for count in [sent, acked, noacked, unanswered, expected, delivered] {
            write!(out, "<td>{count}</td>")?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    let tally = &report.tally;
    let flaws = report.flaws().map(|(what, count)| format!("{what} {count}")).join(", ");
    writeln!(out, "<p>{flaws}; reconnects {}, sent again {}</p>", tally.reconnects, tally.resent)?;
    if let Some(files) = report.files {
        writeln!(
            out,
            "<p>files: shared {}, fetched {} ({} bytes), with other bytes {}, not come {}</p>",
            files.shared, files.fetched, files.bytes, files.wrong, files.failed
        )?;
    }
    write_movement(out, &tally.movement)
}

/// Who came and went, where anybody did.
fn write_movement(out: &mut String, movement: &Movement) -> fmt::Result {
    let Movement { leaves, joins, unplaced, absences, cut, away, away_max, unmoved: _ } = movement;
    if *absences == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "<p>rooms left {leaves}, joined again {joins} ({unplaced} without a place in the log); \
         away {absences} times, {cut} of them without a goodbye, {:.2} s together, {:.2} s at \
         most</p>",
        away.as_secs_f64(),
        away_max.as_secs_f64()
    )
}

/// One stage: the curve, and beside it the same as a table.
fn write_stage(out: &mut String, stage: &str, latency: &Latency) -> fmt::Result {
    writeln!(out, "<h2>Until {stage}</h2>")?;
    let Some(max) = latency.percentile(100.0) else {
        return writeln!(out, "<p>Nothing was measured.</p>");
    };
    out.push_str("<div class=\"pair\">\n");
    write_curve(out, stage, latency, max)?;
    write!(
        out,
        "<table>\n<caption>{} measurements</caption>\n\
         <thead><tr><th scope=\"col\">percentile</th><th scope=\"col\">ms</th></tr></thead>\n<tbody>\n",
        latency.count()
    )?;
    for (percent, name) in MARKS {
        let shown = latency.percentile(percent).map(milliseconds).unwrap_or_default();
        writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{shown}</td></tr>")?;
    }
    out.push_str("</tbody></table>\n</div>\n");
    Ok(())
}

fn write_curve(out: &mut String, stage: &str, latency: &Latency, max: Duration) -> fmt::Result {
    let top_ms = axis_end(max.as_secs_f64() * 1e3);
    writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Latency until {stage} by \
         percentile; the table beside it has the figures\">"
    )?;
    grid(out, top_ms, "ms")?;
    for (percent, name) in MARKS {
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            x_of(tens(percent)),
            HEIGHT - 10.0
        )?;
    }
    out.push_str("<polyline class=\"curve\" points=\"");
    for point in 0..=POINTS {
        let at = TENS_MAX * f64::from(point) / f64::from(POINTS);
        let percent = if point == POINTS { 100.0 } else { 100.0 - 100.0 / 10_f64.powf(at) };
        let value_ms = latency.percentile(percent).map_or(0.0, |value| value.as_secs_f64() * 1e3);
        write!(out, "{:.1},{:.1} ", x_of(at), y_of(value_ms / top_ms))?;
    }
    out.push_str("\"/>\n</svg>\n");
    Ok(())
}

/// How many times "ten times rarer" a percentile is: 90 is one, 99 is two.
fn tens(percent: f64) -> f64 {
    if percent >= 100.0 { TENS_MAX } else { -((100.0 - percent) / 100.0).log10() }
}

fn x_of(tens: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * tens / TENS_MAX
}

/// The lines of a chart's grid, each with its value up to the one at the top.
fn grid(out: &mut String, top: f64, unit: &str) -> fmt::Result {
    for line in 0..=GRID_LINES {
        let share = f64::from(line) / f64::from(GRID_LINES);
        let y = y_of(share);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} {unit}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            short(top * share)
        )?;
    }
    Ok(())
}

fn y_of(share: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
}

/// The next number of the form 1, 2, 4, 6 or 8 times a power of ten, so that the four grid lines
/// stand at short numbers.
fn axis_end(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(0.001).log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    let fits = steps.into_iter().find(|step| step * power >= value);
    fits.unwrap_or(10.0) * power
}

/// A number without the zeros that say nothing.
fn short(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn write_pairs<'a>(
    out: &mut String,
    title: &str,
    heads: [&str; 2],
    rows: impl IntoIterator<Item = (&'a String, &'a u64)>,
) -> fmt::Result {
    let mut rows = rows.into_iter().peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let [name, count] = heads;
    write!(
        out,
        "<h2>{title}</h2>\n<table>\n\
         <thead><tr><th scope=\"col\">{name}</th><th scope=\"col\">{count}</th></tr></thead>\n<tbody>\n"
    )?;
    for (name, count) in rows {
        writeln!(out, "<tr><th scope=\"row\">{}</th><td>{count}</td></tr>", escape(name))?;
    }
    writeln!(out, "</tbody></table>")
}

fn write_server(out: &mut String, report: &Report) -> fmt::Result {
    out.push_str("<h2>The same sums at the server</h2>\n");
    if report.server.is_empty() {
        return writeln!(out, "<p>The server's metrics were not read.</p>");
    }
    out.push_str("<table>\n<thead><tr>");
    for head in ["sum", "clients", "server", ""] {
        write!(out, "<th scope=\"col\">{head}</th>")?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for check in &report.server {
        let verdict = if check.clients == check.server { "equal" } else { "DIFFERENT" };
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{verdict}</td></tr>",
            escape(&check.name),
            check.clients,
            check.server
        )?;
    }
    writeln!(out, "</tbody></table>")?;
    if report.servers.len() > 1 { write_servers(out, &report.servers) } else { Ok(()) }
}

/// What each of several servers has counted.
fn write_servers(out: &mut String, servers: &[ServerFigures]) -> fmt::Result {
    out.push_str("<table>\n<thead><tr>");
    for head in ["server", "clients", "received", "delivered"] {
        write!(out, "<th scope=\"col\">{head}</th>")?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let number = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    for ServerFigures { url, clients, received, delivered } in servers {
        let (url, received, delivered) = (escape(url), number(*received), number(*delivered));
        writeln!(
            out,
            "<tr><th scope=\"row\">{url}</th><td>{clients}</td><td>{received}</td><td>{delivered}</td></tr>"
        )?;
    }
    writeln!(out, "</tbody></table>")
}

/// Text that is only text, in an element as in an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in sanitise::line(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SumCheck;
    use crate::report::tests::sample;

    #[test]
    fn the_page_stands_alone_and_has_a_table_for_each_curve() {
        let html = page(&sample());
        assert_eq!(html.matches("<polyline").count(), 3);
        assert_eq!(html.matches("<th scope=\"row\">p99.9</th>").count(), 3);
        for absent in ["<script", "http://", "https://", "src=", "url("] {
            assert!(!html.contains(absent), "{absent}");
        }
        for present in ["prefers-color-scheme:dark", "lang=\"en\"", "role=\"img\"", "ok: every"] {
            assert!(html.contains(present), "{present}");
        }
        for tag in ["table", "tr", "td", "th", "svg", "div", "p", "h2", "ul", "text"] {
            let opened = html.matches(&format!("<{tag}>")).count()
                + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }

    #[test]
    fn outside_strings_are_only_text() {
        let mut report = sample();
        report.tally.by_code.insert("<script>alert('x')&\"\u{1b}".to_owned(), 3);
        report.server.push(SumCheck { name: "<b>".to_owned(), clients: 1, server: 2 });
        let html = page(&report);
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&amp;&quot;\\x1b"), "{html}");
        assert!(!html.contains("<script") && !html.contains("<b>"));
        assert!(html.contains("<li>&lt;b&gt;: clients counted 1, the server 2</li>"));
    }

    #[test]
    fn a_run_without_measurements_still_has_a_page() {
        let mut report = sample();
        report.tally = crate::report::Tally::default();
        assert!(page(&report).contains("Nothing was measured."));
    }

    #[test]
    fn axes_end_above_the_largest_value_at_a_short_number() {
        for (value, end) in
            [(0.9, "1"), (1.0, "1"), (1.1, "2"), (47.0, "60"), (81.0, "100"), (0.037, "0.04")]
        {
            assert_eq!(short(axis_end(value)), end, "{value}");
        }
        assert!(axis_end(0.0) > 0.0);
    }

    /// A curve never leaves its frame and never falls: percentiles only grow.
    #[test]
    fn the_curve_stays_in_its_frame_and_rises() {
        let html = page(&sample());
        let points = html.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let mut last = (0.0, f64::MAX);
        for point in points.split_whitespace() {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(x >= last.0 && y <= last.1, "{point} after {last:?}");
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y));
            last = (x, y);
        }
    }
}
