//! How long the server keeps what is said in a room, and what it says that it has dropped.

use chat_endpoint::Event;
use chat_protocol::name::UserName;
use chat_protocol::retention;
use serde_json::{Value, json};

use super::{Lines, fields};

/// What a room keeps, as an answer to a question.
pub fn kept(room: &str, keep_ms: u64) -> String {
    match keep_ms {
        0 => format!("· the server keeps what is said in #{room} for ever"),
        keep_ms => {
            let time = retention::format(keep_ms);
            format!("· the server keeps what is said in #{room} for {time}, then deletes it")
        }
    }
}

/// What a room keeps, for a sentence.
pub(super) fn rule(room: &str, keep_ms: u64) -> String {
    match keep_ms {
        0 => format!("how long the server keeps messages of #{room}: for ever"),
        keep_ms => {
            format!("how long the server keeps messages of #{room}: {}", retention::format(keep_ms))
        }
    }
}

/// What a room keeps, as an object.
pub fn object(room: &str, keep_ms: u64, by: Option<&UserName>) -> Value {
    let mut object = json!({
        "event": "room", "room": room, "state": "retention", "keep_ms": keep_ms,
    });
    if let (Some(by), Some(fields)) = (by, object.as_object_mut()) {
        fields.insert("by".to_owned(), json!(by));
    }
    object
}

/// The line for what the server says that it has dropped.
pub(super) fn line(lines: &Lines, event: &Event) -> Option<String> {
    let Event::Dropped { cid, from, messages, before_ms, keep_ms } = event else { return None };
    let by = from.as_ref().map(|from| format!(" of {from}")).unwrap_or_default();
    let (what, them) = match messages {
        1 => (format!("1 message{by}"), "is missing: the server says it dropped it"),
        _ => (format!("{messages} messages{by}"), "are missing: the server says it dropped them"),
    };
    let place = Lines::place(cid);
    if *keep_ms == retention::DELETED_KEEP_MS {
        return Some(format!("! {place}{what} {them} with the room"));
    }
    let time = lines.time(*before_ms);
    let keeps = retention::format(*keep_ms);
    Some(format!(
        "! {place}{what} from before {time} {them} while you were away; this room keeps messages for {keeps}"
    ))
}

/// The object for what the server says that it has dropped.
pub(super) fn dropped(event: &Event) -> Option<Value> {
    let Event::Dropped { cid, from, messages, before_ms, keep_ms } = event else { return None };
    let mut fields = fields::place(cid);
    let values = [
        ("event", json!("dropped")),
        ("messages", json!(messages)),
        ("before_ms", json!(before_ms)),
        ("keep_ms", json!(keep_ms)),
    ];
    fields.extend(values.map(|(name, value)| (name.to_owned(), value)));
    if let Some(from) = from {
        fields.insert("from".to_owned(), json!(from));
    }
    Some(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::ConversationId;

    use super::*;
    use crate::show::Detail;

    #[test]
    fn what_was_dropped_is_said_as_the_servers_word() {
        let me = UserName::new("bob").unwrap();
        let lines = Lines::new(me.clone(), Detail::Brief);
        let event = |from, messages| Event::Dropped {
            cid: ConversationId::parse("room:ops").unwrap(),
            from,
            messages,
            before_ms: 1_000,
            keep_ms: 2_000,
        };
        let all = line(&lines, &event(None, 3)).unwrap();
        assert!(all.contains("! #ops 3 messages from before 19"), "{all}");
        assert!(all.contains("the server says it dropped them while you were away"), "{all}");
        assert!(all.ends_with("keeps messages for 2s"), "{all}");
        let one = line(&lines, &event(Some(me), 1)).unwrap();
        assert!(one.contains("1 message of bob from before"), "{one}");
        assert_eq!(dropped(&event(None, 3)).unwrap()["messages"], 3);
        let mut with_the_room = event(None, 2);
        if let Event::Dropped { keep_ms, .. } = &mut with_the_room {
            *keep_ms = retention::DELETED_KEEP_MS;
        }
        assert_eq!(
            line(&lines, &with_the_room).unwrap(),
            "! #ops 2 messages are missing: the server says it dropped them with the room"
        );
    }
}
