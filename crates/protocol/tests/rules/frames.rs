//! Bytes of frames: authentication, batches, and what a sender seals only once.

use chat_protocol::batch;
use chat_protocol::envelope;
use chat_protocol::frame::{
    Binary, FrameError, RawFrame, Unsigned, VerifiedBatches, sign_all, unsigned,
};
use chat_protocol::header::{Canonical, Header};
use chat_protocol::id::Digest;
use chat_protocol::limits::BATCH_FRAMES_MAX;
use chat_protocol::ratchet::{Chain, ChainError};
use chat_protocol::tag::label;

use super::parties::{ALICE, text_header};

/// One change to the bytes of a frame.
type Edit<'e> = &'e dyn Fn(&mut Vec<u8>);

fn verify(frame: &RawFrame, verified: &mut VerifiedBatches) -> Result<(), FrameError> {
    let (key, digest) = ALICE.verifying();
    frame.verify(label::MSG, &key, &digest, verified)
}

#[test]
fn r06_p_is_the_digest_of_what_was_sealed_signed_or_not() {
    let mut chain = Chain::new(&[1; 32]);
    let (_, key) = chain.advance();
    let sealed = envelope::seal(&text_header(Digest::ZERO, 0), &key, [0; 12], b"first");
    let alone = sign_all(&ALICE.keys.signing, std::slice::from_ref(&sealed)).remove(0);
    let batched = sign_all(&ALICE.keys.signing, &[sealed.clone(), sealed.clone()]).remove(0);
    assert_ne!(alone, batched);
    for bytes in [alone, batched] {
        let frame = RawFrame::decode(bytes).unwrap();
        assert_eq!(frame.digest(label::MSG), sealed.digest(), "a resend in another batch");
    }
    let other = envelope::seal(&text_header(Digest::ZERO, 0), &key, [0; 12], b"other");
    assert_ne!(other.digest(), sealed.digest());
}

#[test]
fn r06_a_counter_opens_once() {
    let mut receiver = Chain::new(&[1; 32]);
    assert!(receiver.key_for(2).is_ok());
    assert!(receiver.key_for(0).is_ok(), "late, and not lost");
    for n in [0, 2] {
        assert_eq!(receiver.key_for(n), Err(ChainError::Used { n }));
    }
    assert!(receiver.key_for(1).is_ok());
}

#[test]
fn r07_a_chain_that_was_kept_never_repeats_a_counter() {
    let mut chain = Chain::new(&[1; 32]);
    let (first, first_key) = chain.advance();
    let kept = serde_json::to_string(&chain).unwrap();
    let mut restored: Chain = serde_json::from_str(&kept).unwrap();
    let (next, next_key) = restored.advance();
    assert_eq!((first, next), (0, 1));
    assert_ne!(first_key, next_key);
    assert_eq!(chain.advance(), (next, next_key), "the same chain, not another one");
}

#[test]
fn r10_a_frame_without_a_signature_never_verifies() {
    let header = text_header(Digest::ZERO, 0).to_bytes();
    let bytes = unsigned(header, b"body".to_vec());
    assert_eq!(bytes[1], 0);
    let frame = RawFrame::decode(bytes.clone()).unwrap();
    assert!(!frame.is_signed());
    let refused = verify(&frame, &mut VerifiedBatches::default());
    assert_eq!(refused, Err(FrameError::BadSignature));
    let longer = [&bytes[..], &[0]].concat();
    assert!(RawFrame::decode(longer.into()).is_err(), "nothing may follow");
}

/// Offsets in the authentication block of a batch: `u16 k | u16 i | u8 np | path | signature`.
fn batch_of(count: usize) -> (Vec<Vec<u8>>, usize) {
    let header = text_header(Digest::ZERO, 0).to_bytes();
    let block = 10 + header.len() + 4;
    let body = |index: usize| u32::try_from(index).unwrap().to_be_bytes().to_vec();
    let waiting: Vec<_> =
        (0..count).map(|index| Unsigned::new(label::MSG, header.clone(), body(index))).collect();
    let signed = sign_all(&ALICE.keys.signing, &waiting);
    (signed.iter().map(|frame| frame.to_vec()).collect(), block)
}

