//! What the hubs of a log tell each other beside its batches: sealed, so that whoever keeps the log reads none of it and
//! makes none.

use std::fmt;

use chat_protocol::crypto::{gcm_open, gcm_seal, hkdf_expand, hkdf_extract, random};
use zeroize::Zeroizing;

/// What the key of hubs is for beside the batches of the log.
const LABEL: &[u8] = b"chat-cluster/1 words";

/// Bytes of a nonce.
const NONCE_BYTES: usize = 12;

/// Seals and opens words about one log.
#[derive(Clone)]
pub struct WordSeal {
    key: Zeroizing<[u8; 32]>,
    log: [u8; 16],
}

impl fmt::Debug for WordSeal {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seal of words")
    }
}

impl WordSeal {
    /// `secret` is what the hubs share, and `log` the id of their log.
    pub fn new(secret: &[u8; 32], log: [u8; 16]) -> Self {
        Self { key: hkdf_expand(&hkdf_extract(LABEL, secret), &[b"key"]), log }
    }

    fn bound_to(&self, what: &str) -> Vec<u8> {
        [&self.log[..], what.as_bytes()].concat()
    }

    /// Words that count under this name alone.
    pub fn seal(&self, what: &str, words: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random();
        let mut sealed = nonce.to_vec();
        sealed.extend(gcm_seal(&self.key, &nonce, &self.bound_to(what), words));
        sealed
    }

    /// What was sealed with the same key for the same log under this name.
    pub fn open(&self, what: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        gcm_open(&self.key, nonce, &self.bound_to(what), sealed).ok()
    }
}
