//! Files between people: shared, found, fetched and sent through the real programs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chat_tests::{Client, House, Program, Rig, Scene, at_one_and_over_two, types, until};
use serde_json::Value;

at_one_and_over_two! {
    a_list_is_found_wherever_one_is,
    files_are_found_by_their_keywords_and_arrive_whole,
    a_file_is_sent_to_one_person_who_accepts_or_declines,
    several_holders_give_parts_of_one_file,
    a_copy_is_taken_wherever_it_lies,
}

/// A shared folder with these files; the last of each three are its keywords.
pub(super) fn folder(rig: &Rig, name: &str, keywords: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let folder = rig.path(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    std::fs::write(folder.join("keyword.txt"), keywords).unwrap();
    folder
}

/// What is made anew byte by byte of a long content; unoptimised, a quarter of a gigabyte of that takes longer than its way.
const BLOCK: usize = 1 << 20;

/// Bytes that are unlike each other, so that a chunk in the wrong place shows. Of a long content each 512 bytes begin with
/// their own number.
pub(super) fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words = length.min(BLOCK).div_ceil(8);
    let block: Vec<u8> = (0..words).flat_map(|_| next().to_le_bytes()).collect();
    let mut content = Vec::with_capacity(length + BLOCK);
    while content.len() < length {
        content.extend_from_slice(&block);
    }
    content.truncate(length);
    for (number, part) in (0_u64..).zip(content.chunks_exact_mut(512)) {
        part[..8].copy_from_slice(&number.to_le_bytes());
    }
    content
}

/// Shares a folder until the program is dropped; its files are on the list when this returns.
pub(super) fn share(client: &Client, folder: &Path, to: &str) -> Program {
    let program = client.start(&["share", folder.to_str().unwrap(), "--to", to, "--json"]);
    program.stdout.wait_for("the list is at the server", |line| line.contains("\"shared\""));
    program
}

