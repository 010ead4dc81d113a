//! The rows of one line of the log: when, who, what, and its mark.

use std::ops::Range;

use chat_text::show::files;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::laid::Laid;
use super::view::Window;
use super::{Block, Log, Unread};
use crate::data::{Delivery, Kind, Line, Progress};
use crate::lists;
use crate::pen::{Row, piece};
use crate::theme::{self, Ink};
use crate::wrap::{clean_line, fit_with_sign, width, wrap};

/// Columns of the time, with the space behind it; further rows of a text are set in by as much.
const TIME: usize = 6;

/// Names stand in a column of their own, and texts behind it, where the log has so many columns.
const ALIGNED_FROM: usize = 60;

/// Columns of that column; longer names are cut.
const NAMES: usize = 12;

/// A text begins behind the name where so many columns are left.
const TEXT_LEAST: usize = 10;

/// Columns by which further rows are set in where nothing else does it.
const SET_IN_LEAST: usize = 2;

/// Columns of the bar of a file.
const BAR_MAX: usize = 30;

/// Lines without a time that may stand between two of one day. Behind more the day is said again.
const UNDATED_MAX: i64 = 64;

/// Rows of output that are shown while it is folded.
const FOLD_AFTER: usize = 20;

impl Log {
    /// Some of the rows of a block, with the line of its day and the one before what is new.
    pub(super) fn rows(&self, number: i64, part: Range<usize>, window: &Window<'_>) -> Vec<Row> {
        let Some(block) = self.block(number) else { return Vec::new() };
        let mut rows = self.rules(number, block, window);
        let rules = rows.len();
        rows.truncate(part.end);
        rows.drain(..part.start.min(rows.len()));
        let part = part.start.saturating_sub(rules)..part.end.saturating_sub(rules);
        rows.extend(Drawn::of(block, window).rows(self.focus == Some(number), part));
        rows
    }

    /// How many there are.
    pub(super) fn height(&self, number: i64, window: &Window<'_>) -> usize {
        let Some(block) = self.block(number) else { return 0 };
        let shape = window.shape();
        let known = block.height.get().filter(|(of, _)| *of == shape);
        let height = known.map_or_else(|| Drawn::of(block, window).height(), |(_, rows)| rows);
        block.height.set(Some((shape, height)));
        self.rules(number, block, window).len() + height
    }

    /// The row of a block in which a place of its text is. What is folded is unfolded for it.
    pub(super) fn row_of(&mut self, number: i64, place: usize, window: &Window<'_>) -> usize {
        let Some(block) = self.block(number) else { return 0 };
        let rules = self.rules(number, block, window).len();
        let (row, above, is_hidden) = {
            let drawn = Drawn::of(block, window);
            let row = drawn.laid.row_of(&block.line.text, place);
            (row, rules + usize::from(drawn.name.is_some()), row >= drawn.shown)
        };
        if is_hidden && let Some(block) = self.block_mut(number) {
            block.is_unfolded = true;
            block.height.set(None);
        }
        above + row
    }

