//! Objects as records of a line each, their fields parted by tabs: for `cut`, `awk` and the eye.

use chat_protocol::sanitise;
use serde_json::{Map, Value};

/// What stands in an empty field, so that tools that join tabs count right.
const NOTHING: &str = "-";

/// Keys that say when.
const TIMES: &[&str] = &["sent_at"];

/// Keys that say who.
const PEOPLE: &[&str] = &["from", "by", "owner", "user"];

/// Keys that have the text itself.
const TEXTS: &[&str] = &["text", "data"];

/// The record of an object: kind, time, conversation, who, id, text. Where there is no text, its field has what
/// is left of the object as `key=value`.
pub(super) fn record(object: &Value) -> String {
    let Value::Object(object) = object else { return String::new() };
    let mut rest = object.clone();
    let mut take =
        |keys: &[&str]| keys.iter().find_map(|key| rest.remove(*key)).map(|one| word(&one));
    let (kind, time, id) = (take(&["event"]), take(TIMES), take(&["id"]));
    let (place, who) = (place(object), take(PEOPLE));
    let text = take(TEXTS);
    for used in ["conversation", "room", "feed"] {
        rest.remove(used);
    }
    let text = text.or_else(|| left(&rest));
    let fields = [kind, time, place, who, id, text];
    let fields = fields.map(|field| field.filter(|field| !field.is_empty()));
    fields.map(|field| field.unwrap_or_else(|| NOTHING.to_owned())).join("\t")
}

/// The conversation: `#room`, `feed:NAME`, or its kind.
fn place(object: &Map<String, Value>) -> Option<String> {
    let text = |key| object.get(key).and_then(Value::as_str);
    match (text("feed"), text("room")) {
        (Some(feed), _) => Some(word(&format!("feed:{feed}").into())),
        (None, Some(room)) => Some(word(&format!("#{room}").into())),
        (None, None) => text("conversation").map(|kind| word(&kind.into())),
    }
}

/// What has no field of its own.
fn left(rest: &Map<String, Value>) -> Option<String> {
    let pairs: Vec<String> = rest.iter().map(|(key, one)| format!("{key}={}", word(one))).collect();
    (!pairs.is_empty()).then(|| pairs.join(" "))
}

/// One value in a field: no tab, no line end, nothing that acts on a terminal.
fn word(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => return String::new(),
        other => other.to_string(),
    };
    let text = text.replace('\\', r"\\").replace('\t', r"\t").replace('\n', r"\n");
    sanitise::line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_has_six_fields_whatever_is_in_them() {
        for (object, expected) in [
            (
                json!({"event": "message", "conversation": "room", "room": "dev", "id": "i", "from": "bob",
                       "text": "a\tb\nc\\n\u{1b}[2J", "sent_at": "t", "verified": true}),
                "message\tt\t#dev\tbob\ti\ta\\tb\\nc\\\\n\\x1b[2J",
            ),
            (
                json!({"event": "noack", "id": "i", "stage": "stored", "code": "E_X", "reason": "no"}),
                "noack\t-\t-\t-\ti\tcode=E_X reason=no stage=stored",
            ),
            (
                json!({"event": "message", "conversation": "feed", "feed": "bob", "room": "dev", "text": ""}),
                "message\t-\tfeed:bob\t-\t-\t-",
            ),
            (
                json!({"event": "user", "user": "bob", "online": true}),
                "user\t-\t-\tbob\t-\tonline=true",
            ),
        ] {
            assert_eq!(record(&object), expected);
            assert_eq!(expected.split('\t').count(), 6);
        }
    }
}
