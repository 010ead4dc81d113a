//! How a command that was asked for ends for whoever waits: away, restarted, cancelled, refused.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use chat_tests::{Client, Program, Rig, Server};

/// A server, alice who asks, and web1 whose agent lets her do what `argv` says.
pub(super) struct Machines {
    pub(super) rig: Rig,
    pub(super) server: Server,
    pub(super) alice: Client,
    pub(super) web: Client,
    policy: PathBuf,
}

impl Machines {
    pub(super) fn new(argv: &str, more: &str) -> Self {
        let rig = Rig::new();
        let server = rig.server();
        let (alice, web) = (rig.client("alice", server.url()), rig.client("web1", server.url()));
        let said = alice.pipe(&["/fingerprint"], &[]).expect_code(0).stdout;
        let key = said.lines().find_map(|line| line.trim().strip_prefix("in a policy: "));
        let key = key.expect("a key").trim();
        let rule = format!(
            "[[rule]]\nwho = [{{ name = \"alice\", key = \"{key}\" }}]\nargv = {argv}\n{more}\n"
        );
        let policy = rig.write("policy.toml", &rule);
        Self { rig, server, alice, web, policy }
    }

    /// The agent of web1, which accepts commands when this returns.
    pub(super) fn agent(&self) -> Program {
        self.agent_of(&self.web)
    }

    /// The same, started by another client of web1.
    pub(super) fn agent_of(&self, web: &Client) -> Program {
        let agent = web.start(&["agent", "--policy", &self.policy.display().to_string()]);
        agent.stderr.wait_for_part("accepting commands");
        agent
    }
}

/// What a terminal does at Ctrl-C.
fn interrupt(program: &Program) {
    let pid = i32::try_from(program.pid()).expect("a process id");
    let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("sent");
}

/// Lets her do anything.
pub(super) const NAPS: &str = "[[\"sh\", \"-c\", \"*\"]]";

/// Goal: a command whose machine dies is told of at once, and its end is waited for no longer than
/// was said. (The build before waited for ever without a line.)
#[test]
fn a_machine_that_dies_is_told_of_and_waited_for_as_long_as_was_said() {
    let machines = Machines::new(NAPS, "shell = true");
    let mut agent = machines.agent();
    let run = ["run", "--timeout", "3s", "web1", "--", "sh", "-c", "echo begun; sleep 300"];
    let mut run = machines.alice.start(&run);
    run.stdout.wait_for_part("begun");
    agent.kill_hard();
    run.stderr.wait_for_part("web1 is away");
    let ended = run.wait().expect_code(124);
    assert!(ended.stderr.contains("how it ended is not known"), "{ended:?}");
}

/// Goal: a command that was under way when its machine died has a code of its own, which is not that
/// of one that never ran. (The build before ended with 255, "never ran".)
#[test]
fn a_machine_that_comes_back_says_that_the_end_is_not_known() {
    let machines = Machines::new(NAPS, "shell = true");
    let mut agent = machines.agent();
    let mut run = machines.alice.start(&["run", "web1", "--", "sh", "-c", "echo begun; sleep 300"]);
    run.stdout.wait_for_part("begun");
    agent.kill_hard();
    let _again = machines.agent();
    let ended = run.wait().expect_code(125);
    assert!(ended.stderr.contains("E_INTERRUPTED"), "{ended:?}");
    assert!(ended.stderr.contains("do not simply ask for it again"), "{ended:?}");
    let table = machines.alice.run(&["exit-codes"]).expect_code(0).stdout;
    assert!(table.contains("125  run: the command was started"), "{table}");
}

