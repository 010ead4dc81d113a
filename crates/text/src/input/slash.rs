//! The table of slash commands. Parsing, `/help`, completion and suggestions all come from it:
//! a new command is one row here, one variant of [`SlashCommand`], and one arm where it is done.

use std::fmt::Write as _;

use chat_protocol::id::MessageId;
use chat_protocol::name::{SERVER, UserName};
use strsim::osa_distance;

use crate::input::{self, CommandTooLong, Input, InputError};
use crate::settings::Key;
use crate::words;
use chat_device::identity::IdentityCommand;
use chat_device::recipient::Recipient;

mod feeds;
mod files;
mod history;
mod identity;
mod noise;
mod rooms;
mod session;
mod table;
mod talk;

pub use feeds::FeedCommand;
pub use files::FileCommand;
pub use noise::{AWAY_BYTES_MAX, NoiseCommand};
pub use rooms::RoomCommand;
pub use session::LinkCommand;
pub use table::{GROUPS, Group, rows};

/// What a slash command asks for, where it is not a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlashCommand {
    /// Show the list, or one row in full.
    Help {
        /// Canonical name of the row.
        about: Option<&'static str>,
    },
    /// Run a program elsewhere.
    Run {
        /// The agent: `server` or a user.
        target: UserName,
        /// The program and its arguments; never empty.
        argv: Vec<String>,
        /// Also while the same words could still start there, after a refusal by the server or without an
        /// answer.
        again: bool,
    },
    /// Show who is there.
    Users,
    /// Something about rooms.
    Room(RoomCommand),
    /// Something about who follows whom.
    Feed(FeedCommand),
    /// Something about files.
    File(FileCommand),
    /// Something about keys and devices.
    Identity(IdentityCommand),
    /// Show who I am.
    WhoAmI,
    /// Change the password.
    Password,
    /// Put a veil over what is typed, or take it away; `None` shows whether there is one.
    Veil {
        /// Whether there is one from now on.
        on: Option<bool>,
    },
    /// Show a key's fingerprint.
    Fingerprint {
        /// Whose; mine when absent.
        user: Option<UserName>,
    },
    /// Show the connection.
    Status,
    /// Show what has no answer yet.
    Pending,
    /// Show what was said.
    History {
        /// Where; in the current room when absent.
        place: Option<Recipient>,
        /// How many messages.
        count: usize,
    },
    /// Show what was said before that.
    HistoryMore,
    /// Show what was said before a message, in its conversation.
    HistoryBefore {
        /// The message.
        id: MessageId,
        /// How many messages.
        count: usize,
    },
    /// Find messages by their words.
    Search {
        /// The words; never empty.
        words: Vec<String>,
    },
    /// Show who has confirmed a message.
    Receipts {
        /// Which; my newest one when absent.
        id: Option<MessageId>,
    },
    /// Show what is set.
    Settings,
    /// Set something, or show it.
    Set {
        /// What.
        key: &'static Key,
        /// The value, which is one of this key.
        value: Option<String>,
    },
    /// Keep what is set for the next start.
    Save,
    /// Open the conversation with somebody.
    Query {
        /// With whom.
        user: UserName,
    },
    /// Answer somebody.
    Reply {
        /// Here, with a quote of so many messages ago; without it to whoever wrote to me alone last.
        quoted: Option<usize>,
        /// The text.
        text: String,
    },
    /// Show what is known of somebody.
    Whois {
        /// Of whom.
        user: UserName,
    },
    /// Show where something is new.
    Unread,
    /// Ask the server for an answer.
    Ping,
    /// Show how long the last answer took.
    Lag,
    /// Show what the operator announced last.
    Motd,
    /// Something about what one wants to hear.
    Noise(NoiseCommand),
    /// Something about the connection.
    Link(LinkCommand),
    /// Show my commands under way, or take one back.
    Jobs {
        /// Its number.
        cancel: Option<u32>,
    },
    /// Empty the screen.
    Clear,
    /// Show the versions.
    Version,
    /// Hand what was said in the current room on to a member who came later.
    Grant {
        /// To whom.
        to: UserName,
        /// So many of the newest messages; all of them when absent.
        last: Option<usize>,
    },
    /// End the chat.
    Quit,
}

