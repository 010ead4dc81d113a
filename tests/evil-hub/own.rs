//! What a person's devices tell each other: whom they ignore, what they have read. Each lie is about the devices of the
//! [`crate::WRITER`], so it goes by connections and not by names.

use chat_protocol::header::Header;
use chat_testkit::middle::{Message, Passing, Way};
use serde_json::json;

use crate::{Act, Switch, VICTIM, WRITER, read};

/// Something that a device has said to the others, on its way to one of them.
fn is_said(passing: &Passing) -> bool {
    matches!(read::delivery(passing), Some((Header::Message(header), _)) if header.cid.is_own())
}

/// Refuses whatever a device says to the others of its person, and keeps it.
pub fn refused() -> Act {
    Box::new(|_, passing| match read::frame(&passing) {
        Some((Header::Message(header), _)) if header.cid.is_own() => {
            let no = json!({"tag": "NOACK", "stage": "stored", "id": header.id,
                            "code": "E_STORAGE_FULL", "reason": "no room"});
            vec![passing.with(Way::ToClient, Message::Text(no.to_string()))]
        }
        _ => vec![passing],
    })
}

/// The same, and makes it due again: says that the writer has new keys, and has all of them shown when a device asks.
pub fn refused_and_made_due() -> Act {
    let mut refused = refused();
    Box::new(move |scene, passing| {
        if let Some(mut asked) = read::text(&passing, Way::ToHub, "BUNDLES")
            && asked["known"].get(WRITER).is_some()
        {
            asked["known"][WRITER] = json!("");
            return vec![read::with_text(&passing, &asked)];
        }
        let is_refused = matches!(read::frame(&passing), Some((Header::Message(header), _)) if header.cid.is_own());
        let keys = json!({"tag": "KEYS", "users": [WRITER]});
        let keys = is_refused.then(|| passing.with(Way::ToClient, Message::Text(keys.to_string())));
        refused(scene, passing).into_iter().chain(keys).collect()
    })
}

/// Loses the first thing that a device says to the others, and delivers what follows.
pub fn lost() -> Act {
    lost_and_shown(Switch::default())
}

/// The same. `shown` counts what follows, by which it shows that something is missing.
pub fn lost_and_shown(shown: Switch) -> Act {
    let mut is_told = false;
    Box::new(move |_, passing| {
        if !is_said(&passing) {
            return vec![passing];
        }
        if !std::mem::replace(&mut is_told, true) {
            return Vec::new();
        }
        shown.tell();
        vec![passing]
    })
}

/// Delivers the first thing behind the second one, and then both once more; gives the victim a copy of each.
pub fn late_again_and_to_others() -> Act {
    let mut kept: Vec<Passing> = Vec::new();
    Box::new(move |scene, passing| {
        if !is_said(&passing) || kept.len() >= 2 {
            return vec![passing];
        }
        kept.push(passing.clone());
        let Some((_, delivery)) = read::delivery(&passing) else { return vec![passing] };
        let to_victim = scene.deliver(VICTIM, delivery.frame.bytes());
        let [first, second] = &kept[..] else { return to_victim.into_iter().collect() };
        let mut out = vec![second.clone(), first.clone()];
        for old in [first, second] {
            if let Some((_, delivery)) = read::delivery(old) {
                let again = scene.deliver(WRITER, delivery.frame.bytes());
                out.extend(again.map(|again| Passing { line: old.line, ..again }));
            }
        }
        out.extend(to_victim);
        out
    })
}
