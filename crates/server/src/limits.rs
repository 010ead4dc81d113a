//! Every bound of the hub, with the reason for its value.
//!
//! Removing one of these makes a test fail. The bounds of the wire format itself (how long a frame,
//! a name or a header may be) are in `chat_protocol::limits`.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// The socket -------------------------------------------------------------------------------------

/// Longest payload of one WebSocket frame. The longest frame of the protocol is under 198 KiB.
pub const WS_FRAME_BYTES_MAX: usize = 256 * KIB;

/// Longest WebSocket message, over all of its fragments.
pub const WS_MESSAGE_BYTES_MAX: usize = MIB;

/// What one read takes from the socket. The library zero-fills this much at every read, so a larger
/// value costs CPU and idle memory; longer messages still arrive, the buffer grows for them.
pub const READ_BUFFER_BYTES: usize = 4 * KIB;

/// How much the writer gathers before it makes a system call: some twenty sealed texts.
pub const WRITE_BUFFER_BYTES: usize = 16 * KIB;

/// Most bytes that wait in the library for a peer that does not read. Without this bound a client
/// that pings and never reads takes all memory.
pub const WRITE_BACKLOG_BYTES_MAX: usize = MIB;

/// Bytes a connection may send without completing a message: one longest message, as much again for
/// framing. Above it the peer sends empty or tiny fragments, which cost us CPU and give nobody anything.
pub const SILENT_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Reads a connection may cause without completing a message: the longest message in pieces of 64
/// bytes. An honest network delivers 1,400 at a time.
pub const SILENT_READS_MAX: u64 = 16 * 1024;

/// Pings and pongs a second, after a burst of [`CONTROL_FRAMES_BURST`]. Clients need one in 20 s.
pub const CONTROL_FRAMES_PER_SECOND: u32 = 5;

/// Pings and pongs that may come at once, as after a pause of the network.
pub const CONTROL_FRAMES_BURST: u32 = 20;

// Before sign-in ---------------------------------------------------------------------------------

/// From accept to signed in, TLS, HTTP head and upgrade included. A slow phone needs two seconds.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest HTTP head. Browsers send under 4 KiB.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * KIB;

/// Most fields in an HTTP head. Browsers send about 20.
pub const HTTP_HEAD_FIELDS_MAX: usize = 64;

/// Connections of any kind at once: at 14 kB each they stay under 150 MB. The limit of open files
/// of the process lowers this.
pub const CONNECTIONS_MAX: usize = 10_000;

/// File descriptors kept free for the store, the logs and commands.
pub const FILES_RESERVED: usize = 128;

/// Connections that have not signed in, from everywhere but this machine. They are the cheapest
/// attack there is, and each lives at most [`HANDSHAKE_TIME_MAX`].
pub const STRANGERS_MAX: usize = 256;

/// The same for one address (IPv6: one /64). Loopback is exempt, or a load test would be an attack.
pub const STRANGERS_PER_ADDRESS_MAX: usize = 16;

/// AUTHs that wait to be opened. Strangers from elsewhere are fewer; this machine has no bound for them.
pub const AUTHS_WAITING_MAX: usize = 4 * STRANGERS_MAX;

/// Connections from banned addresses that are told why at once, from everywhere. More are cut when they are accepted.
/// With [`BARRED_TIME_MAX`] that is three handshakes a second, whoever tries how often.
pub const BARRED_TOLD_MAX: usize = 16;

/// From accept to the refusal for who comes from a banned address.
pub const BARRED_TIME_MAX: Duration = Duration::from_secs(5);

/// Connections that stay after an HTTP answer, for the next request. They do not count as strangers
/// any more, so visitors of pages take no place from who wants to sign in. One more gets its answer
/// and is closed. At two blocks each they stay under 32 MiB.
pub const VISITORS_MAX: usize = 256;

/// The same for one address (IPv6: one /64): browsers open six. Loopback is exempt.
pub const VISITORS_PER_ADDRESS_MAX: usize = 16;

/// How long a visitor may take for each step: to take [`HTTP_BLOCK_BYTES`], which is slower than a
/// modem, or to come with the next request.
pub const HTTP_STEP_TIME_MAX: Duration = Duration::from_secs(10);

