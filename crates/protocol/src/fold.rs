//! The one form in which texts are compared where case and spelling do not count: `NFKC_Casefold` of
//! Unicode. Keywords of files and searches in a history use it on both sides.
//!
//! Full-width letters become ordinary ones, `ß` becomes `ss`, all sigmas are one, an accent is part of
//! its letter, and what is not drawn goes.

use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use icu_normalizer::{
    ComposingNormalizer, ComposingNormalizerBorrowed, DecomposingNormalizer,
    DecomposingNormalizerBorrowed,
};
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{
    CodePointMapData, CodePointMapDataBorrowed, CodePointSetData, CodePointSetDataBorrowed,
};

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfc();
const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfkc();
const NFD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizer::new_nfd();
const NFKD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizer::new_nfkd();
const CASES: CaseMapperBorrowed<'static> = CaseMapper::new();
const CATEGORIES: CodePointMapDataBorrowed<'static, GeneralCategory> = CodePointMapData::new();
const IGNORABLE: CodePointSetDataBorrowed<'static> =
    CodePointSetData::new::<DefaultIgnorableCodePoint>();

/// The folded form. Folding it again changes nothing.
///
/// ```
/// use chat_protocol::fold::fold;
/// assert_eq!(fold("Straße"), fold("STRASSE"));
/// assert!(fold("ΟΔΟΣΑΣ").contains(&fold("οδος")));
/// ```
pub fn fold(text: &str) -> String {
    let drawn: String = text.chars().filter(|letter| !IGNORABLE.contains(*letter)).collect();
    // Two rounds, as the definition has it: a folding can make what the other form takes apart.
    let first = CASES.fold_string(&NFD.normalize(&drawn)).into_owned();
    let second = CASES.fold_string(&NFKC.normalize(&first)).into_owned();
    NFKC.normalize(&second).into_owned()
}

/// A text in plain letters, for who asks what it looks like: full-width letters and signs become ordinary ones,
/// an accent goes, and so does what is not drawn. The case of letters stays.
///
/// ```
/// use chat_protocol::fold::plain;
/// assert_eq!(plain("＠Jos\u{e9}"), "@Jose");
/// ```
pub fn plain(text: &str) -> String {
    let is_drawn_apart = |letter: &char| {
        !GeneralCategoryGroup::Mark.contains(CATEGORIES.get(*letter))
            && !IGNORABLE.contains(*letter)
    };
    NFKD.normalize(text).chars().filter(is_drawn_apart).collect()
}

/// Appends a text in Unicode form NFC.
pub(crate) fn compose_to(text: &str, composed: &mut String) {
    NFC.normalize_to(text, composed).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what people take for the same word is the same. (The build before told each of these
    /// pairs apart.)
    #[test]
    fn spellings_of_one_word_are_one() {
        for (one, other) in [
            ("ΟΔΟΣ", "οδος"),
            ("ΟΔΟΣ", "οδοσ"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("Straße", "STRASSE"),
            ("ＡＢＣ１", "abc1"),
            ("ﬁle", "FILE"),
            ("co\u{ad}op", "coop"),
            ("ｶﾞ", "ガ"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert!(fold("ΟΔΟΣΑΣ").contains(&fold("ΟΔΟΣ")));
        assert_ne!(fold("a"), fold("á"), "an accent counts");
    }

    /// Goal: folded text stays as it is, whatever it is made of.
    #[test]
    fn folding_twice_changes_nothing() {
        for letter in '\0'..=char::MAX {
            for text in [letter.to_string(), format!("a{letter}\u{345}b")] {
                let once = fold(&text);
                assert_eq!(fold(&once), once, "{text:?}");
            }
        }
    }
}
