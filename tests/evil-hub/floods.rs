//! Lies about how much there is.

use bytes::Bytes;
use chat_protocol::crypto::random;
use chat_protocol::frame::{Binary, Delivery, Upload};
use chat_protocol::header::{Canonical as _, Header, MessageHeader, Recipient};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::{Tag, label};
use chat_testkit::device::Device;
use chat_testkit::middle::{Message, Passing, Way};
use chat_testkit::{name, now_ms};
use serde_json::json;

use crate::deliveries::OWN_KEYS;
use crate::{Act, VICTIM, WRITER, read};

/// What is sent in all.
const FLOOD_BYTES: usize = 300 << 20;

/// One part: as much as a binary message of an epoch carries.
const PART_BYTES: usize = 60_000;

/// Conversations that nobody has.
const STRANGE_LOGS: usize = 2_000;

/// Answers the writer's messages in this way, and keeps them from the hub.
fn answered(answer: impl Fn(&str, &str) -> serde_json::Value + Send + 'static) -> Act {
    Box::new(move |_, passing: Passing| match read::frame(&passing) {
        Some((Header::Message(header), _)) if passing.user == WRITER => {
            let answer = answer(&header.id.to_string(), header.cid.as_ref());
            vec![passing.with(Way::ToClient, Message::Text(answer.to_string()))]
        }
        _ => vec![passing],
    })
}

pub(crate) fn retry_at_once() -> Act {
    answered(|id, _| json!({"tag": "RETRY", "id": id, "after_ms": 0, "why": "later"}))
}

pub(crate) fn rekey_storm() -> Act {
    answered(|id, cid| {
        let head = json!({"cid": cid, "mg": 0, "pm": Digest::ZERO.to_string()});
        json!({"tag": "REKEY", "id": id, "head": head})
    })
}

/// Says of every key of the writer that another one was first, which nobody has made.
pub(crate) fn lost_races() -> Act {
    Box::new(|_, passing| {
        if passing.user != WRITER {
            return vec![passing];
        }
        if let Message::Binary(bytes) = &passing.message
            && let (Way::ToHub, Ok(Binary::Upload(_))) =
                (passing.way, Binary::decode(bytes.clone()))
        {
            return Vec::new();
        }
        let Some((Header::Key(header), _)) = read::frame(&passing) else { return vec![passing] };
        let epoch = json!({"g": header.g, "e": Digest(random()).to_string()});
        let cid: &str = header.cid.as_ref();
        let head = json!({
            "cid": cid, "mg": header.mg, "pm": header.pm.to_string(), "epoch": epoch,
        });
        let answer = json!({
            "tag": "NOACK", "stage": "stored", "id": MessageId(header.eid.0).to_string(),
            "code": "E_EPOCH", "reason": "another epoch was accepted first; use that one",
            "head": head,
        });
        vec![passing.with(Way::ToClient, Message::Text(answer.to_string()))]
    })
}

/// Once, when the victim gets a message of the writer.
fn once(mut flood: impl FnMut(&mut crate::Scene) -> Vec<Passing> + Send + 'static) -> Act {
    let mut is_told = false;
    Box::new(move |scene, passing| {
        let is_due = scene.news(&passing).is_some() && !is_told;
        let mut out = vec![passing];
        if is_due {
            is_told = true;
            out.extend(flood(scene));
        }
        out
    })
}

pub(crate) fn unasked_parts() -> Act {
    once(|scene| {
        let part = || {
            let bytes = Bytes::from(vec![b'x'; PART_BYTES]);
            Upload::Members { e: Digest(random()), offset: 0, bytes }.encode()
        };
        (0..FLOOD_BYTES / PART_BYTES)
            .filter_map(|_| scene.to(VICTIM, Message::Binary(part())))
            .collect()
    })
}

pub(crate) fn first_frames() -> Act {
    let stranger = Device::new("mallory", OWN_KEYS);
    once(move |scene| {
        let mut out = Vec::new();
        for number in 0..STRANGE_LOGS {
            let other = name(&format!("nobody-{number}"));
            let Ok(cid) = ConversationId::direct(&name(VICTIM), &other) else { continue };
            let mut header = stranger.message(Tag::Dm, &cid, Digest(random()), 0);
            (header.from, header.to) = (other, Recipient::User(name(VICTIM)));
            let frame = big(&stranger, &header);
            scene.position += 1;
            let delivery = Delivery::encode(scene.position, now_ms(), &frame);
            out.extend(scene.to(VICTIM, Message::Binary(delivery)));
        }
        out
    })
}

/// A frame of this header, as large as a frame may be nearly.
fn big(stranger: &Device, header: &MessageHeader) -> Bytes {
    stranger.sign(label::MSG, header.to_bytes(), vec![7; PART_BYTES])
}

pub(crate) fn pages_without_end() -> Act {
    Box::new(|_, passing| {
        for tag in ["MEMBERS", "WHO", "ROOMS", "FOUND"] {
            if let Some(mut value) = read::text(&passing, Way::ToClient, tag)
                && passing.user == VICTIM
            {
                value["more"] = true.into();
                return vec![read::with_text(&passing, &value)];
            }
        }
        vec![passing]
    })
}
