//! Events as JSON objects where pieces of output follow each other: a character that two of them share
//! is in the second one, and what is no text is there byte by byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use serde_json::{Value, json};

use super::json;
use super::output::Joined;

/// Makes the objects of one program's events, in their order.
#[derive(Debug, Default)]
pub struct Objects(Joined);

impl Objects {
    /// The objects for an event; most have one.
    pub fn of(&mut self, me: &UserName, event: &Event) -> Vec<Value> {
        match event {
            Event::Output { re, stderr, data } => {
                let whole = self.0.add(*re, *stderr, data);
                if whole.is_empty() { Vec::new() } else { vec![output(re, *stderr, &whole)] }
            }
            Event::OutputLost { re, .. } | Event::Ended { re, .. } => {
                let rests = self.0.end(*re).into_iter();
                let rests = rests.map(|(stderr, rest)| output(re, stderr, &rest));
                rests.chain(json::event(me, event)).collect()
            }
            _ => json::event(me, event),
        }
    }
}

/// `data` for text, `data_b64` (RFC 4648, section 4) for anything else.
fn output(re: &MessageId, stderr: bool, bytes: &[u8]) -> Value {
    let stream = if stderr { "stderr" } else { "stdout" };
    if let Ok(data) = str::from_utf8(bytes) {
        return json!({"event": "output", "id": re, "stream": stream, "data": data});
    }
    let data = STANDARD.encode(bytes);
    json!({"event": "output", "id": re, "stream": stream, "data_b64": data})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whatever a command writes and however it is cut, a program can put it together again.
    /// (The build before put U+FFFD in the place of what it could not read.)
    #[test]
    fn output_is_put_together_byte_by_byte() {
        let me = UserName::new("alice").expect("a name");
        let re = MessageId([1; 16]);
        let ended = Event::Ended {
            re,
            by: me.clone(),
            ok: true,
            status: Some(0),
            code: String::new(),
            reason: String::new(),
        };
        let text = "aé€😀\n".as_bytes();
        for bytes in [text, b"\xff\x00\xfe", b"ends in the middle \xe2\x82"] {
            for cut in 0..=bytes.len() {
                let (front, back) = bytes.split_at(cut);
                let mut objects = Objects::default();
                let mut said: Vec<Value> = [front, back]
                    .iter()
                    .flat_map(|piece| {
                        let data = piece.to_vec();
                        objects.of(&me, &Event::Output { re, stderr: true, data })
                    })
                    .collect();
                said.extend(objects.of(&me, &ended));
                let whole: Vec<u8> = said
                    .iter()
                    .filter(|object| object["event"] == "output")
                    .flat_map(|object| match (&object["data"], &object["data_b64"]) {
                        (Value::String(text), Value::Null) => text.clone().into_bytes(),
                        (Value::Null, Value::String(b64)) => STANDARD.decode(b64).expect("base64"),
                        _ => panic!("one of both: {object}"),
                    })
                    .collect();
                assert_eq!(whole, bytes, "cut at {cut}");
                assert!(said.iter().all(|object| !object.to_string().contains('\u{fffd}')));
                let is_text = str::from_utf8(bytes).is_ok();
                let has_bytes = said.iter().any(|object| object.get("data_b64").is_some());
                assert_eq!(has_bytes, !is_text, "{said:?}");
            }
        }
    }
}
