//! What comes over the socket: binary messages, headers, text messages, the sign-in.

use bytes::Bytes;
use chat_protocol::crypto::UnwrapKey;
use chat_protocol::file::chunk;
use chat_protocol::file::relay::{HubToRelay, RelayToHub};
use chat_protocol::frame::{Binary, Delivery, RawFrame};
use chat_protocol::handshake::{AuthBody, Greeting, Reception, SignedIn};
use chat_protocol::header::{Canonical as _, Header};
use chat_protocol::hub::{self, ClientToHub, HubToClient};
use chat_protocol::keys::Bundle;
use chat_protocol::limits::{BODY_BYTES_MAX, HEADER_BYTES_MAX, SIGNATURE_BYTES_MAX};
use chat_protocol::tag::label;
use serde_json::Value;

/// A binary message of any kind. What is read is written the same again, and within its bounds.
pub fn frame(data: &[u8]) {
    let Ok(binary) = Binary::decode(Bytes::copy_from_slice(data)) else { return };
    match binary {
        Binary::Frame(frame) => check_frame(&frame, data),
        Binary::Upload(upload) => assert_eq!(upload.encode(), data, "one way to write a part"),
        Binary::Delivery(delivery) => {
            let Delivery { position, hub_ms, frame } = &delivery;
            check_frame(frame, frame.bytes());
            assert_eq!(Delivery::encode(*position, *hub_ms, frame.bytes()), data);
        }
    }
}

fn check_frame(frame: &RawFrame, data: &[u8]) {
    assert_eq!(frame.bytes(), data);
    assert!(frame.header().len() <= HEADER_BYTES_MAX && frame.body().len() <= BODY_BYTES_MAX);
    let rest = data.len() - frame.header().len() - frame.body().len();
    assert!(rest <= 10 + 5 + 32 * 6 + SIGNATURE_BYTES_MAX, "{rest} bytes of framing");
    frame.batch(label::MSG);
    if let Ok(header) = chunk::read(frame) {
        assert_eq!(header.to_bytes(), frame.header());
    }
}

/// The header of a frame. Only the spelling that writing it gives is read.
pub fn header(data: &[u8]) {
    let Ok(header) = Header::parse(data) else { return };
    let written = match &header {
        Header::Message(header) => header.to_bytes(),
        Header::Receipt(header) => header.to_bytes(),
        Header::Key(header) => header.to_bytes(),
        Header::Member(header) => header.to_bytes(),
    };
    assert_eq!(written, data);
}

/// A text message to the hub, on either kind of connection.
pub fn client_to_hub(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(message) = hub::read::<ClientToHub>(text) {
        assert_eq!(hub::read(&hub::write(&message)), Ok(message));
    }
    if let Ok(message) = hub::read::<RelayToHub>(text) {
        assert_eq!(hub::read(&hub::write(&message)), Ok(message));
    }
}

/// A text message from the hub, on either kind of connection.
pub fn hub_to_client(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(message) = hub::read::<HubToClient>(text) {
        assert_eq!(hub::read(&hub::write(&message)), Ok(message));
    }
    if let Ok(message) = hub::read::<HubToRelay>(text) {
        assert_eq!(hub::read(&hub::write(&message)), Ok(message));
    }
}

/// The three messages of a sign-in, and what is sealed in the last two.
pub fn handshake(data: &[u8]) {
    if let Ok(body) = AuthBody::read(data) {
        let written = hub::write(&body);
        assert!(AuthBody::read(written.as_bytes()).is_ok_and(|again| again == body));
    }
    if let Ok(signed_in) = SignedIn::read(data) {
        let written = hub::write(&signed_in);
        assert_eq!(SignedIn::read(written.as_bytes()), Ok(signed_in));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(greeting) = Greeting::read(text) {
        assert!(greeting.bundle().header().u.is_server());
    }
    thread_local! {
        static HUB: (Reception, UnwrapKey) = reception();
    }
    HUB.with(|(reception, link)| {
        // Nobody guesses a signature over this greeting, but what comes before it is read.
        if let Ok(received) = reception.open(text, link, None) {
            assert_eq!(received.header.lk, chat_protocol::keys::key_id(link.spki()));
        }
    });
}

/// The hub of the vectors.
fn reception() -> (Reception, UnwrapKey) {
    let file = include_str!("../../protocol/tests/vectors/envelope.json");
    let file: Value = serde_json::from_str(file).expect("the vectors are JSON");
    let bytes = |at: &Value| {
        let text = at.as_str().expect("bytes are written as text");
        chat_protocol::b64::decode(text).expect("the vectors hold base64url")
    };
    let link =
        UnwrapKey::from_pkcs8(&bytes(file.pointer("/keys/hub.lk").expect("a key"))).expect("a key");
    let vectors = file.get("vectors").and_then(Value::as_array).expect("a list");
    let hub = vectors.iter().find(|vector| vector["name"] == "bundle/hub").expect("a hub");
    let bundle = Bundle::verify(bytes(&hub["bundle"]).into()).expect("a bundle");
    (Reception::new(&bundle, [0x51; 32]), link)
}