impl SlashCommand {
    /// Whether it says, changes or gives something where its writer is. One that only shows what was said there does
    /// no harm elsewhere.
    pub fn is_about_place(&self) -> bool {
        match self {
            Self::Reply { quoted, .. } => quoted.is_some(),
            Self::Room(command) => command.is_about_current(),
            Self::Grant { .. } => true,
            _ => false,
        }
    }

    /// Whether it says something with words of its writer, which the veil covers.
    pub(super) fn has_text(&self) -> bool {
        matches!(self, Self::Reply { .. })
    }

    /// Whether it says something of which another message would be a part if it was said again.
    pub(super) fn has_quote(&self) -> bool {
        matches!(self, Self::Reply { quoted: Some(_), .. })
    }
}

/// What can be completed after the command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// There is nothing to complete.
    Nothing,
    /// Names of slash commands.
    SlashCommands,
    /// Names of users.
    Users,
    /// Names of users, and `server`.
    Targets,
    /// Names of rooms.
    Rooms,
}

/// One row of the table.
#[derive(Debug)]
pub struct SlashRow {
    /// Canonical name, without the slash.
    pub name: &'static str,
    /// Other names, without the slash; none differs in case only.
    pub aliases: &'static [&'static str],
    /// How it is written.
    pub usage: &'static str,
    /// What it does, in one line.
    pub description: &'static str,
    /// A line that works.
    pub example: &'static str,
    /// What can be completed after the name.
    pub completion: Completion,
    /// Reads what follows the name.
    parse: fn(&'static SlashRow, &str) -> Result<Input, InputError>,
}

/// Letters of an unknown word that are compared and shown: a longer one is no slip of the fingers.
const WORD_SHOWN_MAX: usize = 40;

impl SlashRow {
    /// The argument, or an error that says which one is missing.
    fn needs<'a>(&self, what: &'static str, argument: &'a str) -> Result<&'a str, InputError> {
        if argument.is_empty() {
            return Err(InputError::Missing { command: self.name, what, usage: self.usage });
        }
        Ok(argument)
    }

    /// Where a number is due stands something else.
    fn not_a_number(&self, word: &str) -> InputError {
        InputError::NotANumber { command: self.name, word: word.to_owned(), usage: self.usage }
    }

    /// The command, when nothing is left over.
    fn alone(&self, rest: &str, command: SlashCommand) -> Result<Input, InputError> {
        if rest.is_empty() {
            return Ok(Input::Slash(command));
        }
        // What stands behind a command that asks for a password may be one.
        let is_secret = matches!(command, SlashCommand::Password);
        let rest = if is_secret { "…" } else { rest }.to_owned();
        Err(InputError::Surplus { command: self.name, rest, usage: self.usage })
    }
}

/// The command of this line, without its slash, that asks for a password, or that is slips away from one that does; with
/// what stands behind it, where somebody may have typed the password. Another command may be as near: whoever meant that
/// one loses a line, and whoever meant this one a password.
pub(super) fn secret(line: &str) -> Option<(&'static str, &str)> {
    let (word, rest) = first_word(line);
    let known = find(word).map(|row| row.name);
    let is_meant = |name| known.map_or_else(|| is_near(word, name), |known| known == name);
    if is_meant(PASSWORD) {
        return Some((PASSWORD, rest));
    }
    if is_meant(identity::DEVICES) {
        return identity::revokes(rest);
    }
    if known.is_some() {
        return None;
    }
    // Without a space between, or in other words for the same.
    let begins = word.get(..PASS.len()).is_some_and(|begun| begun.eq_ignore_ascii_case(PASS));
    if begins || is_run_into(word, PASSWORD) {
        return Some((PASSWORD, word));
    }
    if is_run_into(word, identity::DEVICES) {
        return Some((identity::REVOKES, word));
    }
    identity::revokes_alone(word, rest)
}