    fn rules(&self, number: i64, block: &Block, window: &Window<'_>) -> Vec<Row> {
        let mut rows = Vec::new();
        let today = day(block.line.at_ms, window.zone);
        if let Some(date) = today
            && self.day_before(number, window) != today
        {
            rows.push(rule(&date.strftime("%A, %d %B %Y").to_string(), window.cells));
        }
        if self.unread == Some(Unread::Here(number)) {
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

/// A block as it is drawn in a window: its name where that has a row of its own, its text, and what stands below it.
struct Drawn<'b> {
    block: &'b Block,
    set_in: Row,
    /// The name in a row of its own.
    name: Option<Row>,
    /// What stands before the first row of the text.
    head: Row,
    /// How the text is laid out, and how many of its rows are shown.
    laid: Laid,
    shown: usize,
    /// What stands below the text.
    below: Vec<Row>,
    /// A short mark behind the last row.
    mark: Option<(String, Ink)>,
}

impl<'b> Drawn<'b> {
    fn of(block: &'b Block, window: &Window<'_>) -> Self {
        let line = &block.line;
        let time = if window.is_timed {
            format!("{} ", clock(line.at_ms, window.zone))
        } else {
            String::new()
        };
        let (margin, column) = (time.len(), column(window));
        let is_notice = matches!(line.kind, Kind::Notice | Kind::Alarm);
        let set_in = match line.kind {
            Kind::Output => format!("{:margin$}│ ", ""),
            // Without the time in front a row of it would begin as one of a speaker does.
            _ if is_notice && window.is_timed => format!("{:margin$}", ""),
            _ => format!("{:column$}", ""),
        };
        let cells = window.cells.saturating_sub(width(&set_in));
        let set_in = vec![piece(set_in, Ink::Faint)];
        let mut head = vec![piece(time, Ink::Faint)];
        head.extend(who(line, window));
        let (mut first, mut name) = (window.cells.saturating_sub(row_width(&head)), None);
        if line.kind == Kind::Output || (is_notice && !window.is_timed) {
            // The end of the command says when it was; what a notice lists stands in columns, from the first row on.
            (head, first) = (set_in.clone(), cells);
        } else if first < TEXT_LEAST {
            name = Some(std::mem::replace(&mut head, set_in.clone()));
            first = cells;
        }
        let before = block.laid.take();
        let laid = Laid::of(&line.text, before, window.shape(), (first, cells));
        *block.laid.borrow_mut() = Some(laid.clone());
        let is_folded = line.kind == Kind::Output && !block.is_unfolded;
        let shown = if is_folded { laid.rows().min(FOLD_AFTER) } else { laid.rows() };
        let below = Vec::new();
        let mut drawn = Self { block, set_in, name, head, laid, shown, below, mark: None };
        drawn.set_below(window, cells);
        drawn
    }

    /// How much is hidden, how much is here of a file, and the mark.
    fn set_below(&mut self, window: &Window<'_>, cells: usize) {
        let (line, set_in) = (&self.block.line, self.set_in.clone());
        let hidden = self.laid.rows().saturating_sub(self.shown);
        let hidden = (hidden > 0).then(|| hidden_row(hidden, set_in.clone(), window.unfold));
        let progress = line.progress.map(|progress| progress_row(progress, set_in, cells));
        self.below.extend(hidden.into_iter().chain(progress));
        let Some((mark, ink)) = line.delivery.as_ref().map(mark) else { return };
        let last = self.height().saturating_sub(1);
        let used = self.rows(false, last..last + 1).last().map_or(0, row_width);
        if used + 1 + width(&mark) <= window.cells {
            self.mark = Some((format!(" {mark}"), ink));
            return;
        }
        let column = column(window);
        let room = window.cells.saturating_sub(column);
        let row = |part| vec![piece(" ".repeat(column), Ink::Text), piece(part, ink)];
        self.below.extend(wrap(&mark, room, room).into_iter().map(row));
    }

    /// How many rows there are.
    fn height(&self) -> usize {
        usize::from(self.name.is_some()) + self.shown + self.below.len()
    }

    /// Some of them. The text is laid out for these alone.
    fn rows(&self, is_found: bool, part: Range<usize>) -> Vec<Row> {
        let height = self.height();
        let part = part.start.min(height)..part.end.min(height);
        let texts = usize::from(self.name.is_some());
        let name = self.name.clone().filter(|_| part.start == 0);
        let ink = self.ink(is_found);
        let from = part.start.saturating_sub(texts);
        let text = (from..self.shown).zip(self.laid.from(&self.block.line.text, from));
        let text = text.map(|(number, text)| {
            let mut row = if number == 0 { self.head.clone() } else { self.set_in.clone() };
            row.push(piece(text, ink));
            row
        });
        let below = part.start.saturating_sub(texts + self.shown);
        let below = self.below.iter().skip(below).cloned();
        let rows = name.into_iter().chain(text).chain(below).take(part.len());
        let mut rows: Vec<Row> = rows.collect();
        if let Some((mark, ink)) = &self.mark
            && part.end == height
            && let Some(row) = rows.last_mut()
        {
            row.push(piece(mark.as_str(), *ink));
        }
        rows
    }

    fn ink(&self, is_found: bool) -> Ink {
        match self.block.line.kind {
            _ if is_found => Ink::Chosen,
            Kind::Said if self.block.line.is_mention => Ink::Mention,
            Kind::Said | Kind::Own | Kind::Output => Ink::Text,
            Kind::Notice => Ink::Notice,
            Kind::Alarm => Ink::Alarm,
        }
    }
}

/// Where a text begins: behind the time, and behind the names where these have a column of their own. Only a speaker, or a
/// time before them, stands at the start of a row: nobody makes a line of somebody else by breaking their own.
fn column(window: &Window<'_>) -> usize {
    let margin = if window.is_timed { TIME } else { 0 };
    if is_aligned(window) { margin + NAMES + 2 } else { margin.max(SET_IN_LEAST) }
}

/// How much of folded output is hidden.
fn hidden_row(hidden: usize, mut row: Row, unfold: &str) -> Row {
    let how = match unfold {
        "" => String::new(),
        key => format!(", {key} unfolds"),
    };
    row.push(piece(format!("… {hidden} more rows{how}"), Ink::Faint));
    row
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
    let sign = match (line.is_veiled, line.is_action) {
        (false, false) => "",
        (false, true) => "* ",
        (true, false) => "~ ",
        (true, true) => "~ * ",
    };
    let before = if is_aligned { NAMES.saturating_sub(width(&name) + sign.len()) } else { 0 };
    let room = cells.saturating_sub(TIME + before + sign.len() + width(&name) + 2);
    let mut row = vec![piece(" ".repeat(before) + sign, Ink::Text), piece(name, ink)];
    if !line.hand.is_empty() {
        row.push(piece(fit_with_sign(&clean_line(&line.hand), room), Ink::Bad));
    }
    // Who does something is the beginning of the sentence, and says nothing.
    row.push(piece(if line.is_action { " " } else { ": " }, Ink::Faint));
    row
}
