//! What tests of several crates are built from. Development only: no product crate depends on it.
//!
//! | module | what it gives |
//! |---|---|
//! | [`keys`] | RSA keys that a process makes once |
//! | [`device`] | one person's device: its keys, its bundle, and the frames that it signs |
//! | [`wire`] | a socket that was greeted, and every mode of signing in |
//! | [`client`] | a signed-in raw client: sends anything, waits for what comes back |
//! | [`middle`] | what stands between a device and its hub, and may change what passes |
//! | [`json_page`] | the page about `--json`, and whether an object is as it says |
//! | [`circles`] | whether the modules of a crate use each other in one direction |
//! | [`random`] | random bytes that come again with the same seed |
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on ends here, with the reason"
)]

pub mod circles;
pub mod client;
pub mod device;
pub mod json_page;
pub mod keys;
pub mod middle;
pub mod random;
pub mod wire;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chat_protocol::crypto::random as random_bytes;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The clock of this machine, Unix time in milliseconds.
///
/// # Panics
/// When the clock stands before 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// A user name.
///
/// # Panics
/// When it is none.
pub fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

/// A conversation by its name on the wire.
///
/// # Panics
/// When it is none.
pub fn cid(text: &str) -> ConversationId {
    ConversationId::parse(text).unwrap()
}

/// The id of something that is sent now.
pub fn new_id() -> MessageId {
    MessageId::new(now_ms(), random_bytes())
}
