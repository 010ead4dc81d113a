//! The one sanitiser: every string from outside passes here before a terminal or a log sees it.
//!
//! Names, texts, reasons, file names and command output come from people and programs that may
//! want to move the cursor, write to the clipboard, fake another person's line or hide a part of
//! their own. What acts on a terminal instead of being read becomes visible as an escape: `\x1b`
//! for controls, `\u{202e}` for invisible characters and text directions.
//!
//! **Architecture Invariant.** The output holds no C0 control but the newlines and tabs of
//! [`text`] and [`fn@bytes`], no DEL, no C1 control, no character that turns the direction of text,
//! no invisible character but where it does its work (`invisible.rs` has the list of these places),
//! and never more than [`COMBINING_MARKS_MAX`] combining marks in a row.
//!
//! What a character is, Unicode's own properties say: a table of ours would miss each new script.

mod invisible;

use std::borrow::Cow;
use std::fmt::Write as _;

use icu_properties::props::GeneralCategory;
use icu_properties::{CodePointMapData, CodePointMapDataBorrowed};

use invisible::{is_deceptive, is_needed};

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

/// The same of a line, and where a place of it stands then, which is counted in bytes. What becomes of a character depends on
/// those around it, so the beginning of a line cannot be cleaned by itself.
///
/// ```
/// use chat_protocol::sanitise::line_with_place;
/// assert_eq!(line_with_place("a\u{7}b", 2), (r"a\x07b".into(), 5));
/// ```
pub fn line_with_place(outside: &str, place: usize) -> (Cow<'_, str>, usize) {
    clean_with_place(outside, Breaks::Shown, place)
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

/// For JSON: what is obeyed or not seen is written in the escapes of JSON, so that the value stays the same for whoever
/// reads it and a terminal that shows the line obeys nothing. JSON itself asks for the escapes of C0 alone (RFC 8259,
/// section 7).
///
/// ```
/// use chat_protocol::sanitise::json;
/// assert_eq!(json("{\"text\":\"a\u{9b}2J\"}"), r#"{"text":"a\u009b2J"}"#);
/// ```
pub fn json(written: &str) -> Cow<'_, str> {
    let is_shown = |(position, character): (usize, char)| match Kind::of(character) {
        Kind::Control => false,
        Kind::Deceptive => is_needed(written, position, character),
        Kind::Plain | Kind::Mark => true,
    };
    let Some((first, _)) = written.char_indices().find(|&at| !is_shown(at)) else {
        return Cow::Borrowed(written);
    };
    let (head, tail) = written.split_at(first);
    let mut shown = String::with_capacity(written.len() + 16);
    shown.push_str(head);
    for (position, character) in tail.char_indices() {
        if is_shown((first + position, character)) {
            shown.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(shown, "\\u{unit:04x}").expect("writing to a String cannot fail");
        }
    }
    Cow::Owned(shown)
}

/// How many bytes of a line stay as they are before the first character that does not; nothing if all
/// do.
pub(crate) fn clean_length(outside: &str) -> Option<usize> {
    first_unclean(outside, Breaks::Shown)
}

/// What happens to newlines and tabs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Kept,
    Shown,
}

fn clean(outside: &str, breaks: Breaks) -> Cow<'_, str> {
    clean_with_place(outside, breaks, 0).0
}

