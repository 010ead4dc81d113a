//! Lies that nobody can see: each is in the list of `docs/SECURITY.md` of what a hub can do.

use std::collections::BTreeMap;

use chat_protocol::header::Header;
use chat_testkit::middle::{Message, Passing, Way};
use serde_json::{Value, json};

use crate::{Act, VICTIM, WRITER, read};

/// Keeps from the victim whatever the writer says from now on.
pub fn withheld_tail() -> Act {
    Box::new(
        |scene, passing| if scene.news(&passing).is_some() { Vec::new() } else { vec![passing] },
    )
}

/// The next message of the writer comes to the victim behind the next one of somebody else.
pub fn swapped_senders() -> Act {
    let (mut late, mut is_told) = (None, false);
    Box::new(move |scene, passing| {
        if scene.news(&passing).is_some() && !std::mem::replace(&mut is_told, true) {
            late = Some(passing);
            return Vec::new();
        }
        let is_others = matches!(
            read::delivery(&passing),
            Some((Header::Message(header), _))
                if passing.user == VICTIM && header.from.as_str() != WRITER
        );
        let late = if is_others { late.take() } else { None };
        [passing].into_iter().chain(late).collect()
    })
}

/// Says to the victim that somebody is here.
pub fn made_up_presence(who: &'static str) -> Act {
    Box::new(move |_, passing| match read::text(&passing, Way::ToClient, "WHO") {
        Some(mut value) if passing.user == VICTIM => {
            for person in value["people"].as_array_mut().into_iter().flatten() {
                if person["name"] == who {
                    person["online"] = true.into();
                }
            }
            vec![read::with_text(&passing, &value)]
        }
        _ => vec![passing],
    })
}

/// Tells the victim, with the writer's next message, that the writer has set this topic.
pub fn made_up_topic(room: &'static str, text: &'static str) -> Act {
    let mut is_told = false;
    Box::new(move |scene, passing| {
        let is_due = scene.news(&passing).is_some() && !std::mem::replace(&mut is_told, true);
        let notice = json!({"tag": "TOPIC", "cid": room, "text": text, "by": WRITER});
        let notice = is_due.then(|| scene.to(VICTIM, Message::Text(notice.to_string()))).flatten();
        [passing].into_iter().chain(notice).collect()
    })
}

/// Shows of every shared file the first copy of its offer that it has ever shown, and goes on when the
/// offer was taken back.
pub fn old_list() -> Act {
    let mut first: BTreeMap<String, Value> = BTreeMap::new();
    Box::new(move |_, passing: Passing| {
        let Some(mut found) = read::text(&passing, Way::ToClient, "FOUND") else {
            return vec![passing];
        };
        for offer in found["offers"].as_array().into_iter().flatten() {
            let id = offer["offer"]["id"].to_string();
            first.entry(id).or_insert_with(|| offer.clone());
        }
        found["offers"] = first.values().cloned().collect();
        vec![read::with_text(&passing, &found)]
    })
}
