//! What a line means, typed at the prompt or read from `messages.txt`: one parser for both.
//!
//! | line | meaning |
//! |---|---|
//! | `hello` | text to the current room |
//! | `bob*see you at six` | direct message; the part before the first `*` is a name |
//! | `ALL*lunch is ready` | to everybody; `all*` and `All*` too |
//! | `/users` | a slash command, see [`crate::slash`] |
//! | `//etc is full` | the text `/etc is full` |
//! | `PM text`, `DM bob text`, `EX` | short forms of `/pm`, `/dm`, `/ex`, in capitals only |
//! | ` 2*3 is six` | a line that begins with a space is text, as it stands |
//! | `?` | help, typed alone at a terminal; text in a pipe, and behind a space |
//!
//! The star makes a direct message only when something follows it and a name precedes it without
//! a space: `2 * 3`, `*bold*`, `src/*.rs` and the correction `their*` are text. `a*b` is a message
//! to `a`: when both readings are possible, the one that tells fewer people wins, and the refusal
//! of an unknown name costs less than a private word in a public room. For the same reason
//! characters that take no room count for nothing at the start of a line, are refused inside the
//! name before a star, and a star or slash in full width is refused where the plain one would do
//! something. What looks as if it were for one person without saying so is told by [`slip`].

use std::borrow::Cow;

use chat_protocol::limits::{
    ARGV_BYTES_MAX, ARGV_WORDS_MAX, MESSAGE_TEXT_BYTES_MAX, TOPIC_BYTES_MAX,
};
use chat_protocol::name::{ALL, NameError, SERVER, UserName};
use chat_protocol::retention::BadKeepTime;
use chat_protocol::sanitise;
use thiserror::Error;

use self::secret::{Secret, secret};
use self::slash::{AWAY_BYTES_MAX, SlashCommand};
use crate::words::SplitError;

mod secret;
pub mod slash;
mod slip;

pub use secret::{may_come_back, may_hold_password, repeated};
pub use slip::{Slip, slip};

/// Signs that look like a star and are none: the full width one of East Asian keyboards, the small
/// one, and the operator.
const LIKE_A_STAR: [char; 3] = ['\u{ff0a}', '\u{fe61}', '\u{2217}'];

/// The slash of East Asian keyboards.
const LIKE_A_SLASH: char = '\u{ff0f}';

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Blank line: nothing to do.
    Nothing,
    /// Text to the current room.
    Text {
        /// The text.
        text: String,
    },
    /// Text to one person.
    Direct {
        /// The person.
        to: UserName,
        /// The text.
        text: String,
    },
    /// Text to everybody.
    Broadcast {
        /// The text.
        text: String,
    },
    /// Anything but a message.
    Slash(SlashCommand),
}

impl Input {
    /// Whether it depends on where its writer is: a text without an address, or a command that says or changes
    /// something there.
    pub fn is_about_place(&self) -> bool {
        match self {
            Self::Text { .. } => true,
            Self::Slash(command) => command.is_about_place(),
            Self::Nothing | Self::Direct { .. } | Self::Broadcast { .. } => false,
        }
    }
}

