//! Where a device's random bytes come from.

use std::fmt;

use chat_protocol::crypto;

/// A source of random bytes: for ids, nonces, keys and waits. It is handed in, so that a simulation
/// that hands in a seed decides the same again. What a backend draws for itself (the salt of a
/// signature, the padding of a wrap) changes no decision.
pub trait Random: fmt::Debug + Send {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The system's generator: the only one fit for keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(32) {
            let random: [u8; 32] = crypto::random();
            piece.copy_from_slice(random.get(..piece.len()).unwrap_or_default());
        }
    }
}
