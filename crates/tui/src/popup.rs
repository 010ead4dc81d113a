//! What is open above the log and takes the keys: help, the list to choose from, a question, a search.

use ratatui::layout::{Position, Rect};

use crate::data::Facts;
use crate::keys::{Action, Keys, Listed};
use crate::layout::middle;
use crate::pen::{Pen, Row, lines, piece};
use crate::switcher::Switcher;
use crate::theme::Ink;
use crate::wrap::{clean, clean_line, fit_with_sign, tail, width, wrap};

/// Columns of a popup where there is room.
const COLUMNS: u16 = 66;

/// Conversations that are shown to choose from.
const CHOICES: u16 = 12;

/// In a lower screen what the talk asks stands where one types: above the log it would hide what it is about.
const BOX_FROM: u16 = 20;

/// Columns of the keys in the help.
const KEYS: usize = 24;

/// Something that takes the keys.
#[derive(Debug)]
pub(crate) enum Popup {
    /// The keys, from this row on.
    Help(usize),
    /// The conversations.
    Switcher(Switcher),
    /// A question.
    Question(Question),
    /// A search in the log.
    Search(Search),
    /// A search in what was sent: letters, how many were passed over, and what was found.
    Sent(Search, usize, Option<String>),
}

impl Popup {
    /// It stands in the place of what is typed, and not above the log.
    pub(crate) fn is_prompt(&self, screen: Rect) -> bool {
        match self {
            Self::Search(_) | Self::Sent(..) => true,
            Self::Question(question) => question.is_of_talk() && screen.height < BOX_FROM,
            Self::Help(_) | Self::Switcher(_) => false,
        }
    }

    /// It is about the open conversation, and nothing elsewhere.
    pub(crate) fn is_of_place(&self) -> bool {
        match self {
            Self::Search(_) | Self::Sent(..) => true,
            // The talk knows what its question is about.
            Self::Question(question) => !question.is_of_talk(),
            Self::Help(_) | Self::Switcher(_) => false,
        }
    }
}

/// Letters that are looked for.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The letters.
    pub(crate) letters: String,
    /// They are nowhere, or no more.
    pub(crate) is_missed: bool,
}

/// A question that a person is asked.
#[derive(Debug)]
pub(crate) struct Question {
    /// It, in words; several lines at most.
    pub(crate) words: String,
    /// What is answered.
    pub(crate) about: About,
    /// What was typed of the answer, where it has words.
    pub(crate) answer: String,
}

/// What a question is about.
#[derive(Debug)]
pub(crate) enum About {
    /// Whether this text of several lines is to be inserted: yes or no.
    Paste(String),
    /// Something that the talk asks; it reads the answer like any line.
    Talk,
}

impl Question {
    /// About a text of several lines.
    pub(crate) fn of_paste(text: String) -> Self {
        let count = text.split('\n').count();
        let words = format!("Paste {count} lines? y inserts them as one message, n does not");
        Self { words, about: About::Paste(text), answer: String::new() }
    }

    /// Whether the talk has asked it.
    pub(crate) fn is_of_talk(&self) -> bool {
        matches!(self.about, About::Talk)
    }

    /// What the talk asks.
    pub(crate) fn of_talk(words: String) -> Self {
        Self { words, about: About::Talk, answer: String::new() }
    }
}

/// Draws a popup; says where the cursor stands.
pub(crate) fn draw(
    pen: &mut Pen<'_>,
    screen: Rect,
    popup: &Popup,
    (facts, keys): (&Facts, &Keys),
) -> Option<Position> {
    match popup {
        Popup::Help(first) => {
            draw_help(pen, screen, keys, *first);
            None
        }
        Popup::Switcher(switcher) => Some(draw_switcher(pen, screen, switcher, facts)),
        _ if popup.is_prompt(screen) => None,
        Popup::Question(question) => draw_question(pen, screen, question),
        Popup::Search(_) | Popup::Sent(..) => None,
    }
}

