//! A Redis that has lost what the servers have: they put it back, and nothing that was acknowledged is lost.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use chat_server::store::sqlite::kept_since;
use chat_tests::{
    LIMIT, Program, Redis, Rig, Server, Signal, get, is_redis_wanted, node, node_command,
    node_digest, person, server_command, until,
};

/// How long it may take until something is acknowledged again, on a busy machine.
const AGAIN_MAX: Duration = Duration::from_secs(20);

/// What happens to a Redis.
type Loss = fn(&mut Redis);

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// All of these servers come to the same.
#[track_caller]
fn are_alike(rig: &Rig, nodes: &[&str]) {
    let mut last = Vec::new();
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        last = nodes.iter().map(|node| node_digest(rig, node)).collect();
        if last.windows(2).all(|pair| pair[0] == pair[1]) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the servers have come apart: {last:#?}");
}

/// Each of these lines was heard once.
#[track_caller]
fn heard_once(listener: &Program, lines: &[String]) {
    let said = listener.stdout.text();
    for line in lines {
        let count = said.lines().filter(|heard| heard.ends_with(line.as_str())).count();
        assert_eq!(count, 1, "{line}: {said}");
    }
}

/// Goal: whatever Redis loses while people talk, nothing that was said is lost or comes twice, and all servers hold the
/// same. Method: three servers, somebody at each; Redis is emptied in place, replaced by an empty one, and gets an older
/// state of its disk back, each while lines are on their way.
#[test]
fn what_redis_loses_the_servers_put_back() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let mut redis = Redis::start(&rig, &[]);
    let servers = NODES.map(|name| node(&rig, &redis, name));
    let [mut alice, bob, carol] = [(0, "alice"), (1, "bob"), (2, "carol")]
        .map(|(at, name)| person(&rig, servers[at].url(), name));
    let mut lines = Vec::new();
    let mut says = |lines: &mut Vec<String>, part: &str, number: usize| {
        for index in 0..number {
            let line = format!("line {part} {index} of it");
            alice.type_line(&line);
            lines.push(line);
        }
    };
    says(&mut lines, "before", 5);
    bob.stdout.wait_for_part("line before 4");
    redis.keep();
    let losses: [(&str, Loss); 3] = [
        ("emptied", |redis| drop(redis.say(&["FLUSHALL"]))),
        ("replaced", Redis::replace),
        ("gone-back", Redis::put_back),
    ];
    for (what, lose) in losses {
        says(&mut lines, &format!("{what} first"), 8);
        lose(&mut redis);
        let lost = Instant::now();
        says(&mut lines, &format!("{what} then"), 8);
        for listener in [&bob, &carol] {
            listener.stdout.wait_for_part(&format!("line {what} then 7 of it"));
        }
        let took = lost.elapsed();
        assert!(took < AGAIN_MAX, "{what}: {took:?}");
    }
    heard_once(&bob, &lines);
    heard_once(&carol, &lines);
    are_alike(&rig, &NODES);
    for server in &servers {
        assert_eq!(get(server.address(), "/readyz", &[]).status, 200);
    }
}

fn runs(rig: &Rig, redis: &Redis, words: &[&str], node: &str) -> Output {
    let mut command = server_command(rig, &["cluster"]);
    command.args(words).args(["--redis", &redis.url(), "--data"]);
    command.arg(rig.path(node)).output().expect("it runs")
}

/// What one server has acknowledged alone, and everybody else has lost.
struct LeftOut {
    bob: Program,
    one: Server,
    _two: Server,
    redis: Redis,
    rig: Rig,
}

impl LeftOut {
    /// Two servers stand still while the third acknowledges something and dies, and Redis is emptied.
    fn begin() -> Self {
        let rig = Rig::new();
        let redis = Redis::start(&rig, &[]);
        let [one, two, mut three] = NODES.map(|name| node(&rig, &redis, name));
        let bob = person(&rig, one.url(), "bob");
        let mut alice = person(&rig, three.url(), "alice");
        alice.type_line("heard by all");
        bob.stdout.wait_for_part("heard by all");
        are_alike(&rig, &NODES);
        for server in [&one, &two] {
            server.program().signal(Signal::STOP);
        }
        // What had come to their sockets would be there when they go on.
        redis.say(&["CLIENT", "KILL", "TYPE", "normal"]);
        alice.type_line("known to one server alone");
        alice.stdout.wait_for_count(2, |line| line.contains("✓ stored for #lobby"));
        until("it is there", || node_digest(&rig, "n3") != node_digest(&rig, "n1"));
        three.kill_hard();
        alice.kill_hard();
        redis.say(&["FLUSHALL"]);
        for server in [&one, &two] {
            server.program().signal(Signal::CONT);
        }
        Self { bob, one, _two: two, redis, rig }
    }
}

