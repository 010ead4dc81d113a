//! What all programs say in the same words.

use std::fmt::Display;

/// The one sentence for a name that no account has, as far as whoever says it knows.
pub fn nobody(name: impl Display) -> String {
    format!("nobody is called {name}; see the list of users")
}

/// The one sentence for a name whose account is gone for good.
pub fn deleted(name: impl Display) -> String {
    format!("the account of {name} was deleted")
}

/// A count and what is counted, which takes an `s` where it is not one: `1 message`, `2 messages`.
pub fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let said = [0_usize, 1, 2].map(|count| counted(count, "message"));
        assert_eq!(said, ["0 messages", "1 message", "2 messages"]);
        assert_eq!(counted(-1_i64, "file"), format!("{} files", u64::MAX), "no count at all");
    }
}
