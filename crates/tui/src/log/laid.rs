//! Where the rows of a long text begin. It is laid out once for a window, however long it is and however often one
//! looks; what is added at its end is laid out by itself.

use super::Shape;
use crate::wrap::Rows;

/// Rows between two whose beginning is remembered: so many are laid out at most before the one that is looked at.
const STEP: usize = 32;

/// A text as it stands in a window of one kind.
#[derive(Debug, Clone)]
pub(super) struct Laid {
    shape: Shape,
    /// Cells of the first row and of the others.
    cells: (usize, usize),
    /// Bytes of the text that are laid out.
    bytes: usize,
    /// How many rows they are.
    rows: usize,
    /// Where every row begins whose number is a multiple of [`STEP`], but for the first. A message has some
    /// kilobytes, a command's output 256.
    marks: Vec<usize>,
}

impl Laid {
    /// Lays out a text whose first row has so many cells, and the others so many. `before` is what was laid out of it
    /// when it was shorter: a text only grows, by whole lines.
    pub(super) fn of(
        text: &str,
        before: Option<Self>,
        shape: Shape,
        cells: (usize, usize),
    ) -> Self {
        let fits = |one: &Self| one.shape == shape && one.cells == cells && one.bytes <= text.len();
        let mut laid = before.filter(fits).unwrap_or(Self {
            shape,
            cells,
            bytes: 0,
            rows: 0,
            marks: Vec::new(),
        });
        if laid.rows == 0 {
            laid.add(Rows::new(text, cells.0, cells.1));
        } else if laid.bytes < text.len() {
            // Behind the newline.
            laid.add(Rows::from(text, laid.bytes + 1, cells.1));
        }
        laid.bytes = text.len();
        laid
    }

    fn add(&mut self, rows: Rows<'_>) {
        for (place, _) in rows {
            if self.rows > 0 && self.rows.is_multiple_of(STEP) {
                self.marks.push(place);
            }
            self.rows += 1;
        }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The row of this text in which a place of it is.
    pub(super) fn row_of(&self, text: &str, place: usize) -> usize {
        let (first, cells) = self.cells;
        let step = self.marks.partition_point(|mark| *mark <= place);
        let rows = match step.checked_sub(1).and_then(|at| self.marks.get(at)) {
            Some(mark) => Rows::from(text, *mark, cells),
            None => Rows::new(text, first, cells),
        };
        let rows = rows.take_while(|(start, _)| *start <= place).count();
        step * STEP + rows.saturating_sub(1)
    }

    /// The rows of this text from one of them on.
    pub(super) fn from<'t>(&self, text: &'t str, row: usize) -> impl Iterator<Item = &'t str> {
        let (first, cells) = self.cells;
        let step = (row / STEP).min(self.marks.len());
        let rows = match step.checked_sub(1).and_then(|at| self.marks.get(at)) {
            Some(place) => Rows::from(text, *place, cells),
            None => Rows::new(text, first, cells),
        };
        rows.skip(row - step * STEP).map(|(_, row)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrap::wrap;

    const SHAPE: Shape = (20, true);

    /// Goal: whatever was laid out before, and wherever one looks, the rows are those of the whole text.
    #[test]
    fn a_text_that_grows_has_the_rows_of_the_whole() {
        let (mut text, mut laid) = ("first line of it".to_owned(), None);
        for piece in 0..40 {
            let now = Laid::of(&text, laid.take(), SHAPE, (5, 8));
            let whole = wrap(&text, 5, 8);
            assert_eq!(now.rows(), whole.len(), "{piece}");
            for row in [0, 1, STEP - 1, STEP, STEP + 1, 3 * STEP + 7, whole.len() - 1] {
                let from: Vec<&str> = now.from(&text, row).collect();
                assert_eq!(from, whole.get(row..).unwrap_or_default(), "{piece} {row}");
            }
            for (number, (place, row)) in Rows::new(&text, 5, 8).enumerate() {
                assert_eq!(now.row_of(&text, place), number);
                assert_eq!(now.row_of(&text, place + row.len().saturating_sub(1)), number);
            }
            laid = Some(now);
            text.push('\n');
            text.push_str(&"漢字 and words ".repeat(piece % 4));
        }
        let other = Laid::of(&text, laid, (30, true), (30, 30));
        assert_eq!(other.rows(), wrap(&text, 30, 30).len(), "another window");
    }

    /// Goal: what was laid out is not laid out again, neither for another frame nor when more comes. (The build before laid
    /// out the whole of a text for each frame in which it was.)
    #[test]
    fn only_what_is_new_is_laid_out() {
        let cells = (9, 9);
        let first = Laid::of("one\ntwo", None, SHAPE, cells);
        assert_eq!(first.rows(), 2);
        // Whoever laid it out again would find out.
        let known = Laid { rows: 100, ..first };
        let again = Laid::of("one\ntwo", Some(known), SHAPE, cells);
        assert_eq!(again.rows(), 100);
        assert_eq!(Laid::of("one\ntwo\n\nfive", Some(again), SHAPE, cells).rows(), 102);
    }
}
