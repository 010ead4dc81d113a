//! The shared key of a conversation for a while (section 9, rules R1, R3, R11).
//!
//! One member makes K, wraps it once for every listed device and signs a commitment to it together
//! with the member list. Everybody derives one chain per listed device from it and erases K. Whoever
//! accepts the same `e` shares one K, so nobody can be shown another text than the others.

use std::borrow::Borrow;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::crypto::{UnwrapKey, WrapKey, constant_time_eq, hkdf_expand, hkdf_extract, sha256};
use crate::frame::{RawFrame, Unsigned};
use crate::header::{Canonical as _, KeyHeader};
use crate::hub::EpochHead;
use crate::id::{Digest, KeyId, Nonce16};
use crate::limits::VERSION;
use crate::members::{MemberLine, MemberList, Place};
use crate::name::{ConversationId, ConversationKind, UserName};
use crate::tag::{Tag, label};

/// Why an epoch was refused. To the outside every cause looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The member list is not the one that was signed.
    #[error("epoch: the member list is not the one that was signed")]
    MemberHash,
    /// The maker is not in its own list, somebody who is left out is, or a direct conversation lists
    /// somebody else.
    #[error("epoch: the list does not go with its maker and conversation")]
    Members,
    /// This device is not in the list.
    #[error("epoch: this device is not in the list")]
    NotForMe,
    /// The wrapped key does not open.
    #[error("epoch: the wrapped key does not open")]
    Unwrap,
    /// The key is not the one that was committed to.
    #[error("epoch: the key is not the one that was committed to")]
    Commitment,
    /// The epoch before has the last number that there is.
    #[error("epoch: no number comes after the one before it")]
    Generation,
    /// A key to wrap for is missing.
    #[error("epoch: there are {lines} devices and {keys} keys to wrap for")]
    WrapKeys {
        /// Lines of the member list.
        lines: usize,
        /// Keys given.
        keys: usize,
    },
}

/// The first chain key of every listed device, in the order of the lines.
pub struct ChainKeys(Vec<Zeroizing<[u8; 32]>>);

impl ChainKeys {
    /// The chain key of a line.
    pub fn get(&self, line: usize) -> Option<&[u8; 32]> {
        self.0.get(line).map(|key| &**key)
    }

    /// The chain keys in the order of the lines.
    pub fn iter(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.0.iter().map(|key| &**key)
    }

    fn derive(prk: &[u8; 32], cid: &ConversationId, members: &MemberList) -> Self {
        let cid = cid.as_str().as_bytes();
        let chain = |line: &MemberLine| {
            let (name, sk) = (line.name.as_str().as_bytes(), line.sk.to_string());
            hkdf_expand(prk, &[label::CHAIN.as_bytes(), &[0], cid, &[0], name, &[0], sk.as_bytes()])
        };
        Self(members.lines().iter().map(chain).collect())
    }
}

impl std::fmt::Debug for ChainKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChainKeys({})", self.0.len())
    }
}

/// What a maker decides about a new epoch.
#[derive(Debug, Clone)]
pub struct EpochParameters {
    /// The conversation.
    pub cid: ConversationId,
    /// The maker.
    pub from: UserName,
    /// The maker's signing key.
    pub sk: KeyId,
    /// The epoch before, if there is one.
    pub previous: Option<EpochHead>,
    /// The membership that the list was made from.
    pub place: Place,
    /// Members who are left out of the list, sorted (rule R40).
    pub left_out: Vec<UserName>,
    /// The maker's clock, Unix time in milliseconds.
    pub ts: u64,
}

/// A new epoch, ready for its signature and upload.
#[derive(Debug)]
pub struct NewEpoch {
    /// Its header.
    pub header: KeyHeader,
    /// Generation and digest.
    pub head: EpochHead,
    /// The KEY frame.
    pub frame: Unsigned,
    /// One wrap per line of the list.
    pub wraps: Vec<Vec<u8>>,
    /// The chains that everybody in the list derives.
    pub chains: ChainKeys,
}

/// Makes an epoch for `members`. `wrap_keys` are in the order of the lines; `key` and `eid` are
/// fresh random bytes, and `key` is erased when this returns.
pub fn create(
    parameters: EpochParameters,
    members: &MemberList,
    wrap_keys: &[impl Borrow<WrapKey>],
    key: &Zeroizing<[u8; 32]>,
    eid: Nonce16,
) -> Result<NewEpoch, EpochError> {
    let (lines, keys) = (members.lines().len(), wrap_keys.len());
    if lines != keys {
        return Err(EpochError::WrapKeys { lines, keys });
    }
    let EpochParameters { cid, from, sk, previous, place, left_out, ts } = parameters;
    let g = previous.map_or(Some(0), |head| head.g.checked_add(1)).ok_or(EpochError::Generation)?;
    let prk = hkdf_extract(&eid.0, &**key);
    let header = KeyHeader {
        v: VERSION,
        t: Tag::Key,
        kc: commitment(&prk, &cid, &from),
        mh: members.hash(),
        g,
        pe: previous.map_or(Digest::ZERO, |head| head.e),
        mg: place.mg,
        pm: place.pm,
        cid,
        from,
        sk,
        eid,
        ts,
        wo: left_out,
    };
    check(&header, members)?;
    let bytes = header.to_bytes();
    let e = Digest(sha256(&bytes));
    let label_bytes = wrap_label(&e);
    let wraps = wrap_keys.iter().map(|wrap| wrap.borrow().wrap(&label_bytes, key)).collect();
    let chains = ChainKeys::derive(&prk, &header.cid, members);
    let frame = Unsigned::new(label::KEY, bytes, Vec::new());
    Ok(NewEpoch { head: EpochHead { g: header.g, e }, header, frame, wraps, chains })
}

