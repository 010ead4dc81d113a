//! Commands on the server's machine and on other people's.

use std::path::PathBuf;

use chat_protocol::frame::Binary;
use chat_protocol::header::Header;
use chat_protocol::tag::Tag;
use chat_tests::{
    Client, Fate, House, Program, Proxy, Rig, Rule, Scene, at_one_and_over_two, until,
};

at_one_and_over_two! {
    the_server_runs_what_is_on_its_list_and_the_client_exits_with_its_status,
    an_agent_decides_by_name_and_key,
}

/// More than one frame of output, and more than a text may have.
const MANY_LINES: usize = 30_000;

/// The key of `client`, as a policy names it.
fn key_of(client: &Client) -> String {
    let said = client.pipe(&["/fingerprint"], &[]).expect_code(0).stdout;
    let line = said.lines().find_map(|line| line.trim().strip_prefix("in a policy: "));
    line.unwrap_or_else(|| panic!("no key in {said}")).trim().to_owned()
}

fn policy(rig: &Rig, name: &str, key: &str, argv: &str, more: &str) -> PathBuf {
    let rule = format!(
        "[[rule]]\nwho = [{{ name = \"{name}\", key = \"{key}\" }}]\nargv = {argv}\n{more}\n"
    );
    rig.write("policy.toml", &rule)
}

/// A server whose own agent lets alice do what `argv` says; and alice.
pub(super) fn server_for_alice(rig: &Rig, argv: &str, more: &str) -> (chat_tests::Server, Client) {
    let mut server = rig.server();
    let alice = rig.client("alice", server.url());
    let path = policy(rig, "alice", &key_of(&alice), argv, more).display().to_string();
    server.restart(rig, &["--policy", &path]);
    (server, alice)
}

fn the_server_runs_what_is_on_its_list_and_the_client_exits_with_its_status(server: &House) {
    let rig = &server.rig;
    let alice = rig.client("alice", server.url());
    let uname = alice.run(&["run", "server", "--", "uname"]).expect_code(0);
    assert_eq!(uname.stdout, "Linux\n");
    let failed = alice.run(&["run", "server", "--", "false"]).expect_code(1);
    assert!(failed.stderr.contains("E_EXIT"), "{failed:?}");
    let missing = alice.run(&["run", "server", "--", "ls", "no-such-file"]).expect_code(2);
    assert!(missing.stderr.contains("no-such-file"), "{missing:?}");
    let echo = ["run", "server", "--", "echo", "two  spaces", "$HOME", "*", "; id"];
    let echo = alice.run(&echo).expect_code(0);
    assert_eq!(echo.stdout, "two  spaces $HOME * ; id\n", "no shell");
}

#[test]
fn what_no_rule_allows_is_refused_with_a_reason() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let refused = [
        vec!["rm", "-rf", "nothing"],
        vec!["sh", "-c", "id"],
        vec!["/bin/uname"],
        vec!["ls", "../.."],
        vec!["hostname", "evil"],
        vec!["no-such-program"],
    ];
    for argv in refused {
        let all: Vec<&str> = ["run", "server", "--"].into_iter().chain(argv).collect();
        let refused = alice.run(&all);
        assert_eq!(refused.code, Some(6), "{all:?}: {refused:?}");
        assert!(refused.stderr.contains("E_POLICY"), "{all:?}: {refused:?}");
        assert_eq!(refused.stdout, "", "{all:?}");
    }
}

#[test]
fn a_target_without_an_agent_is_exit_255() {
    let scene = Scene::empty();
    let bob = scene.client("bob").chat();
    let alice = scene.client("alice");
    let refused = alice.run(&["run", "bob", "--", "uname"]).expect_code(255);
    assert!(refused.stderr.contains("E_NO_AGENT"), "{refused:?}");
    let refused = alice.run(&["run", "nemo", "--", "uname"]).expect_code(255);
    assert!(refused.stderr.contains("nemo"), "{refused:?}");
    drop(bob);
}

#[test]
fn a_program_that_a_policy_grants_but_nobody_has_never_runs() {
    let rig = Rig::new();
    let (_server, alice) = server_for_alice(&rig, "[[\"no-such-program\"]]", "");
    let refused = alice.run(&["run", "server", "--", "no-such-program"]);
    assert_eq!(refused.code, Some(127), "{refused:?}");
    assert!(refused.stderr.contains("E_NOT_FOUND"), "{refused:?}");
}

