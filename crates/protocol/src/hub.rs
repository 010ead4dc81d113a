//! Text messages: JSON between one client and the hub. A closed set; unknown fields are refused.
//!
//! What the hub says here is the hub's word: unsigned, and never a reason to trust a key.

mod client_to_hub;
mod hub_to_client;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::limits::{JSON_DEPTH_MAX, TEXT_BYTES_MAX};
use crate::strict;

pub use client_to_hub::{ClientToHub, Log, Moderation};
pub use hub_to_client::{
    Counter, DropClaim, EpochHead, Head, HubStage, HubToClient, Person, PersonBundles, RoomInfo,
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

/// Reads a message strictly: length and depth first, then the form that all JSON has here, then the
/// closed set.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, TextError> {
    check_bounds(text)?;
    strict::from_slice(text.as_bytes()).map_err(|error| TextError::Form(error.to_string()))
}

/// Whether a text is short and flat enough to be looked at by a parser at all.
pub fn check_bounds(text: &str) -> Result<(), TextError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(TextError::TooLong { got: text.len() });
    }
    check_depth(text)
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
    use crate::id::{KeyId, MessageId};
    use crate::keys::Held;
    use crate::name::{ConversationId, RoomName, UserName};

    #[test]
    fn messages_survive_their_text_and_nothing_else_is_read() {
        let id = MessageId([1; 16]);
        let log = Log::Conversation(ConversationId::parse("room:lobby").unwrap());
        let messages = [
            ClientToHub::Bundles {
                id,
                known: [(UserName::new("bob").unwrap(), Held::default())].into(),
                kids: [(UserName::new("bob").unwrap(), vec![KeyId([7; 16])])].into(),
            },
            ClientToHub::Heads { id, after: ConversationId::parse("room:ops").unwrap() },
            ClientToHub::Counters { id, cids: vec![ConversationId::parse("room:ops").unwrap()] },
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
            ClientToHub::Moderate {
                id,
                cid: ConversationId::room(&RoomName::lobby()),
                who: UserName::new("bob").unwrap(),
                act: Moderation::Unban,
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

    /// `null` for what is optional, a key twice, and integers that some readers round.
    #[test]
    fn a_text_has_one_meaning() {
        let id = MessageId([1; 16]);
        for (right, wrong) in [
            (format!(r#""tag":"WHO","id":"{id}""#), r#","after":null"#),
            (format!(r#""tag":"ROOMS","id":"{id}""#), r#","after":null"#),
            (format!(r#""tag":"RETENTION","id":"{id}","cid":"room:ops""#), r#","keep_ms":null"#),
            (
                format!(r#""tag":"RETENTION","id":"{id}","cid":"room:ops""#),
                r#","keep_ms":9007199254740992"#,
            ),
            (r#""tag":"SEEN""#.to_owned(), r#","positions":{"inbox":9007199254740992}"#),
            (r#""tag":"SEEN""#.to_owned(), r#","positions":{"inbox":7,"inbox":8}"#),
        ] {
            let text = format!("{{{right}{wrong}}}");
            assert!(matches!(read::<ClientToHub>(&text), Err(TextError::Form(_))), "{text}");
        }
        let texts = [
            format!(r#"{{"tag":"FIND","id":"{id}","query":{{"owner":null}}}}"#),
            format!(r#"{{"tag":"BUNDLES","id":"{id}","known":{{"bob":0,"bob":0}}}}"#),
        ];
        for text in texts {
            assert!(matches!(read::<ClientToHub>(&text), Err(TextError::Form(_))), "{text}");
        }
        for text in [
            format!(r#"{{"tag":"BUNDLES","id":"{id}","people":{{}},"unknown":null}}"#),
            format!(r#"{{"tag":"RETRY","id":"{id}","after_ms":9007199254740992,"why":""}}"#),
            r#"{"tag":"NOACK","stage":"stored","id":null,"code":"E_EPOCH","reason":""}"#.to_owned(),
            r#"{"tag":"HEADS","heads":[{"cid":"room:ops","mg":0,"pm":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","epoch":null}]}"#.to_owned(),
        ] {
            assert!(matches!(read::<HubToClient>(&text), Err(TextError::Form(_))), "{text}");
            let right = text.replace("740992", "740991").replace(r#","unknown":null"#, "");
            let right = right.replace(r#","id":null"#, "").replace(r#","epoch":null"#, "");
            assert!(read::<HubToClient>(&right).is_ok(), "{right}");
        }
    }

    #[test]
    fn deep_json_is_refused_before_it_is_parsed() {
        let deep = "[".repeat(100_000);
        assert_eq!(read::<ClientToHub>(&deep), Err(TextError::TooDeep));
        let quoted = format!("{{\"tag\":\"{}\"}}", "[".repeat(100));
        assert!(matches!(read::<ClientToHub>(&quoted), Err(TextError::Form(_))));
    }
}
