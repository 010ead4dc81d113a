//! Splits a command line into words as a shell would, and does nothing else that a shell does.

use thiserror::Error;

/// Why a command line has no clear words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SplitError {
    /// A quote opens and none closes.
    #[error("the quote {quote} at character {position} is not closed")]
    Unclosed {
        /// Which quote.
        quote: char,
        /// Where it opens, from 1.
        position: usize,
    },
    /// The line ends where the escaped character should stand.
    #[error("a backslash at the end has nothing to escape")]
    Backslash,
}

/// The words of a line. White space parts words; `'...'` keeps all as it stands; `"..."` keeps
/// all but `\"`, `\\`, `\$` and `` \` ``; outside of quotes a backslash keeps the next character.
/// No variable, pattern, pipe or redirection is expanded: `*` and `|` are words like others.
pub fn split(line: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars().enumerate();
    while let Some((index, character)) = characters.next() {
        match character {
            '\'' | '"' => {
                let open = SplitError::Unclosed { quote: character, position: index + 1 };
                let rest = characters.by_ref().map(|(_, character)| character);
                let word = word.get_or_insert_default();
                quoted(rest, character, word).then_some(()).ok_or(open)?;
            }
            '\\' => {
                let (_, kept) = characters.next().ok_or(SplitError::Backslash)?;
                word.get_or_insert_default().push(kept);
            }
            _ if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Appends what stands up to the closing quote; false when there is none.
fn quoted(mut rest: impl Iterator<Item = char>, quote: char, word: &mut String) -> bool {
    while let Some(character) = rest.next() {
        match character {
            _ if character == quote => return true,
            '\\' if quote == '"' => match rest.next() {
                Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                Some(other) => word.extend(['\\', other]),
                None => return false,
            },
            _ => word.push(character),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        for (line, words) in [
            ("", &[][..]),
            ("  uname   -a ", &["uname", "-a"]),
            (r#"echo "two words" 'and $HOME' a\ b"#, &["echo", "two words", "and $HOME", "a b"]),
            (r#"echo "say \"hi\" \n" it's one'"#, &["echo", r#"say "hi" \n"#, "its one"]),
            (r#"printf '' "" x"#, &["printf", "", "", "x"]),
            ("ls *.rs | wc > f", &["ls", "*.rs", "|", "wc", ">", "f"]),
            ("echo ünï 😀\tend", &["echo", "ünï", "😀", "end"]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn unclear_words_are_refused() {
        for (line, error) in [
            ("echo 'x", SplitError::Unclosed { quote: '\'', position: 6 }),
            (r#"a "x\"#, SplitError::Unclosed { quote: '"', position: 3 }),
            (r#"a "x\""#, SplitError::Unclosed { quote: '"', position: 3 }),
            (r"a \", SplitError::Backslash),
        ] {
            assert_eq!(split(line), Err(error), "{line}");
        }
    }
}