/// The command that changes the password.
const PASSWORD: &str = "password";

/// What begins so is taken for it.
const PASS: &str = "pass";

/// Whether a word that is no command may be slips away from this one.
fn is_near(word: &str, name: &'static str) -> bool {
    let word = compared(word);
    find(name).is_some_and(|row| names(row).any(|name| slips(&word, name).is_some()))
}

/// Slips of the fingers in a command into which something else is run: more of them, and any word might begin so.
const RUN_IN_SLIPS_MAX: usize = 1;

/// Whether a word that is no command begins with this one.
fn is_run_into(word: &str, name: &'static str) -> bool {
    find(name).is_some_and(|row| names(row).any(|name| begins_near(word, name)))
}

/// Whether a word begins with this one, or with something that may be a slip away from it.
fn begins_near(word: &str, name: &str) -> bool {
    let word = compared(word);
    let lengths = name.len().saturating_sub(RUN_IN_SLIPS_MAX)..=name.len() + RUN_IN_SLIPS_MAX;
    let mut begun = lengths.filter_map(|length| word.get(..length));
    begun.any(|begun| osa_distance(begun, name) <= RUN_IN_SLIPS_MAX)
}

/// Reads a slash command, `line` without its slash.
pub(crate) fn parse(line: &str) -> Result<Input, InputError> {
    let (word, rest) = first_word(line);
    if let Some(row) = find(word) {
        return (row.parse)(row, rest);
    }
    // What somebody may have typed of a password would be repeated with the word.
    Err(match secret(line) {
        Some((command, behind)) if !behind.is_empty() => InputError::TypedInSight { command },
        _ => unknown(word),
    })
}

fn parse_help(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, surplus) = first_word(rest);
    let word = word.trim_start_matches('/');
    let about = match find(word) {
        Some(row) => Some(row.name),
        None if word.is_empty() => None,
        None => return Err(unknown(word)),
    };
    row.alone(surplus, SlashCommand::Help { about })
}

fn parse_run(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (first, others) = first_word(rest);
    let again = first == "--again";
    let (target, command) = if again { first_word(others) } else { (first, others) };
    let target = match row.needs("a target (server or a user) and a command", target)? {
        name if name.eq_ignore_ascii_case(SERVER) => UserName::server(),
        name => input::user(name)?,
    };
    let mut argv = words::split(command)?;
    // `--` parts the target from the command; a second one belongs to the command.
    if argv.first().is_some_and(|word| word == "--") {
        argv.remove(0);
    }
    if argv.is_empty() {
        return row.needs("a command", "").map(|_| Input::Nothing);
    }
    CommandTooLong::check(&argv)?;
    Ok(Input::Slash(SlashCommand::Run { target, argv, again }))
}

fn parse_veil(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, surplus) = first_word(rest);
    let on = match word {
        "" => None,
        word if word.eq_ignore_ascii_case("on") => Some(true),
        word if word.eq_ignore_ascii_case("off") => Some(false),
        _ => return row.alone(rest, SlashCommand::Veil { on: None }),
    };
    row.alone(surplus, SlashCommand::Veil { on })
}

/// The row of a name or an alias, in any case.
pub fn find(word: &str) -> Option<&'static SlashRow> {
    rows().find(|row| names(row).any(|name| name.eq_ignore_ascii_case(word)))
}

/// The commands that begin as `prefix` does (without its slash): canonical names, and aliases
/// where no canonical name fits.
pub fn complete(prefix: &str) -> Vec<&'static str> {
    let prefix = prefix.to_ascii_lowercase();
    let canonical: Vec<_> =
        rows().map(|row| row.name).filter(|name| name.starts_with(&prefix)).collect();
    if !canonical.is_empty() {
        return canonical;
    }
    rows().flat_map(names).filter(|name| name.starts_with(&prefix)).collect()
}

