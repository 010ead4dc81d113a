//! To whom something is said.

use chat_protocol::name::{ConversationId, RoomName, UserName};

/// One person, a room, or everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// One person.
    User(UserName),
    /// A room, typed as `#room`.
    Room(RoomName),
    /// Everybody on the server.
    All,
}

impl Recipient {
    /// The conversation of this user with it; none with oneself.
    pub fn conversation(&self, me: &UserName) -> Option<ConversationId> {
        match self {
            Self::User(user) => ConversationId::direct(me, user).ok(),
            Self::Room(room) => Some(ConversationId::room(room)),
            Self::All => Some(ConversationId::all()),
        }
    }
}