/// What is read from a file at once. A smaller file costs one turn of a thread for everything.
pub const HTTP_BLOCK_BYTES: usize = 64 * KIB;

/// Threads that open and read files at once. A disk that hangs stops the pages, not the chat.
pub const HTTP_READS_MAX: usize = 4;

/// Files of more than one block that are under way at once, each an open file.
pub const HTTP_DOWNLOADS_MAX: usize = 256;

/// How long a file must have rested before its entity tag is strong: the clock of file systems moves
/// in steps, some of a second, and within one a file can change unseen.
pub const FILE_SETTLED_TIME: Duration = Duration::from_secs(2);

/// Pause after `accept` failed for want of file descriptors, so that the loop does not spin.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

// The queue --------------------------------------------------------------------------------------

/// Requests of one connection that may wait for the worker. Its reader stops reading at the limit,
/// so a flood is held back in the flooder's own socket.
pub const QUEUE_REQUESTS_PER_CONNECTION_MAX: usize = 64;

/// Bytes of one connection that may wait for the worker: one message of the longest kind.
pub const QUEUE_BYTES_PER_CONNECTION_MAX: usize = MIB;

/// Bytes of all connections that may wait for the worker; room for 64 connections at their limit.
pub const QUEUE_BYTES_MAX: usize = 64 * MIB;

/// A waiting request rises one lane in this time, so the lowest is at the top after 400 ms.
pub const QUEUE_AGEING_STEP: Duration = Duration::from_millis(100);

/// A connection that has said nothing for so long gives way where its account has too many.
pub const CONNECTION_IDLE_MIN: Duration = Duration::from_mins(1);

/// When somebody may come again who found no idle connection of the same account.
pub const CONNECTION_RETRY: Duration = Duration::from_secs(2);

// The operator ----------------------------------------------------------------------------------

/// Entries of the ban list. Each sign-in and each new connection looks at all of them.
pub const BANS_MAX: usize = 1_024;

/// Codes for new accounts that are good at the same time.
pub const INVITES_MAX: usize = 1_024;

/// How long `/kick` puts somebody out of the lobby, in milliseconds: ten minutes, in which tempers cool.
pub const LOBBY_KICK_MS: u64 = 10 * 60 * 1_000;

/// How many people who are out of the lobby, and whose devices have not left it by its chain, a member is told
/// of at a sign-in: some 150 kB of text.
pub const PUT_OUT_TOLD_MAX: usize = 1_024;

/// Longest announcement: some lines on a screen.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 1_024;

/// Longest line on the admin socket, either way: a page of accounts is under 256 KiB.
pub const ADMIN_LINE_BYTES_MAX: usize = MIB;

/// Connections to the admin socket at once: a person and some scripts.
pub const ADMIN_CONNECTIONS_MAX: usize = 8;

/// How long one side of the admin socket may take for a line.
pub const ADMIN_TIME_MAX: Duration = Duration::from_secs(10);

// The outbox -------------------------------------------------------------------------------------

/// Frames that may wait for one connection. A client that is this far behind catches up from its
/// cursor faster than from memory.
pub const OUTBOX_FRAMES_MAX: usize = 1_024;

/// Bytes that may wait for one connection.
pub const OUTBOX_BYTES_MAX: usize = MIB;

/// Frames the writer takes at once. What it holds is outside of the outbox's bound.
pub const WRITER_BATCH_FRAMES_MAX: usize = 128;

/// Bytes the writer takes at once (at least one frame).
pub const WRITER_BATCH_BYTES_MAX: usize = 64 * KIB;

/// How long one batch may take to reach the socket. 64 KiB in 10 s is slower than a modem.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(10);

/// Nothing heard in one such period: a ping. Nothing in the next either: the peer is gone. So a
/// half-open connection is found within 45 s, and a healthy one costs a ping in 15 s at most.
pub const SILENCE_PERIOD: Duration = Duration::from_secs(15);

/// Joined and left notices are gathered this long, so a storm of joins is four frames a second.
pub const NOTICE_PERIOD: Duration = Duration::from_millis(250);

/// Names in one notice; what is beyond it waits for the next period. The WebSocket library keeps the
/// buffer of the longest frame it has written for as long as the connection lives, so a long notice
/// would cost every idle connection its length in memory.
pub const NOTICE_NAMES_MAX: usize = 64;

