//! A command in a durable event: the plaintext's own form.

use chat_protocol::content::{self, ChainNotes, Command, Content};
use chat_protocol::tag::Tag;
use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

pub(super) fn serialize<S: Serializer>(command: &Command, to: S) -> Result<S::Ok, S::Error> {
    let bytes = content::encode(&Content::Command(command.clone()), &ChainNotes::default());
    to.serialize_str(&String::from_utf8(bytes).map_err(ser::Error::custom)?)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Command, D::Error> {
    let text = String::deserialize(from)?;
    match content::decode(Tag::Cmd, text.as_bytes()).map_err(de::Error::custom)? {
        (Content::Command(command), _) => Ok(command),
        _ => Err(de::Error::custom("not a command")),
    }
}
