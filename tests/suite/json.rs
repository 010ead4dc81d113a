//! What `--json` prints is what its page says, and the page says nothing else.

mod source;

use std::collections::BTreeSet;

use chat_tests::{Client, Finished, Program, Rig, json_page, messages, operator};
use serde_json::Value;

/// Events that a run in peace does not show, and where they are tried.
const ELSEWHERE: &[(&str, &str)] = &[
    ("alarm", "a hub that lies"),
    ("away", "somebody who is away"),
    ("check", "doctor"),
    ("config", "config show"),
    ("copied", "a copy that the server keeps"),
    ("declined", "a file that is declined"),
    ("disowned", "an old backup"),
    ("distrust", "a false key"),
    ("dropped", "a room that keeps little"),
    ("failed", "a transfer that fails"),
    ("fetching", "a transfer in a chat"),
    ("folder", "a slip in keyword.txt"),
    ("forged", "a hub that lies"),
    ("gap", "a hub that holds back"),
    ("gave", "a transfer, told to the owner"),
    ("grant", "a room with a newcomer"),
    ("healed", "a hub that holds back"),
    ("job", "a command under way"),
    ("job_cancelled", "a command under way"),
    ("key_in_question", "a false key"),
    ("look_alike", "a name like another"),
    ("new_device", "a second machine"),
    ("not-given", "a transfer that fails"),
    ("offer", "a file from person to person"),
    ("offered", "a file from person to person"),
    ("output_lost", "a hub that holds back"),
    ("part", "a transfer that is cut"),
    ("pending", "a link that is cut"),
    ("presence", "somebody who comes"),
    ("progress", "a large file"),
    ("put_off", "a server without room"),
    ("refused", "a file that is declined"),
    ("revoked", "a second machine"),
    ("saved", "a file of configuration"),
    ("trust", "a false key"),
    ("unhealed", "a hub that lies"),
    ("unread", "something new elsewhere"),
    ("unreadable", "a hub that lies"),
    ("waiting", "an owner who is away"),
];

/// Goal: an event or a field that nobody wrote down is found, and so is one that nothing prints any more.
#[test]
fn the_page_and_the_source_name_the_same() {
    let (page, source) = (json_page(), source::read());
    for (name, fields) in &source.objects {
        let known: BTreeSet<&str> =
            page.fields(name).iter().map(|field| field.path.as_str()).collect();
        assert!(!known.is_empty(), "docs/JSON.md has no {name}");
        for field in fields {
            assert!(known.contains(field.as_str()), "docs/JSON.md: {name} has no {field}");
        }
    }
    for name in page.names() {
        let is_event = !name.contains(' ');
        assert!(!is_event || source.objects.contains_key(name), "nothing prints {name}");
        for field in page.fields(name) {
            let last = field.path.rsplit('.').next().unwrap_or_default();
            assert!(last == "*" || source.has_word(last), "{name}: nothing prints {last}");
        }
    }
    for name in source.fields_put_in_later() {
        let is_known = page.names().any(|section| {
            page.fields(section)
                .iter()
                .any(|field| field.path.rsplit(['.', ']']).next() == Some(name))
        });
        assert!(is_known, "docs/JSON.md has no field {name}");
    }
}

/// The names of what was printed; each line was held against the page.
fn seen(all: &mut BTreeSet<String>, ended: &Finished) {
    let names =
        ended.events().into_iter().filter_map(|event| Some(event["event"].as_str()?.to_owned()));
    all.extend(names);
}

/// What a chat is asked.
const LINES: &[&str] = &[
    "hello",
    "bob*for you",
    "nobody*for nobody",
    "/nonsense",
    "/whoami",
    "/status",
    "/help",
    "/version",
    "/fingerprint",
    "/set presence off",
    "/veil on",
    "/veil off",
    "/join ops",
    "/members",
    "/topic on call: bob",
    "/retention 30d",
    "/create crew private",
    "/invite bob",
    "/kick bob",
    "/leave",
    "/room lobby",
    "/subscribe bob",
    "/subs",
    "/subscribers",
    "/users",
    "/whois bob",
    "/ping",
    "/lag",
    "/motd",
    "/jobs",
    "/ignore",
    "/mute",
    "/unread",
    "/ignore bob",
    "/unignore bob",
    "/mute #ops",
    "/away at lunch",
    "/back",
    "/rooms",
    "/history",
    "/receipts",
    "/transfers",
    "/find nothing",
];

/// Each command prints what the page says, and an `error` at the end where it fails.
fn ask_all(client: &Client, commands: &[(i32, &[&str])], all: &mut BTreeSet<String>) {
    for (code, words) in commands {
        let arguments = [&["--json"][..], words].concat();
        let ended = client.run(&arguments).expect_code(*code);
        seen(all, &ended);
        let error: Vec<Value> = ended.events_named("error");
        assert_eq!(error.len(), usize::from(*code != 0), "{words:?}: {ended:?}");
        assert!(error.iter().all(|error| error["exit"] == *code), "{words:?}: {error:?}");
    }
}

/// Every event of the page was printed, or has a reason why not.
fn assert_all_seen(all: &BTreeSet<String>) {
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(name, _)| *name).collect();
    let names: BTreeSet<&str> = json_page().names().filter(|name| !name.contains(' ')).collect();
    assert!(elsewhere.is_subset(&names), "{elsewhere:?}");
    let seen: BTreeSet<&str> = all.iter().map(String::as_str).collect();
    let known = &seen | &elsewhere;
    let missing: Vec<&&str> = names.difference(&known).collect();
    assert!(missing.is_empty(), "not printed: {missing:?}");
}

