//! Every bound of a device's state, with the reason for its value.

use chat_protocol::limits::{GRANT_BUNDLES_BYTES_MAX, GRANT_LINKS_BYTES_MAX, HEADER_BYTES_MAX};

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

/// How long what is asked for in a room waits for what was said there before. A hub or a member that keeps
/// messages from being sealed must not keep anybody in a room; a slow link takes some seconds for a new key.
pub const ORDER_WAIT_MS: u64 = 30_000;

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

/// So many lists of whom an epoch must be made for are kept: of the room where somebody talks, of the feed that copies
/// go to, and of those where something is answered meanwhile. Each can have 5,000 lines.
pub const LISTS_KEPT_MAX: usize = 4;

/// The first time that another one's link came first, one's own is signed again at once; from the
/// second time on after a random wait below this, doubled each time. Many who join at once would
/// otherwise all sign again whenever one of them gets in.
pub const LINK_WAIT_MS: u64 = 32;

/// How often it is doubled: to a second.
pub const LINK_WAIT_DOUBLINGS: u32 = 5;

/// Newest links of a room whose bytes are kept, to hand them to a member or to a hub that lost them.
/// Older ones are asked of the hub.
pub const LINKS_KEPT_MAX: u32 = 256;

/// People who are noted as put out of a room in which they never were by the chain held here: links that were handed over
/// say so, and somebody who makes up names signs any number of them.
pub const STRUCK_STRANGERS_MAX: usize = 256;

/// How long the hub may show an older state before it is taken to have gone back: a node of a cluster
/// may be behind for a moment. As long again it has to take what it was reminded of.
pub const BEHIND_GRACE_MS: u64 = 2_000;

/// Whoever reminds the hub waits a random time below this, so that not everybody does.
pub const REMIND_WAIT_MS: u64 = 2_000;

/// How long the hub has to answer what it was told of a person before keys are made without waiting for it: it is at work
/// for a second or two on what a restore has lost of a large room. With [`REMIND_WAIT_MS`] these are the 10 s of rule R36.
pub const REMINDED_WAIT_MS: u64 = 8_000;

/// Bundles of which is remembered that the hub was told of them: more than the largest room has people. Beyond it is told
/// once more, which costs it a look.
pub const TOLD_BUNDLES_MAX: usize = 16_384;

/// How long the hub has to show what it was told of this user's other devices: as others have ([`REVOKED_HELD_MS`]).
pub const UNDECIDED_MS: u64 = REVOKED_HELD_MS;

/// Whoever has links that a writer lacks waits a random time before handing them over: so many
/// milliseconds for each member, so that in a large room not everybody does.
pub const REPAIR_WAIT_PERSON_MS: u64 = 50;

/// But at least a window of this length: the device that signed the link is first.
pub const REPAIR_WAIT_MIN_MS: u64 = 2_000;

/// And at most of this.
pub const REPAIR_WAIT_MAX_MS: u64 = 60_000;

/// Links are handed to one writer of a room once in this time.
pub const REPAIR_AGAIN_MS: u64 = 10 * 60 * 1000;

/// Bytes of links and bundles that one person may hand over within [`REPAIR_AGAIN_MS`]: four full answers, for a
/// person with several devices.
pub const HANDED_BYTES_MAX: usize = 4 * (GRANT_LINKS_BYTES_MAX + GRANT_BUNDLES_BYTES_MAX);

/// Bytes of one bundle that is taken from a member: its header, and as much again for its signatures. A longer one would
/// use up what is taken from whoever hands it on for others.
pub const HANDED_BUNDLE_BYTES_MAX: usize = 2 * HEADER_BYTES_MAX;

/// How often within that time what one person hands over may make a device ask for lists of people anew, and tell the
/// hub of links: whoever has lost something has lost it in a few rooms, of a few people. What is taken away beyond that
/// counts all the same, and is asked about with the next view.
pub const HANDED_ASKS_MAX: u32 = 8;

/// Bundles of one person that were handed over and are kept: one of each device that an account may have.
pub const GIVEN_PERSON_MAX: usize = 32;

/// Bytes of them of all people: some 1,600 bundles. Whoever signs more of their own pushes out their own.
pub const GIVEN_BYTES_MAX: usize = 4 << 20;

/// Live devices of one person that are kept: twice what an honest hub takes, because clocks differ.
pub const DEVICES_HELD_MAX: usize = 64;