/// Goal: where the server is missing that may have the newest, nobody goes on without a person's word; when it comes later
/// it says what only it has, and does not follow.
#[test]
fn a_server_that_was_left_out_says_what_only_it_has() {
    if !is_redis_wanted() {
        return;
    }
    let LeftOut { mut bob, one, redis, rig, _two } = LeftOut::begin();
    let readiness = || get(one.address(), "/readyz?verbose", &[]).body;
    until("it says for whom it waits", || {
        readiness()
            .contains("n3 may have more: start it, or say: chat-server cluster open --without n3")
    });
    let said = runs(&rig, &redis, &["open", "--without", "n3"], "n1");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    bob.type_line("we go on");
    stored_is(&bob, 1);
    until("it is ready again", || get(one.address(), "/readyz", &[]).status == 200);
    are_alike(&rig, &["n1", "n2"]);
    let mut three = Program::start(node_command(&rig, &redis, "n3", "0", &[]));
    assert_eq!(three.ends_within(LIMIT), Some(70), "{}", three.stderr.text());
    let words = three.stderr.text();
    let expected = "the log was opened without this server, which has what nobody else has: turns";
    assert!(words.contains(expected), "{words}");
    // What is only there is not lost.
    std::fs::rename(rig.path("n3"), rig.path("n3-before")).unwrap();
    snapshot(&rig, &redis, ("n1", "n3"));
    let before = rig.path("n3-before");
    let options = ["--salvage", before.to_str().unwrap()];
    let three = Server::run(node_command(&rig, &redis, "n3", "0", &options));
    let told = three.program().stderr.text();
    assert!(told.contains("taken up: what the log was opened without"), "{told}");
    bob.stdout.wait_for_part("known to one server alone");
    are_alike(&rig, &NODES);
    heard_once(&bob, &["known to one server alone".to_owned(), "heard by all".to_owned()]);
}

/// The folder of a server is moved away, and it gets one from another server.
fn renew(rig: &Rig, redis: &Redis, (from, node): (&str, &str)) -> std::path::PathBuf {
    let before = rig.path(&format!("{node}-before"));
    std::fs::rename(rig.path(node), &before).unwrap();
    snapshot(rig, redis, (from, node));
    before
}

fn stored_is(person: &Program, count: usize) {
    person.stdout.wait_for_count(count, |line| line.contains("✓ stored for #lobby"));
}

/// Goal: what one server has acknowledged is found where another one opens the log behind the same turn without knowing of it,
/// and is taken up. Before: both openings had one number, and nothing was found to be missing.
#[test]
fn two_openings_behind_one_turn_are_told_apart() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let mut redis = Redis::start(&rig, &[]);
    let [mut one, two] = ["n1", "n2"].map(|name| node(&rig, &redis, name));
    let mut alice = person(&rig, one.url(), "alice");
    let mut bob = person(&rig, two.url(), "bob");
    alice.type_line("heard by both");
    bob.stdout.wait_for_part("heard by both");
    are_alike(&rig, &["n1", "n2"]);
    let port = two.port().to_owned();
    // The second one misses an opening.
    two.program().terminate();
    let mut two = two;
    assert_eq!(two.ends_within(LIMIT), Some(0));
    redis.kill();
    redis.run(&[]);
    for (number, line) in ["said to one alone", "and once more"].into_iter().enumerate() {
        alice.type_line(line);
        stored_is(&alice, number + 2);
    }
    one.kill_hard();
    alice.kill_hard();
    redis.replace();
    // It begins where it was, on a word of a person.
    let starting = Program::start(node_command(&rig, &redis, "n2", &port, &[]));
    until("it says what is missing", || {
        starting.stderr.text().contains("chat-server cluster open")
    });
    let said = runs(&rig, &redis, &["open", "--without", "n1"], "n2");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let _two = Server::of(starting);
    bob.type_line("we go on");
    stored_is(&bob, 1);
    let mut late = Program::start(node_command(&rig, &redis, "n1", "0", &[]));
    assert_eq!(late.ends_within(LIMIT), Some(70), "{}", late.stderr.text());
    assert!(
        late.stderr.text().contains("which has what nobody else has"),
        "{}",
        late.stderr.text()
    );
    let before = renew(&rig, &redis, ("n2", "n1"));
    let options = ["--salvage", before.to_str().unwrap()];
    let one = Server::run(node_command(&rig, &redis, "n1", "0", &options));
    bob.stdout.wait_for_part("and once more");
    heard_once(&bob, &["said to one alone".to_owned(), "and once more".to_owned()]);
    are_alike(&rig, &["n1", "n2"]);
    drop(one);
}

