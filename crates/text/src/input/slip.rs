//! What seems to be meant for one person and would be said to a whole room.

use chat_protocol::fold;
use chat_protocol::name::UserName;

use super::{LIKE_A_STAR, is_hidden, seen, short_form};

/// Words before a name that other programs, or this one with a slash, send to one person by. `PM`
/// and `/pm` are the public message here, and elsewhere the private one.
const TO_ONE: [&str; 7] = ["pm", "/pm", "dm", "msg", "query", "whisper", "tell"];

/// What other programs begin a command with, and slips of the finger beside the slash.
const LIKE_A_COMMAND: [char; 6] = ['!', ':', '.', ';', ',', '\\'];

/// What parts the names of several people.
const BETWEEN_NAMES: [char; 5] = [',', '+', '&', ';', '/'];

/// Names before a star that are looked at.
const NAMES_MAX: usize = 16;

/// What people put between a name and what they say to its bearer. A star behind the name alone sends to them.
const AFTER_NAME: [char; 3] = [':', ',', '*'];

/// With these a line is begun that is to be text, whatever it looks like; the wide one is that of East Asian
/// keyboards.
const SPACES: [char; 2] = [' ', '\u{3000}'];

/// A text that seems to be for one person or some, if all of them exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slip {
    /// The names as they were typed; at least one.
    pub names: Vec<UserName>,
    /// How the line begins.
    pub form: String,
    /// How one begins it to say it in a room all the same.
    pub as_text: &'static str,
}

impl Slip {
    fn new(names: Vec<UserName>, form: String) -> Self {
        Self { names, form, as_text: "a space" }
    }
}

/// Tells a line that would be said in a room and begins as if it were for one person: `/pm bob TEXT`,
/// `PM bob TEXT`, `dm bob TEXT`, `@bob TEXT`, `@bob*TEXT`, `bob *TEXT`, `"bob*TEXT`, `> bob*TEXT`, and the same in
/// letters and signs that only look like these; `bob,carol*TEXT`, `!msg bob TEXT`, ` /msg bob TEXT`; and what was
/// pasted, where a later line would be for one person if it were typed alone. Whether there is such a person is for
/// the caller to know.
///
/// `bob: TEXT` is how somebody is spoken to in a room; a line that begins with a space is text.
pub fn slip(line: &str) -> Option<Slip> {
    let mut lines = line.trim_end_matches(['\r', '\n']).lines();
    let first = lines.next()?;
    slip_of(first).or_else(|| lines.find_map(|later| addressed(later).or_else(|| slip_of(later))))
}

/// What a line that is pasted below others would be by itself: a message to one person.
fn addressed(line: &str) -> Option<Slip> {
    let (name, text) = seen(line).split_once('*')?;
    let name = UserName::new(name).ok()?;
    let has_text =
        !text.trim_matches(|letter: char| letter == '*' || letter.is_whitespace()).is_empty();
    has_text.then(|| Slip::new(vec![name.clone()], format!("the line {name}*…")))
}

fn slip_of(line: &str) -> Option<Slip> {
    let line = seen(line);
    // As it stood where hidden characters are shown before they are sent: a draft, or a line that is sent again.
    let bare = behind_escapes(line);
    if bare.len() < line.len() {
        let command = bare.strip_prefix('/').and_then(spoken_to);
        return command.or_else(|| addressed(bare)).or_else(|| slip_of(bare));
    }
    if let Some(rest) = line.strip_prefix(SPACES) {
        // A space too many before a command; what is to be text begins with two slashes.
        let command = rest.trim_start_matches(SPACES).strip_prefix('/')?;
        let slip = spoken_to(command)?;
        return Some(Slip { form: format!(" /{}", slip.form), as_text: "two slashes", ..slip });
    }
    before_star(line).or_else(|| spoken_to(line))
}

/// A line behind the hidden characters at its start that were made visible, such as `\x1b` and `\u{feff}`.
pub(super) fn behind_escapes(mut line: &str) -> &str {
    while let Some(rest) = behind_escape(line) {
        line = rest;
    }
    line
}

/// What follows one of them; nothing where none stands at the start.
fn behind_escape(line: &str) -> Option<&str> {
    let is_hex = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let rest = line.strip_prefix('\\')?;
    if let Some(point) = rest.strip_prefix("u{") {
        let (digits, rest) = point.split_once('}')?;
        return is_hex(digits).then_some(rest);
    }
    let (digits, rest) = rest.strip_prefix('x')?.split_at_checked(2)?;
    is_hex(digits).then_some(rest)
}

/// The same text without any of them.
pub(super) fn without_escapes(text: &str) -> String {
    let (mut rest, mut plain) = (text, String::new());
    while let Some(letter) = rest.chars().next() {
        rest = behind_escape(rest).unwrap_or_else(|| {
            plain.push(letter);
            rest.get(letter.len_utf8()..).unwrap_or_default()
        });
    }
    plain
}

