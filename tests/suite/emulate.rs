//! Many clients at once, and whether anything was lost.

use std::path::Path;

use chat_tests::{Finished, Rig, Scene, get, messages, until};
use serde_json::Value;

fn report(run: &Finished) -> Value {
    run.events_named("report").pop().unwrap()
}

fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {report}"))
}

/// Sum of the samples of one counter.
fn metric(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let named = samples.filter(|line| line.split(['{', ' ']).next() == Some(name));
    named.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

fn assert_nothing_wrong(report: &Value) {
    let none =
        ["lost", "duplicated", "out_of_order", "unreadable", "leaked", "left_out", "unanswered"];
    for field in none {
        assert_eq!(number(report, field), 0, "{field} in {report}");
    }
    assert!(number(report, "delivered") > 0, "{report}");
    assert_eq!(number(report, "delivered"), number(report, "expected"), "{report}");
    let answered = number(report, "acked") + number(report, "noacked");
    assert_eq!(answered, number(report, "sent"), "{report}");
}

#[test]
fn clients_in_rooms_get_what_is_said_in_theirs_and_nothing_else() {
    let scene = Scene::empty();
    let messages = scene.rig.write("room.txt", "to a room\n").display().to_string();
    let arguments = [
        "--emulate",
        "12",
        "--rooms",
        "4",
        "--per-client",
        "10",
        "--messages",
        &messages,
        "--json",
    ];
    let run = scene.rig.emulator(scene.url()).run(&arguments).expect_code(0);
    let report = report(&run);
    assert_nothing_wrong(&report);
    assert_eq!(number(&report, "sent"), 120);
    // Whoever is in a room is one of about six, and the lobby has twelve.
    assert!(number(&report, "expected") < 120 * 11, "{report}");
    let listed = scene.client("alice").run(&["rooms"]).expect_code(0).stdout;
    assert!(listed.contains("#emu-room-004"), "{listed}");
}

#[test]
fn twenty_clients_lose_nothing_and_their_sums_are_the_servers() {
    let scene = Scene::empty();
    let messages = messages().display().to_string();
    let arguments = ["--emulate", "20", "--per-client", "15", "--messages", &messages, "--json"];
    let run = scene.rig.emulator(scene.url()).run(&arguments).expect_code(0);
    let report = report(&run);
    assert_nothing_wrong(&report);
    assert_eq!((number(&report, "clients"), number(&report, "sent")), (20, 300));
    let sums = report["server"].as_array().unwrap();
    assert!(!sums.is_empty(), "{report}");
    for sum in sums {
        assert_eq!(sum["clients"], sum["server"], "{report}");
    }
    let metrics = get(scene.server.address(), "/metrics", &[]).body;
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "small counts")]
    let delivered = number(&report, "delivered") as f64;
    assert!(metric(&metrics, "chat_deliveries_total") >= delivered, "{metrics}");
}

#[test]
fn twenty_clients_lose_nothing_while_the_server_is_killed_twice() {
    let mut scene = Scene::empty();
    let messages = messages().display().to_string();
    let arguments =
        // Long enough for both, on a busy machine, too.
        ["--emulate", "20", "--duration", "14s", "--rate", "60", "--messages", &messages, "--json"];
    let emulator = scene.rig.emulator(scene.url());
    let mut run = emulator.start(&arguments);
    let log = scene.rig.logs().join("server.jsonl");
    for _ in 0..2 {
        // Messages flow through this server process when it is killed.
        wait_for_texts(&log, texts_in(&log) + 40);
        scene.server.restart(&scene.rig, &[]);
    }
    let finished = run.wait().expect_code(0);
    let report = report(&finished);
    assert_nothing_wrong(&report);
    assert!(number(&report, "reconnects") >= 40, "{report}");
}

