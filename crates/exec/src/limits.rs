//! Every bound of this crate, with the reason for its value.

use std::time::Duration;

/// Longest argument vector, in words and in bytes altogether: as much as a sealed command carries.
pub const ARGV_WORDS_MAX: usize = 256;
/// See [`ARGV_WORDS_MAX`].
pub const ARGV_BYTES_MAX: usize = 16 * 1024;

/// How long a command may run when neither the rule nor the requester says less.
pub const WALL_MS_DEFAULT: u64 = 60_000;
/// The longest a rule may allow: longer work belongs to a service, not to a chat command.
pub const WALL_MS_MAX: u64 = 60 * 60 * 1_000;

/// Output (both streams together) when the rule does not say: a screenful many times over.
pub const OUTPUT_BYTES_DEFAULT: u64 = 1024 * 1024;
/// The most output a rule may allow; larger results travel as a file.
pub const OUTPUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest piece of output in one report: it fits one sealed frame with room to spare.
pub const OUTPUT_CHUNK_BYTES: usize = 16 * 1024;

/// Between SIGTERM and SIGKILL: a program gets this long to put its files in order.
pub const TERM_GRACE: Duration = Duration::from_secs(2);
/// How much longer than [`TERM_GRACE`] the helper may take to bury the tree before it is killed too.
pub const KILL_MARGIN: Duration = Duration::from_secs(1);
/// Seconds of CPU time between the signal that says the limit was reached and the one that nothing
/// catches.
pub const CPU_GRACE_S: u64 = 1;

/// Processes a command may add to those its user already has. Enough for a pipeline or a small
/// build, far too few to hurt the machine.
pub const PROCESSES_MAX: u64 = 64;
/// Address space of each process.
pub const ADDRESS_SPACE_BYTES: u64 = 1024 * 1024 * 1024;
/// Largest file that a command may write.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Open files of each process.
pub const OPEN_FILES_MAX: u64 = 256;

/// Commands that run at the same time on this machine: they share it with the server.
pub const RUNNING_MAX: usize = 16;
/// Of those, how many may belong to one requester, so that nobody fills all places with `sleep`.
pub const RUNNING_PER_REQUESTER_MAX: usize = 4;
/// Commands running and waiting together. A waiting one costs a few KiB; above this it is refused.
pub const ADMITTED_MAX: usize = 1_024;
/// Of those, how many may belong to one requester.
pub const ADMITTED_PER_REQUESTER_MAX: usize = 128;

/// How long a command waits for one before it that has not come. A sender that was asked for it again
/// has answered by then; longer would keep whoever waits for the outcome.
pub const MISSING_WAIT_MS: u64 = 10_000;
/// Commands of one signing key that may wait so: several times what is on its way at once.
pub const HELD_PER_KEY_MAX: usize = 16;
/// The same for all keys together; each costs a few KiB.
pub const HELD_MAX: usize = 256;
/// How long the highest number of a signing key is kept after the key has expired: nothing that it
/// signed can start later, for a command waits a week at most and clocks differ by hours.
pub const DOOR_KEEP_MS: u64 = 8 * 24 * 60 * 60 * 1_000;

/// A command stays in the journal for a day after it expired, so that two clocks that disagree by
/// hours still agree on what was run.
pub const KEEP_AFTER_EXPIRY_MS: u64 = 24 * 60 * 60 * 1_000;
/// A command that is cancelled before it came is remembered for so long, and for a day more: no command
/// may start later than that after it was sent.
pub const CANCELLED_KEPT_MS: u64 = 60 * 60 * 1_000;
/// Expired commands are deleted at most this often: one scan a minute costs nothing.
pub const PURGE_EVERY_MS: u64 = 60_000;
/// Output kept with one outcome, so that a repeated question gets the answer and not only the status.
pub const KEPT_OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// Outcomes that keep their output: 16 MiB of journal at most; older ones keep the status only.
pub const KEPT_OUTPUTS_MAX: u64 = 1_000;
/// Commands of one requester in the journal at a time: one a second for a day.
pub const JOURNAL_COMMANDS_PER_REQUESTER_MAX: u64 = 86_400;

/// Largest policy file, and most rules in it: both far above what a person maintains by hand.
pub const POLICY_BYTES_MAX: usize = 1024 * 1024;
/// See [`POLICY_BYTES_MAX`].
pub const POLICY_RULES_MAX: usize = 1_000;

const _: () = assert!(WALL_MS_DEFAULT <= WALL_MS_MAX);
const _: () = assert!(OUTPUT_BYTES_DEFAULT <= OUTPUT_BYTES_MAX);
const _: () = assert!(RUNNING_PER_REQUESTER_MAX < RUNNING_MAX);
const _: () = assert!(ADMITTED_PER_REQUESTER_MAX < ADMITTED_MAX);
const _: () = assert!(HELD_PER_KEY_MAX < ADMITTED_PER_REQUESTER_MAX && HELD_PER_KEY_MAX < HELD_MAX);
