//! How the commands about following people are written.

use chat_protocol::name::UserName;

use super::{SlashCommand, SlashRow, first_word};
use crate::input::{self, Input, InputError};

/// What a slash command asks for about who follows whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedCommand {
    /// Follow somebody.
    Subscribe(UserName),
    /// Follow somebody no more.
    Unsubscribe(UserName),
    /// Put somebody out who follows me.
    Remove(UserName),
    /// Show whom I follow.
    Follows,
    /// Show who follows me.
    Subscribers,
}

/// A user, who must be named.
pub(super) fn user(
    row: &'static SlashRow,
    rest: &str,
    command: fn(UserName) -> FeedCommand,
) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let user = input::user(row.needs("a user", name)?)?;
    row.alone(surplus, SlashCommand::Feed(command(user)))
}

/// `/subscribers` and `/subscribers remove USER`.
pub(super) fn subscribers(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, after) = first_word(rest);
    if word.eq_ignore_ascii_case("remove") {
        return user(row, after, FeedCommand::Remove);
    }
    row.alone(rest, SlashCommand::Feed(FeedCommand::Subscribers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_user_and_anything_else_an_error() {
        let bob = UserName::new("bob").unwrap();
        for (line, expected) in [
            ("/sub bob", FeedCommand::Subscribe(bob.clone())),
            ("/unsub bob", FeedCommand::Unsubscribe(bob.clone())),
            ("/subs", FeedCommand::Follows),
            ("/subscribers", FeedCommand::Subscribers),
            ("/subscribers REMOVE bob", FeedCommand::Remove(bob)),
        ] {
            assert_eq!(
                input::parse(line),
                Ok(Input::Slash(SlashCommand::Feed(expected))),
                "{line}"
            );
        }
        for (line, part) in [
            ("/subscribe", "needs a user"),
            ("/subscribe bob carol", "takes nothing more"),
            ("/subscribe b*b", "not allowed"),
            ("/subscribers bob", "takes nothing more"),
            ("/subscribers remove", "needs a user"),
            ("/subs bob", "takes nothing more"),
        ] {
            let error = input::parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