#[test]
fn r20_a_batch_has_one_shape() {
    for count in [2, 3, 5, 33, BATCH_FRAMES_MAX] {
        let (frames, block) = batch_of(count);
        let mut verified = VerifiedBatches::default();
        for (index, bytes) in frames.iter().enumerate() {
            let (k, i) = (u16::try_from(count).unwrap(), u16::try_from(index).unwrap());
            assert_eq!(bytes[1], 2);
            assert_eq!(bytes[block..block + 2], k.to_be_bytes());
            assert_eq!(bytes[block + 2..block + 4], i.to_be_bytes());
            let length = batch::path_length(k, i);
            assert_eq!(usize::from(bytes[block + 4]), length);
            assert_eq!(bytes.len(), block + 5 + 32 * length + 256);
            let frame = RawFrame::decode(bytes.clone().into()).unwrap();
            assert_eq!(verify(&frame, &mut verified), Ok(()));
        }
    }
    let (frames, _) = batch_of(BATCH_FRAMES_MAX + 1);
    assert_eq!(frames.last().map(|frame| frame[1]), Some(1), "the sixty-fifth is signed alone");
}

#[test]
fn r20_a_batch_of_another_shape_is_refused() {
    let (frames, block) = batch_of(5);
    let refused = |index: usize, edit: Edit<'_>| {
        let mut bytes = frames[index].clone();
        edit(&mut bytes);
        RawFrame::decode(bytes.into())
    };
    let changes: [(&str, usize, Edit<'_>); 7] = [
        ("k of 0", 0, &|f| f[block + 1] = 0),
        ("k of 1", 0, &|f| f[block + 1] = 1),
        ("k of 65", 0, &|f| f[block + 1] = 65),
        ("i = k", 0, &|f| f[block + 3] = 5),
        ("a path for another index", 4, &|f| f[block + 3] = 0),
        ("a path too long", 0, &|f| f[block + 4] = 4),
        ("a path too short", 0, &|f| f[block + 4] = 2),
    ];
    for (what, index, edit) in changes {
        assert_eq!(refused(index, edit), Err(FrameError::Batch), "{what}");
    }
    for kind in [3, 0xff] {
        assert_eq!(refused(0, &|f| f[1] = kind), Err(FrameError::Kind { got: kind }));
    }
    assert_eq!(refused(0, &|f| f[0] = 2), Err(FrameError::Version { got: 2 }));
}

/// The cache must not remember less than the check depended on.
#[test]
fn r20_a_remembered_batch_vouches_for_itself_only() {
    let (frames, block) = batch_of(5);
    let mut verified = VerifiedBatches::default();
    let good = RawFrame::decode(frames[2].clone().into()).unwrap();
    assert_eq!(verify(&good, &mut verified), Ok(()));
    let changes: [(&str, Edit<'_>); 5] = [
        ("signature", &|f| *f.last_mut().unwrap() ^= 1),
        ("count", &|f| f[block + 1] = 6),
        ("body", &|f| f[block - 1] ^= 1),
        ("a byte left over", &|f| f.push(0)),
        ("a byte less", &|f| f.truncate(f.len() - 1)),
    ];
    for (what, edit) in changes {
        let mut bytes = frames[2].clone();
        edit(&mut bytes);
        let frame = RawFrame::decode(bytes.into()).unwrap();
        assert_eq!(verify(&frame, &mut verified), Err(FrameError::BadSignature), "{what}");
    }
    let (other, digest) = super::parties::BOB.verifying();
    let refused = good.verify(label::MSG, &other, &digest, &mut verified);
    assert_eq!(refused, Err(FrameError::BadSignature), "another's key");
    assert_eq!(verify(&good, &mut verified), Ok(()));
}

#[test]
fn r20_the_version_of_frame_and_header_is_one() {
    let header = text_header(Digest::ZERO, 0).to_bytes();
    assert!(Header::parse(&header).is_ok());
    let text = String::from_utf8(header).unwrap();
    for other in ["\"v\":0", "\"v\":2", "\"v\":01"] {
        assert!(Header::parse(text.replacen("\"v\":1", other, 1).as_bytes()).is_err(), "{other}");
    }
    let other = Binary::decode(vec![2, 0x20].into());
    assert_eq!(other, Err(FrameError::Version { got: 2 }), "of a delivery too");
}
