//! Who follows whom, as a line or as an object.

use chat_endpoint::{Event, MemberChange};
use chat_protocol::name::UserName;
use serde_json::{Value, json};

use super::form::{Form, both, line as line_only};

/// Whether an event says of one feed who follows it.
pub fn is_about_one(event: &Event) -> bool {
    match event {
        Event::Joined { cid, .. } | Event::Left { cid, .. } | Event::MemberChanged { cid, .. } => {
            cid.is_feed()
        }
        _ => false,
    }
}

/// The line for it.
pub(super) fn line(me: &UserName, event: &Event) -> Option<String> {
    Some(match event {
        Event::Joined { cid, .. } => {
            let owner = cid.feed_owner()?;
            format!("· you follow {owner} now: what {owner} says in open rooms comes to you")
        }
        Event::Left { cid, .. } => format!("· you do not follow {} any more", cid.feed_owner()?),
        Event::MemberChanged { change: MemberChange::Joined, who, .. } => {
            format!("★ {who} follows you now; /subscribers lists who does")
        }
        Event::MemberChanged { change: MemberChange::Left, who, .. } => {
            format!("· {who} does not follow you any more")
        }
        Event::MemberChanged { who, by, .. } if who == me => {
            format!("! {by} has removed you: you do not follow {by} any more")
        }
        Event::MemberChanged { who, .. } => format!("· {who} is removed and follows you no more"),
        _ => return None,
    })
}

/// The object for it.
pub(super) fn object(me: &UserName, event: &Event) -> Option<Value> {
    let (cid, state, user) = match event {
        Event::Joined { cid, .. } => (cid, "subscribed", me),
        Event::Left { cid, .. } => (cid, "unsubscribed", me),
        Event::MemberChanged { cid, change, who, .. } => {
            let state = match change {
                MemberChange::Joined => "subscribed",
                MemberChange::Left => "unsubscribed",
                _ => "removed",
            };
            (cid, state, who)
        }
        _ => return None,
    };
    let feed = cid.feed_owner()?;
    Some(json!({"event": "subscription", "feed": feed, "state": state, "user": user}))
}

/// The list of whom one follows, or of who follows one, by its `kind`: a line for each, and behind the objects one
/// that says how many there are.
pub(super) fn list(kind: &str, names: &[UserName]) -> Vec<Form> {
    let (none, some) = match kind {
        "follows" => ("you follow nobody; /subscribe NAME", "you follow"),
        _ => ("nobody follows you", "you are followed by"),
    };
    let head = match names.len() {
        0 => format!("· {none}"),
        count => format!("· {some} {count}:"),
    };
    let each = names.iter().map(|user| {
        let object = json!({"event": "subscription_info", "user": user, "kind": kind});
        both(format!("  {user}"), object)
    });
    let count = json!({"event": "subscriptions", "kind": kind, "count": names.len()});
    std::iter::once(line_only(head)).chain(each).chain([(None, Some(count))]).collect()
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::ConversationId;

    use super::*;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    #[test]
    fn who_follows_whom_is_said_to_both() {
        let change = |change, who: &str, by: &str| Event::MemberChanged {
            id: None,
            cid: ConversationId::feed(&user("bob")),
            change,
            who: user(who),
            by: user(by),
        };
        let cid = ConversationId::feed(&user("bob"));
        for (me, event, expected, state) in [
            (
                "alice",
                Event::Joined { id: None, cid: cid.clone(), position: None },
                "you follow bob now",
                "subscribed",
            ),
            (
                "alice",
                Event::Left { id: None, cid, position: None },
                "not follow bob any",
                "unsubscribed",
            ),
            (
                "bob",
                change(MemberChange::Joined, "alice", "alice"),
                "★ alice follows you",
                "subscribed",
            ),
            ("bob", change(MemberChange::Left, "alice", "alice"), "alice does not", "unsubscribed"),
            ("bob", change(MemberChange::Removed, "alice", "bob"), "alice is removed", "removed"),
            (
                "alice",
                change(MemberChange::Removed, "alice", "bob"),
                "! bob has removed you",
                "removed",
            ),
        ] {
            assert!(is_about_one(&event));
            let said = line(&user(me), &event).unwrap();
            assert!(said.contains(expected), "{said}");
            let object = object(&user(me), &event).unwrap();
            assert_eq!((&object["state"], &object["user"]), (&json!(state), &json!("alice")));
        }
        let lines =
            |forms: Vec<Form>| forms.into_iter().filter_map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(lines(list("follows", &[user("bob")])), ["· you follow 1:", "  bob"]);
        assert_eq!(lines(list("subscribers", &[])), ["· nobody follows you"]);
    }
}
