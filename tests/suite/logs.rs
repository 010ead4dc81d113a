//! The operation logs: complete, readable by programs, without content.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use chat_tests::{LIMIT, Rig, Scene, get, until};
use serde_json::Value;

fn operations(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let parse = |line: &str| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    text.lines().map(parse).collect()
}

#[test]
fn every_operation_is_one_object_with_time_name_and_outcome() {
    let rig = Rig::new();
    let server = rig.server();
    let alice = rig.client("alice", server.url());
    rig.client("bob", server.url()).run(&["users"]).assert_code(0);
    let lines = ["hello", "bob*hello", "nemo*hello", "/run server -- false", "/run server -- rm"];
    // Nobody is called nemo.
    alice.pipe(&lines, &[]).assert_code(6);
    rig.client("bob", server.url()).run(&["listen", "--for", "300ms"]).assert_code(0);
    alice.with_password("wrong password, really").run(&["users"]).assert_code(4);
    server.terminate().assert_code(0);
    for name in ["server", "client-alice", "client-bob"] {
        let operations = operations(&rig.logs().join(format!("{name}.jsonl")));
        assert!(operations.len() > 3, "{name}: {operations:?}");
        for operation in &operations {
            for field in ["ts", "level", "op", "outcome"] {
                assert!(operation[field].is_string(), "{name}: no {field} in {operation}");
            }
            assert!(operation["op_id"].is_u64(), "{name}: {operation}");
        }
        let has = |outcome: &str| operations.iter().any(|line| line["outcome"] == outcome);
        assert!(has("ok"), "{name}: {operations:?}");
    }
    let server = operations(&rig.logs().join("server.jsonl"));
    let stored = server.iter().find(|line| line["op"] == "frame.stored").unwrap();
    for field in ["id", "priority", "bytes", "queue_us", "total_us", "user"] {
        assert!(!stored[field].is_null(), "no {field} in {stored}");
    }
}

#[test]
fn one_message_can_be_followed_through_all_logs() {
    let scene = Scene::empty();
    let bob = scene.client("bob");
    let alice = scene.client("alice");
    bob.run(&["users"]).assert_code(0);
    let sent = alice.run(&["send", "bob", "follow me", "--json"]).expect_code(0);
    let id = sent.events_named("ack").remove(0)["id"].as_str().unwrap().to_owned();
    bob.run(&["listen", "--count", "1", "--for", "30s"]).assert_code(0);
    alice.run(&["listen", "--for", "500ms"]).assert_code(0);
    let story = alice.run_known(&["story", &id]).expect_code(0).stdout;
    let steps = ["message.send", "frame.stored", "message.stored", "message.receive"];
    for step in steps.into_iter().chain(["message.delivered"]) {
        assert!(story.contains(step), "no {step} in\n{story}");
    }
    for who in ["client-alice", "server", "client-bob"] {
        assert!(story.contains(who), "no {who} in\n{story}");
    }
    assert!(!story.contains("follow me"), "{story}");
}

/// Goal: a disk under the operation log that stands still stops nobody. Method: hold the lock of its
/// file, as a disk that hangs would, and ask until more lines wait than may.
#[test]
fn an_operation_log_that_stands_still_stops_nobody_and_is_told() {
    /// So many lines of some 460 bytes are more than the 8 MiB that may wait.
    const BATCHES: usize = 400;
    const BATCH: usize = 50;
    let rig = Rig::new();
    let server = rig.server();
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    let mut here = alice.chat();
    let there = bob.chat();
    let held = std::fs::File::options().append(true).open(rig.logs().join("server.jsonl")).unwrap();
    held.lock().unwrap();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let request = format!("HEAD /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(300));
    let (batch, mut answers) = (request.repeat(BATCH), vec![0; 64 * 1024]);
    for _ in 0..BATCHES {
        stream.write_all(batch.as_bytes()).unwrap();
        let mut ended = String::new();
        while ended.matches("\r\n\r\n").count() < BATCH {
            let length = stream.read(&mut answers).unwrap();
            assert_ne!(length, 0, "the server has hung up");
            ended.push_str(&String::from_utf8_lossy(&answers[..length]));
        }
    }
    let ready = get(server.address(), "/readyz?verbose", &[]);
    assert!(
        ready.status == 503 && ready.body.contains("the operation log stands still"),
        "{ready:?}"
    );
    let lost = || {
        let page = get(server.address(), "/metrics", &[]).body;
        let line = page.lines().find_map(|line| line.strip_prefix("chat_log_lines_dropped_total "));
        line.and_then(|number| number.parse::<u64>().ok()).unwrap()
    };
    assert!(lost() > 0);
    here.type_line("does the server still work?");
    there.stdout.wait_for_part("does the server still work?");
    here.type_line("bob*yes");
    there.stdout.wait_for_part("yes");
    alice.run(&["send", "bob", "a new sign-in, too"]).assert_code(0);
    there.stdout.wait_for_part("a new sign-in, too");

    held.unlock().unwrap();
    until("it goes on when the disk does", || get(server.address(), "/readyz", &[]).status == 200);
    server.terminate().assert_code(0);
    assert!(operations(&rig.logs().join("server.jsonl")).len() > 15_000, "what waited is written");
}
