//! Files between people at different servers that share a log: what becomes of them when somebody is killed, and
//! what Redis sees.

use std::path::PathBuf;

use chat_tests::{Client, Program, Redis, Rig, Server, is_redis_wanted, node, node_again};
use serde_json::Value;

use crate::suite::files::{bytes, files_below, folder, share};

/// Somebody at each of two servers, and the file of one of them.
struct Pair {
    // The servers end before the folders go.
    one: Server,
    two: Server,
    redis: Redis,
    rig: Rig,
    alice: Client,
    bob: Client,
}

impl Pair {
    fn open() -> Option<Self> {
        if !is_redis_wanted() {
            return None;
        }
        let rig = Rig::unprepared();
        let redis = Redis::start(&rig, &[]);
        let (one, two) = (node(&rig, &redis, "n1"), node(&rig, &redis, "n2"));
        let (alice, bob) = (rig.client("alice", one.url()), rig.client("bob", two.url()));
        Some(Self { one, two, redis, rig, alice, bob })
    }

    /// A folder of downloads.
    fn downloads(&self) -> PathBuf {
        let target = self.rig.path("fetched");
        std::fs::create_dir_all(&target).unwrap();
        target
    }
}

fn has_come(line: &str) -> bool {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    event["event"] == "progress" && event["done"].as_u64().unwrap_or(0) > 2 << 20
}

/// Goal: whoever is interrupted goes on where it stopped. Method: the receiver, the server of the owner, that of the
/// receiver, the owner and Redis are killed in turn, each when a part has come.
#[test]
fn a_transfer_between_servers_goes_on_after_anybody_is_killed() {
    let Some(mut pair) = Pair::open() else { return };
    let content = bytes(96 << 20);
    let shared = folder(&pair.rig, "shared", "big, big.bin", &[("big.bin", &content)]);
    let mut sharing = share(&pair.alice, &shared, "ALL");
    let target = pair.downloads();
    let get = ["get", "alice", "big.bin", "-o", target.to_str().unwrap(), "--json"];
    for victim in 0..5 {
        let mut fetching = pair.bob.start(&get);
        fetching.stdout.wait_for("some of it is here", has_come);
        assert!(!target.join("big.bin").exists(), "half a file under the final name");
        match victim {
            0 => {}
            1 => {
                pair.one.kill_hard();
                pair.one = node_again(&pair.rig, &pair.redis, "n1", &pair.one);
            }
            2 => {
                pair.two.kill_hard();
                pair.two = node_again(&pair.rig, &pair.redis, "n2", &pair.two);
            }
            3 => {
                sharing.kill_hard();
                sharing = share(&pair.alice, &shared, "ALL");
            }
            _ => {
                pair.redis.kill();
                pair.redis.run(&[]);
            }
        }
        fetching.kill_hard();
    }
    fetched(&pair.bob, &get);
    assert!(std::fs::read(target.join("big.bin")).unwrap() == content);
    drop(sharing);
}

/// It comes whole, at the second or third try at the latest: servers find each other again within a second.
#[track_caller]
fn fetched(client: &Client, get: &[&str]) {
    let mut last = client.run(get);
    for _ in 0..2 {
        if last.code == Some(0) {
            return;
        }
        last = client.run(get);
    }
    last.assert_code(0);
}

/// Goal: a copy that lies at a server which is away cannot be fetched, it is there again with that server, and neither Redis nor a server reads any of it.
#[test]
fn a_copy_at_a_server_that_is_away_comes_back_with_it() {
    let Some(mut pair) = Pair::open() else { return };
    let canary = b"canary-in-a-file-between-servers";
    let mut content = bytes(300_000);
    content[100_000..100_000 + canary.len()].copy_from_slice(canary);
    // A copy is for those who are there when it is made.
    pair.bob.run(&["users"]).assert_code(0);
    let keywords = "notes, zebrafish.txt";
    let shared = folder(&pair.rig, "shared", keywords, &[("zebrafish.txt", &content)]);
    let arguments = ["share", shared.to_str().unwrap(), "--keep", "3", "--json"];
    let mut sharing: Program = pair.alice.start(&arguments);
    sharing.stdout.wait_for("a copy is kept", |line| line.contains("\"copied\""));
    sharing.terminate();
    sharing.wait().assert_code(130);
    let target = pair.downloads();
    let into = target.to_str().unwrap();
    pair.one.kill_hard();
    let refused = pair.bob.run(&["get", "alice", "zebrafish.txt", "-o", into]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    pair.one = node_again(&pair.rig, &pair.redis, "n1", &pair.one);
    fetched(&pair.bob, &["get", "alice", "zebrafish.txt", "-o", into]);
    assert!(std::fs::read(target.join("zebrafish.txt")).unwrap() == content);
    let mut places = vec![pair.rig.path("redis")];
    places.extend(["n1", "n2"].map(|name| pair.rig.path(name)));
    for file in places.iter().flat_map(|place| files_below(place)) {
        let stored = std::fs::read(&file).unwrap_or_default();
        for secret in [&canary[..], b"zebrafish"] {
            let found = stored.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "it stands in {}", file.display());
        }
    }
}
