//! What a backup holds, with a digest of each file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// The file in a backup that names the others.
pub(super) const FILE: &str = "manifest.json";

/// The layout of a backup that this program writes and reads.
pub(super) const LAYOUT: u32 = 1;

/// Bytes that are read at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// The content of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of the backup.
    pub layout: u32,
    /// The server that made it.
    pub version: String,
    /// When, RFC 3339.
    pub made_at: String,
    /// SHA-256 of each file, by its path in the backup.
    pub files: BTreeMap<String, String>,
}

/// The digest of a file.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK_BYTES]);
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(block.get(..length).unwrap_or_default());
    }
}