/// Goal: turns of which a folder has the bytes no more are named, and nothing is left out in silence.
#[test]
fn turns_that_a_folder_has_forgotten_are_named() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let mut redis = Redis::start(&rig, &[]);
    let small = ["--log-keep", "8KiB", "--log-max", "16KiB"];
    let run = |redis: &Redis, name: &str| Server::run(node_command(&rig, redis, name, "0", &small));
    let (mut one, mut two) = (run(&redis, "n1"), run(&redis, "n2"));
    let mut alice = person(&rig, one.url(), "alice");
    alice.type_line("while both run");
    are_alike(&rig, &["n1", "n2"]);
    two.kill_hard();
    let turn = |redis: &Redis| {
        redis.say(&["HGET", "{chat}:meta", "turn"]).trim().parse::<u64>().unwrap_or(0)
    };
    // The second server has no turn behind this one. As long as it has a lease nothing behind that is removed.
    let died_at = turn(&redis);
    let first_kept = || {
        let kept = kept_since(&rig.path("n1")).expect("read");
        kept.into_iter().map(|(turn, _)| turn).min().unwrap_or(0)
    };
    // What was removed from the log is forgotten here with the next turn.
    until("the folder has forgotten some of the turns behind it", || {
        let before = turn(&redis);
        alice.type_line(&format!("one line of many: {}", "x".repeat(400)));
        until("it is in the log", || turn(&redis) > before);
        first_kept() > died_at + 1
    });
    one.kill_hard();
    alice.kill_hard();
    redis.replace();
    let starting = Program::start(node_command(&rig, &redis, "n2", "0", &small));
    until("it says what is missing", || {
        starting.stderr.text().contains("chat-server cluster open")
    });
    let said = runs(&rig, &redis, &["open", "--without", "n1"], "n2");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let two = Server::of(starting);
    let mut bob = person(&rig, two.url(), "bob");
    bob.type_line("we go on");
    stored_is(&bob, 1);
    let before = renew(&rig, &redis, ("n2", "n1"));
    let options = [&small[..], &["--salvage", before.to_str().unwrap()]].concat();
    let mut one = Program::start(node_command(&rig, &redis, "n1", "0", &options));
    assert_eq!(one.ends_within(LIMIT), Some(1), "{}", one.stderr.text());
    let words = one.stderr.text();
    assert!(
        words.contains("not as they were said") && words.contains("Nothing was taken up"),
        "{words}"
    );
}

/// Makes the folder of a server from that of another.
fn snapshot(rig: &Rig, redis: &Redis, (from, to): (&str, &str)) {
    let out = rig.path(to);
    let words = ["snapshot", "--name", to, "--out", out.to_str().unwrap()];
    // A folder that others may write to gets none.
    std::fs::create_dir(&out).unwrap();
    std::fs::set_permissions(&out, Permissions::from_mode(0o777)).unwrap();
    let refused = runs(rig, redis, &words, from);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("others can write"), "{refused:?}");
    std::fs::set_permissions(&out, Permissions::from_mode(0o755)).unwrap();
    let made = runs(rig, redis, &words, from);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // It holds the hashes of all passwords, and stays here until it is taken to its machine.
    for file in std::fs::read_dir(&out).unwrap() {
        let file = file.unwrap();
        let bits = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(bits & 0o077, 0, "{}: {bits:o}", file.path().display());
    }
}

