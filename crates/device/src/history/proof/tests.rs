use bytes::Bytes;
use chat_protocol::content::ChainNotes;
use chat_protocol::frame::sign_all;
use chat_protocol::header::Recipient;
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::keys::{BundleOptions, DeviceKeys, KeySizes};
use chat_protocol::limits::VERSION;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Stage;

use super::*;

const ID: MessageId = MessageId([9; 16]);

/// Every byte of the small parts of a file is changed, and of the long ones each of so many.
const BYTES_BETWEEN: usize = 5;

struct Person {
    name: UserName,
    keys: DeviceKeys,
    bundle: Bytes,
}

impl Person {
    fn new(name: &str) -> Self {
        let (name, keys) =
            (UserName::new(name).unwrap(), DeviceKeys::generate(KeySizes::EMULATED).unwrap());
        let options = BundleOptions::default();
        let bundle = keys.publish(&name, Nonce16([1; 16]), None, 5, options).unwrap();
        Self { name, keys, bundle: bundle.bytes().clone() }
    }

    fn identity(&self) -> KeyId {
        Bundle::verify(self.bundle.clone()).unwrap().identity()
    }

    fn receipt(&self, to: &Self, tag: Tag, re: (MessageId, Digest)) -> Bytes {
        let header = ReceiptHeader {
            v: VERSION,
            t: tag,
            stage: Stage::Delivered,
            cid: ConversationId::parse("dm:alice:bob").unwrap(),
            from: self.name.clone(),
            sk: self.keys.signing_id(),
            to: to.name.clone(),
            id: MessageId([3; 16]),
            ts: 1_700_000_000_500,
        };
        let code = chat_protocol::code::DELIVERED_UNREADABLE.to_owned();
        let code = (tag == Tag::Noack).then_some(code);
        let unsigned = envelope::receipt(&header, &ReceiptBody { re: vec![re], code });
        sign_all(&self.keys.signing, &[unsigned]).remove(0)
    }
}

/// A message from alice to bob with his receipt, and the two.
fn sent() -> (Material, Digest, [Person; 2]) {
    let (alice, bob) = (Person::new("alice"), Person::new("bob"));
    let key = MessageKey::new([7; 32]);
    let header = MessageHeader {
        v: VERSION,
        t: Tag::Dm,
        stage: None,
        cid: ConversationId::parse("dm:alice:bob").unwrap(),
        from: alice.name.clone(),
        sk: alice.keys.signing_id(),
        to: Recipient::User(bob.name.clone()),
        id: ID,
        e: Digest([4; 32]),
        n: 0,
        p: Digest::ZERO,
        ts: 1_700_000_000_000,
        nbf: None,
        exp: None,
        rb: None,
        tk: None,
    };
    let text = content::encode(&Content::Text("ten".to_owned()), &ChainNotes::default());
    let unsigned = envelope::seal(&header, &key, [1; 12], &text);
    let digest = unsigned.digest();
    let frame = sign_all(&alice.keys.signing, &[unsigned]).remove(0);
    let receipts = vec![bob.receipt(&alice, Tag::Ack, (ID, digest))];
    let bundles = vec![alice.bundle.clone(), bob.bundle.clone()];
    (Material { frame, key: Some(key), receipts, bundles }, digest, [alice, bob])
}

#[test]
fn a_message_and_its_receipt_prove_themselves_from_a_file() {
    let (material, digest, [alice, bob]) = sent();
    let read = file::read(&file::write(&material)).unwrap();
    let proof = read.check().unwrap();
    assert!(proof.is_verified());
    assert_eq!((proof.digest, proof.text.as_deref()), (digest, Some("ten")));
    assert_eq!(proof.signature, Ok(alice.identity()));
    let [receipt] = &proof.receipts[..] else { panic!("one receipt") };
    assert_eq!((&receipt.by, receipt.readable), (&bob.name, true));
    assert_eq!(receipt.verdict, Ok(bob.identity()));
    let without = file::read(&file::write(&material.without_text())).unwrap();
    assert_eq!(without.check().unwrap().text, None);
}

#[test]
fn no_changed_byte_of_a_file_goes_unseen() {
    let (material, _, _) = sent();
    let bytes = file::write(&material);
    for at in (0..bytes.len()).filter(|at| at % BYTES_BETWEEN == 0 || *at > bytes.len() - 40) {
        let mut changed = bytes.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let verified = file::read(&changed).and_then(|material| material.check());
        assert!(!verified.is_ok_and(|proof| proof.is_verified()), "byte {at}");
    }
    let mut longer = bytes.clone();
    longer.push(b'\n');
    assert!(file::read(&longer).is_err());
    assert!(file::read(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn receipts_for_something_else_or_by_somebody_else_prove_nothing() {
    let (material, digest, [alice, bob]) = sent();
    let mallory = Person::new("bob");
    let verdict = |receipt: Bytes, bundles: &[&Person]| {
        let bundles = bundles.iter().map(|person| person.bundle.clone()).collect();
        let material = Material { receipts: vec![receipt], bundles, ..material.clone() };
        material.check().unwrap().receipts.remove(0).verdict
    };
    let both = [&alice, &bob];
    let other = bob.receipt(&alice, Tag::Ack, (MessageId([8; 16]), digest));
    assert_eq!(verdict(other, &both), Err(ProofError::OtherMessage(bob.name.clone())));
    let altered = bob.receipt(&alice, Tag::Ack, (ID, Digest([8; 32])));
    assert_eq!(verdict(altered, &both), Err(ProofError::OtherMessage(bob.name.clone())));
    let wrong_way = bob.receipt(&bob, Tag::Ack, (ID, digest));
    assert_eq!(verdict(wrong_way, &both), Err(ProofError::OtherMessage(bob.name.clone())));
    let forged = mallory.receipt(&alice, Tag::Ack, (ID, digest));
    assert_eq!(verdict(forged.clone(), &both), Err(ProofError::NoKey(bob.name.clone())));
    // With a bundle of the forger it holds, for another identity: that is what is compared.
    assert_eq!(verdict(forged, &[&alice, &bob, &mallory]), Ok(mallory.identity()));
    let complaint = bob.receipt(&alice, Tag::Noack, (ID, Digest([8; 32])));
    assert_eq!(verdict(complaint, &both), Ok(bob.identity()), "what came altered");
}

#[test]
fn a_text_must_be_what_the_frame_opens_to() {
    let (mut material, _, _) = sent();
    material.key = Some(MessageKey::new([8; 32]));
    assert_eq!(material.check().unwrap_err(), ProofError::Text);
}
