//! What is typed, as it is drawn: the rows around the cursor.

use std::collections::VecDeque;

use ratatui_textarea::DataCursor;

use super::Composer;
use crate::wrap::{Rows, clean_line, clean_line_with_place, width};

/// Stands before what is typed, and as many spaces before its further rows.
const PROMPT: usize = 2;

/// Rows of what is typed that are on the screen at once.
const ROWS_MAX: usize = 10;

/// What is typed as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The rows that are on the screen, without the prompt.
    pub(crate) rows: Vec<String>,
    /// Column and row of the cursor, counted from the first of these rows.
    pub(crate) cursor: (usize, usize),
}

impl Composer {
    /// What is typed in a screen of so many columns.
    pub(crate) fn typed(&self, cells: usize) -> Typed {
        let mut laid = self.laid.borrow_mut();
        if let Some((of, typed)) = &*laid
            && *of == cells
        {
            return typed.clone();
        }
        let typed = self.lay_out(cells.saturating_sub(PROMPT).max(1));
        *laid = Some((cells, typed.clone()));
        typed
    }

    /// Lays out no more lines than can be on the screen.
    fn lay_out(&self, cells: usize) -> Typed {
        let (lines, DataCursor(number, column)) = (self.area.lines(), self.area.cursor());
        let line = self.current_line();
        let place = line.chars().take(column).map(char::len_utf8).sum();
        let (shown, place) = clean_line_with_place(line, place);
        let parts: Vec<_> = Rows::new(&shown, cells, cells).collect();
        let row = parts.partition_point(|(start, _)| *start <= place).saturating_sub(1);
        let start = parts.get(row).map_or(0, |(start, _)| *start);
        let mut cursor = (width(shown.get(start..place).unwrap_or_default()), row);
        let mut rows: VecDeque<String> = parts.iter().map(|(_, row)| (*row).to_owned()).collect();
        // A cursor behind a full row stands in the next one.
        if cursor.0 >= cells {
            cursor = (0, cursor.1 + 1);
            if cursor.1 >= rows.len() {
                rows.push_back(String::new());
            }
        }
        let mut above = lines.iter().take(number).rev();
        while cursor.1 + 1 < ROWS_MAX
            && let Some(line) = above.next()
        {
            let shown = clean_line(line);
            let parts: Vec<_> = Rows::new(&shown, cells, cells).collect();
            cursor.1 += parts.len();
            parts.iter().rev().for_each(|(_, row)| rows.push_front((*row).to_owned()));
        }
        for line in lines.iter().skip(number + 1) {
            let Some(room) = ROWS_MAX.checked_sub(rows.len()).filter(|room| *room > 0) else {
                break;
            };
            let shown = clean_line(line);
            rows.extend(Rows::new(&shown, cells, cells).take(room).map(|(_, row)| row.to_owned()));
        }
        let first = (cursor.1 + 1).saturating_sub(ROWS_MAX);
        let rows: Vec<String> = rows.into_iter().skip(first).take(ROWS_MAX).collect();
        Typed { rows, cursor: (cursor.0, cursor.1 - first) }
    }
}
