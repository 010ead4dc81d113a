//! Every bound of a device's state, with the reason for its value.

/// Messages of one conversation that may be under way unanswered: as many as one signature covers.
pub const IN_FLIGHT_MAX: usize = 64;

/// Receipts wait at most this long, times the fiftieth part of the members, for company.
pub const RECEIPT_DELAY_MS: u64 = 200;

/// Members of a conversation that are worth one [`RECEIPT_DELAY_MS`].
pub const RECEIPT_MEMBERS_STEP: u64 = 50;

/// An epoch is replaced after a day of use, counted from when this device first saw it.
pub const EPOCH_AGE_MAX_MS: u64 = 24 * 3600 * 1000;

/// How often a link may be refused as late while the chain does not grow, before the hub is taken to
/// be confused. Each other refusal is another one's link, so an honest race ends.
pub const ORDER_FUTILE_MAX: u32 = 8;

/// People whose coming or going as subscribers is told of after one refresh; `/subscribers` lists
/// them all, and a crowd that came meanwhile must not push the chat off the screen.
pub const FEED_NEWS_MAX: usize = 8;

/// How often in a row the hub may refuse the devices of an epoch before the next try waits. Each
/// refusal with an honest hub is another newcomer or new key, so a burst of them ends.
pub const EPOCH_FUTILE_MAX: u32 = 8;

/// How long it waits then.
pub const EPOCH_FUTILE_WAIT_MS: u64 = 10_000;

/// Rooms of up to so many people have no waits before an epoch: making one in vain for each of them
/// costs less than anybody would notice of waiting.
pub const RACE_FREE_PEOPLE: usize = 16;

/// In larger ones a device waits at most this long for each of them before it makes an epoch that
/// somebody else may be making: several times what it takes until the others have one.
pub const RACE_WAIT_PERSON_MS: u64 = 2;

/// And no longer than this: half a second is a pause that people notice.
pub const RACE_WAIT_MAX_MS: u64 = 500;

/// Unless the hub is slow. Then the wait is at most so many times what it took for the last view.
pub const RACE_WAIT_ANSWERS: u64 = 4;

/// And still no longer than the loser of a race waits.
pub const RACE_WAIT_SLOW_MAX_MS: u64 = EPOCH_WAIT_MS;

/// The first time that another one's link came first, one's own is signed again at once; from the
/// second time on after a random wait below this, doubled each time. Many who join at once would
/// otherwise all sign again whenever one of them gets in.
pub const LINK_WAIT_MS: u64 = 32;

/// How often it is doubled: to a second.
pub const LINK_WAIT_DOUBLINGS: u32 = 5;

/// How long the loser of a race for an epoch waits for the winner's key before it makes the next.
pub const EPOCH_WAIT_MS: u64 = 2_000;

/// Identities that were refused for one name and are remembered, oldest forgotten first: somebody has
/// decided on each of them.
pub const REFUSED_IDENTITIES_MAX: usize = 8;

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

/// How long after something was missed it is asked for: it may only be late.
pub const HEAL_DELAY_MS: u64 = 300;

/// The first request is repeated after this long, and each further one after twice the time.
pub const HEAL_RETRY_MS: u64 = 5_000;

/// Requests without an answer before they are given up: about ten minutes with both sides online.
pub const HEAL_TRIES_MAX: u32 = 7;

/// A request that the hub keeps for somebody who is away is repeated this much later; whoever comes
/// back is asked at once.
pub const HEAL_AWAY_MS: u64 = 3600 * 1000;

/// Chains of which something is missing at a time: a sender in an epoch each.
pub const MISSING_CHAINS_MAX: usize = 256;

/// Counters of one chain that are asked for: as many as one sender seals in one epoch.
pub const MISSING_COUNTERS_MAX: usize = 1_000;

/// Frames without their epoch's key that are kept until it comes; more are asked for.
pub const HELD_FRAMES_MAX: usize = 64;

/// Messages of this device that are kept to be sent again, oldest dropped first.
pub const KEPT_SENT_MAX: usize = 1_024;

/// The same in bytes of their frames, so that long messages cannot fill the memory.
pub const KEPT_SENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Messages that one person is sent again within [`ANSWER_WINDOW_MS`].
pub const ANSWERS_MAX: usize = 1_024;

/// See [`ANSWERS_MAX`].
pub const ANSWER_WINDOW_MS: u64 = 60_000;

/// Granted messages that wait for their senders' bundles or their room's view.
pub const GRANTS_PARKED_MAX: usize = 256;

/// After a key that did not open, a conversation gets a new epoch at most this often: a hub that
/// damages every key must not make its clients work for it.
pub const RENEW_MIN_MS: u64 = 10_000;

/// A connection lasts at least this long before an expired key of this device ends it.
pub const RENEW_OWN_MIN_MS: u64 = 24 * 3600 * 1000;

/// A command may start within this time after it was signed (rule R9).
pub const COMMAND_EXPIRY_MS: u64 = 60_000;

/// Clocks may differ by this much before a command is refused.
pub const CLOCK_SKEW_MAX_MS: u64 = 5 * 60 * 1000;

/// How long an agent waits with its reports when the hub has no room for them.
pub const STORAGE_WAIT_MS: u64 = 1_000;
