//! Names of people and rooms for the completion of a shell, from the home of this machine. It connects to nobody, asks
//! nobody, and is silent about everything that fails: whoever presses Tab wants a name or nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chat_device::history::History;
use chat_protocol::name::{ALL, ConversationKind, SERVER};
use clap::{Args, ValueEnum};

use super::{history, print_line};
use crate::config::Config;
use crate::exit::ExitStatus;
use crate::start::Failure;

/// A shell waits no longer for names.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Names that are offered. Nobody reads more.
const NAMES_MAX: usize = 1_000;

/// Where the line stands in which a word is completed.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct CompleteOf {
    /// The shell
    #[arg(long, value_enum)]
    shell: Form,
    /// The words behind the name of the program; the last is completed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// How a shell wants to have a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As it is typed there, where `#` begins a comment
    Bash,
    /// As it is: the shell writes it as it has to be typed
    Zsh,
    /// Likewise
    Fish,
}

/// What stands behind a subcommand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somebody.
    User,
    /// Somebody, or the server.
    Target,
    /// A room, with or without its `#`.
    Room,
    /// Somebody, a room with its `#`, or everybody.
    Place,
}

/// The subcommands whose first word is a name.
const NAMED: [(&str, Kind); 10] = [
    ("send", Kind::Place),
    ("history", Kind::Place),
    ("run", Kind::Target),
    ("join", Kind::Room),
    ("leave", Kind::Room),
    ("get", Kind::User),
    ("verify", Kind::User),
    ("trust", Kind::User),
    ("distrust", Kind::User),
    ("devices", Kind::User),
];

/// Options before a subcommand that say which home it is, and their short forms.
const OPTIONS: [&str; 7] =
    ["--user", "--server", "--home", "--config", "--profile", "-P", "--password-file"];

impl CompleteOf {
    /// Prints what the last word can become, one in a line.
    pub fn run(&self) -> Result<ExitStatus, Failure> {
        let (sender, found) = mpsc::channel();
        let (words, shell) = (self.words.clone(), self.shell);
        // A disk that does not answer keeps this thread and nobody else.
        thread::spawn(move || sender.send(candidates(&words, shell).unwrap_or_default()));
        for word in found.recv_timeout(TIMEOUT).unwrap_or_default() {
            print_line(&word)?;
        }
        Ok(ExitStatus::Ok)
    }
}

fn candidates(words: &[OsString], shell: Form) -> Option<Vec<String>> {
    let (last, before) = words.split_last()?;
    let (options, kind) = meant(before)?;
    let config = Config::read([vec!["chat-client".into()], options].concat()).ok()?;
    config.common.user.as_ref()?;
    let (history, _) = history::open(&config.common, false).ok()?;
    let typed = last.to_str()?.trim_start_matches('\\');
    let names = names(&history, kind, typed.starts_with('#'))?.into_iter();
    let folded = typed.to_lowercase();
    let fits = names.filter(|name| name.to_lowercase().starts_with(&folded));
    let written = |name: String| match (shell, name.strip_prefix('#')) {
        (Form::Bash, Some(room)) => format!("\\#{room}"),
        _ => name,
    };
    Some(fits.take(NAMES_MAX).map(written).collect())
}

/// The options that say which home it is, and what is completed; nothing where that is no name.
fn meant(before: &[OsString]) -> Option<(Vec<OsString>, Kind)> {
    let mut options = Vec::new();
    let mut plain: Vec<&str> = Vec::new();
    let mut words = before.iter();
    while let Some(word) = words.next() {
        let text = word.to_str()?;
        let name = text.split('=').next().unwrap_or_default();
        if !text.starts_with('-') {
            plain.push(text);
        } else if OPTIONS.contains(&name) {
            options.push(word.clone());
            if !text.contains('=') {
                options.push(words.next()?.clone());
            }
        }
    }
    let [verb] = plain[..] else { return None };
    let (_, kind) = NAMED.iter().find(|(name, _)| *name == verb)?;
    Some((options, *kind))
}

/// All names that this home knows of a kind.
fn names(history: &History, kind: Kind, is_room: bool) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    if kind != Kind::Room {
        let users = history.known_users().ok()?.into_iter();
        let others = users.filter(|user| user != history.me());
        names.extend(others.map(|user| user.to_string()).filter(|name| name != SERVER));
    }
    match kind {
        Kind::Target => drop(names.insert(SERVER.to_owned())),
        Kind::Place => drop(names.insert(ALL.to_owned())),
        Kind::User | Kind::Room => {}
    }
    if matches!(kind, Kind::Room | Kind::Place) {
        let sign = if kind == Kind::Place || is_room { "#" } else { "" };
        for (cid, _) in history.conversations().ok()? {
            if let ConversationKind::Room(room) = cid.kind()
                && !room.is_all()
            {
                names.insert(format!("{sign}{room}"));
            }
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn only_the_first_word_behind_a_subcommand_is_a_name() {
        for (before, kind) in [
            ("send", Some(Kind::Place)),
            ("--user alice run", Some(Kind::Target)),
            ("--user=alice join", Some(Kind::Room)),
            ("send -v", Some(Kind::Place)),
            ("send bob", None),
            ("users", None),
            ("--user", None),
        ] {
            assert_eq!(meant(&words(before)).map(|(_, kind)| kind), kind, "{before}");
        }
        let (options, _) = meant(&words("-P work -v send --home=x")).unwrap();
        assert_eq!(options, words("-P work --home=x"));
    }
}