/// How far ahead of this device's clock a setting may have been set: clocks differ, and what a stolen device sets for
/// the end of time could never be taken back.
pub const SETTING_AHEAD_MAX_MS: u64 = 24 * 3600 * 1000;

/// Everything that is set is told once more with the first thing that is set after this time: what the hub has lost at
/// the end of what was said shows in no number.
pub const SETTINGS_AGAIN_MS: u64 = 24 * 3600 * 1000;

/// Who misses something of what is set waits so long before it asks: more may be missing, or come.
pub const SETTINGS_ASK_DELAY_MS: u64 = 1_000;

/// And asks again after this time, doubled each time up to [`SETTINGS_WAIT_MAX_MS`], until it is answered; and answers once
/// in this time: a hub that loses each second message makes no more of it.
pub const SETTINGS_ASK_MIN_MS: u64 = 60_000;

/// Everything that is set may be told again after this time, doubled each time up to [`SETTINGS_WAIT_MAX_MS`], until it was
/// not for that long: a hub that refuses it makes it due again by one short message.
pub const SETTINGS_TELL_MIN_MS: u64 = 2_000;

/// See [`SETTINGS_TELL_MIN_MS`].
pub const SETTINGS_WAIT_MAX_MS: u64 = 3600 * 1000;

/// Devices that are told that all was told because they have asked: as many as an account may have.
pub const SETTINGS_ASKERS_MAX: usize = 32;

/// People who have allowed this user to see when they were heard of last: more than anybody writes to.
pub const ALLOWS_MAX: usize = 256;

/// People to whom this user has said so.
pub const TOLD_MAX: usize = 512;

/// Rows of those who were answered in an absence: the key of each has one of so many numbers.
pub const ANSWERED_MAX: usize = 512;

/// People to whom this user has written, the latest first.
pub const WRITTEN_MAX: usize = 1_024;

/// When that was is noted anew after this time, and not with each message.
pub const WRITTEN_AGAIN_MS: u64 = 24 * 3600 * 1000;

/// Settings of kinds that this program does not know and keeps for one that does.
pub const SETTINGS_OTHER_MAX: usize = 64;

/// A revocation must be held for so long before somebody who still seals for that key is named: what
/// they said may have been under way.
pub const REVOKED_HELD_MS: u64 = 10_000;

/// The same for a device that belongs into an epoch and is not in it: the hub lets an epoch lack what
/// has come in the last 10 s, and what is said in it may be under way for a while.
pub const LINE_MISSING_MS: u64 = 15_000;

/// Devices that are left out within this time because they were away for months are not missed: clocks
/// differ.
pub const AWAY_SOON_MS: u64 = 24 * 3600 * 1000;

/// How long the loser of a race for an epoch waits for the winner's key before it makes the next.
pub const EPOCH_WAIT_MS: u64 = 2_000;

/// The same where nothing of the winner's key has come. A hub sends it before it answers the loser, so it is
/// one of long ago that never comes again, or there is none; some time for one that does it the other way
/// round.
pub const EPOCH_UNSEEN_WAIT_MS: u64 = 50;

/// Identities that were refused for one name and are remembered, oldest forgotten first: somebody has
/// decided on each of them.
pub const REFUSED_IDENTITIES_MAX: usize = 8;

/// Identities that a person was known by before another one was trusted, oldest forgotten first: a person
/// has decided on each of them, and what they have signed in rooms is verified with them.
pub const FORMER_IDENTITIES_MAX: usize = 4;

/// Bundles of a command's target are asked for again after this long: its restart nonce may have
/// changed.
pub const TARGET_FRESH_MS: u64 = 10_000;

/// Messages whose receipts are still accepted, oldest forgotten first.
pub const SENT_REMEMBERED_MAX: usize = 8_192;

/// So many of them are left when there are more: to find the oldest ones takes a look at all, which is not worth it for
/// each message.
pub const SENT_REMEMBERED_MIN: usize = SENT_REMEMBERED_MAX - 512;

/// Ids of received messages that are remembered per device (rule R13). Beyond it the oldest epoch
/// that is no conversation's current one is forgotten whole (rule R39).
pub const RECEIVED_REMEMBERED_MAX: usize = 65_536;

/// Bytes of deliveries that may wait for a key of their sender or a view, parts of their epochs
/// included (rule R39). What a hub has under way to a device before its answer comes (its outbox and
/// the sockets' buffers) is a few megabytes.
pub const PARKED_BYTES_MAX: usize = 32 << 20;

