//! What happened as JSON objects, one per line. The names of fields are fixed: scripts rely on
//! them.

use chat_endpoint::{Event, Standing};
use chat_protocol::code;
use chat_protocol::hub::Person;
use chat_protocol::name::UserName;
use serde_json::{Map, Value, json};

use chat_protocol::veil;

use super::fields::place;
pub use super::fields::time;

/// The objects for an event but a piece of output; most have one.
pub(super) fn event(me: &UserName, event: &Event) -> Vec<Value> {
    match event {
        Event::Message { .. } => message(me, event).into_iter().collect(),
        Event::Stored { .. } | Event::Delivered { .. } => answered(me, event).into_iter().collect(),
        Event::Refused { .. } => refused(event).into_iter().collect(),
        Event::OutputLost { .. } | Event::Late { .. } | Event::Started { .. } => {
            of_command(event).into_iter().collect()
        }
        Event::Ended { .. } => ended(event),
        Event::Presence { joined, left, followed } => presence(joined, left, followed),
        Event::Dropped { .. } => super::retention::dropped(event).into_iter().collect(),
        Event::Unhealed { .. } => unhealed(event).into_iter().collect(),
        Event::Disowned { .. }
        | Event::Gap { .. }
        | Event::Healed { .. }
        | Event::Unreadable { .. } => about_one(event).into_iter().collect(),
        Event::Alarm { kind, user, detail, count } => vec![json!({
            "event": "alarm", "kind": kind, "user": user, "reason": detail, "count": count,
        })],
        Event::Away { from, .. } if from == me => Vec::new(),
        Event::Away { id, from, text, sent_ms, .. } => vec![json!({
            "event": "away", "id": id, "from": from, "text": text, "sent_at": time(*sent_ms),
        })],
        Event::Announcement { text } => vec![json!({"event": "announcement", "text": text})],
        Event::NewDevice { user, number, words } => vec![json!({
            "event": "new_device", "user": user, "number": number, "words": words,
        })],
        Event::Complaint { code, reason, .. } => vec![json!({
            "event": "noack", "stage": "request", "code": code, "reason": reason,
        })],
        Event::PutOff { reason } => vec![json!({"event": "put_off", "reason": reason})],
        Event::People { people, .. } => people.iter().map(person).collect(),
        Event::Joined { .. }
        | Event::Left { .. }
        | Event::MemberChanged { .. }
        | Event::Topic { .. }
        | Event::Moderated { .. }
        | Event::Retention { .. } => super::rooms::object(me, event).into_iter().collect(),
        Event::Rooms { rooms, .. } => rooms.iter().map(super::rooms::room_object).collect(),
        // What programs say to each other about files is told by what becomes of the files.
        // Who asked for a list shows the half that was asked for.
        Event::Subscriptions { .. }
        | Event::Settings { .. }
        | Event::File { .. }
        | Event::Shared { .. }
        | Event::Found { .. }
        | Event::OffersChecked { .. }
        | Event::ListRefused { .. }
        | Event::Command { .. }
        | Event::Cancel { .. }
        // Its pieces are joined: see [`super::objects`].
        | Event::Output { .. }
        | Event::CommandPassed { .. }
        | Event::Refreshed { .. } => Vec::new(),
    }
}

/// The server or a recipient has a message of ours.
fn answered(me: &UserName, event: &Event) -> Option<Value> {
    match event {
        Event::Stored { id, cid, kept, .. } => {
            let mut ack = json!({"event": "ack", "id": id, "stage": "stored", "by": "server"});
            if let Some(fields) = ack.as_object_mut() {
                fields.extend(place(cid));
                if let Some(to) = cid.other(me) {
                    fields.insert("to".to_owned(), json!(to));
                }
                if *kept {
                    fields.insert("kept".to_owned(), true.into());
                }
            }
            Some(ack)
        }
        Event::Delivered { id, by, readable: true, refused, .. } => {
            let mut ack = json!({"event": "ack", "id": id, "stage": "delivered", "by": by});
            if *refused && let Some(fields) = ack.as_object_mut() {
                fields.insert("refused_by_server".to_owned(), true.into());
            }
            Some(ack)
        }
        Event::Delivered { id, by, .. } => Some(json!({
            "event": "noack", "id": id, "stage": "delivered", "by": by,
            "code": code::UNREADABLE, "reason": "the recipient could not read it",
        })),
        _ => None,
    }
}

