//! Several servers that share a log in Redis: what people see of them, and what becomes of them.

use std::process::Command;
use std::time::{Duration, Instant};

use chat_tests::{
    LIMIT, Program, Redis, Rig, Server, Signal, get, is_redis_wanted, node, node_again,
    node_command, person, types, until, within,
};

/// How long a server that died is shown as if it lived.
const DEAD_SHOWN_MAX: Duration = Duration::from_secs(12);

/// How long the people of a server that is stopped are away, on a busy machine.
const STOPPED_AWAY_MAX: Duration = Duration::from_secs(10);

/// Two servers with somebody at each.
struct Pair {
    // The people and the servers end before the folders go.
    alice: Program,
    bob: Program,
    one: Server,
    two: Server,
    redis: Redis,
    rig: Rig,
}

impl Pair {
    fn open() -> Option<Self> {
        if !is_redis_wanted() {
            return None;
        }
        let rig = Rig::new();
        let redis = Redis::start(&rig, &[]);
        let (one, two) = (node(&rig, &redis, "n1"), node(&rig, &redis, "n2"));
        let alice = person(&rig, one.url(), "alice");
        let bob = person(&rig, two.url(), "bob");
        Some(Self { alice, bob, one, two, redis, rig })
    }
}

/// What readiness says, and whether it is that.
fn readiness(server: &Server) -> (u16, String) {
    let answer = get(server.address(), "/readyz?verbose", &[]);
    (answer.status, answer.body)
}

#[test]
fn people_at_two_servers_talk_as_at_one() {
    let Some(mut pair) = Pair::open() else { return };
    let Pair { alice, bob, .. } = &mut pair;
    alice.type_line("hello from one");
    bob.stdout.wait_for_part("#lobby alice: hello from one");
    bob.type_line("hello from two");
    alice.stdout.wait_for_part("#lobby bob: hello from two");
    alice.type_line("bob*for you alone");
    bob.stdout.wait_for_part("alice → you: for you alone");
    alice.stdout.wait_for_part("delivered to bob");
    types(alice, "/join room1", "you are in #room1");
    types(bob, "/join room1", "you are in #room1");
    alice.stdout.wait_for_part("[bob] joined #room1");
    bob.type_line("in the room");
    alice.stdout.wait_for_part("#room1 bob: in the room");
    types(bob, "/rooms", "#room1");
    types(bob, "/users", "alice                            online");
    types(bob, "/run server -- uname -s", "server: done");
    types(bob, "/subscribe alice", "you follow alice now");
    alice.stdout.wait_for_part("★ bob follows you now");
}

/// Goal: what was said while a server was dead comes when it is back, and who was there is shown as gone in time.
#[test]
fn a_server_that_dies_takes_its_people_along_and_comes_back_with_everything() {
    let Some(Pair { mut alice, bob, one, mut two, redis, rig }) = Pair::open() else { return };
    let died = Instant::now();
    two.kill_hard();
    alice.stdout.wait_for_part("[bob] just left");
    assert!(died.elapsed() <= DEAD_SHOWN_MAX, "{:?}", died.elapsed());
    alice.type_line("bob*while you were away");
    alice.stdout.wait_for_part("kept for bob");
    let two = node_again(&rig, &redis, "n2", &two);
    bob.stdout.wait_for_part("alice → you: while you were away");
    alice.stdout.wait_for_part("delivered to bob");
    // The other one, and at once again.
    let mut one = one;
    one.kill_hard();
    let one = node_again(&rig, &redis, "n1", &one);
    alice.stdout.wait_for_count(2, |line| line.contains("connected to"));
    alice.type_line("bob*still here");
    bob.stdout.wait_for_part("alice → you: still here");
    drop((one, two));
}

/// Goal: a server that is stopped in order takes nobody's place: its people are seen to leave at once, and come in at
/// another one. Before: they were there for ever, and no other server let them in.
#[test]
fn the_people_of_a_server_that_is_stopped_come_in_at_another() {
    let Some(Pair { mut alice, bob, one, two, redis, rig }) = Pair::open() else { return };
    drop(bob);
    alice.stdout.wait_for_part("[bob] just left");
    let servers = format!("{},{}", two.url(), one.url());
    let bob = rig.client("bob", &servers).chat();
    bob.stdout.wait_for_part("connected to");
    let stopped = Instant::now();
    two.program().signal(Signal::TERM);
    bob.stdout.wait_for_count(2, |line| line.contains("connected to"));
    assert!(stopped.elapsed() < STOPPED_AWAY_MAX, "{:?}", stopped.elapsed());
    alice.type_line("bob*here now");
    bob.stdout.wait_for_part("alice → you: here now");
    drop((one, two, redis));
}

