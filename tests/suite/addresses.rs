//! A server with several addresses: the next one is tried when one is away, all of them are one server, and nothing that
//! was said is lost or told twice.

use std::net::TcpListener;

use chat_tests::{FalseHub, Gate, Mood, Program, Proxy, Rig, Server, messages, person};

/// A server with two addresses.
struct Place {
    // The gates and the server end before their folders go.
    one: Gate,
    two: Gate,
    server: Server,
    rig: Rig,
}

impl Place {
    fn new() -> Self {
        let rig = Rig::new();
        let server = rig.server();
        let (one, two) = (Gate::before(server.address()), Gate::before(server.address()));
        Self { one, two, server, rig }
    }

    fn both(&self) -> String {
        format!("{},{}", self.one.url(), self.two.url())
    }

    /// Somebody at a prompt, connected at the first address.
    fn person(&self, name: &str) -> Program {
        let chat = person(&self.rig, &self.both(), name);
        chat.stdout.wait_for_part(&format!("connected to {}", self.one.url()));
        chat
    }
}

/// An address at which nobody is.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("ws://{}", listener.local_addr().unwrap())
}

/// A server of its own identity, which nobody here knows.
fn stranger() -> FalseHub {
    FalseHub::with_vaults(Box::new(|_, _| Vec::new()))
}

/// Says the lines from `first` to `last`.
fn says(chat: &mut Program, first: u32, last: u32) {
    for number in first..=last {
        chat.type_line(&format!("number {number}."));
    }
}

/// All lines up to `last` are there, once and in order.
fn heard_all(listener: &Program, last: u32) {
    listener.stdout.wait_for_part(&format!("number {last}."));
    let heard = listener.stdout.text();
    let numbers =
        heard.lines().filter_map(|line| line.split_once("alice: number ")?.1.strip_suffix('.'));
    let expected: Vec<_> = (1..=last).map(|number| number.to_string()).collect();
    assert_eq!(numbers.collect::<Vec<_>>(), expected, "{heard}");
}

/// Goal: the death of the server at one address costs neither a message nor shows one twice, for who sends and for who
/// listens. Method: both are at the first address; it dies in the midst of forty messages.
#[test]
fn nothing_is_lost_or_doubled_when_an_address_dies() {
    let mut place = Place::new();
    let (mut alice, mut bob) = (place.person("alice"), place.person("bob"));
    says(&mut alice, 1, 20);
    bob.stdout.wait_for_part("number 3.");
    place.one.kill();
    says(&mut alice, 21, 40);
    heard_all(&bob, 40);
    let two = place.two.url();
    for chat in [&mut alice, &mut bob] {
        chat.stdout.wait_for_part(&format!("connected to {two}"));
        chat.type_line("/status");
        chat.stdout.wait_for_part(&format!("connected to {two} (else {})", place.one.url()));
    }
    bob.type_line("heard");
    alice.stdout.wait_for_part("bob: heard");
}

/// Goal: who is told 1013 goes to the next address, and not back to where they were put off.
#[test]
fn who_is_told_to_come_later_goes_to_the_next_address() {
    let place = Place::new();
    let (mut alice, bob) = (place.person("alice"), place.person("bob"));
    says(&mut alice, 1, 5);
    bob.stdout.wait_for_part("number 5.");
    let taken = place.one.taken();
    place.one.put_off();
    says(&mut alice, 6, 10);
    heard_all(&bob, 10);
    assert_eq!(place.one.taken(), taken, "nobody has asked there again");
}