/// `e` of a KEY frame: SHA-256 of its header.
pub fn digest(frame: &RawFrame) -> Digest {
    Digest(sha256(frame.header()))
}

/// Whether header and list go together: the signed hash, the maker inside, nobody who is left out, and for a direct
/// conversation exactly its two names (rule R1).
pub fn check(header: &KeyHeader, members: &MemberList) -> Result<(), EpochError> {
    if members.hash() != header.mh {
        return Err(EpochError::MemberHash);
    }
    let lists_left_out = members.lines().iter().any(|line| header.leaves_out(&line.name));
    if !members.contains(&header.from, &header.sk) || lists_left_out {
        return Err(EpochError::Members);
    }
    if let ConversationKind::Direct(a, b) = header.cid.kind() {
        let has = |name: &UserName| members.lines().iter().any(|line| line.name == *name);
        let only = members.lines().iter().all(|line| line.name == a || line.name == b);
        if !(only && has(&a) && has(&b)) {
            return Err(EpochError::Members);
        }
    }
    Ok(())
}

/// Opens an epoch whose signature was verified: list, own wrap, commitment, chains. K is erased.
pub fn open(
    header: &KeyHeader,
    e: &Digest,
    members: &MemberList,
    wrapped: &[u8],
    encryption: &UnwrapKey,
) -> Result<ChainKeys, EpochError> {
    check(header, members)?;
    let key = encryption.unwrap(&wrap_label(e), wrapped).map_err(|_| EpochError::Unwrap)?;
    let prk = hkdf_extract(&header.eid.0, &*key);
    let committed = commitment(&prk, &header.cid, &header.from);
    if !constant_time_eq(committed.as_bytes(), header.kc.as_bytes()) {
        return Err(EpochError::Commitment);
    }
    Ok(ChainKeys::derive(&prk, &header.cid, members))
}

fn wrap_label(e: &Digest) -> Vec<u8> {
    format!("{} {e}", label::WRAP).into_bytes()
}

fn commitment(prk: &[u8; 32], cid: &ConversationId, from: &UserName) -> Digest {
    let (cid, from) = (cid.as_str().as_bytes(), from.as_str().as_bytes());
    Digest(*hkdf_expand(prk, &[label::COMMIT.as_bytes(), &[0], cid, &[0], from]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyBits;
    use crate::keys::key_id;
    use crate::members::MemberLine;

    fn line(name: &str, key: &UnwrapKey) -> MemberLine {
        let name = UserName::new(name).unwrap();
        MemberLine { name, sk: KeyId([1; 16]), ek: key_id(key.spki()) }
    }

    #[test]
    fn everybody_listed_derives_the_same_chains_and_nobody_else() {
        let keys: Vec<_> = (0..2).map(|_| UnwrapKey::generate(KeyBits::B2048).unwrap()).collect();
        let list = MemberList::new([line("alice", &keys[0]), line("bob", &keys[1])]);
        let wrap: Vec<_> = keys.iter().map(|k| WrapKey::from_spki(k.spki()).unwrap()).collect();
        let parameters = EpochParameters {
            cid: ConversationId::parse("dm:alice:bob").unwrap(),
            from: UserName::new("alice").unwrap(),
            sk: KeyId([1; 16]),
            previous: None,
            place: Place::START,
            left_out: Vec::new(),
            ts: 5,
        };
        let key = Zeroizing::new([3; 32]);
        let eid = Nonce16([4; 16]);
        let new = create(parameters.clone(), &list, &wrap, &key, eid).unwrap();
        for (unwrap, wrapped) in keys.iter().zip(&new.wraps) {
            let opened = open(&new.header, &new.head.e, &list, wrapped, unwrap).unwrap();
            assert!(opened.iter().eq(new.chains.iter()));
        }
        let open_first = |header: &KeyHeader, e: &Digest, list: &MemberList| {
            open(header, e, list, &new.wraps[0], &keys[0]).unwrap_err()
        };
        let other = MemberList::new([line("alice", &keys[0]), line("carol", &keys[1])]);
        assert_eq!(open_first(&new.header, &new.head.e, &other), EpochError::MemberHash);
        assert_eq!(
            open_first(&new.header, &Digest([9; 32]), &list),
            EpochError::Unwrap,
            "a wrap moved to another KEY"
        );
        let mut lied = new.header.clone();
        lied.kc = Digest([0; 32]);
        assert_eq!(open_first(&lied, &new.head.e, &list), EpochError::Commitment);

        let refused = create(parameters, &other, &wrap, &key, eid).unwrap_err();
        assert_eq!(refused, EpochError::Members, "a direct conversation has its two names only");
    }
}
