//! The plaintexts of KEYREQ and GRANT that must be read and that must be refused. The same file is
//! read by `scripts/vectors.mjs`.

use chat_protocol::content;
use chat_protocol::content::healing::{Counters, Grant};
use chat_protocol::id::{Digest, KeyId};
use chat_protocol::name::ConversationId;
use chat_protocol::tag::Tag;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    tag: Tag,
    plaintext: String,
    refused: Option<String>,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors/healing.json")).expect("JSON of this form")
}

#[test]
fn every_plaintext_is_read_or_refused_as_it_says() {
    for Vector { name, tag, plaintext, refused } in vectors() {
        let read = content::decode(tag, plaintext.as_bytes());
        assert_eq!(read.is_err(), refused.is_some(), "{name}: {read:?}");
        if let Ok((content, notes)) = read {
            let again = content::encode(&content, &notes);
            assert_eq!(content::decode(tag, &again), Ok((content, notes)), "{name}");
        }
    }
}

#[test]
fn both_kinds_are_there_of_both_tags() {
    let vectors = vectors();
    for tag in [Tag::Keyreq, Tag::Grant] {
        for refused in [false, true] {
            let count = vectors.iter().filter(|v| v.tag == tag && v.refused.is_some() == refused);
            assert!(count.count() >= 5, "{tag}, refused: {refused}");
        }
    }
}

#[test]
fn no_cut_and_no_changed_byte_of_a_plaintext_stops_the_reader() {
    for Vector { tag, plaintext, .. } in vectors().iter().filter(|v| v.plaintext.len() < 1_000) {
        let good = plaintext.as_bytes();
        for at in 0..good.len() {
            drop(content::decode(*tag, &good[..at]));
            for byte in [0, b'"', b'[', b'}', 0xff] {
                let mut bad = good.to_vec();
                bad[at] = byte;
                drop(content::decode(*tag, &bad));
            }
        }
    }
}

#[test]
fn lists_are_bounded() {
    let list = |n: Vec<u32>| Counters {
        cid: ConversationId::all(),
        e: Digest::ZERO,
        sk: KeyId([1; 16]),
        n,
    };
    assert!(list((0..64).collect()).is_valid());
    for n in [vec![], (0..65).collect(), vec![1, 1], vec![2, 1]] {
        assert!(!list(n).is_valid());
    }
    assert!(!Grant::default().is_valid());
    let lists = |count: usize| Grant { none: vec![list(vec![1]); count], ..Grant::default() };
    assert!(lists(16).is_valid() && !lists(17).is_valid());
}
