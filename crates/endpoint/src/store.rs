//! Where a device keeps its state: rows of text key and bytes.

pub mod memory;

/// One changed row; no value means it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `kind/key`.
    pub key: String,
    /// The new value.
    pub value: Option<Vec<u8>>,
}
