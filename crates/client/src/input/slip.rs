//! What seems to be meant for one person and would be said to a whole room.

use chat_protocol::name::UserName;

use super::{seen, short_form};

/// Words before a name that other programs, or this one with a slash, send to one person by. `PM`
/// and `/pm` are the public message here, and elsewhere the private one.
const TO_ONE: [&str; 6] = ["pm", "/pm", "dm", "msg", "query", "whisper"];

/// What people put between a name and what they say to its bearer. A star behind the name alone sends to them.
const AFTER_NAME: [char; 3] = [':', ',', '*'];

/// A text that seems to be for one person, if that person exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// The name as it was typed.
    pub name: UserName,
    /// How the line begins.
    pub form: String,
}

/// Tells a line that would be said in a room and begins as if it were for one person: `/pm bob TEXT`,
/// `PM bob TEXT`, `dm bob TEXT`, `@bob TEXT`, `@bob*TEXT`, `bob *TEXT`. Whether there is such a person is for the caller to know.
///
/// `bob: TEXT` is how somebody is spoken to in a room; a line that begins with a space is text.
pub fn slip(line: &str) -> Option<Slip> {
    let line = seen(line);
    if let Some(slip) = apart_from_star(line) {
        return Some(slip);
    }
    let (before, after) = if let Some(after) = line.strip_prefix('@') {
        ("@".to_owned(), after.trim_start())
    } else {
        let (word, rest) = line.split_once(char::is_whitespace)?;
        let is_sent_to_one = short_form(line).is_some() && word == "DM";
        if is_sent_to_one || !TO_ONE.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            return None;
        }
        let name = rest.trim_start();
        match name.strip_prefix('@') {
            Some(name) => (format!("{word} @"), name),
            None => (format!("{word} "), name),
        }
    };
    let end = after.find(|letter: char| letter.is_whitespace() || AFTER_NAME.contains(&letter))?;
    let (name, text) = after.split_at_checked(end)?;
    let has_text = !text.trim_start_matches(AFTER_NAME).trim().is_empty();
    let form = format!("{before}{name} …");
    let name = UserName::new(name).ok()?;
    has_text.then_some(Slip { name, form })
}

/// A name, blanks, and a star: `bob *TEXT`.
fn apart_from_star(line: &str) -> Option<Slip> {
    let (before, text) = line.split_once('*')?;
    let name = before.trim_end();
    let is_apart = name.len() < before.len() && !text.trim_matches('*').trim().is_empty();
    let form = format!("{name} *…");
    is_apart.then(|| Some(Slip { name: UserName::new(name).ok()?, form }))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_as_if_it_were_for_one_person_is_told() {
        for (line, name) in [
            ("/pm bob my salary is 5000", Some("bob")),
            ("/PM bob hi", Some("bob")),
            ("PM bob hi", Some("bob")),
            ("pm bob hi", Some("bob")),
            ("dm bob hi", Some("bob")),
            ("msg bob hi", Some("bob")),
            ("\u{feff}@bob hi", Some("bob")),
            ("@bob: hi", Some("bob")),
            ("PM @bob hi", Some("bob")),
            ("PM bob: salary", Some("bob")),
            ("PM bob, salary", Some("bob")),
            ("PM @bob: salary", Some("bob")),
            ("/pm bob:salary now", Some("bob")),
            ("@bob:salary now", Some("bob")),
            ("@bob,salary", Some("bob")),
            ("@bob*salary", Some("bob")),
            ("@ bob hi", Some("bob")),
            ("bob *salary", Some("bob")),
            ("bob\t**salary", Some("bob")),
            ("bob*salary", None),
            ("bob **", None),
            ("see bob *now*", None),
            (" bob *salary", None),
            ("@bob:", None),
            ("PM bob:", None),
            ("PM hello", None),
            ("PM hello, all of you", Some("hello")),
            ("DM bob hi", None),
            ("/msg bob hi", None),
            ("bob: hi", None),
            (" @bob hi", None),
            ("@bob", None),
            ("mail @bob hi", None),
        ] {
            assert_eq!(slip(line).map(|slip| slip.name.to_string()).as_deref(), name, "{line:?}");
        }
    }
}
