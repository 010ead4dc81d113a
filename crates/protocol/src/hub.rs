//! Text messages: JSON between one client and the hub. A closed set; unknown fields are refused.
//!
//! What the hub says here is the hub's word: unsigned, and never a reason to trust a key.

mod client_to_hub;
mod hub_to_client;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::limits::{JSON_DEPTH_MAX, TEXT_BYTES_MAX};

pub use client_to_hub::{ClientToHub, Log};
pub use hub_to_client::{
    DropClaim, EpochHead, Head, HubStage, HubToClient, Person, PersonBundles, RoomInfo,
};

/// Why a text message was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// Above [`TEXT_BYTES_MAX`].
    #[error("message of {got} bytes, at most {TEXT_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        got: usize,
    },
    /// Nested deeper than [`JSON_DEPTH_MAX`].
    #[error("JSON is nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// Not JSON, or not one of the messages.
    #[error("message: {0}")]
    Form(String),
}

/// Reads a message strictly: length and depth first, then the closed set.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, TextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong { got: text.len() });
    }
    check_depth(text)?;
    serde_json::from_str(text).map_err(|error| TextError::Form(error.to_string()))
}

/// Writes a message.
pub fn write<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).expect("messages hold only strings, numbers and lists of them")
}

/// Refuses deep nesting before a parser recurses into it.
fn check_depth(text: &str) -> Result<(), TextError> {
    let (mut depth, mut inside, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' | b'[' if !inside => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(TextError::TooDeep);
                }
            }
            b'}' | b']' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::catalogue::Query;
    use crate::id::MessageId;
    use crate::name::{ConversationId, RoomName, UserName};

    #[test]
    fn messages_survive_their_text_and_nothing_else_is_read() {
        let id = MessageId([1; 16]);
        let log = Log::Conversation(ConversationId::parse("room:lobby").unwrap());
        let messages = [
            ClientToHub::Bundles { id, known: [(UserName::new("bob").unwrap(), 3)].into() },
            ClientToHub::Who { id, after: None },
            ClientToHub::Rooms { id, after: Some(RoomName::lobby()) },
            ClientToHub::Topic {
                id,
                cid: ConversationId::parse("room:ops").unwrap(),
                text: "on call".to_owned(),
            },
            ClientToHub::Retention {
                id,
                cid: ConversationId::parse("room:ops").unwrap(),
                keep_ms: Some(0),
            },
            ClientToHub::Share { id, offers: Vec::new(), ended: vec![id] },
            ClientToHub::Find { id, query: Query::default() },
            ClientToHub::Seen { positions: [(log, 7), (Log::Inbox, 9)].into() },
        ];
        for message in messages {
            let text = write(&message);
            assert_eq!(read::<ClientToHub>(&text), Ok(message), "{text}");
            let more = text.replacen('{', "{\"extra\":1,", 1);
            assert!(read::<ClientToHub>(&more).is_err(), "{more}");
        }
        assert!(read::<ClientToHub>("{\"tag\":\"SHOUT\"}").is_err());
    }

    #[test]
    fn deep_json_is_refused_before_it_is_parsed() {
        let deep = "[".repeat(100_000);
        assert_eq!(read::<ClientToHub>(&deep), Err(TextError::TooDeep));
        let quoted = format!("{{\"tag\":\"{}\"}}", "[".repeat(100));
        assert!(matches!(read::<ClientToHub>(&quoted), Err(TextError::Form(_))));
    }
}