/// Goal: who comes and goes, leaves a room and joins it again loses nothing and gets nothing that is
/// not theirs, also when the server is killed meanwhile.
#[test]
fn thirty_clients_come_and_go_and_leave_and_join_while_the_server_is_killed() {
    let mut scene = Scene::empty();
    let messages = messages().display().to_string();
    let arguments = [
        "--emulate",
        "30",
        "--rooms",
        "1",
        "--churn",
        "40",
        "--offline",
        "30",
        "--per-client",
        "15",
        "--seed",
        "7",
        "--messages",
        &messages,
        "--json",
    ];
    let emulator = scene.rig.emulator(scene.url());
    let mut run = emulator.start(&arguments);
    let log = scene.rig.logs().join("server.jsonl");
    wait_for_texts(&log, 60);
    scene.server.restart(&scene.rig, &[]);
    let finished = run.wait().expect_code(0);
    let report = report(&finished);
    assert_nothing_wrong(&report);
    let moves = &report["moves"];
    assert_eq!((number(moves, "leaves"), number(moves, "joins")), (12, 12), "{report}");
    assert_eq!((number(moves, "absences"), number(moves, "unmoved")), (21, 0), "{report}");
    let cut = number(moves, "cut");
    assert!(cut > 0 && cut < 21, "{report}");
    assert!(moves["away_s"].as_f64().unwrap() > 0.0, "{report}");
    assert!(number(&report["latency_ms"]["drained"], "count") > 0, "{report}");
    assert!(number(&report, "reconnects") >= 21 + 30 - 12, "{report}");
}

/// Goal: small files are shared, found and fetched beside the messages, and every byte is as it was.
#[test]
fn ten_clients_share_find_and_fetch_files_beside_their_messages() {
    let scene = Scene::empty();
    let messages = messages().display().to_string();
    let arguments =
        ["--emulate", "10", "--files", "40", "--per-client", "12", "--seed", "5", "--json"];
    let finished = scene
        .rig
        .emulator(scene.url())
        .run(&[arguments.as_slice(), &["--messages", &messages]].concat())
        .expect_code(0);
    let report = report(&finished);
    assert_nothing_wrong(&report);
    let files = &report["files"];
    assert!(number(files, "shared") > 0 && number(files, "fetched") > 0, "{report}");
    assert_eq!((number(files, "wrong"), number(files, "failed")), (0, 0), "{report}");
    // What the programs said to each other about them is in the sums, and the server agrees.
    let sums = report["server"].as_array().unwrap();
    assert_eq!(sums.len(), 2, "{report}");
    for sum in sums {
        assert_eq!(sum["clients"], sum["server"], "{report}");
    }
    assert!(number(&sums[0], "clients") > number(&report, "delivered"), "{report}");
}

/// Messages to a room that the server has stored.
fn texts_in(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let is_text = |line: &&str| line.contains("frame.stored") && line.contains("\"TEXT\"");
    log.lines().filter(is_text).count()
}

fn wait_for_texts(log: &Path, count: usize) {
    until(&format!("{count} texts in {}", log.display()), || texts_in(log) >= count);
}

#[test]
fn a_threshold_that_fails_is_exit_99() {
    let scene = Scene::empty();
    let messages = messages().display().to_string();
    // Nobody seals, syncs to disk and delivers 1000 messages of 20 clients within a millisecond.
    let arguments =
        ["--emulate", "20", "--per-client", "50", "--messages", &messages, "--max-p99", "1"];
    let run = scene.rig.emulator(scene.url()).run(&arguments);
    assert_eq!(run.code, Some(99), "{run:#?}");
}

#[test]
fn the_same_home_registers_again_on_a_new_server() {
    let rig = Rig::unprepared();
    let messages = messages().display().to_string();
    let arguments = ["--emulate", "3", "--per-client", "5", "--messages", &messages, "--json"];
    for _ in 0..2 {
        let other = Rig::unprepared();
        let server = other.server();
        for _ in 0..2 {
            let run = rig.emulator(server.url()).run(&arguments).expect_code(0);
            assert_nothing_wrong(&report(&run));
        }
    }
}
