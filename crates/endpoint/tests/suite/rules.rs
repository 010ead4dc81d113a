//! The envelope's rules, by number, as far as a device keeps them against its hub and against people
//! who cheat. Rules about bytes are tested where frames are made.

mod counters;
mod epochs;
mod keys;

use bytes::Bytes;
use chat_endpoint::{Alarm, Event};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::{Header, MessageHeader};
use chat_protocol::id::MessageId;

use crate::hub::{TestHub, lobby};

/// Says something in the lobby and waits until everybody is at rest.
pub(crate) fn say(hub: &mut TestHub, index: usize, text: &str) -> MessageId {
    let now = hub.now;
    let id = hub.peers[index].endpoint.say(now, &lobby(), text).expect("a text that can be said");
    hub.run();
    id
}

/// What a device was told is missing, in order.
fn gaps(hub: &TestHub, index: usize) -> Vec<Vec<u32>> {
    let gap = |event: &Event| match event {
        Event::Gap { missing, .. } => Some(missing.clone()),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(gap).collect()
}

pub(crate) fn alarms(hub: &TestHub, index: usize) -> Vec<Alarm> {
    let alarm = |event: &Event| match event {
        Event::Alarm { kind, .. } => Some(*kind),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(alarm).collect()
}

/// The words of complaints with this code.
pub(crate) fn complaints(hub: &TestHub, index: usize, wanted: &str) -> Vec<String> {
    let events = hub.peers[index].events.iter();
    let words = events.filter_map(|event| match event {
        Event::Complaint { code, reason, .. } if code == wanted => Some(reason.clone()),
        _ => None,
    });
    words.collect()
}

fn unreadable(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| matches!(event, Event::Unreadable { .. }))
}

/// Nothing is missing, wrong or unreadable for a device.
fn assert_untroubled(hub: &TestHub, index: usize) {
    assert_eq!(gaps(hub, index), Vec::<Vec<u32>>::new(), "gaps");
    assert_eq!(alarms(hub, index), [], "alarms");
    assert_eq!(unreadable(hub, index), 0, "unreadable");
}

fn header(frame: &Bytes) -> MessageHeader {
    let frame = RawFrame::decode(frame.clone()).expect("a frame");
    match Header::parse(frame.header()) {
        Ok(Header::Message(header)) => header,
        other => unreachable!("not a message: {other:?}"),
    }
}
