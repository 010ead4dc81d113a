//! Names as they stand in a command line.

use chat_device::recipient::Recipient;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ALL, NameError, RoomName, SERVER, UserName};

/// The name of somebody.
pub fn user(name: &str) -> Result<UserName, String> {
    UserName::new(name).map_err(|error| no_user(&error))
}

/// The name of my own account: `server` is reserved too.
pub fn account(name: &str) -> Result<UserName, String> {
    UserName::for_account(name).map_err(|error| no_user(&error))
}

/// `server`, in any case, or the name of somebody.
pub fn target(name: &str) -> Result<UserName, String> {
    if name.eq_ignore_ascii_case(SERVER) { Ok(UserName::server()) } else { user(name) }
}

/// `#ROOM`, `ALL` in any case, or the name of somebody.
pub fn recipient(to: &str) -> Result<Recipient, String> {
    if let Some(name) = to.strip_prefix('#') {
        let room = RoomName::new(name);
        let room = room.map_err(|error| format!("it is not the name of a room: {error}"))?;
        return Ok(Recipient::Room(room));
    }
    if to.eq_ignore_ascii_case(ALL) {
        return Ok(Recipient::All);
    }
    user(to).map(Recipient::User)
}

/// The name of a room, with or without its `#`.
pub fn room(name: &str) -> Result<RoomName, String> {
    let room = RoomName::new(name.strip_prefix('#').unwrap_or(name));
    room.map_err(|error| format!("it is not the name of a room: {error}"))
}

/// The id of a message.
pub fn message(id: &str) -> Result<MessageId, String> {
    let wrong = |_| "it is not the id of a message; `history --json` shows ids".to_owned();
    MessageId::parse(id).map_err(wrong)
}

fn no_user(error: &NameError) -> String {
    format!("it is not the name of a user: {error}")
}
