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

/// Breaks a clean text at its newlines, at spaces where a row gets too long, and inside a word that is longer than
/// a row. The first row has so many cells, and each further one `cells`.
pub(crate) fn wrap(text: &str, first: usize, cells: usize) -> Vec<&str> {
    let mut rows = Vec::new();
    for line in text.split('\n') {
        wrap_line(line, (first.max(1), cells.max(1)), &mut rows);
    }
    rows
}

fn wrap_line<'t>(line: &'t str, (first, cells): (usize, usize), rows: &mut Vec<&'t str>) {
    let part = |from: usize, to: usize| line.get(from..to).unwrap_or_default();
    let (mut start, mut used) = (0, 0);
    // Behind the last space of the row.
    let mut gap = None;
    for (at, one) in line.grapheme_indices(true) {
        let takes = usize::from(one.cell_width());
        let room = if rows.is_empty() { first } else { cells };
        if used + takes > room && at > start {
            if one == " " {
                rows.push(part(start, at));
                (start, used, gap) = (at + 1, 0, None);
                continue;
            }
            let end = gap.unwrap_or(at);
            rows.push(part(start, end).trim_end_matches(' '));
            (start, used, gap) = (end, width(part(end, at)), None);
        }
        used += takes;
        if one == " " && at > start {
            gap = Some(at + 1);
        }
    }
    rows.push(part(start, line.len()));
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
    }
}
