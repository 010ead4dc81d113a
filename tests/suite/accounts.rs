//! Names, passwords, and who may use them.

use chat_tests::{Program, Rig};

#[test]
fn an_account_is_made_once_and_signs_in_again() {
    let rig = Rig::new();
    let server = rig.server();
    let alice = rig.client("alice", server.url());
    alice.run(&["users"]).assert_code(0);
    let again = alice.run_known(&["users"]).expect_code(0);
    assert!(again.stdout.contains("alice"), "{again:?}");
}

#[test]
fn an_unknown_name_is_not_made_without_being_asked_to() {
    let rig = Rig::new();
    let server = rig.server();
    let nobody = rig.client("nobody", server.url()).run_known(&["users"]);
    assert_ne!(nobody.code, Some(0), "{nobody:?}");
    let alice = rig.client("alice", server.url()).run(&["users"]).expect_code(0);
    assert!(!alice.stdout.contains("nobody"), "{alice:?}");
}

#[test]
fn a_wrong_password_is_told_so() {
    let rig = Rig::new();
    let server = rig.server();
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
    let wrong = rig.client("alice", server.url()).with_password("something else entirely");
    let refused = wrong.run(&["users"]).expect_code(4);
    assert!(refused.stderr.contains("wrong password"), "{refused:?}");
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
}

#[test]
fn a_name_belongs_to_whoever_made_it() {
    let rig = Rig::new();
    let server = rig.server();
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
    for name in ["alice", "ALICE"] {
        let thief = rig.client(name, server.url()).with_home(rig.path(&format!("other-{name}")));
        let refused = thief.with_password("quite another password").run(&["users"]).expect_code(5);
        assert!(refused.stderr.contains("E_NAME_TAKEN"), "{refused:?}");
    }
}

#[test]
fn names_that_break_a_rule_are_refused_with_the_rule() {
    let rig = Rig::new();
    let server = rig.server();
    let long = "x".repeat(33);
    let names = [
        ("ALL", "reserved"),
        ("all", "reserved"),
        ("Server", "reserved"),
        ("a b", "holds letters, digits"),
        ("a*b", "holds letters, digits"),
        ("a\u{7}b", "holds letters, digits"),
        ("ünal", "holds letters, digits"),
        ("", "empty"),
        (long.as_str(), "at most 32"),
    ];
    for (name, rule) in names {
        let refused = rig.client(name, server.url()).with_home(rig.path("home")).run(&["users"]);
        assert_eq!(refused.code, Some(2), "{name:?}: {refused:?}");
        assert!(refused.stderr.contains(rule), "{name:?}: {refused:?}");
        assert!(!refused.stderr.contains('\u{7}'), "{name:?}: {refused:?}");
    }
    let longest = "y".repeat(32);
    rig.client(&longest, server.url()).run(&["users"]).assert_code(0);
}

#[test]
fn a_second_line_mode_of_the_same_name_is_refused_and_the_first_goes_on() {
    let rig = Rig::new();
    let server = rig.server();
    let alice = rig.client("alice", server.url());
    let first = alice.chat();
    let second = alice.start(&[]).wait().expect_code(5);
    assert!(second.stderr.contains("E_NAME_IN_USE"), "{second:?}");
    let one_shot = alice.run(&["users"]).expect_code(0);
    assert!(one_shot.stdout.contains("alice"), "{one_shot:?}");
    say(first, "still here").assert_code(0);
}

fn say(mut program: Program, line: &str) -> chat_tests::Finished {
    program.type_line(line);
    program.finish()
}
