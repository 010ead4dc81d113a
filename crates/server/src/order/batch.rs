//! A batch as it lies in the log: sealed for the hubs that share it, so that whoever keeps the log reads
//! nothing and can add nothing.
//!
//! ```text
//! version 1 | node 4 | life 8 | seq 8 | AES-256-GCM of the rest, in CBOR
//! ```
//! All versions have these clear bytes and this seal: so nobody but a hub can say that there is another version.
//! The key is derived for each life of a hub, and the nonce is the generation of the log with the number of
//! the batch. What is sealed under one (life, generation, number) never changes.

use std::fmt;

use chat_protocol::{
    crypto::{gcm_open, gcm_seal, hkdf_expand, hkdf_extract},
    id::Digest,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Guarded;
use crate::store::Incarnation;

/// The version of the format, and of what applying a record does: each statement of the store, each row of
/// the table of keys, and each constant that either uses, as `EPOCH_GRACE`, `EPOCH_MEMORY`,
/// `OLD_EPOCHS_MAX`, `ACCOUNT_REVOKED_MAX`, `DROP_STEP_*` and `ERASE_STEP_*` of `limits.rs`. Hubs of two
/// kinds would come apart.
pub const VERSION: u8 = 3;

/// Sealed bytes from which on a batch is cut. One record may be longer: an epoch of a large room.
pub const BATCH_BYTES: usize = 256 << 10;

/// Bytes in front of what is sealed.
const CLEAR_BYTES: usize = 21;

/// What the key of a log is for.
const LABEL: &[u8] = b"chat-cluster/1 log";

/// Whose batch it is, and which of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// The hub that has decided it.
    pub hub: Incarnation,
    /// Its number there, from 1.
    pub seq: u64,
}

/// What one hub has decided at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch {
    /// When, Unix time in milliseconds.
    pub now_ms: u64,
    /// How many turns were applied to the state that it was decided on.
    pub at: u64,
    /// What those turns came to, in the eyes of this hub.
    pub chain: Digest,
    /// In the order in which they were decided.
    pub records: Vec<Guarded>,
}

impl Batch {
    /// Whether it changes what nearly every decision reads: such a batch is refused by the log when another
    /// one came in between.
    pub fn is_structure(&self) -> bool {
        self.records.iter().any(|record| record.guard.is_structure)
    }
}

/// Why a batch is not what a hub of this log has written there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// It is shorter than any.
    #[error("a batch of the log is cut")]
    Cut,
    /// Another release has written it.
    #[error(
        "another release has written to this log (version {0}, this one knows version {VERSION}); all servers are to be of one"
    )]
    Version(u8),
    /// Its seal is of another key, log, generation or place.
    #[error("a batch of the log is not sealed by a hub that shares it")]
    Seal,
    /// Its seal is right, and it cannot be read.
    #[error("a batch of the log cannot be read: {0}")]
    Content(String),
}

/// Seals and opens batches of one log in one generation.
#[derive(Clone)]
pub struct Seal {
    secret: Zeroizing<[u8; 32]>,
    log: [u8; 16],
    generation: u32,
}

impl fmt::Debug for Seal {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seal of generation {}", self.generation)
    }
}

impl Seal {
    /// `secret` is what the hubs share, `log` the id of their log, and `generation` how often it was
    /// opened anew.
    pub fn new(secret: &[u8; 32], log: [u8; 16], generation: u32) -> Self {
        Self { secret: hkdf_extract(LABEL, secret), log, generation }
    }

    fn key(&self, hub: Incarnation) -> Zeroizing<[u8; 32]> {
        hkdf_expand(&self.secret, &[&hub.node.to_be_bytes(), &hub.life.to_be_bytes()])
    }

    fn nonce(&self, seq: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        let (generation, number) = nonce.split_at_mut(4);
        generation.copy_from_slice(&self.generation.to_be_bytes());
        number.copy_from_slice(&seq.to_be_bytes());
        nonce
    }

    fn bound_to(&self, clear: &[u8]) -> Vec<u8> {
        [&self.log[..], &self.generation.to_be_bytes(), clear].concat()
    }

    /// The bytes for the log.
    pub fn seal(&self, id: BatchId, batch: &Batch) -> Result<Vec<u8>, BatchError> {
        let mut plain = Vec::new();
        ciborium::into_writer(batch, &mut plain)
            .map_err(|error| BatchError::Content(error.to_string()))?;
        Ok(self.seal_plain(VERSION, id, &plain))
    }

    /// What is sealed of this, which is of that version.
    pub(crate) fn seal_plain(&self, version: u8, id: BatchId, plain: &[u8]) -> Vec<u8> {
        let BatchId { hub, seq } = id;
        let mut sealed = Vec::with_capacity(CLEAR_BYTES + plain.len() + 16);
        sealed.push(version);
        sealed.extend(hub.node.to_be_bytes());
        sealed.extend(hub.life.to_be_bytes());
        sealed.extend(seq.to_be_bytes());
        let aad = self.bound_to(&sealed);
        sealed.extend(gcm_seal(&self.key(hub), &self.nonce(seq), &aad, plain));
        sealed
    }

    /// What a hub has sealed for this log.
    pub fn open(&self, sealed: &[u8]) -> Result<(BatchId, Batch), BatchError> {
        let (clear, content) = sealed.split_first_chunk::<CLEAR_BYTES>().ok_or(BatchError::Cut)?;
        let (version, id) = read_clear(clear)?;
        let aad = self.bound_to(clear);
        let plain = gcm_open(&self.key(id.hub), &self.nonce(id.seq), &aad, content)
            .map_err(|_| BatchError::Seal)?;
        // Only now: anybody who writes to the log can write a number.
        if version != VERSION {
            return Err(BatchError::Version(version));
        }
        Ok((id, read(&plain)?))
    }

    /// The version of this, where a hub has sealed it for this log.
    pub(crate) fn version(&self, sealed: &[u8]) -> Option<u8> {
        match self.open(sealed) {
            Ok(_) | Err(BatchError::Content(_)) => Some(VERSION),
            Err(BatchError::Version(version)) => Some(version),
            Err(BatchError::Cut | BatchError::Seal) => None,
        }
    }
}

fn read(plain: &[u8]) -> Result<Batch, BatchError> {
    // Texts are read through this: none is longer than all of it.
    let mut scratch = vec![0; plain.len()];
    ciborium::de::from_reader_with_buffer(plain, &mut scratch)
        .map_err(|error| BatchError::Content(error.to_string()))
}

fn read_clear(clear: &[u8; CLEAR_BYTES]) -> Result<(u8, BatchId), BatchError> {
    let [version, rest @ ..] = clear;
    let (node, rest) = rest.split_first_chunk().ok_or(BatchError::Cut)?;
    let (life, rest) = rest.split_first_chunk().ok_or(BatchError::Cut)?;
    let seq = rest.first_chunk().ok_or(BatchError::Cut)?;
    let hub = Incarnation { node: u32::from_be_bytes(*node), life: u64::from_be_bytes(*life) };
    Ok((*version, BatchId { hub, seq: u64::from_be_bytes(*seq) }))
}

#[cfg(test)]
mod tests;