/// What stands in the place of what is typed while something is asked for there: its rows, and column and row of the
/// cursor in them.
pub(crate) fn prompt(popup: &Popup, screen: Rect) -> Option<(Vec<Row>, (usize, usize))> {
    if !popup.is_prompt(screen) {
        return None;
    }
    let cells = usize::from(screen.width);
    let (what, search, found) = match popup {
        Popup::Search(search) => ("search", search, None),
        Popup::Sent(search, _, found) => ("sent before", search, found.as_deref()),
        Popup::Question(question) => return Some(asked(question, cells)),
        _ => return None,
    };
    let missed = if search.is_missed { " (not found)" } else { "" };
    let head = format!("{what}{missed}: ");
    let (letters, cursor) = answered(&search.letters, cells.saturating_sub(width(&head)));
    let cursor = width(&head) + cursor;
    let mut row = vec![piece(head, Ink::Heading), piece(letters, Ink::Text)];
    if let Some(found) = found {
        row.push(piece(format!("  → {}", found.replace('\n', " ")), Ink::Faint));
    }
    Some((vec![row], (cursor, 0)))
}

/// A question in rows of so many cells, with its answer in the last one.
fn asked(question: &Question, cells: usize) -> (Vec<Row>, (usize, usize)) {
    let words = clean(&question.words);
    let mut rows: Vec<Row> = wrap(&words, cells, cells)
        .into_iter()
        .map(|part| vec![piece(part, Ink::Heading)])
        .collect();
    let (answer, cursor) = answered(&question.answer, cells.saturating_sub(2));
    rows.push(vec![piece("> ", Ink::Heading), piece(answer, Ink::Text)]);
    let row = rows.len().saturating_sub(1);
    (rows, (cursor + 2, row))
}

/// The end of what was typed into a row of so many cells, which leaves one for the cursor, and where this stands.
fn answered(typed: &str, cells: usize) -> (String, usize) {
    let typed = clean_line(typed);
    let shown = tail(&typed, cells.saturating_sub(1));
    (shown.to_owned(), width(shown))
}

/// Rows of the help.
pub(crate) fn help_rows(keys: &Keys, cells: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (heading, list) in keys.list() {
        rows.push(vec![piece(*heading, Ink::Heading)]);
        for Listed { keys, words, .. } in list {
            let keys = format!("  {:KEYS$}", keys.join(", "));
            if width(&keys) + width(words) <= cells {
                rows.push(vec![piece(keys, Ink::Mark), piece(words.as_str(), Ink::Text)]);
                continue;
            }
            rows.push(vec![piece(keys.trim_end(), Ink::Mark)]);
            let room = cells.saturating_sub(4);
            let parts = wrap(words, room, room).into_iter();
            rows.extend(parts.map(|part| vec![piece(format!("    {part}"), Ink::Text)]));
        }
    }
    rows
}

/// Columns and rows that the help has for its list.
pub(crate) fn help_room(screen: Rect) -> (usize, usize) {
    let inner = inner(middle(screen, COLUMNS, screen.height));
    (usize::from(inner.width), usize::from(inner.height))
}

/// The keys that matter while the list of them is open.
fn help_title(keys: &Keys) -> String {
    let scrolls = [keys.key_of(Action::PageUp), keys.key_of(Action::PageDown)];
    let scrolls: Vec<&str> = scrolls.into_iter().filter(|key| !key.is_empty()).collect();
    let scrolls = match scrolls.as_slice() {
        [] => String::new(),
        [one] => format!(", {one} scrolls"),
        [..] => format!(", {} scroll", scrolls.join(" and ")),
    };
    format!("Keys: {} closes{scrolls}", keys.key_of(Action::Close))
}

fn draw_help(pen: &mut Pen<'_>, screen: Rect, keys: &Keys, first: usize) {
    let area = middle(screen, COLUMNS, screen.height);
    let inner = boxed(pen, area, &help_title(keys));
    let rows = help_rows(keys, usize::from(inner.width));
    let first = first.min(rows.len().saturating_sub(usize::from(inner.height)));
    pen.rows(inner, rows.get(first..).unwrap_or_default());
}

