//! The charts of a run as a whole: what each client got, and how it went over time.

use std::fmt::{self, Write as _};

use super::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axis_end, grid, short, y_of};
use crate::report::{ClientFigures, Report, milliseconds};

/// Bars of a chart at most; more cannot be told apart at its width.
const BARS_MAX: usize = 120;

/// What one bar takes of its place.
const BAR_SHARE: f64 = 0.8;

/// The mean time until stored of each client; of a large crowd neighbours share a bar.
pub(super) fn write_clients(out: &mut String, report: &Report) -> fmt::Result {
    let means: Vec<f64> =
        report.per_client.iter().map(|client| client.mean().as_secs_f64() * 1e3).collect();
    if means.is_empty() {
        return Ok(());
    }
    let share = means.len().div_ceil(BARS_MAX);
    let bars: Vec<f64> = means.chunks(share).map(mean).collect();
    writeln!(out, "<h2>By client</h2>\n<div class=\"pair\">")?;
    let label = "Mean time until stored of each client; the table beside it has the extremes";
    write_bars(out, label, (&bars, "ms"), &format!("client 1 to {}", means.len()))?;
    write_table(out, &report.per_client)?;
    writeln!(out, "</div>")
}

/// Deliveries per second from the first message to the last delivery.
pub(super) fn write_course(out: &mut String, report: &Report) -> fmt::Result {
    let rates = report.course.rates(BARS_MAX);
    if rates.is_empty() {
        return Ok(());
    }
    let length = report.course.length(BARS_MAX).as_secs_f64();
    writeln!(out, "<h2>Over time</h2>\n<div class=\"pair\">")?;
    let label = "Deliveries per second over the time of the run";
    write_bars(out, label, (&rates, "per s"), &format!("0 to {} s", short(length)))?;
    let most = rates.iter().copied().fold(0.0, f64::max);
    writeln!(
        out,
        "<p>Deliveries per second: at most {}, on average {}.</p>\n</div>",
        short(most.round()),
        short(mean(&rates).round())
    )
}

fn mean(values: &[f64]) -> f64 {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    if count > 0.0 { values.iter().sum::<f64>() / count } else { 0.0 }
}

fn write_table(out: &mut String, clients: &[ClientFigures]) -> fmt::Result {
    write!(
        out,
        "<table>\n<thead><tr><th scope=\"col\">of all clients</th><th scope=\"col\">min</th>\
         <th scope=\"col\">max</th></tr></thead>\n<tbody>\n"
    )?;
    let extremes = |value: fn(&ClientFigures) -> u64| {
        let values = || clients.iter().map(value);
        (values().min().unwrap_or_default(), values().max().unwrap_or_default())
    };
    for (name, (least, most)) in
        [("sent", extremes(|client| client.sent)), ("stored", extremes(|client| client.stored))]
    {
        writeln!(out, "<tr><th scope=\"row\">{name}</th><td>{least}</td><td>{most}</td></tr>")?;
    }
    let means = || clients.iter().map(ClientFigures::mean);
    let (least, most) = (means().min().unwrap_or_default(), means().max().unwrap_or_default());
    writeln!(
        out,
        "<tr><th scope=\"row\">mean ms until stored</th><td>{}</td><td>{}</td></tr>\n</tbody></table>",
        milliseconds(least),
        milliseconds(most)
    )
}

/// Bars from the left to the right; `below` says what they stand for.
fn write_bars(
    out: &mut String,
    label: &str,
    (values, unit): (&[f64], &str),
    below: &str,
) -> fmt::Result {
    let top = axis_end(values.iter().copied().fold(0.0, f64::max));
    writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">")?;
    grid(out, top, unit)?;
    let place = (WIDTH - LEFT - RIGHT) / f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let mut x = LEFT;
    for value in values {
        let y = y_of(value / top);
        writeln!(
            out,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            place * BAR_SHARE,
            HEIGHT - BOTTOM - y
        )?;
        x += place;
    }
    writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{below}</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - TOP
    )
}
