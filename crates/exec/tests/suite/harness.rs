//! A machine for one test: a folder, an agent, and what its answers look like.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chat_exec::{
    Agent, AgentConfig, CommandRequest, Exit, Namespaces, Order, Policy, Report, RequestedLimits,
    Requester, Stream,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Where tests begin to count time.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

pub(crate) const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Lets alice run anything, on the conditions given as further lines of the rule.
pub(crate) fn anything(conditions: &str) -> Policy {
    let text = format!(
        "[[rule]]\nwho = [{{ name = \"alice\", key = \"{KEY}\" }}]\nargv = [[\"**\"]]\nshell = true\n{conditions}\n"
    );
    Policy::parse(&text, "policy.toml").expect("a valid policy")
}

pub(crate) fn alice() -> Requester {
    Requester { name: "alice".to_owned(), identity: KEY.to_owned(), pinned: true }
}

pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) namespaces: Namespaces,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Open to all, so that what a test sees refused is refused by the sandbox.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        Self { folder, namespaces: Namespaces::WhenAllowed }
    }

    /// Both ways to hold a process tree; every test of killing goes through both.
    pub(crate) fn both() -> [Self; 2] {
        [Self::new(), Self { namespaces: Namespaces::Never, ..Self::new() }]
    }

    pub(crate) fn work_dir(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn config(&self, policy: Policy) -> AgentConfig {
        let helper = std::env::var_os("CHAT_EXEC_TEST_HELPER")
            .map_or_else(|| env!("CARGO_BIN_EXE_chat-exec-helper").into(), PathBuf::from);
        AgentConfig {
            policy,
            journal_path: self.folder.path().join("journal.sqlite"),
            work_dir: self.work_dir(),
            helper,
            namespaces: self.namespaces,
        }
    }

    pub(crate) fn agent(&self, policy: Policy) -> Agent {
        Agent::open(self.config(policy)).expect("an agent")
    }
}

/// The place of a command among alice's.
pub(crate) fn order(no: u64, prev: Option<u64>) -> Order {
    let signing_key = "S".repeat(22);
    Order { signing_key, key_ends_at_ms: NOW_MS + 60_000, no, prev }
}

pub(crate) fn request(id: u8, argv: &[&str]) -> CommandRequest {
    CommandRequest {
        id: [id; 16],
        requester: alice(),
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        expires_at_ms: NOW_MS + 60_000,
        order: order(u64::from(id), None),
        limits: RequestedLimits::default(),
    }
}

/// Everything an agent said about one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) started: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) not_kept: u64,
    pub(crate) refused: Option<(&'static str, String)>,
    pub(crate) exit: Option<Exit>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub(crate) fn code(&self) -> Option<i32> {
        if let Some(Exit::Code(code)) = self.exit { Some(code) } else { None }
    }

    pub(crate) fn refusal(&self) -> Option<&'static str> {
        self.refused.as_ref().map(|(code, _)| *code)
    }

    /// Adds one report, and checks that it may come now.
    fn hear(&mut self, report: Report) {
        assert!(self.exit.is_none() && self.refused.is_none(), "after the last: {report:?}");
        match report {
            Report::Refused { code, reason } => self.refused = Some((code, reason)),
            Report::Started => {
                assert!(!self.started, "started twice");
                self.started = true;
            }
            Report::Output { stream, bytes } => {
                assert!(self.started && !bytes.is_empty());
                match stream {
                    Stream::Stdout => self.stdout.extend(bytes),
                    Stream::Stderr => self.stderr.extend(bytes),
                }
            }
            Report::OutputNotKept { bytes } => self.not_kept += bytes,
            Report::Exit(exit) => {
                assert!(self.started, "an end without a start");
                self.exit = Some(exit);
            }
        }
    }
}

/// Runs one command and listens to the end.
pub(crate) async fn ask_at(agent: &Agent, now_ms: u64, request: CommandRequest) -> Answer {
    let (sender, mut reports) = mpsc::channel(4);
    let listen = async {
        let mut answer = Answer::default();
        while let Some(report) = reports.recv().await {
            answer.hear(report);
        }
        answer
    };
    let ((), answer) = tokio::join!(agent.run(now_ms, request, sender), listen);
    assert!(answer.exit.is_some() || answer.refused.is_some(), "no last word: {answer:?}");
    answer
}

pub(crate) async fn ask(agent: &Agent, request: CommandRequest) -> Answer {
    ask_at(agent, NOW_MS, request).await
}

/// Runs `sh -c script` on a new machine that allows everything.
pub(crate) async fn run_script(machine: &Machine, script: &str) -> Answer {
    ask(&machine.agent(anything("")), request(1, &["sh", "-c", script])).await
}

/// A number of seconds to sleep that no other process on the machine sleeps: its fraction says who.
pub(crate) fn unique_nap() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("300.{:07}{number:04}", std::process::id())
}

/// Processes with this word among their arguments.
pub(crate) fn survivors(word: &str) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("proc").flatten();
    let with_word = processes.filter(|entry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|found| found == word.as_bytes())
    });
    with_word.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Waits until no process has the word; the error says which still have.
pub(crate) fn wait_for_death(word: &str) {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let alive = survivors(word);
        if alive.is_empty() {
            return;
        }
        assert!(Instant::now() < give_up, "{alive:?} still run {word}");
        for pid in alive {
            let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
            let flags = rustix::process::PidfdFlags::empty();
            let Ok(process) = rustix::process::pidfd_open(pid, flags) else { continue };
            let mut ended = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
            let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
            rustix::event::poll(&mut ended, Some(&patience)).expect("poll");
        }
    }
}
