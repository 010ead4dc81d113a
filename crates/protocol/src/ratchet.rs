//! One sender's chain of message keys inside an epoch (section 10).
//!
//! `MK_n = HMAC(ck_n, 01)`, `ck_(n+1) = HMAC(ck_n, 02)`; a used key is erased, so a device that is
//! taken over tomorrow cannot read today's messages from the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::crypto::hmac_sha256;
use crate::limits::{CHAIN_SKIP_MAX, SKIPPED_KEYS_MAX};
use crate::secret::SecretKey;

/// The key of one message, used once.
pub type MessageKey = SecretKey;

/// Why there is no key for a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChainError {
    /// The key was used and erased: the frame is a replay.
    #[error("message {n} of this sender was opened before")]
    Used {
        /// The counter.
        n: u32,
    },
    /// Too far ahead to be honest.
    #[error("message {n} skips more than {CHAIN_SKIP_MAX} messages of this sender")]
    TooFar {
        /// The counter.
        n: u32,
    },
}

/// A chain key and its counter.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    ck: SecretKey,
    n: u32,
    /// Keys of counters that were skipped, waiting for late frames.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    skipped: BTreeMap<u32, MessageKey>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("n", &self.n).finish_non_exhaustive()
    }
}

impl Chain {
    /// The chain at its start.
    pub fn new(ck: &[u8; 32]) -> Self {
        Self { ck: SecretKey::new(*ck), n: 0, skipped: BTreeMap::new() }
    }

    /// The counter that comes next.
    pub fn next(&self) -> u32 {
        self.n
    }

    /// Whether the key of this counter can still be had: it was not used, and not skipped too long
    /// ago or by too much.
    pub fn awaits(&self, n: u32) -> bool {
        if n < self.n { self.skipped.contains_key(&n) } else { n - self.n <= CHAIN_SKIP_MAX }
    }

    /// The next counter and its key; the chain moves on.
    pub fn advance(&mut self) -> (u32, MessageKey) {
        let n = self.n;
        let key = MessageKey::new(hmac_sha256(&*self.ck, &[&[1]]));
        // The key before is erased here.
        self.ck = SecretKey::new(hmac_sha256(&*self.ck, &[&[2]]));
        self.n = self.n.saturating_add(1);
        (n, key)
    }

    /// The key for a received counter; keys that are skipped on the way are kept for late frames.
    pub fn key_for(&mut self, n: u32) -> Result<MessageKey, ChainError> {
        if n < self.n {
            return self.skipped.remove(&n).ok_or(ChainError::Used { n });
        }
        if n - self.n > CHAIN_SKIP_MAX {
            return Err(ChainError::TooFar { n });
        }
        loop {
            let (at, key) = self.advance();
            if at == n {
                return Ok(key);
            }
            self.skipped.insert(at, key);
            if self.skipped.len() > SKIPPED_KEYS_MAX {
                self.skipped.pop_first();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_have_the_same_keys_and_each_key_once() {
        let (mut sender, mut receiver) = (Chain::new(&[7; 32]), Chain::new(&[7; 32]));
        let keys: Vec<_> = (0..6).map(|_| sender.advance()).collect();
        for order in [0usize, 3, 1, 2, 5] {
            let (n, key) = &keys[order];
            assert!(receiver.awaits(*n));
            assert_eq!(receiver.key_for(*n).as_ref(), Ok(key));
            assert!(!receiver.awaits(*n));
            assert_eq!(receiver.key_for(*n), Err(ChainError::Used { n: *n }));
        }
        let text = serde_json::to_string(&receiver).unwrap();
        let mut restored: Chain = serde_json::from_str(&text).unwrap();
        assert_eq!(restored.key_for(4).as_ref(), Ok(&keys[4].1), "a skipped key survives storage");
    }

    #[test]
    fn a_skip_is_bounded_and_changes_nothing_when_refused() {
        let mut chain = Chain::new(&[7; 32]);
        let n = CHAIN_SKIP_MAX + 1;
        assert!(!chain.awaits(n));
        assert_eq!(chain.key_for(n), Err(ChainError::TooFar { n }));
        assert_eq!(chain.next(), 0);
        assert!(chain.key_for(CHAIN_SKIP_MAX).is_ok());
        assert_eq!(chain.key_for(0), Err(ChainError::Used { n: 0 }), "the oldest are dropped");
    }
}