// Sessions and the store -------------------------------------------------------------------------

/// Requests decided and committed together. One sync covers all of them; more would make the first
/// wait for the last.
pub const BATCH_REQUESTS_MAX: usize = 1_024;

/// Bytes of requests after which a batch is committed as it is. A disk takes so many in about the
/// time of its sync; with more, whoever wrote a line would wait while others' long messages are
/// written.
pub const BATCH_BYTES_MAX: usize = 128 * KIB;

/// When a device sends again what a full disk could not take, in milliseconds: not so often that it
/// is a load, and soon enough after somebody has made room.
pub const STORAGE_RETRY_MS: u64 = 1_000;

/// Connections that read the store at once. Reading is short; more would only fight for two cores.
pub const READERS_MAX: usize = 4;

/// Entries looked at in one step of catching up: under a quarter of an outbox.
pub const CATCH_UP_PAGE_MAX: usize = 256;

/// Committed entries kept in memory, so that who has caught up to within them can go live.
pub const RING_ENTRIES_MAX: usize = 4_096;

/// Bytes of those entries: of long messages, too, more than comes while somebody reads the last page from the store. All
/// of it is filled by whoever sends long ones, and no attack may take more than 64 MiB of memory for all that it does.
pub const RING_BYTES_MAX: usize = 16 * MIB;

/// Entries pushed at once when somebody goes live; with more it is read from the store again. Half
/// an outbox, so going live never overflows it.
pub const GO_LIVE_ENTRIES_MAX: usize = OUTBOX_FRAMES_MAX / 4;

/// How long an epoch may lack somebody who has just joined or changed keys, and an older epoch may
/// still be used after a newer one (rule R4): churn must not stop those who are sending.
pub const EPOCH_GRACE: Duration = Duration::from_secs(10);

/// An epoch may lack a device so much earlier than senders leave it out for being away (rule R12):
/// their clocks decide, and one that is fast must not be refused.
pub const AWAY_SLACK_MS: u64 = 24 * 3600 * 1000;

/// Messages that one step of a room's retention deletes: a few milliseconds, so that chat that waits
/// behind it does not feel it.
pub const DROP_STEP_MESSAGES_MAX: usize = 256;

/// Wrapped keys that one such step deletes. A wrap is about as long as a short message.
pub const DROP_STEP_WRAPS_MAX: usize = 512;

/// Messages to a deleted account that one step empties: as many, for the same reason.
pub const ERASE_STEP_MESSAGES_MAX: usize = 256;

/// Pause between two such steps. Five thousand messages a second go, more than ever came.
pub const DROP_STEP_PAUSE: Duration = Duration::from_millis(50);

/// Pause after a step for which the disk had no room.
pub const DROP_FULL_PAUSE: Duration = Duration::from_mins(1);

/// How long an epoch stays in memory behind a newer one. Longer than [`EPOCH_GRACE`], so that a hub that
/// shares a log still knows the devices of a message that another one has taken in the last moment of it.
pub const EPOCH_MEMORY: Duration = Duration::from_mins(1);

/// Older epochs of a conversation kept in memory for [`EPOCH_MEMORY`].
pub const OLD_EPOCHS_MAX: usize = 8;

/// How far the clock of a command may be off.
pub const COMMAND_CLOCK_MAX: Duration = Duration::from_mins(5);

/// An epoch's lines and wraps must have arrived this long after its KEY frame (rule R11).
pub const UPLOAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest body of a receipt: 64 messages with their digests need under 5 KiB.
pub const RECEIPT_BODY_BYTES_MAX: usize = 8 * KIB;

/// Bad signatures that end a connection. An honest client makes none.
pub const BAD_SIGNATURES_MAX: u32 = 3;

/// Signed frames after which a connection forgets the batches it has verified: four full batches,
/// so that thousands of connections do not each keep thousands of roots.
pub const VERIFIED_FRAMES_MAX: u32 = 256;

/// People whom one account may follow: each is a log to catch up with at every sign-in.
pub const FOLLOWED_MAX: usize = 100;

/// Keys that are kept as revoked of an account, beside those of devices that it has here: each is kept for ever, in the
/// database and in memory. A device names 48 of them in a bundle; so many are 16 KiB, and whoever publishes as much as an
/// account may would revoke a thousand invented ones in two minutes. No bundle is refused because of it: what finds no
/// room counts as long as the newest bundle of a device names it.
pub const ACCOUNT_REVOKED_MAX: usize = 1_024;

