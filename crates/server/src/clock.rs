//! Where the time comes from.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the hub takes the time from: Unix time in milliseconds. A simulation brings its own.
pub type Clock = fn() -> u64;

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