/// What is typed without a command.
const FORMS: [(&str, &str); 4] = [
    ("TEXT", "send to everybody in the current room"),
    ("USER*TEXT", "send to one person"),
    ("ALL*TEXT", "send to everybody on the server"),
    ("//TEXT", "send a text that begins with a slash"),
];

/// The forms without a command, then every row: how it is written, and what it does.
fn listed() -> impl Iterator<Item = (&'static str, &'static str)> {
    FORMS.into_iter().chain(rows().map(|row| (row.usage, row.description)))
}

/// What the manual page says of the lines of a chat.
pub fn manual() -> Vec<(String, String)> {
    listed().map(|(usage, description)| (usage.to_owned(), description.to_owned())).collect()
}

/// What `/help` shows: one page, by groups.
pub fn help() -> String {
    let width = rows().map(|row| row.usage.len()).max().unwrap_or_default();
    let mut help = String::new();
    let mut list = |heading: &str, listed: &mut dyn Iterator<Item = (&str, &str)>| {
        writeln!(help, "{heading}").expect("writing to a String cannot fail");
        for (usage, description) in listed {
            writeln!(help, "  {usage:width$}  {description}")
                .expect("writing to a String cannot fail");
        }
    };
    list("without a command", &mut FORMS.into_iter());
    for Group { heading, rows } in &GROUPS {
        list(heading, &mut rows.iter().map(|row| (row.usage, row.description)));
    }
    help.push_str("/help COMMAND shows an example and the other names of a command\n");
    help
}

/// What `/help COMMAND` shows.
pub fn help_about(row: &SlashRow) -> String {
    let mut help = format!("{}\n  {}\n  example: {}\n", row.usage, row.description, row.example);
    if !row.aliases.is_empty() {
        let aliases: Vec<_> = row.aliases.iter().map(|alias| format!("/{alias}")).collect();
        writeln!(help, "  also: {}", aliases.join(", ")).expect("writing to a String cannot fail");
    }
    help
}

fn names(row: &'static SlashRow) -> impl Iterator<Item = &'static str> {
    std::iter::once(row.name).chain(row.aliases.iter().copied())
}

fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn unknown(word: &str) -> InputError {
    if word.eq_ignore_ascii_case("exec") {
        return InputError::ExecIsRun;
    }
    let suggestion = suggestion(word);
    let word = word.chars().take(WORD_SHOWN_MAX).collect();
    InputError::UnknownCommand { word, suggestion }
}

/// The command that was meant by a word that is none, where one is near.
fn suggestion(word: &str) -> Option<&'static str> {
    nearest(&compared(word))
}

/// A word as it is compared with names.
fn compared(word: &str) -> String {
    word.chars().take(WORD_SHOWN_MAX).collect::<String>().to_ascii_lowercase()
}

/// The canonical name whose name or alias is fewest slips away, when that is near enough.
fn nearest(word: &str) -> Option<&'static str> {
    rows()
        .flat_map(|row| names(row).filter_map(move |name| Some((slips(word, name)?, row.name))))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, canonical)| canonical)
}

