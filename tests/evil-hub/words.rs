//! Lies about what a hub says in clear.

use chat_protocol::b64;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::{
    Canonical as _, Header, MemberArgument, MemberHeader, MemberOperation,
};
use chat_protocol::hub::{self, Counter, EpochHead, Head, HubToClient};
use chat_protocol::id::Digest;
use chat_protocol::retention::DELETED_KEEP_MS;
use chat_protocol::tag::{Tag, label};
use chat_testkit::device::Device;
use chat_testkit::middle::{Message, Passing, Way};
use chat_testkit::{cid, new_id, now_ms};
use serde_json::{Value, json};

use crate::deliveries::{OWN_KEYS, nothing};
use crate::{Act, VICTIM, WRITER, read};

/// The generation that is claimed.
const GENERATION: u32 = u32::MAX - 1;

/// Changes the head of every conversation in a text message.
fn change_heads(value: &mut Value) {
    let change = |head: &mut Value| {
        head["epoch"] = json!({"g": GENERATION, "e": nothing().to_string()});
    };
    if let Some(heads) = value.get_mut("heads").and_then(Value::as_array_mut) {
        heads.iter_mut().for_each(change);
    }
    if let Some(head) = value.get_mut("head").filter(|head| head.is_object()) {
        change(head);
    }
}

pub(crate) fn huge_generation() -> Act {
    Box::new(|_, mut passing| {
        if passing.user != VICTIM || passing.way == Way::ToHub {
            return vec![passing];
        }
        match &mut passing.message {
            Message::SignedIn(signed_in) => {
                for head in &mut signed_in.heads {
                    head.epoch = Some(EpochHead { g: GENERATION, e: nothing() });
                }
            }
            Message::Text(text) => {
                if let Ok(mut value) = serde_json::from_str(text) {
                    change_heads(&mut value);
                    *text = value.to_string();
                }
            }
            Message::Binary(_) => {}
        }
        vec![passing]
    })
}

/// Changes what the victim is told about the writer's bundles.
fn about_bundles(mut change: impl FnMut(&mut Value) + Send + 'static) -> Act {
    Box::new(move |_, passing| match read::text(&passing, Way::ToClient, "BUNDLES") {
        Some(mut value) if passing.user == VICTIM => {
            change(&mut value);
            vec![read::with_text(&passing, &value)]
        }
        _ => vec![passing],
    })
}

pub(crate) fn huge_version() -> Act {
    about_bundles(|value| {
        let people = value["people"].as_object_mut().into_iter().flat_map(|map| map.values_mut());
        for person in people {
            person["version"] = u32::MAX.into();
        }
    })
}

/// The bundles under a name, however the answer holds them.
fn bundles_of<'a>(value: &'a mut Value, user: &str) -> Option<&'a mut Vec<Value>> {
    let person = value.get_mut("people")?.get_mut(user)?;
    if person.is_array() {
        return person.as_array_mut();
    }
    person.get_mut("bundles")?.as_array_mut()
}

fn encoded(bundle: &[u8]) -> Value {
    b64::encode(bundle).into()
}

pub(crate) fn anothers_bundle() -> Act {
    let carol = Device::new("carol", OWN_KEYS);
    about_bundles(move |value| {
        if let Some(bundles) = bundles_of(value, WRITER) {
            *bundles = vec![encoded(carol.bundle.bytes())];
        }
    })
}

pub(crate) fn ghost_device() -> Act {
    let ghost = Device::new(WRITER, OWN_KEYS);
    about_bundles(move |value| {
        if let Some(bundles) = bundles_of(value, WRITER) {
            bundles.push(encoded(ghost.bundle.bytes()));
        }
    })
}

pub(crate) fn false_counters() -> Act {
    let mut heads: Vec<Head> = Vec::new();
    Box::new(move |_, mut passing| {
        if passing.user != VICTIM || passing.way == Way::ToHub {
            return vec![passing];
        }
        match &mut passing.message {
            Message::SignedIn(signed_in) => heads.clone_from(&signed_in.heads),
            Message::Text(text) => {
                if let Ok(HubToClient::Counters { id, .. }) = hub::read(text) {
                    let claim = |head: &Head| {
                        Some(Counter { cid: head.cid.clone(), epoch: head.epoch?, n: 1_000 })
                    };
                    let counters = heads.iter().filter_map(claim).collect();
                    *text = hub::write(&HubToClient::Counters { id, counters });
                }
            }
            Message::Binary(_) => {}
        }
        vec![passing]
    })
}

