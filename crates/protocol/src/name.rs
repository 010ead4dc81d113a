//! Names of people, rooms and conversations, checked once at the edge.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::id::from_text;
use crate::limits::NAME_BYTES_MAX;

/// Why a name was refused. The message is meant for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing was given.
    #[error("a name may not be empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {length}")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// A character outside of letters, digits, `_`, `.` and `-`.
    #[error(
        "a name holds letters, digits, '_', '.' and '-' and begins with a letter or digit; \
         {character:?} at position {position} is not allowed"
    )]
    Character {
        /// The first offending character.
        character: char,
        /// Its position, counted in characters from 1.
        position: usize,
    },
    /// `ALL` or `server`, in any case.
    #[error("the name {name:?} is reserved")]
    Reserved {
        /// The name as given.
        name: String,
    },
}

/// The room that holds every account; `ALL*text` goes there.
pub const ALL: &str = "ALL";

/// The name of the hub's built-in agent.
pub const SERVER: &str = "server";

fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    for (index, character) in name.chars().enumerate() {
        let inner = matches!(character, '_' | '.' | '-') && index > 0;
        if !character.is_ascii_alphanumeric() && !inner {
            return Err(NameError::Character { character, position: index + 1 });
        }
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { length: name.len() });
    }
    Ok(())
}

/// The name of a user: `[A-Za-z0-9][A-Za-z0-9_.-]{0,31}`, never `ALL` in any case.
///
/// Compared bytewise: the claimed spelling is the only one valid in headers. Uniqueness is decided
/// on [`UserName::folded`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Checks `name`. `server` is accepted, because people send commands to it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check(name)?;
        if name.eq_ignore_ascii_case(ALL) {
            return Err(NameError::Reserved { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }

    /// Checks a name that somebody wants as an account: `server` is refused too, in any case.
    pub fn for_account(name: &str) -> Result<Self, NameError> {
        if name.eq_ignore_ascii_case(SERVER) {
            return Err(NameError::Reserved { name: name.to_owned() });
        }
        Self::new(name)
    }

    /// The hub's built-in agent.
    pub fn server() -> Self {
        Self(SERVER.into())
    }

    /// Whether this is the hub's built-in agent.
    pub fn is_server(&self) -> bool {
        &*self.0 == SERVER
    }

    /// The name as claimed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which names are unique: ASCII lower case.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// The name of a room, by the same grammar. `ALL` is the room of everybody and is spelled so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Checks `name`; any spelling of `ALL` other than `ALL` itself is refused.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check(name)?;
        if name.eq_ignore_ascii_case(ALL) && name != ALL {
            return Err(NameError::Reserved { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }

    /// The room of all accounts, which nobody can leave.
    pub fn all() -> Self {
        Self(ALL.into())
    }

    /// The default room.
    pub fn lobby() -> Self {
        Self("lobby".into())
    }

    /// Whether this is the room of all accounts.
    pub fn is_all(&self) -> bool {
        &*self.0 == ALL
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A conversation: `dm:<a>:<b>` with the names sorted bytewise, `room:<name>` or `feed:<name>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(Arc<str>);

/// How the id of a feed begins.
const FEED: &str = "feed:";

/// What a [`ConversationId`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationKind {
    /// Two people, or a person and an agent; or, with one name twice, a person's devices among themselves.
    Direct(UserName, UserName),
    /// A room; [`RoomName::is_all`] tells the room of everybody.
    Room(RoomName),
    /// What one person says in public, for subscribers.
    Feed(UserName),
}

/// Why a conversation id was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConversationError {
    /// Not one of the three forms.
    #[error("a conversation is dm:<a>:<b>, room:<name> or feed:<name>")]
    Form,
    /// A part is not a valid name.
    #[error("conversation: {0}")]
    Name(#[from] NameError),
    /// The two names of a direct conversation are not in order, or equal where two people are meant.
    #[error(
        "the two names of a direct conversation are sorted, and differ but for one's own devices"
    )]
    Order,
}

impl ConversationId {
    /// The direct conversation of two different people.
    pub fn direct(a: &UserName, b: &UserName) -> Result<Self, ConversationError> {
        let (first, second) = if a < b { (a, b) } else { (b, a) };
        if first == second {
            return Err(ConversationError::Order);
        }
        Ok(Self(format!("dm:{first}:{second}").into()))
    }

    /// The conversation of one person's devices among themselves.
    pub fn own(me: &UserName) -> Self {
        Self(format!("dm:{me}:{me}").into())
    }

    /// The conversation of a room.
    pub fn room(room: &RoomName) -> Self {
        Self(format!("room:{room}").into())
    }

    /// The conversation of everybody.
    pub fn all() -> Self {
        Self::room(&RoomName::all())
    }

    /// What this person says in open rooms, for those who follow them.
    pub fn feed(owner: &UserName) -> Self {
        Self(format!("{FEED}{owner}").into())
    }

    /// Reads the text form and checks every part of it.
    pub fn parse(text: &str) -> Result<Self, ConversationError> {
        Self::read(text)?;
        Ok(Self(text.into()))
    }

    /// What this id says.
    pub fn kind(&self) -> ConversationKind {
        Self::read(&self.0).expect("a ConversationId is only made from text that parses")
    }

    /// The other party of a direct conversation of `me`, if it is one.
    pub fn other(&self, me: &UserName) -> Option<UserName> {
        match self.kind() {
            ConversationKind::Direct(a, b) if a == *me => Some(b),
            ConversationKind::Direct(a, b) if b == *me => Some(a),
            _ => None,
        }
    }

    /// The text form, as in headers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What people call it: `#lobby`, `ALL`, `the talk between alice and bob`, `the feed of alice`.
    pub fn spoken(&self) -> String {
        match self.kind() {
            ConversationKind::Room(room) if room.is_all() => room.to_string(),
            ConversationKind::Room(room) => format!("#{room}"),
            ConversationKind::Direct(one, other) if one == other => format!("the devices of {one}"),
            ConversationKind::Direct(one, other) => format!("the talk between {one} and {other}"),
            ConversationKind::Feed(owner) => format!("the feed of {owner}"),
        }
    }

    /// Whether this is a direct conversation; cheaper than [`Self::kind`].
    pub fn is_direct(&self) -> bool {
        self.0.starts_with("dm:")
    }

    /// Whether this is the conversation of somebody's devices among themselves.
    pub fn is_own(&self) -> bool {
        matches!(self.kind(), ConversationKind::Direct(one, other) if one == other)
    }

    /// Whether this is somebody's feed; cheaper than [`Self::kind`].
    pub fn is_feed(&self) -> bool {
        self.0.starts_with(FEED)
    }

    /// Whether this is the feed of `name`.
    pub fn is_feed_of(&self, name: &UserName) -> bool {
        self.0.strip_prefix(FEED) == Some(name.as_str())
    }

    /// Whose feed this is, if it is one.
    pub fn feed_owner(&self) -> Option<UserName> {
        match self.kind() {
            ConversationKind::Feed(owner) => Some(owner),
            _ => None,
        }
    }

    fn read(text: &str) -> Result<ConversationKind, ConversationError> {
        let (form, rest) = text.split_once(':').ok_or(ConversationError::Form)?;
        match form {
            "dm" => {
                let (a, b) = rest.split_once(':').ok_or(ConversationError::Form)?;
                let (a, b) = (UserName::new(a)?, UserName::new(b)?);
                if a > b {
                    return Err(ConversationError::Order);
                }
                Ok(ConversationKind::Direct(a, b))
            }
            "room" => Ok(ConversationKind::Room(RoomName::new(rest)?)),
            "feed" => Ok(ConversationKind::Feed(UserName::new(rest)?)),
            _ => Err(ConversationError::Form),
        }
    }
}

/// Gives a checked string newtype its text traits; the check is the constructor named.
macro_rules! text_traits {
    ($type:ident, $check:path) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer, $check)
            }
        }
    };
}

