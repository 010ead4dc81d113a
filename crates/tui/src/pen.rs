//! The one way by which a text comes to the screen. Whatever it is, it passes the sanitiser here.

use chat_protocol::sanitise;
use ratatui::buffer::{Buffer, CellWidth as _};
use ratatui::layout::{Position, Rect};

use crate::theme::{Ink, Theme};

/// A part of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// What stands there.
    pub(crate) text: String,
    /// How it is drawn.
    pub(crate) ink: Ink,
}

/// Makes a piece.
pub(crate) fn piece(text: impl Into<String>, ink: Ink) -> Piece {
    Piece { text: text.into(), ink }
}

/// One row of the screen, from its left.
pub(crate) type Row = Vec<Piece>;

/// Draws on a screen.
#[derive(Debug)]
pub(crate) struct Pen<'b> {
    buffer: &'b mut Buffer,
    theme: Theme,
}

impl<'b> Pen<'b> {
    /// Draws there, like this.
    pub(crate) fn new(buffer: &'b mut Buffer, theme: &Theme) -> Self {
        Self { buffer, theme: *theme }
    }

    /// Writes a text into so many cells at most, and says at which column it ends.
    pub(crate) fn put(&mut self, (x, y): (u16, u16), cells: u16, text: &str, ink: Ink) -> u16 {
        if !self.buffer.area.contains(Position { x, y }) {
            return x;
        }
        let shown = sanitise::line(text);
        let is_said = matches!(ink, Ink::Text | Ink::Mention | Ink::Name(_));
        let shown = if is_said { shown } else { self.theme.signs(&shown).into_owned().into() };
        let style = self.theme.style(ink);
        self.buffer.set_stringn(x, y, shown, usize::from(cells), style).0
    }

    /// Writes a row into the row of cells at the top of an area.
    pub(crate) fn row(&mut self, area: Rect, row: &[Piece]) {
        let mut x = area.x;
        for piece in row {
            let left = area.right().saturating_sub(x);
            x = self.put((x, area.y), left, &piece.text, piece.ink);
        }
    }

    /// Writes rows from the top of an area on.
    pub(crate) fn rows(&mut self, area: Rect, rows: &[Row]) {
        for (row, line) in rows.iter().zip(lines(area)) {
            self.row(line, row);
        }
    }

    /// Empties an area.
    pub(crate) fn fill(&mut self, area: Rect, ink: Ink) {
        let area = area.intersection(self.buffer.area);
        for line in lines(area) {
            self.cut_wide(line);
        }
        for position in area.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
        self.buffer.set_style(area, self.theme.style(ink));
    }

    /// A wide character that begins before this row of cells and ends in it would hide its first cell.
    fn cut_wide(&mut self, row: Rect) {
        for x in row.x.saturating_sub(WIDEST.saturating_sub(1))..row.x {
            if let Some(cell) = self.buffer.cell_mut(Position { x, y: row.y })
                && cell.cell_width() > row.x - x
            {
                cell.set_symbol(" ");
            }
        }
    }
}

/// Cells of the widest character there is: a letter of East Asia with a sound mark that has a cell of its own.
const WIDEST: u16 = 3;

/// The rows of an area.
pub(crate) fn lines(area: Rect) -> impl Iterator<Item = Rect> {
    (area.y..area.bottom()).map(move |y| Rect { y, height: 1, ..area })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::{Colours, Depth};

    #[test]
    fn nothing_acts_on_the_terminal_and_nothing_stands_outside() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 2));
        let theme = Theme {
            depth: Depth::Plain,
            is_high_contrast: false,
            is_ascii: true,
            colours: Colours::default(),
        };
        let mut pen = Pen::new(&mut buffer, &theme);
        assert_eq!(pen.put((0, 0), 20, "a\u{1b}[2J", Ink::Text), 8);
        assert_eq!(pen.put((0, 5), 20, "below", Ink::Text), 0);
        pen.row(Rect::new(0, 1, 6, 1), &[piece("✓ ✓", Ink::Mark), piece(" ✓ longer", Ink::Text)]);
        let row = |y| (0..12).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        assert_eq!(row(0), r"a\x1b[2J    ");
        assert_eq!(row(1), "v v ✓       ", "what people say stays as it is");
    }
}
