//! What a program shows nobody, it does not keep.

use chat_tests::{Client, Program, Rig, Server};

/// More than is left for another program of a home.
const MANY: usize = 100;

/// So many are.
const LEFT: usize = 64;

/// Alice says many things to somebody whose program shows none of them.
fn say_many(rig: &Rig, server: &Server, to: &str) {
    let mut alice: Program = rig.client("alice", server.url()).chat();
    for number in 0..MANY {
        alice.type_line(&format!("{to}*number {number}"));
    }
    let delivered = format!("delivered to {to}");
    alice.stdout.wait_for_count(MANY, |line| line.contains(&delivered));
    alice.type_line("/quit");
    alice.finish().assert_code(0);
}

fn stop(mut program: Program) {
    program.terminate();
    program.wait().assert_code(130);
}

/// What is left for whoever listens in this home, and what the history has.
fn left(client: &Client) -> (Vec<String>, usize) {
    let listened = client.run_known(&["listen", "--for", "1s", "--json"]).expect_code(0);
    let history = client.run_known(&["history", "alice", "--count", "1000", "--json"]);
    (listened.texts(), history.events_named("history").len())
}

#[test]
fn an_agent_keeps_nothing_that_is_no_command() {
    let rig = Rig::new();
    let server = rig.server();
    let machine = rig.client("web1", server.url());
    let agent = machine.start(&["agent"]);
    agent.stderr.wait_for_part("accepting commands");
    say_many(&rig, &server, "web1");
    stop(agent);
    assert_eq!(left(&machine), (Vec::new(), 0));
}

#[test]
fn a_share_leaves_the_newest_to_a_listener_and_the_others_to_the_history() {
    let rig = Rig::new();
    let server = rig.server();
    let bob = rig.client("bob", server.url());
    let folder = rig.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plan.txt"), "a plan").unwrap();
    std::fs::write(folder.join("keyword.txt"), "plan, plan.txt\n").unwrap();
    let share = bob.start(&["share", folder.to_str().unwrap(), "--to", "ALL", "--json"]);
    share.stdout.wait_for("the list is at the server", |line| line.contains("\"shared\""));
    say_many(&rig, &server, "bob");
    stop(share);
    let (texts, kept) = left(&bob);
    let newest: Vec<String> =
        (MANY - LEFT..MANY).map(|number| format!("number {number}")).collect();
    assert_eq!((texts, kept), (newest, MANY));
}
