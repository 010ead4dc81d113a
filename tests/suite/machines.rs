//! One person on two machines.

use chat_tests::{Client, Finished, Program, Rig, Scene, Server};

fn machines(rig: &Rig, server: &Server) -> [Client; 2] {
    ["alice-desk", "alice-laptop"]
        .map(|home| rig.client("alice", server.url()).with_home(rig.path(home)))
}

/// How often a line with this part stands in what a program said.
fn count(said: &str, part: &str) -> usize {
    said.lines().filter(|line| line.contains(part)).count()
}

fn quit(mut program: Program) -> Finished {
    program.type_line("/quit");
    program.finish().expect_code(0)
}

#[test]
fn both_machines_show_what_comes_and_what_the_other_one_says_once() {
    let scene = Scene::empty();
    let [desk, laptop] = machines(&scene.rig, &scene.server);
    desk.run(&["users"]).assert_code(0);
    let bob = scene.client("bob");
    let (mut bobs, mut desks) = (bob.chat(), desk.chat());
    bobs.type_line("alice*for the desk");
    desks.stdout.wait_for_part("for the desk");
    let mut laptops = laptop.chat();
    // At once, in a conversation that bob has been in already.
    bobs.type_line("alice*for both of you");
    for program in [&desks, &laptops] {
        program.stdout.wait_for_part("bob → you: for both of you");
    }
    desks.type_line("bob*from the desk");
    laptops.stdout.wait_for_part("you → bob: from the desk");
    laptops.type_line("to everybody from the laptop");
    desks.stdout.wait_for_part("#lobby you: to everybody from the laptop");
    bobs.stdout.wait_for_part("alice → you: from the desk");
    bobs.stdout.wait_for_part("#lobby alice: to everybody from the laptop");
    bobs.stdout.wait_for_count(2, |line| line.contains("delivered to alice"));
    let (bobs, desks, laptops) = (quit(bobs), quit(desks), quit(laptops));
    assert_eq!(count(&bobs.stdout, "delivered to alice"), 2, "a person counts once: {bobs:?}");
    for said in [&desks.stdout, &laptops.stdout] {
        assert_eq!(count(said, "for both of you"), 1, "{said}");
    }
    assert_eq!(count(&laptops.stdout, "for the desk"), 0, "from before its time");
    for said in [&bobs, &desks, &laptops] {
        assert!(!said.stdout.contains("ALARM") && !said.stdout.contains("missing"), "{said:?}");
    }
    let again = laptop.run_known(&["listen", "--for", "500ms"]).expect_code(0);
    assert_eq!(again.stdout.matches("for both").count(), 0, "shown once: {again:?}");
}

#[test]
fn a_machine_that_was_away_catches_up_with_its_own_cursor_over_a_restart() {
    let mut scene = Scene::empty();
    let [desk, laptop] = machines(&scene.rig, &scene.server);
    desk.run(&["users"]).assert_code(0);
    laptop.run_known(&["users"]).assert_code(0);
    let bob = scene.client("bob");
    bob.run(&["send", "alice", "first"]).assert_code(0);
    let listen = |client: &Client| client.run_known(&["listen", "--count", "1", "--json"]).texts();
    assert_eq!(listen(&desk), ["first"]);
    desk.run_known(&["send", "bob", "second"]).assert_code(0);
    scene.server.restart(&scene.rig, &[]);
    bob.run_known(&["send", "alice", "third"]).assert_code(0);
    assert_eq!(listen(&desk), ["third"]);
    let missed = laptop.run_known(&["listen", "--count", "3", "--json"]).expect_code(0);
    assert_eq!(missed.texts(), ["first", "second", "third"]);
    let of = |index: usize, field: &str| missed.events_named("message")[index][field].clone();
    assert_eq!((of(1, "from"), of(1, "to")), ("alice".into(), "bob".into()));
    let receipts = bob.run_known(&["listen", "--for", "1s", "--json"]).expect_code(0);
    let mut receipts = receipts.events_named("ack");
    receipts.retain(|ack| ack["stage"] == "delivered");
    assert_eq!(receipts.len(), 2, "one for each message: {receipts:?}");
}

#[test]
fn a_command_for_a_person_runs_on_the_machine_that_is_the_agent() {
    let scene = Scene::empty();
    let [desk, laptop] = machines(&scene.rig, &scene.server);
    desk.run(&["users"]).assert_code(0);
    laptop.run_known(&["users"]).assert_code(0);
    let _laptop = laptop.chat();
    let refused = scene.client("bob").run(&["run", "alice", "--", "true"]);
    assert_eq!(refused.code, Some(255), "no agent yet: {refused:?}");
    let agent = desk.start(&["agent"]);
    agent.stderr.wait_for_part("accepting commands");
    let asked = scene.client("bob").run_known(&["run", "alice", "--", "true"]);
    assert!(asked.stderr.contains("E_POLICY"), "the agent decides, and has no policy: {asked:?}");
}
