//! People with the fixed keys of the vectors: making RSA keys takes longer than using them.

use std::sync::LazyLock;

use chat_protocol::b64;
use chat_protocol::crypto::{SigningKey, UnwrapKey, VerifyingKey, WrapKey, sha256};
use chat_protocol::epoch::{self, EpochParameters, NewEpoch};
use chat_protocol::header::{MessageHeader, Recipient};
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions, DeviceKeys};
use chat_protocol::members::{MemberList, Place};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use serde_json::Value;
use zeroize::Zeroizing;

pub(crate) const NOW: u64 = 1_790_000_000_000;

static KEYS: LazyLock<Value> = LazyLock::new(|| {
    let file: Value = serde_json::from_str(include_str!("../vectors/envelope.json")).unwrap();
    file.get("keys").unwrap().clone()
});

/// One person's only device.
pub(crate) struct Party {
    pub(crate) user: UserName,
    pub(crate) keys: DeviceKeys,
    pub(crate) bundle: Bundle,
}

pub(crate) static ALICE: LazyLock<Party> = LazyLock::new(|| party("alice"));
pub(crate) static BOB: LazyLock<Party> = LazyLock::new(|| party("bob"));

/// The `PKCS8` of a key, by `user.use`.
pub(crate) fn private(name: &str) -> Vec<u8> {
    b64::decode(KEYS.get(name).and_then(Value::as_str).expect(name)).unwrap()
}

pub(crate) fn device_keys(name: &str) -> DeviceKeys {
    let key = |role: &str| private(&format!("{name}.{role}"));
    DeviceKeys {
        identity: SigningKey::from_pkcs8(&key("ik")).unwrap(),
        signing: SigningKey::from_pkcs8(&key("sk")).unwrap(),
        encryption: UnwrapKey::from_pkcs8(&key("ek")).unwrap(),
        former: Vec::new(),
    }
}

fn party(name: &str) -> Party {
    let (user, keys) = (UserName::new(name).unwrap(), device_keys(name));
    let dev = Nonce16([1; 16]);
    let bundle = keys.publish(&user, dev, None, NOW, BundleOptions::default()).unwrap();
    Party { user, keys, bundle }
}

impl Party {
    /// What verifies this device's frames, and its digest for the cache of batches.
    pub(crate) fn verifying(&self) -> (VerifyingKey, Digest) {
        let spki = self.keys.signing.spki();
        (VerifyingKey::from_spki(spki).unwrap(), Digest(sha256(spki)))
    }

    pub(crate) fn wrap_key(&self) -> WrapKey {
        WrapKey::from_spki(self.keys.encryption.spki()).unwrap()
    }
}

/// Alice and bob.
pub(crate) fn both() -> MemberList {
    MemberList::new([ALICE.bundle.member_line().unwrap(), BOB.bundle.member_line().unwrap()])
}

pub(crate) fn parameters(cid: &str) -> EpochParameters {
    EpochParameters {
        cid: ConversationId::parse(cid).unwrap(),
        from: ALICE.user.clone(),
        sk: ALICE.keys.signing_id(),
        previous: None,
        place: Place::START,
        left_out: Vec::new(),
        ts: NOW,
    }
}

/// An epoch by alice for herself and bob.
pub(crate) fn epoch(parameters: EpochParameters) -> NewEpoch {
    let wraps = [ALICE.wrap_key(), BOB.wrap_key()];
    let key = Zeroizing::new([7; 32]);
    epoch::create(parameters, &both(), &wraps, &key, Nonce16([8; 16])).unwrap()
}

/// The header of a text of alice to the lobby.
pub(crate) fn text_header(e: Digest, n: u32) -> MessageHeader {
    MessageHeader {
        v: 1,
        t: Tag::Text,
        stage: None,
        cid: ConversationId::parse("room:lobby").unwrap(),
        from: ALICE.user.clone(),
        sk: ALICE.keys.signing_id(),
        to: Recipient::Everyone,
        id: MessageId::new(NOW, [3; 10]),
        e,
        n,
        p: Digest::ZERO,
        ts: NOW,
        nbf: None,
        exp: None,
        rb: None,
        tk: None,
    }
}
