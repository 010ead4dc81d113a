//! Backup and restore, the doctor, health, and a standard error that nobody takes.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use chat_tests::{Program, Rig, Scene, Server, get, operator, types, until};

#[test]
fn a_backup_under_load_is_put_back_and_everybody_talks() {
    let mut scene = Scene::empty();
    let (alice, bob) = (scene.client("alice"), scene.client("bob"));
    bob.run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", "before the backup"]).assert_code(0);
    let mut here = alice.chat();
    for number in 1..=200 {
        here.type_line(&format!("load {number}"));
    }
    let target = scene.rig.path("kept.tar");
    let made = operator(&scene.rig, &["backup", target.to_str().unwrap()]).expect_code(0);
    assert!(made.stdout.contains("sha256:"), "{made:?}");
    here.stdout.wait_for_count(200, |line| line.contains("✓ stored"));
    types(&mut here, "bob*after the backup", "kept for bob");

    let running = operator(&scene.rig, &["restore", target.to_str().unwrap()]).expect_code(1);
    assert!(running.stderr.contains("another server uses"), "{running:?}");
    scene.server.kill_hard();
    here.kill_hard();
    let restored = operator(&scene.rig, &["restore", target.to_str().unwrap()]).expect_code(0);
    assert!(restored.stdout.contains("before-restore"), "{restored:?}");
    scene.server.restart(&scene.rig, &[]);
    let doctor = operator(&scene.rig, &["doctor", "--port", scene.server.port()]);
    let lines = &doctor.stdout;
    assert!(lines.contains("[+] store:") && lines.contains("[+] audit log:"), "{doctor:?}");

    let heard = bob.run(&["listen", "--count", "1", "--for", "30s", "--json"]).expect_code(0);
    assert!(heard.texts().contains(&"before the backup".to_owned()), "{heard:?}");
    let bob_here = bob.chat();
    let mut here = alice.chat();
    here.type_line("does it go on?");
    bob_here.stdout.wait_for_part("alice: does it go on?");
    here.type_line("bob*and between us");
    bob_here.stdout.wait_for_part("and between us");
    let ran = scene.client("alice").run(&["run", "server", "--", "echo", "works"]);
    assert!(ran.stdout.contains("works"), "{ran:?}");
}

#[test]
fn the_doctor_and_health_tell_a_well_server_from_one_that_is_not() {
    let rig = Rig::new();
    let server = rig.server();
    let port = server.port().to_owned();
    operator(&rig, &["health", "--port", &port]).assert_code(0);
    let ready = get(server.address(), "/readyz?verbose", &[]);
    assert_eq!(ready.status, 200);
    assert!(ready.body.contains("[+] disk: ok"), "{ready:?}");
    assert_eq!(get(server.address(), "/healthz", &[]).status, 200);
    // It asks the server that runs where it listens, whatever the defaults say.
    let doctor = operator(&rig, &["doctor"]);
    assert!(doctor.stdout.contains(&format!("{} is ready", server.address())), "{doctor:?}");
    server.terminate().assert_code(0);
    operator(&rig, &["health", "--port", &port]).assert_code(1);

    // A line that was altered.
    let audit = rig.logs().join("audit.jsonl");
    std::fs::write(&audit, "{\"ts\":\"now\",\"hash\":\"00\"}\n").unwrap();
    let mut command = Server::command(&rig, "0", &[]);
    command.arg("--check-config");
    Program::start(command).finish().assert_code(0);
    let doctor = operator(&rig, &["doctor", "--json", "--logs", rig.logs().to_str().unwrap()]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    let bad: Vec<_> =
        doctor.events().into_iter().filter(|finding| finding["ok"] == false).collect();
    assert!(bad.iter().any(|finding| finding["check"] == "audit log"), "{bad:?}");
}

#[test]
fn a_websocket_is_counted_as_101_and_metrics_can_have_a_port_of_their_own() {
    let rig = Rig::new();
    let server = rig.server_with(&["--metrics-bind", "127.0.0.1:0"]);
    let line = server.program().stderr.wait_for_part("metrics on http://");
    let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let alice = rig.client("alice", server.url());
    alice.run(&["run", "server", "--", "true"]).assert_code(0);
    assert_eq!(get(server.address(), "/metrics", &[]).status, 404);
    let page = get(&address, "/metrics", &[]).body;
    assert!(page.contains("chat_http_requests_total{code=\"101\"}"), "{page}");
    assert!(!page.contains("code=\"500\""), "{page}");
    assert!(page.contains("chat_commands_total{outcome=\"ok\"} 1"), "{page}");
    let log = std::fs::read_to_string(rig.logs().join("server.jsonl")).unwrap();
    assert!(!log.contains("18446744073709551615"), "{log}");
}

/// A process that ends with its test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // Already ended is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_standard_error_that_takes_nothing_ends_neither_program() {
    let rig = Rig::new();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Server::command(&rig, &address.port().to_string(), &[]);
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(full());
    let mut server = Ends(command.spawn().unwrap());
    let port = address.port().to_string();
    until("it is well", || operator(&rig, &["health", "--port", &port]).code == Some(0));
    let url = format!("ws://{address}");
    let alice = rig.client("alice", &url);
    alice.run(&["users"]).assert_code(0);
    let counts = operator(&rig, &["stats"]).expect_code(0);
    assert!(counts.stdout.contains("accounts"), "{counts:?}");
    let mut quiet: Command = alice.plain(&["-vv", "send", "server", "hello"]);
    let status = quiet.stdin(Stdio::null()).stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    operator(&rig, &["drain"]).assert_code(0);
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}
