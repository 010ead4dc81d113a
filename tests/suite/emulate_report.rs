//! The emulator beside people: whom it reaches, what it says on its way, and what its report holds.

use std::path::Path;

use chat_tests::{Scene, Signal, messages, until};

#[test]
fn people_get_what_is_said_to_everybody_and_no_texts_unless_the_lobby_is_asked_for() {
    let scene = Scene::empty();
    let alice = scene.client("alice").chat();
    let lines = scene.rig.write("lines.txt", "a text of the script\nALL*a line for everybody\n");
    let lines = lines.display().to_string();
    let words = ["--emulate", "3", "--per-client", "8", "--seed", "1", "--messages", &lines];
    let run = |more: &[&str]| scene.rig.emulator(scene.url()).run(&[&words, more].concat());

    let own = run(&["--json"]).expect_code(0);
    let report = own.events_named("report").remove(0);
    assert_eq!((&report["room"], &report["others"]), (&"#emu-room-000".into(), &1.into()));
    assert_eq!((&report["ok"], &report["interrupted"]), (&true.into(), &false.into()), "{report}");
    for said in ["texts go to #emu-room-000", "reached by the lines for ALL: alice"] {
        assert!(own.stderr.contains(said), "{said}: {own:?}");
    }
    alice.stdout.wait_for_part("a line for everybody");
    assert!(!alice.stdout.text().contains("a text of the script"), "{}", alice.stdout.text());

    // Once more in the same room, with the same clients.
    run(&[]).assert_code(0);
    let lobby = run(&["--lobby", "--json"]).expect_code(0);
    assert_eq!(lobby.events_named("report").remove(0)["room"], "#lobby");
    assert!(lobby.stderr.contains("reached by the texts and the lines for ALL"), "{lobby:?}");
    alice.stdout.wait_for_part("a text of the script");
}

#[test]
fn a_report_that_cannot_be_written_ends_the_run_before_it_begins() {
    let scene = Scene::empty();
    let messages = messages().display().to_string();
    let words = ["--emulate", "2", "--messages", &messages, "--html", "no/such/folder/report.html"];
    let refused = scene.rig.emulator(scene.url()).run(&words).expect_code(70);
    assert!(refused.stderr.contains("cannot write no/such/folder/report.html"), "{refused:?}");
    let users = scene.client("alice").run(&["users"]).expect_code(0);
    assert!(!users.stdout.contains("emu-001"), "{users:?}");
}

#[test]
fn an_interrupted_run_never_says_that_all_is_well() {
    let scene = Scene::empty();
    let messages = messages().display().to_string();
    for is_json in [true, false] {
        let page = scene.rig.path("report.html");
        let words =
            ["--emulate", "3", "--rate", "30", "--duration", "60s", "--messages", &messages];
        let page_words = ["--html", page.to_str().unwrap(), "--json"];
        let more = if is_json { &page_words[..] } else { &page_words[..2] };
        let before = sent(&scene.rig.logs().join("client-emu-001.jsonl"));
        let mut run = scene.rig.emulator(scene.url()).start(&[&words, more].concat());
        let log = scene.rig.logs().join("client-emu-001.jsonl");
        until("something is sent", || sent(&log) >= before + 3);
        run.signal(Signal::INT);
        let ended = run.wait().expect_code(130);
        if is_json {
            let report = ended.events_named("report").remove(0);
            assert_eq!((&report["ok"], &report["interrupted"]), (&false.into(), &true.into()));
            assert!(report["wrong"].to_string().contains("interrupted"), "{report}");
        } else {
            assert!(ended.stdout.contains("WRONG: the run was interrupted"), "{ended:?}");
            assert!(!ended.stdout.contains("ok:"), "{ended:?}");
        }
        let page = std::fs::read_to_string(&page).unwrap();
        assert!(page.contains("the run was interrupted"), "{page}");
        assert!(!page.contains("ok: every"), "{page}");
    }
}

/// Messages that a client has sent, by its log.
fn sent(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains("message.send")).count()
}

#[test]
fn a_long_run_says_now_and_then_how_far_it_is_where_no_terminal_shows_a_bar() {
    let scene = Scene::empty();
    let messages = messages().display().to_string();
    let words = ["--emulate", "2", "--rate", "5", "--duration", "11s", "--messages", &messages];
    let run = scene.rig.emulator(scene.url()).run(&words).expect_code(0);
    let line = run.stderr.lines().find(|line| line.contains(" answered, ")).unwrap();
    // What is counted is the sending, and not the making of keys before it.
    let rate = line.split(" answered, ").nth(1).unwrap().trim_end_matches("/s");
    assert!((4.0..6.5).contains(&rate.parse::<f64>().unwrap()), "{line}");
}

#[test]
fn the_page_says_when_where_and_with_what_and_how_it_went() {
    let scene = Scene::empty();
    let page = scene.rig.path("report.html");
    let messages = messages().display().to_string();
    let words = ["--emulate", "4", "--per-client", "20", "--seed", "3", "--messages", &messages];
    let page_words = ["--html", page.to_str().unwrap()];
    scene.rig.emulator(scene.url()).run(&[&words[..], &page_words].concat()).assert_code(0);
    let page = std::fs::read_to_string(&page).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let with = format!("chat-client {version} with chat-server {version} at {}", scene.url());
    for part in [
        with.as_str(),
        "clients on Linux ",
        "texts in #emu-room-000",
        "<h2>Over time</h2>",
        "<h2>By client</h2>",
        "The refusals below are meant",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let day = page.lines().find(|line| line.contains("clients on Linux")).unwrap();
    assert!(day.starts_with("<p>20") && day.contains("Z, chat-client"), "{day}");
    assert!(page.matches("class=\"bar\"").count() > 4, "a bar for each client, and the course");
}