text_traits!(UserName, UserName::new);
text_traits!(RoomName, RoomName::new);
text_traits!(ConversationId, ConversationId::parse);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name that must be refused, each for its own reason.
    #[test]
    fn names_are_refused_with_the_reason() {
        let long = "a".repeat(33);
        for (name, part) in [
            ("", "empty"),
            (long.as_str(), "at most 32"),
            ("all", "reserved"),
            ("ALL", "reserved"),
            ("a*b", "'*'"),
            ("a b", "' '"),
            ("a\u{7}", "not allowed"),
            ("-a", "position 1"),
            ("ä", "'ä'"),
            ("SERVER", "reserved"),
            ("Server", "reserved"),
        ] {
            let error = UserName::for_account(name).expect_err(name);
            assert!(error.to_string().contains(part), "{name:?}: {error}");
        }
        for name in ["a", "Alice", "web-1.example_x", &"a".repeat(32), "0"] {
            assert_eq!(UserName::for_account(name).expect(name).as_str(), name);
        }
    }

    #[test]
    fn conversation_ids_have_one_spelling() {
        let (a, b) = (UserName::new("alice").unwrap(), UserName::new("Bob").unwrap());
        let id = ConversationId::direct(&a, &b).unwrap();
        assert_eq!(id.as_str(), "dm:Bob:alice", "bytewise order: capitals first");
        assert_eq!(id, ConversationId::direct(&b, &a).unwrap());
        assert_eq!(id.other(&a), Some(b.clone()));
        assert!(!ConversationId::feed(&a).is_feed_of(&b));
        let own = ConversationId::own(&a);
        assert_eq!((own.as_str(), own.other(&a)), ("dm:alice:alice", Some(a.clone())));
        assert_eq!(ConversationId::parse("dm:alice:alice"), Ok(own.clone()));
        assert!(own.is_own() && !id.is_own());
        assert!(ConversationId::direct(&a, &a).is_err(), "two people are meant");
        for wrong in ["dm:alice:Bob", "dm:a", "room:", "room:all", "x:y", "", "dm:a:b:c"] {
            assert!(ConversationId::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ConversationId::all().as_str(), "room:ALL");
        let feed = ConversationId::feed(&a);
        assert_eq!((feed.as_str(), feed.feed_owner()), ("feed:alice", Some(a.clone())));
        assert!(feed.is_feed_of(&a) && !ConversationId::all().is_feed());
    }

    #[test]
    fn people_read_no_internal_names() {
        for (cid, name) in [
            ("room:lobby", "#lobby"),
            ("room:ALL", "ALL"),
            ("dm:Bob:alice", "the talk between Bob and alice"),
            ("feed:alice", "the feed of alice"),
        ] {
            assert_eq!(ConversationId::parse(cid).unwrap().spoken(), name);
        }
    }
}
