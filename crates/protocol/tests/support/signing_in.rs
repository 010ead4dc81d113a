//! A hub with the fixed keys of the vectors, and how alice signs in there.

use std::sync::LazyLock;

use chat_protocol::crypto::UnwrapKey;
use chat_protocol::handshake::{
    AuthBody, Credentials, Greeting, Mode, Purpose, Reception, SentAuth,
};
use chat_protocol::id::Nonce16;
use chat_protocol::keys::{Bundle, BundleOptions, PublishedWrapKey};
use chat_protocol::name::UserName;
use zeroize::Zeroizing;

use super::parties::{ALICE, NOW, device_keys, private};

pub(crate) static LINK: LazyLock<UnwrapKey> =
    LazyLock::new(|| UnwrapKey::from_pkcs8(&private("hub.lk")).unwrap());

pub(crate) fn hub_bundle() -> Bundle {
    let lk = vec![PublishedWrapKey::new(LINK.spki(), NOW, 1000)];
    let options = BundleOptions { lk, ..BundleOptions::default() };
    let server = UserName::server();
    device_keys("hub").publish(&server, Nonce16([2; 16]), None, NOW, options).unwrap()
}

pub(crate) fn attempt(reception: &Reception, exporter: Option<[u8; 32]>) -> (String, SentAuth) {
    let credentials = Credentials {
        user: &ALICE.user,
        mode: Mode::Sig,
        signing: Some(&ALICE.keys.signing),
        body: &AuthBody::new(Purpose::Task),
        exporter,
    };
    let greeting = Greeting::read(reception.text()).unwrap();
    greeting.auth(&credentials, &Zeroizing::new([3; 32])).unwrap()
}
