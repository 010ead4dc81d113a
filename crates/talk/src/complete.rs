//! What a word that is typed can become: commands, people, rooms.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use chat_device::names::Names;
use chat_protocol::name::SERVER;
use chat_text::settings::{self, KEYS};
use chat_text::slash::{self, Completion, SlashRow};

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
        let (before, begun) = rest.rsplit_once(' ').unwrap_or(("", rest));
        let before: Vec<&str> = before.split_whitespace().collect();
        let mut found = Vec::new();
        for offer in slash::find(word).map(|row| offers(row, &before)).unwrap_or_default() {
            match offer {
                Offer::Of(Completion::Nothing) => {}
                Offer::Of(Completion::SlashCommands) => {
                    found.extend(slash::complete(begun).into_iter().map(str::to_owned));
                }
                Offer::Of(Completion::Users) => found.extend(matching(begun, " ")),
                Offer::Of(Completion::Rooms) => found.extend(self.rooms_like(begun)),
                Offer::Of(Completion::Targets) => {
                    found.extend(matching(begun, " "));
                    found.extend(SERVER.starts_with(begun).then(|| format!("{SERVER} ")));
                }
                Offer::Word(word) => {
                    found.extend(word.starts_with(begun).then(|| format!("{word} ")));
                }
            }
        }
        (line.len() - begun.len(), found)
    }
}

/// Something that a word can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// One of these.
    Of(Completion),
    /// This word.
    Word(&'static str),
}

/// What the word behind these words of a command can become. Of the first the table says it; of the others its usage does,
/// as do the words in small letters there.
fn offers(row: &'static SlashRow, before: &[&str]) -> Vec<Offer> {
    let parts = row.usage.split_whitespace().skip(1).map(|part| part.trim_matches(['[', ']']));
    // What begins with two dashes may be left out.
    let mut parts = parts.filter(|part| !part.starts_with("--"));
    let first = before.is_empty().then_some(Offer::Of(row.completion));
    let part = parts.nth(before.len()).unwrap_or_default();
    let others = part.split('|').flat_map(|one| match one {
        "USER" if !before.is_empty() => vec![Offer::Of(Completion::Users)],
        "ROOM" if !before.is_empty() => vec![Offer::Of(Completion::Rooms)],
        "WHERE" => vec![Offer::Of(Completion::Rooms)],
        "KEY" => KEYS.iter().map(|key| Offer::Word(key.name)).collect(),
        "VALUE" => before.first().map(|key| values(key)).unwrap_or_default(),
        "NAME" => values(row.name),
        word if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            vec![Offer::Word(word)]
        }
        _ => Vec::new(),
    });
    first.into_iter().chain(others).collect()
}

/// The values of a setting, as far as each is one word.
fn values(key: &str) -> Vec<Offer> {
    let values = settings::find(key).map_or("", |key| key.values);
    let values = values.split(", ").flat_map(|some| some.split(" or "));
    values.filter(|value| !value.contains(' ')).map(Offer::Word).collect()
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
            ("/msg alice al", 11, &[]),
            ("/run ser", 5, &["server "]),
            ("/help vers", 6, &["version"]),
            ("/join o", 6, &["ops "]),
            ("/join #L", 6, &["#lobby "]),
            ("/send plan.pdf bo", 15, &["Bob ", "bobby "]),
            ("/subscribers r", 13, &["remove "]),
            ("/subscribers remove al", 20, &["alice "]),
            ("/devices re", 9, &["revoke "]),
            ("/veil o", 6, &["on ", "off "]),
            ("/theme c", 7, &["contrast "]),
            ("/set them", 5, &["theme "]),
            ("/set theme p", 11, &["plain "]),
            ("/history #l", 9, &["#lobby "]),
            ("", 0, &[]),
        ] {
            let (at, found) = words.candidates(line);
            assert_eq!(at, start, "{line}");
            assert_eq!(found, expected, "{line}");
        }
    }
}