/// Goal: an address that puts off, before the greeting or at the sign-in, one that says nothing, and one at which nobody
/// is keep nobody away from the next.
#[test]
fn a_start_finds_the_address_that_lets_in() {
    let place = Place::new();
    let send = |servers: &str| {
        let sent = place.rig.client("alice", servers).run(&["send", "#lobby", "hello", "--json"]);
        assert_eq!(sent.expect_code(0).events_named("ack").len(), 1, "{servers}");
    };
    for mood in [Mood::PutsOff, Mood::Closes, Mood::Silent] {
        place.one.set(mood);
        send(&place.both());
        assert!(place.one.taken() > 0, "{mood:?}: the first address was tried");
    }
    send(&format!("{},{}", nobody(), place.two.url()));
    let is_ok = |text: &str| text.contains(r#""tag":"OK""#);
    let retry = r#"{"tag":"RETRY","id":"AAAAAAAAAAAAAAAAAAAAAA","after_ms":100,"why":"not now"}"#;
    let at_the_sign_in = Proxy::rewriting(
        place.server.address(),
        Box::new(move |text| is_ok(text).then(|| retry.to_owned())),
    );
    send(&format!("{},{}", at_the_sign_in.url(), place.two.url()));
    assert!(!at_the_sign_in.sent_by_clients().is_empty(), "it was asked first");
}

/// Goal: where nobody is at any address, each is named with what is wrong there.
#[test]
fn each_address_is_named_where_none_lets_in() {
    let rig = Rig::new();
    let addresses = [nobody(), nobody()];
    let failed = rig.client("alice", &addresses.join(",")).run(&["users"]).expect_code(3);
    assert!(failed.stderr.contains("none of 2 addresses lets in"), "{failed:?}");
    assert!(addresses.iter().all(|url| failed.stderr.contains(url)), "{failed:?}");
}

/// Goal: every mode of the client knows the next address. Method: at the first one nobody is.
#[test]
fn every_mode_goes_to_the_next_address() {
    let place = Place::new();
    let servers = format!("{},{}", nobody(), place.two.url());
    let alice = place.rig.client("alice", &servers);
    let said = alice.pipe(&["hello", "/fingerprint"], &[]).expect_code(0).stdout;
    let key = said.lines().find_map(|line| line.trim().strip_prefix("in a policy: ")).unwrap();
    let who = format!("[{{ name = \"alice\", key = \"{key}\" }}]");
    let rule = format!("[[rule]]\nwho = {who}\nargv = [[\"echo\", \"*\"]]\n");
    let policy = place.rig.write("policy.toml", &rule);
    let agent = place.rig.client("web1", &servers);
    let _agent = {
        let agent = agent.start(&["agent", "--policy", policy.to_str().unwrap()]);
        agent.stderr.wait_for_part("accepting commands");
        agent
    };
    let ran = alice.run(&["run", "web1", "--", "echo", "here"]).expect_code(0);
    assert_eq!(ran.stdout, "here\n");
    let shared = place.rig.path("shared");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::write(shared.join("plan.txt"), "the plan").unwrap();
    std::fs::write(shared.join("keyword.txt"), "plan, plan.txt").unwrap();
    let owner = place.rig.client("bob", &servers);
    let sharing = owner.start(&["share", shared.to_str().unwrap(), "--to", "ALL", "--json"]);
    sharing.stdout.wait_for("the list is at the server", |line| line.contains("\"shared\""));
    let target = place.rig.path("fetched");
    std::fs::create_dir_all(&target).unwrap();
    alice.run(&["get", "bob", "plan.txt", "-o", target.to_str().unwrap()]).assert_code(0);
    assert_eq!(std::fs::read_to_string(target.join("plan.txt")).unwrap(), "the plan");
    let lines = messages().display().to_string();
    let emulate = ["--emulate", "3", "--per-client", "2", "--messages", &lines, "--json"];
    let report = place.rig.emulator(&servers).run(&emulate).expect_code(0);
    assert!(report.stderr.contains("/metrics of"), "one cannot be asked: {report:?}");
    assert_eq!(report.events_named("report")[0]["lost"], 0);
}

/// Goal: the addresses of one command line are one server. A stranger at one of them is the alarm, also where
/// nobody was before, and gets no secret.
#[test]
fn a_stranger_at_another_address_is_an_alarm() {
    let mut place = Place::new();
    let hub = stranger();
    let servers = format!("{},{}", place.one.url(), hub.url());
    let alice = place.rig.client("alice", &place.one.url());
    alice.run(&["users"]).assert_code(0);
    let both = place.rig.client("alice", &servers);
    let mut chat = both.chat();
    place.one.kill();
    let ended = chat.wait().expect_code(7);
    assert!(
        ended.stderr.contains(&format!("ANOTHER SERVER ANSWERS AT {}", hub.url())),
        "{ended:?}"
    );
    let refused = both.run(&["users"]).expect_code(7);
    assert!(refused.stderr.contains("server_changed"), "{refused:?}");
    assert!(refused.stderr.contains(&format!("servers forget {} {}", place.one.url(), hub.url())));
    assert_eq!(hub.secrets(), 0, "nothing was sent to it");
}

/// Goal: what a server has proved at one address holds at those beside it from then on, and two servers that the home
/// knows are never taken for one.
#[test]
fn a_home_binds_all_addresses_to_one_server() {
    let place = Place::new();
    let hub = stranger();
    let servers = format!("{},{}", place.one.url(), hub.url());
    place.rig.client("alice", &servers).run(&["users"]).assert_code(0);
    let alone = place.rig.client("alice", &hub.url());
    let refused = alone.run(&["users"]).expect_code(7);
    assert!(refused.stderr.contains("ANOTHER SERVER ANSWERS"), "{refused:?}");
    // As if both had been met one by one, each as a server of its own.
    let known = alone.home().join("known_servers");
    let lines = std::fs::read_to_string(&known).unwrap();
    let other = lines.lines().map(|line| match line.split_once(' ') {
        Some((url, rest)) if url == hub.url() => {
            format!("{url} AAAAAAAAAAAAAAAAAAAAAA {}\n", &rest[23..])
        }
        _ => format!("{line}\n"),
    });
    std::fs::write(&known, other.collect::<String>()).unwrap();
    for words in [&["users"][..], &["history"]] {
        let refused = place.rig.client("alice", &servers).run_known(words).expect_code(7);
        assert!(refused.stderr.contains("TWO SERVERS"), "{words:?}: {refused:?}");
    }
    assert_eq!(hub.secrets(), 0);
}