/// A link by which an account that the hub has made up lets itself into a room, as its next one.
fn link_of_a_ghost(room: &str, (mg, pm): (u32, Digest)) -> Vec<u8> {
    let ghost = Device::new("ghost", OWN_KEYS);
    let header = MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: cid(room),
        from: ghost.user.clone(),
        sk: ghost.keys.signing_id(),
        op: MemberOperation::Admit,
        who: ghost.user.clone(),
        ik: ghost.bundle.identity(),
        arg: MemberArgument::None,
        mg,
        pm,
        id: new_id(),
        ts: now_ms(),
    };
    ghost.sign(label::MEMBER, header.to_bytes(), Vec::new()).to_vec()
}

pub(crate) fn made_up_link() -> Act {
    Box::new(|_, passing| {
        let Some(mut value) = read::text(&passing, Way::ToClient, "MEMBERS") else {
            return vec![passing];
        };
        if passing.user != VICTIM {
            return vec![passing];
        }
        let room = value["cid"].as_str().unwrap_or_default().to_owned();
        let Some(links) = value["links"].as_array_mut() else { return vec![passing] };
        let last = links.last().and_then(Value::as_str).and_then(|link| b64::decode(link).ok());
        let place = last.and_then(|last| {
            let frame = RawFrame::decode(last.into()).ok()?;
            match Header::parse(frame.header()).ok()? {
                Header::Member(header) => Some((header.mg + 1, frame.digest(label::MEMBER))),
                _ => None,
            }
        });
        let Some(place) = place else { return vec![passing] };
        links.push(encoded(&link_of_a_ghost(&room, place)));
        vec![read::with_text(&passing, &value)]
    })
}

pub(crate) fn dropped_by_retention() -> Act {
    let mut lost = 0u64;
    Box::new(move |scene, passing| {
        let Some((Header::Message(header), delivery)) = scene.news(&passing) else {
            return vec![passing];
        };
        if header.cid.is_direct() || lost > 0 {
            return vec![passing];
        }
        lost += 1;
        let claim = json!({
            "tag": "DROPPED", "cid": header.cid.to_string(), "position": delivery.position,
            "before_ms": now_ms(), "keep_ms": 60_000, "messages": lost,
        });
        scene.to(VICTIM, Message::Text(claim.to_string())).into_iter().collect()
    })
}

/// Says of the room of each message of the writer that it was deleted, and the message with it.
pub(crate) fn false_deletion() -> Act {
    Box::new(|scene, passing| {
        let Some((Header::Message(header), delivery)) = scene.news(&passing) else {
            return vec![passing];
        };
        if header.cid.is_direct() {
            return vec![passing];
        }
        let claim = json!({
            "tag": "DROPPED", "cid": header.cid.to_string(), "position": delivery.position,
            "before_ms": now_ms(), "keep_ms": DELETED_KEEP_MS, "messages": 1,
        });
        scene.to(VICTIM, Message::Text(claim.to_string())).into_iter().collect()
    })
}

/// Says to the writer that the victim's account was deleted, as often as it is asked for the victim's keys.
pub(crate) fn false_gone() -> Act {
    let mut asked = std::collections::BTreeSet::new();
    Box::new(move |_, passing: Passing| {
        if passing.user != WRITER {
            return vec![passing];
        }
        if let Some(question) = read::text(&passing, Way::ToHub, "BUNDLES")
            && question["known"].get(VICTIM).is_some()
        {
            asked.insert(question["id"].to_string());
        }
        match read::text(&passing, Way::ToClient, "BUNDLES") {
            Some(mut answer) if asked.remove(&answer["id"].to_string()) => {
                answer["gone"] = json!([VICTIM]);
                vec![read::with_text(&passing, &answer)]
            }
            _ => vec![passing],
        }
    })
}

/// Shows the writer no key of somebody, whatever is asked.
pub fn withheld_bundle(of: &'static str) -> Act {
    Box::new(move |_, passing: Passing| {
        let answer = read::text(&passing, Way::ToClient, "BUNDLES");
        let Some(mut answer) = answer.filter(|_| passing.user == WRITER) else {
            return vec![passing];
        };
        let people = answer.get_mut("people").and_then(Value::as_object_mut);
        if people.and_then(|people| people.remove(of)).is_none() {
            return vec![passing];
        }
        vec![read::with_text(&passing, &answer)]
    })
}

/// Turns the answer to a message of the writer into a refusal.
pub(crate) fn refused() -> Act {
    let mut messages = std::collections::BTreeSet::new();
    Box::new(move |_, passing: Passing| {
        if let Some((Header::Message(header), _)) = read::frame(&passing)
            && passing.user == WRITER
        {
            messages.insert(header.id.to_string());
        }
        match read::text(&passing, Way::ToClient, "ACK") {
            Some(ack) if ack["id"].as_str().is_some_and(|id| messages.contains(id)) => {
                let refusal = json!({
                    "tag": "NOACK", "stage": "stored", "id": ack["id"],
                    "code": "E_STORAGE_FULL", "reason": "no room",
                });
                vec![read::with_text(&passing, &refusal)]
            }
            _ => vec![passing],
        }
    })
}
