//! What happens in rooms, as a line or as an object.

use chat_endpoint::{Event, MemberChange, Roster};
use chat_protocol::hub::{Moderation, RoomInfo};
use chat_protocol::name::{ConversationId, ConversationKind, RoomName, UserName};
use chat_protocol::sanitise;
use serde_json::{Value, json};

use super::form::{Form, both, line as only_line};
use super::{SERVER_SAYS, feeds};

/// The name of a room without its `#`.
fn name(cid: &ConversationId) -> String {
    match cid.kind() {
        ConversationKind::Room(room) => room.to_string(),
        _ => cid.spoken(),
    }
}

/// The line for what happened in a room.
pub(super) fn line(me: &UserName, event: &Event) -> Option<String> {
    Some(match event {
        Event::Left { cid, .. } => format!("· you have left #{}", name(cid)),
        Event::MemberChanged { cid, change, who, by, .. } => {
            changed(me, &name(cid), (*change, who, by))
        }
        Event::Topic { cid, text, by, .. } if text.is_empty() => {
            format!("[{by}] took the topic of #{} away", name(cid))
        }
        Event::Topic { cid, text, by, .. } => {
            format!("[{by}] set the topic of #{}: {}", name(cid), sanitise::line(text))
        }
        Event::Moderated { who, act, by, .. } => {
            let what = match act {
                Moderation::Kick => "was removed from the lobby",
                Moderation::Ban => "was banned from the lobby",
                Moderation::Unban => "was let into the lobby again",
            };
            let then = match act {
                Moderation::Unban if who == me => "; /join lobby",
                Moderation::Kick if who == me => "; /join lobby some minutes later",
                _ => "",
            };
            format!("* {SERVER_SAYS}{who} {what} by {by}{then}")
        }
        Event::Retention { cid, keep_ms, by, .. } => {
            format!("[{by}] set {}", super::retention::rule(&name(cid), *keep_ms))
        }
        _ => return None,
    })
}

fn changed(
    me: &UserName,
    room: &str,
    (change, who, by): (MemberChange, &UserName, &UserName),
) -> String {
    let (doing, where_to) = match change {
        MemberChange::Joined => return format!("[{who}] joined #{room}"),
        MemberChange::Left => return format!("[{who}] left #{room}"),
        MemberChange::Added => ("added", "to"),
        MemberChange::Removed => ("removed", "from"),
        MemberChange::Banned => ("banned", "from"),
        MemberChange::Admin => ("made", "an admin of"),
        MemberChange::NoAdmin => ("made", "an ordinary member of"),
    };
    if who == me {
        return format!("{by} {doing} you {where_to} #{room}");
    }
    format!("[{by}] {doing} {who} {where_to} #{room}")
}

/// The object for what happened in a room.
pub(super) fn object(me: &UserName, event: &Event) -> Option<Value> {
    if feeds::is_about_one(event) {
        return feeds::object(me, event);
    }
    Some(match event {
        Event::Joined { id: Some(_), cid, .. } => json!({
            "event": "room", "room": name(cid), "state": "joined", "user": me, "by": me,
        }),
        Event::Left { cid, .. } => json!({
            "event": "room", "room": name(cid), "state": "left", "user": me, "by": me,
        }),
        Event::MemberChanged { cid, change, who, by, .. } => {
            let (state, role) = match change {
                MemberChange::Joined => ("joined", None),
                MemberChange::Left => ("left", None),
                MemberChange::Added => ("added", None),
                MemberChange::Removed => ("removed", None),
                MemberChange::Banned => ("banned", None),
                MemberChange::Admin => ("role", Some("admin")),
                MemberChange::NoAdmin => ("role", Some("member")),
            };
            let mut object = json!({
                "event": "room", "room": name(cid), "state": state, "user": who, "by": by,
            });
            if let (Some(role), Some(fields)) = (role, object.as_object_mut()) {
                fields.insert("role".to_owned(), role.into());
            }
            object
        }
        Event::Topic { cid, text, by, .. } => json!({
            "event": "room", "room": name(cid), "state": "topic", "topic": text, "by": by,
        }),
        Event::Moderated { who, act, by, .. } => {
            let state = match act {
                Moderation::Kick => "removed",
                Moderation::Ban => "banned",
                Moderation::Unban => "let_in",
            };
            json!({
                "event": "room", "room": RoomName::lobby(), "state": state, "user": who, "by": by,
                "word": "server",
            })
        }
        Event::Retention { cid, keep_ms, by, .. } => {
            super::retention::object(&name(cid), *keep_ms, Some(by))
        }
        _ => return None,
    })
}

