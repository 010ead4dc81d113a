//! A room whose news one member does not get, and whose frames go around the hub: so a removed
//! member reads on, and a banned one writes on.

use std::collections::BTreeMap;

use bytes::Bytes;
use chat_protocol::frame::{Binary, Upload};
use chat_protocol::header::Header;
use chat_protocol::id::Digest;
use chat_protocol::members::MemberList;
use chat_testkit::middle::{Message, Passing, Way};
use serde_json::{Value, json};

use crate::{Act, Scene, read};

/// Where the hub says that frames stand which go around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind everything.
    Now,
    /// Where its log stood when the lie began.
    Back,
}

/// `kept` is told nothing of the room any more, and sees the links that it had when the lie began. What
/// `kept` says there, and the keys that it makes, never come to the honest hub: they are called stored, and
/// given to `others`.
pub fn around(
    room: &'static str,
    kept: &'static str,
    others: &'static [&'static str],
    place: Place,
) -> Act {
    let mut detour = Detour {
        room,
        others,
        place,
        begun: None,
        questions: BTreeMap::new(),
        links: None,
        key: None,
    };
    Box::new(move |scene, passing: Passing| {
        detour.begun.get_or_insert(scene.position);
        match passing.way {
            _ if passing.user != kept => vec![passing],
            Way::ToClient => detour.told(passing),
            Way::ToHub => detour.said(scene, passing),
        }
    })
}

/// So far above its true position lies what an answer names.
const FAR: u64 = 1 << 20;

/// As [`around`]; besides, all that `remover` is answered names a position far above those at which the frames of
/// `kept` are delivered.
pub fn around_and_far(
    room: &'static str,
    kept: &'static str,
    (remover, others): (&'static str, &'static [&'static str]),
) -> Act {
    let mut around = around(room, kept, others, Place::Now);
    Box::new(move |scene, passing| {
        if passing.user == remover
            && let Some(mut answer) = read::text(&passing, Way::ToClient, "ACK")
            && let Some(position) = answer["position"].as_u64()
        {
            answer["position"] = json!(position + FAR);
            return vec![read::with_text(&passing, &answer)];
        }
        around(scene, passing)
    })
}

struct Detour {
    room: &'static str,
    others: &'static [&'static str],
    place: Place,
    /// The newest position when the lie began.
    begun: Option<u64>,
    /// From which link on `kept` has asked for links, by the question's id.
    questions: BTreeMap<String, u64>,
    /// How many links `kept` may see.
    links: Option<u64>,
    key: Option<Key>,
}

/// An epoch that comes in parts.
struct Key {
    e: Digest,
    id: String,
    frame: Bytes,
    members: Vec<u8>,
    wraps: Vec<Bytes>,
}

impl Detour {
    /// What `kept` is told, if anything.
    fn told(&mut self, passing: Passing) -> Vec<Passing> {
        if let Some(heads) = read::text(&passing, Way::ToClient, "HEADS") {
            let all = heads["heads"].as_array();
            let head = all.into_iter().flatten().find(|head| head["cid"] == self.room);
            let Some(head) = head else { return vec![passing] };
            // The first news is of the link that is withheld.
            self.links.get_or_insert(head["mg"].as_u64().unwrap() - 1);
            return Vec::new();
        }
        if let Some(mut answer) = read::text(&passing, Way::ToClient, "MEMBERS")
            && let Some(from) = self.questions.remove(answer["id"].as_str().unwrap())
            && let Some(links) = self.links
        {
            let shown = usize::try_from(links.saturating_sub(from)).unwrap();
            answer["links"].as_array_mut().unwrap().truncate(shown);
            return vec![read::with_text(&passing, &answer)];
        }
        let is_hidden = match read::delivery(&passing) {
            Some((Header::Message(header), _)) => header.cid.to_string() == self.room,
            Some((Header::Key(header), _)) => header.cid.to_string() == self.room,
            _ => false,
        };
        if is_hidden { Vec::new() } else { vec![passing] }
    }

    /// What becomes of what `kept` sends.
    fn said(&mut self, scene: &mut Scene, passing: Passing) -> Vec<Passing> {
        if let Some(question) = read::text(&passing, Way::ToHub, "MEMBERS")
            && question["cid"] == self.room
        {
            let id = question["id"].as_str().unwrap().to_owned();
            self.questions.insert(id, question["from"].as_u64().unwrap());
            return vec![passing];
        }
        match read::frame(&passing) {
            Some((Header::Message(header), frame)) if header.cid.to_string() == self.room => {
                let frame = frame.bytes().clone();
                let mut out: Vec<Passing> = self
                    .others
                    .iter()
                    .filter_map(|other| self.deliver(scene, other, &frame))
                    .collect();
                out.push(stored(scene, &passing, &json!(header.id)));
                out
            }
            Some((Header::Key(header), frame)) if header.cid.to_string() == self.room => {
                self.key = Some(Key {
                    e: chat_protocol::epoch::digest(&frame),
                    id: header.eid.to_string(),
                    frame: frame.bytes().clone(),
                    members: Vec::new(),
                    wraps: Vec::new(),
                });
                Vec::new()
            }
            _ => self.part(scene, passing),
        }
    }

    /// A part of an epoch of `kept`; the last one completes it.
    fn part(&mut self, scene: &mut Scene, passing: Passing) -> Vec<Passing> {
        let (Some(key), Message::Binary(bytes)) = (&mut self.key, &passing.message) else {
            return vec![passing];
        };
        let upload = match Binary::decode(bytes.clone()) {
            Ok(Binary::Upload(upload)) if upload.epoch() == key.e => upload,
            _ => return vec![passing],
        };
        match upload {
            Upload::Members { bytes, .. } => key.members.extend_from_slice(&bytes),
            Upload::Wraps { wraps, .. } => key.wraps.extend(wraps),
        }
        let list = MemberList::parse(&key.members).unwrap();
        if key.wraps.len() < list.lines().len() {
            return Vec::new();
        }
        let key = self.key.take().unwrap();
        let mut out = Vec::new();
        for (line, wrap) in list.lines().iter().zip(&key.wraps) {
            let name = line.name.as_str();
            if !self.others.contains(&name) {
                continue;
            }
            out.extend(self.deliver(scene, name, &key.frame));
            let first = u16::try_from(list.position(&line.name, &line.sk).unwrap()).unwrap();
            let parts = Upload::split(key.e, list.as_bytes(), &[]).into_iter();
            let own = Upload::Wraps { e: key.e, first, wraps: vec![wrap.clone()] }.encode();
            out.extend(parts.chain([own]).filter_map(|part| scene.to(name, Message::Binary(part))));
        }
        out.push(stored(scene, &passing, &key.id.into()));
        out
    }

    fn deliver(&self, scene: &mut Scene, user: &str, frame: &Bytes) -> Option<Passing> {
        match (self.place, self.begun) {
            (Place::Back, Some(begun)) => scene.deliver_at(begun, user, frame),
            _ => scene.deliver(user, frame),
        }
    }
}

/// The hub's word that it keeps a frame.
fn stored(scene: &Scene, passing: &Passing, id: &Value) -> Passing {
    let position = scene.position;
    let ack = json!({"tag": "ACK", "stage": "stored", "id": id, "position": position});
    passing.with(Way::ToClient, Message::Text(ack.to_string()))
}
