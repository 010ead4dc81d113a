//! Answers about who is ignored, which rooms are silent, and who is away.

use serde_json::json;

use super::form::{Form, both, empty, line};
use crate::item::Answer;

/// Before what another device of this user has set.
fn elsewhere(is_elsewhere: bool) -> &'static str {
    if is_elsewhere { "on another device of yours: " } else { "" }
}

/// Lists.
pub(super) fn list(answer: &Answer) -> Vec<Form> {
    match answer {
        Answer::Ignoring(names) if names.is_empty() => vec![empty("· you ignore nobody", "ignore")],
        Answer::Ignoring(names) => {
            let form = |name| {
                both(format!("  {name}"), json!({"event": "ignore", "user": name, "on": true}))
            };
            names.iter().map(form).collect()
        }
        Answer::Muting(rooms) if rooms.is_empty() => vec![empty("· no room is muted", "mute")],
        Answer::Muting(rooms) => {
            let form = |room| {
                both(format!("  #{room}"), json!({"event": "mute", "room": room, "on": true}))
            };
            rooms.iter().map(form).collect()
        }
        _ => Vec::new(),
    }
}

/// What is one thing.
pub(super) fn one(answer: &Answer) -> Option<Form> {
    Some(match answer {
        Answer::Ignored(user, on, other) => {
            let what = if *on {
                format!("what {user} says is hidden from now on; /unignore {user} ends it")
            } else {
                format!("what {user} says is shown again")
            };
            both(
                format!("· {}{what}", elsewhere(*other)),
                json!({"event": "ignore", "user": user, "on": on}),
            )
        }
        Answer::Muted(room, on, other) => {
            let what = if *on {
                format!("#{room} is muted: only what names you is noise; /unmute #{room} ends it")
            } else {
                format!("#{room} is muted no more")
            };
            both(
                format!("· {}{what}", elsewhere(*other)),
                json!({"event": "mute", "room": room, "on": on}),
            )
        }
        Answer::Away(why, other) => {
            let what = match why {
                Some(why) => {
                    let why = chat_protocol::sanitise::line(why);
                    format!("you are away ({why}): whoever writes to you alone is told once; /back")
                }
                None => "you are back".to_owned(),
            };
            both(
                format!("· {}{what}", elsewhere(*other)),
                json!({"event": "i_am_away", "why": why}),
            )
        }
        Answer::AnsweredFor(user, why) => {
            let why = chat_protocol::sanitise::line(why);
            line(format!("· {user} has written, and was told that you are away: {why}"))
        }
        _ => return None,
    })
}