fn names(found: &[Value]) -> Vec<String> {
    let mut names: Vec<_> =
        found.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn find(client: &Client, words: &[&str]) -> Vec<String> {
    let mut arguments = vec!["find", "--json"];
    arguments.extend(words);
    names(&client.run(&arguments).expect_code(0).events_named("file"))
}

/// Goal: mission row C5. Method: many keywords to many files; queries; a fetch compared by bytes.
fn files_are_found_by_their_keywords_and_arrive_whole(server: &House) {
    let rig = &server.rig;
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    let (plan, photo) = (bytes(200_001), bytes(65_536));
    let keywords = "plan, plan.pdf; photo, a photo.jpg; alice, plan.pdf; alice, a photo.jpg";
    let files: [(&str, &[u8]); 3] =
        [("plan.pdf", &plan), ("a photo.jpg", &photo), ("secret.txt", b"not shared")];
    let shared = folder(rig, "shared", keywords, &files);
    let _sharing = share(&alice, &shared, "ALL");
    assert_eq!(find(&bob, &["alice"]), ["a photo.jpg", "plan.pdf"]);
    assert_eq!(find(&bob, &["ALICE", "plan"]), ["plan.pdf"]);
    assert!(find(&bob, &["secret"]).is_empty());
    let target = rig.path("fetched");
    std::fs::create_dir_all(&target).unwrap();
    for (name, content) in [("plan.pdf", &plan), ("a photo.jpg", &photo)] {
        bob.run(&["get", "alice", name, "-o", target.to_str().unwrap()]).assert_code(0);
        let path = target.join(name);
        assert!(std::fs::read(&path).unwrap() == *content, "{name} arrived otherwise");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    bob.run(&["get", "alice", "secret.txt"]).assert_code(1);
    // Never over another file.
    bob.run(&["get", "alice", "plan.pdf", "-o", target.to_str().unwrap()]).assert_code(0);
    assert!(std::fs::read(target.join("plan (1).pdf")).unwrap() == plan);
}

/// Alice shares a file, then another one in its place, and ends; bob finds each.
fn shares_one_file_and_then_another(rig: &Rig, alice: &Client, bob: &Client) {
    let shared = folder(rig, "shared", "one, a.txt", &[("a.txt", b"a"), ("b.txt", b"b")]);
    let mut sharing = share(alice, &shared, "ALL");
    assert_eq!(find(bob, &["one"]), ["a.txt"]);
    std::fs::write(shared.join("keyword.txt"), "one, b.txt; two, b.txt").unwrap();
    sharing.stdout.wait_for("the list changed", |line| {
        line.contains("\"shared\"") && line.contains("\"ended\":1")
    });
    assert_eq!(find(bob, &["one"]), ["b.txt"]);
    sharing.terminate();
    sharing.wait().assert_code(130);
}

/// What alice has shared last is found while she is away.
fn finds_what_is_away(bob: &Client) {
    let found = bob.run(&["find", "two", "--json"]).expect_code(0).events_named("file");
    assert_eq!(names(&found), ["b.txt"]);
    assert_eq!(found[0]["online"], false);
}

/// Goal: who shares and who looks for it need not be at one place: the list and its changes are found, for all and in
/// a room.
fn a_list_is_found_wherever_one_is(server: &House) {
    let rig = &server.rig;
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    shares_one_file_and_then_another(rig, &alice, &bob);
    finds_what_is_away(&bob);
}

/// Goal: the list follows the folder, and is there while its owner is away.
#[test]
fn the_list_follows_the_folder_and_outlives_its_owner() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    shares_one_file_and_then_another(&scene.rig, &alice, &bob);
    scene.server.restart(&scene.rig, &[]);
    finds_what_is_away(&bob);
    let refused = bob.run(&["get", "alice", "b.txt"]).expect_code(6);
    assert!(refused.stderr.contains("away"), "{refused:?}");
}

/// Goal: what is shared with a room is found and fetched by its members alone, and the hub reads
/// neither names nor keywords. Method: a private room, an outsider, and the hub's files searched.
#[test]
fn a_rooms_files_are_for_its_members_and_unreadable_to_the_hub() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let carol = scene.client("carol");
    for client in [&bob, &carol] {
        client.run(&["users"]).assert_code(0);
    }
    alice.pipe(&["/create crew private", "/invite bob"], &[]).assert_code(0);
    let keywords = "[room crew]\nzebrafish, quokka-manual.txt";
    let shared = folder(&scene.rig, "shared", keywords, &[("quokka-manual.txt", b"how to")]);
    let _sharing = share(&alice, &shared, "ALL");
    assert_eq!(find(&bob, &["zebrafish"]), ["quokka-manual.txt"]);
    assert!(find(&carol, &["zebrafish"]).is_empty());
    assert!(carol.run(&["files", "--json"]).expect_code(0).events_named("file").is_empty());
    let target = scene.rig.path("fetched");
    std::fs::create_dir_all(&target).unwrap();
    let into = target.to_str().unwrap();
    bob.run(&["get", "alice", "quokka-manual.txt", "-o", into]).assert_code(0);
    assert_eq!(std::fs::read(target.join("quokka-manual.txt")).unwrap(), b"how to");
    for secret in ["zebrafish", "quokka"] {
        for file in files_below(&scene.rig.data()) {
            let content = std::fs::read(&file).unwrap_or_default();
            let found = content.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} stands in {}", file.display());
        }
    }
}

pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// Goal: whoever is interrupted goes on where it stopped, and no half file has the final name.
/// Method: the receiver is killed when more than half is here, then the hub, then the owner.
#[test]
fn a_transfer_goes_on_after_anybody_is_killed() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    // Long enough that some of it is told of before all of it is here.
    let content = bytes(256 << 20);
    let shared = folder(&scene.rig, "shared", "big, big.bin", &[("big.bin", &content)]);
    let mut sharing = share(&alice, &shared, "ALL");
    let target = scene.rig.path("fetched");
    std::fs::create_dir_all(&target).unwrap();
    let get = ["get", "alice", "big.bin", "-o", target.to_str().unwrap(), "--json"];
    let done = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        event["event"] == "progress" && event["done"].as_u64().unwrap_or(0) > 5 << 20
    };
    for victim in 0..3 {
        let mut fetching = bob.start(&get);
        fetching.stdout.wait_for("some of it is here", done);
        assert!(!target.join("big.bin").exists(), "half a file under the final name");
        match victim {
            0 => fetching.kill_hard(),
            1 => {
                scene.server.kill_hard();
                scene.server.restart(&scene.rig, &[]);
            }
            _ => {
                sharing.kill_hard();
                sharing = share(&alice, &shared, "ALL");
            }
        }
        fetching.kill_hard();
    }
    bob.run(&get).assert_code(0);
    assert!(std::fs::read(target.join("big.bin")).unwrap() == content);
    let left: Vec<_> = std::fs::read_dir(&target).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    drop(sharing);
}