#[test]
fn long_output_arrives_whole_and_in_order() {
    let rig = Rig::new();
    let argv = format!("[[\"seq\", \"{MANY_LINES}\"]]");
    let (_server, alice) = server_for_alice(&rig, &argv, "");
    let seq = alice.run(&["run", "server", "--", "seq", &MANY_LINES.to_string()]).expect_code(0);
    let numbers: Vec<String> = (1..=MANY_LINES).map(|number| number.to_string()).collect();
    let expected = numbers.join("\n") + "\n";
    assert!(expected.len() > 2 * 64 * 1024);
    assert!(seq.stdout == expected, "{} of {} bytes", seq.stdout.len(), expected.len());
}

#[test]
fn the_time_limit_ends_the_whole_tree() {
    let rig = Rig::new();
    // A time that no other process sleeps.
    let seconds = format!("8642{}", std::process::id());
    let script = format!("sleep {seconds} & sleep {seconds}");
    let argv = format!("[[\"sh\", \"-c\", \"{script}\"]]");
    let (_server, alice) = server_for_alice(&rig, &argv, "shell = true\ntime_limit_s = 2");
    let run = alice.start(&["run", "server", "--", "sh", "-c", &script]);
    until("both sleep", || sleepers(&seconds) == 2);
    let ended = run.finish();
    assert!(ended.stderr.contains("E_TIMEOUT"), "{ended:?}");
    assert_eq!(ended.code, Some(124), "{ended:?}");
    until("none is left", || sleepers(&seconds) == 0);
}

/// Processes that are `sleep SECONDS` now.
fn sleepers(seconds: &str) -> usize {
    let is_sleeper = |entry: &std::fs::DirEntry| {
        let command_line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        command_line == format!("sleep\0{seconds}\0").into_bytes()
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(is_sleeper).count()
}

fn start_agent(web: &Client, arguments: &[&str]) -> Program {
    let all: Vec<&str> = ["agent"].into_iter().chain(arguments.iter().copied()).collect();
    web.start(&all)
}

/// The server lists it as one that accepts commands.
fn wait_until_accepting(client: &Client, name: &str) {
    let accepts = || {
        let users = client.run(&["users"]).expect_code(0).stdout;
        users.lines().any(|line| line.starts_with(name) && line.contains("accepts commands"))
    };
    until("the agent accepts commands", accepts);
}

fn an_agent_decides_by_name_and_key(server: &House) {
    let rig = &server.rig;
    let alice = rig.client("alice", server.url());
    let mallory = rig.client("mallory", server.url());
    let argv = "[[\"uname\"], [\"echo\", \"*\"]]";
    let path = policy(rig, "alice", &key_of(&alice), argv, "").display().to_string();
    let web = rig.client("web1", server.url());
    let _agent = start_agent(&web, &["--policy", &path]);
    wait_until_accepting(&alice, "web1");
    let uname = alice.run(&["run", "web1", "--", "uname"]).expect_code(0);
    assert_eq!(uname.stdout, "Linux\n");
    let refused = alice.run(&["run", "web1", "--", "uptime"]).expect_code(6);
    assert!(refused.stderr.contains("E_POLICY"), "{refused:?}");
    let refused = mallory.run(&["run", "web1", "--", "uname"]).expect_code(6);
    assert!(refused.stderr.contains("E_POLICY"), "{refused:?}");
}

#[test]
fn the_right_name_with_another_key_is_refused() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let bob = scene.client("bob");
    let (_, key_of_bob) = (key_of(&alice), key_of(&bob));
    let path = policy(&scene.rig, "alice", &key_of_bob, "[[\"uname\"]]", "").display().to_string();
    let _agent = start_agent(&scene.client("web1"), &["--policy", &path]);
    wait_until_accepting(&alice, "web1");
    for person in [&alice, &bob] {
        let refused = person.run(&["run", "web1", "--", "uname"]).expect_code(6);
        assert!(refused.stderr.contains("E_POLICY"), "{refused:?}");
    }
}