/// Goal: what the real programs print in an ordinary day is as the page says, kind by kind.
#[test]
fn what_a_day_prints_is_on_the_page() {
    let rig = Rig::new();
    let server = rig.server();
    let [alice, bob] = ["alice", "bob"].map(|name| rig.client(name, server.url()));
    std::fs::create_dir(rig.path("shared")).unwrap();
    rig.write("shared/plan.txt", "the plan");
    rig.write("shared/keyword.txt", "plan, plan.txt");
    let folder = rig.path("shared");
    let share: Program = bob.start(&["--json", "share", folder.to_str().unwrap()]);
    let shared = share.stdout.wait_for_part("\"shared\"");
    let shared: Value = serde_json::from_str(&shared).unwrap();
    assert_eq!(json_page().judge_event(&shared), Ok(()));

    let mut all = BTreeSet::from(["shared".to_owned()]);
    let mut chat = alice.start(&["--json"]);
    chat.stdout.wait_for_part("\"online\"");
    operator(&rig, &["announce", "maintenance at ten"]).assert_code(0);
    chat.stdout.wait_for_part("\"announcement\"");
    for line in LINES {
        chat.type_line(line);
    }
    seen(&mut all, &chat.finish().expect_code(6));

    bob.run(&["send", "alice", "hello"]).assert_code(0);
    let target = rig.path("plan-of-bob.txt");
    let id = alice.run(&["--json", "send", "bob", "once more"]).expect_code(0).events();
    let id = id[0]["id"].as_str().unwrap().to_owned();
    let commands: &[(i32, &[&str])] = &[
        (0, &["listen", "--count", "1"]),
        (0, &["users"]),
        (0, &["rooms"]),
        (6, &["send", "nobody", "hello"]),
        (0, &["run", "server", "--", "echo", "hello"]),
        (6, &["run", "server", "--", "rm", "x"]),
        (0, &["history", "bob"]),
        (0, &["search", "more"]),
        (0, &["proof", &id]),
        (1, &["proof", "AAAAAAAAAAAAAAAAAAAAAA"]),
        (0, &["devices"]),
        (0, &["verify", "bob", "yes"]),
        (0, &["verify"]),
        (0, &["find", "plan"]),
        (0, &["find", "nothing"]),
        (0, &["get", "bob", "plan.txt", "-o", target.to_str().unwrap()]),
        (0, &["transfers"]),
        (0, &["key", "rotate"]),
        (0, &["servers"]),
        (2, &["send"]),
        (2, &["get", "a b", "plan.txt"]),
    ];
    ask_all(&alice, commands, &mut all);
    drop(share);
    let new = rig.write("new", "another-good-password-9\n");
    let passwd = ["--json", "passwd", "--new-password-file", new.to_str().unwrap()];
    seen(&mut all, &alice.run(&passwd).expect_code(0));
    seen(&mut all, &bob.run(&["--json", "account", "delete", "bob"]).expect_code(0));
    let messages = messages();
    let emulate =
        ["--json", "--emulate", "2", "--per-client", "2", "--messages", messages.to_str().unwrap()];
    let emulator = rig.emulator(server.url());
    seen(&mut all, &emulator.run(&emulate).expect_code(0));
    let url = server.url().to_owned();
    seen(&mut all, &alice.run(&["--json", "servers", "forget", &url]).expect_code(0));
    let story = rig.client("carol", &url).run(&["--json", "story", &id]).expect_code(0);
    for step in story.events() {
        assert_eq!(json_page().judge("chat-client story ID", &step), Ok(()));
    }
    drop(server);
    let lost = rig.client("dora", &url).run(&["--json", "users"]).expect_code(3).events();
    assert_eq!(lost.last().map(|error| &error["code"]), Some(&"E_CONNECT".into()), "{lost:?}");

    assert_all_seen(&all);
}

/// Goal: the operator's commands print what the page says.
#[test]
fn what_the_operator_sees_is_on_the_page() {
    let rig = Rig::new();
    let server = rig.server();
    rig.client("alice", server.url()).run(&["users"]).assert_code(0);
    let judge = |section: &str, words: &[&str]| {
        let ended = operator(&rig, &[words, &["--json"]].concat()).expect_code(0);
        let objects = ended.events();
        assert!(!objects.is_empty(), "{words:?}");
        for object in objects {
            assert_eq!(json_page().judge(&format!("chat-server {section}"), &object), Ok(()));
        }
    };
    judge("user list", &["user", "list"]);
    judge("user show NAME", &["user", "show", "alice"]);
    judge("room list", &["room", "list"]);
    judge("invite", &["ban", "mallory"]);
    judge("ban", &["ban"]);
    judge("stats", &["stats"]);
    for words in [
        &["invite"][..],
        &["unban", "mallory"],
        &["user", "disable", "alice"],
        &["user", "enable", "alice"],
        &["user", "reset", "alice"],
        &["announce", "hello"],
        &["reload"],
    ] {
        judge("invite", words);
    }
    let backup = rig.path("backup.tar");
    judge("backup TARGET", &["backup", backup.to_str().unwrap()]);
    judge("invite", &["drain"]);
    drop(server);
    judge("restore SOURCE", &["restore", backup.to_str().unwrap()]);

    let doctor = operator(&rig, &["doctor", "--json"]);
    for finding in doctor.events() {
        assert_eq!(json_page().judge("chat-server doctor", &finding), Ok(()));
    }
    for (code, words) in
        [(1, &["stats", "--json"][..]), (2, &["user", "list", "--json", "--nonsense"])]
    {
        let error = operator(&rig, words).expect_code(code).events();
        assert_eq!(json_page().judge("chat-server that fails", &error[0]), Ok(()));
        assert_eq!(error[0]["exit"], code);
    }
}
