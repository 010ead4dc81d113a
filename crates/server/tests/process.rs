//! The real binary: what it prints, how it stops, and its exit codes.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

fn server(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    command.current_dir(folder).args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = server(folder.path(), arguments).output().expect("the binary runs");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A server on a free port that has said where it listens.
struct Serving {
    child: Child,
    log: BufReader<ChildStderr>,
    url: String,
    /// What it had said by then.
    seen: String,
}

fn serve(folder: &Path, arguments: &[&str]) -> Serving {
    let mut child = server(folder, arguments)
        .args(["--port", "0", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let mut seen = String::new();
    let url = loop {
        let start = seen.len();
        assert_ne!(log.read_line(&mut seen).expect("a log"), 0, "ended early: {seen}");
        let said = seen.get(start..).and_then(|line| line.split_once("listening on "));
        if let Some((_, rest)) = said {
            break rest.chars().take_while(|&c| c != '"' && c != ' ').collect();
        }
    };
    Serving { child, log, url, seen }
}

impl Serving {
    fn stop(mut self, signal: Signal) -> (i32, String) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        let mut log = String::new();
        self.log.read_to_string(&mut log).expect("UTF-8");
        (self.child.wait().expect("it ends").code().unwrap_or(-1), log)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Already ended is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_signal_stops_it_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().expect("a folder");
        let serving = serve(folder.path(), &[]);
        assert!(serving.url.starts_with("ws://127.0.0.1:"), "{}", serving.url);
        let (code, log) = serving.stop(signal);
        assert_eq!(code, 0, "{log}");
    }
}

#[test]
fn tls_auto_keeps_its_certificate_and_serves_wss() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--tls", "auto", "--data", "store"];
    let serving = serve(folder.path(), &arguments);
    assert!(serving.url.starts_with("wss://"), "{}", serving.url);
    assert_eq!(serving.stop(Signal::TERM).0, 0);
    let certificate = folder.path().join("store/tls/cert.pem");
    let made = std::fs::read(&certificate).expect("made at the start");
    assert_eq!(serve(folder.path(), &arguments).stop(Signal::TERM).0, 0);
    assert_eq!(std::fs::read(&certificate).expect("still there"), made);
}

#[test]
fn a_port_in_use_is_exit_code_1_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let (code, _, stderr) = run(&["--port", &port]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("another program uses that port"), "{stderr}");
}

#[test]
fn what_makes_no_sense_is_exit_code_2_with_the_reason() {
    let cases: [(&[&str], &str); 6] = [
        (&["--prot", "9000"], "--port"),
        (&["--port", "70000"], "70000"),
        (&["--bind", "0.0.0.0"], "--tls auto"),
        (&["--tls-cert", "cert.pem"], "--tls-key"),
        (&["--config", "missing.toml"], "missing.toml"),
        (&["--drain-timeout", "soon"], "5s or 500ms"),
    ];
    for (arguments, part) in cases {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_missing_certificate_is_exit_code_1() {
    let (code, _, stderr) =
        run(&["--port", "0", "--tls-cert", "none.pem", "--tls-key", "none.key"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("cannot read none.pem"), "{stderr}");
}

#[test]
fn plain_text_for_other_machines_is_said_loudly() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = server(folder.path(), &["--bind", "0.0.0.0", "--insecure-plaintext"])
        .args(["--port", "0"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut first = String::new();
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    log.read_line(&mut first).expect("a log");
    let serving = Serving { child, log, url: String::new(), seen: String::new() };
    assert_eq!(serving.stop(Signal::TERM).0, 0);
    assert!(first.contains("INSECURE") && first.contains("WARN"), "{first}");
}

#[test]
fn the_other_subcommands_print_and_end() {
    let cases: [(&[&str], &str); 6] = [
        (&["config", "default"], "port = 9000"),
        (&["config", "--port", "9100"], "9100"),
        (&["man"], ".TH chat-server"),
        (&["completions", "bash"], "complete -F"),
        (&["mkcert", "--name", "chat.example"], "certificate: sha256:"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ];
    for (arguments, part) in cases {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(stdout.contains(part), "{arguments:?}: {stdout}");
    }
}

/// A certificate that ends so many days from today, and its key, in place of those in a folder.
fn certificate(folder: &Path, days: i64) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters =
        rcgen::CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let ends = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let ends = ends.checked_add(jiff::Span::new().days(days)).expect("a date");
    let number = |n: i8| u8::try_from(n).expect("a month or day");
    parameters.not_after =
        rcgen::date_time_ymd(ends.year().into(), number(ends.month()), number(ends.day()));
    let certificate = parameters.self_signed(&key).expect("signed by itself");
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(folder.join("key.pem"), private).expect("a mode");
    std::fs::write(folder.join("cert.pem"), certificate.pem()).expect("written");
}

/// `chat_tls_not_after_seconds`, as days from now.
fn days_left(url: &str) -> i64 {
    let address = url.split_once("://").expect("a scheme").1;
    let mut stream = std::net::TcpStream::connect(address).expect("it serves");
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("UTF-8");
    let line = page.lines().find_map(|line| line.strip_prefix("chat_tls_not_after_seconds "));
    let ends: i64 = line.and_then(|number| number.parse().ok()).expect("the figure");
    (ends - jiff::Timestamp::now().as_second()).div_euclid(24 * 60 * 60)
}

/// Goal: who runs a server learns in time that its certificate ends. Method: certificates that end soon,
/// late and yesterday, each put in the place of the one before.
#[test]
fn a_certificate_that_ends_soon_is_warned_of_and_its_end_is_a_figure() {
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path(), 10);
    let mut serving = serve(folder.path(), &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let mut line = std::mem::take(&mut serving.seen);
    let mut wait_for = |part: &str| {
        while !line.contains(part) {
            line.clear();
            assert_ne!(serving.log.read_line(&mut line).expect("a log"), 0, "no {part}");
        }
    };
    wait_for("the certificate ends in 9 days");
    assert_eq!(days_left(&serving.url), 9);
    let again = || kill_process(Pid::from_child(&serving.child), Signal::HUP).expect("it runs");
    certificate(folder.path(), 400);
    again();
    wait_for("read again: certificate: sha256:");
    assert_eq!(days_left(&serving.url), 399);
    certificate(folder.path(), -1);
    again();
    wait_for("the certificate has ended");
    assert!(days_left(&serving.url) < 0);
    let (code, log) = serving.stop(Signal::TERM);
    assert_eq!(code, 0, "{log}");
}
