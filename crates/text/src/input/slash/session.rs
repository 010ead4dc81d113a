//! How the commands about the connection and the program itself are written.

use super::{SlashCommand, SlashRow, first_word};
use crate::input::{Input, InputError};
use crate::settings;

/// What a slash command asks for about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkCommand {
    /// Be there again.
    Connect,
    /// Be away until told otherwise.
    Disconnect,
    /// Make a new connection.
    Reconnect,
}

/// `/jobs` and `/jobs cancel N`.
pub(super) fn jobs(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, after) = first_word(rest);
    if !word.eq_ignore_ascii_case("cancel") {
        return row.alone(rest, SlashCommand::Jobs { cancel: None });
    }
    let (number, surplus) = first_word(after);
    let number = row.needs("the number of a command", number)?;
    let Ok(n) = number.parse() else { return Err(row.not_a_number(number)) };
    row.alone(surplus, SlashCommand::Jobs { cancel: Some(n) })
}

/// `/timestamp`, `/timestamp on` and `/timestamp off`: a short form of `/set timestamps`.
pub(super) fn timestamp(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    short_form(row, "timestamps", rest)
}

/// `/theme` and `/theme NAME`: a short form of `/set theme`.
pub(super) fn theme(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    short_form(row, "theme", rest)
}

fn short_form(row: &'static SlashRow, key: &str, rest: &str) -> Result<Input, InputError> {
    let (value, surplus) = first_word(rest);
    let Some(key) = settings::find(key) else { return row.alone(rest, SlashCommand::Settings) };
    row.alone(surplus, setting(key, value)?)
}

/// `/set`, `/set KEY` and `/set KEY VALUE`.
pub(super) fn set(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, value) = first_word(rest);
    if word.is_empty() {
        return row.alone(rest, SlashCommand::Settings);
    }
    let key = settings::find(word).ok_or_else(|| InputError::NoSetting {
        word: word.to_owned(),
        nearest: settings::nearest(word),
    })?;
    Ok(Input::Slash(setting(key, value)?))
}

/// A key that is shown, or a value for it that is one.
fn setting(key: &'static settings::Key, value: &str) -> Result<SlashCommand, InputError> {
    if value.is_empty() {
        return Ok(SlashCommand::Set { key, value: None });
    }
    let mut tried = settings::Settings::default();
    let wrong = |reason| InputError::BadSetting { key: key.name, reason };
    key.set(&mut tried, value).map_err(wrong)?;
    Ok(SlashCommand::Set { key, value: Some(value.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input;

    #[test]
    fn settings_are_shown_one_by_one_or_changed_and_a_slip_names_the_nearest() {
        let said = |line: &str| match input::parse(line) {
            Ok(Input::Slash(SlashCommand::Set { key, value })) => {
                format!("{} {}", key.name, value.unwrap_or_default())
            }
            other => format!("{other:?}"),
        };
        for (line, meaning) in [
            ("/set presence", "presence "),
            ("/set PRESENCE followed", "presence followed"),
            ("/timestamp", "timestamps "),
            ("/timestamps off", "timestamps off"),
            ("/theme contrast", "theme contrast"),
        ] {
            assert_eq!(said(line), meaning, "{line}");
        }
        for (line, part) in [
            ("/set presense all", "did you mean presence?"),
            ("/set presence none", "all, followed or off"),
            ("/timestamp maybe", "on or off"),
            ("/theme pink", "default, contrast, plain or ascii"),
            ("/theme plain now", "takes nothing more"),
            ("/jobs cancel", "needs the number of a command"),
            ("/jobs cancel all", "needs a number"),
            ("/jobs 1", "takes nothing more"),
            ("/ping bob", "takes nothing more"),
        ] {
            let error = input::parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
        let jobs = |cancel| Ok(Input::Slash(SlashCommand::Jobs { cancel }));
        assert_eq!(input::parse("/jobs"), jobs(None));
        assert_eq!(input::parse("/jobs cancel 3"), jobs(Some(3)));
    }
}