/// Goal: a server that starts on a log which Redis has lost, and waits for another one, says so to everybody who asks.
/// (The build before answered nothing.)
#[test]
fn a_server_that_waits_for_others_at_its_start_says_so() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let redis = Redis::start(&rig, &[]);
    let [one, two] = ["n1", "n2"].map(|name| node(&rig, &redis, name));
    let mut alice = person(&rig, one.url(), "alice");
    alice.type_line("known to both");
    alice.stdout.wait_for_part("✓ stored for #lobby");
    are_alike(&rig, &["n1", "n2"]);
    alice.kill_hard();
    let (address, ports) =
        (one.address().to_owned(), [one.port().to_owned(), two.port().to_owned()]);
    for mut server in [one, two] {
        server.kill_hard();
    }
    redis.say(&["FLUSHALL"]);
    let is_open = || std::net::TcpStream::connect(&address).is_ok();
    // One that leaves the others waits for them as well.
    let mut leaves =
        Program::start(node_command(&rig, &redis, "n1", &ports[0], &["--leave-cluster"]));
    until("its port is open", is_open);
    until("it says for whom it waits", || {
        let page = get(&address, "/readyz?verbose", &[]);
        assert_eq!(page.status, 503, "{}", page.body);
        page.body.contains("n2 may have more: start it")
    });
    leaves.kill_hard();
    let mut first = Program::start(node_command(&rig, &redis, "n1", &ports[0], &[]));
    until("its port is open", is_open);
    until("it says for whom it waits", || {
        let page = get(&address, "/readyz?verbose", &[]);
        assert_eq!(page.status, 503, "{}", page.body);
        page.body.contains("n2 may have more: start it")
    });
    assert!(!first.has_ended());
    let turned_away = rig.client("alice", &format!("ws://{address}")).start(&["users"]);
    let two = Server::run(node_command(&rig, &redis, "n2", &ports[1], &[]));
    until("it is ready", || get(&address, "/readyz", &[]).status == 200);
    // It was told to come again, and has.
    turned_away.finish().assert_code(0);
    drop((first, two));
}

