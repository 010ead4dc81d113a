//! Lies about shared files: what stands on the hub's list under somebody's name.

use chat_protocol::b64;
use chat_testkit::middle::{Passing, Way};
use serde_json::Value;

use crate::{Act, VICTIM, read};

/// Changes the list that the victim is given.
pub fn list(mut change: impl FnMut(&mut Vec<Value>) + Send + 'static) -> Act {
    Box::new(move |_, passing: Passing| match read::text(&passing, Way::ToClient, "FOUND") {
        Some(mut found) if passing.user == VICTIM => {
            found["offers"].as_array_mut().into_iter().for_each(&mut change);
            vec![read::with_text(&passing, &found)]
        }
        _ => vec![passing],
    })
}

/// The header of an offer to everybody: what its owner has signed of it.
///
/// # Panics
/// When it is none.
pub fn header(found: &Value) -> Value {
    let bytes = b64::decode(found["offer"]["open"]["signed"].as_str().unwrap()).unwrap();
    serde_json::from_slice(parts(&bytes).1).unwrap()
}

/// Changes the header of an offer to everybody, and keeps the signature.
///
/// # Panics
/// When it is none.
pub fn change_header(found: &mut Value, edit: impl FnOnce(&str) -> String) {
    let signed = &mut found["offer"]["open"]["signed"];
    let bytes = b64::decode(signed.as_str().unwrap()).unwrap();
    let (head, header, rest) = parts(&bytes);
    let header = edit(std::str::from_utf8(header).unwrap());
    let length = u32::try_from(header.len()).unwrap().to_be_bytes();
    *signed = b64::encode(&[head, &length, header.as_bytes(), rest].concat()).into();
}

/// Version and kind of signature, the header, and what follows it.
fn parts(signed: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let length = usize::try_from(u32::from_be_bytes(signed[2..6].try_into().unwrap())).unwrap();
    (&signed[..2], &signed[6..6 + length], &signed[6 + length..])
}
