//! TLS, and no way around it beyond this machine.

use chat_tests::{Program, Rig, Server};

#[test]
fn the_first_certificate_is_pinned_and_another_one_is_refused() {
    let rig = Rig::new();
    let mut server = rig.server_with(&["--tls", "auto"]);
    assert!(server.url().starts_with("wss://"), "{}", server.url());
    server.program().stderr.wait_for_part("certificate fingerprint");
    let alice = rig.client("alice", server.url());
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", "over TLS"]).assert_code(0);
    let received = bob.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert_eq!(received.texts(), ["over TLS"]);
    server.restart(&rig, &["--tls", "auto"]);
    alice.run(&["users"]).assert_code(0);
    server.kill_hard();
    std::fs::remove_dir_all(rig.data().join("tls")).unwrap();
    server.restart(&rig, &["--tls", "auto"]);
    let refused = alice.run(&["users"]).expect_code(7);
    assert!(refused.stderr.contains("HAS CHANGED"), "{refused:?}");
}

#[test]
fn beyond_this_machine_the_server_wants_tls_or_a_loud_flag() {
    let rig = Rig::new();
    let refused = Program::start(Server::command(&rig, "0", &["--bind", "0.0.0.0"])).finish();
    let refused = refused.expect_code(2);
    assert!(refused.stderr.contains("--tls auto"), "{refused:?}");
    let server = rig.server_with(&["--bind", "0.0.0.0", "--insecure-plaintext"]);
    server.program().stderr.wait_for_part("INSECURE");
    let ended = server.terminate().expect_code(0);
    assert!(ended.stderr.contains("INSECURE"), "{ended:?}");
    let server = rig.server_with(&["--bind", "0.0.0.0", "--tls", "auto"]);
    assert!(server.url().starts_with("wss://"), "{}", server.url());
}