/// Goal: the log is trimmed to what is asked for, and a server that was away for longer says so, and goes on from a
/// snapshot. Method: a log that may take next to nothing.
#[test]
fn a_server_that_was_away_for_longer_than_the_log_goes_back_needs_a_snapshot() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let redis = Redis::start(&rig, &[]);
    let small = ["--log-keep", "8KiB", "--log-max", "16KiB"];
    let run = |name: &str| Server::run(node_command(&rig, &redis, name, "0", &small));
    let (one, mut two) = (run("n1"), run("n2"));
    let mut alice = person(&rig, one.url(), "alice");
    alice.type_line("while both run");
    are_alike(&rig, &["n1", "n2"]);
    let turn = || redis.say(&["HGET", "{chat}:meta", "turn"]).trim().parse::<u64>().unwrap_or(0);
    let first = || {
        let entry = redis.say(&["XRANGE", "{chat}:log", "-", "+", "COUNT", "1"]);
        let id = entry.lines().next().and_then(|id| id.split_once('-'));
        id.and_then(|(_, turn)| turn.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    two.kill_hard();
    let died_at = turn();
    for index in 0..30 {
        let before = turn();
        alice.type_line(&format!("line {index} of many: {}", "x".repeat(400)));
        until("it is in the log", || turn() > before);
    }
    until("it is trimmed", || first() > died_at + 1);
    let figure = |name: &str| {
        let page = get(one.address(), "/metrics", &[]).body;
        let line = page.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    until("it is told", || figure("chat_shared_log_turns") > 0);
    let mut away = Program::start(node_command(&rig, &redis, "n2", "0", &small));
    assert_eq!(away.ends_within(LIMIT), Some(70), "{}", away.stderr.text());
    let words = away.stderr.text();
    assert!(words.contains("needs a snapshot of another one"), "{words}");
    std::fs::rename(rig.path("n2"), rig.path("n2-before")).unwrap();
    snapshot(&rig, &redis, ("n1", "n2"));
    let two = run("n2");
    let bob = person(&rig, two.url(), "bob");
    alice.type_line("said to all again");
    bob.stdout.wait_for_part("said to all again");
    are_alike(&rig, &["n1", "n2"]);
}

/// Goal: who leaves with another folder than was meant makes no new server. Before, one began there where a turn or Redis was named.
#[test]
fn an_empty_folder_has_not_left() {
    let rig = Rig::new();
    for option in ["--leave-cluster", "--leave-cluster=5"] {
        let words = ["--port", "0", "--log-format", "text", option, "--data"];
        let mut command = server_command(&rig, &words);
        command.arg(rig.path("n9")).arg("--logs").arg(rig.path("logs-n9"));
        is_refused_as_empty(command);
    }
    if is_redis_wanted() {
        let redis = Redis::start(&rig, &[]);
        is_refused_as_empty(node_command(&rig, &redis, "n9", "0", &["--leave-cluster"]));
    }
}

fn is_refused_as_empty(command: Command) {
    let mut refused = Program::start(command);
    assert_eq!(refused.ends_within(LIMIT), Some(2), "{}", refused.stderr.text());
    assert!(refused.stderr.text().contains("no server has left there"));
}

/// Goal: a server that ran alone becomes the first of several with all it has, and one of several is alone again, and
/// people see the same server all the time.
#[test]
fn a_server_becomes_one_of_several_and_is_alone_again() {
    if !is_redis_wanted() {
        return;
    }
    let rig = Rig::new();
    let redis = Redis::start(&rig, &[]);
    let alone = |options: &[&str]| {
        let words = ["--port", "0", "--log-format", "text", "--limit", "disk=off", "--data"];
        let mut command = server_command(&rig, &words);
        command.arg(rig.path("n1")).arg("--logs").arg(rig.path("logs-n1")).args(options);
        command
    };
    let ends = |mut server: Server| {
        server.program().terminate();
        assert_eq!(server.ends_within(LIMIT), Some(0));
    };
    let first = Server::run(alone(&[]));
    let mut alice = person(&rig, first.url(), "alice");
    alice.type_line("said when it was alone");
    alice.stdout.wait_for_part("✓ stored for #lobby");
    until("it is kept", || node_digest(&rig, "n1").contains("entries: "));
    alice.kill_hard();
    ends(first);
    let before = node_digest(&rig, "n1");
    let mut refused = Program::start(node_command(&rig, &redis, "n1", "0", &[]));
    assert_eq!(refused.ends_within(LIMIT), Some(2), "{}", refused.stderr.text());
    let one = Server::run(node_command(&rig, &redis, "n1", "0", &["--new-cluster"]));
    let mut empty = Program::start(node_command(&rig, &redis, "n2", "0", &[]));
    assert_eq!(empty.ends_within(LIMIT), Some(2), "{}", empty.stderr.text());
    assert!(empty.stderr.text().contains("a new one needs a snapshot"));
    std::fs::remove_dir_all(rig.path("n2")).ok();
    snapshot(&rig, &redis, ("n1", "n2"));
    let two = Server::run(node_command(&rig, &redis, "n2", "0", &[]));
    let bob = person(&rig, two.url(), "bob");
    let mut again = person(&rig, one.url(), "carol");
    again.type_line("said when they were two");
    bob.stdout.wait_for_part("said when they were two");
    are_alike(&rig, &["n1", "n2"]);
    assert!(before.contains("accounts: 2"), "{before}");
    // The first one is stopped, and the other one goes on.
    drop((again, bob));
    ends(one);
    let mut dave = person(&rig, two.url(), "dave");
    dave.type_line("said when one was stopped");
    stored_is(&dave, 1);
    let leaves = || node_command(&rig, &redis, "n1", "0", &["--leave-cluster"]);
    let mut refused = Program::start(leaves());
    assert_eq!(refused.ends_within(LIMIT), Some(2), "{}", refused.stderr.text());
    assert!(refused.stderr.text().contains("another server of chat runs"));
    drop(dave);
    ends(two);
    let together = node_digest(&rig, "n2");
    let turn = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("turn: "));
        line.and_then(|line| line.split(',').next()).map(str::to_owned).expect("a turn")
    };
    // Without Redis nobody knows what the other one has acknowledged.
    for words in [vec!["--leave-cluster"], vec!["--leave-cluster=1"]] {
        let mut refused = Program::start(alone(&words));
        assert_eq!(refused.ends_within(LIMIT), Some(2), "{}", refused.stderr.text());
    }
    assert_ne!(turn(&node_digest(&rig, "n1")), turn(&together));
    ends(Server::run(leaves()));
    let line = |text: &str, of: &str| {
        text.lines().rev().find(|line| line.starts_with(of)).map(str::to_owned)
    };
    assert_eq!(line(&node_digest(&rig, "n1"), "digest: "), line(&together, "digest: "));
    // What made it alone may stay in its configuration.
    ends(Server::run(alone(&["--leave-cluster"])));
    // The other folder, by a person who has compared.
    let mut command = server_command(&rig, &["--port", "0", "--log-format", "text", "--data"]);
    command.arg(rig.path("n2")).args(["--limit", "disk=off", "--logs"]).arg(rig.path("logs-n2"));
    command.arg(format!("--leave-cluster={}", turn(&together)));
    ends(Server::run(command));
    assert_eq!(line(&node_digest(&rig, "n2"), "entries: "), line(&together, "entries: "));
}