/// Rooms of one hub that have members. Each stays in memory.
pub const ROOMS_MAX: usize = 10_000;

/// Files that one person may share: a large collection, and a page by page listing that ends.
pub const OFFERS_PER_PERSON_MAX: usize = 10_000;

/// Bytes of memory that the offers of one person may take: 10,000 of the usual kind, of which the
/// signature is half.
pub const OFFER_BYTES_PER_PERSON_MAX: usize = 32 * MIB;

/// Bytes of memory that all offers may take: some 250,000 of the usual kind. The list is searched in
/// memory, so it has to fit there.
pub const OFFER_BYTES_MAX: usize = 512 * MIB;

/// When a question about the list of shared files beyond its budget may come again, in milliseconds: then as many go through as one
/// connection may have in the queue, so whoever obeys is put off once.
pub const LIST_RETRY_MS: u64 = 1_000;

/// Names in one page of `WHO`. At 80 bytes each a page stays under the longest text.
pub const WHO_PAGE_MAX: usize = 1_024;

/// Direct messages that may wait for one account: years of letters, and a flood is noticed.
pub const MAILBOX_MESSAGES_MAX: u64 = 100_000;

/// Bytes of direct messages that may wait for one account.
pub const MAILBOX_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// Longest sealed vault: keys and a little history of keys.
pub const VAULT_BYTES_MAX: usize = 16 * KIB;

/// Length of a login secret.
pub const LOGIN_SECRET_BYTES: usize = 32;

/// Wrong passwords for one name that cost nothing but the check.
pub const GUESSES_FREE: u32 = 3;

/// Pause after the first guess beyond [`GUESSES_FREE`]; each further one doubles it.
pub const GUESS_PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Longest pause between guesses: long enough to make a list of passwords useless, short enough for
/// the owner to wait for.
pub const GUESS_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Wrong passwords from one address that cost nothing but the check: an office behind one address
/// has several people who mistype.
pub const ADDRESS_GUESSES_FREE: u32 = 10;

/// Longest pause between guesses from one address.
pub const ADDRESS_PAUSE_MAX: Duration = Duration::from_mins(1);

/// Wrong guesses are forgotten after this time without another: a person who mistyped yesterday
/// starts anew, and whoever waits that long guesses slower than with the pauses.
pub const GUESS_MEMORY: Duration = Duration::from_hours(1);

/// Addresses whose wrong guesses are remembered, oldest forgotten first.
pub const GUESSING_ADDRESSES_MAX: usize = 10_000;

/// Names whose wrong guesses are remembered, oldest forgotten first.
pub const GUESSED_NAMES_MAX: usize = 10_000;

// Files ------------------------------------------------------------------------------------------

/// Transfers of one data connection, halves that wait for the other side included.
pub const TRANSFERS_PER_CONNECTION_MAX: usize = 16;

/// Chunks of one transfer that may be under way: what a giver may send before the first is taken. At
/// 64 KiB each they fill 100 MB/s over 5 ms.
pub const TRANSFER_WINDOW_CHUNKS: u32 = 8;

/// Transfers that run at the same time. Each may have its window in the hub's memory, 132 MiB in all.
pub const TRANSFERS_RUNNING_MAX: usize = 256;

/// Longest FILE frame on a data connection: 64 KiB, the path of the largest file and the tag leave
/// 1.4 KiB for a header that needs 400 bytes.
pub const FILE_FRAME_BYTES_MAX: usize = 66 * KIB - 4;

/// How long half of a transfer waits for the other half: it was told of it a moment ago.
pub const HALF_TRANSFER_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a transfer may stand still before its place is given to another one.
pub const TRANSFER_STALL_TIME_MAX: Duration = Duration::from_mins(2);

/// How long a data connection may be without a transfer. Clients close theirs after 30 s.
pub const DATA_IDLE_TIME_MAX: Duration = Duration::from_mins(2);

/// Bytes of chunks that a hub gives to others in a second: a tenth of what one core of Redis carries, so that
/// messages pass.
pub const LINK_BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;