/// Goal: a file for one person, taken when they say so; hostile names do no harm.
fn a_file_is_sent_to_one_person_who_accepts_or_declines(server: &House) {
    let rig = &server.rig;
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    let content = bytes(100_000);
    let path = rig.path("-rf report.pdf");
    std::fs::write(&path, &content).unwrap();
    let target = rig.path("downloads");
    std::fs::create_dir_all(&target).unwrap();
    let mut bobs = bob.start(&["--downloads", target.to_str().unwrap()]);
    bobs.stdout.wait_for_part("connected to");
    let mut alices = alice.chat();
    alices.type_line(&format!("/send '{}' bob", path.display()));
    bobs.stdout.wait_for_part("offers you");
    types(&mut bobs, "/accept", "is here, checked");
    assert!(std::fs::read(target.join("rf report.pdf")).unwrap() == content);
    alices.stdout.wait_for_part("bob fetched");
    alices.type_line(&format!("/send '{}' bob", path.display()));
    bobs.stdout.wait_for_part("/decline 2");
    bobs.type_line("/decline 2");
    alices.stdout.wait_for_part("declined");
    types(&mut alices, "/send /nowhere/at/all bob", "/nowhere/at/all");
}

/// Goal: several people have the file; each gives a part, and one who is away is not missed.
fn several_holders_give_parts_of_one_file(server: &House) {
    let rig = &server.rig;
    let content = bytes(3_000_000);
    let holders: Vec<_> = ["alice", "carol"]
        .iter()
        .map(|name| {
            let client = rig.client(name, server.url());
            let shared =
                folder(rig, &format!("shared-{name}"), "big, big.bin", &[("big.bin", &content)]);
            share(&client, &shared, "ALL")
        })
        .collect();
    let bob = rig.client("bob", server.url());
    let target = rig.path("big.bin");
    bob.run(&["get", "alice", "big.bin", "-o", target.to_str().unwrap()]).assert_code(0);
    assert!(std::fs::read(&target).unwrap() == content);
    for holder in &holders {
        holder.stdout.wait_for("a part was given", |line| line.contains("\"gave\""));
    }
}

/// Goal: a copy is taken by whoever may, wherever they are and it lies.
fn a_copy_is_taken_wherever_it_lies(server: &House) {
    let rig = &server.rig;
    let (alice, bob) = (rig.client("alice", server.url()), rig.client("bob", server.url()));
    // A copy is for those who are there when it is made.
    bob.run(&["users"]).assert_code(0);
    let content = bytes(700_000);
    let shared = folder(rig, "shared", "notes, notes.txt", &[("notes.txt", &content)]);
    let mut sharing = alice.start(&["share", shared.to_str().unwrap(), "--keep", "3", "--json"]);
    sharing.stdout.wait_for("a copy is kept", |line| line.contains("\"copied\""));
    sharing.terminate();
    sharing.wait().assert_code(130);
    let target = rig.path("notes.txt");
    bob.run(&["get", "alice", "notes.txt", "-o", target.to_str().unwrap()]).assert_code(0);
    assert!(std::fs::read(&target).unwrap() == content);
}

