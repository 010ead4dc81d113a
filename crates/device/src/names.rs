//! Names of people and rooms as they are typed and seen: their true spelling, and which of them are
//! easily taken for each other.
//!
//! A name is unique whatever the case of its letters, so `Bob` is `bob` where only `bob` exists. It is
//! ASCII, so one fold finds what looks alike: `I`, `l` and `1`, `O` and `0`, `rn` and `m`, `vv` and `w`,
//! and names that differ in dots, dashes and underscores only.

use std::collections::{BTreeMap, BTreeSet};

use chat_endpoint::Event;
use chat_protocol::name::UserName;

pub mod alike;

/// Whom a typed name means. Everything that takes somebody's name asks this, so that the hub's lists, which
/// are its word only, never lead away from somebody whose key this device knows:
///
/// 1. the name as it was typed, where its key is known;
/// 2. else the one name with a known key that differs in the case of letters only;
/// 3. else the name as it was typed, where it is listed;
/// 4. else the one listed name that differs in the case of letters only.
///
/// Where nobody fits, or several do, it stays as it was typed: the hub then says that there is nobody.
/// `known` are the names with a known key that are this one but for the case of letters.
pub fn meant(typed: &UserName, known: &[UserName], listed: &Names) -> UserName {
    let fits = match known {
        [] => listed.spelled(typed.as_str()).and_then(|name| UserName::new(name).ok()),
        [one] => Some(one.clone()),
        // One of them may be the very name; none of the others is meant by it.
        _ => None,
    };
    fits.unwrap_or_else(|| typed.clone())
}

/// Names that are remembered, the first ones: some megabytes. More than a server of this size has accounts; one
/// that invents names fills nobody's memory with them, and those whose keys are known come first.
const NAMES_MAX: usize = 65_536;

/// Names that another one is said to be easily taken for: so many that look alike, and as many in other cases of
/// their letters. A server can invent thousands.
const LIKE_MAX: usize = 8;

/// Names that were seen.
#[derive(Debug, Default)]
pub struct Names {
    all: BTreeSet<String>,
    /// The names that are one when all letters are lower case. An honest hub has one of each.
    folded: BTreeMap<String, BTreeSet<String>>,
    /// Names that look alike.
    alike: BTreeMap<String, BTreeSet<String>>,
    /// Those that looked like one before them when they came, in their order.
    look_alikes: Vec<String>,
}

impl Names {
    /// Notes a name.
    pub fn learn(&mut self, name: &str) {
        if self.all.len() >= NAMES_MAX || !self.all.insert(name.to_owned()) {
            return;
        }
        let folded = self.folded.entry(fold(name)).or_default();
        let alike = self.alike.entry(look(name)).or_default();
        if !(folded.is_empty() && alike.is_empty()) {
            self.look_alikes.push(name.to_owned());
        }
        folded.insert(name.to_owned());
        alike.insert(name.to_owned());
    }

    /// The names that looked like one before them when they came, from this place in their order on.
    fn look_alikes_from(&self, place: usize) -> &[String] {
        self.look_alikes.get(place..).unwrap_or_default()
    }

