//! The rows of one line of the log: when, who, what, and its mark.

use chat_text::show::files;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::view::Window;
use super::{Block, Log};
use crate::data::{Delivery, Kind, Line, Progress};
use crate::lists;
use crate::pen::{Row, piece};
use crate::theme::{self, Ink};
use crate::wrap::{clean, clean_line, fit_with_sign, width, wrap};

/// Columns of the time, with the space behind it; further rows of a text are set in by as much.
const TIME: usize = 6;

/// Names stand in a column of their own, and texts behind it, where the log has so many columns.
const ALIGNED_FROM: usize = 60;

/// Columns of that column; longer names are cut.
const NAMES: usize = 12;

/// A text begins behind the name where so many columns are left.
const TEXT_LEAST: usize = 10;

/// Columns of the bar of a file.
const BAR_MAX: usize = 30;

/// Lines without a time that may stand between two of one day. Behind more the day is said again.
const UNDATED_MAX: i64 = 64;

/// Rows of output that are shown while it is folded.
const FOLD_AFTER: usize = 20;

impl Log {
    /// The rows of a block, with the line of its day and the one before what is new.
    pub(super) fn rows(&self, number: i64, window: &Window<'_>) -> Vec<Row> {
        let Some(block) = self.block(number) else { return Vec::new() };
        let mut rows = self.rules(number, block, window);
        let is_found = self.focus == Some(number);
        rows.extend(text_rows(block, is_found, window));
        rows
    }

    /// How many they are. A text is laid out once for a window, however long it is and however often one looks.
    pub(super) fn height(&self, number: i64, window: &Window<'_>) -> usize {
        let Some(block) = self.block(number) else { return 0 };
        let shape = (window.cells, window.is_timed);
        let known = block.height.get().filter(|(of, _)| *of == shape);
        let height = known.map_or_else(|| text_rows(block, false, window).len(), |(_, rows)| rows);
        block.height.set(Some((shape, height)));
        self.rules(number, block, window).len() + height
    }

    fn rules(&self, number: i64, block: &Block, window: &Window<'_>) -> Vec<Row> {
        let mut rows = Vec::new();
        let today = day(block.line.at_ms, window.zone);
        if let Some(date) = today
            && self.day_before(number, window) != today
        {
            rows.push(rule(&date.strftime("%A, %d %B %Y").to_string(), window.cells));
        }
        if self.unread == Some(number) {
            rows.push(rule("new", window.cells));
        }
        rows
    }

    /// The day of the line before this one, or of one before that whose time is known.
    fn day_before(&self, number: i64, window: &Window<'_>) -> Option<Date> {
        let mut before = (1..=UNDATED_MAX).map_while(|back| self.block(number - back));
        before.find_map(|block| day(block.line.at_ms, window.zone))
    }
}

/// A line across the log with a word in it.
fn rule(word: &str, cells: usize) -> Row {
    let word = format!("── {word} ");
    let rest = cells.saturating_sub(width(&word));
    vec![piece(word, Ink::Heading), piece("─".repeat(rest), Ink::Heading)]
}

/// A time in this zone; none where it is not known.
fn zoned(at_ms: u64, zone: &TimeZone) -> Option<jiff::Zoned> {
    let at_ms = i64::try_from(at_ms).ok().filter(|at_ms| *at_ms > 0)?;
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    Some(at.to_zoned(zone.clone()))
}

fn day(at_ms: u64, zone: &TimeZone) -> Option<Date> {
    zoned(at_ms, zone).map(|at| at.date())
}

/// Hours and minutes.
pub(crate) fn clock(at_ms: u64, zone: &TimeZone) -> String {
    zoned(at_ms, zone).map_or_else(|| "--:--".to_owned(), |at| at.strftime("%H:%M").to_string())
}

/// The mark of a message of one's own.
fn mark(delivery: &Delivery) -> (String, Ink) {
    let ink = match delivery {
        Delivery::Queued => Ink::Faint,
        Delivery::Stored { confirmed: 0, unreadable: 1.., .. } | Delivery::Refused { .. } => {
            Ink::Bad
        }
        Delivery::Stored { .. } => Ink::Mark,
    };
    (delivery.mark(), ink)
}

