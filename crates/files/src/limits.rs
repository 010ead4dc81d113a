//! Every bound of this crate that is not one of the protocol.

/// Longest `keyword.txt` in bytes: ten thousand files with several long lines each.
pub const KEYWORD_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Entries of one `keyword.txt`: with [`FILES_MAX`] files, several keywords for each.
pub const ENTRIES_MAX: usize = 65_536;

/// Files of one shared folder that are offered.
pub const FILES_MAX: usize = 16_384;

/// Problems of one `keyword.txt` that are told one by one; the rest is counted.
pub const PROBLEMS_MAX: usize = 100;

/// Files that one step of a look through a folder opens at most: some milliseconds.
pub const STEP_FILES_MAX: usize = 256;

/// Bytes that one step hashes at most: some ten milliseconds of one core.
pub const STEP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A file that was changed less than this many milliseconds before it was hashed may be changed again
/// without a new time: the coarsest time stamps in use (FAT) have two seconds.
pub const STAMP_COARSE_MS: u64 = 2_000;

/// Hashes in the cache: every file that can be offered, and as many that were offered before.
pub const CACHE_ENTRIES_MAX: usize = 2 * FILES_MAX;

/// Trees of files that were given, in bytes: those of the two largest files, or of 32 GiB in smaller
/// ones.
pub const TREES_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many such trees: of small files more are not worth their entries, they are read in a moment.
pub const TREES_MAX: usize = 1_024;

/// A part's state is saved at least once for this many chunks (32 MiB): two syncs are then a small
/// share of the writing, and what an end costs stays under a second of a fast line.
pub const SAVE_CHUNKS_MAX: u32 = 512;

/// … and at least this many times for one file, so that an end at any moment costs at most a
/// thirty-second of it (a chunk, if it has fewer).
pub const SAVES_MIN: u32 = 32;

/// Longest note that a caller keeps with a part in bytes: whom to ask again, and for which offer.
pub const PART_NOTE_BYTES_MAX: usize = 1_024;

/// Parts that one download folder lists.
pub const PARTS_MAX: usize = 1_024;

/// Names `name (1)`, `name (2)`, … that are tried before a file is refused for its name.
pub const NAME_TRIES_MAX: u32 = 999;

/// Shares into which the missing chunks of one file are divided: one for each holder.
pub const HOLDERS_MAX: usize = 16;
