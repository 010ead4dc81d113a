//! Names that somebody types, in any case of their letters: they lead to whom they know by key, whatever the server lists.

use chat_tests::{Rig, Scene, Server, operator, person, types};

use crate::suite::files::{folder, share};

/// Goal: whoever types a name in another case is understood at every command. (The build before found no
/// file of `ALICE`, shared with nobody, and had no history with `BOB`.)
#[test]
fn a_name_in_another_case_is_understood_by_every_command() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    bob.run(&["users"]).assert_code(0);
    let public = folder(&scene.rig, "public", "plan, plan.txt", &[("plan.txt", b"the plan")]);
    let private = folder(&scene.rig, "private", "note, note.txt", &[("note.txt", b"for bob")]);
    let target = scene.rig.path("fetched");
    std::fs::create_dir_all(&target).expect("made");
    let target = target.display().to_string();

    let _public = share(&alice, &public, "ALL");
    bob.run(&["get", "ALICE", "plan.txt", "-o", &target]).assert_code(0);

    let dave = scene.client("dave");
    let _private = share(&dave, &private, "BOB");
    bob.run(&["get", "Dave", "note.txt", "-o", &target]).assert_code(0);

    bob.run(&["send", "Alice", "hello"]).assert_code(0);
    let said = bob.run(&["history", "aLICE"]).expect_code(0);
    assert!(said.stdout.contains("you → alice: hello"), "{said:?}");

    let mut carol = scene.client("carol").chat();
    types(&mut carol, "Bob*hello", "kept for bob");
    carol.finish().assert_code(0);
}

/// Alice knows bob by his key. The server was put back behind his sign-up, and somebody else is `Bob` there now.
fn another_spelling(rig: &Rig) -> Server {
    let mut server = rig.server();
    let url = server.url().to_owned();
    rig.client("alice", &url).run(&["users"]).assert_code(0);
    let kept = rig.path("kept.tar");
    operator(rig, &["backup", kept.to_str().unwrap()]).assert_code(0);
    rig.client("bob", &url).run(&["users"]).assert_code(0);
    rig.client("alice", &url).run(&["send", "bob", "hello"]).assert_code(0);
    server.kill_hard();
    operator(rig, &["restore", kept.to_str().unwrap()]).assert_code(0);
    server.restart(rig, &[]);
    server
}

/// Goal: what is written to bob reaches nobody else. Before: the server's `Bob` was taken for the spelling of bob.
/// Method: as above; each way of naming somebody is tried in both spellings.
#[test]
fn a_name_never_leads_from_who_is_known_to_who_is_listed() {
    let rig = Rig::new();
    let server = another_spelling(&rig);
    let url = server.url();
    let other = person(&rig, url, "Bob");
    let alice = rig.client("alice", url);
    let lines =
        ["bob*secret 1", "Bob*secret 2", "BOB*secret 3", "/msg Bob secret 4", "@Bob secret 5"];
    let said = alice.pipe(&lines, &[]);
    assert!(said.stdout.contains("! Bob is not bob"), "{said:?}");
    for (name, text) in [("bob", "secret 6"), ("Bob", "secret 7")] {
        let sent = alice.run(&["send", name, text]);
        assert_ne!(sent.code, Some(0), "{sent:?}");
    }
    let run = alice.run(&["run", "-n", "Bob", "--", "secret 8"]);
    assert_ne!(run.code, Some(0), "{run:?}");
    rig.client("carol", url).run(&["send", "Bob", "the end"]).assert_code(0);
    other.stdout.wait_for_part("the end");
    let screen = other.stdout.text();
    assert!(!screen.contains("secret") && !screen.contains("alice → you"), "{screen}");
}

/// Goal: who is easily taken for somebody whose key is known is marked, whatever the list says and when. (The build
/// before never marked in `listen`, and in the chat only who came after the list.)
#[test]
fn who_looks_like_somebody_known_is_marked_in_what_was_missed() {
    let scene = Scene::empty();
    let [bob, laura, other] = ["bob", "laura", "Iaura"].map(|name| scene.client(name));
    bob.run(&["users"]).assert_code(0);
    laura.run(&["send", "bob", "hello"]).assert_code(0);
    bob.run(&["listen", "--count", "1"]).assert_code(0);
    for number in 0..2 {
        other.run(&["send", "bob", "hi"]).assert_code(0);
        let arguments = [&["listen", "--count", "1"][..], &["--json"][..number]].concat();
        let heard = bob.run(&arguments).expect_code(0);
        let mark = ["! Iaura is not laura", "\"look_alike\""][number];
        assert!(heard.stdout.contains(mark), "{heard:?}");
    }
}
