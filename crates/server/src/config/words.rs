//! The words of a command line before they are read: which subcommand they belong to, and which
//! variables of the environment count.

use std::ffi::OsString;

use clap::{ArgMatches, Command, error::ErrorKind};

use super::arguments::definition;

/// The command line. A variable of the environment that is empty counts as not set: that is how files
/// of variables and containers switch one off.
pub fn command() -> Command {
    chat_manual::with_usage(chat_manual::without_empty(definition()))
}

/// Reads the words of a command line, the program's name first. Options before a subcommand are the
/// subcommand's.
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    match command().try_get_matches_from(&words) {
        Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
            let moved = subcommand_first(&command(), words);
            moved.map_or(Err(error), |words| command().try_get_matches_from(words))
        }
        read => read,
    }
}

/// The words with the subcommand in the first place; nothing where it is there already, or missing.
fn subcommand_first(command: &Command, mut words: Vec<OsString>) -> Option<Vec<OsString>> {
    let takes_next = |word: &str| {
        let long = word.strip_prefix("--")?;
        let named = |argument: &&clap::Arg| argument.get_long() == Some(long);
        let argument = command.get_arguments().find(named)?;
        Some(argument.get_action().takes_values() && !argument.is_require_equals_set())
    };
    let mut at = 1;
    loop {
        let word = words.get(at)?.to_str()?;
        if command.find_subcommand(word).is_some() {
            break;
        }
        at += if takes_next(word) == Some(true) { 2 } else { 1 };
    }
    words.get_mut(1..=at)?.rotate_right(1);
    (at > 1).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(words: &str) -> Option<String> {
        let words = words.split(' ').map(OsString::from).collect();
        let moved = subcommand_first(&command(), words)?;
        Some(moved.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn options_before_a_subcommand_come_after_it() {
        for (words, expected) in [
            ("s --config F config", Some("s config --config F")),
            ("s --config=F config show", Some("s config --config=F show")),
            ("s --data doctor --port 1 config", Some("s config --data doctor --port 1")),
            ("s --insecure-plaintext doctor", Some("s doctor --insecure-plaintext")),
            ("s --data D user list", Some("s user --data D list")),
            ("s config --config F", None),
            ("s --config F", None),
            ("s --config F nonsense", None),
        ] {
            assert_eq!(moved(words).as_deref(), expected, "{words}");
        }
    }
}