/// How often hubs that have a transfer in common say that they are there.
pub const LINK_PING_PERIOD: Duration = Duration::from_secs(1);

/// How long one may be silent before its transfers are given up: as long as a lease and what is waited for behind
/// it.
pub const LINK_SILENCE_MAX: Duration = Duration::from_secs(10);

/// How often a data connection looks for what has waited too long.
pub const TRANSFER_TICK: Duration = Duration::from_secs(1);

/// Chunks that one connection moves before it lets others run: some 0.2 ms of work. tokio's own
/// budget would let it go on for 8 MiB.
pub const CHUNKS_PER_TURN: u32 = 4;

/// Longest reason that one side of a transfer may tell the other, in bytes.
pub const END_REASON_BYTES_MAX: usize = 256;

/// What one read of a data connection takes: a whole chunk for two or three system calls.
pub const DATA_READ_BUFFER_BYTES: usize = 64 * KIB;

/// Bytes of copies that one person may leave, unless `--copies-quota` says otherwise.
pub const COPIES_QUOTA_DEFAULT: u64 = 1024 * 1024 * 1024;

/// Days that a copy is kept at most, unless `--copies-days` says otherwise.
pub const COPIES_DAYS_DEFAULT: u32 = 14;

/// Copies of one person: each is a file and a row, however small.
pub const COPIES_PER_PERSON_MAX: usize = 1_000;

/// Place of one chunk in the file of a copy: four bytes of length and the longest frame.
pub const COPY_STRIDE_BYTES: u64 = 66 * 1024;

/// A copy that comes in is synced after so many bytes, so that no sync of the database has to wait
/// for gigabytes of it.
pub const COPY_SYNC_BYTES: u64 = 8 * 1024 * 1024;

/// How often copies are looked through for those whose time has passed.
pub const COPIES_SWEEP_PERIOD: Duration = Duration::from_mins(1);

// The end ----------------------------------------------------------------------------------------

/// How long a closing handshake may take before the socket is dropped.
pub const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Bytes read and thrown away while closing, so that the peer gets to read the reason: a socket
/// closed with unread input sends a reset, which can destroy our last frame.
pub const CLOSE_DISCARD_BYTES_MAX: usize = 4 * MIB;

/// Time to finish what is queued after SIGTERM, unless `--drain-timeout` says otherwise.
pub const DRAIN_TIME_DEFAULT: Duration = Duration::from_secs(5);

const _: () = assert!(QUEUE_BYTES_PER_CONNECTION_MAX >= WS_MESSAGE_BYTES_MAX);
const _: () = assert!(QUEUE_BYTES_MAX >= QUEUE_BYTES_PER_CONNECTION_MAX);
const _: () = assert!(OUTBOX_BYTES_MAX >= WS_FRAME_BYTES_MAX);
const _: () = assert!(WRITE_BACKLOG_BYTES_MAX > WRITE_BUFFER_BYTES + WS_FRAME_BYTES_MAX);
const _: () = assert!(NOTICE_NAMES_MAX * 64 < WS_FRAME_BYTES_MAX);
const _: () = assert!(FILE_FRAME_BYTES_MAX + 4 == 66 * KIB && COPY_STRIDE_BYTES == 66 * 1024);
const _: () = assert!(FILE_FRAME_BYTES_MAX < WS_FRAME_BYTES_MAX);

/// How long a connection that reminds the hub of what it has lost waits for each account that had to
/// be read and each signature that had to be checked: 200 of them a second are a few hundredths of
/// one processor, and a full reminder waits a second.
pub const REMIND_ITEM_PAUSE: Duration = Duration::from_millis(5);

/// How much longer than for the first thing in a reminder that is over a budget one waits for others beside it:
/// what comes back comes within minutes, and a minute of the fastest budget is a fair part of a room.
pub const REMIND_PORTION_MAX: Duration = Duration::from_mins(1);

/// People of a chain who came into it or went by a key that we cannot show: of accounts that were lost, in a
/// reminder. A device counts 256 of a chain and then takes no more of it, so whoever invents accounts must not
/// reach that; those of lost accounts that come back do not count any more, nor who came and went.
pub const UNSHOWN_LINKS_MAX: usize = 128;

/// Bytes of batches that are read at once from a folder whose turns are taken up again.
pub const SALVAGE_BYTES: usize = 4 << 20;
