//! Sign-in: HELLO, AUTH, OK (6.7, rules R16, R21, R25).
//!
//! The client wraps a link secret for the hub's link key, seals its credentials under it and signs
//! the whole, the hub's greeting included, so a man in the middle can relay nothing. The hub's OK
//! is sealed under the same secret, which proves that the hub holds the link key.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::b64;
use crate::crypto::{
    SigningKey, UnwrapKey, VerifyingKey, WrapKey, gcm_open, gcm_seal, hkdf_expand, hkdf_extract,
    pbkdf2_sha256, sha256, sha256_parts,
};
use crate::hub::{self, ClientToHub, EpochHead, Head, HubToClient, TextError};
use crate::id::{Digest, KeyId};
use crate::keys::{Bundle, BundleError, key_id, server_id};
use crate::limits::VERSION;
use crate::name::UserName;
use crate::tag::label;

/// Rounds of PBKDF2 between a password and what is derived from it (OWASP's figure for SHA-256).
pub const PASSWORD_ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");

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

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A device that is known, by its signature.
    Sig,
    /// A new device of a known user: login secret and a bundle by the user's identity.
    Pw,
    /// A new account: bundle, and login secret and vault if there is a password.
    Reg,
    /// A new machine asks for the vault: login secret only, no signature. The hub answers with the
    /// vault and closes.
    Vault,
    /// A known device changes the password: its signature, the login secret so far, the new one and
    /// the vault sealed anew. The hub answers and closes.
    Passwd,
}

/// Whether the sign-in is bound to the TLS connection under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    /// No TLS, or a proxy ends it.
    None,
    /// RFC 9266 `tls-exporter`.
    Exporter,
}

/// The header of AUTH, in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthHeader {
    /// Version.
    pub v: u8,
    /// Always `AUTH`.
    pub t: AuthTag,
    /// Who signs in.
    pub u: UserName,
    /// How.
    pub m: Mode,
    /// The signing key; 16 zero bytes when the vault is asked for.
    pub sk: KeyId,
    /// The hub's link key that `wk` is wrapped for.
    pub lk: KeyId,
    /// The link secret, wrapped.
    #[serde(with = "b64::vec")]
    pub wk: Vec<u8>,
    /// Channel binding.
    pub cb: ChannelBinding,
}

/// The tag of [`AuthHeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthTag {
    /// The only one.
    #[serde(rename = "AUTH")]
    Auth,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A person types: one such connection per name.
    Interactive,
    /// One task, or an agent: as many as the device likes.
    Task,
    /// Carries files of a device that is known ([`crate::file::relay`]): no conversations.
    Files,
}

/// The sealed part of AUTH.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthBody {
    /// What the connection is for.
    pub purpose: Purpose,
    /// The login secret A.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub pw: Option<Vec<u8>>,
    /// A new bundle of this device.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub bundle: Option<Vec<u8>>,
    /// The sealed vault, to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub vault: Option<Vec<u8>>,
    /// The login secret from now on.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub new_pw: Option<Vec<u8>>,
}

impl std::fmt::Debug for AuthBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthBody").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

/// Optional base64url.
mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::b64::B64Vec;

    // The signature is what serde's `with` calls.
    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.clone().map(B64Vec).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<B64Vec>::deserialize(deserializer)?.map(|bytes| bytes.0))
    }
}

/// The sealed answer: what a device needs to know to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedIn {
    /// The hub's clock, Unix time in milliseconds.
    pub time: u64,
    /// Heads of the rooms this user is in, and of the rooms that exist from the start.
    pub heads: Vec<Head>,
    /// The last counter of this signing key in each current epoch it was used in (rule R7).
    pub counters: Vec<Counter>,
    /// The vault, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional")]
    pub vault: Option<Vec<u8>>,
}

/// The last counter that the hub has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// The epoch.
    pub epoch: EpochHead,
    /// The counter.
    pub n: u32,
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

/// The client's side: made from HELLO, turned into AUTH, opens OK.
#[derive(Debug)]
pub struct Greeting {
    digest: Digest,
    server: KeyId,
    bundle: Bundle,
}

