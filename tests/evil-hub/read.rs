//! What a message on the wire is, as far as a hub can see.

use chat_protocol::frame::{Binary, Delivery, RawFrame};
use chat_protocol::header::Header;
use chat_testkit::middle::{Message, Passing, Way};
use serde_json::Value;

use crate::{VICTIM, WRITER};

/// A frame on its way to a device.
pub fn delivery(passing: &Passing) -> Option<(Header, Delivery)> {
    let Message::Binary(bytes) = &passing.message else { return None };
    let Ok(Binary::Delivery(delivery)) = Binary::decode(bytes.clone()) else { return None };
    Some((Header::parse(delivery.frame.header()).ok()?, delivery))
}

/// A frame on its way to the hub.
pub fn frame(passing: &Passing) -> Option<(Header, RawFrame)> {
    let Message::Binary(bytes) = &passing.message else { return None };
    let Ok(Binary::Frame(frame)) = Binary::decode(bytes.clone()) else { return None };
    Some((Header::parse(frame.header()).ok()?, frame))
}

/// A message of the writer on its way to the victim.
pub fn writer_to_victim(passing: &Passing) -> Option<(Header, Delivery)> {
    delivery(passing).filter(|(header, _)| {
        let is_writers = matches!(header, Header::Message(h) if h.from.as_str() == WRITER);
        is_writers && passing.user == VICTIM
    })
}

/// A text message in clear with this tag.
pub fn text(passing: &Passing, way: Way, tag: &str) -> Option<Value> {
    let Message::Text(text) = &passing.message else { return None };
    let value: Value = serde_json::from_str(text).ok()?;
    (passing.way == way && value["tag"] == tag).then_some(value)
}

/// The same message with another text.
#[must_use]
pub fn with_text(passing: &Passing, value: &Value) -> Passing {
    passing.with(passing.way, Message::Text(value.to_string()))
}
