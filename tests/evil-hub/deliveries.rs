//! Lies about frames.

use std::collections::BTreeSet;

use bytes::Bytes;
use chat_protocol::crypto::sha256;
use chat_protocol::frame::{Binary, Delivery, Unsigned, Upload, sign_all};
use chat_protocol::header::{Canonical as _, Header, MessageHeader};
use chat_protocol::id::Digest;
use chat_protocol::keys::DeviceKeys;
use chat_protocol::limits::INTEGER_MAX;
use chat_protocol::members::MemberList;
use chat_protocol::tag::label;
use chat_testkit::device::Device;
use chat_testkit::keys::keys;
use chat_testkit::middle::{Message, Passing, Way};
use chat_testkit::new_id;

use crate::{Act, Scene, VICTIM, WRITER, read};

/// Number of the prepared keys that the hub uses in the names of others.
pub(crate) const OWN_KEYS: usize = chat_testkit::keys::SETS - 1;

/// How far from its end a frame is changed: in its body, before the signature.
const FROM_END: usize = 300;

/// How many counters a made-up message is ahead.
const AHEAD: u32 = 1_000;

/// So many messages are made up after each real one.
const MADE_UP: u32 = 5;

/// Says yes to the second new message of the writer to the victim, the first time that it comes.
fn second_message() -> impl FnMut(&Scene, &Passing) -> bool + Send {
    let mut seen = BTreeSet::new();
    move |scene, passing| match scene.news(passing) {
        Some((Header::Message(header), _)) => seen.insert(header.id) && seen.len() == 2,
        _ => false,
    }
}

pub(crate) fn altered() -> Act {
    let mut is_it = second_message();
    Box::new(move |scene, mut passing| {
        if is_it(scene, &passing)
            && let Message::Binary(bytes) = &passing.message
        {
            let mut bytes = bytes.to_vec();
            let at = bytes.len().saturating_sub(FROM_END);
            bytes[at] ^= 1;
            passing.message = Message::Binary(bytes.into());
        }
        vec![passing]
    })
}

pub(crate) fn replayed() -> Act {
    Box::new(|scene, passing| {
        let again = read::writer_to_victim(&passing)
            .and_then(|(_, delivery)| scene.deliver(VICTIM, delivery.frame.bytes()));
        [passing].into_iter().chain(again).collect()
    })
}

pub(crate) fn dropped() -> Act {
    let mut is_it = second_message();
    Box::new(move |scene, passing| if is_it(scene, &passing) { Vec::new() } else { vec![passing] })
}

pub(crate) fn swapped() -> Act {
    let (mut is_it, mut late) = (second_message(), None);
    Box::new(move |scene, passing| {
        let place = match scene.news(&passing) {
            Some((Header::Message(header), _)) => Some(header.cid),
            _ => None,
        };
        if is_it(scene, &passing) {
            late = place.zip(Some(passing));
            return Vec::new();
        }
        // The next one of the same conversation.
        let late = late.take_if(|(cid, _)| place.as_ref() == Some(cid)).map(|(_, late)| late);
        [passing].into_iter().chain(late).collect()
    })
}

pub(crate) fn huge_position() -> Act {
    let mut is_it = second_message();
    Box::new(move |scene, mut passing| {
        let news = scene.news(&passing).filter(|_| is_it(scene, &passing));
        if let Some((_, delivery)) = news {
            let bytes = Delivery::encode(INTEGER_MAX, delivery.hub_ms, delivery.frame.bytes());
            passing.message = Message::Binary(bytes);
        }
        vec![passing]
    })
}

pub(crate) fn redirected() -> Act {
    Box::new(|scene, passing| {
        let copy = match &passing.message {
            Message::Binary(bytes) if passing.user == VICTIM && passing.way == Way::ToClient => {
                match Binary::decode(bytes.clone()) {
                    Ok(Binary::Delivery(delivery)) => {
                        scene.deliver("carol", delivery.frame.bytes())
                    }
                    _ => scene.to("carol", passing.message.clone()),
                }
            }
            _ => None,
        };
        [passing].into_iter().chain(copy).collect()
    })
}

pub(crate) fn withheld_key() -> Act {
    let mut is_told = false;
    Box::new(move |scene, passing| {
        let key = read::delivery(&passing).filter(|(header, delivery)| {
            let e = Digest(sha256(delivery.frame.header()));
            matches!(header, Header::Key(_)) && passing.user == VICTIM && !scene.is_old(&e)
        });
        if key.is_some() && !std::mem::replace(&mut is_told, true) {
            return Vec::new();
        }
        vec![passing]
    })
}

pub(crate) fn withheld_part() -> Act {
    let mut is_told = false;
    Box::new(move |scene, passing| {
        let is_part = match &passing.message {
            Message::Binary(bytes) if passing.user == VICTIM && passing.way == Way::ToClient => {
                match Binary::decode(bytes.clone()) {
                    Ok(Binary::Upload(Upload::Wraps { e, .. })) => !scene.is_old(&e),
                    _ => false,
                }
            }
            _ => false,
        };
        if is_part && !std::mem::replace(&mut is_told, true) {
            return Vec::new();
        }
        vec![passing]
    })
}

/// A device with the hub's own keys that calls itself like somebody else.
fn impostor(user: &str) -> Device {
    Device::new(user, OWN_KEYS)
}

/// A frame of this header with the hub's signature in the place of the writer's.
fn unsigned_by_the_writer(keys: &DeviceKeys, header: &MessageHeader) -> Bytes {
    let frame = Unsigned::new(label::MSG, header.to_bytes(), vec![7; 128]);
    sign_all(&keys.signing, &[frame]).pop().unwrap()
}

pub(crate) fn made_up_counters() -> Act {
    let keys = keys(OWN_KEYS);
    // What is sent because of the lie is not lied about again: the storm, if any, is the device's.
    let mut left = 3;
    Box::new(move |scene, passing| {
        let Some((Header::Message(header), _)) = scene.news(&passing) else {
            return vec![passing];
        };
        if left == 0 {
            return vec![passing];
        }
        left -= 1;
        let mut out = vec![passing];
        for number in 1..=MADE_UP {
            let mut header = header.clone();
            (header.n, header.id) = (header.n + number * AHEAD, new_id());
            out.extend(scene.deliver(VICTIM, &unsigned_by_the_writer(&keys, &header)));
        }
        out
    })
}

pub(crate) fn ghost_key() -> Act {
    let alice = impostor(WRITER);
    let mut is_told = false;
    Box::new(move |scene, passing| {
        let Some((Header::Message(header), _)) = scene.news(&passing) else {
            return vec![passing];
        };
        let mut out = vec![passing];
        if !std::mem::replace(&mut is_told, true) {
            let list = MemberList::new(alice.bundle.member_line());
            let epoch = alice.epoch(&header.cid, None, &list);
            let mut messages = epoch.messages.into_iter();
            out.extend(messages.next().and_then(|key| scene.deliver(VICTIM, &key)));
            out.extend(messages.filter_map(|part| scene.to(VICTIM, Message::Binary(part))));
            let said = alice.message(header.t, &header.cid, epoch.head.e, 0);
            out.extend(scene.deliver(VICTIM, &alice.seal(&said)));
        }
        out
    })
}

/// A digest that nothing has.
pub(crate) fn nothing() -> Digest {
    Digest(sha256(b"nothing has this digest"))
}
