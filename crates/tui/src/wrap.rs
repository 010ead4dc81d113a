//! Lines of a text that fit into a width, counted in cells of the terminal: wide characters take two, marks none.

use chat_protocol::sanitise;
use ratatui::buffer::CellWidth as _;
use unicode_segmentation::UnicodeSegmentation as _;

/// What a tab becomes: terminals would move to a column of their own.
const TAB: &str = "    ";

/// One line from outside as it may be drawn: controls and what hides are visible, newlines too.
pub(crate) fn clean_line(outside: &str) -> String {
    sanitise::line(&outside.replace('\t', TAB)).into_owned()
}

/// The same, and where a place of it stands then.
pub(crate) fn clean_line_with_place(outside: &str, place: usize) -> (String, usize) {
    let tabs = outside.get(..place).map_or(0, |before| before.matches('\t').count());
    let spread = outside.replace('\t', TAB);
    let (shown, place) = sanitise::line_with_place(&spread, place + tabs * (TAB.len() - 1));
    (shown.into_owned(), place)
}

/// The same of a text that may have several lines: its newlines stay.
pub(crate) fn clean(outside: &str) -> String {
    sanitise::text(outside).replace('\t', TAB)
}

/// Cells that a text without newlines takes.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.graphemes(true).map(|one| usize::from(one.cell_width())).sum()
}

/// The beginning of a text that fits into so many cells.
pub(crate) fn fit(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, one) in text.grapheme_indices(true) {
        used += usize::from(one.cell_width());
        if used > cells {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// The same, with a sign at its end where something was left out.
pub(crate) fn fit_with_sign(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let kept = fit(text, cells.saturating_sub(1));
    if cells == 0 { String::new() } else { format!("{kept}+") }
}

/// The end of a text that fits into so many cells: where one types, the newest is in sight.
pub(crate) fn tail(text: &str, cells: usize) -> &str {
    let mut used = 0;
    for (at, one) in text.grapheme_indices(true).rev() {
        used += usize::from(one.cell_width());
        if used > cells {
            return text.get(at + one.len()..).unwrap_or_default();
        }
    }
    text
}

/// Breaks a clean text at its newlines, at spaces where a row gets too long, and inside a word that is longer than
/// a row. The first row has so many cells, and each further one `cells`.
pub(crate) fn wrap(text: &str, first: usize, cells: usize) -> Vec<&str> {
    Rows::new(text, first, cells).map(|(_, row)| row).collect()
}

/// The rows of a clean text, one after the other, with the place in it at which each begins. Whoever knows that place
/// need not lay out what stands before it.
#[derive(Debug)]
pub(crate) struct Rows<'t> {
    text: &'t str,
    /// Where the next row begins; nothing behind the last one.
    next: Option<usize>,
    /// Cells of the next row.
    room: usize,
    cells: usize,
}

impl<'t> Rows<'t> {
    /// All of them.
    pub(crate) fn new(text: &'t str, first: usize, cells: usize) -> Self {
        Self { text, next: Some(0), room: first.max(1), cells: cells.max(1) }
    }

    /// Those from a place on at which a row begins that is not the first.
    pub(crate) fn from(text: &'t str, place: usize, cells: usize) -> Self {
        Self { next: Some(place), ..Self::new(text, cells, cells) }
    }
}

impl<'t> Iterator for Rows<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next.take()?;
        let rest = self.text.get(start..)?;
        let room = std::mem::replace(&mut self.room, self.cells);
        let mut used = 0;
        // Behind the last space of the row.
        let mut gap = None;
        for (at, one) in rest.grapheme_indices(true) {
            let part = |to: usize| rest.get(..to).unwrap_or_default();
            if one.ends_with('\n') {
                self.next = Some(start + at + one.len());
                return Some((start, part(at)));
            }
            let takes = usize::from(one.cell_width());
            if used + takes > room && at > 0 {
                if one == " " {
                    self.next = Some(start + at + 1);
                    return Some((start, part(at)));
                }
                let end = gap.unwrap_or(at);
                self.next = Some(start + end);
                return Some((start, part(end).trim_end_matches(' ')));
            }
            used += takes;
            if one == " " && at > 0 {
                gap = Some(at + 1);
            }
        }
        Some((start, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        for (text, cells, rows) in [
            ("", 5, &[""][..]),
            ("hello", 5, &["hello"]),
            ("hello world", 5, &["hello", "world"]),
            ("hello world", 8, &["hello", "world"]),
            ("a bc def", 4, &["a bc", "def"]),
            ("abcdefghij", 4, &["abcd", "efgh", "ij"]),
            ("ab cdefgh", 4, &["ab", "cdef", "gh"]),
            ("one\n\ntwo", 9, &["one", "", "two"]),
            ("漢字漢字", 5, &["漢字", "漢字"]),
            ("a漢字", 2, &["a", "漢", "字"]),
            ("e\u{301}e\u{301}e\u{301}", 2, &["e\u{301}e\u{301}", "e\u{301}"]),
            ("👩\u{200d}💻👩\u{200d}💻", 3, &["👩\u{200d}💻", "👩\u{200d}💻"]),
        ] {
            assert_eq!(wrap(text, cells, cells), rows, "{text}");
        }
    }

    #[test]
    fn the_first_row_may_be_shorter() {
        assert_eq!(wrap("ab cd ef", 2, 5), ["ab", "cd ef"]);
        assert_eq!(wrap("abc\nabc", 2, 5), ["ab", "c", "abc"]);
    }

    #[test]
    fn a_text_is_cut_where_it_fits() {
        assert_eq!(fit_with_sign("#lobby", 6), "#lobby");
        assert_eq!(fit_with_sign("#lobby", 5), "#lob+");
        assert_eq!(fit_with_sign("漢字漢", 4), "漢+");
        assert_eq!(fit_with_sign("#lobby", 0), "");
        assert_eq!(
            (tail("#lobby", 6), tail("#lobby", 3), tail("#lobby", 0)),
            ("#lobby", "bby", "")
        );
        assert_eq!(tail("a漢字", 3), "字");
    }

    #[test]
    fn tabs_and_controls_are_no_surprise() {
        assert_eq!(clean("a\tb\u{1b}[2J\r\n"), "a    b\\x1b[2J\n");
        assert_eq!(clean_line("a\tb\u{1b}[2J\r\n"), "a    b\\x1b[2J\\n");
    }

    proptest! {
        #[test]
        fn rows_fit_and_nothing_but_spaces_is_lost(text in "([a-c漢👩é ]|\\PC){0,60}", cells in 2_usize..20) {
            let text = clean(&text);
            let rows = wrap(&text, cells, cells);
            for row in &rows {
                // One wide character in a narrow row has nowhere else to be.
                prop_assert!(width(row) <= cells || row.graphemes(true).count() == 1, "{row:?}");
            }
            let bare = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(bare(&rows.concat()), bare(&text));
        }

        /// Goal: a row is the same whether the rows before it were laid out or not.
        #[test]
        fn rows_go_on_from_wherever_one_begins(
            text in "([a-c漢👩é \n]|🇩🇪|\\PC){0,80}", first in 1_usize..12, cells in 1_usize..12
        ) {
            let text = clean(&text);
            let all: Vec<_> = Rows::new(&text, first, cells).collect();
            for (at, (place, _)) in all.iter().enumerate().skip(1) {
                let rest: Vec<_> = Rows::from(&text, *place, cells).collect();
                prop_assert_eq!(&rest[..], &all[at..]);
            }
        }
    }
}
