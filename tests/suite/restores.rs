//! A server that is restored from a backup: what the people at its clients see, one line for each time, and who comes back
//! by themselves (rule R36).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chat_tests::{Program, Rig, Scene, Server, operator, until};

/// All talk again by then.
const AGAIN: Duration = Duration::from_secs(10);

/// Alarms of one kind within this time are one line.
const TOGETHER: Duration = Duration::from_secs(70);

fn is_told(line: &str) -> bool {
    line.contains("ALARM rolled_back: server")
}

/// How many such lines a client has shown; another alarm must not be there.
#[track_caller]
fn told(program: &Program) -> usize {
    let text = program.stdout.text();
    let alarms: Vec<&str> = text.lines().filter(|line| line.contains("ALARM")).collect();
    assert!(alarms.iter().all(|line| is_told(line)), "{alarms:?}");
    alarms.len()
}

/// The clock, in seconds: a server numbers its own keys by it, so each starts in a second of its own.
fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn put_back(rig: &Rig, server: &mut Server, backup: &str) {
    server.kill_hard();
    let before = second();
    until("the next second", || second() != before);
    operator(rig, &["restore", backup]).assert_code(0);
    server.restart(rig, &[]);
}

/// Types a line to the other one until `AGAIN` has seen it arrive.
#[track_caller]
fn talks(from: &mut Program, line: &str, to: &Program, shown: &str) {
    let begun = Instant::now();
    from.type_line(line);
    let is_there = to.stdout.within(AGAIN, |lines| lines.iter().any(|seen| seen.contains(shown)));
    assert!(is_there, "after {:?}: {}", begun.elapsed(), to.stdout.text());
}

/// Says something ten times and then this: a device that is back first, and goes on, gives less positions again
/// than that has taken.
#[track_caller]
fn loses(from: &mut Program, text: &str, to: &Program) {
    for number in 1..=10 {
        from.type_line(&format!("bob*{number} before {text}"));
    }
    talks(from, &format!("bob*{text}"), to, &format!("alice → you: {text}"));
}

/// Goal: a restore that has lost direct messages alone is one alarm on each screen. Before: nobody was told.
#[test]
fn lost_direct_messages_are_one_alarm_on_each_screen() {
    let rig = Rig::new();
    let mut server = rig.server();
    let url = server.url().to_owned();
    let (mut alice, mut bob) = (rig.client("alice", &url).chat(), rig.client("bob", &url).chat());
    talks(&mut alice, "bob*before the backup", &bob, "alice → you: before the backup");
    talks(&mut bob, "alice*answered", &alice, "bob → you: answered");
    let kept = rig.path("kept.tar");
    let kept = kept.to_str().unwrap();
    operator(&rig, &["backup", kept]).assert_code(0);
    loses(&mut alice, "lost by the server", &bob);
    put_back(&rig, &mut server, kept);
    for program in [&alice, &bob] {
        program.stdout.wait_for("the alarm", is_told);
    }
    talks(&mut alice, "bob*after it", &bob, "alice → you: after it");
    talks(&mut bob, "alice*good", &alice, "bob → you: good");
    assert_eq!((told(&alice), told(&bob)), (1, 1));
    // Started anew, and a second process of a home that runs.
    drop(alice);
    let alice = rig.client("alice", &url).chat();
    rig.client("bob", &url).run_known(&["send", "alice", "from a script"]).assert_code(0);
    alice.stdout.wait_for_part("bob → you: from a script");
    assert_eq!((told(&alice), told(&bob)), (0, 1));
}

/// Goal: the same backup put back twice is one alarm each time, no other, and all talk within ten
/// seconds. Before: the second time was `bad_chain`, because the server had numbered its own bundles by
/// what the backup had, and no `rolled_back`.
#[test]
fn the_same_backup_twice_is_one_alarm_each_time_and_all_talk() {
    let rig = Rig::new();
    let mut server = rig.server();
    let url = server.url().to_owned();
    let (mut alice, mut bob) = (rig.client("alice", &url).chat(), rig.client("bob", &url).chat());
    talks(&mut alice, "before, to all", &bob, "#lobby alice: before, to all");
    talks(&mut bob, "alice*before", &alice, "bob → you: before");
    let kept = rig.path("kept.tar");
    let kept = kept.to_str().unwrap();
    operator(&rig, &["backup", kept]).assert_code(0);
    for times in 1..=2 {
        loses(&mut alice, &format!("lost {times}"), &bob);
        put_back(&rig, &mut server, kept);
        let (line, shown) = (format!("to all {times}"), format!("#lobby alice: to all {times}"));
        talks(&mut alice, &line, &bob, &shown);
        let (line, shown) = (format!("alice*back {times}"), format!("bob → you: back {times}"));
        talks(&mut bob, &line, &alice, &shown);
    }
    for program in [&alice, &bob] {
        program
            .stdout
            .within(TOGETHER, |lines| lines.iter().filter(|line| is_told(line)).count() > 1);
        assert_eq!(told(program), 2);
    }
}

/// Goal: the server runs commands after a restore, for who had asked before and for who had not. Before: its agent
/// had begun anew with the signing key whose counters the server had seen, and could not go on.
#[test]
fn the_server_runs_commands_after_a_restore() {
    let rig = Rig::new();
    let mut server = rig.server();
    let url = server.url().to_owned();
    let (alice, bob) = (rig.client("alice", &url), rig.client("bob", &url));
    let command = ["run", "--timeout", "30s", "server", "--", "uname", "-s"];
    alice.run(&command).assert_code(0);
    bob.run(&["users"]).assert_code(0);
    let kept = rig.path("kept.tar");
    let kept = kept.to_str().unwrap();
    operator(&rig, &["backup", kept]).assert_code(0);
    for _ in 0..2 {
        alice.run_known(&command).assert_code(0);
        put_back(&rig, &mut server, kept);
        for who in [&alice, &bob, &alice] {
            let answer = who.run_known(&command);
            answer.assert_code(0);
            assert!(answer.stdout.contains("Linux"), "{answer:?}");
        }
    }
}

/// Goal: an account and a device that the server has lost come back by themselves, while they run. Before:
/// both programs ended with exit 4.
#[test]
fn who_is_newer_than_the_backup_comes_back_without_a_question() {
    let mut scene = Scene::empty();
    let desk = scene.client("bob").chat();
    let kept = scene.rig.path("kept.tar");
    operator(&scene.rig, &["backup", kept.to_str().unwrap()]).assert_code(0);
    let laptop = scene.client("bob").with_home(scene.rig.path("bob-laptop")).chat();
    let mut eve = scene.client("eve").chat();
    eve.type_line("bob*a new account");
    laptop.stdout.wait_for_part("eve → you: a new account");
    scene.server.kill_hard();
    operator(&scene.rig, &["restore", kept.to_str().unwrap()]).assert_code(0);
    scene.server.restart(&scene.rig, &[]);
    for program in [&desk, &laptop, &eve] {
        program.stdout.wait_for_count(2, |line| line.contains("connected to"));
    }
    eve.type_line("bob*here again");
    for program in [&desk, &laptop] {
        program.stdout.wait_for_part("eve → you: here again");
    }
}
