//! What a server shows of itself.

use chat_protocol::fingerprint::Fingerprint;
use chat_protocol::id::KeyId;
use chat_protocol::keys::Bundle;
use chat_protocol::name::UserName;

use crate::home::known_servers::hex;
use crate::server_url::ServerUrl;

/// What a server shows before anybody signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The server's address.
    pub url: ServerUrl,
    /// Its identity.
    pub server: KeyId,
    /// What people compare of its identity key.
    pub words: Fingerprint,
    /// SHA-256 of its certificate, where no authority vouches for it.
    pub certificate: Option<[u8; 32]>,
    /// Another certificate is pinned at this address.
    pub is_certificate_changed: bool,
}

impl Shown {
    /// What the server with this bundle shows.
    pub fn new(url: &ServerUrl, hub: &Bundle, certificate: Option<[u8; 32]>) -> Self {
        let words = Fingerprint::of(&UserName::server(), &hub.header().ik);
        let (url, server) = (url.clone(), hub.identity());
        Self { url, server, words, certificate, is_certificate_changed: false }
    }

    /// Words and certificate, as the server writes them too.
    pub(crate) fn described(&self) -> String {
        let certificate =
            self.certificate.map(|digest| format!(", certificate: sha256:{}", hex(&digest)));
        format!("Its words: {}{}", self.words, certificate.unwrap_or_default())
    }
}
