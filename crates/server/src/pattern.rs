//! A name, or a pattern of names: `emu-*` means all that begin so.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The longest name has 32 characters; a pattern needs no more.
const PATTERN_BYTES_MAX: usize = 64;

/// Neither a name nor a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is neither a name nor a pattern: letters, digits, '_', '-', '.', and '*' for anything"
)]
pub struct PatternError(pub String);

/// Names in any case of their letters; `*` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern for one name only.
    pub fn exactly(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Whether it may mean several names.
    pub fn is_open(&self) -> bool {
        self.0.contains('*')
    }

    /// Whether every name is meant.
    pub fn is_everybody(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether it says the same as another one: the case of letters does not count.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name is meant. Each `*` takes as little as it can: enough for a match if there is one.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.to_ascii_lowercase(), name.to_ascii_lowercase());
        let mut parts = pattern.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut middle: Vec<&str> = parts.collect();
        let Some(last) = middle.pop() else { return rest.is_empty() };
        for part in middle {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX || !text.bytes().all(is_letter) {
            return Err(PatternError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let cases = [
            ("alice", "alice", true),
            ("alice", "ALICE", true),
            ("alice", "alice2", false),
            ("emu-*", "emu-001", true),
            ("emu-*", "emu-", true),
            ("emu-*", "xemu-1", false),
            ("*-bot", "a-bot-bot", true),
            ("*-bot", "a-bots", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*", "anybody", true),
        ];
        for (pattern, name, is_meant) in cases {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(name), is_meant, "{pattern} {name}");
        }
    }
}
