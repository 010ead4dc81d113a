//! Names, passwords, and who may use them.

use chat_tests::{Program, Scene};

#[test]
fn an_account_is_made_once_and_signs_in_again() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    let again = alice.run_known(&["users"]).expect_code(0);
    assert!(again.stdout.contains("alice"), "{again:?}");
}

#[test]
fn an_unknown_name_is_not_made_without_being_asked_to() {
    let scene = Scene::empty();
    let nobody = scene.client("nobody").run_known(&["users"]);
    assert_ne!(nobody.code, Some(0), "{nobody:?}");
    let alice = scene.client("alice").run(&["users"]).expect_code(0);
    assert!(!alice.stdout.contains("nobody"), "{alice:?}");
}

#[test]
fn a_wrong_password_is_told_so() {
    let scene = Scene::empty();
    scene.accounts(&["alice"]);
    let wrong = scene.client("alice").with_password("something else entirely");
    let refused = wrong.run(&["users"]).expect_code(4);
    assert!(refused.stderr.contains("wrong password"), "{refused:?}");
    scene.client("alice").run(&["users"]).assert_code(0);
}

#[test]
fn a_name_belongs_to_whoever_made_it() {
    let scene = Scene::empty();
    scene.accounts(&["alice"]);
    for name in ["alice", "ALICE"] {
        let thief = scene.client(name).with_home(scene.rig.path(&format!("other-{name}")));
        let refused = thief.with_password("quite another password").run(&["users"]).expect_code(5);
        assert!(refused.stderr.contains("E_NAME_TAKEN"), "{refused:?}");
    }
}

#[test]
fn names_that_break_a_rule_are_refused_with_the_rule() {
    let scene = Scene::empty();
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
        let refused = scene.client(name).with_home(scene.rig.path("home")).run(&["users"]);
        assert_eq!(refused.code, Some(2), "{name:?}: {refused:?}");
        assert!(refused.stderr.contains(rule), "{name:?}: {refused:?}");
        assert!(!refused.stderr.contains('\u{7}'), "{name:?}: {refused:?}");
    }
    let longest = "y".repeat(32);
    scene.client(&longest).run(&["users"]).assert_code(0);
}

#[test]
fn a_second_line_mode_of_the_same_name_is_refused_and_the_first_goes_on() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
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
