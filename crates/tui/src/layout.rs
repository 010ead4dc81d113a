//! What stands where, for every size of a terminal.

use ratatui::layout::Rect;

/// The list and the members hide in a terminal that is narrower.
const LIST_FROM: u16 = 80;

/// The members are shown from this width on.
const MEMBERS_FROM: u16 = 110;

/// Columns of the list, with its border.
const LIST: u16 = 24;

/// Columns of the members, with their border.
const MEMBERS: u16 = 22;

/// The title is shown where so many rows are left for it.
const TITLE_FROM: u16 = 12;

/// Rows of the log that a long message that is being written leaves.
const LOG_LEAST: u16 = 3;

/// The areas of a screen; those that it has no room for are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// The conversations.
    pub list: Rect,
    /// What the open conversation is about.
    pub title: Rect,
    /// What was said.
    pub log: Rect,
    /// Who is there.
    pub members: Rect,
    /// The status line.
    pub status: Rect,
    /// What is typed.
    pub composer: Rect,
}

/// Divides a screen. `typed` is the number of rows that what is typed takes.
pub fn areas(screen: Rect, typed: u16, has_members: bool) -> Areas {
    let Rect { x, y, width, height } = screen;
    let status_rows = height.min(1);
    let title_rows = u16::from(height >= TITLE_FROM);
    let composer_max = height.saturating_sub(LOG_LEAST + status_rows + title_rows).max(1);
    let composer_rows = typed.clamp(1, composer_max).min(height - status_rows);
    let list = if width >= LIST_FROM { LIST } else { 0 };
    let members = if width >= MEMBERS_FROM && has_members { MEMBERS } else { 0 };
    let log_width = width - list - members;
    let body = height - status_rows - composer_rows;
    let log_x = x + list;
    let status_y = y + body;
    Areas {
        list: Rect::new(x, y, list, body),
        title: Rect::new(log_x, y, log_width, title_rows),
        log: Rect::new(log_x, y + title_rows, log_width, body - title_rows),
        members: Rect::new(log_x + log_width, y, members, body),
        status: Rect::new(x, status_y, width, status_rows),
        composer: Rect::new(x, status_y + status_rows, width, composer_rows),
    }
}

/// An area of this size in the middle of a screen, or as much of it as there is room for.
pub fn middle(screen: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(screen.width), height.min(screen.height));
    let x = screen.x + (screen.width - width) / 2;
    let y = screen.y + (screen.height - height) / 2;
    Rect::new(x, y, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: at every size the areas fill the screen, none overlaps another, and something can be read and typed.
    #[test]
    fn the_areas_fill_every_screen() {
        for (width, height) in
            (0..=300).flat_map(|width| (0..=100).map(move |height| (width, height)))
        {
            for typed in [1, 7, 200] {
                let screen = Rect::new(0, 0, width, height);
                let Areas { list, title, log, members, status, composer } =
                    areas(screen, typed, true);
                let all = [list, title, log, members, status, composer];
                let cells: u32 = all.iter().map(|area| area.area()).sum();
                assert_eq!(cells, screen.area(), "{width}x{height}");
                for (at, one) in all.iter().enumerate() {
                    assert_eq!(one.intersection(screen), *one, "{width}x{height}");
                    let is_apart = |other: &Rect| one.is_empty() || !one.intersects(*other);
                    assert!(all.iter().skip(at + 1).all(is_apart), "{width}x{height}");
                }
                if width >= 40 && height >= 10 {
                    assert!(log.width >= 40 && log.height >= LOG_LEAST, "{width}x{height} {log:?}");
                    assert!(composer.height >= 1 && status.height == 1);
                }
            }
        }
    }

    #[test]
    fn what_is_less_needed_hides_first() {
        let at = |width| areas(Rect::new(0, 0, width, 24), 1, true);
        assert!(at(79).list.is_empty() && at(79).members.is_empty());
        assert!(!at(80).list.is_empty() && at(80).members.is_empty());
        assert!(!at(110).list.is_empty() && !at(110).members.is_empty());
        let alone = areas(Rect::new(0, 0, 110, 24), 1, false);
        assert_eq!(alone.members.width, 0);
    }
}