/// Why a line is not understood. Nothing has been sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InputError {
    /// A `/word` that the table does not know; never sent as chat.
    #[error(
        "unknown command /{word}{}; /help lists the commands, and //{word} sends it as text",
        suggested(*.suggestion)
    )]
    UnknownCommand {
        /// The word without its slash.
        word: String,
        /// The nearest command, if one is near.
        suggestion: Option<&'static str>,
    },
    /// Other chat programs run `/exec` on the person's own machine.
    #[error(
        "there is no /exec, because nothing runs on your own machine; \
         to run a command on another one: /run TARGET -- COMMAND"
    )]
    ExecIsRun,
    /// A command came without what it needs.
    #[error("/{command} needs {what}; usage: {usage}")]
    Missing {
        /// The command.
        command: &'static str,
        /// What is missing.
        what: &'static str,
        /// How it is written.
        usage: &'static str,
    },
    /// A command came with more than it takes.
    #[error("/{command} takes nothing more, got {rest:?}; usage: {usage}")]
    Surplus {
        /// The command.
        command: &'static str,
        /// What was too much.
        rest: String,
        /// How it is written.
        usage: &'static str,
    },
    /// Something was typed behind a command that asks for its words unseen. It may be one of them, and is not shown.
    #[error(
        "/{command} asks for passwords, which are typed unseen; nothing is typed behind it \
         (a text begins with //)"
    )]
    TypedInSight {
        /// The command.
        command: &'static str,
    },
    /// Where a name is due stands something else.
    #[error("{name:?} is not the name of a user: {source}")]
    BadName {
        /// What stands there.
        name: String,
        /// Why it is no name.
        source: NameError,
    },
    /// Where the name of a room is due stands something else.
    #[error("{name:?} is not the name of a room: {source}")]
    BadRoom {
        /// What stands there.
        name: String,
        /// Why it is no name.
        source: NameError,
    },
    /// Where a conversation is due stands something else.
    #[error("{place:?} is no conversation: {source}; write #ROOM, ALL or the name of a user")]
    BadPlace {
        /// What stands there.
        place: String,
        /// Why it is none.
        source: NameError,
    },
    /// Where the id of a message is due stands something else.
    #[error("{id:?} is not the id of a message; /receipts last names the one of the newest")]
    NotAnId {
        /// What stands there.
        id: String,
    },
    /// Where a number is due stands something else.
    #[error("/{command} needs a number from the list, got {word:?}; usage: {usage}")]
    NotANumber {
        /// The command.
        command: &'static str,
        /// What stands there.
        word: String,
        /// How it is written.
        usage: &'static str,
    },
    /// There is nothing of this name that can be set.
    #[error("there is no setting {word:?}{}; /set lists them", meant(*.nearest))]
    NoSetting {
        /// What stands there.
        word: String,
        /// The nearest one, if one is near.
        nearest: Option<&'static str>,
    },
    /// A setting has no such value.
    #[error("{key}: {reason}")]
    BadSetting {
        /// The setting.
        key: &'static str,
        /// Which values it has.
        reason: String,
    },
    /// `server` runs commands and reads no messages.
    #[error("the server takes no messages; to run a command there: /run server -- COMMAND")]
    MessageToServer,
    /// Before the star stands a name with a character in it that nobody sees.
    #[error(
        "an invisible character stands in the name before the star; nothing was sent. Type {name}*TEXT anew"
    )]
    HiddenInName {
        /// The name without it.
        name: String,
    },
    /// A sign that only looks like the one that does something.
    #[error(
        "{sign} looks like {plain} and is another character; nothing was sent. Type it with {plain}, \
         or begin the line with a space to send it as it stands"
    )]
    LooksLike {
        /// The sign.
        sign: char,
        /// Like which one it looks.
        plain: char,
    },
    /// The words of a command cannot be told apart.
    #[error("{0}; write the command as in a shell, without pipes or variables")]
    Words(#[from] SplitError),
    /// The text is longer than a message may be.
    #[error(
        "the text has {bytes} bytes, a message takes at most {MESSAGE_TEXT_BYTES_MAX}; send it in parts"
    )]
    TextTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not a time that a room can keep messages for.
    #[error("{0}; default means what the server does")]
    BadKeepTime(BadKeepTime),
    /// The topic is longer than a topic may be.
    #[error("the topic has {bytes} bytes, at most {TOPIC_BYTES_MAX} are kept; make it shorter")]
    TopicTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The reason for being away is longer than one may be.
    #[error("the reason has {bytes} bytes, at most {AWAY_BYTES_MAX} are told; make it shorter")]
    AwayTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The command is longer than a command may be.
    #[error(transparent)]
    CommandTooLong(#[from] CommandTooLong),
}

/// A command that is longer than a command may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the command has {words} words and {bytes} bytes, \
     at most {ARGV_WORDS_MAX} words and {ARGV_BYTES_MAX} bytes are sent"
)]
pub struct CommandTooLong {
    words: usize,
    bytes: usize,
}

