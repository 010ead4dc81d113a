//! The hub's side: greets, opens AUTH, seals OK.

use zeroize::Zeroizing;

use super::{
    AuthBody, AuthHeader, ChannelBinding, HandshakeError, LinkKeys, ONCE, SignedIn, to_be_signed,
    wrap_label,
};
use crate::crypto::{UnwrapKey, VerifyingKey, gcm_open, gcm_seal, sha256};
use crate::hub::{self, ClientToHub, HubToClient};
use crate::id::Digest;
use crate::keys::{Bundle, key_id};
use crate::limits::VERSION;

/// The hub's side of one connection: greets, opens AUTH, seals OK.
#[derive(Debug)]
pub struct Reception {
    text: String,
    digest: Digest,
}

/// An AUTH that was opened; its signature is not checked yet.
#[derive(Debug)]
pub struct ReceivedAuth {
    /// The part in clear.
    pub header: AuthHeader,
    /// The sealed part.
    pub body: AuthBody,
    signed: Vec<u8>,
    signature: Vec<u8>,
    digest: Digest,
    keys: LinkKeys,
}

impl Reception {
    /// A greeting with the hub's bundle. `session` is 32 fresh random bytes.
    pub fn new(bundle: &Bundle, session: [u8; 32]) -> Self {
        let text = hub::write(&HubToClient::Hello {
            v: VERSION,
            sid: Digest(session),
            srv: bundle.identity(),
            bundle: bundle.bytes().to_vec(),
        });
        let digest = Digest(sha256(text.as_bytes()));
        Self { text, digest }
    }

    /// HELLO as it is sent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Opens AUTH. `exporter` is that of the TLS connection, if this process ends it; then the
    /// client must have bound the sign-in to it.
    pub fn open(
        &self,
        text: &str,
        link: &UnwrapKey,
        exporter: Option<[u8; 32]>,
    ) -> Result<ReceivedAuth, HandshakeError> {
        let ClientToHub::Auth { hdr, body, sig } = hub::read(text)? else {
            return Err(HandshakeError::Order { expected: "AUTH" });
        };
        let header: AuthHeader = serde_json::from_slice(&hdr)
            .map_err(|error| HandshakeError::Field(error.to_string()))?;
        if header.v != VERSION || hub::write(&header).as_bytes() != hdr {
            return Err(HandshakeError::Field("AUTH is not canonical, or not version 1".into()));
        }
        let bound = header.cb == ChannelBinding::Exporter;
        if bound != exporter.is_some() {
            return Err(HandshakeError::Field("AUTH is not bound to this TLS connection".into()));
        }
        if header.lk != key_id(link.spki()) {
            return Err(HandshakeError::LinkKey);
        }
        let secret = link
            .unwrap(&wrap_label(&self.digest), &header.wk)
            .map_err(|_| HandshakeError::Sealed)?;
        let keys = LinkKeys::derive(&self.digest, &hdr, &secret);
        let clear =
            gcm_open(&keys.to_hub, &ONCE, &hdr, &body).map_err(|_| HandshakeError::Sealed)?;
        let opened = AuthBody::read(&clear)?;
        let signed = to_be_signed(&self.digest, &hdr, &body, exporter.as_ref());
        let digest = Digest(sha256(text.as_bytes()));
        Ok(ReceivedAuth { header, body: opened, signed, signature: sig, digest, keys })
    }
}

impl ReceivedAuth {
    /// Checks the signature with the key that the caller found for `header.sk`.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), HandshakeError> {
        key.verify(&self.signed, &self.signature).map_err(|_| HandshakeError::BadSignature)
    }

    /// Writes OK.
    pub fn ok(&self, signed_in: &SignedIn) -> String {
        let clear = Zeroizing::new(hub::write(signed_in));
        let body = gcm_seal(&self.keys.to_client, &ONCE, self.digest.as_bytes(), clear.as_bytes());
        hub::write(&HubToClient::Ok { body })
    }
}
