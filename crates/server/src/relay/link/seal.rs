//! Words between hubs as they are carried: sealed, so that whoever carries them reads nothing, adds nothing and
//! leaves nothing out unseen.
//!
//! ```text
//! version 1 | node 4 | process 8 | number 8 | the number before it to the same place 8 | AES-256-GCM of the word
//! ```

use std::num::NonZeroUsize;

use chat_protocol::crypto::{gcm_open, gcm_seal, hkdf_expand, hkdf_extract};
use lru::LruCache;
use zeroize::Zeroizing;

use super::{Address, Peer, Word};

/// The version of the format.
const VERSION: u8 = 1;

/// Bytes in front of what is sealed.
const CLEAR_BYTES: usize = 29;

/// What the key is for.
const LABEL: &[u8] = b"chat-cluster/1 files";

/// Places that are remembered: far more than hubs that share a log. One that is forgotten looks like a gap.
const PLACES_MAX: usize = 256;

/// Seals and opens words of the hubs of one log.
#[derive(Clone)]
pub struct LinkSeal {
    secret: Zeroizing<[u8; 32]>,
    log: [u8; 16],
}

impl std::fmt::Debug for LinkSeal {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("seal of words about files")
    }
}

impl LinkSeal {
    /// `secret` is what the hubs share, `log` the id of their log.
    pub fn new(secret: &[u8; 32], log: [u8; 16]) -> Self {
        Self { secret: hkdf_extract(LABEL, secret), log }
    }

    /// What names of transfers are made with.
    pub fn for_names(&self) -> Zeroizing<[u8; 32]> {
        hkdf_expand(&self.secret, &[b"names", &self.log])
    }

    fn key(&self, from: Peer) -> Zeroizing<[u8; 32]> {
        let (node, process) = (from.node.to_be_bytes(), from.process.to_be_bytes());
        hkdf_expand(&self.secret, &[b"words", &self.log, &node, &process])
    }
}

fn places_max() -> NonZeroUsize {
    NonZeroUsize::new(PLACES_MAX).unwrap_or(NonZeroUsize::MIN)
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (_, low) = nonce.split_at_mut(4);
    low.copy_from_slice(&number.to_be_bytes());
    nonce
}

fn bound_to(to: Address) -> [u8; 13] {
    let mut bound = [0; 13];
    let (kind, node, process) = match to {
        Address::Peer(peer) => (1, peer.node, peer.process),
        Address::Hub(node) => (2, node, 0),
    };
    let (first, rest) = bound.split_at_mut(1);
    first.fill(kind);
    let (low, high) = rest.split_at_mut(4);
    low.copy_from_slice(&node.to_be_bytes());
    high.copy_from_slice(&process.to_be_bytes());
    bound
}

/// What one process says.
#[derive(Debug)]
pub struct Sealer {
    own: Peer,
    key: Zeroizing<[u8; 32]>,
    number: u64,
    last: LruCache<Address, u64>,
}

impl Sealer {
    /// It has said nothing yet. A process MUST have one only.
    pub fn new(seal: &LinkSeal, own: Peer) -> Self {
        Self { own, key: seal.key(own), number: 0, last: LruCache::new(places_max()) }
    }

    /// A word that is not carried has a number all the same: whoever hears the next one knows that it is missing.
    pub fn leave_out(&mut self, to: Address) {
        if let Some(number) = self.number.checked_add(1) {
            self.number = number;
            self.last.put(to, number);
        }
    }

    /// The bytes to be carried.
    pub fn seal(&mut self, to: Address, word: &Word) -> Option<Vec<u8>> {
        let plain = word.write()?;
        self.number = self.number.checked_add(1)?;
        let before = self.last.put(to, self.number).unwrap_or(0);
        let mut bytes = Vec::with_capacity(CLEAR_BYTES + plain.len() + 16);
        bytes.push(VERSION);
        bytes.extend(self.own.node.to_be_bytes());
        bytes.extend(self.own.process.to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        bytes.extend(before.to_be_bytes());
        let aad = [&bytes[..], &bound_to(to)].concat();
        bytes.extend(gcm_seal(&self.key, &nonce(self.number), &aad, &plain));
        Some(bytes)
    }
}

/// A word that came.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who has said it.
    pub from: Peer,
    /// What.
    pub word: Word,
    /// Something that they have said before it has not come.
    pub is_behind_gap: bool,
}

/// What one process hears.
#[derive(Debug)]
pub struct Heard {
    seal: LinkSeal,
    last: LruCache<(Peer, Address), u64>,
}

impl Heard {
    /// It has heard nothing yet.
    pub fn new(seal: LinkSeal) -> Self {
        Self { seal, last: LruCache::new(places_max()) }
    }