impl CommandTooLong {
    /// Refuses more words, or longer ones, than the protocol has for a command.
    pub fn check(argv: &[String]) -> Result<(), Self> {
        let (words, bytes) = (argv.len(), argv.iter().map(String::len).sum());
        if words > ARGV_WORDS_MAX || bytes > ARGV_BYTES_MAX {
            return Err(Self { words, bytes });
        }
        Ok(())
    }
}

fn suggested(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(", did you mean /{name}?")).unwrap_or_default()
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}

/// Reads one line; a line end at its end does not count.
///
/// # Errors
/// See [`InputError`]; the message says what to type instead.
pub fn parse(line: &str) -> Result<Input, InputError> {
    let line = seen(line);
    if line.trim().is_empty() {
        return Ok(Input::Nothing);
    }
    if let Some(rest) = line.strip_prefix('/') {
        return match rest.strip_prefix('/') {
            Some(_) => text(rest),
            None => slash::parse(rest),
        };
    }
    if let Some(rest) = short_form(line) {
        return slash::parse(rest);
    }
    if let Some(sign) = looks_like(line) {
        return Err(sign);
    }
    // With a space before it it would be said to a room.
    if let Some(Secret { command, is_followed: true }) = secret(line) {
        return Err(InputError::TypedInSight { command });
    }
    match line.split_once('*') {
        Some((name, message)) if !message.trim().is_empty() => starred(line, name, message.trim()),
        _ => text(line),
    }
}

/// The line from its first character that a person sees, without its line end. What stands before that
/// comes from a file or a page that the line was copied from.
fn seen(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n']).trim_start_matches(is_hidden)
}

