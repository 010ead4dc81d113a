//! Who comes in at servers that share a log, and what an operator is told and can move.

use std::time::{Duration, Instant};

use chat_tests::{
    LIMIT, PASSWORD, Program, Redis, Rig, Server, Signal, is_redis_wanted, node, node_command,
    person, types,
};

/// How long somebody waits whose server has stopped without a word: three seconds until it counts as late, two looks,
/// and what a sign-in takes on a slow machine. It is gone after nine.
const LATE_MAX: Duration = Duration::from_secs(8);

/// Goal: passwords that are guessed at several servers count together, and a right one begins anew at all of them. Method:
/// one is guessed at each, and more stand in Redis, as if they had been guessed elsewhere.
#[test]
fn wrong_passwords_count_at_all_servers_together() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::unprepared();
    let redis = Redis::start(&rig, &[]);
    let servers = ["n1", "n2", "n3"].map(|name| node(&rig, &redis, name));
    rig.client("alice", servers[0].url()).run(&["users"]).assert_code(0);
    let guess = |number: usize, password: &str| {
        let home = rig.path(&format!("home-of-guess-{number}"));
        let server = &servers[number % servers.len()];
        let guesser = rig.client("alice", server.url()).with_home(home).with_password(password);
        guesser.run_known(&["users"])
    };
    let wrong = "wrong password, really";
    for number in 0..3 {
        let refused = guess(number, wrong);
        assert!(refused.stderr.contains("wrong password;"), "{number}: {refused:?}");
    }
    let keys = redis.say(&["KEYS", "*:g:*"]);
    assert!(!keys.contains("alice"), "{keys}");
    let counts: Vec<&str> =
        keys.lines().filter(|key| redis.say(&["TYPE", key]).trim() == "hash").collect();
    let [count] = counts[..] else { panic!("of the name alone, this machine is exempt: {keys}") };
    assert_eq!(redis.say(&["HGET", count, "wrong"]).trim(), "3", "all three are counted together");
    // Elsewhere it is guessed until far into the future, whatever time it is there.
    redis.say(&["HSET", count, "wrong", "12", "last", "99999999999999"]);
    for number in 0..3 {
        let refused = guess(number, wrong);
        assert!(refused.stderr.contains("too many wrong passwords for this name"), "{refused:?}");
    }
    assert_eq!(redis.say(&["HGET", count, "wrong"]).trim(), "12", "they were not taken on");
    // That was long ago.
    redis.say(&["HSET", count, "last", "0"]);
    guess(4, PASSWORD).assert_code(0);
    assert_eq!(redis.say(&["KEYS", "*:g:*"]).trim(), "", "forgotten everywhere");
}

/// Goal: whoever was at a server that stands still comes in elsewhere before it is taken for dead, and what it brings
/// when it goes on again counts for nothing. (The build before kept them waiting until it was gone.)
#[test]
fn who_was_at_a_server_that_stands_still_comes_in_elsewhere_within_seconds() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let redis = Redis::start(&rig, &[]);
    let (one, two) = (node(&rig, &redis, "n1"), node(&rig, &redis, "n2"));
    let mut bob = person(&rig, two.url(), "bob");
    let mut alice = person(&rig, one.url(), "alice");
    alice.type_line("hello");
    bob.stdout.wait_for_part("#lobby alice: hello");
    let stopped = Instant::now();
    one.program().signal(Signal::STOP);
    alice.kill_hard();
    let mut alice = rig.client("alice", two.url()).start(&[]);
    alice.stdout.wait_for_part("connected to");
    let waited = stopped.elapsed();
    one.program().signal(Signal::CONT);
    assert!(waited < LATE_MAX, "{waited:?}");
    alice.type_line("here again");
    bob.stdout.wait_for_part("#lobby alice: here again");
    bob.type_line("alice*welcome back");
    alice.stdout.wait_for_part("bob → you: welcome back");
    let said = bob.stdout.text();
    assert_eq!(said.matches("here again").count(), 1, "{said}");
}

fn doctor(rig: &Rig, redis: &Redis, name: &str) -> chat_tests::Finished {
    let mut command = rig.command(&chat_tests::binary("chat-server"));
    command.args(["doctor", "--redis", &redis.url(), "--node", name, "--data"]).arg(rig.path(name));
    Program::start(command).finish()
}

/// Goal: `doctor` says how it stands with Redis, and what is wrong.
#[test]
fn doctor_looks_at_redis() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::unprepared();
    let mut redis = Redis::start(&rig, &[]);
    let server = node(&rig, &redis, "n1");
    let well = doctor(&rig, &redis, "n1");
    let line = |said: &str| said.lines().find(|line| line.contains("redis: ")).unwrap().to_owned();
    let said = line(&well.stdout);
    assert!(said.starts_with("[+]") && said.contains("an ACK promises disk"), "{said}");
    assert!(said.contains("n1 has its lease and is 0 turns behind"), "{said}");
    redis.say(&["CONFIG", "SET", "appendfsync", "everysec"]);
    let said = line(&doctor(&rig, &redis, "n1").stdout);
    assert!(said.starts_with("[-]") && said.contains("appendfsync always"), "{said}");
    redis.kill();
    let said = line(&doctor(&rig, &redis, "n1").stdout);
    assert!(said.starts_with("[-]") && said.contains("see whether it runs"), "{said}");
    drop(server);
}

/// Goal: commands to `server` run on the machine that was told so, and on one at a time.
#[test]
fn the_agent_of_the_servers_moves_to_another_machine_once_the_first_one_is_stopped() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let redis = Redis::start(&rig, &[]);
    let one = node(&rig, &redis, "n1");
    let host = || node_command(&rig, &redis, "n2", "0", &["--host-agent"]);
    let mut refused = Program::start(host());
    assert_eq!(refused.ends_within(LIMIT), Some(2));
    let said = refused.stderr.text();
    assert!(said.contains("--host-agent: n1 runs the commands to server"), "{said}");
    drop(one.terminate());
    let two = Server::run(host());
    let mut alice = person(&rig, two.url(), "alice");
    types(&mut alice, "/run server -- uname -s", "server: done");
    // The first one is one of them again, and runs none.
    let one = node(&rig, &redis, "n1");
    types(&mut alice, "/run server -- uname -r", "server: done");
    alice.stdout.wait_for_count(2, |line| line.contains("server: done"));
    drop((one, two));
}
