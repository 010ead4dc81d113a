//! TLS, and no way around it beyond this machine.

use chat_tests::{Program, Rig, Server};

#[test]
fn the_first_certificate_is_pinned_and_another_one_is_refused() {
    let rig = Rig::new();
    let mut server = rig.server_with(&["--tls", "auto"]);
    assert!(server.url().starts_with("wss://"), "{}", server.url());
    server.program().stderr.wait_for_part("certificate: sha256:");
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
    let (words, _) = fingerprint(&rig);
    let words = words.strip_prefix("words: ").expect("the words");
    assert!(refused.stderr.contains(words), "{refused:?}");
    let forget = format!("--home '{}' servers forget", alice.home().display());
    assert!(refused.stderr.contains(&forget), "{refused:?}");
    // It is the same server: its words take the new certificate.
    alice.run(&["--accept-server", words, "users"]).assert_code(0);
    alice.run(&["users"]).assert_code(0);
    assert!(alice.run(&["servers"]).expect_code(0).stdout.contains(words));
    let other = "abandon ability able about above absent";
    alice.run_known(&["verify", "server", "--accept-server", other]).assert_code(7);

    let url = server.url().to_owned();
    alice.run(&["servers", "forget", &url]).assert_code(0);
    alice.run(&["servers", "forget", &url]).assert_code(1);
    assert_eq!(alice.run(&["servers"]).expect_code(0).stdout, "");
    let again = alice.run(&["users"]).expect_code(0);
    assert!(again.stderr.contains(&format!("{url} is pinned")), "{again:?}");
    let listed = alice.run(&["servers"]).expect_code(0);
    assert!(listed.stdout.starts_with(&format!("{url}  ")), "{listed:?}");
}

/// The two lines that people compare, as the server prints them.
fn fingerprint(rig: &Rig) -> (String, String) {
    let program = Server::command(rig, "0", &[]).get_program().to_owned();
    let mut command = std::process::Command::new(program);
    command.arg("fingerprint").arg("--data").arg(rig.data());
    let said = Program::start(command).finish().expect_code(0);
    let [words, certificate] = said.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{said:?}")
    };
    (words.to_owned(), certificate.to_owned())
}

#[test]
fn server_and_client_show_the_same_words_and_certificate() {
    let rig = Rig::new();
    let server = rig.server_with(&["--tls", "auto"]);
    let (words, certificate) = fingerprint(&rig);
    for line in [&words, &certificate] {
        server.program().stderr.wait_for_part(line);
    }
    let alice = rig.client("alice", server.url());
    for how in [&["verify", "--server"][..], &["verify", "server"], &["verify"]] {
        let shown = alice.run_known(how).expect_code(0);
        let lines: Vec<&str> = shown.stdout.lines().collect();
        assert!(lines.contains(&words.as_str()), "{shown:?}");
        assert!(lines.contains(&certificate.as_str()), "{shown:?}");
    }
    assert!(!alice.home().exists(), "looking pins nobody");
    let event = alice.run_known(&["verify", "--server", "--json"]).expect_code(0).events();
    let event = event.first().expect("one event");
    assert_eq!(format!("words: {}", event["words"].as_str().expect("words")), words);
    assert_eq!(event["known"], false);
}

#[test]
fn a_server_elsewhere_that_nobody_vouches_for_is_asked_about() {
    let rig = Rig::unprepared();
    let server = rig.server_with(&["--tls", "auto"]);
    let (words, certificate) = fingerprint(&rig);
    let words = words.strip_prefix("words: ").expect("the words");
    // The system takes this address to this machine, and it is none of a loopback.
    let url = server.url().replace("127.0.0.1", "0.0.0.0");
    let alice = rig.client("alice", &url);
    let refused = alice.run(&["users"]).expect_code(7);
    assert!(refused.stderr.contains(words) && refused.stderr.contains(&certificate), "{refused:?}");
    let other = "abandon ability able about above absent";
    let refused = alice.run(&["--accept-server", other, "users"]).expect_code(7);
    assert!(refused.stderr.contains(words), "{refused:?}");
    assert!(!alice.home().exists(), "nothing is pinned");
    alice.run(&["--insecure", "users"]).assert_code(0);
    alice.run(&["users"]).assert_code(7);
    alice.run(&["--accept-server", words, "users"]).assert_code(0);
    alice.run(&["users"]).assert_code(0);

    for (typed, code) in [("y", 7), ("yes", 0)] {
        let bob = rig.client("bob", &url);
        let mut terminal = bob.at_terminal(&["--register", "users"]);
        terminal.wait_for(words);
        terminal.answer("Type yes if they are the same, or the six words: ", typed);
        if code == 0 {
            for question in ["New password for bob: ", "The same password again: "] {
                terminal.answer(question, chat_tests::PASSWORD);
            }
        }
        assert_eq!(terminal.wait(), Some(code), "{}", terminal.text());
    }
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