/// Goal: a file can be fetched while its owner is away, by those it was for, from a copy that the hub
/// cannot read. Method: a copy with a canary, the owner gone, the hub restarted; the hub's files searched.
#[test]
fn a_copy_left_at_the_server_is_fetched_while_its_owner_is_away() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    bob.run(&["users"]).assert_code(0);
    let mut content = bytes(300_000);
    let canary = b"canary-in-a-copied-file";
    content[100_000..100_000 + canary.len()].copy_from_slice(canary);
    let keywords = "[user bob]\nnotes, notes.txt";
    let shared = folder(&scene.rig, "shared", keywords, &[("notes.txt", &content)]);
    let mut sharing = alice.start(&["share", shared.to_str().unwrap(), "--keep", "3", "--json"]);
    sharing.stdout.wait_for("a copy is kept", |line| line.contains("\"copied\""));
    sharing.terminate();
    sharing.wait().assert_code(130);
    scene.server.restart(&scene.rig, &[]);
    let target = scene.rig.path("notes.txt");
    bob.run(&["get", "alice", "notes.txt", "-o", target.to_str().unwrap()]).assert_code(0);
    assert!(std::fs::read(&target).unwrap() == content);
    let copies = files_below(&scene.rig.data().join("files"));
    assert_eq!(copies.len(), 1, "{copies:?}");
    for file in files_below(&scene.rig.data()) {
        let stored = std::fs::read(&file).unwrap_or_default();
        let found = stored.windows(canary.len()).any(|part| part == canary);
        assert!(!found, "the hub can read what stands in {}", file.display());
    }
}

/// Goal: a copy is for those who join its room later too, and for nobody else. Method: a copy for a room,
/// then somebody joins, then the owner goes away; an outsider tries what the newcomer does.
#[test]
fn who_joins_a_room_later_can_take_a_copy_that_was_left_before() {
    let scene = Scene::empty();
    let (alice, carol) = (scene.client("alice"), scene.client("carol"));
    let dave = scene.client("dave");
    for client in [&carol, &dave] {
        client.run(&["users"]).assert_code(0);
    }
    alice.pipe(&["/create crew private"], &[]).assert_code(0);
    let content = bytes(300_000);
    let shared =
        folder(&scene.rig, "shared", "[room crew]\nplan, plan.txt", &[("plan.txt", &content)]);
    let mut sharing = alice.start(&["share", shared.to_str().unwrap(), "--keep", "3", "--json"]);
    sharing.stdout.wait_for("a copy is kept", |line| line.contains("\"copied\""));
    assert!(find(&carol, &["plan"]).is_empty());
    alice.pipe(&["/room crew", "/invite carol"], &[]).assert_code(0);
    // Who finds the offer was told the key of the copy before.
    until("she is told the key of the list", || !find(&carol, &["plan"]).is_empty());
    sharing.terminate();
    sharing.wait().assert_code(130);
    let target = scene.rig.path("plan.txt");
    let get = ["get", "alice", "plan.txt", "-o", target.to_str().unwrap()];
    assert_ne!(dave.run(&get).code, Some(0));
    carol.run(&get).assert_code(0);
    assert!(std::fs::read(&target).unwrap() == content);
}

/// Goal: what somebody offers is still there after a restart, and a copy goes with the sharing of its file.
#[test]
fn offers_outlive_a_restart_and_copies_do_not_outlive_the_sharing() {
    let scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    let target = scene.rig.path("downloads");
    std::fs::create_dir_all(&target).unwrap();
    let arguments = ["--downloads", target.to_str().unwrap()];
    let path = scene.rig.write("minutes.txt", "what was said");
    let mut bobs = bob.start(&arguments);
    bobs.stdout.wait_for_part("connected to");
    let mut alices = alice.chat();
    alices.type_line(&format!("/send {} bob", path.display()));
    bobs.stdout.wait_for_part("alice offers you minutes.txt");
    bobs.kill_hard();
    let mut bobs = bob.start(&arguments);
    bobs.stdout.wait_for_part("alice offers you minutes.txt");
    types(&mut bobs, "/accept", "is here, checked");
    assert_eq!(std::fs::read(target.join("minutes.txt")).unwrap(), b"what was said");

    alices.type_line(&format!("/share {} minutes", path.display()));
    alices.stdout.wait_for_part("files on the list: 1");
    types(&mut alices, "/keep minutes.txt 3", "keeps a copy of minutes.txt");
    let copies = scene.rig.data().join("files");
    assert_eq!(files_below(&copies).len(), 1);
    types(&mut alices, "/unshare minutes.txt", "is not shared any more");
    until("the copy is gone", || files_below(&copies).is_empty());
}
