//! How the commands are written that hide people, silence rooms and say that one is away.

use chat_protocol::content::settings::VALUE_BYTES_MAX;
use chat_protocol::name::{RoomName, UserName};

use super::{SlashCommand, SlashRow, first_word, rooms};
use crate::input::{self, Input, InputError};

/// Longest reason for being away in bytes: beside it the value has the device and the time.
pub const AWAY_BYTES_MAX: usize = VALUE_BYTES_MAX - 64;

/// What a slash command asks for about what one wants to hear, and to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoiseCommand {
    /// Hide what somebody says, or not any more; without a name show who is hidden.
    Ignore(Option<UserName>, bool),
    /// Silence a room, or not any more; without one show which are.
    Mute(Option<RoomName>, bool),
    /// Be away, for this reason.
    Away(String),
    /// Be back.
    Back,
}

/// `/ignore`, `/ignore USER`.
pub(super) fn ignore(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let user = if name.is_empty() { None } else { Some(input::user(name)?) };
    row.alone(surplus, SlashCommand::Noise(NoiseCommand::Ignore(user, true)))
}

/// `/unignore USER`.
pub(super) fn unignore(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let user = input::user(row.needs("a user", name)?)?;
    row.alone(surplus, SlashCommand::Noise(NoiseCommand::Ignore(Some(user), false)))
}

/// `/mute`, `/mute ROOM`.
pub(super) fn mute(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let room = if name.is_empty() { None } else { Some(rooms::room(name)?) };
    row.alone(surplus, SlashCommand::Noise(NoiseCommand::Mute(room, true)))
}

/// `/unmute ROOM`.
pub(super) fn unmute(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let room = rooms::room(row.needs("a room", name)?)?;
    row.alone(surplus, SlashCommand::Noise(NoiseCommand::Mute(Some(room), false)))
}

/// `/away`, `/away WHY`.
pub(super) fn away(_row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let why = rest.trim();
    if why.len() > AWAY_BYTES_MAX {
        return Err(InputError::AwayTooLong { bytes: why.len() });
    }
    let why = if why.is_empty() { "away" } else { why };
    Ok(Input::Slash(SlashCommand::Noise(NoiseCommand::Away(why.to_owned()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rooms_may_be_left_out_where_a_list_is_meant() {
        let said = |line: &str| match input::parse(line) {
            Ok(Input::Slash(SlashCommand::Noise(command))) => format!("{command:?}"),
            other => format!("{other:?}"),
        };
        for (line, meaning) in [
            ("/ignore", "Ignore(None, true)"),
            ("/ignore bob", "Ignore(Some(\"bob\"), true)"),
            ("/unignore bob", "Ignore(Some(\"bob\"), false)"),
            ("/mute #ops", "Mute(Some(\"ops\"), true)"),
            ("/unmute ops", "Mute(Some(\"ops\"), false)"),
            ("/away", "Away(\"away\")"),
            ("/away  at  lunch ", "Away(\"at  lunch\")"),
            ("/back", "Back"),
        ] {
            assert_eq!(said(line), meaning, "{line}");
        }
        let long = format!("/away {}", "x".repeat(AWAY_BYTES_MAX + 1));
        for (line, part) in [
            ("/unignore", "needs a user"),
            ("/unmute", "needs a room"),
            ("/ignore bob carol", "takes nothing more"),
            ("/back now", "takes nothing more"),
            (&long, "at most 192"),
        ] {
            let error = input::parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