/// What became of somebody's message, or of some of them.
fn about_one(event: &Event) -> Option<Value> {
    match event {
        Event::Disowned { cid, from, id } => {
            let mut fields = place(cid);
            fields.insert("id".to_owned(), json!(id));
            Some(object("disowned", from, fields))
        }
        Event::Gap { cid, from, missing } => {
            let mut fields = place(cid);
            fields.insert("missing".to_owned(), json!(missing));
            Some(object("gap", from, fields))
        }
        Event::Healed { cid, from, n } => {
            let mut fields = place(cid);
            fields.insert("n".to_owned(), json!(n));
            Some(object("healed", from, fields))
        }
        Event::Unreadable { cid, from, id, reason, .. } => {
            let mut fields = place(cid);
            fields.insert("id".to_owned(), json!(id));
            fields.insert("reason".to_owned(), json!(reason));
            Some(object("unreadable", from, fields))
        }
        _ => None,
    }
}

/// What a command says while it runs.
fn of_command(event: &Event) -> Option<Value> {
    match event {
        Event::OutputLost { re, pieces } => {
            Some(json!({"event": "output_lost", "id": re, "pieces": pieces}))
        }
        Event::Late { re, by } => {
            Some(json!({"event": "command", "id": re, "state": "LATE", "by": by}))
        }
        Event::Started { re, by } => {
            Some(json!({"event": "command", "id": re, "state": "STARTED", "by": by}))
        }
        _ => None,
    }
}

/// Who came and went; those that one follows are marked.
fn presence(joined: &[UserName], left: &[UserName], followed: &[UserName]) -> Vec<Value> {
    let came = joined.iter().map(|user| (user, "joined"));
    let object = |(user, state): (&UserName, &str)| {
        if followed.contains(user) {
            return json!({"event": "presence", "user": user, "state": state, "followed": true});
        }
        json!({"event": "presence", "user": user, "state": state})
    };
    came.chain(left.iter().map(|user| (user, "left"))).map(object).collect()
}

fn unhealed(event: &Event) -> Option<Value> {
    let Event::Unhealed { cid, from, n, reason } = event else { return None };
    let mut fields = place(cid);
    fields.insert("n".to_owned(), json!(n));
    fields.insert("reason".to_owned(), json!(reason));
    Some(object("unhealed", from, fields))
}

/// One person of a list.
pub fn person(person: &Person) -> Value {
    json!({
        "event": "user", "user": person.name, "online": person.online, "agent": person.agent,
    })
}

fn message(me: &UserName, event: &Event) -> Option<Value> {
    let Event::Message {
        id,
        cid,
        from,
        text,
        veiled,
        peer,
        said_in,
        position,
        sent_ms,
        healed_by,
        granted_by,
        gone,
        ..
    } = event
    else {
        return None;
    };
    let mut fields = place(cid);
    if let Some(room) = said_in {
        fields.insert("room".to_owned(), json!(room));
    }
    let to = if from == me { cid.other(me) } else { cid.is_direct().then(|| me.clone()) };
    if let Some(to) = to {
        fields.insert("to".to_owned(), json!(to));
    }
    fields.insert("id".to_owned(), json!(id));
    if *veiled {
        fields.insert("veiled".to_owned(), true.into());
        fields.insert("text".to_owned(), json!(veil::unshift(text)));
    } else {
        fields.insert("text".to_owned(), json!(text));
    }
    fields.insert("seq".to_owned(), json!(position));
    fields.insert("sent_at".to_owned(), json!(time(*sent_ms)));
    // Who sent it again, or granted it; such a message has no place in the server's log.
    for (name, by) in [("healed_by", healed_by), ("granted_by", granted_by)] {
        if let Some(by) = by {
            fields.insert(name.to_owned(), json!(by));
            fields.remove("seq");
        }
    }
    // By the server's word it was said before its sender went.
    if *gone {
        fields.insert("gone".to_owned(), true.into());
    }
    // A message that did not verify never becomes one: it is `unreadable`.
    fields.insert("verified".to_owned(), true.into());
    standing(&mut fields, *peer);
    Some(object("message", from, fields))
}