/// What a delivery that waits costs beside its frame: the parsed header and its place in the queue.
pub const WAITING_OVERHEAD_BYTES: usize = 1_024;

/// Logs of which it is known that something found no room. Beyond it nothing of any log is taken.
pub const OVERFLOWED_LOGS_MAX: usize = 1_024;

/// Statements of the hub that it has dropped something, which wait behind deliveries of one log. A
/// hub makes one in a connection.
pub const DROPS_WAITING_MAX: usize = 16;

/// Logs of which such statements wait, some of them for a view: many times the rooms of an account. What finds no
/// place comes with the next connection.
pub const DROPS_LOGS_MAX: usize = 1_024;

/// Conversations of which the hub's word is kept for a connection: many times what an account is in.
pub const HEADS_MAX: usize = 16_384;

/// Requests for something of ours that wait until it is known who is in a room: each names 64 counters.
pub const KEY_REQUESTS_WAITING_MAX: usize = 256;

/// People put out of the lobby of whom that is kept for a connection: twice as many as an honest hub tells
/// of at a sign-in.
pub const PUT_OUT_MAX: usize = 2_048;

/// Longest link of a chain that waits: a header below a kilobyte, and the signature of a large key.
pub const LINK_BYTES_MAX: usize = 4 << 10;

/// Verified bundles that a process remembers, so that each is checked once: more than the largest room
/// has people. When there are more, it begins anew, and pays only the time.
pub const BUNDLES_CACHED_MAX: usize = 8_192;

/// Replaced epochs of one conversation that are kept although nothing was said in them, the newest ones:
/// a member can make one a second for ever. A message in one of them that comes later still is asked
/// for again.
pub const SILENT_EPOCHS_MAX: usize = 64;

/// Removals of this user that are kept of a room, the newest ones: each says where in the log its link stands. Behind
/// the newest all of them are known by its place, so the older ones tell only about what was said between them.
pub const REMOVALS_KEPT_MAX: usize = 32;

/// Longest list of an epoch's devices: 5,000 lines of the longest names are below 400 KiB.
pub const MEMBER_LIST_BYTES_MAX: usize = 512 << 10;

/// How long what waited at a sign-in may take to come before a person is told that it has not ended. An honest hub reads
/// it from its disk, some hundred thousand messages in this time, and says so when it has.
pub const LIVE_WAIT_MS: u64 = 120_000;

/// How long the parts of an epoch may be missing behind its KEY. They come right behind it.
pub const PARTS_WAIT_MS: u64 = 10_000;

/// So often they are asked for on a new connection; then the key is one that does not open.
pub const PARTS_CONNECTIONS_MAX: u32 = 2;

/// KEYs whose missing parts are counted at a time; of more the parts are not asked for again.
pub const LOST_PARTS_MAX: usize = 256;

/// So many KEYs of one signing key that do not open in a row, and the next ones are not tried: each
/// costs a private operation and a new epoch.
pub const MAKER_FAILURES_MAX: u32 = 3;

/// For this long.
pub const MAKER_PAUSE_MS: u64 = 10 * 60 * 1000;

/// Makers of KEYs that do not open who are remembered at a time.
pub const MAKERS_MAX: usize = 1_024;

/// Answers without a question that end a connection. An honest hub gives none.
pub const UNASKED_MAX: u32 = 16;

/// What the hub could not take is sent again after this time at the earliest.
pub const RETRY_MIN_MS: u64 = 200;

/// After so many times in a row the host is told why something is put off: a moment's wait is no news.
pub const PUT_OFF_TOLD: u32 = 3;

/// The wait is doubled each time up to this, or up to what the hub says.
pub const RETRY_MAX_MS: u64 = 5_000;

/// A conversation goes on at once when the hub first closes its epoch, or says that another one was first, and
/// after this long when it does so again: a hub that does it to every epoch must not make its clients work for it.
pub const REKEY_MIN_MS: u64 = 2_000;

/// Pages of the hub's lists that are asked for in a minute. The links of a room with 49,000 of them
/// are so many.
pub const PAGES_MINUTE_MAX: u32 = 1_024;

/// Links of one chain that wait for bundles. When so many have come they are applied before more
/// are asked for.
pub const LINKS_WAITING_MAX: usize = 1_024;

/// People and kinds of alarm that are told apart within a minute.
pub const ALARMS_MINUTE_MAX: usize = 256;

/// Conversations of which each is told what an alarm says that came in several within a minute: as many as a person
/// reads. Who is in more rooms together with somebody is told that there are more.
pub const ALARM_PLACES_MAX: usize = 16;

