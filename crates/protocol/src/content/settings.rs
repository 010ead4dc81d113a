//! What a person's devices tell each other is set: key `set` of DM, in the conversation of a person with themselves.
//!
//! ```text
//! DM    {"set":[{"k":"ignore:mallory","v":"on","at":1700000000000},{"k":"read:room:ops","v":"AZ8R…","at":…}]}
//! ```
//!
//! Each key has one value. Of two the one with the greater `at` holds, and of two with the same `at` the greater `v`: so
//! the order in which they come, and whether one comes again, changes nothing. Whoever sets a key takes as `at` its
//! own time, or one more than that of the value it knows, whichever is greater.

use serde::{Deserialize, Serialize};

use crate::limits::INTEGER_MAX;

/// Longest key and longest value in bytes: a kind and the name of a conversation; some words.
pub const KEY_BYTES_MAX: usize = 128;
/// See [`KEY_BYTES_MAX`].
pub const VALUE_BYTES_MAX: usize = 256;
/// Settings in one message: some 20 KiB.
pub const SETTINGS_PER_MESSAGE_MAX: usize = 48;

/// One thing that is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What: printable ASCII without spaces.
    pub k: String,
    /// The value.
    pub v: String,
    /// When it was set, Unix time in milliseconds, by the rule above.
    pub at: u64,
}

impl Setting {
    /// One that others take; nothing where it is too long or has other characters.
    pub fn new(k: &str, v: &str, at: u64) -> Option<Self> {
        let setting = Self { k: k.to_owned(), v: v.to_owned(), at };
        setting.is_valid().then_some(setting)
    }

    fn is_valid(&self) -> bool {
        let is_key = !self.k.is_empty() && self.k.bytes().all(|byte| byte.is_ascii_graphic());
        let is_short = self.k.len() <= KEY_BYTES_MAX && self.v.len() <= VALUE_BYTES_MAX;
        is_key && is_short && self.at <= INTEGER_MAX
    }

    /// Whether this holds rather than another value of the same key.
    pub fn beats(&self, other_v: &str, other_at: u64) -> bool {
        (self.at, self.v.as_str()) > (other_at, other_v)
    }
}

/// Whether a message may say this: something, not too much, and nothing twice.
pub(crate) fn are_valid(settings: &[Setting]) -> bool {
    let fits = (1..=SETTINGS_PER_MESSAGE_MAX).contains(&settings.len());
    let mut keys: Vec<&str> = settings.iter().map(|setting| setting.k.as_str()).collect();
    keys.sort_unstable();
    let is_once = keys.windows(2).all(|pair| pair.first() != pair.last());
    fits && is_once && settings.iter().all(Setting::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_one_holds_and_of_two_at_once_the_greater_in_any_order() {
        let at = |v: &str, at| Setting::new("k", v, at).unwrap();
        assert!(at("off", 8).beats("on", 7));
        assert!(!at("on", 7).beats("off", 8));
        assert!(at("on", 7).beats("off", 7) && !at("off", 7).beats("on", 7));
        assert!(!at("on", 7).beats("on", 7), "what comes again changes nothing");
    }

    #[test]
    fn nothing_that_is_too_long_or_stands_twice_is_said() {
        let one = |k: &str| Setting::new(k, "on", 1);
        assert!(one("").is_none() && one("a b").is_none() && one("ä").is_none());
        assert!(one(&"k".repeat(KEY_BYTES_MAX)).is_some());
        assert!(one(&"k".repeat(KEY_BYTES_MAX + 1)).is_none());
        assert!(Setting::new("k", &"v".repeat(VALUE_BYTES_MAX + 1), 1).is_none());
        assert!(Setting::new("k", "v", INTEGER_MAX + 1).is_none());
        let (a, b) = (one("a").unwrap(), one("b").unwrap());
        assert!(are_valid(&[a.clone(), b]) && !are_valid(&[]));
        assert!(!are_valid(&[a.clone(), a]));
    }
}
