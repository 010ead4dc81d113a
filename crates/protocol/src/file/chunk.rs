//! One chunk as a FILE frame, byte by byte (rule R10).
//!
//! ```text
//! key   = HKDF-Expand(file key, "chat-e2e/1 file" || 00 || tid, 32)
//! nonce = 00 00 00 | last (0 or 1) | u64 index
//! aad   = header, canonical JSON: {"v","t","cid","from","sk","to","id","tid","i","last","ts"}
//! body  = AES-256-GCM(path of the chunk, 32 bytes each, lowest first || data)
//! ```
//!
//! `tid` is new for every transfer and every resume, so that an index is sealed once under a key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{FileError, Manifest};
use crate::crypto::{gcm_open, gcm_seal, hkdf_expand};
use crate::frame::{self, RawFrame};
use crate::header::{Canonical, HeaderError, Recipient, read_canonical};
use crate::id::{KeyId, MessageId, Nonce16};
use crate::limits::VERSION;
use crate::merkle;
use crate::name::{ConversationId, UserName};
use crate::tag::{Tag, label};

/// The header of a FILE frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHeader {
    /// The version of the format.
    pub v: u8,
    /// Always FILE.
    pub t: Tag,
    /// The conversation in which the key was told.
    pub cid: ConversationId,
    /// Who seals.
    pub from: UserName,
    /// The signing key of the device that seals.
    pub sk: KeyId,
    /// Who receives; `*` for a copy that the hub keeps.
    pub to: Recipient,
    /// The offer.
    pub id: MessageId,
    /// The transfer.
    pub tid: Nonce16,
    /// Index of the chunk.
    pub i: u32,
    /// Whether it is the last of the file.
    pub last: bool,
    /// The sender's clock at the beginning of the transfer, Unix time in milliseconds.
    pub ts: u64,
}

impl Canonical for FileHeader {}

impl FileHeader {
    /// Reads canonical header bytes; refuses every other spelling of the same values.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header: Self = read_canonical(bytes)?;
        if header.v != VERSION {
            return Err(HeaderError::Version { got: header.v });
        }
        if header.t != Tag::File {
            return Err(HeaderError::Stage { tag: header.t });
        }
        Ok(header)
    }
}

/// What a frame must be before anything of it is believed: a hub checks this much and no more.
pub fn read(frame: &RawFrame) -> Result<FileHeader, FileError> {
    if frame.is_signed() {
        return Err(FileError::Form("chunks are not signed"));
    }
    FileHeader::parse(frame.header()).map_err(|_| FileError::Form("its header is malformed"))
}

/// The key of one transfer.
pub struct TransferKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for TransferKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransferKey(..)")
    }
}

impl TransferKey {
    /// Derives it from the key in the message that gave the file.
    pub fn new(file_key: &[u8; 32], tid: &Nonce16) -> Self {
        Self(hkdf_expand(file_key, &[label::FILE.as_bytes(), &[0], tid.as_bytes()]))
    }

    /// Seals one chunk with its path. An index is sealed once under a key: a resend is these bytes.
    pub fn seal(&self, header: &FileHeader, path: &[[u8; 32]], data: &[u8]) -> Bytes {
        let bytes = header.to_bytes();
        let clear = [path.as_flattened(), data].concat();
        let body = gcm_seal(&self.0, &nonce(header), &bytes, &clear);
        frame::unsigned(bytes, body)
    }

    /// Opens a chunk and checks it against the manifest: gives its data, or says why not.
    pub fn open(
        &self,
        header: &FileHeader,
        frame: &RawFrame,
        manifest: &Manifest,
    ) -> Result<Chunk, FileError> {
        let is_last = header.i.checked_add(1) == Some(manifest.chunks());
        if header.i >= manifest.chunks() || header.last != is_last {
            return Err(FileError::Form("its index does not fit the size of the file"));
        }
        let clear = gcm_open(&self.0, &nonce(header), frame.header(), frame.body())
            .map_err(|_| FileError::Sealed)?;
        let siblings = merkle::path_length(manifest.chunks(), header.i);
        let start = siblings * 32;
        let path = clear.get(..start).ok_or(FileError::Form("its path is cut off"))?;
        let data = clear.get(start..).unwrap_or_default();
        manifest.verify(header.i, path.as_chunks::<32>().0, data)?;
        Ok(Chunk { index: header.i, clear, start })
    }
}