fn clean_with_place(outside: &str, breaks: Breaks, place: usize) -> (Cow<'_, str>, usize) {
    let Some(first) = first_unclean(outside, breaks) else {
        return (Cow::Borrowed(outside), place.min(outside.len()));
    };
    let mut place_shown = (place < first).then_some(place);
    let (head, tail) = outside.split_at(first);
    let mut shown = String::with_capacity(outside.len() + 16);
    shown.push_str(head);
    // `first` is never inside a run of marks that is too long: the run's first mark is reported.
    let mut marks = 0;
    let mut characters = tail.char_indices().peekable();
    while let Some((position, character)) = characters.next() {
        if place_shown.is_none() && first + position >= place {
            place_shown = Some(shown.len());
        }
        let kind = Kind::of(character);
        if kind == Kind::Mark {
            marks += 1;
            match marks {
                ..=COMBINING_MARKS_MAX => shown.push(character),
                _ if marks == COMBINING_MARKS_MAX + 1 => shown.push(MARKS_CUT),
                _ => {}
            }
            continue;
        }
        let is_whole = marks <= COMBINING_MARKS_MAX;
        if kind == Kind::Deceptive && is_whole && is_needed(outside, first + position, character) {
            // It takes no room: the marks behind it are drawn over those before it.
            shown.push(character);
            continue;
        }
        marks = 0;
        match character {
            '\r' => {
                if characters.peek().is_none_or(|(_, next)| *next != '\n') {
                    push_break(&mut shown, '\n', breaks);
                }
            }
            '\n' | '\t' => push_break(&mut shown, character, breaks),
            _ if kind == Kind::Control => push_byte(&mut shown, u32::from(character)),
            _ if kind == Kind::Deceptive => push_code_point(&mut shown, character),
            _ => shown.push(character),
        }
    }
    let place = place_shown.unwrap_or(shown.len());
    (Cow::Owned(shown), place)
}