/// A refusal; whose word it is, and until when a command could start in spite of it.
fn refused(event: &Event) -> Option<Value> {
    let Event::Refused { id, code, reason, by_hub, may_start_until_ms } = event else {
        return None;
    };
    let mut refused = json!({
        "event": "noack", "id": id, "stage": "stored", "code": code, "reason": reason,
    });
    let fields = refused.as_object_mut()?;
    if *by_hub {
        fields.insert("by".to_owned(), "server".into());
    }
    if let Some(until) = may_start_until_ms.and_then(time) {
        fields.insert("may_start_until".to_owned(), until.into());
    }
    Some(refused)
}

/// The stage, and the state of the command.
fn ended(event: &Event) -> Vec<Value> {
    let Event::Ended { re, by, ok, status, code, reason } = event else { return Vec::new() };
    let state = match (code.as_str(), status) {
        (code::TIMEOUT, _) => "TIMEOUT",
        (code::EXPIRED, _) => "EXPIRED",
        (code::INTERRUPTED, _) => "INTERRUPTED",
        (code::CANCELLED, _) => "CANCELLED",
        (_, Some(_)) => "EXIT",
        (_, None) if *ok => "EXIT",
        (_, None) => "REFUSED",
    };
    let mut answer = if *ok {
        json!({"event": "ack", "id": re, "stage": "executed", "by": by})
    } else {
        json!({
            "event": "noack", "id": re, "stage": "executed", "by": by,
            "code": code, "reason": reason,
        })
    };
    let mut command = json!({"event": "command", "id": re, "state": state});
    if let Some(status) = status {
        for fields in [&mut command, &mut answer].into_iter().filter_map(Value::as_object_mut) {
            fields.insert("exit".to_owned(), json!(status));
        }
    }
    vec![command, answer]
}

/// Whether this user has compared the writer's key; another one may be offered since.
pub(crate) fn standing(fields: &mut Map<String, Value>, peer: Standing) {
    fields.insert("peer_verified".to_owned(), (peer == Standing::Verified).into());
    if peer == Standing::Changed {
        fields.insert("peer_changed".to_owned(), true.into());
    }
}

