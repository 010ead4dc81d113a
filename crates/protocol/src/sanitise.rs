//! The one sanitiser: every string from outside passes here before a terminal or a log sees it.
//!
//! Names, texts, reasons, file names and command output come from people and programs that may
//! want to move the cursor, write to the clipboard, fake another person's line or hide a part of
//! their own. What acts on a terminal instead of being read becomes visible as an escape: `\x1b`
//! for controls, `\u{202e}` for invisible characters and text directions.
//!
//! **Architecture Invariant.** The output holds no C0 control but the newlines and tabs of
//! [`text`] and [`fn@bytes`], no DEL, no C1 control, no character that turns the direction of text,
//! no invisible character but a joiner between two pictographs, and never more than
//! [`COMBINING_MARKS_MAX`] combining marks in a row.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Combining marks that may follow each other. Living languages stack three or four; hundreds
/// paint over the lines around them.
pub const COMBINING_MARKS_MAX: usize = 8;

/// Stands once for all marks beyond the limit.
const MARKS_CUT: char = char::REPLACEMENT_CHARACTER;

/// For one line of a screen: line ends and tabs become visible too (`\n`, `\t`).
///
/// ```
/// use chat_protocol::sanitise::line;
/// assert_eq!(line("hello"), "hello");
/// assert_eq!(line("a\u{1b}[2Jb\r\nc"), r"a\x1b[2Jb\nc");
/// ```
pub fn line(outside: &str) -> Cow<'_, str> {
    clean(outside, Breaks::Shown)
}

/// For text of several lines: newlines and tabs stay, `\r\n` and a single `\r` become `\n`.
pub fn text(outside: &str) -> Cow<'_, str> {
    clean(outside, Breaks::Kept)
}

/// For command output: as [`text`], and bytes that are no UTF-8 become visible as `\xff`.
///
/// Output that arrives in pieces may be cut inside a character; whoever joins pieces keeps the
/// incomplete end for the next call.
pub fn bytes(outside: &[u8]) -> String {
    let mut shown = String::with_capacity(outside.len());
    for chunk in outside.utf8_chunks() {
        shown.push_str(&text(chunk.valid()));
        for byte in chunk.invalid() {
            push_byte(&mut shown, u32::from(*byte));
        }
    }
    shown
}

/// What happens to newlines and tabs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Kept,
    Shown,
}

fn clean(outside: &str, breaks: Breaks) -> Cow<'_, str> {
    let Some(first) = first_unclean(outside, breaks) else { return Cow::Borrowed(outside) };
    let (head, tail) = outside.split_at(first);
    let mut shown = String::with_capacity(outside.len() + 16);
    shown.push_str(head);
    // `first` is never inside a run of marks that is too long: the run's first mark is reported.
    let mut marks = 0;
    let mut previous = head.chars().next_back();
    let mut characters = tail.chars().peekable();
    while let Some(character) = characters.next() {
        let before = previous.replace(character);
        if is_combining(character) {
            marks += 1;
            match marks {
                ..=COMBINING_MARKS_MAX => shown.push(character),
                _ if marks == COMBINING_MARKS_MAX + 1 => shown.push(MARKS_CUT),
                _ => {}
            }
            continue;
        }
        marks = 0;
        match character {
            '\r' => {
                if characters.peek() != Some(&'\n') {
                    push_break(&mut shown, '\n', breaks);
                }
            }
            '\n' | '\t' => push_break(&mut shown, character, breaks),
            JOINER if joins(before, characters.peek().copied()) => shown.push(character),
            _ if is_control(character) => push_byte(&mut shown, u32::from(character)),
            _ if is_deceptive(character) => push_code_point(&mut shown, character),
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Byte position of the first character that must change, or of the run of marks it belongs to.
fn first_unclean(outside: &str, breaks: Breaks) -> Option<usize> {
    let mut marks = 0;
    let mut run_start = 0;
    let mut previous = None;
    let mut characters = outside.char_indices().peekable();
    while let Some((position, character)) = characters.next() {
        let before = previous.replace(character);
        if character.is_ascii() {
            marks = 0;
            let is_kept_break = breaks == Breaks::Kept && matches!(character, '\n' | '\t');
            if character.is_ascii_control() && !is_kept_break {
                return Some(position);
            }
        } else if is_combining(character) {
            if marks == 0 {
                run_start = position;
            }
            marks += 1;
            if marks > COMBINING_MARKS_MAX {
                return Some(run_start);
            }
        } else {
            marks = 0;
            let next = characters.peek().map(|(_, next)| *next);
            let is_joiner = character == JOINER && joins(before, next);
            if is_control(character) || (is_deceptive(character) && !is_joiner) {
                return Some(position);
            }
        }
    }
    None
}

fn push_break(shown: &mut String, character: char, breaks: Breaks) {
    match (breaks, character) {
        (Breaks::Kept, _) => shown.push(character),
        (Breaks::Shown, '\t') => shown.push_str("\\t"),
        (Breaks::Shown, _) => shown.push_str("\\n"),
    }
}

fn push_byte(shown: &mut String, byte: u32) {
    write!(shown, "\\x{byte:02x}").expect("writing to a String cannot fail");
}

fn push_code_point(shown: &mut String, character: char) {
    write!(shown, "\\u{{{:x}}}", u32::from(character)).expect("writing to a String cannot fail");
}

/// C0, DEL and C1: what a terminal obeys.
fn is_control(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '\x7f'..='\u{9f}')
}

/// Characters that turn the direction of what follows, end a line without being a newline, or
/// take no room: each can make a text look like another one.
fn is_deceptive(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'                       // soft hyphen
        | '\u{34f}'                    // combining grapheme joiner
        | '\u{61c}'                    // Arabic letter mark
        | '\u{115f}' | '\u{1160}'      // Hangul fillers, drawn as nothing
        | '\u{3164}' | '\u{ffa0}'
        | '\u{180e}'                   // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}'      // zero-width characters, direction marks
        | '\u{2028}'..='\u{202e}'      // line and paragraph separator, embeddings, overrides
        | '\u{2060}'..='\u{206f}'      // word joiner, invisible operators, isolates
        | '\u{feff}'                   // zero-width no-break space
        | '\u{fff9}'..='\u{fffb}'      // interlinear annotation
        | '\u{e0000}'..='\u{e007f}'    // tag characters
    )
}

