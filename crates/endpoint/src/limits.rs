//! Every bound of a device's state, with the reason for its value.

/// Messages of one conversation that may be under way unanswered: as many as one signature covers.
pub const IN_FLIGHT_MAX: usize = 64;

/// Receipts wait at most this long, times the fiftieth part of the members, for company.
pub const RECEIPT_DELAY_MS: u64 = 200;

/// Members of a conversation that are worth one [`RECEIPT_DELAY_MS`].
pub const RECEIPT_MEMBERS_STEP: u64 = 50;

/// An epoch is replaced after a day of use, counted from when this device first saw it.
pub const EPOCH_AGE_MAX_MS: u64 = 24 * 3600 * 1000;

/// How long the loser of a race for an epoch waits for the winner's key before it makes the next.
pub const EPOCH_WAIT_MS: u64 = 2_000;

/// Bundles of a command's target are asked for again after this long: its restart nonce may have
/// changed.
pub const TARGET_FRESH_MS: u64 = 10_000;

/// Messages whose receipts are still accepted, oldest forgotten first.
pub const SENT_REMEMBERED_MAX: usize = 8_192;

/// Ids of received messages that are remembered per device (rule R13), oldest forgotten first.
pub const RECEIVED_REMEMBERED_MAX: usize = 16_384;

/// Bytes of deliveries that may wait for a key of their sender or a view. What a hub has under way
/// to a device before its answer comes (its outbox and the sockets' buffers) is a few megabytes.
pub const PARKED_BYTES_MAX: usize = 32 << 20;

/// A command may start within this time after it was signed (rule R9).
pub const COMMAND_EXPIRY_MS: u64 = 60_000;

/// Clocks may differ by this much before a command is refused.
pub const CLOCK_SKEW_MAX_MS: u64 = 5 * 60 * 1000;
