//! Fields that several objects have.

use chat_protocol::name::{ConversationId, ConversationKind};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A time as text, from Unix time in milliseconds.
pub fn time(unix_ms: u64) -> Option<String> {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| format!("{at:.3}"))
}

/// `conversation`; `room` for a room, and `feed` for a feed.
pub(super) fn place(cid: &ConversationId) -> Map<String, Value> {
    let mut fields = Map::new();
    let (kind, name) = match cid.kind() {
        ConversationKind::Direct(..) => ("dm", None),
        ConversationKind::Room(room) if room.is_all() => ("all", None),
        ConversationKind::Room(room) => ("room", Some(room.to_string())),
        ConversationKind::Feed(user) => ("feed", Some(user.to_string())),
    };
    fields.insert("conversation".to_owned(), kind.into());
    if let Some(name) = name {
        fields.insert(kind.to_owned(), name.into());
    }
    fields
}
