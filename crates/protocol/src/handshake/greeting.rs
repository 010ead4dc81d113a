//! The client's side: made from HELLO, turned into AUTH, opens OK.

use zeroize::Zeroizing;

use super::{
    AuthBody, AuthHeader, AuthTag, ChannelBinding, HandshakeError, LinkKeys, Mode, ONCE, SignedIn,
    to_be_signed, wrap_label,
};
use crate::crypto::{SigningKey, WrapKey, gcm_open, gcm_seal, sha256};
use crate::hub::{self, ClientToHub, HubToClient};
use crate::id::{Digest, KeyId};
use crate::keys::{Bundle, BundleError, key_id, server_id};
use crate::limits::VERSION;
use crate::name::UserName;

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
    /// Which kind of sign-in it is.
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
        SignedIn::read(&clear)
    }
}