/// Who signs in, and with what.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// The name.
    pub user: &'a UserName,
    /// How.
    pub mode: Mode,
    /// The device's signing key; none when the vault is asked for.
    pub signing: Option<&'a SigningKey>,
    /// The sealed part.
    pub body: &'a AuthBody,
    /// RFC 9266 `tls-exporter` of the connection, if it is TLS.
    pub exporter: Option<[u8; 32]>,
}

/// An AUTH that was sent: opens the answer to it.
#[derive(Debug)]
pub struct SentAuth {
    digest: Digest,
    keys: LinkKeys,
}

impl Greeting {
    /// Reads HELLO and checks the hub's bundle. Whether it is the expected hub is the caller's pin.
    pub fn read(text: &str) -> Result<Self, HandshakeError> {
        let HubToClient::Hello { v, sid: _, srv, bundle } = hub::read(text)? else {
            return Err(HandshakeError::Order { expected: "HELLO" });
        };
        if v != VERSION {
            return Err(HandshakeError::Hub("speaks another version"));
        }
        let bundle = Bundle::verify(bundle.into())?;
        if server_id(&bundle.header().ik) != srv || !bundle.header().u.is_server() {
            return Err(HandshakeError::Hub("belongs to another hub than it says"));
        }
        Ok(Self { digest: Digest(sha256(text.as_bytes())), server: srv, bundle })
    }

    /// The hub's id.
    pub fn server(&self) -> KeyId {
        self.server
    }

    /// The hub's bundle, which is also that of its agent.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Writes AUTH. `secret` is 32 fresh random bytes.
    pub fn auth(
        &self,
        credentials: &Credentials<'_>,
        secret: &Zeroizing<[u8; 32]>,
    ) -> Result<(String, SentAuth), HandshakeError> {
        let link = self.bundle.header().lk.first().ok_or(HandshakeError::Hub("has no link key"))?;
        let wrap = WrapKey::from_spki(&link.spki).map_err(BundleError::from)?;
        let header = AuthHeader {
            v: VERSION,
            t: AuthTag::Auth,
            u: credentials.user.clone(),
            m: credentials.mode,
            sk: credentials.signing.map_or(KeyId([0; 16]), |key| key_id(key.spki())),
            lk: link.kid,
            wk: wrap.wrap(&wrap_label(&self.digest), secret),
            cb: match credentials.exporter {
                Some(_) => ChannelBinding::Exporter,
                None => ChannelBinding::None,
            },
        };
        let hdr = hub::write(&header).into_bytes();
        let keys = LinkKeys::derive(&self.digest, &hdr, secret);
        let clear = Zeroizing::new(hub::write(credentials.body));
        let body = gcm_seal(&keys.to_hub, &ONCE, &hdr, clear.as_bytes());
        let signed = to_be_signed(&self.digest, &hdr, &body, credentials.exporter.as_ref());
        let sig = credentials.signing.map(|key| key.sign(&signed)).unwrap_or_default();
        let text = hub::write(&ClientToHub::Auth { hdr, body, sig });
        let sent = SentAuth { digest: Digest(sha256(text.as_bytes())), keys };
        Ok((text, sent))
    }
}

impl SentAuth {
    /// Opens the sealed body of OK.
    pub fn open(&self, body: &[u8]) -> Result<SignedIn, HandshakeError> {
        let clear = gcm_open(&self.keys.to_client, &ONCE, self.digest.as_bytes(), body)
            .map_err(|_| HandshakeError::Sealed)?;
        serde_json::from_slice(&clear).map_err(|error| HandshakeError::Field(error.to_string()))
    }
}

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
        let opened: AuthBody = serde_json::from_slice(&clear)
            .map_err(|error| HandshakeError::Field(error.to_string()))?;
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

/// What a password turns into. The password itself never leaves the machine.
pub struct PasswordKeys {
    /// The login secret A, which the hub learns.
    pub login: Zeroizing<[u8; 32]>,
    /// The vault key V, which it does not.
    pub vault: Zeroizing<[u8; 32]>,
}

