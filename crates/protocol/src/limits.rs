//! Every bound of the wire format, with the reason for its value.

/// The only frame and header version that exists. Another value is refused, never guessed at.
pub const VERSION: u8 = 1;

/// Longest header. A bundle (three public keys in base64) is the largest and needs about 2.5 KiB.
pub const HEADER_BYTES_MAX: usize = 4 * 1024;

/// Longest body: a 128 KiB chunk of wrapped keys with room for its framing.
pub const BODY_BYTES_MAX: usize = 192 * 1024;

/// Most frames one signature may cover: the path of a frame is then at most six hashes.
pub const BATCH_FRAMES_MAX: usize = 64;

/// Deepest Merkle path: log2 of [`BATCH_FRAMES_MAX`].
pub const BATCH_PATH_MAX: usize = 6;

/// Longest signature: RSA-4096, the largest modulus accepted.
pub const SIGNATURE_BYTES_MAX: usize = 512;

/// Longest binary message: one frame at both caps with its authentication block.
pub const FRAME_BYTES_MAX: usize =
    10 + HEADER_BYTES_MAX + BODY_BYTES_MAX + 5 + 32 * BATCH_PATH_MAX + SIGNATURE_BYTES_MAX;

/// Longest JSON text message between a client and the hub; larger answers come in pages.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Deepest nesting of a JSON message. Ours need four; deeper input only costs stack.
pub const JSON_DEPTH_MAX: usize = 32;

/// Largest integer in any JSON: 2^53 - 1, so that JavaScript reads the same number.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Longest user or room name in bytes (they are ASCII).
pub const NAME_BYTES_MAX: usize = 32;

/// Upload of an epoch is cut into messages of at most this many payload bytes (rule R11).
pub const UPLOAD_CHUNK_BYTES_MAX: usize = 128 * 1024;

/// Most devices one epoch can be wrapped for. Above it a broadcast is refused (rule R18).
pub const EPOCH_DEVICES_MAX: usize = 5_000;

/// Members whom the maker of an epoch may name as left out: with names of full length they take just over
/// half of a header.
pub const LEFT_OUT_MAX: usize = 64;

/// Most people with a live device in a room: each needs at least one line (rule R42).
pub const ROOM_PEOPLE_MAX: usize = EPOCH_DEVICES_MAX;

/// How far a receiving chain may skip ahead at once: 2,000 HMACs are 2 ms, the worst a peer can cost.
pub const CHAIN_SKIP_MAX: u32 = 2_000;

/// Message keys of skipped frames that are kept per chain, oldest dropped first.
pub const SKIPPED_KEYS_MAX: usize = 1_024;

/// Plaintexts are padded to multiples of this many bytes to hide their length (rule R28).
pub const PAD_BYTES: usize = 64;

/// Messages one sender may seal in one epoch before a new epoch is due.
pub const EPOCH_SENDER_MESSAGES_MAX: u32 = 1_000;

/// Most receipts in one receipt frame; more start another frame.
pub const RECEIPTS_PER_FRAME_MAX: usize = 64;

/// Counters that one KEYREQ may ask for: as many frames as one signature covers.
pub const KEYREQ_COUNTERS_MAX: usize = 64;

/// Entries of one GRANT. Entries without frames are small, and 64 of them stay under 24 KiB.
pub const GRANT_ENTRIES_MAX: usize = 64;

/// Lists of counters in one GRANT under which there is nothing: one of each kind answers a KEYREQ.
pub const GRANT_LISTS_MAX: usize = 16;

/// A GRANT is cut into pieces whose frames have at most this many bytes together. A longer frame
/// travels alone.
pub const GRANT_BYTES_MAX: usize = 32 * 1024;

/// Longest frame that fits into a GRANT: base64url makes four characters of three bytes, and the
/// rest of the content needs less than 1 KiB. Of a longer frame only the key is granted.
pub const GRANT_FRAME_BYTES_MAX: usize = 128 * 1024;

/// Longest argument vector of a command, in words and in bytes altogether.
pub const ARGV_WORDS_MAX: usize = 256;
/// See [`ARGV_WORDS_MAX`].
pub const ARGV_BYTES_MAX: usize = 16 * 1024;

/// Longest text of one message in bytes; longer content travels as a file.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a file in one chunk: large enough that sealing outweighs framing, small enough that a chat
/// message never waits long behind one.
pub const FILE_CHUNK_BYTES: usize = 64 * 1024;

/// Largest file: its tree of hashes takes 16 MiB at the owner.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Longest name of a file in bytes, as common file systems have it.
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// Ranges of chunks in one request for a file: enough for what several holders left behind.
pub const FILE_PARTS_MAX: usize = 64;

/// Longest keyword of a shared file in bytes.
pub const KEYWORD_BYTES_MAX: usize = 64;

/// Keywords of one shared file.
pub const OFFER_WORDS_MAX: usize = 16;

