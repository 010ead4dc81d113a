//! Who may make an epoch, who is a member, and which bundle counts.

use chat_protocol::crypto::SigningKey;
use chat_protocol::epoch::{self, EpochError};
use chat_protocol::frame::{Binary, Upload};
use chat_protocol::header::{
    Canonical, Header, KeyHeader, MemberArgument, MemberHeader, MemberOperation,
};
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, KeyId, MessageId, Nonce16};
use chat_protocol::keys::{
    Bundle, BundleError, BundleOptions, DeviceKeys, ENCRYPTION_KEY_MS, PublishedWrapKey, key_id,
};
use chat_protocol::limits::{BODY_BYTES_MAX, EPOCH_DEVICES_MAX, UPLOAD_CHUNK_BYTES_MAX};
use chat_protocol::members::{MemberLine, MemberList, Membership};
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;

use super::parties::{ALICE, BOB, NOW, Party, both, device_keys, epoch, parameters, private};

fn line(name: &str) -> MemberLine {
    MemberLine { name: UserName::new(name).unwrap(), sk: KeyId([1; 16]), ek: KeyId([2; 16]) }
}

#[test]
fn r01_an_epoch_is_made_by_one_of_its_own_members() {
    let made = epoch(parameters("dm:alice:bob"));
    assert_eq!(epoch::check(&made.header, &both()), Ok(()));
    let list = |lines: &[MemberLine]| MemberList::new(lines.iter().cloned());
    let (alice, bob) = (&both().lines()[0].clone(), &both().lines()[1].clone());
    let second_phone = MemberLine { sk: KeyId([7; 16]), ..bob.clone() };
    let other_key = MemberLine { sk: KeyId([7; 16]), ..alice.clone() };
    for (cid, lines, expected) in [
        ("dm:alice:bob", vec![alice.clone(), bob.clone(), second_phone], Ok(())),
        ("dm:alice:bob", vec![alice.clone()], Err(EpochError::Members)),
        ("dm:alice:bob", vec![bob.clone()], Err(EpochError::Members)),
        ("dm:alice:bob", vec![alice.clone(), bob.clone(), line("carol")], Err(EpochError::Members)),
        ("dm:bob:carol", vec![alice.clone(), bob.clone()], Err(EpochError::Members)),
        ("room:lobby", vec![alice.clone()], Ok(())),
        ("room:lobby", vec![bob.clone(), line("carol")], Err(EpochError::Members)),
        ("room:lobby", vec![other_key, bob.clone()], Err(EpochError::Members)),
    ] {
        let members = list(&lines);
        let cid = ConversationId::parse(cid).unwrap();
        let header = KeyHeader { cid, mh: members.hash(), ..made.header.clone() };
        assert_eq!(epoch::check(&header, &members), expected, "{lines:?} in {}", header.cid);
    }
    let mine =
        epoch::open(&made.header, &made.head.e, &both(), &made.wraps[0], &ALICE.keys.encryption);
    assert!(mine.is_ok(), "the maker wraps for its own device too");
}

/// A chain of one room with everything signed by whom it says.
struct Room(Membership);

impl Room {
    fn new(cid: &str) -> Self {
        Self(Membership::new(ConversationId::parse(cid).unwrap()))
    }

    /// One link, and whether the identity of `from` may add it.
    fn add(&mut self, from: &str, op: MemberOperation, who: &str, arg: MemberArgument) -> bool {
        let identity = |name: &str| KeyId([name.as_bytes()[0]; 16]);
        let link = MemberHeader {
            v: 1,
            t: Tag::Member,
            cid: self.0.conversation().clone(),
            from: UserName::new(from).unwrap(),
            sk: KeyId([0; 16]),
            op,
            who: UserName::new(who).unwrap(),
            ik: identity(who),
            arg,
            mg: self.0.next(),
            pm: self.0.head(),
            id: MessageId([0; 16]),
            ts: NOW,
        };
        for stale in [
            MemberHeader { mg: link.mg + 1, ..link.clone() },
            MemberHeader { pm: Digest([9; 32]), ..link.clone() },
            MemberHeader { cid: ConversationId::parse("room:other").unwrap(), ..link.clone() },
        ] {
            assert!(self.0.check(&stale, identity(from)).is_err(), "{stale:?}");
        }
        let accepted = self.0.check(&link, identity(from)).is_ok();
        if accepted {
            let digest = Digest([u8::try_from(link.mg).unwrap() + 1; 32]);
            self.0.apply(&link, digest);
            assert_eq!((self.0.next(), self.0.head()), (link.mg + 1, digest));
        }
        accepted
    }
}