/// A word that sends to one person elsewhere, or `@`, and a name.
fn spoken_to(line: &str) -> Option<Slip> {
    let plain = fold::plain(line);
    let line = plain.as_str();
    let (before, after) = if let Some(after) = line.strip_prefix('@') {
        ("@".to_owned(), after.trim_start())
    } else {
        let (word, rest) = line.split_once(char::is_whitespace)?;
        let is_sent_to_one = short_form(line).is_some() && word == "DM";
        let bare = word.trim_start_matches(LIKE_A_COMMAND);
        if is_sent_to_one || !TO_ONE.iter().any(|known| known.eq_ignore_ascii_case(bare)) {
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
    has_text.then(|| Slip::new(vec![name], form))
}

/// What is no name before a star, and is one in plain letters without the signs before it and what closes them.
fn before_star(line: &str) -> Option<Slip> {
    let is_star = |letter: char| letter == '*' || LIKE_A_STAR.contains(&letter);
    let (before, text) = line.split_at_checked(line.find(is_star)?)?;
    let has_text =
        !text.trim_matches(|letter| is_star(letter) || letter.is_whitespace()).is_empty();
    // What is a name as it stands is sent to it, or refused for what only looks like a star.
    let is_said_in_a_room = UserName::new(before).is_err() && !before.chars().any(is_hidden);
    if !has_text || !is_said_in_a_room {
        return None;
    }
    let letters: String = fold::plain(&without_escapes(before)).chars().map(latin).collect();
    let name = letters.trim_start_matches(|letter: char| !letter.is_ascii_alphanumeric());
    let name =
        name.trim_end_matches(|letter: char| letter.is_whitespace() || CLOSING.contains(&letter));
    let names = match UserName::new(name) {
        Ok(name) => vec![name],
        Err(_) => several(name)?,
    };
    Some(Slip::new(names, format!("{before}*…")))
}

/// Several names and nothing else.
fn several(names: &str) -> Option<Vec<UserName>> {
    let is_between = |letter: char| letter.is_whitespace() || BETWEEN_NAMES.contains(&letter);
    let words = names.split(is_between).filter(|word| !word.is_empty() && *word != "and");
    let names: Option<Vec<UserName>> = words
        .take(NAMES_MAX)
        .map(|word| UserName::new(word.trim_start_matches('@')).ok())
        .collect();
    names.filter(|names| names.len() > 1)
}

/// What may stand between a name and the star behind it: what is closed there, or [`AFTER_NAME`].
const CLOSING: [char; 12] =
    ['"', '\'', '\u{201d}', '\u{2019}', '\u{bb}', ')', ']', '}', '>', '`', ':', ','];

/// The Latin letter that a Greek or Cyrillic one looks like.
fn latin(letter: char) -> char {
    match letter {
        'Α' | 'А' => 'A',
        'α' | 'а' => 'a',
        'Β' | 'В' => 'B',
        'Ь' | 'ь' | 'Ƅ' | 'ƅ' => 'b',
        'С' | 'Ϲ' => 'C',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'Ε' | 'Е' => 'E',
        'е' => 'e',
        'ɡ' => 'g',
        'Η' | 'Н' => 'H',
        'һ' => 'h',
        'Ι' | 'І' | 'Ӏ' => 'I',
        'ι' | 'і' | 'ı' => 'i',
        'Ј' => 'J',
        'ј' | 'ϳ' => 'j',
        'Κ' | 'К' => 'K',
        'κ' | 'к' => 'k',
        'ӏ' => 'l',
        'Μ' | 'М' => 'M',
        'Ν' => 'N',
        'Ο' | 'О' => 'O',
        'ο' | 'о' => 'o',
        'Ρ' | 'Р' => 'P',
        'ρ' | 'р' => 'p',
        'ԛ' => 'q',
        'Ѕ' => 'S',
        'ѕ' => 's',
        'Τ' | 'Т' => 'T',
        'υ' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' => 'w',
        'Χ' | 'Х' => 'X',
        'χ' | 'х' => 'x',
        'Υ' | 'Ү' | 'У' => 'Y',
        'у' | 'ү' => 'y',
        'Ζ' => 'Z',
        other => other,
    }
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
            ("\"bob*salary", Some("bob")),
            ("> bob*salary", Some("bob")),
            ("- bob*salary", Some("bob")),
            ("(\u{201c}bob\u{201d})*salary", Some("bob")),
            ("#bob*salary", Some("bob")),
            ("\"bob * salary", Some("bob")),
            ("\"bob\u{ff0a}salary", Some("bob")),
            ("\u{ff42}\u{ff4f}\u{ff42}*salary", Some("bob")),
            ("b\u{43e}b*salary", Some("bob")),
            ("b\u{f6}b*salary", Some("bob")),
            ("\u{ff20}bob salary", Some("bob")),
            ("\u{ff20}bob*salary", Some("bob")),
            ("\u{ff30}\u{ff2d} bob salary", Some("bob")),
            ("\u{3000}@bob salary", None),
            ("bob\u{ff0a}salary", None),
            ("bo\u{200b}b*salary", None),
            ("*bold* text", None),
            ("\"*bold*\" text", None),
            ("\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} *all*", None),
            ("src/*.rs", None),
            ("I wrote to bob*now", Some("I wrote to bob")),
            ("bob **", None),
            // As long as nobody is called see.
            ("see bob *now*", Some("see bob")),
            ("bob,carol*salary", Some("bob carol")),
            ("bob + carol*salary", Some("bob carol")),
            ("@bob & @carol*salary", Some("bob carol")),
            ("bob carol*salary", Some("bob carol")),
            ("bob and carol*salary", Some("bob carol")),
            ("!msg bob salary", Some("bob")),
            (":msg bob salary", Some("bob")),
            (" /msg bob salary", Some("bob")),
            ("  /pm bob salary", Some("bob")),
            (" /etc bob salary", None),
            ("look:\nbob*salary", Some("bob")),
            ("look:\r\n@bob salary", Some("bob")),
            ("look:\n*bold*", None),
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
            (r"\u{feff}bob*salary", Some("bob")),
            (r"\u{200b}\x1b/msg bob salary", Some("bob")),
            (r"\x07@bob salary", Some("bob")),
            (r"bo\u{200b}b*salary", Some("bob")),
            (r"\u{feff}hello", None),
            (r"\u{no}bob*salary", None),
        ] {
            let names = slip(line).map(|slip| {
                let names: Vec<&str> = slip.names.iter().map(UserName::as_str).collect();
                names.join(" ")
            });
            assert_eq!(names.as_deref(), name, "{line:?}");
        }
    }
}
