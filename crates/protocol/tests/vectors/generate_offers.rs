//! Offers of files: as their owner signs them, and as a hub might change them (rule R32).

use chat_protocol::b64::B64Vec;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::file::offer::{OfferDraft, OfferHeader, SignedOffer, sign};
use chat_protocol::frame::{RawFrame, unsigned};
use chat_protocol::header::Canonical;
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::{Tag, label};

use super::format::{Case, OfferCase, OfferExpect};
use super::generate::{Device, NOW, World};

fn draft(number: u8, audience: &str) -> OfferDraft {
    let audience = match audience {
        "*" => Audience::Everybody,
        cid => Audience::Conversation(ConversationId::parse(cid).unwrap()),
    };
    let file = Manifest {
        name: format!("räume \"{number}\".txt"),
        size: 150_000 + u64::from(number),
        root: Digest([number; 32]),
    };
    OfferDraft { id: MessageId([number; 16]), audience, file, ts: NOW + u64::from(number) }
}

/// The case of one offer, beside the owner, audience and id for which it was made.
fn case(owner: &Device, draft: &OfferDraft, signed: B64Vec) -> OfferCase {
    let (audience, id) = (draft.audience.clone(), draft.id);
    OfferCase { owner: owner.user.clone(), audience, id, signed, expect: None }
}

fn expecting(case: OfferCase) -> Case {
    let signed = SignedOffer::parse(&case.signed.0).unwrap();
    let OfferHeader { name, size, root, ts, .. } = signed.header().clone();
    let expect = Some(OfferExpect { name, size, root, ts });
    Case::Offer(OfferCase { expect, ..case })
}

/// Another header in front of the same signature.
fn with_header(signed: &B64Vec, edit: &dyn Fn(&mut OfferHeader)) -> B64Vec {
    let mut header = SignedOffer::parse(&signed.0).unwrap().header().clone();
    edit(&mut header);
    with_bytes(signed, &header.to_bytes())
}

fn with_bytes(signed: &B64Vec, header: &[u8]) -> B64Vec {
    let old = RawFrame::decode(signed.0.clone().into()).unwrap().header().len();
    let length = u32::try_from(header.len()).unwrap().to_be_bytes();
    let parts = [&signed.0[..2], &length, header, &signed.0[6 + old..]];
    B64Vec(parts.concat())
}

#[expect(clippy::too_many_lines, reason = "a table, one row for each vector")]
pub(crate) fn offers(world: &mut World) {
    let World { alice, bob, .. } = &*world;
    let open = draft(1, "*");
    let single = sign(&alice.keys.signing, &alice.user, vec![open.clone()]).remove(0);
    let audiences = ["*", "room:ops", "dm:alice:bob"];
    let drafts: Vec<_> = (2..).zip(audiences).map(|(n, audience)| draft(n, audience)).collect();
    let batch = sign(&alice.keys.signing, &alice.user, drafts.clone());
    let good: Vec<_> = ["open", "batch-open", "batch-room", "batch-person"]
        .into_iter()
        .zip(std::iter::once(&open).chain(&drafts))
        .zip(std::iter::once(&single).chain(&batch))
        .map(|((name, draft), signed)| (name, expecting(case(alice, draft, signed.clone()))))
        .collect();

    let plain = case(alice, &open, single.clone());
    let altered = |signed: B64Vec| Case::Offer(OfferCase { signed, ..plain.clone() });
    let edited = |edit: &dyn Fn(&mut OfferHeader)| altered(with_header(&single, edit));
    let header = RawFrame::decode(single.0.clone().into()).unwrap().header().to_vec();
    let spaced = String::from_utf8(header.clone()).unwrap().replace(",\"ts\"", ", \"ts\"");
    let raw_name = with_bytes(
        &single,
        String::from_utf8(header.clone())
            .unwrap()
            .replace(&chat_protocol::b64::encode(open.file.name.as_bytes()), "cmF1bQ==")
            .as_bytes(),
    );
    let mut other_version = single.clone();
    other_version.0[0] = 2;
    let in_batch = |edit: &dyn Fn(&mut OfferHeader)| {
        Case::Offer(case(alice, &drafts[1], with_header(&batch[1], edit)))
    };
    let room = drafts[1].audience.clone();
    let elsewhere = OfferCase { audience: room.clone(), ..plain.clone() };
    let foreign = OfferCase { owner: bob.user.clone(), ..plain.clone() };
    let renumbered = OfferCase { id: MessageId([9; 16]), ..plain.clone() };
    let as_alice = sign(&bob.keys.signing, &alice.user, vec![open.clone()]).remove(0);
    let sk = alice.keys.signing_id();
    let in_alices_key = with_header(&as_alice, &|h| h.sk = sk);
    let as_message = alice.sign(label::MSG, header.clone(), Vec::new());
    let with_body = alice.sign(label::SHARE, header.clone(), b"x".to_vec());
    let bare = B64Vec(unsigned(header, Vec::new()).to_vec());
    let cases = [
        ("version", "frame", "the version byte is 2", altered(other_version)),
        ("unsigned", "form", "the kind byte is 0, and no signature", altered(bare)),
        ("body", "form", "a body of one byte, then signed", altered(with_body)),
        ("tag", "header", "the tag of a chunk", edited(&|h| h.t = Tag::File)),
        ("size-limit", "header", "more bytes than a file may have", edited(&|h| h.size = 1 << 40)),
        (
            "spaces",
            "header",
            "a space in the header",
            altered(with_bytes(&single, spaced.as_bytes())),
        ),
        ("name-padded", "header", "the name with padding", altered(raw_name)),
        ("owner", "place", "listed under the name of bob", Case::Offer(foreign)),
        ("audience", "place", "listed for a room", Case::Offer(elsewhere)),
        ("id", "place", "listed under another id", Case::Offer(renumbered)),
        ("key", "members", "a key that nobody has", edited(&|h| h.sk = KeyId([9; 16]))),
        ("of-bob", "members", "signed by bob, with his key, in alice's name", altered(as_alice)),
        ("by-bob", "signature", "signed by bob in the name of alice's key", altered(in_alices_key)),
        ("root", "signature", "another root", edited(&|h| h.root = Digest([9; 32]))),
        ("size", "signature", "another size", edited(&|h| h.size += 1)),
        ("name", "signature", "another name", edited(&|h| h.name = "raum.txt".to_owned())),
        ("ts", "signature", "a later time", edited(&|h| h.ts += 1)),
        (
            "batch-root",
            "signature",
            "another root in a batch",
            in_batch(&|h| h.root = Digest([9; 32])),
        ),
        ("label", "signature", "signed under the label of messages", altered(as_message)),
    ];
    for (name, case) in good {
        world.accept(&format!("offer/{name}"), case);
    }
    for (name, at, altered, case) in cases {
        let why = "a file is its owner's if the owner has signed all that is said of it (rule R32)";
        world.refuse(&format!("offer/{name}"), [at, altered, why], case);
    }
}
