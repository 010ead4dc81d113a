//! What holds for every input: what is written is read again, nothing that is read panics, and no
//! frame with one changed bit is accepted.

#[cfg(test)]
#[path = "support/parties.rs"]
mod parties;
#[cfg(test)]
#[path = "support/signing_in.rs"]
mod signing_in;
#[cfg(test)]
#[path = "properties/strategies.rs"]
mod strategies;
#[cfg(test)]
#[path = "properties/travelling.rs"]
mod travelling;

use std::hint::black_box;

use bytes::Bytes;
use chat_protocol::content;
use chat_protocol::envelope;
use chat_protocol::frame::{
    Binary, Delivery, RawFrame, Unsigned, Upload, VerifiedBatches, sign_all,
};
use chat_protocol::handshake::Greeting;
use chat_protocol::header::{Canonical, Header};
use chat_protocol::hub::{self, ClientToHub, HubToClient};
use chat_protocol::keys::Bundle;
use chat_protocol::limits::PAD_BYTES;
use chat_protocol::members::MemberList;
use chat_protocol::ratchet::MessageKey;
use chat_protocol::ratchet::{Chain, ChainError};
use chat_protocol::tag::{Tag, label};
use parties::{ALICE, BOB};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use signing_in::LINK;
use travelling::{GOOD, RECEPTION, sealed};

/// A signature takes half a millisecond: fewer cases than the default of 256.
const RSA_CASES: u32 = 24;

fn header_bytes(header: &Header) -> Vec<u8> {
    match header {
        Header::Message(header) => header.to_bytes(),
        Header::Receipt(header) => header.to_bytes(),
        Header::Key(header) => header.to_bytes(),
        Header::Member(header) => header.to_bytes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(RSA_CASES))]

    /// Any number of frames, alone and in batches, whatever their headers and bodies.
    #[test]
    fn frames_are_read_as_they_were_signed(
        parts in vec((vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..300)), 1..70),
        position: u64, hub_ms: u64,
    ) {
        let unsigned = |(header, body): &(Vec<u8>, Vec<u8>)| {
            Unsigned::new(label::MSG, header.clone(), body.clone())
        };
        let waiting: Vec<_> = parts.iter().map(unsigned).collect();
        let signed = sign_all(&ALICE.keys.signing, &waiting);
        prop_assert_eq!(signed.len(), parts.len());
        let (key, digest) = ALICE.verifying();
        let (other, other_digest) = BOB.verifying();
        let mut verified = VerifiedBatches::default();
        for ((bytes, unsigned), (header, body)) in signed.iter().zip(&waiting).zip(&parts) {
            let Ok(Binary::Frame(frame)) = Binary::decode(bytes.clone()) else {
                panic!("a signed frame is read")
            };
            prop_assert_eq!((frame.header(), frame.body()), (&header[..], &body[..]));
            prop_assert_eq!(frame.digest(label::MSG), unsigned.digest());
            prop_assert_eq!(frame.verify(label::MSG, &key, &digest, &mut verified), Ok(()));
            prop_assert!(frame.verify(label::KEY, &key, &digest, &mut verified).is_err());
            prop_assert!(frame.verify(label::MSG, &other, &other_digest, &mut verified).is_err());
            let delivered = Delivery { position, hub_ms, frame };
            let decoded = Binary::decode(Delivery::encode(position, hub_ms, bytes));
            prop_assert_eq!(decoded, Ok(Binary::Delivery(delivered)));
        }
    }
}

