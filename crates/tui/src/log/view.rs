//! Which part of a log is looked at. Only what is in the window is ever laid out, and a few lines around it.

use jiff::tz::TimeZone;

use super::{Log, Shape, Spot, Unread};
use crate::data::{Kind, Line};
use crate::pen::Row;
use crate::wrap::clean;

/// The size of the window, and in which zone times are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'z> {
    /// Its columns.
    pub(crate) cells: usize,
    /// Its rows.
    pub(crate) rows: usize,
    /// The zone.
    pub(crate) zone: &'z TimeZone,
    /// It is shown when something was said.
    pub(crate) is_timed: bool,
    /// The key that unfolds output; nothing where there is none.
    pub(crate) unfold: &'z str,
}

impl Window<'_> {
    pub(super) fn shape(&self) -> Shape {
        (self.cells, self.is_timed)
    }
}

/// What is in the window.
#[derive(Debug)]
pub(crate) struct Visible {
    /// Its rows from the top.
    pub(crate) rows: Vec<Row>,
    /// Lines below it.
    pub(crate) below: usize,
}

impl Log {
    /// The top of the window.
    pub(super) fn top(&self, window: &Window<'_>) -> Spot {
        let end = self.top_of_end(window);
        match self.top {
            // Lines may have been forgotten, or the window has grown: a text has fewer rows in it.
            Some(spot) => {
                let last = self.height(spot.number, window).saturating_sub(1);
                let spot = Spot { row: spot.row.min(last), ..spot };
                spot.max(Spot { number: self.first, row: 0 }).min(end)
            }
            None => end,
        }
    }

    /// The top of the window while the end is in it.
    fn top_of_end(&self, window: &Window<'_>) -> Spot {
        self.above(Spot { number: self.end(), row: 0 }, window.rows, window)
    }

    /// The spot so many rows above another one.
    fn above(&self, from: Spot, rows: usize, window: &Window<'_>) -> Spot {
        let Spot { mut number, mut row } = from;
        let mut left = rows;
        while left > row {
            if number <= self.first {
                return Spot { number: self.first, row: 0 };
            }
            left -= row;
            number -= 1;
            row = self.height(number, window);
        }
        Spot { number, row: row - left }
    }

    /// The spot so many rows below another one.
    fn below(&self, from: Spot, rows: usize, window: &Window<'_>) -> Spot {
        let Spot { mut number, mut row } = from;
        row += rows;
        while number < self.end() {
            let height = self.height(number, window);
            if row < height {
                break;
            }
            row -= height;
            number += 1;
        }
        Spot { number, row }
    }

    /// What is in the window.
    pub(crate) fn visible(&self, window: &Window<'_>) -> Visible {
        let Spot { mut number, row: mut above } = self.top(window);
        let (mut rows, mut is_cut) = (Vec::new(), false);
        while rows.len() < window.rows && number < self.end() {
            let part = above..above.saturating_add(window.rows - rows.len());
            is_cut = self.height(number, window) > part.end;
            rows.extend(self.rows(number, part, window));
            (number, above) = (number + 1, 0);
        }
        let below = usize::try_from(self.end().saturating_sub(number)).unwrap_or(0);
        let below = below + usize::from(is_cut);
        Visible { rows, below: if self.top.is_none() { 0 } else { below } }
    }

    /// Scrolls up by so many rows.
    pub(crate) fn scroll_up(&mut self, rows: usize, window: &Window<'_>) {
        self.focus = None;
        self.unhide();
        self.look_at(self.above(self.top(window), rows, window), window);
    }

    /// Scrolls down by so many rows.
    pub(crate) fn scroll_down(&mut self, rows: usize, window: &Window<'_>) {
        self.focus = None;
        self.look_at(self.below(self.top(window), rows, window), window);
    }

    /// Scrolls to the oldest line that is here.
    pub(crate) fn scroll_to_top(&mut self, window: &Window<'_>) {
        self.focus = None;
        self.unhide();
        self.look_at(Spot { number: self.first, row: 0 }, window);
    }

    /// Scrolls to the newest line. What was scrolled to is forgotten.
    pub(crate) fn scroll_to_end(&mut self) {
        (self.top, self.focus) = (None, None);
        self.forget(super::OPEN_MAX);
    }

    /// Whether older lines than the newest are looked at.
    pub(crate) fn is_scrolled(&self) -> bool {
        self.top.is_some()
    }

    fn look_at(&mut self, spot: Spot, window: &Window<'_>) {
        if spot >= self.top_of_end(window) {
            let focus = self.focus;
            self.scroll_to_end();
            self.focus = focus;
        } else {
            self.top = Some(spot);
        }
    }

