//! What a word that is typed can become: commands, people, rooms.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use chat_device::names::Names;
use chat_protocol::name::SERVER;
use chat_text::slash::{self, Completion};

/// Names to complete. They grow while the talk goes on.
#[derive(Debug, Clone)]
pub struct Words {
    /// Of people.
    pub(crate) names: Arc<Mutex<Names>>,
    /// Of rooms.
    pub(crate) rooms: Arc<Mutex<BTreeSet<String>>>,
}

impl Words {
    /// Rooms that begin so, with or without their `#`.
    fn rooms_like(&self, prefix: &str) -> Vec<String> {
        let (hash, folded) = match prefix.strip_prefix('#') {
            Some(rest) => ("#", rest.to_ascii_lowercase()),
            None => ("", prefix.to_ascii_lowercase()),
        };
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |name: &&String| name.to_ascii_lowercase().starts_with(&folded);
        rooms.iter().filter(fits).map(|name| format!("{hash}{name} ")).collect()
    }

    /// Where the word at the end of this line begins, and what it can become.
    pub fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = |prefix: &str, end: &str| -> Vec<String> {
            let folded = prefix.to_ascii_lowercase();
            let fits = |name: &&String| name.to_ascii_lowercase().starts_with(&folded);
            names.iter().filter(fits).map(|name| format!("{name}{end}")).collect()
        };
        let Some(command) = line.strip_prefix('/') else {
            // A name at the start of a line begins a direct message.
            let is_name = !line.is_empty() && !line.contains(char::is_whitespace);
            return (0, if is_name { matching(line, "*") } else { Vec::new() });
        };
        let Some((word, rest)) = command.split_once(' ') else {
            let names = slash::complete(command).into_iter();
            return (1, names.map(|name| format!("{name} ")).collect());
        };
        if rest.contains(' ') {
            return (line.len(), Vec::new());
        }
        let start = line.len() - rest.len();
        let completion = slash::find(word).map_or(Completion::Nothing, |row| row.completion);
        let found = match completion {
            Completion::Nothing => Vec::new(),
            Completion::SlashCommands => {
                slash::complete(rest).into_iter().map(str::to_owned).collect()
            }
            Completion::Users => matching(rest, " "),
            Completion::Rooms => self.rooms_like(rest),
            Completion::Targets => {
                let mut found = matching(rest, " ");
                if SERVER.starts_with(rest) {
                    found.push(format!("{SERVER} "));
                }
                found
            }
        };
        (start, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_names_are_completed_where_they_are_due() {
        let mut names = Names::default();
        for name in ["alice", "Bob", "bobby"] {
            names.learn(name);
        }
        let rooms = ["lobby", "ops"].map(str::to_owned);
        let words =
            Words { names: Arc::new(Mutex::new(names)), rooms: Arc::new(Mutex::new(rooms.into())) };
        for (line, start, expected) in [
            ("bo", 0, &["Bob*", "bobby*"][..]),
            ("hello bo", 0, &[]),
            ("/he", 1, &["help "]),
            ("/msg al", 5, &["alice "]),
            ("/msg alice al", 13, &[]),
            ("/run ser", 5, &["server "]),
            ("/help vers", 6, &["version"]),
            ("/join o", 6, &["ops "]),
            ("/join #L", 6, &["#lobby "]),
            ("", 0, &[]),
        ] {
            let (at, found) = words.candidates(line);
            assert_eq!(at, start, "{line}");
            assert_eq!(found, expected, "{line}");
        }
    }
}
