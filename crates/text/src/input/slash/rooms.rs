//! The slash commands about rooms.

use chat_protocol::limits::TOPIC_BYTES_MAX;
use chat_protocol::name::{RoomName, UserName};
use chat_protocol::retention;

use super::{SlashCommand, SlashRow, first_word};
use crate::input::{self, Input, InputError};

/// What a slash command asks for in rooms. Where none is named it is the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomCommand {
    /// Join a room, make an open one where there is none, and go there; without one say where I am.
    Join(Option<RoomName>),
    /// Make a room and go there.
    Create {
        /// Its name.
        room: RoomName,
        /// Admins let people in.
        private: bool,
    },
    /// Be in a room no more.
    Leave(Option<RoomName>),
    /// Show which rooms there are.
    List,
    /// Go to a room that I am in; without one say where I am.
    Go(Option<RoomName>),
    /// Take the membership of a room that the server shows, whatever was seen before.
    Accept(RoomName),
    /// Set the topic, or show it.
    Topic(Option<String>),
    /// Say how long the server keeps messages: milliseconds, 0 for ever, nothing for its default; or
    /// show it.
    Retention(Option<Option<u64>>),
    /// Let somebody in.
    Invite(UserName),
    /// Put somebody out.
    Kick(UserName),
    /// Put somebody out for good.
    Ban(UserName),
    /// Let somebody who was put out of the lobby in again.
    Unban(UserName),
    /// Make somebody an admin.
    Op(UserName),
    /// Make an admin an ordinary member.
    Deop(UserName),
    /// Show who is in the room.
    Members,
}

impl RoomCommand {
    /// Whether it is about the room in which its writer is: none is named, and somebody or something in it is meant.
    pub fn is_about_current(&self) -> bool {
        match self {
            Self::Leave(None)
            | Self::Topic(_)
            | Self::Retention(_)
            | Self::Invite(_)
            | Self::Kick(_)
            | Self::Ban(_)
            | Self::Unban(_)
            | Self::Op(_)
            | Self::Deop(_)
            | Self::Members => true,
            Self::Join(_)
            | Self::Create { .. }
            | Self::Leave(Some(_))
            | Self::List
            | Self::Go(_)
            | Self::Accept(_) => false,
        }
    }
}

/// The name of a room, with or without its `#`.
pub(super) fn room(text: &str) -> Result<RoomName, InputError> {
    let name = text.strip_prefix('#').unwrap_or(text);
    RoomName::new(name).map_err(|source| InputError::BadRoom { name: name.to_owned(), source })
}

fn asks(command: RoomCommand) -> SlashCommand {
    SlashCommand::Room(command)
}

/// A room, or nothing.
pub(super) fn perhaps_room(
    row: &'static SlashRow,
    rest: &str,
    command: fn(Option<RoomName>) -> RoomCommand,
) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let room = if name.is_empty() { None } else { Some(room(name)?) };
    row.alone(surplus, asks(command(room)))
}

/// A room to go to, nothing, or `accept` and a room.
pub(super) fn go(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, name) = first_word(rest);
    if word != "accept" || name.is_empty() {
        return perhaps_room(row, rest, RoomCommand::Go);
    }
    let (name, surplus) = first_word(name);
    row.alone(surplus, asks(RoomCommand::Accept(room(name)?)))
}

/// A user, who must be named.
pub(super) fn user(
    row: &'static SlashRow,
    rest: &str,
    command: fn(UserName) -> RoomCommand,
) -> Result<Input, InputError> {
    let (name, surplus) = first_word(rest);
    let user = input::user(row.needs("a user", name)?)?;
    row.alone(surplus, asks(command(user)))
}

/// For a command that takes no words.
pub(super) fn alone(
    row: &'static SlashRow,
    rest: &str,
    command: RoomCommand,
) -> Result<Input, InputError> {
    row.alone(rest, asks(command))
}

/// A room and its kind.
pub(super) fn create(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, rest) = first_word(rest);
    let room = room(row.needs("the name of a room", name)?)?;
    let (kind, surplus) = first_word(rest);
    let private = match kind.to_ascii_lowercase().as_str() {
        "" | "open" => false,
        "private" => true,
        _ => return row.alone(rest, asks(RoomCommand::List)),
    };
    row.alone(surplus, asks(RoomCommand::Create { room, private }))
}

/// A text, or nothing.
pub(super) fn topic(_row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let text = rest.trim();
    if text.len() > TOPIC_BYTES_MAX {
        return Err(InputError::TopicTooLong { bytes: text.len() });
    }
    let text = (!text.is_empty()).then(|| text.to_owned());
    Ok(Input::Slash(asks(RoomCommand::Topic(text))))
}

/// A time, `off`, `default`, or nothing.
pub(super) fn retention(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (time, surplus) = first_word(rest);
    let keep = match time.to_ascii_lowercase().as_str() {
        "" => None,
        "default" => Some(None),
        time => Some(Some(retention::parse(time).map_err(InputError::BadKeepTime)?)),
    };
    row.alone(surplus, asks(RoomCommand::Retention(keep)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        match input::parse(line) {
            Ok(Input::Slash(SlashCommand::Room(command))) => format!("{command:?}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn rooms_have_a_hash_or_none() {
        for (line, meaning) in [
            ("/join ops", "Join(Some(\"ops\"))"),
            ("/join #ops", "Join(Some(\"ops\"))"),
            ("/join", "Join(None)"),
            ("/room", "Go(None)"),
            ("/part #ops", "Leave(Some(\"ops\"))"),
            ("/create ops", "Create { room: \"ops\", private: false }"),
            ("/create #ops open", "Create { room: \"ops\", private: false }"),
            ("/create ops PRIVATE", "Create { room: \"ops\", private: true }"),
            ("/topic", "Topic(None)"),
            ("/topic  on call:  bob ", "Topic(Some(\"on call:  bob\"))"),
            ("/retention", "Retention(None)"),
            ("/retention 2m", "Retention(Some(Some(120000)))"),
            ("/retention OFF", "Retention(Some(Some(0)))"),
            ("/retention default", "Retention(Some(None))"),
            ("/kick bob", "Kick(\"bob\")"),
        ] {
            assert_eq!(said(line), meaning, "{line}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (line, part) in [
            ("/join ##ops", "'#' at position 1"),
            ("/join a b", "takes nothing more"),
            ("/create", "needs the name of a room"),
            ("/create ops secret", "takes nothing more, got \"secret\""),
            ("/kick", "needs a user"),
            ("/kick bob now", "takes nothing more"),
            ("/members ops", "takes nothing more"),
            ("/retention 30", "expected a time from 1s to 36500d as 90d"),
            ("/retention 1d 2h", "takes nothing more"),
        ] {
            let error = input::parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
