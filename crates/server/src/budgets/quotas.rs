//! What the hub keeps for one account at most: messages for who is away, and copies of files.

use std::time::Duration;

use crate::limits::{
    COPIES_DAYS_DEFAULT, COPIES_QUOTA_DEFAULT, MAILBOX_BYTES_MAX, MAILBOX_MESSAGES_MAX,
};

/// How much may wait for somebody who is away.
#[derive(Debug, Clone, Copy)]
pub struct MailboxLimits {
    /// Messages that may wait.
    pub messages_max: u64,
    /// Bytes that may wait.
    pub bytes_max: u64,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self { messages_max: MAILBOX_MESSAGES_MAX, bytes_max: MAILBOX_BYTES_MAX }
    }
}

/// How much one person may leave, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyLimits {
    /// Bytes of the copies of one person; 0 for no copies at all.
    pub quota: u64,
    /// Longest time.
    pub time_max: Duration,
}

impl CopyLimits {
    /// Limits with a time in days.
    pub fn new(quota: u64, days: u32) -> Self {
        Self { quota, time_max: Duration::from_hours(24 * u64::from(days)) }
    }
}

impl Default for CopyLimits {
    fn default() -> Self {
        Self::new(COPIES_QUOTA_DEFAULT, COPIES_DAYS_DEFAULT)
    }
}