/// Goal: Redis may be killed, and nothing that was said is lost or comes twice.
#[test]
fn a_redis_that_is_killed_and_comes_back_loses_and_doubles_nothing() {
    let Some(Pair { mut alice, bob, one, two, mut redis, rig }) = Pair::open() else { return };
    for round in 0..3 {
        alice.type_line(&format!("bob*before {round}"));
        bob.stdout.wait_for_part(&format!("before {round}"));
        redis.kill();
        alice.type_line(&format!("bob*meanwhile {round}"));
        redis.run(&[]);
        bob.stdout.wait_for_part(&format!("meanwhile {round}"));
    }
    alice.type_line("bob*the last");
    bob.stdout.wait_for_part("the last");
    let said = bob.stdout.text();
    for round in 0..3 {
        for what in [format!("before {round}"), format!("meanwhile {round}")] {
            assert_eq!(said.matches(&what).count(), 1, "{what}: {said}");
        }
    }
    drop((one, two, rig));
}

/// Goal: while Redis stands still nothing is acknowledged and nothing refused, and both servers say why.
#[test]
fn while_redis_is_away_nobody_is_told_yes_or_no() {
    let Some(Pair { mut alice, bob, one, two, redis, rig }) = Pair::open() else { return };
    redis.signal(Signal::STOP);
    let stopped = Instant::now();
    alice.type_line("bob*into the silence");
    for server in [&one, &two] {
        within("503", Duration::from_secs(4), || readiness(server).0 == 503);
        assert!(readiness(server).1.contains("[-] redis: Redis does not answer"));
    }
    while stopped.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(200));
        let said = alice.stdout.text();
        assert!(!said.contains("✓") && !said.contains("NOACK") && !said.contains('✗'), "{said}");
    }
    redis.signal(Signal::CONT);
    bob.stdout.wait_for_part("into the silence");
    alice.stdout.wait_for_part("delivered to bob");
    for server in [&one, &two] {
        within("200", Duration::from_secs(5), || readiness(server).0 == 200);
    }
    assert_eq!(bob.stdout.text().matches("into the silence").count(), 1);
    let said = [one.program().stderr.text(), two.program().stderr.text()].concat();
    assert!(!said.contains("is gone"), "nobody is taken for dead: {said}");
    drop(rig);
}

/// Ends by itself, with this code and these words.
#[track_caller]
fn ends(mut program: Program, code: i32, part: &str) {
    let found = program.ends_within(LIMIT);
    let said = program.stderr.text();
    assert_eq!(found, Some(code), "{said}");
    assert!(said.contains(part), "{part}: {said}");
}

/// The same command line with a data folder of its own.
fn of_another_folder(command: &Command, rig: &Rig) -> Command {
    let words = command.get_args().map(|word| {
        if word == rig.path("n2") { rig.path("another").into() } else { word.to_owned() }
    });
    let mut other = Command::new(command.get_program());
    other.args(words).current_dir(rig.path("."));
    other
}

#[test]
fn servers_that_start_at_once_are_one_cluster_and_one_of_a_taken_name_is_none() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let redis = Redis::start(&rig, &[]);
    let start = |name: &str| Program::start(node_command(&rig, &redis, name, "0", &[]));
    let programs = ["n1", "n2", "n3"].map(start);
    let words = programs.each_ref().map(|program| {
        program.stderr.wait_for_part("listening on ws");
        program.stderr.wait_for_part("words: ").split_once("words: ").unwrap().1.to_owned()
    });
    assert!(words.iter().all(|one| *one == words[0]), "{words:?}");

    // It shares nothing with the first of this name but the key.
    let mut second = node_command(&rig, &redis, "n2", "0", &["--cluster-key"]);
    second.arg(rig.path("cluster.key")).arg("--logs").arg(rig.path("logs-of-another"));
    // Nor does it change anything for those that have.
    second.args(["--registration", "closed", "--change-settings"]);
    ends(Program::start(of_another_folder(&second, &rig)), 2, "another server is called n2");

    let otherwise = node_command(&rig, &redis, "n4", "0", &["--registration", "closed"]);
    ends(Program::start(otherwise), 2, "registration is open there and closed here");
    let changing = ["--registration", "closed", "--change-settings"];
    let otherwise = node_command(&rig, &redis, "n4", "0", &changing);
    ends(Program::start(otherwise), 2, "another server of chat runs");

    drop(programs);
}

#[test]
fn a_redis_that_promises_less_than_the_disk_is_refused_unless_it_is_asked_for() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let redis = Redis::start(&rig, &["--appendfsync", "everysec"]);
    let start = |options: &[&str]| Program::start(node_command(&rig, &redis, "n1", "0", options));
    ends(start(&[]), 2, "Redis lacks appendfsync always");
    let less = Server::run(node_command(&rig, &redis, "n1", "0", &["--redis-ack", "second"]));
    until("the promise", || {
        let page = get(less.address(), "/metrics", &[]).body;
        page.contains("chat_ack_durability{level=\"second\"} 1")
    });
}