/// How many slips part a word from a name, when these are few. A slip is a letter too much, too few or wrong, or two
/// swapped.
fn slips(word: &str, name: &str) -> Option<usize> {
    /// Two letters of a short command already make another one.
    fn slips_max(length: usize) -> usize {
        if length <= 3 { 1 } else { 2 }
    }
    let slips = osa_distance(word, name);
    (slips < name.len() && slips <= slips_max(word.len().min(name.len()))).then_some(slips)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chat_protocol::limits::ARGV_WORDS_MAX;

    use super::*;

    #[test]
    fn every_row_parses_its_own_example_under_each_of_its_names() {
        for row in rows() {
            let (command, rest) = first_word(row.example);
            assert_eq!(command, format!("/{}", row.name), "the example uses the canonical name");
            let expected = input::parse(row.example).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(expected, Input::Nothing, "{}", row.name);
            for name in names(row) {
                for name in [name.to_owned(), name.to_uppercase()] {
                    let line = format!("/{name} {rest}");
                    assert_eq!(input::parse(&line).as_ref(), Ok(&expected), "{line}");
                }
            }
        }
    }

    /// Goal: what is typed for one place is known as such, so that it is not done in another one.
    #[test]
    fn a_line_that_depends_on_the_place_is_known_as_such() {
        for (line, is_about) in [
            ("hello", true),
            ("/reply ^1 yes", true),
            ("/reply yes", false),
            ("bob*yes", false),
            ("ALL*yes", false),
            ("/kick bob", true),
            ("/topic", true),
            ("/topic on call", true),
            ("/leave", true),
            ("/leave ops", false),
            ("/grant bob all", true),
            ("/retention 1d", true),
            ("/join ops", false),
            ("/history", false),
            ("/run server -- who", false),
        ] {
            let input = input::parse(line).unwrap();
            assert_eq!(input.is_about_place(), is_about, "{line}");
        }
    }

    #[test]
    fn help_lists_every_row_and_explains_each() {
        let help = help();
        for row in rows() {
            assert!(help.contains(row.usage), "{}", row.name);
            assert!(help.contains(row.description), "{}", row.name);
            assert!(row.usage.starts_with(&format!("/{}", row.name)), "{}", row.name);
            let about = help_about(row);
            assert!(row.aliases.iter().all(|alias| about.contains(&format!("/{alias}"))));
            assert!(about.contains(row.example));
            let line = format!("/help /{}", row.name);
            let expected = Input::Slash(SlashCommand::Help { about: Some(row.name) });
            assert_eq!(input::parse(&line), Ok(expected));
        }
        assert!(help.lines().all(|line| line.len() <= 110), "{help}");
    }

    #[test]
    fn names_and_aliases_are_unique_and_lower_case() {
        let mut seen = HashSet::new();
        for name in rows().flat_map(names) {
            assert_eq!(name, name.to_ascii_lowercase());
            assert!(seen.insert(name), "{name} stands twice");
        }
    }

    #[test]
    fn run_splits_the_command_as_a_shell_does() {
        let run = |target: &str, argv: &[&str]| {
            let argv = argv.iter().map(|word| (*word).to_owned()).collect();
            let (target, again) = (UserName::new(target).unwrap(), false);
            Ok(Input::Slash(SlashCommand::Run { target, argv, again }))
        };
        for (line, expected) in [
            ("/run server -- uname -a", run("server", &["uname", "-a"])),
            ("/run SERVER uname", run("server", &["uname"])),
            ("/cmd web-1  --  ls -- -x", run("web-1", &["ls", "--", "-x"])),
            ("/RUN bob -- echo 'a  b' \"c\"", run("bob", &["echo", "a  b", "c"])),
            ("/run bob -- echo $HOME *", run("bob", &["echo", "$HOME", "*"])),
        ] {
            assert_eq!(input::parse(line), expected, "{line}");
        }
        for (line, part) in [
            ("/run", "a target (server or a user) and a command"),
            ("/run server", "needs a command"),
            ("/run server --", "needs a command"),
            ("/run -- ls", "is not the name of a user"),
            ("/run bob -- echo 'x", "is not closed"),
            (&format!("/run bob -- {}", "x ".repeat(ARGV_WORDS_MAX + 1)), "at most 256 words"),
        ] {
            let error = input::parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn slips_of_the_fingers_find_the_command() {
        for (word, suggestion) in [
            ("hlep", Some("help")),
            ("usr", None),
            ("user", Some("users")),
            ("whomai", Some("whoami")),
            ("fingerprnt", Some("fingerprint")),
            ("quti", Some("quit")),
            ("pn", Some("pm")),
            ("rnu", Some("run")),
            ("teleport", None),
            ("", None),
        ] {
            assert_eq!(nearest(word), suggestion, "{word}");
        }
    }

    #[test]
    fn completion_knows_names_and_then_aliases() {
        assert_eq!(complete("").len(), rows().count());
        assert_eq!(complete("Vers"), ["version"]);
        assert_eq!(complete("broad"), ["broadcast"]);
        assert!(complete("zz").is_empty());
    }
}