fn object(event: &str, from: &UserName, mut fields: Map<String, Value>) -> Value {
    fields.insert("event".to_owned(), event.into());
    fields.insert("from".to_owned(), json!(from));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::MessageId;
    use chat_protocol::name::{ConversationId, RoomName};
    use chat_protocol::tag::Tag;
    use chat_testkit::json_page::JsonPage;

    use super::*;

    fn name(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    #[test]
    fn a_message_has_the_documented_fields_and_its_text_untouched() {
        let message = Event::Message {
            id: MessageId([1; 16]),
            cid: ConversationId::parse("dm:alice:bob").unwrap(),
            tag: Tag::Dm,
            from: name("alice"),
            text: "a\u{1b}[2J\n\"b\"".to_owned(),
            veiled: false,
            peer: Standing::Known,
            said_in: None,
            position: 7,
            sent_ms: 1_700_000_000_123,
            hub_ms: 0,
            frame: None,
            healed_by: None,
            granted_by: None,
            gone: false,
        };
        let objects = event(&name("bob"), &message);
        let expected = json!({
            "event": "message", "id": "AQEBAQEBAQEBAQEBAQEBAQ", "conversation": "dm",
            "from": "alice", "to": "bob", "text": "a\u{1b}[2J\n\"b\"", "seq": 7,
            "sent_at": "2023-11-14T22:13:20.123Z", "verified": true, "peer_verified": false,
        });
        assert_eq!(objects, [expected]);
        let text = objects[0].to_string();
        assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text}");
    }

    /// Messages of each kind of conversation, with all that may be said of them and without.
    fn messages(id: MessageId) -> Vec<Event> {
        let bob = name("bob");
        let message = |cid: ConversationId, is_full: bool| Event::Message {
            id,
            cid,
            tag: Tag::Text,
            from: bob.clone(),
            text: "text".to_owned(),
            veiled: is_full,
            peer: if is_full { Standing::Changed } else { Standing::Known },
            said_in: is_full.then(RoomName::lobby),
            position: 7,
            sent_ms: 1,
            hub_ms: 0,
            frame: None,
            healed_by: is_full.then(|| bob.clone()),
            granted_by: None,
            gone: is_full,
        };
        let cids = conversations().into_iter();
        cids.flat_map(|cid| [message(cid.clone(), false), message(cid, true)]).collect()
    }

    fn conversations() -> [ConversationId; 3] {
        ["dm:alice:bob", "room:ops", "feed:bob"].map(|cid| ConversationId::parse(cid).unwrap())
    }

    /// What becomes of messages and commands.
    fn outcomes(id: MessageId) -> Vec<Event> {
        let by = name("bob");
        let (code, reason) = ("E_POLICY".to_owned(), "why".to_owned());
        let ended = |ok, status| {
            let (by, code, reason) = (by.clone(), code.clone(), reason.clone());
            Event::Ended { re: id, by, ok, status, code, reason }
        };
        let delivered = |readable, refused| {
            let (cid, by) = (ConversationId::parse("room:ops").unwrap(), by.clone());
            Event::Delivered { id, cid, by, readable, refused, receipt: None }
        };
        let refused = |by_hub, may_start_until_ms| {
            let (code, reason) = (code.clone(), reason.clone());
            Event::Refused { id, code, reason, by_hub, may_start_until_ms }
        };
        vec![
            ended(true, Some(0)),
            ended(false, Some(3)),
            ended(false, None),
            delivered(true, false),
            delivered(true, true),
            delivered(false, false),
            refused(false, None),
            refused(true, Some(1)),
            Event::OutputLost { re: id, pieces: 2 },
        ]
    }

    /// What a hub that loses or lies makes of a conversation.
    fn troubles(id: MessageId, cid: &ConversationId) -> Vec<Event> {
        let (cid, from) = (|| cid.clone(), || name("bob"));
        let (reason, n) = (|| "why".to_owned(), || vec![3, 4]);
        let dropped =
            |from| Event::Dropped { cid: cid(), from, messages: 3, before_ms: 1, keep_ms: 2 };
        vec![
            Event::Disowned { cid: cid(), from: from(), id },
            Event::Unreadable { cid: cid(), from: from(), id, reason: reason(), signed: true },
            Event::Gap { cid: cid(), from: from(), missing: n() },
            Event::Healed { cid: cid(), from: from(), n: n() },
            Event::Unhealed { cid: cid(), from: from(), n: n(), reason: reason() },
            dropped(None),
            dropped(Some(from())),
        ]
    }

    /// What is told of people.
    fn news() -> Vec<Event> {
        let (kind, detail) = (chat_endpoint::Alarm::Replay, "why".to_owned());
        let (joined, left, followed) = (vec![name("bob")], vec![name("alice")], vec![name("bob")]);
        vec![
            Event::Alarm { kind, user: name("bob"), detail, count: 2 },
            Event::NewDevice { user: name("bob"), number: 2, words: "six words".to_owned() },
            Event::Presence { joined, left, followed },
        ]
    }

    /// Goal: what no run in peace shows is as the page says, with every field that may be there.
    #[test]
    fn what_is_rare_is_on_the_page() {
        let page = JsonPage::read(include_str!("../../../../docs/JSON.md"));
        let (me, id) = (name("alice"), MessageId([1; 16]));
        let mut events = [messages(id), outcomes(id), news()].concat();
        events.extend(conversations().iter().flat_map(|cid| troubles(id, cid)));
        for one in &events {
            let objects = event(&me, one);
            assert!(!objects.is_empty(), "{one:?}");
            for object in objects {
                assert_eq!(page.judge_event(&object), Ok(()));
            }
        }
    }

    #[test]
    fn the_end_of_a_command_has_a_state_and_an_answer() {
        let ended = |ok, status, code: &str| Event::Ended {
            re: MessageId([2; 16]),
            by: UserName::server(),
            ok,
            status,
            code: code.to_owned(),
            reason: "why".to_owned(),
        };
        for (end, state, answer) in [
            (ended(true, Some(0), ""), "EXIT", "ack"),
            (ended(false, Some(3), "E_EXIT"), "EXIT", "noack"),
            (ended(false, None, "E_POLICY"), "REFUSED", "noack"),
            (ended(false, Some(124), "E_TIMEOUT"), "TIMEOUT", "noack"),
            (ended(false, None, "E_EXPIRED"), "EXPIRED", "noack"),
            (ended(false, None, "E_INTERRUPTED"), "INTERRUPTED", "noack"),
        ] {
            let objects = event(&name("bob"), &end);
            assert_eq!(
                (&objects[0]["state"], &objects[1]["event"]),
                (&json!(state), &json!(answer))
            );
        }
    }
}