#[test]
fn r02_membership_is_a_chain_of_what_each_may_sign() {
    use MemberArgument::{Admin, Invite, Member, None, Open};
    use MemberOperation::{Admit, Create, Join, Leave, Remove, Role};
    let mut lobby = Room::new("room:lobby");
    assert!(!lobby.add("alice", Create, "alice", Open), "the lobby is there from the start");
    assert!(!lobby.add("alice", Join, "bob", None), "nobody joins for another");
    assert!(lobby.add("alice", Join, "alice", None));
    assert!(!lobby.add("alice", Join, "alice", None), "inside already");
    assert!(!lobby.add("alice", Remove, "alice", None), "nobody is an admin of the lobby");

    let mut ops = Room::new("room:ops");
    assert!(!ops.add("alice", Join, "alice", None), "not made yet");
    for wrong in [None, Admin, Member] {
        assert!(!ops.add("alice", Create, "alice", wrong), "{wrong:?}");
    }
    assert!(ops.add("alice", Create, "alice", Invite));
    assert!(!ops.add("bob", Join, "bob", None), "an invite room is not joined");
    assert!(!ops.add("bob", Admit, "bob", None), "only an admin admits");
    assert!(!ops.add("alice", Admit, "bob", Admin), "admitting has no argument");
    assert!(ops.add("alice", Admit, "bob", None));
    assert!(!ops.add("bob", Remove, "alice", None), "bob is no admin yet");
    assert!(!ops.add("bob", Role, "bob", Admin), "nobody promotes himself");
    assert!(!ops.add("alice", Role, "bob", Open), "the role is admin or member");
    assert!(ops.add("alice", Role, "bob", Admin));
    assert!(ops.add("bob", Remove, "alice", None));
    assert!(!ops.add("alice", Admit, "carol", None), "alice is out");
    assert!(!ops.add("bob", Leave, "bob", Member), "leaving has no argument");
    assert!(ops.add("bob", Leave, "bob", None));

    let mut all = Room::new("room:ALL");
    assert!(all.add("alice", Join, "alice", None));
    assert!(!all.add("alice", Leave, "alice", None), "ALL cannot be left");
}

#[test]
fn r03_generation_and_epoch_before_are_signed_after_eid() {
    let first = epoch(parameters("room:lobby"));
    assert_eq!((first.header.g, first.header.pe), (0, Digest::ZERO));
    let previous = Some(first.head);
    let second = epoch(epoch::EpochParameters { previous, ..parameters("room:lobby") });
    assert_eq!((second.header.g, second.header.pe), (1, first.head.e));
    assert_eq!(second.head, EpochHead { g: 1, e: epoch_digest(&second.header) });

    let text = String::from_utf8(second.header.to_bytes()).unwrap();
    let parts =
        format!("\"eid\":\"{}\",\"g\":1,\"pe\":\"{}\",\"mg\"", second.header.eid, first.head.e);
    assert!(text.contains(&parts), "{text}");
    for without in [",\"g\":1".to_owned(), format!(",\"pe\":\"{}\"", first.head.e)] {
        let other = text.replace(&without, "");
        assert_ne!(other, text);
        assert!(Header::parse(other.as_bytes()).is_err(), "{other}");
    }
    let other = KeyHeader { g: 2, ..second.header.clone() };
    assert_ne!(epoch_digest(&other), second.head.e, "e names the generation");
}

fn epoch_digest(header: &KeyHeader) -> Digest {
    Digest(chat_protocol::crypto::sha256(&header.to_bytes()))
}

#[test]
fn r11_an_upload_has_its_layout_order_and_bounds() {
    let e = Digest([7; 32]);
    let wraps = [vec![1; 3], vec![2; 2]];
    let messages = Upload::split(e, b"lines", &wraps);
    let head = |kind: u8| [vec![1, kind], vec![7; 32]].concat();
    let members = [head(0x11), vec![0; 4], b"lines".to_vec()].concat();
    let keys = [head(0x10), vec![0, 0, 0, 2], vec![0, 3, 1, 1, 1], vec![0, 2, 2, 2]].concat();
    assert_eq!(messages, [members, keys]);

    let many = vec![vec![3; 512]; EPOCH_DEVICES_MAX];
    let lines = vec![b'x'; UPLOAD_CHUNK_BYTES_MAX * 2 + 1];
    let mut next = 0;
    for message in Upload::split(e, &lines, &many) {
        assert!(message.len() <= UPLOAD_CHUNK_BYTES_MAX + 38, "{} bytes", message.len());
        if let Ok(Binary::Upload(Upload::Wraps { first, wraps, .. })) = Binary::decode(message) {
            assert_eq!(usize::from(first), next, "in the order of the lines");
            next += wraps.len();
        }
    }
    assert_eq!(next, many.len());
    let longer = [head(0x11), vec![0; 4 + UPLOAD_CHUNK_BYTES_MAX + 1]].concat();
    assert!(Binary::decode(longer.into()).is_err(), "a chunk above its bound");
    for changed in
        [[&messages[1][..], &[0]].concat(), messages[1][..messages[1].len() - 1].to_vec()]
    {
        assert!(Binary::decode(changed.into()).is_err(), "every byte counts");
    }
    assert_eq!(BODY_BYTES_MAX, 192 * 1024);
}