/// Names in what an alarm says of one conversation, of those who have gone and of those who have revoked a device: it stays
/// until somebody has seen it, and so many conversations may stand in one line.
pub const ALARM_NAMES_MAX: usize = 8;

/// What a hub says in clear that is told in a minute: who comes and goes, refusals, announcements, topics. As many as
/// come back after a restart of a large one; more is nothing that a person reads, and a hub says any number of them.
pub const HUB_WORDS_MINUTE_MAX: usize = 1_024;

/// Frames without a valid signature that are told of one by one in a minute: more is nothing that a
/// person reads, and a hub makes any number of them (rule R39).
pub const UNVERIFIED_MINUTE_MAX: usize = 64;

/// Receipts for frames that could not be verified, or came again, that may be owed or without an
/// answer. Those for messages are not limited: each of them costs its sender one.
pub const IDLE_RECEIPTS_MAX: usize = 4_096;

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

/// The wait is doubled up to this, until a key of somebody opens there: then each maker of keys that do
/// not open is given its next try, too.
pub const RENEW_MAX_MS: u64 = MAKER_PAUSE_MS;

/// Requests to one person that may be without an answer within a minute, whatever is missing: one chain
/// is asked for four times in its first minute. Who does not answer often cannot, and what two devices
/// cannot open of each other would make them ask for ever.
pub const HEAL_UNANSWERED_MAX: u32 = 8;

/// A connection lasts at least this long before an expired key of this device ends it.
pub const RENEW_OWN_MIN_MS: u64 = 24 * 3600 * 1000;

/// Commands that the hub has refused or somebody has given up, and that could still start, are remembered
/// for minutes, so few are enough for what people type; the oldest is forgotten first.
pub const DOUBTFUL_MAX: usize = 256;

/// Shown messages whose senders have said that the hub refused them; each gets one more receipt.
pub const DISOWNED_MAX: usize = 1_024;

/// Pieces of output that may wait for one before them, of all commands together: 16 MiB.
pub const PIECES_HELD_MAX: usize = 1_024;

/// A command may start within this time after it was signed (rule R9).
pub const COMMAND_EXPIRY_MS: u64 = 60_000;

/// Clocks may differ by this much before a command is refused.
pub const CLOCK_SKEW_MAX_MS: u64 = 5 * 60 * 1000;

/// No command starts later than this after it was signed, by its sender's clock: it has its own time, a hub
/// that lies about the time adds what clocks may differ by, and so does a machine whose clock is behind.
/// A machine's clock that is further behind is known to nobody here: what it is behind beyond
/// [`CLOCK_SKEW_MAX_MS`] comes on top, because that machine goes by its own clock.
pub const MAY_START_MAX_MS: u64 = COMMAND_EXPIRY_MS + 2 * CLOCK_SKEW_MAX_MS;

/// How long an agent waits with its reports when the hub has no room for them.
pub const STORAGE_WAIT_MS: u64 = 1_000;

/// How long the result of a command waits for a piece before it that nobody was asked for: a few times
/// [`STORAGE_WAIT_MS`], because the hub may have refused that piece and not the result.
pub const PIECES_WAIT_MS: u64 = 5 * STORAGE_WAIT_MS;

/// Offers of files of which is remembered when they were signed, the newest first: a hub that shows an
/// older one of them is found out. A few hundred kilobytes of rows.
pub const OFFERS_REMEMBERED_MAX: usize = 4_096;

/// Forged offers of which the host was told; after so many they are told again.
pub const OFFERS_TOLD_MAX: usize = 1_024;

/// Signing keys of former owners of names that are kept for a connection: a hub that invents them fills nobody's
/// memory. A link by a key for which there was no room is asked for again on the next connection.
pub const SHOWN_FORMER_MAX: usize = 1_024;

/// People of one chain who may come or go although the signer of that link cannot be verified (rule R40): a
/// hub that invents names fills nobody's memory with them. Each counts once: nobody ends a chain by coming and
/// going under a key that is another's later.
pub const UNPROVED_PEOPLE_MAX: usize = 256;

/// Epochs of a conversation that a device keeps which accepts commands: those under way when one is
/// replaced, and one more for whoever is late.
pub const AGENT_EPOCHS_MAX: usize = 4;

/// Names in one line of what differs between two memberships: a person looks at them, the rest is
/// counted.
pub const NAMES_SHOWN_MAX: usize = 8;
