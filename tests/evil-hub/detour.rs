//! A room whose news one member does not get, and whose frames go around the hub: so a removed
//! member reads on, and a banned one writes on.

use chat_protocol::header::Header;
use chat_testkit::middle::{Message, Passing, Way};
use serde_json::json;

use crate::{Act, read};

/// Where the hub says that frames stand which go around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind everything.
    Now,
    /// Where its log stood when the lie began.
    Back,
}

/// `kept` is told nothing of the room any more. What `kept` says there never comes to the honest
/// hub: it is called stored, and given to `others`.
pub fn around(
    room: &'static str,
    kept: &'static str,
    others: &'static [&'static str],
    place: Place,
) -> Act {
    let mut begun = None;
    Box::new(move |scene, passing: Passing| {
        let begun = *begun.get_or_insert(scene.position);
        if passing.user != kept {
            return vec![passing];
        }
        if passing.way == Way::ToClient {
            return if is_of(&passing, room) { Vec::new() } else { vec![passing] };
        }
        let Some((Header::Message(header), frame)) = read::frame(&passing) else {
            return vec![passing];
        };
        if header.cid.to_string() != room {
            return vec![passing];
        }
        let deliver = |other: &&str| match place {
            Place::Now => scene.deliver(other, frame.bytes()),
            Place::Back => scene.deliver_at(begun, other, frame.bytes()),
        };
        let mut out: Vec<Passing> = others.iter().filter_map(deliver).collect();
        let position = scene.position;
        let ack = json!({"tag": "ACK", "stage": "stored", "id": header.id, "position": position});
        out.push(passing.with(Way::ToClient, Message::Text(ack.to_string())));
        out
    })
}

/// Whether this is anything about the room: news of its links, or a frame in it.
fn is_of(passing: &Passing, room: &str) -> bool {
    let in_room = |header: &Header| match header {
        Header::Message(header) => header.cid.to_string() == room,
        Header::Key(header) => header.cid.to_string() == room,
        _ => false,
    };
    match &passing.message {
        Message::Text(_) => ["HEADS", "MEMBERS", "KEYS"].iter().any(|tag| {
            read::text(passing, Way::ToClient, tag)
                .is_some_and(|value| value.to_string().contains(room))
        }),
        _ => read::delivery(passing).is_some_and(|(header, _)| in_room(&header)),
    }
}
