//! What the operator's commands say of a server that stands still.

use std::time::{Duration, Instant};

use chat_tests::{Rig, Server, operator, operator_started};
use rustix::process::Signal;

/// Longer than any command may wait for a server that stands still, with the time that it takes to start on a
/// busy machine.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Goal: each command ends soon with a sentence that names the server, its process and what to do, and an order is
/// not carried out later, when the server goes on. Before: a minute, "Resource temporarily unavailable", `health`
/// blamed port 9000, and the order was carried out.
#[test]
fn a_server_that_stands_still_is_named_and_gets_no_order() {
    let rig = Rig::new();
    let server: Server = rig.server();
    rig.client("bob", server.url()).run(&["users"]).assert_code(0);
    let pid = server.program().pid();
    server.program().signal(Signal::STOP);
    let began = Instant::now();
    let asked = [&["stats"][..], &["user", "disable", "bob"], &["drain"], &["health"]];
    let programs = asked.map(|words| operator_started(&rig, words));
    let data = rig.data();
    for program in programs {
        let ended = program.finish().expect_code(1);
        let said = format!("the server of {} (pid {pid}) does not answer", data.display());
        for part in [&said, &format!("kill -CONT {pid}")] {
            assert!(ended.stderr.contains(part), "{part}: {ended:?}");
        }
    }
    let took = began.elapsed();
    assert!(took < WAIT_MAX, "{took:?}");
    let doctor = operator(&rig, &["doctor"]).expect_code(1);
    assert!(doctor.stdout.contains("[-] server: the server of"), "{doctor:?}");
    assert!(!doctor.stdout.contains("9000 does not answer"), "{doctor:?}");

    server.program().signal(Signal::CONT);
    let shown = operator(&rig, &["user", "show", "bob"]).expect_code(0);
    assert!(shown.stdout.contains("state     active"), "{shown:?}");
    let health = operator(&rig, &["health"]).expect_code(0);
    assert!(health.stdout.contains(server.address()), "{health:?}");
}

/// Goal: `health` names the address that it has asked, and why it was that one.
#[test]
fn health_names_the_address_that_it_asked() {
    let rig = Rig::new();
    // Somebody accepts there and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let ended = operator(&rig, &["health", "--port", &address.port().to_string()]).expect_code(1);
    for part in
        [&format!("http://{address}/readyz does not answer: not within 5 s"), "no server runs with"]
    {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}