impl PasswordKeys {
    /// Stretches a password for one user of one hub; a tenth of a second on purpose. The password
    /// is brought to Unicode form NFC first: keyboards differ in how they write an umlaut.
    pub fn derive(password: &str, server: &KeyId, user: &UserName) -> Self {
        // NFC is at most three times as long; a string that grows would leave copies behind.
        let mut composed = Zeroizing::new(String::with_capacity(password.len().saturating_mul(3)));
        composed.extend(password.nfc());
        let server = server.to_string();
        let salt = sha256_parts(&[
            label::PW.as_bytes(),
            &[0],
            server.as_bytes(),
            &[0],
            user.as_str().as_bytes(),
        ]);
        let stretched = pbkdf2_sha256(composed.as_bytes(), &salt, PASSWORD_ROUNDS);
        Self {
            login: hkdf_expand(&stretched, &[label::PW_AUTH.as_bytes()]),
            vault: hkdf_expand(&stretched, &[label::PW_VAULT.as_bytes()]),
        }
    }

    /// Seals a vault (rule R25). `sequence` grows with every vault of this user.
    pub fn seal_vault(
        &self,
        server: &KeyId,
        user: &UserName,
        sequence: u32,
        nonce: [u8; 12],
        clear: &[u8],
    ) -> Vec<u8> {
        let mut bytes = nonce.to_vec();
        bytes.extend(gcm_seal(&self.vault, &nonce, &vault_aad(server, user, sequence), clear));
        bytes
    }

    /// Opens a vault.
    pub fn open_vault(
        &self,
        server: &KeyId,
        user: &UserName,
        sequence: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HandshakeError> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>().ok_or(HandshakeError::Sealed)?;
        gcm_open(&self.vault, nonce, &vault_aad(server, user, sequence), sealed)
            .map_err(|_| HandshakeError::Sealed)
    }
}

fn vault_aad(server: &KeyId, user: &UserName, sequence: u32) -> Vec<u8> {
    let mut aad = label::VAULT.as_bytes().to_vec();
    aad.push(0);
    aad.extend_from_slice(server.to_string().as_bytes());
    aad.push(0);
    aad.extend_from_slice(user.as_str().as_bytes());
    aad.push(0);
    aad.extend_from_slice(&sequence.to_be_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyBits;
    use crate::id::Nonce16;
    use crate::keys::{BundleOptions, DeviceKeys, KeySizes, PublishedWrapKey};

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
        let body = AuthBody {
            purpose: Purpose::Task,
            pw: Some(vec![1; 32]),
            bundle: None,
            vault: None,
            new_pw: None,
        };
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
        let signed_in = SignedIn { time: 5, heads: vec![], counters: vec![], vault: None };
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

    #[test]
    fn a_password_is_the_same_however_its_letters_are_composed() {
        let (hub, alice) = (KeyId([1; 16]), UserName::new("alice").unwrap());
        let derive = |password: &str| PasswordKeys::derive(password, &hub, &alice);
        // ü and ệ as one character each, and as a letter with marks in another order.
        let composed = derive("gr\u{fc}n \u{1ec7}");
        let apart = derive("gru\u{308}n e\u{302}\u{323}");
        assert_eq!((&composed.login, &composed.vault), (&apart.login, &apart.vault));
        assert_ne!(composed.login, derive("grun e").login, "marks count");
        assert_ne!(derive("\u{fb01}x").login, derive("fix").login, "NFC, not NFKC");
    }

    #[test]
    fn a_vault_opens_for_its_user_hub_and_number_only() {
        let alice = UserName::new("alice").unwrap();
        let (hub, other) = (KeyId([1; 16]), KeyId([2; 16]));
        let keys = PasswordKeys::derive("correct horse", &hub, &alice);
        let sealed = keys.seal_vault(&hub, &alice, 3, [7; 12], b"keys");
        assert_eq!(**keys.open_vault(&hub, &alice, 3, &sealed).unwrap(), *b"keys");
        assert!(keys.open_vault(&hub, &alice, 4, &sealed).is_err());
        assert!(keys.open_vault(&other, &alice, 3, &sealed).is_err());
        assert!(keys.open_vault(&hub, &UserName::new("bob").unwrap(), 3, &sealed).is_err());
        let wrong = PasswordKeys::derive("correct horsf", &hub, &alice);
        assert!(wrong.open_vault(&hub, &alice, 3, &sealed).is_err());
        assert!(keys.open_vault(&hub, &alice, 3, &sealed[..5]).is_err());
    }
}
