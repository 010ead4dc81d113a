//! Envelopes of every kind, and whoever receives them.

use chat_protocol::b64::B64Vec;
use chat_protocol::content::healing::{Counters, Grant, LinkRequest, LinkRun};
use chat_protocol::content::{
    self, ChainNotes, Command, Content, LastMessage, Outcome, OutputStream,
};
use chat_protocol::envelope::{self, ReceiptBody};
use chat_protocol::epoch::EpochParameters;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::file::offer::{self, OfferDraft, SignedOffer};
use chat_protocol::frame::{RawFrame, Unsigned, VerifiedBatches, sign_all};
use chat_protocol::header::{
    Canonical, Header, MemberArgument, MemberHeader, MemberOperation, MessageHeader, ReceiptHeader,
    Recipient,
};
use chat_protocol::hub::EpochHead;
use chat_protocol::id::{Digest, MessageId, Nonce16};
use chat_protocol::keys::{Bundle, BundleOptions};
use chat_protocol::members::Place;
use chat_protocol::name::ConversationId;
use chat_protocol::ratchet::{Chain, MessageKey};
use chat_protocol::tag::{Stage, Tag, label};

use super::parties::{ALICE, BOB, NOW, epoch, parameters, text_header};

/// What a receiver does with the bytes.
enum Receiver {
    /// Opens it with the key of this counter.
    Message {
        n: u32,
        key: MessageKey,
    },
    Key,
    Link,
    Receipt,
    Offer,
    Bundle,
}

/// A genuine envelope.
pub(crate) struct Envelope {
    pub(crate) what: &'static str,
    pub(crate) bytes: Vec<u8>,
    receiver: Receiver,
}

impl Envelope {
    /// Whether whoever gets these bytes accepts them as alice's.
    pub(crate) fn is_accepted(&self, bytes: &[u8]) -> bool {
        match &self.receiver {
            Receiver::Offer => SignedOffer::parse(bytes).is_ok_and(|offer| {
                let (key, digest) = ALICE.verifying();
                offer.verify(&key, &digest, &mut VerifiedBatches::default()).is_ok()
            }),
            Receiver::Bundle => {
                let bundle = Bundle::verify(bytes.to_vec().into());
                bundle.is_ok_and(|bundle| bundle.identity() == ALICE.bundle.identity())
            }
            _ => self.frame(bytes).is_some_and(|(header, frame)| self.takes(&header, &frame)),
        }
    }

    /// Whether all is as it should be but the signature and the seal.
    pub(crate) fn has_form(&self, bytes: &[u8]) -> bool {
        match &self.receiver {
            Receiver::Offer => SignedOffer::parse(bytes).is_ok(),
            // A bundle is read and verified in one.
            Receiver::Bundle => RawFrame::decode(bytes.to_vec().into()).is_ok(),
            _ => self.frame(bytes).is_some(),
        }
    }

    /// A frame of the right shape by alice.
    fn frame(&self, bytes: &[u8]) -> Option<(Header, RawFrame)> {
        let frame = RawFrame::decode(bytes.to_vec().into()).ok()?;
        let header = Header::parse(frame.header()).ok()?;
        let is_hers = header.signer() == (&ALICE.user, ALICE.keys.signing_id());
        let is_right = matches!(
            (&self.receiver, &header),
            (Receiver::Message { .. }, Header::Message(_))
                | (Receiver::Key, Header::Key(_))
                | (Receiver::Link, Header::Member(_))
                | (Receiver::Receipt, Header::Receipt(_))
        );
        (is_hers && is_right).then_some((header, frame))
    }

    fn takes(&self, header: &Header, frame: &RawFrame) -> bool {
        let (key, digest) = ALICE.verifying();
        let of = match header {
            Header::Message(_) => label::MSG,
            Header::Key(_) => label::KEY,
            Header::Member(_) => label::MEMBER,
            Header::Receipt(_) => label::RECEIPT,
        };
        if frame.verify(of, &key, &digest, &mut VerifiedBatches::default()).is_err() {
            return false;
        }
        match (header, &self.receiver) {
            (Header::Message(header), Receiver::Message { n, key }) => {
                let opened = envelope::open(frame, key).ok().filter(|_| header.n == *n);
                opened.is_some_and(|plaintext| content::decode(header.t, &plaintext).is_ok())
            }
            (Header::Receipt(header), _) => envelope::read_receipt(header, frame.body()).is_some(),
            _ => true,
        }
    }
}