    /// Shows a line, with some rows above it.
    fn show(&mut self, number: i64, window: &Window<'_>) {
        self.focus = Some(number);
        let spot = self.above(Spot { number, row: 0 }, window.rows / 3, window);
        self.look_at(spot, window);
    }

    /// Scrolls to the first line that nobody has looked at; says whether it is here. Where the home does not have it any
    /// more, the oldest line that is here is the nearest to it.
    pub(crate) fn jump_to_unread(&mut self, window: &Window<'_>) -> bool {
        match self.unread {
            None => return false,
            Some(Unread::Here(number)) => {
                self.show(number, window);
                self.focus = None;
            }
            Some(Unread::Gone(_)) if self.may_have_older() => return false,
            Some(Unread::Gone(_)) => self.scroll_to_top(window),
        }
        true
    }

    /// Whether there is something that nobody has looked at.
    pub(crate) fn has_unread(&self) -> bool {
        self.unread.is_some()
    }

    /// Scrolls to the next line above that names this user, or below; says whether there is one.
    pub(crate) fn jump_to_mention(&mut self, is_above: bool, window: &Window<'_>) -> bool {
        self.jump(is_above, window, |line| line.is_mention)
    }

    /// Scrolls to the next line above that has these letters, or below; says whether there is one.
    pub(crate) fn find(&mut self, letters: &str, is_above: bool, window: &Window<'_>) -> bool {
        let letters = clean(letters).to_lowercase();
        if letters.is_empty() {
            return false;
        }
        let is_found = self.jump(is_above, window, |line| {
            line.kind != Kind::Notice && line.text.to_lowercase().contains(&letters)
        });
        if is_found {
            self.show_letters(&letters, window);
        }
        is_found
    }

    /// Shows the row of the line that was jumped to in which the letters are: a text may be longer than the window.
    fn show_letters(&mut self, letters: &str, window: &Window<'_>) {
        let Some(number) = self.focus else { return };
        let block = self.block(number);
        let Some(place) = block.and_then(|block| place_of(&block.line.text, letters)) else {
            return;
        };
        let (row, above) = (self.row_of(number, place, window), window.rows / 3);
        if row + above >= window.rows {
            self.look_at(self.above(Spot { number, row }, above, window), window);
        }
    }

    /// Begins a search: upwards it looks at all lines, wherever the window is.
    pub(crate) fn search_from_end(&mut self) {
        self.forget_found();
        self.is_from_end = true;
    }

    /// Ends a search; what was found is shown as before.
    pub(crate) fn forget_found(&mut self) {
        (self.focus, self.sought, self.is_from_end) = (None, None, false);
    }

    fn jump(&mut self, is_above: bool, window: &Window<'_>, fits: impl Fn(&Line) -> bool) -> bool {
        let is_from_end = std::mem::take(&mut self.is_from_end);
        let fits = |number: &i64| self.block(*number).is_some_and(|block| fits(&block.line));
        let top = self.top(window);
        let found = if is_above {
            let bottom = self.below(top, window.rows, window).number;
            let from = self.focus.unwrap_or(if is_from_end { self.end() } else { bottom });
            // What a page of the home has brought since is all that is left to look at.
            let from = self.sought.map_or(from, |sought| from.min(sought));
            (self.first..from).rev().find(fits)
        } else {
            (self.focus.map_or(top.number, |focus| focus + 1)..self.end()).find(fits)
        };
        self.sought = if is_above && found.is_none() { Some(self.first) } else { None };
        if let Some(number) = found {
            self.show(number, window);
        }
        found.is_some()
    }

    /// Unfolds the lowest output in the window, or folds it; says whether there is one.
    pub(crate) fn unfold(&mut self, window: &Window<'_>) -> bool {
        let top = self.top(window);
        let bottom = self.below(top, window.rows, window).number;
        let is_output =
            |number: &i64| self.block(*number).is_some_and(|block| block.line.kind == Kind::Output);
        let found = (top.number..=bottom).rev().find(is_output);
        let Some(block) = found.and_then(|number| self.block_mut(number)) else { return false };
        block.is_unfolded = !block.is_unfolded;
        block.height.set(None);
        let is_unfolded = block.is_unfolded;
        // What was folded is read from its beginning.
        if self.top.is_none() && is_unfolded {
            self.top = Some(top);
        }
        true
    }
}

/// Where small letters begin in a text, whatever its own are.
fn place_of(text: &str, letters: &str) -> Option<usize> {
    let at = text.to_lowercase().find(letters)?;
    let mut behind = 0;
    text.char_indices().find_map(|(place, one)| {
        behind += one.to_lowercase().map(char::len_utf8).sum::<usize>();
        (behind > at).then_some(place)
    })
}
