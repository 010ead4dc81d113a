//! Writing frames: one signature for each, or one for a batch of them (section 5.1).

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{AUTH_BATCH, AUTH_NONE, AUTH_SINGLE, cursor::put_block, to_be_signed};
use crate::batch;
use crate::crypto::{SigningKey, sha256};
use crate::id::Digest;
use crate::limits::{BATCH_FRAMES_MAX, VERSION};

/// A frame that waits for its signature.
#[derive(Debug, Clone)]
pub struct Unsigned {
    header: Vec<u8>,
    body: Vec<u8>,
    to_be_signed: Vec<u8>,
}

impl Unsigned {
    /// A frame of this header and body, to be signed under `label`.
    pub fn new(label: &str, header: Vec<u8>, body: Vec<u8>) -> Self {
        let to_be_signed = to_be_signed(label, &header, &body);
        Self { header, body, to_be_signed }
    }

    /// SHA-256 of the to-be-signed string.
    pub fn digest(&self) -> Digest {
        Digest(sha256(&self.to_be_signed))
    }

    fn finish(&self, auth: u8, authentication: &[&[u8]]) -> Bytes {
        let extra: usize = authentication.iter().map(|part| part.len()).sum();
        let mut out = BytesMut::with_capacity(10 + self.header.len() + self.body.len() + extra);
        out.put_u8(VERSION);
        out.put_u8(auth);
        put_block(&mut out, &self.header);
        put_block(&mut out, &self.body);
        for part in authentication {
            out.put_slice(part);
        }
        out.freeze()
    }
}

/// A frame without a signature (file chunks only, rule R10).
pub fn unsigned(header: Vec<u8>, body: Vec<u8>) -> Bytes {
    Unsigned::new("", header, body).finish(AUTH_NONE, &[])
}

/// Signs everything that waits: one frame alone, more in batches of up to 64. The order is
/// kept, and the batch's signature costs as much as that of one frame.
pub fn sign_all(key: &SigningKey, frames: &[Unsigned]) -> Vec<Bytes> {
    frames.chunks(BATCH_FRAMES_MAX).flat_map(|frames| sign_batch(key, frames)).collect()
}

fn sign_batch(key: &SigningKey, frames: &[Unsigned]) -> Vec<Bytes> {
    let leaves: Vec<_> = frames.iter().map(|frame| batch::leaf(&frame.to_be_signed)).collect();
    let Some(tree) = batch::tree(leaves) else {
        let sign = |frame: &Unsigned| {
            frame.finish(AUTH_SINGLE, &[key.sign(&frame.to_be_signed).as_slice()])
        };
        return frames.iter().map(sign).collect();
    };
    let count = u16::try_from(frames.len()).unwrap_or(u16::MAX);
    let signature = key.sign(&batch::root_to_be_signed(count, &tree.root()));
    (0..count)
        .zip(frames)
        .map(|(index, frame)| {
            let path = tree.path(usize::from(index));
            let length = u8::try_from(path.len()).unwrap_or(u8::MAX);
            let (count, index) = (count.to_be_bytes(), index.to_be_bytes());
            let path = path.as_flattened();
            frame.finish(AUTH_BATCH, &[&count, &index, &[length], path, &signature])
        })
        .collect()
}