    /// Notes the names of the people whom an event shows.
    pub fn learn_from(&mut self, event: &Event) {
        match event {
            Event::Message { from: name, .. } | Event::MemberChanged { who: name, .. } => {
                self.learn(name.as_str());
            }
            Event::Presence { joined, .. } => {
                for name in joined {
                    self.learn(name.as_str());
                }
            }
            Event::People { people, .. } => {
                for person in people {
                    self.learn(person.name.as_str());
                }
            }
            _ => {}
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.all.iter()
    }

    /// Whether this name was seen in any case of its letters.
    pub fn has(&self, name: &str) -> bool {
        self.folded.contains_key(&fold(name))
    }

    /// Whether this name was seen in several spellings that differ in the case of letters only.
    fn has_doubled(&self, name: &str) -> bool {
        self.folded.get(&fold(name)).is_some_and(|spellings| spellings.len() > 1)
    }

    /// How somebody who was typed in any case is spelled, if they were seen and nobody else can be meant.
    fn spelled(&self, name: &str) -> Option<&str> {
        if let Some(exact) = self.all.get(name) {
            return Some(exact);
        }
        let mut spellings = self.folded.get(&fold(name))?.iter();
        spellings.next().filter(|_| spellings.next().is_none()).map(String::as_str)
    }

    /// The names that this one is easily taken for, also those that differ in the case of letters only; the
    /// first of many.
    pub fn like(&self, name: &str) -> Vec<&str> {
        // One of them may be the name itself.
        let first = LIKE_MAX + 1;
        let alike = self.alike.get(&look(name)).into_iter().flatten().take(first);
        let folded = self.folded.get(&fold(name)).into_iter().flatten().take(first);
        let all: BTreeSet<&str> = alike.chain(folded).map(String::as_str).collect();
        all.into_iter().filter(|other| *other != name).collect()
    }
}

/// A name in letters of one case: equal for those that are one name.
fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// What a name looks like at a glance: equal for names that are easily taken for each other.
pub fn look(name: &str) -> String {
    // Before the letters lose their case: a capital I looks like an l, a small i does not.
    let letters = name.chars().filter(|letter| !matches!(letter, '.' | '-' | '_'));
    let letters = letters.map(|letter| match letter {
        'I' | 'l' | 'L' | '1' => 'l',
        'O' | 'o' | '0' => 'o',
        other => other.to_ascii_lowercase(),
    });
    letters.collect::<String>().replace("rn", "m").replace("vv", "w")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        let mut all = Names::default();
        for name in names {
            all.learn(name);
        }
        all
    }

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    #[test]
    fn a_typed_name_means_whoever_is_known_by_key_before_whoever_is_listed() {
        for (typed, known, listed, name) in [
            // Nobody is known by key: the list decides, the exact name first.
            ("Bob", &[][..], &["bob"][..], "bob"),
            ("Alice", &[], &["Alice", "alice"], "Alice"),
            ("ALICE", &[], &["Alice", "alice"], "ALICE"),
            ("carol", &[], &["bob"], "carol"),
            // Somebody is: a list never leads away from them.
            ("bob", &["bob"], &["Bob"], "bob"),
            ("Bob", &["bob"], &["Bob"], "bob"),
            ("Bob", &["bob"], &["Bob", "bob"], "bob"),
            ("BOB", &["bob"], &["Bob"], "bob"),
            ("bob", &["bob"], &[], "bob"),
            ("Bob", &["Bob", "bob"], &["bob"], "Bob"),
            ("BOB", &["Bob", "bob"], &["bob"], "BOB"),
        ] {
            let known: Vec<UserName> = known.iter().map(|name| user(name)).collect();
            let meant = meant(&user(typed), &known, &names(listed));
            assert_eq!(meant.as_str(), name, "{typed}, known {known:?}, listed {listed:?}");
        }
    }

    #[test]
    fn a_name_was_seen_in_any_case() {
        let seen = names(&["bob"]);
        assert!(seen.has("bob") && seen.has("BOB") && !seen.has("bo"));
    }

    #[test]
    fn names_that_look_alike_are_told_from_others() {
        let seen = names(&["laura", "bob", "Iaura", "mia"]);
        for (name, like) in [
            ("Iaura", &["laura"][..]),
            ("1aura", &["Iaura", "laura"]),
            ("laura.", &["Iaura", "laura"]),
            ("la-ura", &["Iaura", "laura"]),
            ("iaura", &["Iaura"]),
            ("LAURA", &["Iaura", "laura"]),
            ("Laura", &["Iaura", "laura"]),
            ("Bob", &["bob"]),
            ("b0b", &["bob"]),
            ("rnia", &["mia"]),
            ("bob", &[]),
            ("bobby", &[]),
        ] {
            assert_eq!(seen.like(name), like, "{name}");
        }
    }
}
