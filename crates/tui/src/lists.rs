//! The conversations on the left, with the files on their way, and the members on the right.

use ratatui::layout::Rect;

use crate::data::{Conversation, Facts, Group, Member, Progress, Transfer};
use crate::pen::{Pen, Row, lines, piece};
use crate::theme::{self, Ink};
use crate::wrap::{clean_line, fit_with_sign, width};

use chat_protocol::name::ConversationId;

/// A row of the list.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Entry<'f> {
    Heading(&'static str),
    Conversation(usize, &'f Conversation),
    Transfer(&'f Transfer),
    Progress(&'f Transfer),
}

fn entries(facts: &Facts) -> Vec<Entry<'_>> {
    let mut entries = Vec::with_capacity(facts.conversations.len() + 8);
    let mut group: Option<Group> = None;
    for (one, number) in facts.conversations.iter().zip(1..) {
        if group != Some(one.group) {
            entries.push(Entry::Heading(one.group.heading()));
            group = Some(one.group);
        }
        entries.push(Entry::Conversation(number, one));
    }
    if !facts.transfers.is_empty() {
        entries.push(Entry::Heading("Transfers"));
    }
    for transfer in &facts.transfers {
        entries.extend([Entry::Transfer(transfer), Entry::Progress(transfer)]);
    }
    entries
}

/// The part of the list that is shown in so many rows: the open conversation is in it, and the files if they fit.
fn shown<'f>(facts: &'f Facts, open: &ConversationId, rows: usize) -> Vec<Entry<'f>> {
    let entries = entries(facts);
    let is_open =
        |entry: &Entry<'_>| matches!(entry, Entry::Conversation(_, one) if one.cid == *open);
    let at = entries.iter().position(is_open).unwrap_or(0);
    let first = (at + 1).saturating_sub(rows.saturating_sub(rows / 3).max(1));
    let first = first.min(entries.len().saturating_sub(rows));
    entries.into_iter().skip(first).take(rows).collect()
}

/// Draws the list.
pub(crate) fn draw_list(pen: &mut Pen<'_>, area: Rect, facts: &Facts, open: &ConversationId) {
    let Some(inner) = bordered(pen, area, area.right().saturating_sub(1), area.x) else { return };
    let cells = usize::from(inner.width);
    let shown = shown(facts, open, usize::from(inner.height));
    for (entry, line) in shown.into_iter().zip(lines(inner)) {
        pen.row(line, &row(entry, open, cells));
    }
}

/// The conversation in this row of the list.
pub(crate) fn in_row<'f>(
    facts: &'f Facts,
    open: &ConversationId,
    area: Rect,
    y: u16,
) -> Option<&'f Conversation> {
    let at = usize::from(y.checked_sub(area.y)?);
    match shown(facts, open, usize::from(area.height)).get(at)? {
        Entry::Conversation(_, one) => Some(one),
        _ => None,
    }
}

fn row(entry: Entry<'_>, open: &ConversationId, cells: usize) -> Row {
    match entry {
        Entry::Heading(heading) => vec![piece(heading, Ink::Heading)],
        Entry::Conversation(number, one) => conversation(number, one, one.cid == *open, cells),
        Entry::Transfer(transfer) => {
            let percent = format!(" {}%", transfer.progress.percent());
            let room = cells.saturating_sub(width(&percent));
            let name = format!("{} {}", transfer.progress.n, clean_line(&transfer.name));
            vec![piece(padded(&name, room), Ink::Text), piece(percent, Ink::Text)]
        }
        Entry::Progress(transfer) => {
            let bar = bar(transfer.progress, cells.saturating_sub(2));
            vec![piece(format!("  {bar}"), Ink::Faint)]
        }
    }
}

/// How much of a file is here, as a bar of so many cells.
pub(crate) fn bar(progress: Progress, cells: usize) -> String {
    let done = cells * usize::try_from(progress.percent()).unwrap_or(0) / 100;
    format!("{}{}", "█".repeat(done), "░".repeat(cells.saturating_sub(done)))
}

fn conversation(number: usize, one: &Conversation, is_open: bool, cells: usize) -> Row {
    let counts = match (one.mentions, one.unread) {
        _ if is_open => String::new(),
        (0, 0) => String::new(),
        (0, unread) => format!(" {unread}"),
        (mentions, unread) => format!(" !{mentions} {unread}"),
    };
    let ink = match one {
        _ if is_open => Ink::Chosen,
        one if one.is_muted || !one.is_in => Ink::Faint,
        one if one.mentions > 0 => Ink::Mention,
        one if one.unread > 0 => Ink::Unread,
        _ => Ink::Text,
    };
    let sign = if is_open { "▸" } else { " " };
    // Alt with a digit reaches the first nine.
    let number = if number <= 9 { number.to_string() } else { " ".to_owned() };
    let room = cells.saturating_sub(3 + width(&counts));
    vec![
        piece(sign, Ink::Heading),
        piece(format!("{number} "), Ink::Faint),
        piece(padded(&clean_line(&one.name), room), ink),
        piece(counts, ink),
    ]
}

