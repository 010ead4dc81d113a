//! `--trace-crypto`: the encryption can be watched in all three places, and gives nothing away.

use chat_tests::{PASSWORD, Rig, Scene};

const TEXT: &str = "meet me where the heron stands at noon";

/// The block of the frame with this id in the trace at `path`.
fn block(trace: &str, id: &str) -> String {
    let is_frame = |line: &&str| line.trim_start().starts_with("frame") && line.contains(id);
    let lines: Vec<&str> = trace.lines().collect();
    let at = lines.iter().position(is_frame);
    let at = at.unwrap_or_else(|| panic!("no block of {id} in:\n{trace}"));
    let rest = lines[at..].iter().take_while(|line| line.starts_with(' '));
    rest.fold(String::new(), |block, line| block + line + "\n")
}

fn line(block: &str, name: &str) -> String {
    let found = block.lines().find(|line| line.trim_start().starts_with(name));
    found.unwrap_or_else(|| panic!("no {name} in:\n{block}")).trim().to_owned()
}

#[test]
fn sender_hub_and_recipient_tell_the_same_digest_and_no_secret() {
    let rig = Rig::new();
    let paths = ["hub", "alice", "bob"].map(|name| rig.path(&format!("{name}.trace")));
    let flags = paths.each_ref().map(|path| format!("--trace-crypto={}", path.display()));
    let server = rig.server_with(&[flags[0].as_str()]);
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    bob.run(&["users"]).assert_code(0);
    let sent = alice.run(&["send", "bob", TEXT, "--json", flags[1].as_str()]).expect_code(0);
    let id = sent.events_named("ack")[0]["id"].as_str().expect("an id").to_owned();
    let heard = bob.run(&["listen", "--count", "1", "--json", flags[2].as_str()]).expect_code(0);
    assert_eq!(heard.texts(), [TEXT]);

    let traces = paths.map(|path| std::fs::read_to_string(path).expect("a trace"));
    let blocks = traces.each_ref().map(|trace| block(trace, &id));
    for name in ["signed", "signature", "header", "body", "sealed", "size"] {
        let lines = blocks.each_ref().map(|block| line(block, name));
        assert!(lines[0] == lines[1] && lines[1] == lines[2], "{lines:?}");
    }
    assert!(line(&blocks[0], "signed").contains("\"chat-e2e/1 msg\", sha256 "), "{}", blocks[0]);
    assert!(line(&blocks[0], "verdict").contains("verified with key"), "{}", blocks[0]);
    assert!(line(&blocks[1], "verdict").contains("signed here"), "{}", blocks[1]);
    assert!(line(&blocks[2], "verdict").contains("opened with message key 0"), "{}", blocks[2]);
    // The epoch: wrapped for both by the sender, carried by the hub, opened by the recipient.
    for trace in &traces[..2] {
        for name in ["alice", "bob"] {
            let is_wrap = |line: &str| line.contains("RSA-OAEP, for key") && line.ends_with(name);
            assert!(trace.lines().any(is_wrap), "{trace}");
        }
    }
    assert!(traces[2].contains("the key fits its commitment"), "{}", traces[2]);
    for trace in &traces {
        assert!(!trace.contains("heron") && !trace.contains(PASSWORD), "{trace}");
    }
}

#[test]
fn a_trace_goes_to_standard_error_unless_a_file_is_named() {
    let scene = Scene::empty();
    scene.accounts(&["bob"]);
    let alice = scene.client("alice");
    let told = alice.run(&["--trace-crypto", "send", "bob", TEXT]).expect_code(0);
    assert!(told.stderr.contains("alice sends") && !told.stdout.contains("sends"), "{told:?}");
    let silent = alice.run_known(&["send", "bob", TEXT]).expect_code(0);
    assert!(!silent.stderr.contains("sha256"), "{silent:?}");
}