#[test]
fn r12_an_expired_encryption_key_is_still_wrapped_for() {
    let options = BundleOptions::default();
    let long_ago = NOW - 80 * 24 * 3600 * 1000;
    let bundle = BOB.keys.publish(&BOB.user, Nonce16([1; 16]), None, long_ago, options).unwrap();
    assert_eq!(bundle.header().ek[0].exp, long_ago + ENCRYPTION_KEY_MS);
    assert!(bundle.header().ek[0].exp < NOW);
    assert_eq!(bundle.member_line().unwrap().ek, key_id(BOB.keys.encryption.spki()));
}

fn publish(party: &Party, previous: Option<&Bundle>, now: u64, rev: Vec<KeyId>) -> Bundle {
    let options = BundleOptions { rev, ..BundleOptions::default() };
    let dev = party.bundle.header().dev;
    party.keys.publish(&party.user, dev, previous, now, options).unwrap()
}

#[test]
fn r14_a_bundle_follows_only_an_older_one_of_its_own_identity() {
    let first = &ALICE.bundle;
    let second = publish(&ALICE, Some(first), NOW + 1, vec![]);
    let fork = publish(&ALICE, Some(first), NOW + 2, vec![]);
    let third = publish(&ALICE, Some(&fork), NOW + 3, vec![]);
    assert_eq!(second.follows(first), Ok(()));
    assert_eq!(second.follows(&second), Ok(()), "the same bytes again");
    assert_eq!(third.follows(first), Ok(()), "prev is checked for the next number only");
    let older = |got, stored| Err(BundleError::Sequence { got, stored });
    assert_eq!(third.follows(&second), older(2, 1), "prev names a bundle that was never shown");
    assert_eq!(fork.follows(&second), older(1, 1), "another bundle of the same number");
    assert_eq!(first.follows(&second), older(0, 1));
    let stranger = DeviceKeys { identity: device_keys("mallory").identity, ..device_keys("alice") };
    let dev = first.header().dev;
    let stranger = stranger.publish(&ALICE.user, dev, Some(first), NOW, BundleOptions::default());
    assert_eq!(stranger.unwrap().follows(first), Err(BundleError::Identity), "a new identity");

    let sk = ALICE.keys.signing_id();
    assert!(second.signing_key(&sk).is_some());
    let other = publish(&ALICE, Some(&second), NOW + 4, vec![BOB.keys.signing_id()]);
    assert!(other.signing_key(&sk).is_some(), "of another device");
    let options = BundleOptions { rev: vec![sk], ..BundleOptions::default() };
    let own = ALICE.keys.publish(&ALICE.user, first.header().dev, Some(&second), NOW, options);
    assert!(matches!(own, Err(BundleError::Field(_))), "revoked and published at once");
}

#[test]
fn r17_names_that_differ_in_case_only_are_two_names_in_headers() {
    let (claimed, other) = (UserName::new("alice").unwrap(), UserName::new("Alice").unwrap());
    assert_eq!(claimed.folded(), other.folded(), "one of them can be claimed");
    assert_ne!(claimed, other);
    let made = epoch(parameters("dm:alice:bob"));
    let sk = made.header.sk;
    assert!(both().contains(&claimed, &sk));
    assert!(!both().contains(&other, &sk));
    let by_other = KeyHeader { from: other.clone(), ..made.header.clone() };
    assert_eq!(epoch::check(&by_other, &both()), Err(EpochError::Members));
    let cid = ConversationId::direct(&other, &BOB.user).unwrap();
    assert_ne!(cid, made.header.cid);
    let elsewhere = KeyHeader { cid, ..made.header.clone() };
    assert_eq!(epoch::check(&elsewhere, &both()), Err(EpochError::Members));
}

#[test]
fn r18_a_list_has_at_most_five_thousand_devices() {
    let lines = |count: usize| MemberList::new((0..count).map(|i| line(&format!("u{i:05}"))));
    assert!(MemberList::parse(lines(EPOCH_DEVICES_MAX).as_bytes()).is_ok());
    assert!(MemberList::parse(lines(EPOCH_DEVICES_MAX + 1).as_bytes()).is_err());
}

#[test]
fn r27_all_keys_of_a_bundle_differ() {
    let spki = |role: &str| SigningKey::from_pkcs8(&private(role)).unwrap().spki().to_vec();
    let keys = || device_keys("alice");
    let copy = |role: &str| SigningKey::from_pkcs8(&private(role)).unwrap();
    let link = |role: &str| BundleOptions {
        lk: vec![PublishedWrapKey::new(&spki(role), NOW, 1000)],
        ..BundleOptions::default()
    };
    let none = BundleOptions::default;
    let same_signing = DeviceKeys { signing: copy("alice.ik"), ..keys() };
    let same_encryption = DeviceKeys { signing: copy("alice.ek"), ..keys() };
    for (what, keys, options, right) in [
        ("three keys", keys(), none(), true),
        ("a link key of its own", keys(), link("hub.lk"), true),
        ("identity and signing", same_signing, none(), false),
        ("signing and encryption", same_encryption, none(), false),
        ("identity and link", keys(), link("alice.ik"), false),
        ("encryption and link", keys(), link("alice.ek"), false),
    ] {
        let made = keys.publish(&ALICE.user, Nonce16([1; 16]), None, NOW, options);
        assert_eq!(made.is_ok(), right, "{what}");
    }
}
