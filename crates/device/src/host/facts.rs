//! A line of an operation log as people read it.

use std::fmt::{self, Write as _};

use chat_oplog::{Level, Operation, Outcome};
use chat_protocol::name::ConversationId;
use chat_protocol::sanitise;

/// The fields that are there, in the order of a sentence: who, what, how, how long. Each has a space before it.
pub fn facts(operation: &Operation<'_>) -> String {
    let mut facts = String::new();
    let mut say = |words: &str, value: &dyn fmt::Display| {
        let value = value.to_string();
        write!(facts, " {words}{}", sanitise::line(&value))
            .expect("writing to a String cannot fail");
    };
    if operation.level != Level::Info {
        say("", if operation.level == Level::Warn { &"WARN" } else { &"ERROR" });
    }
    // As people call it, where the log has the name that programs use.
    let place = operation.conversation.as_ref().map(|place| {
        let cid = ConversationId::parse(place.as_str());
        cid.map_or_else(|_| place.clone(), |cid| cid.spoken().into())
    });
    let texts = [
        ("", &operation.tag),
        ("user=", &operation.user),
        ("peer=", &operation.peer),
        ("at=", &operation.address),
        ("in=", &place),
        ("lane=", &operation.priority),
        ("stage=", &operation.stage),
    ];
    for (words, text) in texts {
        if let Some(text) = text {
            say(words, text);
        }
    }
    let numbers = [
        ("connection=", operation.conn_id),
        ("seq=", operation.seq),
        ("bytes=", operation.bytes),
        ("recipients=", operation.recipients),
        ("batch=", operation.batch),
        ("attempt=", operation.attempt),
        ("queue_us=", operation.queue_us),
        ("crypto_us=", operation.crypto_us),
        ("commit_us=", operation.commit_us),
        ("total_us=", operation.total_us),
    ];
    for (words, number) in numbers {
        if let Some(number) = number {
            say(words, &number);
        }
    }
    if let Some(exit) = operation.exit {
        say("exit=", &exit);
    }
    match operation.outcome {
        Some(Outcome::Ok) => say("", &"OK"),
        Some(Outcome::Refused) => say("", &"REFUSED"),
        Some(Outcome::Failed) => say("", &"FAILED"),
        Some(Outcome::Retry) => say("", &"RETRY"),
        None => {}
    }
    for text in [&operation.code, &operation.reason].into_iter().flatten() {
        say("", text);
    }
    facts
}
