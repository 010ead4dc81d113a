//! Signatures of batches that were checked already (rule R20).

use std::collections::{HashSet, VecDeque};

use super::FrameError;
use crate::batch;
use crate::crypto::{VerifyingKey, sha256_parts};
use crate::id::Digest;

/// Batches whose root signature was checked and is remembered: enough for every sender of a room
/// of a thousand to have several under way.
const VERIFIED_BATCHES_MAX: usize = 4096;

/// Roots of batches whose signature was good, oldest forgotten first.
///
/// The key covers everything that the check depended on, so a hit is as good as the check (R20).
#[derive(Debug, Default)]
pub struct VerifiedBatches {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl VerifiedBatches {
    pub(super) fn check(
        &mut self,
        key: &VerifyingKey,
        key_digest: &Digest,
        count: u16,
        root: &[u8; 32],
        signature: &[u8],
    ) -> Result<(), FrameError> {
        let entry = sha256_parts(&[key_digest.as_bytes(), &count.to_be_bytes(), root, signature]);
        if self.known.contains(&entry) {
            return Ok(());
        }
        key.verify(&batch::root_to_be_signed(count, root), signature)
            .map_err(|_| FrameError::BadSignature)?;
        if self.order.len() >= VERIFIED_BATCHES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(entry);
        self.order.push_back(entry);
        Ok(())
    }
}