    /// What was said to this place; nothing if no hub has said it, or if it was heard before.
    pub fn open(&mut self, to: Address, bytes: &[u8]) -> Option<Opened> {
        let (clear, sealed) = bytes.split_first_chunk::<CLEAR_BYTES>()?;
        let [VERSION, rest @ ..] = clear else { return None };
        let (node, rest) = rest.split_first_chunk()?;
        let (process, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let before = u64::from_be_bytes(*rest.first_chunk()?);
        let from = Peer { node: u32::from_be_bytes(*node), process: u64::from_be_bytes(*process) };
        let number = u64::from_be_bytes(*number);
        let aad = [&clear[..], &bound_to(to)].concat();
        let plain = gcm_open(&self.seal.key(from), &nonce(number), &aad, sealed).ok()?;
        let word = Word::read(&plain)?;
        let last = self.last.get(&(from, to)).copied().unwrap_or(0);
        if number <= last {
            return None;
        }
        self.last.put((from, to), number);
        Some(Opened { from, word, is_behind_gap: before != last })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use chat_protocol::{header::Recipient, id::Nonce16, name::UserName};

    use super::*;
    use crate::relay::{
        link::{Half, SideOf},
        transfers::{Key, TransferId},
    };

    const ONE: Peer = Peer { node: 1, process: 10 };
    const TWO: Peer = Peer { node: 2, process: 20 };

    fn pair() -> (Sealer, Heard) {
        let seal = LinkSeal::new(&[7; 32], [1; 16]);
        (Sealer::new(&seal, ONE), Heard::new(seal))
    }

    fn chunk(byte: u8) -> Word {
        Word::Chunk { to: TransferId(5), frame: Bytes::from(vec![byte; 1_000]) }
    }

    #[test]
    fn words_survive_and_a_gap_and_a_replay_are_seen() {
        let (mut mouth, mut heard) = pair();
        let to = Address::Peer(TWO);
        let (from, of) = (UserName::new("alice").unwrap(), UserName::new("bob").unwrap());
        let transfer = Key { from, to: Recipient::User(of), tid: Nonce16([3; 16]) };
        let side = SideOf { half: Half::Taker, transfer };
        let words = [
            Word::Ping,
            Word::Meet { your: TransferId(1), mine: TransferId(2), side, credit: 8 },
            chunk(1),
            Word::End { to: TransferId(1), code: "E".into(), reason: "why".into() },
        ];
        for word in words {
            let sealed = mouth.seal(to, &word).unwrap();
            // Somebody else is told something in between: no gap for this one.
            mouth.seal(Address::Hub(2), &word).unwrap();
            let opened = heard.open(to, &sealed).unwrap();
            assert_eq!(opened, Opened { from: ONE, word, is_behind_gap: false });
            assert_eq!(heard.open(to, &sealed), None, "again");
        }
        let lost = mouth.seal(to, &chunk(2)).unwrap();
        let next = mouth.seal(to, &chunk(3)).unwrap();
        assert!(heard.open(to, &next).unwrap().is_behind_gap);
        assert_eq!(heard.open(to, &lost), None, "too late");
        let fresh = mouth.seal(to, &chunk(4)).unwrap();
        assert!(!heard.open(to, &fresh).unwrap().is_behind_gap);
    }

    /// Goal: what is thrown away because nobody could carry it is missed by whom it was for, and by nobody else. Before, it
    /// had no number, and nobody noticed.
    #[test]
    fn a_word_that_is_left_out_is_a_gap() {
        let (mut mouth, mut heard) = pair();
        let (to, other) = (Address::Peer(TWO), Address::Peer(ONE));
        for place in [to, other] {
            let sealed = mouth.seal(place, &Word::Ping).unwrap();
            assert!(!heard.open(place, &sealed).unwrap().is_behind_gap);
        }
        mouth.leave_out(to);
        for (place, is_behind_gap) in [(other, false), (to, true), (to, false)] {
            let sealed = mouth.seal(place, &Word::Ping).unwrap();
            assert_eq!(heard.open(place, &sealed).unwrap().is_behind_gap, is_behind_gap);
        }
    }

    #[test]
    fn what_no_hub_has_said_to_this_place_is_nothing() {
        let (mut mouth, mut heard) = pair();
        let to = Address::Peer(TWO);
        let sealed = mouth.seal(to, &chunk(1)).unwrap();
        assert!(!sealed.windows(32).any(|part| part == [1; 32]), "it is sealed");
        assert_eq!(heard.open(Address::Hub(2), &sealed), None, "said to another place");
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert_eq!(heard.open(to, &altered), None, "byte {index}");
            assert_eq!(heard.open(to, &sealed[..index]), None, "cut at {index}");
        }
        let mut other = Heard::new(LinkSeal::new(&[8; 32], [1; 16]));
        assert_eq!(other.open(to, &sealed), None, "another key");
        let mut other = Heard::new(LinkSeal::new(&[7; 32], [2; 16]));
        assert_eq!(other.open(to, &sealed), None, "another log");
        assert!(heard.open(to, &sealed).is_some());
    }
}
