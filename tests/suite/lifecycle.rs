//! Starting, stopping and crashing.

use chat_tests::{Program, Rig, Scene, Server};

#[test]
fn sigterm_ends_the_server_well_and_tells_the_clients_why() {
    let rig = Rig::new();
    let server = rig.server();
    let alice = rig.client("alice", server.url()).chat();
    let ended = server.terminate().expect_code(0);
    assert!(ended.stderr.contains("stopping"), "{ended:?}");
    alice.stdout.wait_for_part("the server has stopped");
}

#[test]
fn what_was_acknowledged_survives_a_crash_right_after_it() {
    let mut scene = Scene::empty();
    let bob = scene.client("bob");
    bob.run(&["users"]).assert_code(0);
    let mut texts = Vec::new();
    for (round, sender) in [(1, "alice"), (2, "carol")] {
        let mut alice = scene.client(sender).chat();
        for number in 1..=25 {
            let text = format!("round {round} number {number}");
            alice.type_line(&format!("bob*{text}"));
            texts.push(text);
        }
        alice.stdout.wait_for_count(25, |line| line.contains("✓ kept for bob"));
        scene.server.kill_hard();
        alice.kill_hard();
        scene.server.restart(&scene.rig, &[]);
    }
    let received = bob.run(&["listen", "--count", "50", "--for", "30s", "--json"]).expect_code(0);
    let mut received = received.texts();
    // Each sender's are in order; between two conversations there is none.
    received.sort_by_key(|text| text.starts_with("round 2"));
    assert_eq!(received, texts);
}

#[test]
fn a_client_connects_again_and_what_it_sent_meanwhile_arrives_once() {
    let mut scene = Scene::empty();
    let bob = scene.client("bob").chat();
    // Who is not in the room yet does not get what is said there.
    bob.stdout.wait_for_part("you are in #lobby");
    let mut alice = scene.client("alice").chat();
    alice.type_line("before");
    bob.stdout.wait_for_part("alice: before");
    scene.server.kill_hard();
    for number in 1..=5 {
        alice.type_line(&format!("meanwhile {number};"));
    }
    scene.server.restart(&scene.rig, &[]);
    bob.stdout.wait_for_part("alice: meanwhile 5;");
    alice.finish().assert_code(0);
    let bob = bob.finish().expect_code(0);
    let shown: Vec<&str> = bob.stdout.lines().filter(|line| line.contains("meanwhile")).collect();
    assert_eq!(shown.len(), 5, "{bob:?}");
    for (line, number) in shown.iter().zip(1..) {
        assert!(line.ends_with(&format!("meanwhile {number};")), "{bob:?}");
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let scene = Scene::empty();
    let second = Program::start(Server::command(&scene.rig, "0", &[])).finish().expect_code(1);
    assert!(second.stderr.contains("another server uses the data folder"), "{second:?}");
    scene.accounts(&["alice"]);
}

#[test]
fn a_killed_server_leaves_no_lock_behind() {
    let mut scene = Scene::empty();
    scene.server.restart(&scene.rig, &[]);
    scene.accounts(&["alice"]);
}

#[test]
fn a_port_in_use_is_refused() {
    let scene = Scene::empty();
    let other = Rig::new();
    let second = Program::start(Server::command(&other, scene.server.port(), &[])).finish();
    let second = second.expect_code(1);
    assert!(second.stderr.contains(scene.server.port()), "{second:?}");
}

#[test]
fn no_server_is_exit_3() {
    let rig = Rig::new();
    let server = rig.server();
    let alice = rig.client("alice", server.url());
    alice.run(&["users"]).assert_code(0);
    server.terminate().assert_code(0);
    let nobody = alice.run(&["users"]).expect_code(3);
    assert!(nobody.stderr.contains("cannot reach"), "{nobody:?}");
}
