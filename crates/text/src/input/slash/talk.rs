//! How the commands are written that say something, or say where what is typed goes.

use super::{SlashCommand, SlashRow, first_word};
use crate::action;
use crate::input::{self, Input, InputError};

/// Messages that `/reply ^N` looks back at.
const QUOTED_MAX: usize = 100;

/// `/query USER` and `/query USER TEXT`.
pub(super) fn query(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, text) = first_word(rest);
    let name = row.needs("a user", name)?;
    if !text.is_empty() {
        return input::direct(name, text);
    }
    let user = input::user(name)?;
    if user.is_server() {
        return Err(InputError::MessageToServer);
    }
    Ok(Input::Slash(SlashCommand::Query { user }))
}

/// `/reply TEXT`, `/reply ^ TEXT` and `/reply ^3 TEXT`.
pub(super) fn reply(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, after) = first_word(rest);
    let (quoted, text) = match word.strip_prefix('^') {
        Some("") => (Some(1), after),
        Some(number) => match number.parse::<usize>() {
            Ok(number) if (1..=QUOTED_MAX).contains(&number) => (Some(number), after),
            _ => return Err(row.not_a_number(word)),
        },
        None => (None, rest.trim()),
    };
    let Input::Text { text } = input::text(row.needs("a text", text)?)? else {
        return Ok(Input::Nothing);
    };
    Ok(Input::Slash(SlashCommand::Reply { quoted, text }))
}

/// `/me TEXT`.
pub(super) fn me(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    input::text(&format!("{}{}", action::MARK, row.needs("what you do", rest.trim())?))
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::UserName;

    use super::*;

    #[test]
    fn what_stands_behind_the_command_decides_what_it_does() {
        let bob = UserName::new("bob").unwrap();
        let reply = |quoted, text: &str| SlashCommand::Reply { quoted, text: text.to_owned() };
        for (line, expected) in [
            ("/query bob", SlashCommand::Query { user: bob.clone() }),
            ("/reply  on my  way", reply(None, "on my  way")),
            ("/r ^ yes", reply(Some(1), "yes")),
            ("/r ^3 yes", reply(Some(3), "yes")),
        ] {
            assert_eq!(input::parse(line), Ok(Input::Slash(expected)), "{line}");
        }
        let hi = Input::Direct { to: bob, text: "hi there".to_owned() };
        assert_eq!(input::parse("/query bob hi there"), Ok(hi));
        let waves = Input::Text { text: "/me waves".to_owned() };
        assert_eq!(input::parse("/me  waves "), Ok(waves));
        for (line, part) in [
            ("/query", "needs a user"),
            ("/query server", "takes no messages"),
            ("/query b*b", "not allowed"),
            ("/reply", "needs a text"),
            ("/reply ^2", "needs a text"),
            ("/reply ^x yes", "needs a number"),
            ("/reply ^0 yes", "needs a number"),
            ("/me", "needs what you do"),
        ] {
            let error = input::parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
