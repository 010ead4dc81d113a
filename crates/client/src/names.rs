//! Names of people and rooms as they are typed and seen: their true spelling, and which of them are
//! easily taken for each other.
//!
//! A name is unique whatever the case of its letters, so `Bob` is `bob` where only `bob` exists. It is
//! ASCII, so one fold finds what looks alike: `I`, `l` and `1`, `O` and `0`, `rn` and `m`, `vv` and `w`,
//! and names that differ in dots, dashes and underscores only.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::name::UserName;

/// Names that were seen.
#[derive(Debug, Default)]
pub struct Names {
    all: BTreeSet<String>,
    /// The name of each one in lower case.
    folded: BTreeMap<String, String>,
    /// Names that look alike.
    alike: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    /// Notes a name.
    pub fn learn(&mut self, name: &str) {
        if self.all.insert(name.to_owned()) {
            self.folded.entry(name.to_ascii_lowercase()).or_insert_with(|| name.to_owned());
            self.alike.entry(look(name)).or_default().insert(name.to_owned());
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &String> {
        self.all.iter()
    }

    /// How somebody who was typed in any case is spelled, if they were seen.
    pub fn spelled(&self, name: &str) -> Option<&str> {
        if let Some(exact) = self.all.get(name) {
            return Some(exact);
        }
        self.folded.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// The names that this one is easily taken for.
    pub fn like(&self, name: &str) -> Vec<&str> {
        let alike = self.alike.get(&look(name)).into_iter().flatten();
        alike.map(String::as_str).filter(|other| !other.eq_ignore_ascii_case(name)).collect()
    }

    /// The true name for one that was typed; as it was typed where nobody fits.
    pub fn true_name(&self, typed: &UserName) -> UserName {
        let spelled = self.spelled(typed.as_str());
        spelled.and_then(|name| UserName::new(name).ok()).unwrap_or_else(|| typed.clone())
    }
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

    #[test]
    fn a_name_is_found_in_any_case_and_the_exact_one_first() {
        let seen = names(&["bob", "Alice", "alice"]);
        for (typed, name) in
            [("Bob", "bob"), ("bob", "bob"), ("Alice", "Alice"), ("carol", "carol")]
        {
            let typed = UserName::new(typed).unwrap();
            assert_eq!(seen.true_name(&typed).as_str(), name);
        }
        assert_eq!(seen.spelled("alice"), Some("alice"));
        assert_eq!(seen.spelled("carol"), None);
    }

    #[test]
    fn names_that_look_alike_are_told_from_others() {
        let seen = names(&["laura", "bob", "Iaura", "mia"]);
        for (name, like) in [
            ("Iaura", &["laura"][..]),
            ("1aura", &["Iaura", "laura"]),
            ("laura.", &["Iaura", "laura"]),
            ("la-ura", &["Iaura", "laura"]),
            ("iaura", &[]),
            ("LAURA", &["Iaura"]),
            ("b0b", &["bob"]),
            ("rnia", &["mia"]),
            ("bob", &[]),
            ("bobby", &[]),
        ] {
            assert_eq!(seen.like(name), like, "{name}");
        }
    }
}
