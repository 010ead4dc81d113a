//! The same command again: while it runs, after it ended, after a crash.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use chat_exec::{Exit, Requester};
use tokio::task::JoinSet;

use crate::harness::{
    Machine, NOW_MS, alice, anything, ask, ask_at, request, unique_nap, wait_for_death,
};

/// Leaves a mark each time it runs.
const COUNTING: [&str; 3] = ["sh", "-c", "echo x >> runs; cat runs; echo e >&2; exit 3"];

/// Goal: asked twice, run once, answered twice alike, also by a restarted agent a day later.
#[tokio::test]
async fn a_repeated_command_is_answered_from_the_journal() {
    let machine = Machine::new();
    let first = {
        let agent = machine.agent(anything(""));
        let first = ask(&agent, request(1, &COUNTING)).await;
        assert_eq!((first.text().as_str(), first.code()), ("x\n", Some(3)));
        assert_eq!(ask(&agent, request(1, &COUNTING)).await, first);
        first
    };
    let agent = machine.agent(anything(""));
    let next_day = NOW_MS + 24 * 60 * 60 * 1_000;
    assert_eq!(ask_at(&agent, next_day, request(1, &COUNTING)).await, first);
    let runs = std::fs::read_to_string(machine.work_dir().join("runs")).expect("read");
    assert_eq!(runs, "x\n");
    // Ids belong to their requester.
    let mut others = request(1, &COUNTING);
    others.requester = Requester { identity: "B".repeat(22), ..alice() };
    assert_eq!(ask(&agent, others).await.refusal(), Some("E_POLICY"));
}

/// Goal: asked many times at once, run once, everybody gets the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_arrivals_run_once() {
    let machine = Machine::new();
    let agent = Arc::new(machine.agent(anything("")));
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let agent = Arc::clone(&agent);
        asking.spawn(async move { ask(&agent, request(1, &COUNTING)).await });
    }
    for answer in asking.join_all().await {
        assert_eq!((answer.text().as_str(), answer.code()), ("x\n", Some(3)));
        assert_eq!(answer.errors(), "e\n");
    }
}

/// Goal: a repeated answer never passes off a part of the output as the whole.
#[tokio::test]
async fn output_beyond_the_journal_is_counted() {
    let machine = Machine::new();
    let agent = machine.agent(anything(""));
    let argv = ["head", "-c", "100000", "/dev/zero"];
    let first = ask(&agent, request(1, &argv)).await;
    assert_eq!((first.stdout.len(), first.not_kept), (100_000, 0));
    let again = ask(&agent, request(1, &argv)).await;
    assert_eq!(u64::try_from(again.stdout.len()).expect("small") + again.not_kept, 100_000);
    assert!(!again.stdout.is_empty() && again.not_kept > 0);
    assert_eq!(again.exit, Some(Exit::Code(0)));
}

/// Goal: the nonce is as old as the journal.
#[test]
fn the_nonce_lives_with_the_journal() {
    let machine = Machine::new();
    let nonce = machine.agent(anything("")).restart_nonce();
    assert_eq!(machine.agent(anything("")).restart_nonce(), nonce);
    let path = machine.config(anything("")).journal_path;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).expect("there"));
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_file(&path).expect("removed");
    assert_ne!(machine.agent(anything("")).restart_nonce(), nonce);
}

const CRASH_FOLDER: &str = "CHAT_EXEC_TEST_CRASH_FOLDER";
const CRASH_NAP: &str = "CHAT_EXEC_TEST_CRASH_NAP";

/// Not a test by itself: the agent that the next test kills.
#[tokio::test]
async fn agent_that_crashes() {
    let (Ok(folder), Ok(nap)) = (std::env::var(CRASH_FOLDER), std::env::var(CRASH_NAP)) else {
        return;
    };
    let mut config = Machine::new().config(anything(""));
    config.journal_path = format!("{folder}/journal.sqlite").into();
    config.work_dir = format!("{folder}/work").into();
    let agent = chat_exec::Agent::open(config).expect("an agent");
    let script = format!("echo x >> runs; setsid sleep {nap} & echo up; sleep {nap}");
    let (sender, mut reports) = tokio::sync::mpsc::channel(4);
    let listen = async {
        while let Some(report) = reports.recv().await {
            if matches!(report, chat_exec::Report::Output { .. }) {
                println!("command runs");
            }
        }
    };
    tokio::join!(agent.run(NOW_MS, request(1, &["sh", "-c", &script]), sender), listen);
}

/// Goal: after SIGKILL between STARTED and the end, the tree is dead, and the command is answered
/// `E_INTERRUPTED` and not run again.
#[tokio::test]
async fn a_command_interrupted_by_a_crash_never_runs_again() {
    let machine = Machine::new();
    let nap = unique_nap();
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "at_most_once::agent_that_crashes", "--nocapture"])
        .env(CRASH_FOLDER, machine.folder.path())
        .env(CRASH_NAP, &nap)
        .stdout(Stdio::piped())
        .spawn()
        .expect("an agent of its own");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let is_up = output.lines().map_while(Result::ok).any(|line| line.contains("command runs"));
    assert!(is_up, "the command started");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    wait_for_death(&nap);
    let agent = machine.agent(anything(""));
    for _ in 0..2 {
        let answer = ask(&agent, request(1, &["sh", "-c", "echo x >> runs"])).await;
        assert_eq!(answer.refusal(), Some("E_INTERRUPTED"));
        assert!(!answer.started);
    }
    let runs = std::fs::read_to_string(machine.work_dir().join("runs")).expect("read");
    assert_eq!(runs, "x\n");
}
