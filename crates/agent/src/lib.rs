//! Lets a device accept commands.
//!
//! The endpoint verifies who asked and that the command is for this machine and fresh; the runner
//! decides by the policy of this machine and runs it; this crate carries the one to the other. The
//! hub's built-in agent and `chat-client agent` are the same code.
//!
//! ```text
//! Event::Command ─► Backlog ─► AgentHost::start ─► chat_exec::Agent::run ─► reports ─► answer ─► Endpoint
//! ```

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use chat_endpoint::{CommandEnd, Endpoint, Event, EventKey, Notification};
use chat_exec::{Agent, CommandRequest, Order, Report, RequestedLimits, Requester, Stream};
use chat_oplog::{Operation, OperationLog, Outcome as Logged};
use chat_protocol::content::OutputStream;
use chat_protocol::crypto::sha256_parts;
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::name::UserName;
use tokio::sync::mpsc;

/// Reports that may wait for the endpoint. A command whose output is faster than the hub waits in
/// its own pipe.
const REPORTS_MAX: usize = 64;

/// Commands that wait until the rest is read: as many as an agent has under way at most. A hub that sends
/// more before it says that this was all has them started at once.
const BACKLOG_MAX: usize = 1_024;

/// One report on its way into the endpoint.
#[derive(Debug)]
pub struct AgentReport {
    /// Who asked.
    pub to: UserName,
    /// The command.
    pub re: MessageId,
    of: Digest,
    key: Option<EventKey>,
    report: Report,
}

impl AgentReport {
    /// How the command ended, in a word for figures; nothing while it runs.
    pub fn outcome(&self) -> Option<&'static str> {
        match &self.report {
            Report::Refused { .. } => Some("refused"),
            Report::Exit(exit) if exit.code().is_none() => Some("ok"),
            Report::Exit(_) => Some("failed"),
            Report::Started | Report::Output { .. } | Report::OutputNotKept { .. } => None,
        }
    }
}

/// Starts the commands that the endpoint has verified.
#[derive(Clone)]
pub struct AgentHost {
    agent: Arc<Agent>,
    reports: mpsc::Sender<AgentReport>,
    log: OperationLog,
}

impl std::fmt::Debug for AgentHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentHost").finish_non_exhaustive()
    }
}

impl AgentHost {
    /// A host and the reports that its owner gives to [`answer`].
    pub fn new(agent: Arc<Agent>, log: OperationLog) -> (Self, mpsc::Receiver<AgentReport>) {
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        (Self { agent, reports, log }, receiver)
    }

    /// Takes back the commands of these notifications, and then starts the others among them. One that
    /// is taken back before it was started is refused.
    fn start_backlog(&self, now_ms: u64, backlog: Vec<Notification>) {
        let host = self.clone();
        tokio::spawn(async move {
            for notification in &backlog {
                host.cancel(now_ms, &notification.event).await;
            }
            for notification in &backlog {
                host.start(now_ms, notification);
            }
        });
    }

    async fn cancel(&self, now_ms: u64, event: &Event) {
        if let Event::Cancel { from, identity, re } = event {
            let requester = requester(from, identity, true);
            self.agent.cancel(now_ms, &requester, re.0).await;
        }
    }

    /// Starts the command of a notification; others are left alone. Says whether it was one, whose
    /// event is done with its last report.
    pub fn start(&self, now_ms: u64, notification: &Notification) -> bool {
        if let Event::Gap { from, missing, .. } = &notification.event {
            self.log_gap(from, missing.len());
        }
        if let Event::Cancel { .. } = &notification.event {
            let (host, event) = (self.clone(), notification.event.clone());
            tokio::spawn(async move { host.cancel(now_ms, &event).await });
        }
        if let Event::CommandPassed { from, identity, sk, sk_ends_ms, no } = &notification.event {
            let requester = requester(from, identity, true);
            let order = order(sk, *sk_ends_ms, *no, None);
            let agent = Arc::clone(&self.agent);
            tokio::spawn(async move { agent.pass_over(now_ms, &requester, order).await });
        }
        let Event::Command {
            id,
            digest,
            from,
            identity,
            sk,
            sk_ends_ms,
            pinned,
            command,
            expires_ms,
        } = &notification.event
        else {
            return false;
        };
        let requester = requester(from, identity, *pinned);
        let request = CommandRequest {
            id: id.0,
            requester,
            argv: command.argv.clone(),
            expires_at_ms: *expires_ms,
            order: order(sk, *sk_ends_ms, command.no, command.prev),
            limits: RequestedLimits {
                wall_ms: command.time_max_ms,
                output_bytes: command.output_max,
            },
        };
        let (to, re, of, key) = (from.clone(), *id, *digest, notification.key);
        tokio::spawn(self.clone().carry(now_ms, request, Carried { to, re, of, key }));
        true
    }

    /// Whether a rule of this machine's policy names this account.
    pub fn knows(&self, name: &UserName) -> bool {
        self.agent.knows(name.as_str())
    }

    /// Messages of somebody who may give commands here are missing: there may be one among them.
    fn log_gap(&self, from: &UserName, count: usize) {
        if self.knows(from) {
            tracing::warn!(%from, count, "messages of somebody who may give commands are missing");
            self.log.write(&Operation {
                peer: Some(from.as_str().into()),
                outcome: Some(Logged::Failed),
                ..Operation::new("command.gap")
            });
        }
    }