/// Longest signed offer in bytes: the file's name at its limit as base64url, one of 64 that a key of
/// 4,096 bits has signed together.
pub const OFFER_FRAME_BYTES_MAX: usize = 1536;

/// Longest sealed details of an offer: the signed offer and the keywords at their limits, escaped.
pub const OFFER_SEALED_BYTES_MAX: usize = 4 * 1024 + 256;

/// Offers in one announcement and in one page of an answer: a page stays under [`TEXT_BYTES_MAX`].
pub const OFFERS_PAGE_MAX: usize = 32;

/// Words of one question about files.
pub const FIND_WORDS_MAX: usize = 8;

/// Index keys that one question may be asked under; a client with more asks again.
pub const INDEX_KEYS_MAX: usize = 256;

/// Longest topic of a room in bytes: a line or two on a screen.
pub const TOPIC_BYTES_MAX: usize = 400;

/// Rooms in one page of `ROOMS`. A topic can take six bytes for one in JSON, so a page stays under
/// [`TEXT_BYTES_MAX`].
pub const ROOMS_PAGE_MAX: usize = 64;

/// Bytes of bundles and links in one `REMIND`, before base64: it stays under [`TEXT_BYTES_MAX`].
pub const REMIND_BYTES_MAX: usize = 128 * 1024;

/// Bytes of the links, and of the bundles, in one GRANT.
pub const GRANT_LINKS_BYTES_MAX: usize = 36 * 1024;
/// See [`GRANT_LINKS_BYTES_MAX`].
pub const GRANT_BUNDLES_BYTES_MAX: usize = 72 * 1024;

/// Most live devices of one account: a household of machines, and their newest bundles fit one answer.
pub const ACCOUNT_DEVICES_MAX: usize = 32;

/// Room in an answer with bundles for everything but the bundles.
pub const BUNDLES_OVERHEAD_BYTES: usize = 16 * 1024;

/// Most rooms in OK, and in one page of `HEADS`.
pub const HEADS_PAGE_MAX: usize = 256;

/// Most conversations of one `COUNTERS`.
pub const COUNTERS_PAGE_MAX: usize = 256;

/// Items in one page of an answer (bundles, members): a page stays under [`TEXT_BYTES_MAX`].
pub const PAGE_ITEMS_MAX: usize = 48;

const _: () = assert!(FRAME_BYTES_MAX < 256 * 1024, "a frame must fit the WebSocket frame limit");
const _: () = assert!(
    GRANT_FRAME_BYTES_MAX.div_ceil(3) * 4 + 2 * 1024 <= BODY_BYTES_MAX,
    "the longest frame must fit a GRANT"
);
const _: () = assert!(
    (GRANT_BYTES_MAX.div_ceil(3) * 4) + GRANT_ENTRIES_MAX * 512 <= BODY_BYTES_MAX,
    "a full GRANT must fit a frame"
);
const _: () = assert!(
    (GRANT_LINKS_BYTES_MAX + GRANT_BUNDLES_BYTES_MAX).div_ceil(3) * 4 + 8 * 1024 <= BODY_BYTES_MAX,
    "links and bundles must fit a frame"
);
const _: () = assert!(1 << BATCH_PATH_MAX == BATCH_FRAMES_MAX);
const _: () = assert!(ROOMS_PAGE_MAX * (6 * TOPIC_BYTES_MAX + 256) <= TEXT_BYTES_MAX);
const _: () =
    assert!(OFFERS_PAGE_MAX * (OFFER_SEALED_BYTES_MAX.div_ceil(3) * 4 + 1024) <= TEXT_BYTES_MAX);
const _: () =
    assert!(FILE_CHUNK_BYTES + 32 * 18 + 16 <= BODY_BYTES_MAX, "a chunk must fit a frame");
const _: () = assert!(REMIND_BYTES_MAX / 3 * 4 + 32 * 1024 <= TEXT_BYTES_MAX);
const _: () = assert!(
    ACCOUNT_DEVICES_MAX * ((HEADER_BYTES_MAX + SIGNATURE_BYTES_MAX + 16).div_ceil(3) * 4 + 3)
        + BUNDLES_OVERHEAD_BYTES
        <= TEXT_BYTES_MAX,
    "the newest bundles of one person fit one answer"
);
const _: () =
    assert!(HEADS_PAGE_MAX * 512 <= TEXT_BYTES_MAX / 2, "sealed and in b64 they fit, too");
const _: () = assert!(COUNTERS_PAGE_MAX * 512 <= TEXT_BYTES_MAX);
const _: () = assert!(PAGE_ITEMS_MAX * 4 * HEADER_BYTES_MAX / 3 <= TEXT_BYTES_MAX);
const _: () = assert!(
    OFFERS_PAGE_MAX
        * (OFFER_FRAME_BYTES_MAX.div_ceil(3) * 4
            + OFFER_WORDS_MAX * (2 * KEYWORD_BYTES_MAX + 3)
            + 1024)
        <= TEXT_BYTES_MAX
);