fn padded(text: &str, cells: usize) -> String {
    let mut text = fit_with_sign(text, cells);
    text.extend(std::iter::repeat_n(' ', cells.saturating_sub(width(&text))));
    text
}

/// Draws who is there.
pub(crate) fn draw_members(pen: &mut Pen<'_>, area: Rect, members: &[Member]) {
    let Some(inner) = bordered(pen, area, area.x, area.x + 1) else { return };
    let cells = usize::from(inner.width);
    let online = members.iter().filter(|one| one.is_online).count();
    let heading = vec![piece(format!("{online} of {} online", members.len()), Ink::Heading)];
    let mut online_first: Vec<&Member> = members.iter().collect();
    online_first.sort_by_key(|one| !one.is_online);
    let room = usize::from(inner.height).saturating_sub(1);
    let rows = online_first.into_iter().take(room).map(|one| {
        let sign = if one.is_online { "●" } else { "○" };
        let admin = if one.is_admin { " @" } else { "" };
        let name = fit_with_sign(&clean_line(&one.name), cells.saturating_sub(2 + admin.len()));
        let ink = if one.is_online { Ink::Name(theme::name(&one.name)) } else { Ink::Faint };
        let sign = piece(format!("{sign} "), if one.is_online { Ink::Mark } else { Ink::Faint });
        vec![sign, piece(name, ink), piece(admin, Ink::Faint)]
    });
    let rows: Vec<Row> = std::iter::once(heading).chain(rows).collect();
    pen.rows(inner, &rows);
}

/// Draws a border in a column of an area; what is left of the area begins at `x`.
fn bordered(pen: &mut Pen<'_>, area: Rect, border: u16, x: u16) -> Option<Rect> {
    if area.is_empty() {
        return None;
    }
    for line in lines(area) {
        pen.put((border, line.y), 1, "│", Ink::Faint);
    }
    Some(Rect { x, width: area.width.saturating_sub(1), ..area })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{conversation, facts};

    #[test]
    fn a_long_list_shows_the_open_conversation() {
        let mut facts = facts();
        facts.conversations =
            (0..1_000).map(|number| conversation(&format!("room:r{number:04}"))).collect();
        for at in [0, 5, 500, 999] {
            let open = facts.conversations[at].cid.clone();
            let shown = shown(&facts, &open, 20);
            assert_eq!(shown.len(), 20);
            let is_open =
                |entry: &Entry<'_>| matches!(entry, Entry::Conversation(_, one) if one.cid == open);
            let row = shown.iter().position(is_open).unwrap();
            let area = Rect::new(0, 3, 20, 20);
            let y = u16::try_from(row).unwrap() + 3;
            assert_eq!(in_row(&facts, &open, area, y).unwrap().cid, open);
        }
        let open = facts.conversations[0].cid.clone();
        assert!(in_row(&facts, &open, Rect::new(0, 0, 20, 20), 0).is_none(), "a heading");
    }

    /// Goal: what is new in a muted room does not call for attention: it is as faint as a room that one is not in, while the
    /// same in another room stands out. The one that is open is seen all the same.
    #[test]
    fn a_muted_room_is_faint() {
        let one = |unread, mentions, is_muted| Conversation {
            unread,
            mentions,
            is_muted,
            ..conversation("room:ops")
        };
        let inks = |one: &Conversation, is_open| {
            let row = super::conversation(2, one, is_open, 20);
            let texts = row.iter().skip(2).map(|piece| (piece.text.trim().to_owned(), piece.ink));
            texts.collect::<Vec<_>>()
        };
        let name = || "#ops".to_owned();
        for (unread, mentions, counts, ink) in
            [(0, 0, "", Ink::Text), (2, 0, "2", Ink::Unread), (3, 1, "!1 3", Ink::Mention)]
        {
            let counts = counts.to_owned();
            let loud = inks(&one(unread, mentions, false), false);
            assert_eq!(loud, [(name(), ink), (counts.clone(), ink)]);
            let muted = inks(&one(unread, mentions, true), false);
            assert_eq!(muted, [(name(), Ink::Faint), (counts, Ink::Faint)]);
            assert_eq!(inks(&one(unread, mentions, true), true)[0], (name(), Ink::Chosen));
        }
    }

    #[test]
    fn the_part_of_a_file_that_is_here_is_a_number_between_0_and_100() {
        for (done, size, expected) in
            [(0, 0, 0), (1, 3, 33), (3, 3, 100), (9, 3, 100), (u64::MAX, u64::MAX, 100)]
        {
            let progress = Progress { n: 1, size, done, rate: 0 };
            assert_eq!(progress.percent(), expected);
        }
    }
}
