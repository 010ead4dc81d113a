//! The veil: each letter becomes the next one, so that nobody reads a spoiler by accident. It is no
//! encryption, and stands inside of it.

/// Moves each letter from a to z on by one; z becomes a. Everything else stays.
pub fn shift(text: &str) -> String {
    text.chars().map(|character| moved(character, 1)).collect()
}

/// Moves them back.
pub fn unshift(text: &str) -> String {
    text.chars().map(|character| moved(character, LETTERS - 1)).collect()
}

const LETTERS: u8 = 26;

fn moved(character: char, by: u8) -> char {
    let from = |first: u8| {
        let letter = u8::try_from(character).unwrap_or(first).saturating_sub(first);
        char::from(first + (letter + by) % LETTERS)
    };
    match character {
        'a'..='z' => from(b'a'),
        'A'..='Z' => from(b'A'),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_move_on_and_back_and_nothing_else_does() {
        assert_eq!(shift("xyza"), "yzab");
        assert_eq!(unshift("zpaz"), "yozy");
        assert_eq!(shift("XYZA"), "YZAB");
        assert_eq!(unshift("ZPAZ"), "YOZY");
        let others = "\u{fc} \u{df} 0-9 *_~ \u{2713}\n\u{1b}[";
        assert_eq!((shift(others), unshift(others)), (others.to_owned(), others.to_owned()));
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(unshift(&shift(&text)), text.clone());
            prop_assert_eq!(shift(&text).len(), text.len());
        }
    }
}