fn nonce(header: &FileHeader) -> [u8; 12] {
    let [i0, i1, i2, i3] = header.i.to_be_bytes();
    [0, 0, 0, u8::from(header.last), 0, 0, 0, 0, i0, i1, i2, i3]
}

/// A chunk that is part of the file.
#[derive(Debug)]
pub struct Chunk {
    /// Its index.
    pub index: u32,
    clear: Zeroizing<Vec<u8>>,
    start: usize,
}

impl Chunk {
    /// The bytes of the file.
    pub fn data(&self) -> &[u8] {
        self.clear.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::TreeBuilder;
    use crate::id::Digest;
    use crate::limits::FILE_CHUNK_BYTES;

    fn header(index: u32, last: bool) -> FileHeader {
        FileHeader {
            v: VERSION,
            t: Tag::File,
            cid: ConversationId::parse("dm:alice:bob").unwrap(),
            from: UserName::new("alice").unwrap(),
            sk: KeyId([1; 16]),
            to: Recipient::User(UserName::new("bob").unwrap()),
            id: MessageId([2; 16]),
            tid: Nonce16([3; 16]),
            i: index,
            last,
            ts: 1_790_000_000_000,
        }
    }

    fn opened(bytes: Bytes, key: &TransferKey, manifest: &Manifest) -> Result<Vec<u8>, FileError> {
        let frame = RawFrame::decode(bytes).map_err(|_| FileError::Form("frame"))?;
        let header = read(&frame)?;
        key.open(&header, &frame, manifest).map(|chunk| chunk.data().to_vec())
    }

    #[test]
    fn every_chunk_opens_and_any_changed_byte_does_not() {
        let file = vec![7; FILE_CHUNK_BYTES * 2 + 5];
        let mut builder = TreeBuilder::default();
        file.chunks(FILE_CHUNK_BYTES).for_each(|chunk| builder.add(chunk).unwrap());
        let (tree, size) = builder.finish();
        let manifest = Manifest { name: "f".into(), size, root: Digest(tree.root()) };
        let key = TransferKey::new(&[9; 32], &Nonce16([3; 16]));
        let other = TransferKey::new(&[9; 32], &Nonce16([4; 16]));
        for (index, data) in (0..3).zip(file.chunks(FILE_CHUNK_BYTES)) {
            let path = tree.path(usize::try_from(index).unwrap());
            let sealed = key.seal(&header(index, index == 2), &path, data);
            assert_eq!(opened(sealed.clone(), &key, &manifest), Ok(data.to_vec()));
            assert_eq!(opened(sealed.clone(), &other, &manifest), Err(FileError::Sealed));
            for at in [20, 60, sealed.len() / 2, sealed.len() - 1] {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1;
                assert!(opened(changed.into(), &key, &manifest).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_chunk_of_another_place_or_file_is_refused() {
        let manifest = |root| Manifest { name: "f".into(), size: 10, root: Digest(root) };
        let mut builder = TreeBuilder::default();
        builder.add(&[1; 10]).unwrap();
        let root = builder.finish().0.root();
        let key = TransferKey::new(&[9; 32], &Nonce16([3; 16]));
        let good = key.seal(&header(0, true), &[], &[1; 10]);
        assert!(opened(good.clone(), &key, &manifest(root)).is_ok());
        assert!(opened(good, &key, &manifest([0; 32])).is_err(), "another root");
        for (bad, why) in [
            (key.seal(&header(0, true), &[], &[2; 10]), "other bytes, sealed by the sender"),
            (key.seal(&header(0, true), &[], &[1; 9]), "shorter"),
            (key.seal(&header(0, true), &[[0; 32]], &[1; 10]), "a longer path"),
            (key.seal(&header(0, false), &[], &[1; 10]), "not the last"),
            (key.seal(&header(1, true), &[], &[1; 10]), "behind the end"),
        ] {
            assert!(opened(bad, &key, &manifest(root)).is_err(), "{why}");
        }
    }

    #[test]
    fn only_the_canonical_header_is_read() {
        let text = String::from_utf8(header(5, false).to_bytes()).unwrap();
        assert_eq!(FileHeader::parse(text.as_bytes()), Ok(header(5, false)));
        for (from, to) in [
            ("\"i\":5", "\"i\":05"),
            ("\"i\":5", "\"i\":4294967296"),
            ("\"v\":1", "\"v\":2"),
            ("FILE", "TEXT"),
            (",\"last\":false", ", \"last\":false"),
            (",\"last\":false", ""),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert!(FileHeader::parse(other.as_bytes()).is_err(), "{other}");
        }
    }
}