/// Goal: bytes that nobody would get are refused before anything is asked for; an open pipe, its end,
/// a file and `-n` are not. (The build before ran `cat` on nothing and ended with 0.)
#[test]
fn bytes_for_a_command_that_gets_none_are_refused() {
    let machines = Machines::new("[[\"true\"]]", "");
    let run = |arguments: &[&str], bytes: Option<&[u8]>| {
        let mut command = machines.alice.plain(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut input = child.stdin.take();
        if let (Some(bytes), Some(input)) = (bytes, &mut input) {
            input.write_all(bytes).expect("written");
        } else if bytes.is_none() {
            drop(input.take());
        }
        let status = child.wait().expect("ended").code();
        drop(input);
        status
    };
    assert_eq!(run(&["run", "server", "--", "true"], Some(b"data\n")), Some(2));
    assert_eq!(run(&["run", "-n", "server", "--", "true"], Some(b"data\n")), Some(0));
    assert_eq!(run(&["run", "server", "--", "true"], Some(b"")), Some(0), "an open pipe");
    assert_eq!(run(&["run", "server", "--", "true"], None), Some(0), "the end of one");
}

/// Goal: what a command writes reaches a program byte by byte. (The build before cut a character
/// between two pieces, and put U+FFFD in the place of what is no text.)
#[test]
fn json_output_loses_no_byte() {
    let machines = Machines::new(NAPS, "shell = true");
    let _agent = machines.agent();
    let script = "head -c 16383 /dev/zero | tr '\\0' x; printf é; printf '\\377\\000' >&2";
    let ended = machines.alice.run(&["run", "--json", "web1", "--", "sh", "-c", script]);
    let output = ended.expect_code(0).events_named("output");
    let text: String = output.iter().filter_map(|object| object["data"].as_str()).collect();
    assert_eq!(text, "x".repeat(16_383) + "é");
    let bytes: Vec<_> = output.iter().filter_map(|object| object["data_b64"].as_str()).collect();
    assert_eq!(bytes, ["/wA="]);
}

/// Goal: Ctrl-C cancels a command: one that runs is ended, one that waits for its machine never
/// starts, whatever comes first when the machine is back. (The build before left it to run.)
#[test]
fn ctrl_c_cancels_what_runs_and_what_waits() {
    let machines = Machines::new(NAPS, "shell = true");
    let mark = machines.rig.path("mark").display().to_string();
    let mut agent = machines.agent();
    let mut run = machines.alice.start(&["run", "web1", "--", "sh", "-c", "echo begun; sleep 300"]);
    run.stdout.wait_for_part("begun");
    interrupt(&run);
    let ended = run.wait().expect_code(130);
    assert!(ended.stderr.contains("E_CANCELLED"), "{ended:?}");

    agent.kill_hard();
    let script = format!("touch {mark}");
    let mut run = machines.alice.start(&["run", "web1", "--", "sh", "-c", &script]);
    run.stderr.wait_for_part("; Ctrl-C cancels it");
    interrupt(&run);
    let ended = run.wait().expect_code(130);
    for part in ["is cancelled when it comes back", "it can still start until ", "--again only"] {
        assert!(ended.stderr.contains(part), "{ended:?}");
    }
    // Whatever the server keeps back, the same words are not asked for twice by accident.
    let again = machines.alice.run(&["run", "web1", "--", "sh", "-c", &script]);
    assert!(again.stderr.contains("--again"), "{again:?}");
    let _back = machines.agent();
    // What was asked for later is dealt with after it.
    machines.alice.run(&["run", "web1", "--", "sh", "-c", "true"]).assert_code(0);
    assert!(!std::path::Path::new(&mark).exists(), "it was started");
    drop(machines.server);
}

/// Goal: what ends a program in a script or a service cancels its command as Ctrl-C does. (The build before was killed by
/// the signal, and the command went on.)
#[test]
fn a_signal_that_ends_run_cancels_what_runs() {
    let machines = Machines::new(NAPS, "shell = true");
    let _agent = machines.agent();
    let mut run = machines.alice.start(&["run", "web1", "--", "sh", "-c", "echo begun; sleep 300"]);
    run.stdout.wait_for_part("begun");
    run.terminate();
    let ended = run.wait().expect_code(130);
    assert!(ended.stderr.contains("E_CANCELLED"), "{ended:?}");
}

/// Goal: who accepts commands is listed as long as an agent is there, and no longer.
#[test]
fn an_agent_that_left_accepts_no_commands() {
    let machines = Machines::new("[[\"true\"]]", "");
    let accepts = || {
        let users = machines.alice.run(&["users"]).expect_code(0).stdout;
        users.lines().any(|line| line.starts_with("web1") && line.contains("accepts commands"))
    };
    let mut agent = machines.agent();
    assert!(accepts());
    // Another program of the same home is no agent.
    let _listens = machines.web.start(&["listen"]);
    agent.terminate();
    agent.wait().assert_code(130);
    assert!(!accepts(), "the agent has left");
}

/// Goal: a policy is read, warned of and explained without a server; one that is wrong ends with 1.
#[test]
fn a_policy_is_checked_before_it_is_used() {
    let machines = Machines::new("[[\"uptime\"], [\"timeout\", \"**\"]]", "time_limit_s = 7");
    let policy = machines.policy.display().to_string();
    let checked = machines.web.run(&["agent", "--check", "--policy", &policy]).expect_code(0);
    assert!(checked.stderr.contains("policy.toml:3:"), "{checked:?}");
    assert!(checked.stderr.contains("\"timeout\" can run other programs"), "{checked:?}");
    for part in ["alice (key ", "uptime", "timeout **", "for 7 s, 7 s of CPU time"] {
        assert!(checked.stdout.contains(part), "{part} is missing in {checked:?}");
    }
    let agent = machines.agent();
    agent.stderr.wait_for_part("\"timeout\" can run other programs");
    machines.rig.write("policy.toml", "[[rule]]\nwho = 7\n");
    let wrong = machines.web.run(&["agent", "--check", "--policy", &policy]).expect_code(1);
    assert!(wrong.stderr.contains("policy.toml:2:"), "{wrong:?}");
}

/// Goal: a reader that goes away is no good end of a command that goes on. (The build before ended with 0.)
#[test]
fn a_command_whose_output_nobody_takes_has_no_known_end() {
    let machines = Machines::new(NAPS, "shell = true");
    let _agent = machines.agent();
    let mut command = machines.alice.plain(&["run", "web1", "--", "sh", "-c", "echo a; exit 3"]);
    let full = std::fs::File::options().write(true).open("/dev/full").expect("opened");
    let ended = command.stdout(full).stdin(Stdio::null()).output().expect("ended");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(125), "{told}");
    assert!(told.contains("how it ends is not waited for"), "{told}");
    let mut command = machines.alice.plain(&["run", "web1", "--", "sh", "-c", "echo a; exit 3"]);
    let mut started = command
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    drop(started.stdout.take());
    let ended = started.wait_with_output().expect("ended");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(125), "{told}");
}
