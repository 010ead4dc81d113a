//! The vectors of the envelope: what must be accepted opens, what must be refused is refused, and
//! by the check that is there for it. The same file is read by `scripts/vectors.mjs`.
//!
//! `cargo test --workspace --test vectors -- --ignored regenerate` writes the file anew from
//! the keys that are in it. Signatures and wraps are random, so every one of them changes.

#[cfg(test)]
#[path = "vectors/check.rs"]
mod check;
#[cfg(test)]
#[path = "vectors/check_link.rs"]
mod check_link;
#[cfg(test)]
#[path = "vectors/check_message.rs"]
mod check_message;
#[cfg(test)]
#[path = "vectors/check_offer.rs"]
mod check_offer;
#[cfg(test)]
#[path = "vectors/format.rs"]
mod format;
#[cfg(test)]
#[path = "vectors/generate.rs"]
mod generate;
#[cfg(test)]
#[path = "vectors/generate_keys.rs"]
mod generate_keys;
#[cfg(test)]
#[path = "vectors/generate_link.rs"]
mod generate_link;
#[cfg(test)]
#[path = "vectors/generate_members.rs"]
mod generate_members;
#[cfg(test)]
#[path = "vectors/generate_message.rs"]
mod generate_message;
#[cfg(test)]
#[path = "vectors/generate_offers.rs"]
mod generate_offers;

#[cfg(test)]
#[path = "vectors/refuse_frame.rs"]
mod refuse_frame;
#[cfg(test)]
#[path = "vectors/refuse_message.rs"]
mod refuse_message;

use std::collections::HashSet;

use check::Judge;
use format::VectorFile;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/envelope.json");

fn read() -> Option<VectorFile> {
    let text = std::fs::read_to_string(PATH).ok()?;
    Some(serde_json::from_str(&text).expect("the vectors are JSON of the form declared here"))
}

fn disagreements(file: &VectorFile) -> Vec<String> {
    let judge = Judge::new(file);
    let mut wrong = Vec::new();
    for vector in &file.vectors {
        let expected = vector.refused.as_ref().map(|refusal| refusal.at.as_str());
        let got = judge.judge(&vector.case).err();
        if got != expected {
            wrong.push(format!("{}: refused at {got:?}, expected {expected:?}", vector.name));
        }
    }
    wrong
}

#[test]
fn every_vector_is_accepted_or_refused_as_it_says() {
    let file = read().expect("tests/vectors/envelope.json is there");
    assert_eq!(disagreements(&file), Vec::<String>::new());
}

/// A list that shrinks unnoticed shows less and less.
#[test]
fn the_file_has_every_kind_accepted_and_refused() {
    let file = read().expect("tests/vectors/envelope.json is there");
    let mut kinds = HashSet::new();
    let mut names = HashSet::new();
    for vector in &file.vectors {
        assert!(names.insert(&vector.name), "{} is there twice", vector.name);
        kinds.insert((std::mem::discriminant(&vector.case), vector.refused.is_some()));
    }
    assert_eq!(kinds.len(), 2 * 10, "ten kinds, each accepted and refused");
    assert!(file.vectors.len() >= 100, "only {} vectors", file.vectors.len());
}

#[test]
#[ignore = "writes tests/vectors/envelope.json"]
fn regenerate() {
    let keys = read().map_or_else(generate::new_keys, |file| file.keys);
    let file = generate::file(keys);
    let wrong = disagreements(&file);
    assert_eq!(wrong, Vec::<String>::new());
    let text = serde_json::to_string_pretty(&file).unwrap();
    std::fs::write(PATH, text + "\n").unwrap();
}
