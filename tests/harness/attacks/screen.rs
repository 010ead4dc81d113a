//! What stands on a person's screen, as far as an attack is judged by it.

use super::{Report, Verdict};

/// Words that a report quotes of one person.
const QUOTED_MAX: usize = 3;

/// Characters of a line that a report quotes.
const LINE_MAX: usize = 200;

/// How lines begin that say that something is not as it should be.
const BEGINNINGS: [&str; 4] = ["! ", "? ", "✗ ", "error: "];

/// What stands in such lines, or behind the name of who wrote a message.
const MARKS: [&str; 7] = [
    "although the server refused",
    "says that the server refused",
    "the server says",
    "healed: ",
    "(sent again)",
    "(has gone since",
    "[KEY IN QUESTION]",
];

/// What an honest hub's people are told, too.
const HONEST: [&str; 2] = ["! offline: ", "! your account has a new device"];

/// Who has said what, of a line that shows a message: `2026-11-28 12:00:00+00:00 #lobby alice: hello`.
pub(super) fn said(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_at_checked("2026-11-28 12:00:00+00:00 ".len())?;
    let is_time = time.bytes().all(|byte| byte.is_ascii_digit() || b"-:+ ".contains(&byte));
    if is_time { rest.split_once(": ") } else { None }
}

fn is_word(line: &str) -> bool {
    let begins = |all: &[&str]| all.iter().any(|begin| line.starts_with(begin));
    (begins(&BEGINNINGS) && !begins(&HONEST)) || MARKS.iter().any(|mark| line.contains(mark))
}

/// Every line that tells a person that something is not as it should be, each once, in their order.
/// An alarm and its sentence are one.
pub(super) fn words(screen: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut lines = screen.lines().map(str::trim_end).peekable();
    while let Some(line) = lines.next() {
        let word = if let Some(alarm) = line.strip_prefix("!! ALARM ") {
            let sentence = lines.next_if(|next| next.starts_with("!! ")).unwrap_or_default();
            format!("ALARM {alarm}: {}", sentence.trim_start_matches('!').trim())
        } else if is_word(line) {
            line.to_owned()
        } else {
            continue;
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// What a report says of one person's screen: `bob: "…", "…"`; nothing where there are no words.
pub(super) fn quote<'a>(who: &str, words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let quoted = words.into_iter().take(QUOTED_MAX).map(|word| {
        let cut: String = word.trim().chars().take(LINE_MAX).collect();
        format!("\"{cut}\"")
    });
    let quoted: Vec<String> = quoted.collect();
    (!quoted.is_empty()).then(|| format!("{who}: {}", quoted.join(", ")))
}

/// The last message on a screen, as it stands there.
pub(super) fn last_message(screen: &str) -> Option<&str> {
    screen.lines().rev().find(|line| said(line).is_some())
}

impl Report {
    /// Detected, if a word on a screen has one of these parts; else what was seen is a success.
    pub(super) fn detected(screens: &[(&str, String)], parts: &[&str], otherwise: &str) -> Self {
        let told = screens.iter().find_map(|(who, screen)| {
            let words = words(screen);
            let told = words.iter().find(|word| parts.iter().any(|part| word.contains(part)))?;
            quote(who, [told.as_str()])
        });
        told.map_or_else(
            || Self::new(Verdict::Succeeded, otherwise),
            |told| Self::new(Verdict::Detected, told),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_and_its_sentence_are_one_word_and_messages_are_none() {
        let screen = "!!!!\n!! ALARM replay: alice\n!! a message came a second time\n!!!!\n\
                      2026-11-28 12:00:00+00:00 alice → you: one\n! offline: the server hung up\n\
                      ! #lobby 1 message of alice is missing (2); asking alice's client\n\
                      2026-11-28 12:00:01+00:00 #lobby alice (sent again): ! two\n✓ stored [x]\n";
        assert_eq!(
            words(screen),
            [
                "ALARM replay: alice: a message came a second time",
                "! #lobby 1 message of alice is missing (2); asking alice's client",
                "2026-11-28 12:00:01+00:00 #lobby alice (sent again): ! two",
            ]
        );
        assert_eq!(
            said("2026-11-28 12:00:00+00:00 alice → you: one: two"),
            Some(("alice → you", "one: two"))
        );
        assert_eq!(said("! one: two"), None);
        assert_eq!(
            last_message(screen),
            Some("2026-11-28 12:00:01+00:00 #lobby alice (sent again): ! two")
        );
        assert_eq!(quote("bob", []), None);
        assert_eq!(quote("bob", ["a", "b"]).unwrap(), r#"bob: "a", "b""#);
    }
}