/// The same of each line of a text, for a place where what is hidden becomes visible: as letters it would be a part of the
/// name behind it, and what was for one person would be said to a room.
pub fn seen_lines(text: &str) -> String {
    let lines = text.split('\n').map(|line| line.trim_start_matches(|c| c != '\r' && is_hidden(c)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether nobody sees this character, or it acts on the terminal.
fn is_hidden(character: char) -> bool {
    character != '\t' && matches!(sanitise::line(character.encode_utf8(&mut [0; 4])), Cow::Owned(_))
}

/// A sign that would make a message to one person or a command of this line, if it were the one that it
/// looks like.
fn looks_like(line: &str) -> Option<InputError> {
    if let Some(rest) = line.strip_prefix(LIKE_A_SLASH) {
        let word = rest.split(char::is_whitespace).next().unwrap_or_default();
        return slash::find(word).map(|_| InputError::LooksLike { sign: LIKE_A_SLASH, plain: '/' });
    }
    let (at, sign) = line.char_indices().find(|(_, sign)| LIKE_A_STAR.contains(sign))?;
    let (name, rest) = line.split_at(at);
    let is_address = is_address(&visible(name));
    let has_text = !rest.trim_start_matches(sign).trim().is_empty();
    (is_address && has_text).then_some(InputError::LooksLike { sign, plain: '*' })
}

/// A message to the current room.
pub(crate) fn text(text: &str) -> Result<Input, InputError> {
    Ok(Input::Text { text: checked(text)? })
}

/// A message to everybody.
pub(crate) fn broadcast(text: &str) -> Result<Input, InputError> {
    Ok(Input::Broadcast { text: checked(text)? })
}

/// A message to the person of this name, which is checked.
pub(crate) fn direct(name: &str, text: &str) -> Result<Input, InputError> {
    if name.eq_ignore_ascii_case(SERVER) {
        return Err(InputError::MessageToServer);
    }
    Ok(Input::Direct { to: user(name)?, text: checked(text)? })
}

/// The name of a user.
pub(crate) fn user(name: &str) -> Result<UserName, InputError> {
    UserName::new(name).map_err(|source| InputError::BadName { name: name.to_owned(), source })
}

fn starred(line: &str, name: &str, message: &str) -> Result<Input, InputError> {
    if name.eq_ignore_ascii_case(ALL) {
        broadcast(message)
    } else if UserName::new(name).is_ok() {
        direct(name, message)
    } else {
        let visible = visible(name);
        if visible.len() < name.len() && is_address(&visible) {
            return Err(InputError::HiddenInName { name: visible });
        }
        text(line)
    }
}

/// What a person sees of a name: without what nobody sees, and without the escapes that the full screen makes of it before
/// the line is read.
fn visible(name: &str) -> String {
    slip::without_escapes(name).chars().filter(|character| !is_hidden(*character)).collect()
}

/// Whether a star behind it sends what follows to somebody.
fn is_address(name: &str) -> bool {
    UserName::new(name).is_ok() || name.eq_ignore_ascii_case(ALL)
}

fn checked(text: &str) -> Result<String, InputError> {
    match text.len() {
        bytes if bytes > MESSAGE_TEXT_BYTES_MAX => Err(InputError::TextTooLong { bytes }),
        _ => Ok(text.to_owned()),
    }
}

/// `PM text`, `DM name text` and `EX` are slash commands without the slash: the short forms of an
/// older menu. `EX` must stand alone and all are capitals only, so that few sentences are caught.
fn short_form(line: &str) -> Option<&str> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "PM" | "DM" => Some(line),
        "EX" if rest.trim().is_empty() => Some(line),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(line: &str) -> String {
        match parse(line) {
            Ok(Input::Nothing) => "nothing".to_owned(),
            Ok(Input::Text { text }) => format!("text:{text}"),
            Ok(Input::Direct { to, text }) => format!("to {to}:{text}"),
            Ok(Input::Broadcast { text }) => format!("all:{text}"),
            Ok(Input::Slash(command)) => format!("{command:?}"),
            Err(error) => format!("error:{error}"),
        }
    }

    /// Goal: whichever way a line is typed, a character that nobody sees inside a name says nothing to a room. (The full
    /// screen shows it as an escape, and the build before took that for a part of a text.)
    #[test]
    fn what_nobody_sees_in_a_name_is_refused_also_where_it_was_made_visible() {
        for (line, part) in [
            (r"carol\u{200b}*my salary", "Type carol*TEXT anew"),
            (r"car\u{2060}ol\x1b*my salary", "Type carol*TEXT anew"),
            (r"\u{feff}carol*my salary", "Type carol*TEXT anew"),
            (r"A\u{200b}LL*my salary", "Type ALL*TEXT anew"),
            ("carol\u{200b}\u{ff0a}my salary", "looks like *"),
            (r"carol\u{200b}＊my salary", "looks like *"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        for text in [r" carol\u{200b}*x", r"\u{no}carol*x", r"a\b*x", r"it is 2\u{d7}3*4"] {
            assert_eq!(parse(text), Ok(Input::Text { text: text.to_owned() }), "{text}");
        }
    }

    #[test]
    fn each_line_begins_with_what_is_seen() {
        for (text, seen) in [
            ("\u{feff}bob*hi", "bob*hi"),
            ("look:\r\n\u{200b}\u{1b}/msg bob hi", "look:\r\n/msg bob hi"),
            ("\n\n a\u{202e}b", "\n\n a\u{202e}b"),
            ("\tindented\r\n", "\tindented\r\n"),
        ] {
            assert_eq!(seen_lines(text), seen, "{text:?}");
        }
    }

    #[test]
    fn lines_mean_what_a_person_expects() {
        for (line, meaning) in [
            ("", "nothing"),
            ("   \t ", "nothing"),
            ("\r\n", "nothing"),
            ("hello there", "text:hello there"),
            ("hello\r\n", "text:hello"),
            ("bob*hi", "to bob:hi"),
            ("bob* hi there ", "to bob:hi there"),
            ("Web-1.example_x*up?", "to Web-1.example_x:up?"),
            ("bob*2*3", "to bob:2*3"),
            ("ALL*lunch", "all:lunch"),
            ("aLl*lunch", "all:lunch"),
            ("a*b", "to a:b"),
            ("2 * 3", "text:2 * 3"),
            (" 2*3", "text: 2*3"),
            ("bob *hi", "text:bob *hi"),
            ("*bold* move", "text:*bold* move"),
            ("src/*.rs", "text:src/*.rs"),
            ("their*", "text:their*"),
            ("ALL*", "text:ALL*"),
            ("josé*hi", "text:josé*hi"),
            ("a23456789012345678901234567890123*x", "text:a23456789012345678901234567890123*x"),
            ("//etc is full", "text:/etc is full"),
            (" /users", "text: /users"),
            ("PM hello", "text:hello"),
            ("DM bob hello you", "to bob:hello you"),
            ("EX", "Quit"),
            ("EX ", "Quit"),
            ("EX machina", "text:EX machina"),
            ("Pm hello", "text:Pm hello"),
            ("PMs are nice", "text:PMs are nice"),
            ("/users", "Users"),
            ("?", "text:?"),
            ("\u{feff}bob*hi", "to bob:hi"),
            ("\u{200b}\u{2060}bob*hi", "to bob:hi"),
            ("\u{1b}bob*hi", "to bob:hi"),
            ("\u{feff}DM bob hi", "to bob:hi"),
            ("\u{200b}/msg bob hi", "to bob:hi"),
            ("\u{feff}", "nothing"),
            ("\u{feff}hello", "text:hello"),
            ("a\u{feff}b", "text:a\u{feff}b"),
            ("bob ＊hi", "text:bob ＊hi"),
            ("5 ＊ 3", "text:5 ＊ 3"),
            ("／etc", "text:／etc"),
        ] {
            assert_eq!(said(line), meaning, "{line:?}");
        }
    }

    #[test]
    fn errors_say_what_to_type_instead() {
        for (line, part) in [
            ("/usres", "did you mean /users?"),
            ("/xyzzy now", "//xyzzy sends it as text"),
            ("/", "unknown command /;"),
            ("/exec ls", "/run TARGET -- COMMAND"),
            ("server*uptime", "/run server -- COMMAND"),
            ("DM Server hi", "/run server -- COMMAND"),
            ("DM bob", "needs a text; usage: /msg USER TEXT"),
            ("PM", "needs a text"),
            ("/msg b@b hi", "'@' at position 2"),
            ("/msg all hi", "reserved"),
            ("/quit now", "takes nothing more"),
            ("/password hunter2", "nothing is typed behind it"),
            ("bo\u{200b}b*hi", "in the name before the star; nothing was sent. Type bob*TEXT"),
            ("bob\u{2060}*hi", "an invisible character"),
            ("A\u{200b}LL*hi", "an invisible character"),
            ("bob＊my salary", "＊ looks like *"),
            ("／msg bob my salary", "／ looks like /"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line:?}: {error}");
        }
    }

    #[test]
    fn texts_beyond_the_limit_are_refused_before_they_are_sealed() {
        let fits = "x".repeat(MESSAGE_TEXT_BYTES_MAX);
        assert!(parse(&fits).is_ok());
        for line in [format!("{fits}x"), format!("bob*{fits}x"), format!("ALL*{fits}x")] {
            assert!(matches!(parse(&line), Err(InputError::TextTooLong { .. })));
        }
    }
    proptest! {
        /// Goal: a line of a terminal or file never panics, and never becomes an empty message or
        /// one that reaches more people than was typed. Method: lines dense in the syntax.
        #[test]
        fn any_line_has_a_meaning(
            line in prop_oneof![any::<String>(), "[ a*/'\"\\\\-]{0,12}", "(/run|/msg|ALL|DM|a)[ *].{0,20}"],
        ) {
            match parse(&line) {
                Ok(Input::Text { text }) => {
                    prop_assert!(!text.trim().is_empty() && line.contains(&text));
                }
                Ok(Input::Direct { text, .. }) => prop_assert!(!text.trim().is_empty()),
                Ok(Input::Broadcast { text }) => {
                    prop_assert!(!text.trim().is_empty());
                    let typed = line.to_ascii_lowercase();
                    let is_meant = ["all*", "/all ", "/broadcast "].iter();
                    prop_assert!(is_meant.clone().any(|start| typed.starts_with(start)), "{line:?}");
                }
                Ok(Input::Slash(SlashCommand::Run { argv, .. })) => prop_assert!(!argv.is_empty()),
                Ok(Input::Nothing | Input::Slash(_)) => {}
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