/// Makes one picture of two, such as a woman and a computer; anywhere else it is invisible.
const JOINER: char = '\u{200d}';

/// Whether a joiner between these two does its work and hides nothing.
fn joins(before: Option<char>, next: Option<char>) -> bool {
    // The selector asks for the coloured form of the pictograph before it.
    const SELECTOR: char = '\u{fe0f}';
    before.is_some_and(|c| is_pictograph(c) || c == SELECTOR) && next.is_some_and(is_pictograph)
}

/// The blocks of arrows, symbols and pictographs. A new block that is missing here shows its
/// joiners.
fn is_pictograph(character: char) -> bool {
    matches!(
        character,
        '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1faff}'
    )
}

/// Marks that are drawn over or under the character before them. The table names the blocks of
/// marks and the signs of the living scripts in them; a mark missing here is merely not counted.
fn is_combining(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}' | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'..='\u{5c2}' | '\u{5c4}'..='\u{5c5}'
        | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{6e7}'..='\u{6e8}'
        | '\u{6ea}'..='\u{6ed}' | '\u{711}' | '\u{730}'..='\u{74a}' | '\u{7a6}'..='\u{7b0}'
        | '\u{7eb}'..='\u{7f3}' | '\u{816}'..='\u{819}' | '\u{81b}'..='\u{823}'
        | '\u{825}'..='\u{827}' | '\u{829}'..='\u{82d}' | '\u{859}'..='\u{85b}'
        | '\u{898}'..='\u{89f}' | '\u{8ca}'..='\u{902}' | '\u{93a}' | '\u{93c}'
        | '\u{941}'..='\u{948}' | '\u{94d}' | '\u{951}'..='\u{957}' | '\u{962}'..='\u{963}'
        | '\u{981}' | '\u{9bc}' | '\u{9c1}'..='\u{9c4}' | '\u{9cd}' | '\u{a3c}'
        | '\u{a41}'..='\u{a51}' | '\u{a70}'..='\u{a71}' | '\u{abc}' | '\u{ac1}'..='\u{acd}'
        | '\u{b3c}' | '\u{b3f}' | '\u{b41}'..='\u{b4d}' | '\u{bc0}' | '\u{bcd}'
        | '\u{c3e}'..='\u{c40}' | '\u{c46}'..='\u{c56}' | '\u{cbc}' | '\u{ccc}'..='\u{ccd}'
        | '\u{d3b}'..='\u{d3c}' | '\u{d41}'..='\u{d44}' | '\u{d4d}' | '\u{dca}'
        | '\u{dd2}'..='\u{dd6}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}'
        | '\u{eb1}' | '\u{eb4}'..='\u{ebc}' | '\u{ec8}'..='\u{ece}' | '\u{f18}'..='\u{f19}'
        | '\u{f35}' | '\u{f37}' | '\u{f39}' | '\u{f71}'..='\u{f7e}' | '\u{f80}'..='\u{f84}'
        | '\u{f86}'..='\u{f87}' | '\u{f8d}'..='\u{fbc}' | '\u{fc6}' | '\u{102d}'..='\u{1030}'
        | '\u{1032}'..='\u{1037}' | '\u{1039}'..='\u{103a}' | '\u{135d}'..='\u{135f}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{2cef}'..='\u{2cf1}' | '\u{2de0}'..='\u{2dff}' | '\u{302a}'..='\u{302f}'
        | '\u{3099}'..='\u{309a}' | '\u{a66f}'..='\u{a672}' | '\u{a674}'..='\u{a67d}'
        | '\u{a8e0}'..='\u{a8f1}' | '\u{fb1e}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' | '\u{1d165}'..='\u{1d169}' | '\u{1d16d}'..='\u{1d172}'
        | '\u{1e8d0}'..='\u{1e8d6}' | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_on_a_terminal_becomes_visible() {
        for (outside, shown) in [
            ("plain text, ünïcödé, 漢字, 😀", "plain text, ünïcödé, 漢字, 😀"),
            ("שלום עולם", "שלום עולם"),
            ("\u{1b}]52;c;cm0gLXJm\u{7}", r"\x1b]52;c;cm0gLXJm\x07"),
            ("\u{9b}31m", r"\x9b31m"),
            ("a\u{7f}b\0", r"a\x7fb\x00"),
            ("txt.\u{202e}exe", r"txt.\u{202e}exe"),
            ("pay\u{200b}pal \u{2066}x\u{2069}", r"pay\u{200b}pal \u{2066}x\u{2069}"),
            ("👩\u{200d}💻 🏳\u{fe0f}\u{200d}🌈", "👩\u{200d}💻 🏳\u{fe0f}\u{200d}🌈"),
            ("\u{7}👩\u{200d}💻", "\\x07👩\u{200d}💻"),
            ("👩\u{200d}", r"👩\u{200d}"),
            ("a\u{200d}💻 👩\u{200d}\u{200d}💻", r"a\u{200d}💻 👩\u{200d}\u{200d}💻"),
            ("\u{feff}\u{61c}\u{2028}\u{e0041}", r"\u{feff}\u{61c}\u{2028}\u{e0041}"),
        ] {
            assert_eq!(line(outside), shown);
            assert_eq!(text(outside), shown);
            assert_eq!(bytes(outside.as_bytes()), shown);
        }
    }

    #[test]
    fn line_ends_and_tabs() {
        for (outside, as_line, as_text) in [
            ("a\nb\tc", r"a\nb\tc", "a\nb\tc"),
            ("a\r\nb", r"a\nb", "a\nb"),
            ("progress\rprogress", r"progress\nprogress", "progress\nprogress"),
            ("\r\r\n", r"\n\n", "\n\n"),
        ] {
            assert_eq!(line(outside), as_line);
            assert_eq!(text(outside), as_text);
        }
    }

    #[test]
    fn invalid_utf8_is_shown_byte_by_byte() {
        assert_eq!(bytes(b"ok\xff\x9b1m\xe2\x82 end\n"), "ok\\xff\\x9b1m\\xe2\\x82 end\n");
    }

    #[test]
    fn a_tower_of_marks_is_cut_once() {
        let tower = format!("Z{}algo", "\u{301}".repeat(100));
        let expected = format!("Z{}\u{fffd}algo", "\u{301}".repeat(COMBINING_MARKS_MAX));
        assert_eq!(text(&tower), expected);
        let highest = format!("Z{}", "\u{301}".repeat(COMBINING_MARKS_MAX));
        assert!(matches!(text(&highest), Cow::Borrowed(_)));
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(line("hello 😀"), Cow::Borrowed(_)));
        assert!(matches!(text("two\nlines\tand a tab"), Cow::Borrowed(_)));
    }

    /// True when nothing in it acts on a terminal or hides.
    fn is_harmless(shown: &str, breaks: Breaks) -> bool {
        let mut marks = 0;
        let mut before = None;
        let mut characters = shown.chars().peekable();
        std::iter::from_fn(move || {
            let character = characters.next()?;
            let joined = character == JOINER && joins(before, characters.peek().copied());
            before = Some(character);
            Some((character, joined))
        })
        .all(|(character, joined)| {
            marks = if is_combining(character) { marks + 1 } else { 0 };
            let is_break = breaks == Breaks::Kept && matches!(character, '\n' | '\t');
            marks <= COMBINING_MARKS_MAX
                && (joined || !is_deceptive(character))
                && (is_break || !character.is_control())
        })
    }

    /// Strings that are dense in what the sanitiser looks for.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[\\x00-\\x1f\\x7f-\u{9f}a\u{300}-\u{30f}\u{200b}-\u{2069}\u{feff}\u{e0000}-\u{e0100}]{0,60}",
            "(a|\u{301}){0,60}",
        ]
    }

    proptest! {
        #[test]
        fn output_is_harmless_and_stays_as_it_is(outside in hostile()) {
            for (shown, breaks) in
                [(line(&outside), Breaks::Shown), (text(&outside), Breaks::Kept)]
            {
                prop_assert!(is_harmless(&shown, breaks), "{:?}", shown);
                let again = clean(&shown, breaks);
                prop_assert!(matches!(again, Cow::Borrowed(_)), "{:?} -> {:?}", shown, again);
            }
        }

        #[test]
        fn harmless_text_is_untouched(outside in hostile()) {
            if is_harmless(&outside, Breaks::Kept) {
                prop_assert!(matches!(text(&outside), Cow::Borrowed(_)));
            }
        }

        #[test]
        fn any_bytes_become_harmless_text(outside in prop::collection::vec(any::<u8>(), 0..200)) {
            let shown = bytes(&outside);
            // A piece of invalid input may part two runs of marks, never join them.
            prop_assert!(is_harmless(&shown, Breaks::Kept), "{:?}", shown);
        }
    }
}