proptest! {
    #[test]
    fn headers_are_read_as_they_were_written(header in strategies::header()) {
        prop_assert_eq!(Header::parse(&header_bytes(&header)), Ok(header));
    }

    /// Whatever bytes a reader takes for a header are the only ones for its values.
    #[test]
    fn an_accepted_header_has_one_spelling(
        header in strategies::header(), at: Index, inserted in " |0|\"|,|\\\\|[a-z]|\\{|\\}",
    ) {
        let mut bytes = header_bytes(&header);
        let at = at.index(bytes.len());
        bytes.splice(at..at, inserted.bytes());
        if let Ok(read) = Header::parse(&bytes) {
            prop_assert_eq!(header_bytes(&read), bytes);
        }
    }

    #[test]
    fn contents_are_read_as_they_were_written(
        (tag, content) in strategies::content(), notes in strategies::notes(),
    ) {
        let bytes = content::encode(&content, &notes);
        prop_assert_eq!(bytes.len() % PAD_BYTES, 0);
        prop_assert_eq!(content::decode(tag, &bytes), Ok((content, notes)));
    }

    #[test]
    fn texts_to_the_hub_are_read_as_they_were_written(message in strategies::client_to_hub()) {
        prop_assert_eq!(hub::read(&hub::write(&message)), Ok(message));
    }

    #[test]
    fn texts_from_the_hub_are_read_as_they_were_written(message in strategies::hub_to_client()) {
        prop_assert_eq!(hub::read(&hub::write(&message)), Ok(message));
    }

    #[test]
    fn member_lists_are_read_as_they_were_written(lines in vec(strategies::line(), 0..20)) {
        let list = MemberList::new(lines.clone());
        prop_assert_eq!(MemberList::parse(list.as_bytes()), Ok(list.clone()));
        for line in &lines {
            let found = list.position(&line.name, &line.sk).and_then(|at| list.lines().get(at));
            prop_assert_eq!(found.map(|found| (&found.name, found.sk)), Some((&line.name, line.sk)));
        }
    }

    /// Cut into messages and put together again, an upload is what it was.
    #[test]
    fn uploads_are_read_as_they_were_cut(
        e in strategies::digest(), length in 0..300_000_usize,
        wraps in vec(vec(any::<u8>(), 0..=512), 0..600),
    ) {
        let members: Vec<u8> = (0..=255).cycle().take(length).collect();
        let (mut lines, mut keys) = (Vec::new(), Vec::new());
        for message in Upload::split(e, &members, &wraps) {
            let Ok(Binary::Upload(upload)) = Binary::decode(message.clone()) else {
                panic!("an upload is read")
            };
            prop_assert_eq!((upload.epoch(), upload.encode()), (e, message));
            match upload {
                Upload::Members { offset, bytes, .. } => {
                    prop_assert_eq!(usize::try_from(offset).unwrap(), lines.len());
                    lines.extend_from_slice(&bytes);
                }
                Upload::Wraps { first, wraps, .. } => {
                    prop_assert_eq!(usize::from(first), keys.len());
                    keys.extend(wraps);
                }
            }
        }
        prop_assert!(lines == members && keys == wraps);
    }

    /// Frames may overtake each other; each key is given once.
    #[test]
    fn chains_agree_in_any_order(
        ck: [u8; 32], order in Just((0..40_u32).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let (mut sender, mut receiver) = (Chain::new(&ck), Chain::new(&ck));
        let keys: Vec<_> = (0..40).map(|_| sender.advance()).collect();
        for n in order {
            let key = keys.iter().find(|(at, _)| *at == n).map(|(_, key)| key.clone());
            prop_assert_eq!(receiver.key_for(n).ok(), key);
            prop_assert_eq!(receiver.key_for(n), Err(ChainError::Used { n }));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, kind in 0..=0x21_u8) {
        read_with_everything(&bytes);
        read_with_everything(&[&[1, kind], &bytes[..]].concat());
    }

    #[test]
    fn random_json_never_panics(text in "[\\[\\]{}\",:0-9a-z\\\\ .-]{0,60}") {
        read_with_everything(text.as_bytes());
        read_with_everything(format!("{{\"v\":1,\"t\":\"TEXT\",{text}}}").as_bytes());
        read_with_everything(format!("{{\"tag\":\"WHO\",{text}}}").as_bytes());
    }

    /// Good bytes, cut, flipped, doubled or mixed with others.
    #[test]
    fn damaged_bytes_never_panic(
        which: Index, other: Index, flips in vec((any::<Index>(), 0..8_u32), 0..4),
        cut: Index, join: Index,
    ) {
        let mut bytes = which.get(&GOOD).clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        read_with_everything(&bytes);
        let cut = cut.index(bytes.len() + 1);
        read_with_everything(&bytes[..cut]);
        let other = other.get(&GOOD);
        let joined = [&bytes[..cut], &other[join.index(other.len() + 1)..]].concat();
        read_with_everything(&joined);
    }
}

/// Every decoder of the crate that outside bytes reach.
fn read_with_everything(bytes: &[u8]) {
    let (owned, text) = (Bytes::copy_from_slice(bytes), String::from_utf8_lossy(bytes));
    let decoded = Binary::decode(owned.clone());
    if let Ok(Binary::Frame(frame) | Binary::Delivery(Delivery { frame, .. })) = &decoded {
        let (key, digest) = ALICE.verifying();
        let key = frame.verify(label::MSG, &key, &digest, &mut VerifiedBatches::default());
        let opened = envelope::open(frame, &MessageKey::new([1; 32]));
        black_box((key.is_ok(), opened.is_ok(), Header::parse(frame.header()).is_ok()));
    }
    if let Ok(Header::Receipt(header)) = Header::parse(bytes) {
        black_box(envelope::read_receipt(&header, bytes));
    }
    for tag in [Tag::Text, Tag::Cmd, Tag::Out, Tag::Ack, Tag::Keyreq, Tag::Grant, Tag::Key] {
        black_box(content::decode(tag, bytes).is_ok());
    }
    black_box((Bundle::verify(owned).is_ok(), MemberList::parse(bytes).is_ok()));
    black_box(hub::read::<ClientToHub>(&text).is_ok());
    black_box(hub::read::<HubToClient>(&text).is_ok());
    black_box(Greeting::read(&text).is_ok());
    black_box(RECEPTION.open(&text, &LINK, None).is_ok());
}

/// Whether a recipient would show this frame.
fn is_accepted(bytes: Bytes, chain: &Chain, verified: &mut VerifiedBatches) -> bool {
    let Ok(Binary::Frame(frame)) = Binary::decode(bytes) else { return false };
    let Ok(Header::Message(header)) = Header::parse(frame.header()) else { return false };
    let (key, digest) = ALICE.verifying();
    let is_signed = frame.verify(label::MSG, &key, &digest, verified).is_ok();
    let Ok(key) = chain.clone().key_for(header.n) else { return false };
    is_signed && envelope::open(&frame, &key).is_ok()
}

/// The batch's root is known to be good before, so that remembering it is part of the proof.
#[test]
fn no_frame_with_one_changed_bit_is_accepted() {
    let (single, batch, chain) = sealed();
    let mut verified = VerifiedBatches::default();
    let mut tried = 0;
    for good in [single, batch] {
        assert!(is_accepted(good.clone(), &chain, &mut verified), "the frame itself is good");
        let mut bytes = good.to_vec();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = Bytes::copy_from_slice(&bytes);
            assert!(!is_accepted(changed, &chain, &mut verified), "bit {bit} changed");
            bytes[bit / 8] ^= 1 << (bit % 8);
            tried += 1;
        }
        let cut = (0..bytes.len()).map(|length| good.slice(..length));
        assert!(!cut.into_iter().any(|cut| is_accepted(cut, &chain, &mut verified)), "cut");
    }
    assert!(tried > 8_000, "{tried} bits are two whole frames");
}

/// The readers meet good bytes too: otherwise the tests above would show little.
#[test]
fn good_bytes_are_read_by_their_readers() {
    let frames = GOOD.iter().filter(|bytes| RawFrame::decode((*bytes).clone().into()).is_ok());
    assert_eq!(frames.count(), 4, "two messages, a bundle, an epoch");
    let uploads = GOOD
        .iter()
        .filter(|bytes| matches!(Binary::decode((*bytes).clone().into()), Ok(Binary::Upload(_))));
    assert_eq!(uploads.count(), 2, "members and wraps");
    assert!(GOOD.iter().any(|bytes| Bundle::verify(bytes.clone().into()).is_ok()));
    assert!(GOOD.iter().any(|bytes| MemberList::parse(bytes).is_ok()));
    let texts = GOOD.iter().filter_map(|bytes| std::str::from_utf8(bytes).ok());
    assert_eq!(texts.clone().filter(|text| Greeting::read(text).is_ok()).count(), 1);
    assert_eq!(texts.filter(|text| RECEPTION.open(text, &LINK, None).is_ok()).count(), 1);
}