fn draw_switcher(pen: &mut Pen<'_>, screen: Rect, switcher: &Switcher, facts: &Facts) -> Position {
    let inner = boxed(pen, middle(screen, COLUMNS, CHOICES + 3), "Go to");
    let cells = usize::from(inner.width);
    let (letters, column) = answered(&switcher.letters, cells.saturating_sub(2));
    pen.row(inner, &[piece("> ", Ink::Heading), piece(letters, Ink::Text)]);
    let found = switcher.found(&facts.conversations);
    let room = usize::from(inner.height).saturating_sub(1);
    let chosen = switcher.place(&found);
    let first = chosen.map_or(0, |chosen| (chosen + 1).saturating_sub(room));
    let rows = found.into_iter().enumerate().skip(first).map(|(at, one)| {
        let is_chosen = Some(at) == chosen;
        let sign = if is_chosen { "▸ " } else { "  " };
        let news = if one.unread > 0 { format!("  {} new", one.unread) } else { String::new() };
        let name = fit_with_sign(&clean_line(&one.name), cells.saturating_sub(2 + news.len()));
        let ink = if is_chosen { Ink::Chosen } else { Ink::Text };
        vec![piece(sign, Ink::Heading), piece(name, ink), piece(news, Ink::Unread)]
    });
    let below = lines(inner).skip(1);
    for (row, line) in rows.zip(below) {
        pen.row(line, &row);
    }
    cursor(inner, column + 2, 0)
}

fn draw_question(pen: &mut Pen<'_>, screen: Rect, question: &Question) -> Option<Position> {
    let words = clean(&question.words);
    let columns = usize::from(COLUMNS.min(screen.width)).saturating_sub(4);
    let parts = wrap(&words, columns, columns);
    let count = u16::try_from(parts.len()).unwrap_or(u16::MAX);
    let height = count.saturating_add(4).min(screen.height);
    // What it is about stands at the end of the log.
    let area = Rect { y: screen.y, ..middle(screen, COLUMNS, height) };
    let inner = boxed(pen, area, "Question");
    // The answer stays in sight, however long the question is.
    let room = usize::from(inner.height).saturating_sub(2);
    let mut rows: Vec<Row> =
        parts.into_iter().take(room.max(1)).map(|part| vec![piece(part, Ink::Text)]).collect();
    if let About::Paste(_) = question.about {
        pen.rows(inner, &rows);
        return None;
    }
    rows.push(Row::new());
    let (answer, column) = answered(&question.answer, usize::from(inner.width).saturating_sub(2));
    let at = rows.len();
    rows.push(vec![piece("> ", Ink::Heading), piece(answer, Ink::Text)]);
    pen.rows(inner, &rows);
    Some(cursor(inner, column + 2, at))
}

fn cursor(area: Rect, x: usize, row: usize) -> Position {
    let right = area.right().saturating_sub(1);
    let bottom = area.bottom().saturating_sub(1);
    let x = area.x.saturating_add(u16::try_from(x).unwrap_or(u16::MAX)).min(right);
    let y = area.y.saturating_add(u16::try_from(row).unwrap_or(u16::MAX)).min(bottom);
    Position { x, y }
}

fn inner(area: Rect) -> Rect {
    Rect {
        x: area.x + area.width.min(2),
        y: area.y + area.height.min(1),
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(2),
    }
}

/// Draws a border with a title, and says what is inside.
fn boxed(pen: &mut Pen<'_>, area: Rect, title: &str) -> Rect {
    pen.fill(area, Ink::Text);
    let cells = usize::from(area.width);
    let title = fit_with_sign(title, cells.saturating_sub(6));
    let rest = cells.saturating_sub(width(&title) + 5);
    for (line, number) in lines(area).zip(0_u16..) {
        let row = match number {
            0 => vec![
                piece("┌─ ", Ink::Faint),
                piece(title.as_str(), Ink::Heading),
                piece(format!(" {}┐", "─".repeat(rest)), Ink::Faint),
            ],
            number if number + 1 == area.height => {
                vec![piece(format!("└{}┘", "─".repeat(cells.saturating_sub(2))), Ink::Faint)]
            }
            _ => vec![piece("│", Ink::Faint)],
        };
        pen.row(line, &row);
        if row.len() == 1 && number + 1 < area.height {
            pen.put((area.right().saturating_sub(1), line.y), 1, "│", Ink::Faint);
        }
    }
    inner(area)
}