fn direct() -> MessageHeader {
    MessageHeader {
        t: Tag::Dm,
        cid: ConversationId::direct(&ALICE.user, &BOB.user).unwrap(),
        to: Recipient::User(BOB.user.clone()),
        ..text_header(Digest([4; 32]), 0)
    }
}

fn command() -> MessageHeader {
    MessageHeader {
        t: Tag::Cmd,
        nbf: Some(0),
        exp: Some(60_000),
        rb: Some(Nonce16([5; 16])),
        tk: Some(BOB.bundle.identity()),
        ..direct()
    }
}

fn link() -> MemberHeader {
    MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: ConversationId::parse("room:ops").unwrap(),
        from: ALICE.user.clone(),
        sk: ALICE.keys.signing_id(),
        op: MemberOperation::Remove,
        who: BOB.user.clone(),
        ik: BOB.bundle.identity(),
        arg: MemberArgument::Ban,
        mg: 7,
        pm: Digest([6; 32]),
        id: MessageId([2; 16]),
        ts: NOW,
    }
}

/// What alice says: each with its header.
fn said(link: &[u8]) -> Vec<(&'static str, MessageHeader, Content)> {
    let (re, of) = (MessageId([9; 16]), Digest([8; 32]));
    let cid = ConversationId::parse("room:ops").unwrap();
    let sk = ALICE.keys.signing_id();
    let counters = |n: &[u32]| Counters { cid: cid.clone(), e: of, sk, n: n.to_vec() };
    let command_text = Command {
        argv: vec!["uname".into(), "-a".into()],
        salt: Nonce16([3; 16]),
        no: 4,
        prev: Some(3),
        time_max_ms: None,
        output_max: Some(9),
    };
    let outcome =
        Outcome { re, of, outs: 2, status: Some(0), code: String::new(), reason: String::new() };
    let frames = vec![B64Vec(link.to_vec())];
    let grant = Grant {
        burnt: vec![counters(&[1])],
        links: vec![LinkRun { cid: cid.clone(), mg: 7, frames }],
        bundles: vec![B64Vec(ALICE.bundle.bytes().to_vec())],
        ..Grant::default()
    };
    let ask = LinkRequest { cid: cid.clone(), place: Place { mg: 7, pm: of } };
    let data = b"Linux\n".to_vec();
    let executed = MessageHeader { t: Tag::Ack, stage: Some(Stage::Executed), ..direct() };
    let with = |t: Tag| MessageHeader { t, ..direct() };
    vec![
        ("a text", text_header(Digest([4; 32]), 0), Content::Text("hello".into())),
        ("a direct message", direct(), Content::Text("hello".into())),
        ("a command", command(), Content::Command(command_text)),
        (
            "output",
            with(Tag::Out),
            Content::Output { re, stream: OutputStream::Stdout, no: 1, data },
        ),
        ("a result", executed, Content::Outcome(outcome)),
        ("a request for frames", with(Tag::Keyreq), Content::KeyRequest(counters(&[1, 2]))),
        ("a request for links", with(Tag::Keyreq), Content::LinkRequest(ask)),
        ("links and bundles", with(Tag::Grant), Content::Grant(grant)),
    ]
}

fn sign(unsigned: &[Unsigned]) -> Vec<Vec<u8>> {
    sign_all(&ALICE.keys.signing, unsigned).into_iter().map(|frame| frame.to_vec()).collect()
}