#[test]
fn an_agent_without_a_policy_refuses_everything() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let _agent = start_agent(&scene.client("web1"), &[]);
    wait_until_accepting(&alice, "web1");
    let refused = alice.run(&["run", "web1", "--", "true"]).expect_code(6);
    assert!(refused.stderr.contains("E_POLICY"), "{refused:?}");
}

#[test]
fn a_policy_with_a_mistake_starts_no_agent_and_names_the_line() {
    let scene = Scene::empty();
    let path = scene.rig.write("policy.toml", "[[rule]]\nwho = \"*\"\nargv = [[\"uname\"]]\n");
    let path = path.display().to_string();
    let mut agent = start_agent(&scene.client("web1"), &["--policy", &path]);
    let ended = agent.wait();
    assert!(![Some(0), None].contains(&ended.code), "{ended:?}");
    assert!(ended.stderr.contains("policy.toml:2"), "{ended:?}");
}

/// Whether a delivery is a command.
fn is_command(payload: &[u8]) -> bool {
    let Ok(Binary::Delivery(delivery)) = Binary::decode(payload.to_vec().into()) else {
        return false;
    };
    let header = Header::parse(delivery.frame.header());
    matches!(header, Ok(Header::Message(header)) if header.t == Tag::Cmd)
}

/// The words that the commands of a JSON chat have written, in the order in which these were started.
fn started(ended: &chat_tests::Finished) -> Vec<String> {
    let of = |id: &serde_json::Value| {
        let outputs = ended.events_named("output").into_iter();
        let mine = outputs.filter(|output| output["id"] == *id);
        mine.filter_map(|output| output["data"].as_str().map(|text| text.trim().to_owned()))
            .collect()
    };
    let states = ended.events_named("command").into_iter();
    let started = states.filter(|event| event["state"] == "STARTED");
    started.map(|event| of(&event["id"])).collect()
}

#[test]
fn commands_that_the_hub_swaps_start_in_their_order() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let path = policy(&scene.rig, "alice", &key_of(&alice), "[[\"echo\", \"*\"]]", "");
    let mut left = 1;
    let rule: Rule = Box::new(move |payload| {
        let is_late = left > 0 && is_command(payload);
        left -= i32::from(is_late);
        if is_late { Fate::Late } else { Fate::Good }
    });
    let proxy = Proxy::lying(scene.server.address(), rule);
    let web = scene.rig.client("web1", &proxy.url());
    let _agent = start_agent(&web, &["--policy", &path.display().to_string()]);
    wait_until_accepting(&alice, "web1");
    let lines = ["/run web1 -- echo first", "/run web1 -- echo second"];
    let ended = alice.pipe(&lines, &["--json"]).expect_code(0);
    assert_eq!(started(&ended), ["first", "second"], "{ended:?}");
}

#[test]
fn a_rule_that_was_removed_works_no_more_after_sighup_on_server_and_agent() {
    let rig = Rig::new();
    let (server, alice) = server_for_alice(&rig, "[[\"uname\"]]", "");
    let path = rig.path("policy.toml").display().to_string();
    let web = rig.client("web1", server.url());
    let agent = start_agent(&web, &["--policy", &path]);
    wait_until_accepting(&alice, "web1");
    for machine in ["server", "web1"] {
        alice.run(&["run", machine, "--", "uname"]).assert_code(0);
    }
    let hang_up = |pid: u32| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    };
    // One that cannot be used changes nothing.
    let good = std::fs::read_to_string(&path).unwrap();
    rig.write("policy.toml", "[[rule]]\nwho = 7\n");
    hang_up(server.program().pid());
    hang_up(agent.pid());
    server.program().stderr.wait_for_part("nothing was changed");
    agent.stderr.wait_for_part("stays as it was");
    rig.write("policy.toml", &good.replace("uname", "uptime"));
    hang_up(server.program().pid());
    hang_up(agent.pid());
    server.program().stderr.wait_for_part("policy: other rules");
    agent.stderr.wait_for_part("read again");
    for machine in ["server", "web1"] {
        let refused = alice.run(&["run", machine, "--", "uname"]).expect_code(6);
        assert!(refused.stderr.contains("E_POLICY"), "{refused:?}");
    }
}