fn text_rows(block: &Block, is_found: bool, window: &Window<'_>) -> Vec<Row> {
    let Line { kind, text, delivery, at_ms, .. } = &block.line;
    let is_output = *kind == Kind::Output;
    let time =
        if window.is_timed { format!("{} ", clock(*at_ms, window.zone)) } else { String::new() };
    let margin = time.len();
    let column = if is_aligned(window) { margin + NAMES + 2 } else { margin };
    let set_in = match kind {
        Kind::Output => format!("{:margin$}│ ", ""),
        Kind::Said | Kind::Own => format!("{:column$}", ""),
        Kind::Notice | Kind::Alarm => format!("{:margin$}", ""),
    };
    let cells = window.cells.saturating_sub(width(&set_in));
    let set_in = || vec![piece(set_in.clone(), Ink::Faint)];
    let mut head = vec![piece(time, Ink::Faint)];
    head.extend(who(&block.line, window));
    let mut first = window.cells.saturating_sub(row_width(&head));
    let mut rows: Vec<Row> = Vec::new();
    if is_output {
        // The end of the command says when it was.
        (head, first) = (set_in(), cells);
    } else if first < TEXT_LEAST {
        rows.push(std::mem::replace(&mut head, set_in()));
        first = cells;
    }
    let ink = match kind {
        _ if is_found => Ink::Chosen,
        Kind::Said if block.line.is_mention => Ink::Mention,
        Kind::Said | Kind::Own | Kind::Output => Ink::Text,
        Kind::Notice => Ink::Notice,
        Kind::Alarm => Ink::Alarm,
    };
    let text = clean(text);
    let mut parts = wrap(&text, first, cells);
    let hidden = folded(block, &mut parts);
    for part in parts {
        head.push(piece(part, ink));
        rows.push(std::mem::replace(&mut head, set_in()));
    }
    if hidden > 0 {
        let mut row = set_in();
        let how = match window.unfold {
            "" => String::new(),
            key => format!(", {key} unfolds"),
        };
        row.push(piece(format!("… {hidden} more rows{how}"), Ink::Faint));
        rows.push(row);
    }
    if let Some(progress) = block.line.progress {
        rows.push(progress_row(progress, set_in(), cells));
    }
    if let Some((mark, ink)) = delivery.as_ref().map(mark) {
        push_mark(&mut rows, &mark, ink, (column, window.cells));
    }
    rows
}

fn is_aligned(window: &Window<'_>) -> bool {
    window.cells >= ALIGNED_FROM
}

/// How much of a file is here.
fn progress_row(progress: Progress, mut row: Row, cells: usize) -> Row {
    let (done, size) = (files::size(progress.done), files::size(progress.size));
    let rate = if progress.rate > 0 {
        format!(", {}/s", files::size(progress.rate))
    } else {
        String::new()
    };
    let told = format!(" {}%  {done} of {size}{rate}", progress.percent());
    let room = cells.saturating_sub(width(&told)).min(BAR_MAX);
    row.push(piece(lists::bar(progress, room), Ink::Mark));
    row.push(piece(told, Ink::Notice));
    row
}

fn row_width(row: &Row) -> usize {
    row.iter().map(|piece| width(&piece.text)).sum()
}

/// Who says something, with what stands behind the name.
fn who(line: &Line, window: &Window<'_>) -> Row {
    let Some(name) = &line.who else { return Vec::new() };
    let ink = Ink::Name(theme::name(name));
    let cells = window.cells;
    let is_aligned = is_aligned(window);
    let name = fit_with_sign(&clean_line(name), if is_aligned { NAMES } else { cells / 3 });
    let sign = if line.is_action { "* " } else { "" };
    let before = if is_aligned { NAMES.saturating_sub(width(&name) + sign.len()) } else { 0 };
    let room = cells.saturating_sub(TIME + before + width(&name) + 2);
    let mut row = vec![piece(" ".repeat(before) + sign, Ink::Text), piece(name, ink)];
    if !line.hand.is_empty() {
        row.push(piece(fit_with_sign(&clean_line(&line.hand), room), Ink::Bad));
    }
    // Who does something is the beginning of the sentence, and says nothing.
    row.push(piece(if line.is_action { " " } else { ": " }, Ink::Faint));
    row
}

/// Cuts long output, and says how many rows are hidden.
fn folded(block: &Block, parts: &mut Vec<&str>) -> usize {
    if block.line.kind != Kind::Output || block.is_unfolded {
        return 0;
    }
    let hidden = parts.len().saturating_sub(FOLD_AFTER);
    parts.truncate(FOLD_AFTER);
    hidden
}

/// Sets a mark behind the text, or into rows of its own where it does not fit.
fn push_mark(rows: &mut Vec<Row>, mark: &str, ink: Ink, (column, cells): (usize, usize)) {
    let used = rows.last().map_or(0, row_width);
    if used + 1 + width(mark) <= cells
        && let Some(row) = rows.last_mut()
    {
        row.push(piece(format!(" {mark}"), ink));
        return;
    }
    let room = cells.saturating_sub(column);
    let parts = wrap(mark, room, room);
    rows.extend(
        parts.into_iter().map(|part| vec![piece(" ".repeat(column), Ink::Text), piece(part, ink)]),
    );
}
