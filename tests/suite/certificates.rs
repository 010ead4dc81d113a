//! Another certificate while people talk: nobody is cut off, and whoever comes then sees the new one.

use std::path::{Path, PathBuf};
use std::process::Command;

use chat_tests::{Program, Rig, Server, get, messages, operator, until};

/// `chat-server mkcert` into a folder; what it says of the certificate.
fn make(rig: &Rig, folder: &Path) -> String {
    make_for(rig, folder, &[])
}

/// The same, with these options.
fn make_for(rig: &Rig, folder: &Path, options: &[&str]) -> String {
    let mut command = Command::new(Server::command(rig, "0", &[]).get_program());
    command.arg("mkcert").arg("--out").arg(folder).args(options);
    let said = Program::start(command).finish().expect_code(0);
    let line = said.stdout.lines().find(|line| line.starts_with("certificate: sha256:"));
    line.unwrap_or_else(|| panic!("no certificate: {said:?}")).to_owned()
}

fn files(folder: &Path) -> [PathBuf; 2] {
    ["cert.pem", "key.pem"].map(|name| folder.join(name))
}

/// Texts that the server has taken so far.
fn taken(server: &Server) -> f64 {
    let page = get(server.address(), "/metrics", &[]).body;
    let name = "chat_frames_total{tag=\"TEXT\",direction=\"in\"} ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {page}"))
}

fn wait_until_taken(server: &Server, texts: f64) {
    until("so many texts came", || taken(server) >= texts);
}

#[test]
fn another_certificate_under_load_cuts_nobody_and_the_next_handshake_shows_it() {
    let rig = Rig::new();
    let (here, next) = (rig.path("tls"), rig.path("next"));
    let old = make(&rig, &here);
    let [certificate, key] = files(&here);
    let options =
        ["--tls-cert", &certificate.to_string_lossy(), "--tls-key", &key.to_string_lossy()]
            .map(str::to_owned);
    let server = rig.server_with(&options.each_ref().map(String::as_str));
    server.program().stderr.wait_for_part(&old);
    let visitor = rig.client("visitor", server.url());
    let shown = || visitor.run_known(&["verify", "server"]).expect_code(0).stdout;
    assert!(shown().contains(&old), "{}", shown());

    let lines = messages().display().to_string();
    let talk = ["--emulate", "10", "--rate", "200", "--duration", "8s", "--insecure"];
    let crowd = rig.client("crowd", server.url());
    let mut crowd = crowd.start(&[&talk[..], &["--messages", &lines, "--json"]].concat());
    wait_until_taken(&server, 100.0);
    let new = make(&rig, &next);
    for (from, to) in files(&next).iter().zip(files(&here)) {
        std::fs::rename(from, to).unwrap();
    }
    let told = operator(&rig, &["reload"]).expect_code(0);
    assert!(told.stdout.contains(&new), "{told:?}");
    let so_far = taken(&server);
    assert!(shown().contains(&new) && !shown().contains(&old), "{}", shown());
    wait_until_taken(&server, so_far + 100.0);

    let report = crowd.wait().expect_code(0).events_named("report").pop().unwrap();
    let number = |field: &str| report[field].as_u64().unwrap();
    assert!(number("sent") > 300, "{report}");
    for field in ["reconnects", "lost", "unanswered", "left_out"] {
        assert_eq!(number(field), 0, "{field} in {report}");
    }
}

/// Goal: whom the system believes about certificates is said as for other programs, by `SSL_CERT_FILE`.
#[test]
fn the_authorities_of_the_system_are_those_of_the_variable() {
    let rig = Rig::new();
    let folder = rig.path("tls");
    // The system takes this address to this machine, and it is none of a loopback: nobody has to be believed there.
    make_for(&rig, &folder, &["--name", "0.0.0.0"]);
    let [certificate, key] = files(&folder).map(|path| path.display().to_string());
    let server = rig.server_with(&["--tls-cert", &certificate, "--tls-key", &key]);
    let url = server.url().replace("127.0.0.1", "0.0.0.0");
    rig.client("alice", &url).run(&["users"]).assert_code(7);
    let believes = rig.client("alice", &url).with_env([("SSL_CERT_FILE", &certificate)]);
    believes.run(&["users"]).assert_code(0);
    let listed = believes.run(&["servers"]).expect_code(0);
    assert!(listed.stdout.starts_with(&format!("{url}  ")), "{listed:?}");
}
