//! The plaintexts of programs among themselves that must be read and that must be refused. The same file is read by
//! `scripts/vectors.mjs`.

use chat_protocol::content::{self, Content};
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

#[test]
fn every_plaintext_is_read_or_refused_as_it_says() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("vectors/settings.json")).expect("JSON of this form");
    for Vector { name, tag, plaintext, refused } in &vectors {
        let read = content::decode(*tag, plaintext.as_bytes());
        assert_eq!(read.is_err(), refused.is_some(), "{name}: {read:?}");
        if let Ok((content, notes)) = read {
            assert!(matches!(content, Content::Settings(_) | Content::Auto(_)), "{name}");
            let again = content::encode(&content, &notes);
            assert_eq!(content::decode(*tag, &again), Ok((content, notes)), "{name}");
        }
    }
    assert!(vectors.iter().filter(|vector| vector.refused.is_some()).count() >= 10);
}
