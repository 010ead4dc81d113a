//! Every file of every corpus, through the function that the fuzzer gave it to.

use std::path::Path;

#[test]
fn every_file_of_every_corpus_passes() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in chat_fuzz_targets::TARGETS {
        let mut count = 0;
        for entry in std::fs::read_dir(corpora.join(name)).expect(name) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&std::fs::read(path).unwrap());
            count += 1;
        }
        assert!(count >= 5, "{name} has {count} files");
    }
    let folders = std::fs::read_dir(corpora).unwrap().count();
    assert_eq!(folders, chat_fuzz_targets::TARGETS.len(), "a corpus without a target");
}

#[test]
fn every_target_is_fuzzed() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let manifest = std::fs::read_to_string(targets.join("../Cargo.toml")).unwrap();
    for (name, _) in chat_fuzz_targets::TARGETS {
        let text = std::fs::read_to_string(targets.join(format!("{name}.rs"))).expect(name);
        assert!(text.contains(&format!("chat_fuzz_targets::{name}(")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
