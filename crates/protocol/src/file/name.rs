//! A file's name from outside, reduced to one that is safe in any folder.

use icu_properties::props::GeneralCategory;
use icu_properties::{CodePointMapData, CodePointMapDataBorrowed};

use crate::sanitise;

/// Longest reduced name in bytes: with ` (999)` it has the 255 of file systems.
pub const REDUCED_BYTES_MAX: usize = 249;

/// Longest ending that is kept when a name is cut, with its dot.
const ENDING_BYTES_MAX: usize = 16;

/// What a name becomes of which nothing is left.
const NAMELESS: &str = "file";

/// Names that mean a device on some systems, in any case and with any ending.
const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// What a shell or another file system takes for more than a letter.
const SPECIAL: &str = "/\\:*?\"<>|";

const CATEGORIES: CodePointMapDataBorrowed<'static, GeneralCategory> = CodePointMapData::new();

/// Reduces a claimed name to the part behind the last separator, of at most [`REDUCED_BYTES_MAX`] bytes:
/// letters, digits and marks of any script and the signs between them stay. What a terminal would not
/// show as it is, blanks other than a space, what is no character, and the signs that mean something to
/// other file systems become `_`; dots, dashes and spaces go from its front, dots and spaces from its
/// end; and it is never a reserved name.
pub fn reduce(claimed: &str) -> String {
    let last = claimed.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = shown(last).chars().map(|c| if is_safe(c) { c } else { '_' }).collect();
    let name = cut(trimmed(&name));
    // What was cut may have hidden or needed something at its end.
    let name = shown(&name);
    let name = trimmed(&name);
    if name.is_empty() {
        return NAMELESS.to_owned();
    }
    if is_reserved(name) { format!("_{name}") } else { name.to_owned() }
}

/// With `_` for each character that the sanitiser would not show as it is.
fn shown(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(clean) = sanitise::clean_length(rest) {
        let (head, tail) = rest.split_at(clean);
        shown.push_str(head);
        shown.push('_');
        let first = tail.chars().next().map_or(0, char::len_utf8);
        rest = tail.get(first..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

fn trimmed(name: &str) -> &str {
    name.trim_start_matches(['.', '-', ' ']).trim_end_matches(['.', ' '])
}

fn is_safe(character: char) -> bool {
    let is_seen = match CATEGORIES.get(character) {
        GeneralCategory::SpaceSeparator => character == ' ',
        GeneralCategory::Unassigned | GeneralCategory::PrivateUse => false,
        _ => true,
    };
    is_seen && !SPECIAL.contains(character)
}

/// Cuts to the length allowed and keeps a short ending, so that the kind of file stays visible.
fn cut(name: &str) -> String {
    if name.len() <= REDUCED_BYTES_MAX {
        return name.to_owned();
    }
    let ending = name.rfind('.').and_then(|dot| name.get(dot..));
    let ending = ending.filter(|ending| ending.len() <= ENDING_BYTES_MAX).unwrap_or_default();
    let stem = name.get(..name.floor_char_boundary(REDUCED_BYTES_MAX - ending.len()));
    format!("{}{ending}", stem.unwrap_or_default().trim_end_matches(['.', ' ']))
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let bare = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = stem.len() - bare.len();
    RESERVED.contains(&bare) && (digits == 0 || (digits == 1 && bare.len() == 3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_and_hostile_ones_lose_what_is_hostile() {
        for (claimed, reduced) in [
            ("report.pdf", "report.pdf"),
            ("my notes (2).txt", "my notes (2).txt"),
            ("会議の資料.txt", "会議の資料.txt"),
            ("naïve & co, 50 % [v1]~.txt", "naïve & co, 50 % [v1]~.txt"),
            ("می\u{200c}خواهم.pdf", "می\u{200c}خواهم.pdf"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/etc/shadow", "shadow"),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("- -.x", "x"),
            ("..", "file"),
            ("", "file"),
            ("dir/", "file"),
            ("a\0b\u{1b}[31m\n", "a_b_[31m_"),
            ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
            ("a\u{200b}b\u{a0}c\u{2800}d\u{e000}", "a_b_c_d_"),
            ("what? <a|b> \"c\":*", "what_ _a_b_ _c___"),
            ("con", "_con"),
            ("NUL.txt", "_NUL.txt"),
            ("com1.log", "_com1.log"),
            ("com10.log", "com10.log"),
            ("console.log", "console.log"),
            ("name. . .", "name"),
        ] {
            assert_eq!(reduce(claimed), reduced, "{claimed:?}");
        }
    }

    #[test]
    fn long_names_are_cut_and_keep_their_ending() {
        let reduced = reduce(&format!("{}.tar.gz", "a".repeat(300)));
        assert_eq!(reduced.len(), REDUCED_BYTES_MAX);
        assert_eq!(reduced.rsplit('.').next(), Some("gz"));
        let reduced = reduce(&format!("{}.txt", "議".repeat(100)));
        assert_eq!(reduced, format!("{}.txt", "議".repeat(81)), "between two letters");
        assert_eq!(reduce(&format!("a.{}", "b".repeat(300))).len(), REDUCED_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn reducing_twice_changes_nothing(name in any::<String>(), long in "(é\\.|क्\u{200d}|[ .a_-]){0,120}") {
            for name in [name, long] {
                let once = reduce(&name);
                prop_assert_eq!(reduce(&once), once.clone(), "{:?}", name);
                prop_assert!((1..=REDUCED_BYTES_MAX + 1).contains(&once.len()));
                prop_assert_eq!(sanitise::line(&once), once.as_str());
            }
        }
    }
}
