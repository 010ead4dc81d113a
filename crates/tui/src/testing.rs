//! What the tests of several modules need.

use chat_protocol::name::{ConversationId, ConversationKind, UserName};

use crate::data::{Conversation, Facts, Group, Link, Status};

/// 22:13 on Tuesday, 14 November 2023.
pub(crate) const START_MS: u64 = 1_700_000_000_000;

/// A conversation of alice with nothing new in it.
pub(crate) fn conversation(cid: &str) -> Conversation {
    let cid = ConversationId::parse(cid).unwrap();
    let other = cid.other(&UserName::new("alice").unwrap());
    let (group, name) = match (cid.kind(), other) {
        (ConversationKind::Room(room), _) if room.is_all() => (Group::Rooms, room.to_string()),
        (ConversationKind::Feed(who), _) => (Group::Feeds, who.to_string()),
        (_, Some(other)) if other.is_server() => (Group::Machines, other.to_string()),
        (_, Some(other)) => (Group::People, other.to_string()),
        _ => (Group::Rooms, cid.spoken()),
    };
    Conversation { cid, group, name, unread: 0, mentions: 0, is_muted: false, is_in: true }
}

/// What alice's screen is given who is in two conversations.
pub(crate) fn facts() -> Facts {
    Facts {
        conversations: ["room:lobby", "dm:alice:bob"].map(conversation).into(),
        topic: String::new(),
        members: Vec::new(),
        transfers: Vec::new(),
        status: Status {
            now_ms: START_MS,
            user: "alice".to_owned(),
            server: "chat.example".to_owned(),
            is_tls: Some(true),
            is_verified: false,
            retention: None,
            lag_ms: None,
            unanswered: 0,
            link: Link::Online,
        },
        is_veiled: false,
        has_draft: false,
    }
}