    /// Runs one command and passes its reports on.
    async fn carry(self, now_ms: u64, request: CommandRequest, carried: Carried) {
        let began = Instant::now();
        let argv = argv_digest(&request.argv);
        let (sender, mut reports) = mpsc::channel(REPORTS_MAX);
        let run = async move {
            self.agent.run(now_ms, request, sender).await;
        };
        let pass_on = async {
            while let Some(report) = reports.recv().await {
                log_report(&self.log, &carried, &argv, &report, began);
                let Carried { to, re, of, key } = carried.clone();
                let report = AgentReport { to, re, of, key, report };
                if self.reports.send(report).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(run, pass_on);
    }
}

fn requester(name: &UserName, identity: &KeyId, pinned: bool) -> Requester {
    Requester { name: name.as_str().to_owned(), identity: identity.to_string(), pinned }
}

fn order(sk: &KeyId, key_ends_at_ms: u64, no: u64, prev: Option<u64>) -> Order {
    Order { signing_key: sk.to_string(), key_ends_at_ms, no, prev }
}

/// Commands that wait until everything is read that waited for this device: one may be taken back by
/// what stands behind it.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: Vec<Notification>,
    /// Nothing waits any more on this connection.
    is_read: bool,
}

impl Backlog {
    /// A new connection: what waited meanwhile comes first.
    pub fn connected(&mut self) {
        self.is_read = false;
    }

    /// Everything that waited has been read: commands start from now on as they come.
    pub fn read(&mut self, host: &AgentHost, now_ms: u64) {
        self.is_read = true;
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            host.start_backlog(now_ms, waiting);
        }
    }

    /// Starts the command of a notification, now or later; see [`AgentHost::start`].
    pub fn start(&mut self, host: &AgentHost, now_ms: u64, notification: &Notification) -> bool {
        let is_command = matches!(notification.event, Event::Command { .. });
        let is_kept = is_command || matches!(notification.event, Event::Cancel { .. });
        if is_kept && !self.is_read && self.waiting.len() < BACKLOG_MAX {
            self.waiting.push(notification.clone());
            if is_command {
                return true;
            }
        }
        // What takes one back is recorded at once, and waited for before the others start.
        host.start(now_ms, notification)
    }
}

/// What a report is about.
#[derive(Clone)]
struct Carried {
    to: UserName,
    re: MessageId,
    of: Digest,
    key: Option<EventKey>,
}

/// Gives a report to the endpoint as a message to the requester, and returns its id. With the last one
/// the command's event is done: both are in the same step, so a crash in between loses neither.
pub fn answer(endpoint: &mut Endpoint, now_ms: u64, report: AgentReport) -> Option<MessageId> {
    let AgentReport { to, re, of, key, report } = report;
    let end = match report {
        Report::Started => return endpoint.report_started(now_ms, &to, re),
        Report::Output { stream, bytes } => {
            let stream = match stream {
                Stream::Stdout => OutputStream::Stdout,
                Stream::Stderr => OutputStream::Stderr,
            };
            return endpoint.report_output(now_ms, &to, re, stream, bytes);
        }
        Report::OutputNotKept { bytes } => {
            let note = format!("[{bytes} more bytes of output were not kept]\n").into_bytes();
            return endpoint.report_output(now_ms, &to, re, OutputStream::Stderr, note);
        }
        Report::Refused { code, reason } => {
            CommandEnd { re, of, status: None, code: code.to_owned(), reason }
        }
        Report::Exit(exit) => {
            let code = exit.code().unwrap_or_default().to_owned();
            let reason = if code.is_empty() { String::new() } else { exit.reason() };
            CommandEnd { re, of, status: Some(exit.status()), code, reason }
        }
    };
    let id = endpoint.report_outcome(now_ms, &to, end);
    if let Some(key) = key {
        endpoint.consumed(key);
    }
    id
}

/// SHA-256 of an argument vector in hexadecimal, as `sha256sum` prints it. The words are ended by
/// zero bytes, as the kernel keeps them.
pub fn argv_digest(argv: &[String]) -> String {
    let parts: Vec<&[u8]> =
        argv.iter().flat_map(|word| [word.as_bytes(), [0].as_slice()]).collect();
    let mut hex = String::with_capacity(64);
    for byte in sha256_parts(&parts) {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").ok();
    }
    hex
}

fn log_report(log: &OperationLog, carried: &Carried, argv: &str, report: &Report, began: Instant) {
    let (op, outcome, code, exit) = match report {
        Report::Started => ("command.start", Logged::Ok, None, None),
        Report::Refused { code, .. } => ("command.refuse", Logged::Refused, Some(*code), None),
        Report::Exit(exit) => {
            let outcome = if exit.code().is_none() { Logged::Ok } else { Logged::Failed };
            ("command.end", outcome, exit.code(), Some(exit.status()))
        }
        Report::Output { .. } | Report::OutputNotKept { .. } => return,
    };
    let id = carried.re.to_string();
    let micros = u64::try_from(began.elapsed().as_micros()).ok();
    log.write(&Operation {
        tag: Some("CMD".into()),
        id: Some(id.as_str().into()),
        peer: Some(carried.to.as_str().into()),
        argv_sha256: Some(argv.into()),
        outcome: Some(outcome),
        code: code.map(Into::into),
        exit,
        total_us: micros,
        ..Operation::new(op)
    });
}
