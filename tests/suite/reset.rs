//! Somebody who has lost the password enters again under the same name, with a code of the operator.

use chat_tests::{Client, PASSWORD, Rig, Scene, operator, types};

/// The code that `user reset` prints.
fn reset_code(rig: &Rig, name: &str) -> String {
    let made = operator(rig, &["user", "reset", name, "--json"]).expect_code(0);
    made.events()[0]["code"].as_str().expect("a code").to_owned()
}

/// The six words of somebody's key, as another machine shows them.
fn words(client: &Client, of: &str) -> String {
    let shown = client.run_known(&["verify", of, "--json"]).expect_code(0);
    let shown = shown.events_named("verify");
    shown[0]["other"]["words"].as_str().expect("words").to_owned()
}

#[test]
fn who_lost_the_password_enters_once_with_a_code_and_everybody_is_warned() {
    let mut scene = Scene::empty();
    let alice = scene.client("alice");
    let laptop = scene.client("alice").with_home(scene.rig.path("alice-laptop"));
    let mut old = scene.person("alice");
    let mut bob = scene.person("bob");
    types(&mut old, "/create club private", "you are in #club");
    types(&mut old, "/invite bob", "bob");
    types(&mut old, "bob*before", "delivered to bob");
    bob.stdout.wait_for_part("alice → you: before");
    laptop.run_known(&["users"]).assert_code(0);

    // Only who has the account's code gets in, and nobody's devices are cut before.
    operator(&scene.rig, &["user", "reset", "nobody"]).assert_code(1);
    operator(&scene.rig, &["user", "reset", "server"]).assert_code(1);
    let code = reset_code(&scene.rig, "alice");
    let wrong = scene
        .client("alice")
        .with_home(scene.rig.path("wrong"))
        .with_password("quite-another-one-9-here");
    let refused = wrong.run(&["--invite", "0000-0000-0000-0000", "users"]).expect_code(5);
    assert!(refused.stderr.contains("E_NAME_TAKEN"), "{refused:?}");
    let bobs = scene
        .client("bob")
        .with_home(scene.rig.path("wrong"))
        .with_password("quite-another-one-9-here");
    bobs.run(&["--invite", &code, "users"]).assert_code(5);
    types(&mut old, "still here", "✓ stored");

    // On a machine that has the old home, with a new password.
    let alice = alice.with_password("quite-another-one-9-here");
    let entered = alice.run_known(&["--invite", &code, "users"]).expect_code(0);
    assert!(entered.stderr.contains("lets you in as alice with new keys"), "{entered:?}");
    assert!(entered.stderr.contains("is in"), "the old home is kept: {entered:?}");
    let ended = old.wait();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.stderr.contains("has another identity now"), "{ended:?}");
    let out = laptop.run_known(&["users"]).expect_code(4);
    assert!(out.stderr.contains("E_REVOKED"), "{out:?}");
    let again = scene
        .client("alice")
        .with_home(scene.rig.path("again"))
        .with_password("yet-another-one-7-there");
    again.run(&["--invite", &code, "users"]).assert_code(5);

    // Everybody who knew the old key is warned, and nothing goes to the new one until it is trusted.
    bob.stdout.wait_for_part("key_changed: alice");
    let mut new = alice.chat();
    types(&mut bob, "alice*for whom?", "/trust alice");
    types(&mut new, "here I am again", "✓ stored");
    let shown = words(&scene.client("bob"), "alice");
    types(&mut bob, &format!("/trust alice {shown}"), "the known one of alice now");
    types(&mut bob, "alice*welcome", "delivered to alice");
    new.stdout.wait_for_part("bob → you: welcome");
    types(&mut bob, "and here", "✓ stored");
    new.stdout.wait_for_part("#lobby bob: and here");
    types(&mut new, "/join club", "private");
    let seen = new.stdout.text();
    assert!(!seen.contains("before") && !seen.contains("for whom?"), "{seen}");
    new.type_line("/quit");
    // The private room was refused.
    new.finish().assert_code(6);

    // After a restart, too: the new one is alice, the old one is not.
    scene.server.restart(&scene.rig, &[]);
    alice.run_known(&["users"]).assert_code(0);
    laptop.run_known(&["users"]).assert_code(4);
    scene
        .rig
        .client("alice", scene.url())
        .with_home(scene.rig.path("third"))
        .run_known(&["users"])
        .assert_code(4);
    assert_ne!(PASSWORD, "quite-another-one-9-here");
}

/// Goal: a code that lets nobody in is called that, and not a wrong password. Method: a mistyped and a used one,
/// with and without a home; and the right password, which goes on.
#[test]
fn a_code_that_lets_nobody_in_is_called_that() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    let code = reset_code(&scene.rig, "alice");
    let said = |client: &Client, code: &str| {
        let refused = client.run_known(&["--invite", code, "users"]).expect_code(4);
        let is_said = refused.stderr.contains("the code lets nobody in as alice");
        assert!(is_said && refused.stderr.contains("E_INVITE"), "{refused:?}");
        assert!(!refused.stderr.contains("wrong password"), "{refused:?}");
    };
    let with = |home: &str| {
        let client = scene.client("alice").with_home(scene.rig.path(home));
        client.with_password("quite-another-one-9-here")
    };
    said(&with("mistyped"), "0000-0000-0000-0000");
    said(&scene.client("alice").with_password("quite-another-one-9-here"), "0000");
    alice.run_known(&["--invite", "0000-0000-0000-0000", "users"]).assert_code(0);
    with("first").run_known(&["--invite", &code, "users"]).assert_code(0);
    let other = scene.client("alice").with_home(scene.rig.path("used"));
    said(&other.with_password("yet-another-one-7-there"), &code);
}

/// Goal: an admin lets somebody who has entered anew into a private room again, and both read each other there;
/// whoever wrote to the old key is told what it loses.
#[test]
fn who_entered_anew_comes_into_a_private_room_again() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    alice.run(&["users"]).assert_code(0);
    let mut bob = scene.person("bob");
    types(&mut bob, "/create club private", "you are in #club");
    types(&mut bob, "/invite alice", "added alice to #club");
    types(&mut bob, "alice*for the old key", "kept for alice");
    let code = reset_code(&scene.rig, "alice");
    let alice = alice.with_password("quite-another-one-9-here");
    alice.run_known(&["--invite", &code, "users"]).assert_code(0);
    bob.stdout.wait_for_part("key_changed: alice");
    let mut new = alice.chat();
    let shown = words(&scene.client("bob"), "alice");
    let lost = "one message to them without a receipt is for the old key";
    types(&mut bob, &format!("/trust alice {shown}"), lost);
    types(&mut bob, "/invite alice", "[bob] added alice to #club");
    new.stdout.wait_for_part("bob added you to #club");
    types(&mut bob, "welcome back", "✓ stored");
    new.stdout.wait_for_part("#club bob: welcome back");
    types(&mut new, "/room club", "#club");
    types(&mut new, "here again", "✓ stored");
    bob.stdout.wait_for_part("alice: here again");
    assert!(!new.stdout.text().contains("for the old key"), "{}", new.stdout.text());
}
