//! Characters that are not seen, and the places where they do their work and hide nothing:
//!
//! | character | place |
//! |---|---|
//! | zero-width joiner | between two pictographs |
//! | zero-width joiner and non-joiner | beside the virama that it changes (RFC 5892, A.1 and A.2) |
//! | zero-width non-joiner | between two letters that would join (RFC 5892, A.1) |
//! | variation selectors 15 and 16 | behind a pictograph, or a digit that becomes a key |
//! | other variation selectors | behind an ideograph |
//! | Mongolian variation selectors and vowel separator | behind a Mongolian letter |
//! | tags | in the flag of a part of a country, whole |

use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic,
    GeneralCategory, Ideographic, JoiningType, PrependedConcatenationMark, Script,
};
use icu_properties::{
    CodePointMapData, CodePointMapDataBorrowed, CodePointSetData, CodePointSetDataBorrowed,
};

use super::{COMBINING_MARKS_MAX, Kind};

const IGNORABLE: CodePointSetDataBorrowed<'static> =
    CodePointSetData::new::<DefaultIgnorableCodePoint>();
const NUMBER_SIGNS: CodePointSetDataBorrowed<'static> =
    CodePointSetData::new::<PrependedConcatenationMark>();
const PICTOGRAPHS: CodePointSetDataBorrowed<'static> =
    CodePointSetData::new::<ExtendedPictographic>();
const SKIN_TONES: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<EmojiModifier>();
const IDEOGRAPHS: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<Ideographic>();
const CLASSES: CodePointMapDataBorrowed<'static, CanonicalCombiningClass> = CodePointMapData::new();
const JOINING: CodePointMapDataBorrowed<'static, JoiningType> = CodePointMapData::new();
const SCRIPTS: CodePointMapDataBorrowed<'static, Script> = CodePointMapData::new();

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
/// Asks for the coloured form of the pictograph before it.
const PICTURE_SELECTOR: char = '\u{fe0f}';
const FLAG: char = '\u{1f3f4}';
const LAST_TAG: char = '\u{e007f}';
/// Letters and digits of a flag: two for the country and one to four for its part.
const FLAG_TAGS: std::ops::RangeInclusive<usize> = 3..=6;

/// Visible by no property, and still drawn as nothing: a Braille pattern without dots, a note without
/// a head, the filler of the Khitan script.
const BLANK: [char; 3] = ['\u{2800}', '\u{1d159}', '\u{16fe4}'];

/// Whether a character that is none of ASCII turns the direction of what follows, ends a line without
/// being a newline, or is not drawn.
pub(super) fn is_deceptive(character: char, category: GeneralCategory) -> bool {
    let is_of_a_kind = match category {
        GeneralCategory::Format => !NUMBER_SIGNS.contains(character),
        GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => true,
        _ => false,
    };
    is_of_a_kind || IGNORABLE.contains(character) || BLANK.contains(&character)
}

/// Whether such a character, at this byte of a text, does its work there.
pub(super) fn is_needed(text: &str, position: usize, character: char) -> bool {
    let (before, rest) = text.split_at_checked(position).unwrap_or(("", text));
    let after = rest.get(character.len_utf8()..).unwrap_or_default();
    let (last, next) = (before.chars().next_back(), after.chars().next());
    match character {
        JOINER => joins_pictures(before, next) || is_beside_virama(last, next),
        NON_JOINER => is_beside_virama(last, next) || parts_letters(before, next),
        '\u{fe0e}' | PICTURE_SELECTOR => {
            last.is_some_and(|c| PICTOGRAPHS.contains(c))
                || (last.is_some_and(|c| c.is_ascii_digit() || "#*".contains(c))
                    && next == Some('\u{20e3}'))
        }
        '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => {
            last.is_some_and(|c| IDEOGRAPHS.contains(c))
        }
        '\u{180b}'..='\u{180f}' => {
            last.is_some_and(|c| SCRIPTS.get(c) == Script::Mongolian && !IGNORABLE.contains(c))
        }
        _ if is_tag(character) => is_in_flag(before, character, after),
        _ => false,
    }
}

/// Makes one picture of two, such as a woman and a computer.
fn joins_pictures(before: &str, next: Option<char>) -> bool {
    let plain = before.strip_suffix(PICTURE_SELECTOR).unwrap_or(before);
    let ends_one = |c| PICTOGRAPHS.contains(c) || SKIN_TONES.contains(c);
    plain.chars().next_back().is_some_and(ends_one) && next.is_some_and(|c| PICTOGRAPHS.contains(c))
}

/// Chooses between the forms of a cluster of consonants. Bengali writes it before the virama.
fn is_beside_virama(last: Option<char>, next: Option<char>) -> bool {
    let is_virama = |c| CLASSES.get(c) == CanonicalCombiningClass::Virama;
    let is_letter = |c: char| c.is_alphabetic() && Kind::of(c) == Kind::Plain;
    last.is_some_and(is_virama) || (next.is_some_and(is_virama) && last.is_some_and(is_letter))
}

/// Keeps two letters apart that would join, as at the seams of Persian words.
fn parts_letters(before: &str, next: Option<char>) -> bool {
    let is_letter = |c: &char| Kind::of(*c) != Kind::Mark;
    let joins_on =
        |c| matches!(JOINING.get(c), JoiningType::LeftJoining | JoiningType::DualJoining);
    let joins_back =
        |c| matches!(JOINING.get(c), JoiningType::RightJoining | JoiningType::DualJoining);
    // No letter has more marks than are shown.
    let last = before.chars().rev().take(COMBINING_MARKS_MAX + 1).find(is_letter);
    last.is_some_and(joins_on) && next.is_some_and(joins_back)
}

fn is_tag(character: char) -> bool {
    ('\u{e0020}'..=LAST_TAG).contains(&character)
}

/// Whether a tag is part of a whole flag: the black one, its letters and digits, and the last tag.
fn is_in_flag(before: &str, character: char, after: &str) -> bool {
    // One more than a flag has, so that a longer run is not taken for one.
    let some = FLAG_TAGS.end() + 2;
    let tags_before: Vec<char> =
        before.chars().rev().take(some).take_while(|c| is_tag(*c)).collect();
    let length: usize = tags_before.iter().map(|c| c.len_utf8()).sum();
    let base = before.get(..before.len() - length).and_then(|start| start.chars().next_back());
    let mut tags: Vec<char> = tags_before.into_iter().rev().collect();
    tags.push(character);
    tags.extend(after.chars().take(some).take_while(|c| is_tag(*c)));
    let is_sign = |c: &char| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}');
    base == Some(FLAG)
        && tags.split_last().is_some_and(|(last, signs)| {
            *last == LAST_TAG && FLAG_TAGS.contains(&signs.len()) && signs.iter().all(is_sign)
        })
}
