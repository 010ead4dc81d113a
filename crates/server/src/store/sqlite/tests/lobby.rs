//! The lobby and two people in it.

use chat_protocol::{
    header::KeyHeader,
    id::KeyId,
    members::{MemberLine, MemberList},
    tag::Tag,
};

use super::*;
use crate::store::NewEpoch;

/// The lobby, which every file has.
pub(super) const ROOM: LogId = LogId(1);
pub(super) const ALICE: AccountId = AccountId(1);
pub(super) const BOB: AccountId = AccountId(2);

pub(super) fn sk(number: u8) -> KeyId {
    KeyId([number; 16])
}

/// The epoch of this generation, made by alice for herself and bob.
pub(super) fn epoch(g: u32, hub_ms: u64) -> Proposal {
    let line = |name, number| MemberLine {
        name: UserName::new(name).unwrap(),
        sk: sk(number),
        ek: KeyId([9; 16]),
    };
    let members = MemberList::new([line("alice", 1), line("bob", 2)]);
    let mark = u8::try_from(g).unwrap() + 1;
    let header = KeyHeader {
        v: 1,
        t: Tag::Key,
        cid: ConversationId::parse("room:lobby").unwrap(),
        from: UserName::new("alice").unwrap(),
        sk: sk(1),
        eid: Nonce16([mark; 16]),
        g,
        pe: Digest::ZERO,
        mg: 0,
        pm: Digest::ZERO,
        kc: Digest::ZERO,
        mh: members.hash(),
        ts: 0,
        wo: Vec::new(),
    };
    Proposal::Epoch(Box::new(NewEpoch {
        log: Some(ROOM),
        sender: ALICE,
        header,
        e: Digest([mark; 32]),
        digest: Digest([mark; 32]),
        line: 0,
        members,
        wraps: vec![Bytes::from_static(b"wrap"); 2],
        hub_ms,
        frame: Bytes::from_static(b"key"),
    }))
}
