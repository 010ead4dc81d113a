//! What is kept beside the data of a part.
//!
//! ```text
//! "chat-part/1\n" || u32 length || {"file":{…},"words":[…],"note":"…"} || bitmap || SHA-256 of all before
//! ```

use chat_protocol::crypto::sha256;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::fold;
use chat_protocol::limits::OFFER_WORDS_MAX;
use serde::{Deserialize, Serialize};

use super::PartError;
use super::ranges::Bitmap;
use crate::limits::PART_NOTE_BYTES_MAX;

const MAGIC: &[u8] = b"chat-part/1\n";

/// Longest state in bytes: the bitmap of the largest file takes 32 KiB, the rest some kilobytes.
pub(super) const BYTES_MAX: usize = 64 * 1024;

/// What a caller keeps with a part for when it is resumed or finished.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct About {
    /// Keywords under which it was offered, folded: for sharing it again.
    pub words: Vec<String>,
    /// The caller's own, as the owner and the offer to ask again. At most [`PART_NOTE_BYTES_MAX`].
    pub note: String,
}

impl About {
    pub(super) fn check(&self) -> Result<(), PartError> {
        let is_folded = |word: &String| fold(word).as_ref() == Ok(word);
        let fits = self.words.len() <= OFFER_WORDS_MAX && self.note.len() <= PART_NOTE_BYTES_MAX;
        if fits && self.words.iter().all(is_folded) { Ok(()) } else { Err(PartError::About) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) manifest: Manifest,
    pub(super) about: About,
    pub(super) have: Bitmap,
}

#[derive(Serialize, Deserialize)]
struct Head {
    file: Manifest,
    #[serde(flatten)]
    about: About,
}

impl State {
    pub(super) fn new(manifest: Manifest, about: About) -> Self {
        let have = Bitmap::new(manifest.chunks());
        Self { manifest, about, have }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let head = Head { file: self.manifest.clone(), about: self.about.clone() };
        let head = serde_json::to_vec(&head).expect("a head holds strings and numbers");
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = [MAGIC, &length, &head, self.have.as_bytes()].concat();
        let digest = sha256(&bytes);
        bytes.extend_from_slice(&digest);
        bytes
    }

    /// Reads a state; `None` if a byte of it is not as it was written.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (signed, digest) = bytes.split_last_chunk::<32>()?;
        if sha256(signed) != *digest {
            return None;
        }
        let (length, rest) = signed.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, bitmap) = rest.split_at_checked(length)?;
        let Head { file: manifest, about } = serde_json::from_slice(head).ok()?;
        manifest.check().ok()?;
        about.check().ok()?;
        let have = Bitmap::from_bytes(manifest.chunks(), bitmap)?;
        Some(Self { manifest, about, have })
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::Digest;
    use chat_protocol::limits::{FILE_BYTES_MAX, FILE_NAME_BYTES_MAX, KEYWORD_BYTES_MAX};

    use super::*;

    #[test]
    fn a_state_comes_back_and_a_damaged_one_is_nothing() {
        let manifest = Manifest { name: "a \"b\"".into(), size: 700_000, root: Digest([7; 32]) };
        let about = About { words: vec!["räume".into()], note: "alice\n".into() };
        let mut state = State::new(manifest, about);
        for index in [0, 3, 10] {
            state.have.set(index);
        }
        let bytes = state.to_bytes();
        assert_eq!(State::from_bytes(&bytes), Some(state));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert_eq!(State::from_bytes(&bad), None, "byte {at}");
            assert_eq!(State::from_bytes(&bytes[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn the_largest_state_fits() {
        let name = "\u{1}".repeat(FILE_NAME_BYTES_MAX);
        let manifest = Manifest { name, size: FILE_BYTES_MAX, root: Digest([0xff; 32]) };
        let word = "\"".repeat(KEYWORD_BYTES_MAX);
        let note = "\u{1}".repeat(PART_NOTE_BYTES_MAX);
        let about = About { words: vec![word; OFFER_WORDS_MAX], note };
        about.check().unwrap();
        let state = State::new(manifest, about);
        assert!(state.to_bytes().len() <= BYTES_MAX);
        assert_eq!(State::from_bytes(&state.to_bytes()), Some(state));
    }
}
