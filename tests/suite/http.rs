//! Plain HTTP on the same port.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    os::unix::{fs::symlink, net::UnixListener},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use chat_tests::{LIMIT, Rig, Scene, Server, get};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

#[test]
fn health_and_figures_are_served_and_everything_else_is_404() {
    let scene = Scene::empty();
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = get(scene.server.address(), path, &[]);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.body.is_empty(), "{path}: {answer:?}");
    }
    assert!(get(scene.server.address(), "/metrics", &[]).body.contains("# EOF"));
    for path in ["/nothing-here", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"] {
        let answer = get(scene.server.address(), path, &[]);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.body.is_empty() && !answer.body.contains("root:"), "{path}: {answer:?}");
    }
}

#[test]
fn a_page_of_another_site_may_not_open_a_websocket() {
    let scene = Scene::empty();
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Origin: https://evil.example",
    ];
    let answer = get(scene.server.address(), "/ws", &upgrade);
    assert_eq!(answer.status, 403, "{answer:?}");
}

/// What stands in every file outside of the folder.
const OUTSIDE: &str = "OUTSIDE-OF-THE-FOLDER";
/// What stands in the one page.
const INSIDE: &str = "<p>inside</p>";

/// A folder with a page and with everything that must not be served.
fn folder(rig: &Rig) -> PathBuf {
    let www = rig.path("www");
    fs::create_dir_all(www.join("sub")).unwrap();
    fs::create_dir(rig.path("beside")).unwrap();
    for page in ["page.html", "sub/index.html"] {
        fs::write(www.join(page), INSIDE).unwrap();
    }
    fs::create_dir(www.join(".git")).unwrap();
    for secret in ["secret", "beside/page.html", "www/.env", "www/.git/config"] {
        fs::write(rig.path(secret), OUTSIDE).unwrap();
    }
    for (target, link) in [
        ("../secret", "out"),
        ("../beside", "beside"),
        ("/", "root"),
        ("/proc/self", "self"),
        (".env", "env"),
        ("page.html", "page-link.html"),
    ] {
        symlink(target, www.join(link)).unwrap();
    }
    mknodat(CWD, www.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    www
}

const FIXED: [&str; 42] = [
    "/../secret",
    "/../../../../../../etc/passwd",
    "/sub/../../secret",
    "/%2e%2e/secret",
    "/%2E%2E/secret",
    "/.%2e/secret",
    "/..%2fsecret",
    "/sub%2f..%2f..%2fsecret",
    "/%252e%252e/secret",
    "/%252e%252e%252fsecret",
    "/..%5csecret",
    "/..\\secret",
    "/%c0%ae%c0%ae/secret",
    "/%e0%80%ae%e0%80%ae/secret",
    "/%uff0e%uff0e/secret",
    "/..;/secret",
    "/..%00/secret",
    "/page.html%00",
    "/secret%00.html",
    "/./page.html",
    "//page.html",
    "//evil.example/%2e%2e",
    "//evil.example/",
    "/%2f%2fevil.example/",
    "/\\evil.example/",
    "/sub%2f",
    "/out",
    "/beside",
    "/beside/page.html",
    "/root/etc/passwd",
    "/self/root/etc/passwd",
    "/self/environ",
    "/self/fd/0",
    "/env",
    "/.env",
    "/.git/config",
    "/%2eenv",
    "/page-link.html",
    "/pipe",
    "/page.html/",
    "/page.html/../page.html",
    "/etc/passwd",
];

const PIECES: [&str; 34] = [
    "..",
    ".",
    "%2e%2e",
    "%2e",
    "..%2f",
    "%2f",
    "%5c",
    "\\",
    "%252e%252e",
    "%252f",
    "%00",
    "%0a",
    "%c0%ae",
    "%c0%af",
    "%ff",
    "%",
    "%2",
    "%zz",
    "..;",
    "~",
    "*",
    "out",
    "beside",
    "root",
    "self",
    "env",
    ".env",
    ".git",
    "pipe",
    "sub",
    "page.html",
    "secret",
    "etc/passwd",
    "",
];

/// Paths put together from pieces, the same for the same seed.
fn generated(mut seed: u64, count: usize) -> Vec<String> {
    let mut next = |below: usize| {
        // The multiplier of Knuth's MMIX; its high bits are good enough to choose pieces.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let mut path = || {
        let mut path = "/".to_owned();
        for _ in 0..=next(7) {
            path += PIECES[next(PIECES.len())];
            path += ["/", "/", ""][next(3)];
        }
        if next(50) == 0 { path + &"x".repeat(300) } else { path }
    };
    (0..count).map(|_| path()).collect()
}

/// Goal: no path gets anything but a page of the folder. Method: 500 hostile ones, sent as they are.
#[test]
fn no_path_leads_out_of_the_folder() {
    let rig = Rig::new();
    let www = folder(&rig);
    let _socket = UnixListener::bind(www.join("socket")).unwrap();
    let server = rig.server_with(&["--www", www.to_str().unwrap()]);
    assert_eq!(get(server.address(), "/page.html", &[]).body, INSIDE);
    assert_eq!(get(server.address(), "/sub/", &[]).body, INSIDE);
    let seed = std::env::var("CHAT_HTTP_SEED").map_or(20_261_121, |seed| seed.parse().unwrap());
    let mut paths: Vec<String> = FIXED.map(str::to_owned).into();
    paths.push("/socket".to_owned());
    paths.extend(generated(seed, 500 - paths.len()));
    assert_eq!(paths.len(), 500);
    let mut pages = 0;
    for path in &paths {
        let answer = get(server.address(), path, &[]);
        let told = format!("seed {seed}, {path:?}: {answer:?}");
        assert!(!answer.body.contains(OUTSIDE) && !answer.body.contains("root:"), "{told}");
        match answer.status {
            200 => {
                assert_eq!(answer.body, INSIDE, "{told}");
                pages += 1;
            }
            301 => {
                let location = answer.head.lines().find_map(|line| line.strip_prefix("location: "));
                let location = location.unwrap();
                assert!(location.starts_with('/') && !location.starts_with("//"), "{told}");
            }
            400 | 404 => {}
            _ => panic!("{told}"),
        }
    }
    assert!(pages < 50, "seed {seed}: {pages} were not hostile");
    for path in &paths[..FIXED.len()] {
        assert!([400, 404].contains(&get(server.address(), path, &[]).status), "{path:?}");
    }
    assert_eq!(get(server.address(), "/page.html", &[]).body, INSIDE, "it still works");
}

#[test]
fn each_request_is_one_line_of_the_log() {
    let rig = Rig::new();
    let www = folder(&rig);
    let server = rig.server_with(&["--www", www.to_str().unwrap()]);
    get(server.address(), "/page.html?token=hidden", &[]);
    get(server.address(), "/%1b[2J", &[]);
    server.terminate().assert_code(0);
    let log = fs::read_to_string(rig.logs().join("server.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["op"] == "http.request")
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!((&lines[0]["path"], &lines[0]["method"]), (&json!("/page.html"), &json!("GET")));
    assert_eq!((&lines[0]["status"], &lines[0]["bytes"]), (&json!(200), &json!(INSIDE.len())));
    assert_eq!((&lines[0]["outcome"], &lines[1]["outcome"]), (&json!("ok"), &json!("refused")));
    assert_eq!((&lines[1]["status"], &lines[1]["path"]), (&json!(404), &json!("/%1b[2J")));
    assert!(lines.iter().all(|line| line["total_us"].is_u64() && line["address"].is_string()));
    assert!(!log.contains("hidden"));
}

#[test]
fn a_folder_that_cannot_be_served_is_said_at_the_start() {
    let rig = Rig::new();
    let missing = rig.path("missing");
    let mut command = Server::command(&rig, "0", &["--www", missing.to_str().unwrap()]);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("--www: cannot open the folder") && error.contains("missing"),
        "{error}"
    );
}

/// A connection whose head never ends.
fn half_a_head(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /page.html HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

fn is_open(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Goal: 500 connections with heads that never end hold up nobody. Method: as soon as the server
/// cuts one another takes its place, while messages and pages go through.
#[test]
fn slow_heads_do_not_hold_up_the_chat() {
    const SLOW: usize = 500;
    let rig = Rig::new();
    let www = folder(&rig);
    let server = rig.server_with(&["--www", www.to_str().unwrap()]);
    let bob = rig.client("bob", server.url());
    bob.run(&["users"]).assert_code(0);
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| half_a_head(server.address())).collect();
    let is_done = AtomicBool::new(false);
    let address = server.address();
    thread::scope(|scope| {
        let attacking = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                for stream in &mut slow {
                    if !is_open(stream) {
                        *stream = half_a_head(address);
                    }
                }
                thread::yield_now();
            }
        });
        let chat = catch_unwind(AssertUnwindSafe(|| {
            let alice = rig.client("alice", server.url());
            alice.run(&["send", "bob", "through the crowd"]).assert_code(0);
            let heard = bob.run(&["listen", "--count", "1", "--for", "30s"]).expect_code(0);
            assert!(heard.stdout.contains("through the crowd"), "{}", heard.stdout);
            assert_eq!(get(address, "/page.html", &[]).body, INSIDE);
        }));
        is_done.store(true, Ordering::Relaxed);
        attacking.join().unwrap();
        if let Err(panic) = chat {
            resume_unwind(panic);
        }
    });
    assert_eq!(slow.len(), SLOW);
    let deadline = Instant::now() + LIMIT;
    while slow.iter_mut().any(is_open) {
        assert!(Instant::now() < deadline, "slow heads are never cut");
        thread::yield_now();
    }
}
