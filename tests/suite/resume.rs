//! What an interrupted transfer costs: how much of a file travels again, counted by those who moved it.

use std::path::PathBuf;

use chat_tests::{Client, Program, Rig, get};
use serde_json::Value;

/// Long enough that progress is told several times before all of it is here.
const SIZE: u64 = 256 << 20;

/// The kill comes when so much of the file is here, in per cent.
const KILLED_AT: u64 = 60;

/// So much of the file may travel again, in per cent.
const AGAIN_MAX: u64 = 45;

/// A file, its owner and who wants it.
struct Scene {
    rig: Rig,
    content: Vec<u8>,
    target: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let rig = Rig::new();
        // No two chunks alike: a chunk in the wrong place shows.
        let content: Vec<u8> =
            (0..SIZE / 8).flat_map(|n| (n ^ 0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
        let shared = rig.path("shared");
        std::fs::create_dir_all(&shared).unwrap();
        std::fs::write(shared.join("big.bin"), &content).unwrap();
        std::fs::write(shared.join("keyword.txt"), "big, big.bin").unwrap();
        let target = rig.path("fetched");
        std::fs::create_dir_all(&target).unwrap();
        Self { rig, content, target }
    }

    fn share(&self, owner: &Client) -> Program {
        let folder = self.rig.path("shared");
        let sharing = owner.start(&["share", folder.to_str().unwrap(), "--to", "ALL", "--json"]);
        sharing.stdout.wait_for("the list is at the server", |line| line.contains("\"shared\""));
        sharing
    }

    fn get(&self) -> [&str; 6] {
        ["get", "alice", "big.bin", "-o", self.target.to_str().unwrap(), "--json"]
    }

    fn assert_not_named(&self) {
        assert!(!self.target.join("big.bin").exists(), "half a file under the final name");
    }

    /// Begins to fetch, and returns once so much is here that the kill is due.
    fn fetch_most(&self, receiver: &Client) -> Program {
        let fetching = receiver.start(&self.get());
        fetching.stdout.wait_for("most of it is here", |line| {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            let is_due = |done: u64| done * 100 >= SIZE * KILLED_AT;
            event["event"] == "progress" && event["done"].as_u64().is_some_and(is_due)
        });
        self.assert_not_named();
        fetching
    }

    fn assert_whole(&self) {
        assert!(std::fs::read(self.target.join("big.bin")).unwrap() == self.content, "other bytes");
        let left: Vec<_> = std::fs::read_dir(&self.target).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    }
}

fn assert_little(again: u64) {
    eprintln!("{again} bytes of {SIZE} travelled again");
    assert!(again > 0, "nothing was left to fetch: the kill came too late");
    assert!(again * 100 < SIZE * AGAIN_MAX, "{again} bytes of {SIZE} travelled again");
}

/// Goal: a receiver that dies at 60 % costs less than 45 % of the file again. Method: `get` is killed, and
/// repeated; the owner counts what they give the second time.
#[test]
fn a_receiver_killed_at_60_percent_fetches_little_again() {
    let scene = Scene::new();
    let server = scene.rig.server();
    let (alice, bob) =
        (scene.rig.client("alice", server.url()), scene.rig.client("bob", server.url()));
    let sharing = scene.share(&alice);
    scene.fetch_most(&bob).kill_hard();
    scene.assert_not_named();
    bob.run(&scene.get()).assert_code(0);
    scene.assert_whole();
    // Only a transfer that came to its end is told of as given.
    let gave = sharing.stdout.wait_for_part("\"gave\"");
    let gave: Value = serde_json::from_str(&gave).unwrap();
    assert_little(gave["bytes"].as_u64().unwrap());
}

/// Goal: a hub that dies at 60 % costs less than 45 % of the file again, and nobody does anything.
/// Method: the hub is killed and started again; it counts what it hands on from then.
#[test]
fn a_hub_killed_at_60_percent_hands_on_little_again() {
    let scene = Scene::new();
    let mut server = scene.rig.server();
    let (alice, bob) =
        (scene.rig.client("alice", server.url()), scene.rig.client("bob", server.url()));
    let _sharing = scene.share(&alice);
    let mut fetching = scene.fetch_most(&bob);
    server.kill_hard();
    scene.assert_not_named();
    server.restart(&scene.rig, &[]);
    fetching.wait().assert_code(0);
    scene.assert_whole();
    let page = get(server.address(), "/metrics", &[]).body;
    let bytes = page.lines().find_map(|line| line.strip_prefix("chat_relay_bytes_total "));
    assert_little(bytes.unwrap().parse().unwrap());
}

/// Goal: an owner who comes back within seconds is waited for. Method: their program is killed and
/// started again; nobody touches the receiver, whose request comes while the owner is away.
#[test]
fn a_fetch_goes_on_when_its_owner_comes_back() {
    let scene = Scene::new();
    let server = scene.rig.server();
    let (alice, bob) =
        (scene.rig.client("alice", server.url()), scene.rig.client("bob", server.url()));
    let mut sharing = scene.share(&alice);
    let mut fetching = scene.fetch_most(&bob);
    sharing.kill_hard();
    let sharing = scene.share(&alice);
    fetching.wait().assert_code(0);
    scene.assert_whole();
    drop(sharing);
}