/// A room that this user has made, as an object.
pub(super) fn made(room: &RoomName, me: &UserName) -> Value {
    json!({"event": "room", "room": room, "state": "made", "user": me, "by": me})
}

/// The topic of a room.
pub(super) fn topic(info: &RoomInfo) -> Form {
    let RoomInfo { room, topic, open, .. } = info;
    let text = match (topic.as_str(), open) {
        (_, false) => format!("· #{room} is private and has no topic: the server would read it"),
        ("", true) => format!("· #{room} has no topic; /topic TEXT sets it"),
        (topic, true) => format!("· the topic of #{room}: {}", sanitise::line(topic)),
    };
    both(text, json!({"event": "room", "room": room, "state": "topic", "topic": topic}))
}

/// Who is in a room.
pub(super) fn members(room: &RoomName, roster: &Roster) -> Vec<Form> {
    let Roster { open, members, unproved, left_out, put_out, deleted } = roster;
    let kind = if *open { "open" } else { "private" };
    let here = members.iter().filter(|(user, _)| !deleted.contains(user)).count();
    let head = only_line(format!("· #{room} is {kind}; members: {here}"));
    let member = |(user, admin): &(UserName, bool)| {
        let mark = if deleted.contains(user) {
            " (the account was deleted)"
        } else if unproved.contains(user) {
            " (by the server's word only: nothing is sealed for them)"
        } else if put_out.contains(user) {
            " (put out by a moderator: the server gives them nothing of this room)"
        } else if left_out.contains(user) {
            " (not by the key that you know, by none, or put out: nothing is sealed for them)"
        } else {
            ""
        };
        let is_admin = if *admin { " (admin)" } else { "" };
        let proved = !unproved.contains(user);
        both(
            format!("  {user}{is_admin}{mark}"),
            json!({
                "event": "member", "room": room, "user": user, "admin": admin, "proved": proved,
                "put_out": put_out.contains(user), "deleted": deleted.contains(user),
            }),
        )
    };
    std::iter::once(head).chain(members.iter().map(member)).collect()
}

/// One room of a list: `*` marks those that one is in.
pub fn room(info: &RoomInfo) -> String {
    let mark = if info.member { '*' } else { ' ' };
    let kind = if info.open { "" } else { ", private" };
    let users = match info.users {
        1 => "1 user".to_owned(),
        users => format!("{users} users"),
    };
    let topic = match info.topic.as_str() {
        "" => String::new(),
        topic => format!("  {}", sanitise::line(topic)),
    };
    let kept = match info.keep_ms {
        0 => String::new(),
        keep_ms => format!(", kept {}", chat_protocol::retention::format(keep_ms)),
    };
    format!("{mark} #{:<32} {users}{kind}{kept}{topic}", info.room)
}

/// One room of a list as an object.
pub fn room_object(info: &RoomInfo) -> Value {
    json!({
        "event": "room_info", "room": info.room, "open": info.open, "users": info.users,
        "topic": info.topic, "member": info.member, "keep_ms": info.keep_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn event(change: MemberChange, who: &str) -> Event {
        Event::MemberChanged {
            id: None,
            cid: ConversationId::parse("room:ops").unwrap(),
            change,
            who: user(who),
            by: user("alice"),
        }
    }

    #[test]
    fn what_happens_is_said_of_others_and_of_me() {
        let bob = user("bob");
        for (change, who, expected) in [
            (MemberChange::Joined, "carol", "[carol] joined #ops"),
            (MemberChange::Left, "carol", "[carol] left #ops"),
            (MemberChange::Removed, "carol", "[alice] removed carol from #ops"),
            (MemberChange::Banned, "bob", "alice banned you from #ops"),
            (MemberChange::Added, "bob", "alice added you to #ops"),
            (MemberChange::Admin, "carol", "[alice] made carol an admin of #ops"),
            (MemberChange::NoAdmin, "bob", "alice made you an ordinary member of #ops"),
        ] {
            assert_eq!(line(&bob, &event(change, who)).as_deref(), Some(expected));
        }
        let object = object(&bob, &event(MemberChange::Admin, "carol")).unwrap();
        let expected = json!({
            "event": "room", "room": "ops", "state": "role", "role": "admin", "user": "carol",
            "by": "alice",
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn a_topic_of_others_does_nothing_to_a_terminal() {
        let info = RoomInfo {
            room: RoomName::new("ops").unwrap(),
            open: true,
            users: 1,
            topic: "a\u{1b}[2Jb\nc".to_owned(),
            member: true,
            keep_ms: 90_000,
        };
        let line = room(&info);
        assert!(line.starts_with("* #ops ") && line.contains("1 user, kept 90s"), "{line}");
        assert!(!line.contains(|c: char| c.is_control()), "{line}");
    }
}