/// One of each kind, signed alone and several together.
pub(crate) fn genuine() -> Vec<Envelope> {
    let link_frame = Unsigned::new(label::MEMBER, link().to_bytes(), Vec::new());
    let link = sign(std::slice::from_ref(&link_frame)).remove(0);
    let mut envelopes =
        vec![Envelope { what: "a link", bytes: link.clone(), receiver: Receiver::Link }];
    let last = LastMessage { e: Digest([5; 32]), n: 6, new: [1].into_iter().collect() };
    let notes = ChainNotes { void: vec![(1, Digest([7; 32]))], last: Some(last) };
    let mut chain = Chain::new(&[1; 32]);
    let mut sealed = Vec::new();
    for (what, header, content) in said(&link) {
        let (n, key) = chain.advance();
        let header = MessageHeader { n, ..header };
        let plaintext = content::encode(&content, &notes);
        let unsigned = envelope::seal(&header, &key, [2; 12], &plaintext);
        sealed.push((what, unsigned, Receiver::Message { n, key }));
    }
    // Some alone, the others with one signature.
    let (alone, together) = sealed.split_at(4);
    let mut signed: Vec<Vec<u8>> =
        alone.iter().flat_map(|(_, frame, _)| sign(std::slice::from_ref(frame))).collect();
    let together: Vec<Unsigned> = together.iter().map(|(_, frame, _)| frame.clone()).collect();
    signed.extend(sign(&together));
    let messages = sealed.into_iter().zip(signed);
    envelopes.extend(messages.map(|((what, _, receiver), bytes)| Envelope {
        what,
        bytes,
        receiver,
    }));
    envelopes.extend(keys_and_receipts());
    envelopes.extend(offers());
    let bytes = ALICE.bundle.bytes().to_vec();
    envelopes.push(Envelope { what: "a bundle", bytes, receiver: Receiver::Bundle });
    let options = BundleOptions {
        rb: Some(Nonce16([5; 16])),
        rev: vec![BOB.keys.signing_id()],
        ..BundleOptions::default()
    };
    let next = ALICE.keys.publish(&ALICE.user, Nonce16([1; 16]), Some(&ALICE.bundle), NOW, options);
    let bytes = next.unwrap().bytes().to_vec();
    envelopes.push(Envelope { what: "a bundle that revokes", bytes, receiver: Receiver::Bundle });
    envelopes
}

/// Keys of a direct conversation and of a room with a place, and receipts.
fn keys_and_receipts() -> Vec<Envelope> {
    let place = Place { mg: 8, pm: Digest([6; 32]) };
    let previous = Some(EpochHead { g: 3, e: Digest([4; 32]) });
    let in_room = EpochParameters { place, previous, ..parameters("room:ops") };
    let keys = [("a key", parameters("dm:alice:bob")), ("a key with a place", in_room)];
    let keys = keys.map(|(what, parameters)| {
        let bytes = sign(&[epoch(parameters).frame]).remove(0);
        Envelope { what, bytes, receiver: Receiver::Key }
    });
    let header = |t: Tag| ReceiptHeader {
        v: 1,
        t,
        stage: Stage::Delivered,
        cid: ConversationId::parse("room:ops").unwrap(),
        from: ALICE.user.clone(),
        sk: ALICE.keys.signing_id(),
        to: BOB.user.clone(),
        id: MessageId([7; 16]),
        ts: NOW,
    };
    let re = vec![(MessageId([9; 16]), Digest([8; 32]))];
    let code = Some(chat_protocol::code::DELIVERED_UNREADABLE.to_owned());
    let receipts = [
        (
            "a receipt",
            envelope::receipt(&header(Tag::Ack), &ReceiptBody { re: re.clone(), code: None }),
        ),
        ("a complaint", envelope::receipt(&header(Tag::Noack), &ReceiptBody { re, code })),
    ];
    let receipts = receipts.map(|(what, frame)| {
        let bytes = sign(&[frame]).remove(0);
        Envelope { what, bytes, receiver: Receiver::Receipt }
    });
    keys.into_iter().chain(receipts).collect()
}

/// Offers of files: one alone, and two with one signature.
fn offers() -> Vec<Envelope> {
    let draft = |number: u8, audience: Audience| {
        let file = Manifest { name: format!("plan-{number}.txt"), size: 9, root: Digest([4; 32]) };
        OfferDraft { id: MessageId([number; 16]), audience, file, ts: NOW }
    };
    let room = Audience::Conversation(ConversationId::parse("room:ops").unwrap());
    let sign = |drafts| offer::sign(&ALICE.keys.signing, &ALICE.user, drafts);
    let mut signed = sign(vec![draft(1, Audience::Everybody)]);
    signed.extend(sign(vec![draft(2, room.clone()), draft(3, room)]));
    let what = ["an offer to everybody", "an offer", "another offer"];
    let offers = what.into_iter().zip(signed);
    offers
        .map(|(what, B64Vec(bytes))| Envelope { what, bytes, receiver: Receiver::Offer })
        .collect()
}
