//! What stands between a device and its hub, and may change what passes: the place of every lie.
//! A hub in memory and a proxy before a real one both hand over their messages here.

use bytes::Bytes;
use chat_protocol::crypto::{
    UnwrapKey, gcm_open, gcm_seal, hkdf_expand, hkdf_extract, sha256, sha256_parts,
};
use chat_protocol::handshake::{AuthHeader, SignedIn};
use chat_protocol::hub::{self, ClientToHub, HubToClient};
use chat_protocol::id::Digest;
use chat_protocol::tag::label;
use zeroize::Zeroizing;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a device to the hub.
    ToHub,
    /// From the hub to a device.
    ToClient,
}

/// One message of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A frame, a delivery, a part of an epoch or a chunk of a file.
    Binary(Bytes),
    /// The sealed answer to a sign-in, opened with the hub's key and sealed again behind the lie.
    SignedIn(Box<SignedIn>),
}

/// A message on its way over one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passing {
    /// Number of the connection.
    pub line: usize,
    /// Who signs in on it; empty before that.
    pub user: String,
    /// Where it goes.
    pub way: Way,
    /// What it is.
    pub message: Message,
}

impl Passing {
    /// Another message on the same connection.
    #[must_use]
    pub fn with(&self, way: Way, message: Message) -> Self {
        Self { way, message, ..self.clone() }
    }
}

/// Says what becomes of each message: it passes as it is, changed, twice, later, or never, and
/// others may come with it, on any connection.
pub trait Middle: Send {
    /// What is sent in place of this message, in this order.
    fn pass(&mut self, passing: Passing) -> Vec<Passing>;
}

impl<F: FnMut(Passing) -> Vec<Passing> + Send> Middle for F {
    fn pass(&mut self, passing: Passing) -> Vec<Passing> {
        self(passing)
    }
}

/// The sign-in of one connection without TLS, followed with the hub's link key.
#[derive(Debug, Default)]
pub struct SignIn {
    user: String,
    hello: Option<Digest>,
    opened: Option<Opened>,
}

/// What opens OK: its key, and the digest of the AUTH that it answers.
#[derive(Debug)]
struct Opened {
    key: Zeroizing<[u8; 32]>,
    auth: Digest,
}

/// Nonce of a message sealed under a key that is used once.
const ONCE: [u8; 12] = [0; 12];

impl SignIn {
    /// Who signs in; empty before that.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Takes note of a text of the hub. An OK comes back opened, where the link key was given.
    pub fn from_hub(&mut self, text: String) -> Message {
        match hub::read(&text) {
            Ok(HubToClient::Hello { .. }) => self.hello = Some(Digest(sha256(text.as_bytes()))),
            Ok(HubToClient::Ok { body }) => {
                if let Some(signed_in) = self.open(&body) {
                    return Message::SignedIn(Box::new(signed_in));
                }
            }
            _ => {}
        }
        Message::Text(text)
    }

    /// Takes note of a text of the device.
    pub fn from_client(&mut self, text: &str, link: Option<&UnwrapKey>) {
        let Ok(ClientToHub::Auth { hdr, .. }) = hub::read(text) else { return };
        let Ok(header) = serde_json::from_slice::<AuthHeader>(&hdr) else { return };
        self.user = header.u.to_string();
        self.opened = link.zip(self.hello).and_then(|(link, hello)| {
            let wrap = format!("{} {hello}", label::CHAN);
            let secret = link.unwrap(wrap.as_bytes(), &header.wk).ok()?;
            let salt = sha256_parts(&[hello.as_bytes(), &sha256(&hdr)]);
            let key =
                hkdf_expand(&hkdf_extract(&salt, secret.as_slice()), &[label::S2C.as_bytes()]);
            Some(Opened { key, auth: Digest(sha256(text.as_bytes())) })
        });
    }

    fn open(&self, body: &[u8]) -> Option<SignedIn> {
        let Opened { key, auth } = self.opened.as_ref()?;
        let clear = gcm_open(key, &ONCE, auth.as_bytes(), body).ok()?;
        serde_json::from_slice(&clear).ok()
    }

    /// OK as it is sent.
    ///
    /// # Panics
    /// When no OK was opened here before.
    pub fn seal(&self, signed_in: &SignedIn) -> String {
        let Opened { key, auth } = self.opened.as_ref().expect("an OK was opened");
        let clear = hub::write(signed_in);
        let body = gcm_seal(key, &ONCE, auth.as_bytes(), clear.as_bytes());
        hub::write(&HubToClient::Ok { body })
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::handshake::{Credentials, Greeting, Reception};
    use chat_protocol::id::Nonce16;
    use chat_protocol::keys::{BundleOptions, PublishedWrapKey};
    use chat_protocol::name::UserName;

    use super::*;
    use crate::device::Device;
    use crate::keys::keys;
    use crate::wire::Entry;

    #[test]
    fn the_answer_to_a_sign_in_is_opened_and_sealed_again_with_the_hubs_key() {
        // No key of a bundle may stand in it twice.
        let (hub, others, device) = (keys(0), keys(2), Device::new("alice", 1));
        let link = &others.encryption;
        let lk = vec![PublishedWrapKey::new(link.spki(), 0, u64::MAX >> 12)];
        let options = BundleOptions { lk, ..BundleOptions::default() };
        let bundle = hub.publish(&UserName::server(), Nonce16([0; 16]), None, 0, options).unwrap();
        let reception = Reception::new(&bundle, [1; 32]);
        let mut sign_in = SignIn::default();
        sign_in.from_hub(reception.text().to_owned());
        let greeting = Greeting::read(reception.text()).unwrap();
        let entry = Entry::sig();
        let credentials = Credentials {
            user: &device.user,
            mode: entry.mode,
            signing: Some(&device.keys.signing),
            body: &entry.body,
            exporter: None,
        };
        let (auth, sent) = greeting.auth(&credentials, &[2; 32].into()).unwrap();
        sign_in.from_client(&auth, Some(link));
        assert_eq!(sign_in.user(), "alice");
        let told = SignedIn::at(5);
        let received = reception.open(&auth, link, None).unwrap();
        let Message::SignedIn(mut heard) = sign_in.from_hub(received.ok(&told)) else {
            panic!("not opened")
        };
        assert_eq!(*heard, told);
        heard.time = 6;
        let HubToClient::Ok { body } = hub::read(&sign_in.seal(&heard)).unwrap() else {
            panic!("OK expected")
        };
        assert_eq!(sent.open(&body).unwrap(), *heard);
    }
}
