//! The story of the encryption names no secret, and is not told unasked.

use chat_endpoint::Event;
use chat_protocol::crypto::sha256;
use serde_json::Value;

use crate::hub::{TestHub, lobby};

/// Every string in JSON that is long enough to be a key.
fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() >= 40 => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| strings(field, found)),
        _ => {}
    }
}

#[test]
fn no_chain_or_message_key_and_no_text_is_told() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let mut told = Vec::new();
    for peer in &mut hub.peers {
        peer.endpoint.trace_crypto();
    }
    let mut secrets = Vec::new();
    for text in ["the first heron", "the second heron"] {
        let now = hub.now;
        hub.peers[0].endpoint.say(now, &lobby(), text).expect("said");
        for _ in 0..50 {
            hub.turn();
            for peer in &mut hub.peers {
                told.extend(std::mem::take(&mut peer.trace));
            }
        }
        for peer in &hub.peers {
            // Chains as they are kept; digests that others know stand beside them.
            for (key, row) in peer.store.rows() {
                if key.starts_with("chain/") {
                    let row: Value = serde_json::from_slice(&row).expect("a row");
                    strings(&row["chain"], &mut secrets);
                }
            }
            secrets.extend(
                peer.events
                    .iter()
                    .filter_map(|event| match event {
                        Event::Message { frame: Some(frame), .. }
                        | Event::Stored { frame: Some(frame), .. } => {
                            Some(serde_json::to_value(&frame.key).expect("a key"))
                        }
                        _ => None,
                    })
                    .filter_map(|key| key.as_str().map(str::to_owned)),
            );
        }
    }
    let told = told.concat();
    assert!(told.contains("wrapped") && told.contains("opened with message key 1"), "{told}");
    assert!(!told.contains("heron"), "{told}");
    assert!(secrets.len() > 4, "chains and message keys were looked for: {}", secrets.len());
    for secret in secrets {
        assert!(!told.contains(&secret), "{secret} (sha256 {:02x?})", sha256(secret.as_bytes()));
    }
}

#[test]
fn nothing_is_told_unasked() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.say(now, &lobby(), "quiet").expect("said");
    hub.run();
    assert!(hub.peers.iter().all(|peer| peer.trace.is_empty()));
}
