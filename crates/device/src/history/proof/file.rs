//! A proof as a file that stands alone: one line of JSON.
//!
//! ```text
//! {"v":1,"t":"PROOF","frame":B64,"key":B64,"receipts":[B64,…],"bundles":[B64,…]}
//! ```
//!
//! Every byte counts: a reader writes what it has read again and demands the same bytes. `key` is
//! left out of a proof that does not show the text.

use chat_protocol::b64::B64Vec;
use chat_protocol::ratchet::MessageKey;
use serde::{Deserialize, Serialize};

use super::{Material, ProofError};

/// Longest file that is read: the largest frame, and receipts and bundles of a room of thousands.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Version of the form.
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u8,
    t: Kind,
    frame: B64Vec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<MessageKey>,
    receipts: Vec<B64Vec>,
    bundles: Vec<B64Vec>,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "PROOF")]
    Proof,
}

/// The bytes of the file.
pub fn write(material: &Material) -> Vec<u8> {
    let all = |list: &[bytes::Bytes]| list.iter().map(|bytes| B64Vec(bytes.to_vec())).collect();
    let file = File {
        v: VERSION,
        t: Kind::Proof,
        frame: B64Vec(material.frame.to_vec()),
        key: material.key.clone(),
        receipts: all(&material.receipts),
        bundles: all(&material.bundles),
    };
    to_bytes(&file)
}

/// Reads the bytes of a file. Nothing in it is checked yet.
pub fn read(bytes: &[u8]) -> Result<Material, ProofError> {
    let file: File =
        serde_json::from_slice(bytes).map_err(|error| ProofError::Form(error.to_string()))?;
    if file.v != VERSION {
        return Err(ProofError::Form(format!("version {}, expected {VERSION}", file.v)));
    }
    if to_bytes(&file) != bytes {
        return Err(ProofError::Form("it was written differently".to_owned()));
    }
    let all = |list: Vec<B64Vec>| list.into_iter().map(|bytes| bytes.0.into()).collect();
    Ok(Material {
        frame: file.frame.0.into(),
        key: file.key,
        receipts: all(file.receipts),
        bundles: all(file.bundles),
    })
}

fn to_bytes(file: &File) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(file).expect("numbers, strings and lists of them only");
    bytes.push(b'\n');
    bytes
}
