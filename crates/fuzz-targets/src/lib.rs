//! What strangers' bytes reach first, as functions of bytes: development only.
//!
//! Each function hands its bytes to one reader and asserts what must hold of whatever it accepts; it
//! panics where that does not hold. `fuzz/` runs them under a fuzzer (`scripts/fuzz.sh`), and a test of
//! this crate feeds them every file of `fuzz/corpus`: what was found once stays found.

mod local;
mod people;
mod wire;

pub use local::{key_file, keyword_txt, policy, sanitiser};
pub use people::{bundle, content, member_list};
pub use wire::{client_to_hub, frame, handshake, header, hub_to_client};

/// A reader and its checks.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const TARGETS: [(&str, Target); 12] = [
    ("bundle", bundle),
    ("client_to_hub", client_to_hub),
    ("content", content),
    ("frame", frame),
    ("handshake", handshake),
    ("header", header),
    ("hub_to_client", hub_to_client),
    ("key_file", key_file),
    ("keyword_txt", keyword_txt),
    ("member_list", member_list),
    ("policy", policy),
    ("sanitiser", sanitiser),
];
