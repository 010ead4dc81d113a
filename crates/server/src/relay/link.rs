//! What hubs that share a log say to each other about files: halves of transfers that wait, and what flows
//! between the two sides of one.
//!
//! ```text
//!  hub of the giver                     hub of the taker
//!  half waits ── Announce ──► table ◄── Announce ── half waits      whoever comes second is told of the first
//!       ◄──────────────────────────── Meet ── second
//!  Met ─────────────────────────────►
//!       ◄─────────────────────────── Credit
//!  Chunk, Chunk, … ─────────────────►
//!  End ─────────────────────────────►
//! ```
//! The hub of the taker counts what it has of each transfer, so the window holds from end to end.
//!
//! Who carries these words may lose some: each names the one before it, and a gap ends the transfers of that
//! hub. Clients go on where they have stopped.

mod seal;

use bytes::{BufMut as _, Bytes, BytesMut};
use chat_protocol::{crypto::hmac_sha256, id::Nonce16, name::UserName};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::transfers::{Key, TransferId};

pub use seal::{Heard, LinkSeal, Opened, Sealer};

/// Words that wait to be carried. Credit bounds chunks and credits to 2,048 each, and ends to one for each
/// transfer; what halves may take leaves room for them.
const POSTS_MAX: usize = 8_192;

/// Places that halves leave free.
const POSTS_RESERVED: usize = POSTS_MAX / 2;

/// A process of a hub: what is said to it does not reach the one that comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// The number of the hub.
    pub node: u32,
    /// The first life of the process.
    pub process: u64,
}

/// The side of a transfer that is at another hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Far {
    /// Where.
    pub peer: Peer,
    /// Its number there.
    pub id: TransferId,
}

/// Which half of a transfer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Half {
    /// Somebody has it.
    Giver,
    /// Somebody wants it.
    Taker,
}

impl Half {
    /// The one that it meets.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Giver => Self::Taker,
            Self::Taker => Self::Giver,
        }
    }
}

/// One side of a transfer, as hubs say it to each other: who carries the words, or tells them of halves, joins no two
/// that do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideOf {
    /// Which one.
    pub half: Half,
    /// Of which transfer.
    pub transfer: Key,
}

impl SideOf {
    /// The one that it meets.
    #[must_use]
    pub fn other(self) -> Self {
        Self { half: self.half.other(), ..self }
    }
}

/// What hubs say. `to` and `your` are numbers of the one who hears it, `mine` of the one who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// I am here.
    Ping,
    /// Your half waits, and I have the other one.
    Meet {
        /// The half.
        your: TransferId,
        /// The other one.
        mine: TransferId,
        /// What mine is.
        side: SideOf,
        /// Chunks that may come, if mine is the taker.
        credit: u32,
    },
    /// So they are one transfer now.
    Met {
        /// What was said to have come.
        your: TransferId,
        /// What has waited.
        mine: TransferId,
        /// What mine is.
        side: SideOf,
        /// Chunks that may come, if mine is the taker.
        credit: u32,
    },
    /// That half does not wait any more.
    NotHere {
        /// What was said to have come.
        your: TransferId,
    },
    /// So many more chunks may come.
    Credit {
        /// The transfer.
        to: TransferId,
        /// How many.
        n: u32,
    },
    /// A chunk as its giver has sealed it.
    Chunk {
        /// The transfer.
        to: TransferId,
        /// The frame.
        #[serde(skip)]
        frame: Bytes,
    },
    /// Nothing more comes, or is wanted.
    End {
        /// The transfer.
        to: TransferId,
        /// As the clients are told.
        code: String,
        /// As the clients are told.
        reason: String,
    },
    /// Somebody takes a copy that lies on your disk.
    Ask {
        /// The transfer.
        mine: TransferId,
        /// Who has left the copy.
        owner: UserName,
        /// Who takes it.
        taker: UserName,
        /// Its transfer.
        tid: Nonce16,
        /// Half-open ranges of chunks; empty for all.
        parts: Vec<(u32, u32)>,
        /// Chunks that may come.
        credit: u32,
    },
}

impl Word {
    /// The bytes to be sealed.
    fn write(&self) -> Option<Vec<u8>> {
        if let Self::Chunk { to, frame } = self {
            let mut bytes = Vec::with_capacity(frame.len().saturating_add(9));
            bytes.put_u8(1);
            bytes.put_u64(to.0);
            bytes.put_slice(frame);
            return Some(bytes);
        }
        let mut bytes = vec![0];
        ciborium::into_writer(self, &mut bytes).ok()?;
        Some(bytes)
    }

    /// What was written.
    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (1, rest) => {
                let (to, frame) = rest.split_first_chunk()?;
                let frame = BytesMut::from(frame).freeze();
                Some(Self::Chunk { to: TransferId(u64::from_be_bytes(*to)), frame })
            }
            (0, rest) => {
                let mut scratch = vec![0; rest.len()];
                ciborium::de::from_reader_with_buffer(rest, &mut scratch).ok()
            }
            _ => None,
        }
    }
}

/// To whom a word goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// A process.
    Peer(Peer),
    /// Whoever is this hub now.
    Hub(u32),
}

/// What is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Post {
    /// A half waits here.
    Announce(TransferId, Half, Place),
    /// It does not.
    Withdraw(TransferId, Half, Place),
    /// Something is said about a transfer of this hub.
    Say(Address, TransferId, Word),
}

/// The name of a transfer for those who carry: it tells them nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(pub [u8; 32]);

/// The relay's end of what carries words.
#[derive(Debug)]
pub struct Link {
    secret: Zeroizing<[u8; 32]>,
    posts: mpsc::Sender<Post>,
}

impl Link {
    /// One for this secret of all hubs, and the other end.
    pub fn new(secret: Zeroizing<[u8; 32]>) -> (Self, mpsc::Receiver<Post>) {
        let (posts, receiver) = mpsc::channel(POSTS_MAX);
        (Self { secret, posts }, receiver)
    }

    /// What a transfer is called for those who carry.
    pub(super) fn place(&self, key: &Key) -> Place {
        let (from, to) = (key.from.as_str().to_owned(), key.to.to_string());
        Place(hmac_sha256(
            &*self.secret,
            &[from.as_bytes(), b"\n", to.as_bytes(), b"\n", key.tid.as_bytes()],
        ))
    }

    /// Has a half announced or withdrawn. One for which there is no room waits at this hub alone.
    pub(super) fn tell_of(&self, post: Post) {
        if self.posts.capacity() > POSTS_RESERVED {
            self.posts.try_send(post).ok();
        }
    }

    /// Says something. False: it is not carried.
    pub(super) fn say(&self, to: Address, about: TransferId, word: Word) -> bool {
        self.posts.try_send(Post::Say(to, about, word)).is_ok()
    }
}
