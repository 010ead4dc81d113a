//! Sign-in: HELLO, AUTH, OK (section 3, rules R16, R21, R25).
//!
//! The client wraps a link secret for the hub's link key, seals its credentials under it and signs
//! the whole, the hub's greeting included, so a man in the middle can relay nothing. The hub's OK
//! is sealed under the same secret, which proves that the hub holds the link key.

mod greeting;
mod message;
mod password;
mod reception;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::crypto::{hkdf_expand, hkdf_extract, sha256, sha256_parts};
use crate::hub::TextError;
use crate::id::Digest;
use crate::keys::BundleError;
use crate::tag::label;

pub use greeting::{Credentials, Greeting, SentAuth};
pub use message::{AuthBody, AuthHeader, AuthTag, ChannelBinding, Mode, Purpose, SignedIn};
pub use password::{PASSWORD_ROUNDS, PasswordKeys};
pub use reception::{ReceivedAuth, Reception};

/// Nonce of the two messages sealed under keys that are used once.
const ONCE: [u8; 12] = [0; 12];

/// Why a sign-in could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Not the message that comes next.
    #[error("sign-in: expected {expected}")]
    Order {
        /// What should have come.
        expected: &'static str,
    },
    /// Not a message at all.
    #[error("sign-in: {0}")]
    Text(#[from] TextError),
    /// The hub's bundle is not valid.
    #[error("sign-in: {0}")]
    Bundle(#[from] BundleError),
    /// The hub's bundle lacks something, or belongs to another hub than it says.
    #[error("sign-in: the hub's bundle {0}")]
    Hub(&'static str),
    /// The link key is not one of the hub's.
    #[error("sign-in: the link key is not one of this hub's")]
    LinkKey,
    /// The sealed part does not open.
    #[error("sign-in: the sealed part does not open")]
    Sealed,
    /// A field is missing, unknown or of the wrong form.
    #[error("sign-in: {0}")]
    Field(String),
    /// The signature is not that of the key.
    #[error("sign-in: the signature is not that of the key")]
    BadSignature,
}

/// The two keys of a link.
#[derive(Debug)]
struct LinkKeys {
    to_hub: Zeroizing<[u8; 32]>,
    to_client: Zeroizing<[u8; 32]>,
}

impl LinkKeys {
    fn derive(hello: &Digest, header: &[u8], secret: &[u8; 32]) -> Self {
        let salt = sha256_parts(&[hello.as_bytes(), &sha256(header)]);
        let prk = hkdf_extract(&salt, secret);
        Self {
            to_hub: hkdf_expand(&prk, &[label::C2S.as_bytes()]),
            to_client: hkdf_expand(&prk, &[label::S2C.as_bytes()]),
        }
    }
}

fn wrap_label(hello: &Digest) -> Vec<u8> {
    format!("{} {hello}", label::CHAN).into_bytes()
}

/// What the client signs: the greeting, both parts of AUTH and the TLS connection, if bound.
fn to_be_signed(
    hello: &Digest,
    header: &[u8],
    body: &[u8],
    exporter: Option<&[u8; 32]>,
) -> Vec<u8> {
    let mut bytes = label::AUTH.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(hello.as_bytes());
    bytes.extend_from_slice(&sha256(header));
    bytes.extend_from_slice(&sha256(body));
    bytes.extend_from_slice(exporter.map_or(&[], |exporter| exporter.as_slice()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeyBits, UnwrapKey, VerifyingKey};
    use crate::hub::{self, HubToClient};
    use crate::id::Nonce16;
    use crate::keys::{Bundle, BundleOptions, DeviceKeys, KeySizes, PublishedWrapKey};
    use crate::name::UserName;

    struct Parties {
        link: UnwrapKey,
        hub: Bundle,
        alice: DeviceKeys,
    }

    fn parties() -> Parties {
        let keys = DeviceKeys::generate(KeySizes::EMULATED).unwrap();
        let link = UnwrapKey::generate(KeyBits::B2048).unwrap();
        let lk = vec![PublishedWrapKey::new(link.spki(), 0, 1000)];
        let options = BundleOptions { lk, ..BundleOptions::default() };
        let hub = keys.publish(&UserName::server(), Nonce16([0; 16]), None, 0, options).unwrap();
        Parties { link, hub, alice: DeviceKeys::generate(KeySizes::EMULATED).unwrap() }
    }

    #[test]
    fn a_sign_in_opens_on_the_greeting_and_connection_it_was_made_for_only() {
        let Parties { link, hub, alice } = parties();
        let user = UserName::new("alice").unwrap();
        let reception = Reception::new(&hub, [1; 32]);
        let greeting = Greeting::read(reception.text()).unwrap();
        let body = AuthBody { pw: Some(vec![1; 32]), ..AuthBody::new(Purpose::Task) };
        let exporter = Some([4; 32]);
        let credentials = Credentials {
            user: &user,
            mode: Mode::Sig,
            signing: Some(&alice.signing),
            body: &body,
            exporter,
        };
        let (text, sent) = greeting.auth(&credentials, &Zeroizing::new([2; 32])).unwrap();
        let received = reception.open(&text, &link, exporter).unwrap();
        assert_eq!(received.body, body);
        let key = VerifyingKey::from_spki(alice.signing.spki()).unwrap();
        assert_eq!(received.verify(&key), Ok(()));
        let signed_in = SignedIn::at(5);
        let HubToClient::Ok { body } = hub::read(&received.ok(&signed_in)).unwrap() else {
            panic!("OK expected")
        };
        assert_eq!(sent.open(&body), Ok(signed_in));

        let elsewhere = Reception::new(&hub, [9; 32]);
        assert!(elsewhere.open(&text, &link, exporter).is_err(), "relayed to another greeting");
        let relayed = reception.open(&text, &link, Some([5; 32])).unwrap();
        assert!(relayed.verify(&key).is_err(), "another TLS connection");
        assert!(reception.open(&text, &link, None).is_err(), "no TLS under it");
    }
}
