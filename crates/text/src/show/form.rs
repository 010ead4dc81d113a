//! One thing in the forms in which a program prints it.

use serde_json::{Value, json};

/// One thing as a line and as an object, where there is one.
pub(super) type Form = (Option<String>, Option<Value>);

/// Something in both forms.
pub(super) fn both(line: impl Into<String>, object: Value) -> Form {
    (Some(line.into()), Some(object))
}

/// Something that only people are told.
pub(super) fn line(line: impl Into<String>) -> Form {
    (Some(line.into()), None)
}

/// There is nothing on a list that was asked for: people are told so in these words.
pub(super) fn empty(line: impl Into<String>, list: &str) -> Form {
    both(line, json!({"event": "empty", "list": list}))
}