/// Byte position of the first character that must change, or of the run of marks it belongs to.
fn first_unclean(outside: &str, breaks: Breaks) -> Option<usize> {
    let mut marks = 0;
    let mut run_start = 0;
    for (position, character) in outside.char_indices() {
        if character.is_ascii() {
            marks = 0;
            let is_kept_break = breaks == Breaks::Kept && matches!(character, '\n' | '\t');
            if character.is_ascii_control() && !is_kept_break {
                return Some(position);
            }
            continue;
        }
        match Kind::of(character) {
            Kind::Mark => {
                if marks == 0 {
                    run_start = position;
                }
                marks += 1;
                if marks > COMBINING_MARKS_MAX {
                    return Some(run_start);
                }
            }
            Kind::Deceptive if is_needed(outside, position, character) => {}
            Kind::Control | Kind::Deceptive => return Some(position),
            Kind::Plain => marks = 0,
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

const CATEGORIES: CodePointMapDataBorrowed<'static, GeneralCategory> = CodePointMapData::new();

/// What a character is to a screen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Is read.
    Plain,
    /// Is drawn over or under the character before it.
    Mark,
    /// Is obeyed: C0, DEL and C1.
    Control,
    /// Is not seen, or makes a text look like another one.
    Deceptive,
}

impl Kind {
    fn of(character: char) -> Self {
        if character.is_ascii() {
            return if character.is_ascii_control() { Self::Control } else { Self::Plain };
        }
        let category = CATEGORIES.get(character);
        match category {
            GeneralCategory::Control => Self::Control,
            _ if is_deceptive(character, category) => Self::Deceptive,
            GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark => Self::Mark,
            _ => Self::Plain,
        }
    }
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
            ("ab\u{17b4}\u{180b}\u{e0080}", r"ab\u{17b4}\u{180b}\u{e0080}"),
            ("a\u{fe0f}b\u{2800}\u{e0101}c", r"a\u{fe0f}b\u{2800}\u{e0101}c"),
            ("1\u{fe0f} 7\u{200c}", r"1\u{fe0f} 7\u{200c}"),
            ("\u{115f}\u{3164}\u{ffa0}\u{34f}", r"\u{115f}\u{3164}\u{ffa0}\u{34f}"),
            ("🏴\u{e0067}\u{e0062}", r"🏴\u{e0067}\u{e0062}"),
        ] {
            assert_eq!(line(outside), shown);
            assert_eq!(text(outside), shown);
            assert_eq!(bytes(outside.as_bytes()), shown);
        }
    }

    /// Goal: what a terminal obeys stands in no line of JSON, and a reader of JSON has the same text as ever.
    #[test]
    fn json_is_the_same_value_without_what_acts_on_a_terminal() {
        for outside in [
            "plain, ünïcödé, 漢字, 👩\u{200d}💻",
            "\u{1b}]52;c;cm0gLXJm\u{7}",
            "\u{9b}31m\u{9d}0;x\u{9c} \u{7f}",
            "txt.\u{202e}exe \u{2066}x\u{2069} \u{feff}",
            "ab\u{e0080}c",
        ] {
            let value = serde_json::json!({ outside: [outside] });
            let written = value.to_string();
            let shown = json(&written);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
            assert_eq!(line(&shown), shown, "nothing of it acts on a terminal");
        }
    }

    /// Goal: what a language or a picture needs stays. (The build before showed the joiners of Persian,
    /// Hindi, Sinhala and Malayalam as escapes, and the flag of England in pieces.)
    #[test]
    fn living_languages_and_pictures_stay_as_they_are() {
        for outside in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष क्\u{200c}ष",
            "ශ්\u{200d}රී ලංකාව",
            "അവന്\u{200d} ന്\u{200c}റെ",
            "র\u{200d}্য",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "❤\u{fe0f} 1\u{fe0f}\u{20e3} ☎\u{fe0e}",
            "👩🏽\u{200d}🚀 👨\u{200d}👩\u{200d}👧",
            "ᠠ\u{180b}ᠨ\u{180e}ᠠ",
            "葛\u{e0100}",
            "\u{600}١٢ ۝",
            "नमस्ते สวัสดี 안녕하세요 ខ្មែរ",
        ] {
            assert_eq!(line(outside), outside);
            let (before, after) = (format!("\u{7}{outside}"), format!(r"\x07{outside}"));
            assert_eq!(text(&before), after, "behind an escape, too");
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

    /// Goal: a place of a line is found again in what is shown of it, whatever stands behind it: a joiner at the end of a word
    /// is none.
    #[test]
    fn a_place_of_a_line_is_found_in_what_is_shown_of_it() {
        let word = "می\u{200c}خواهم";
        let behind_joiner = "می\u{200c}".len();
        assert_eq!(line_with_place(word, behind_joiner), (word.into(), behind_joiner));
        let after_bell = format!("\u{7}{word}");
        let shown = format!(r"\x07{word}");
        assert_eq!(line_with_place(&after_bell, 0), (shown.as_str().into(), 0));
        for place in (1..=after_bell.len()).filter(|at| after_bell.is_char_boundary(*at)) {
            let (line, at) = line_with_place(&after_bell, place);
            assert_eq!((&*line, at), (shown.as_str(), place + 3));
        }
        assert_eq!(line_with_place("a\tb", 9), (r"a\tb".into(), 4));
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(line("hello 😀"), Cow::Borrowed(_)));
        assert!(matches!(text("two\nlines\tand a tab"), Cow::Borrowed(_)));
    }

    /// True when nothing in it acts on a terminal or hides.
    fn is_harmless(shown: &str, breaks: Breaks) -> bool {
        let mut marks = 0;
        shown.char_indices().all(|(position, character)| {
            let is_break = breaks == Breaks::Kept && matches!(character, '\n' | '\t');
            let kind = Kind::of(character);
            match kind {
                Kind::Mark => marks += 1,
                Kind::Deceptive => return is_needed(shown, position, character),
                Kind::Plain | Kind::Control => marks = 0,
            }
            marks <= COMBINING_MARKS_MAX && (is_break || kind != Kind::Control)
        })
    }

    /// Strings that are dense in what the sanitiser looks for.
    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[\\x00-\\x1f\\x7f-\u{9f}a\u{300}-\u{30f}\u{200b}-\u{2069}\u{feff}\u{e0000}-\u{e0100}]{0,60}",
            "(a|\u{301}){0,60}",
            "[क्\u{200c}\u{200d}یب👩💻🏴\u{e0067}\u{e007f}\u{fe0f}\u{180b}ᠠ1\u{20e3}\u{301}]{0,40}",
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
