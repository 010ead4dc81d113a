//! Starts the helper, streams what the program prints, and stops it at a limit.

use std::future::pending;
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cancelled::Cancelled;
use crate::helper::{LANG, LaunchSpec, Line, PATH, SUBCOMMAND};
use crate::journal::Kept;
use crate::limits::{KILL_MARGIN, OUTPUT_CHUNK_BYTES, TERM_GRACE};
use crate::report::{Exit, Report, Stream};

/// Longest text that the helper can say; more is a helper gone mad.
const CONTROL_BYTES_MAX: u64 = 64 * 1024;

/// How long the pipes may stay open after the helper is gone. The tree is dead by then, so this
/// only matters for a process that the kernel itself holds.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// One command, decided and recorded, ready to start.
pub(crate) struct Launch {
    pub(crate) helper: PathBuf,
    pub(crate) spec: LaunchSpec,
    pub(crate) argv: Vec<String>,
    pub(crate) wall: Duration,
    pub(crate) output_bytes_max: u64,
}

/// How it ended, what the journal keeps, and the output that the caller has not taken yet.
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) kept: Kept,
    pub(crate) untaken: Vec<Report>,
}

/// Runs the command to its end. Output goes to `reports` while it runs; a caller that takes none
/// slows the program down until its time is up, and never keeps it alive longer. Dropping the
/// future closes the control socket, and the helper ends the tree as at a limit.
pub(crate) async fn run(launch: Launch, reports: &Sender<Report>, cancelled: Cancelled) -> Ended {
    match Running::start(&launch) {
        Ok(running) => running.watch(reports, cancelled).await,
        Err(why) => Ended { exit: Exit::Failed(why), kept: Kept::default(), untaken: Vec::new() },
    }
}

struct Running {
    child: Child,
    /// Held open while the program may run: its end tells the helper to stop, also if we crash.
    control: UnixStream,
    pipes: Pipes,
    output: Output,
    deadline: Instant,
    stage: Stage,
    /// Set when a limit measured here ended the command.
    limit: Option<Exit>,
}

struct Pipes {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

struct Output {
    bytes_left: u64,
    kept: Kept,
    waiting: Option<Report>,
}

/// What the next passing of the deadline means.
#[derive(Clone, Copy)]
enum Stage {
    /// The time limit.
    Running,
    /// The helper did not bury the tree in time.
    Stopping,
    /// Even SIGKILL did not end the helper.
    Killing,
}

impl Running {
    fn start(launch: &Launch) -> Result<Self, String> {
        let (control, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        control.set_nonblocking(true).map_err(|error| error.to_string())?;
        let spec = toml::to_string(&launch.spec).map_err(|error| error.to_string())?;
        let mut child = Command::new(&launch.helper)
            .args([SUBCOMMAND, "supervise", &spec])
            .args(&launch.argv)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", LANG)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| {
                format!("cannot start the helper {}: {error}", launch.helper.display())
            })?;
        let pipes = Pipes { stdout: child.stdout.take(), stderr: child.stderr.take() };
        let output =
            Output { bytes_left: launch.output_bytes_max, kept: Kept::default(), waiting: None };
        let deadline = Instant::now() + launch.wall;
        Ok(Self { child, control, pipes, output, deadline, stage: Stage::Running, limit: None })
    }

    async fn watch(mut self, reports: &Sender<Report>, mut cancelled: Cancelled) -> Ended {
        loop {
            let is_free = self.output.waiting.is_none();
            let is_running = matches!(self.stage, Stage::Running);
            tokio::select! {
                // The end is seen before the deadline: a program that made it has made it. Output comes
                // last, or a flood of it would hide the rest.
                biased;
                _status = self.child.wait() => break,
                () = sleep_until(self.deadline) => if self.deadline_passed() { break },
                () = cancelled.happened(), if is_running => {
                    self.limit.get_or_insert(Exit::Cancelled);
                    self.stop();
                }
                () = send(reports, &mut self.output.waiting), if !is_free => {}
                (stream, bytes) = self.pipes.read(), if is_free => {
                    if !self.output.take(stream, bytes) {
                        self.limit.get_or_insert(Exit::OutputLimit);
                        self.pipes = Pipes { stdout: None, stderr: None };
                        self.stop();
                    }
                }
            }
        }
        self.bury().await
    }

    /// True when there is nothing left to try.
    fn deadline_passed(&mut self) -> bool {
        match self.stage {
            Stage::Running => {
                self.limit = Some(Exit::TimedOut);
                self.stop();
            }
            Stage::Stopping => {
                self.kill_helper();
                self.stage = Stage::Killing;
                self.deadline = Instant::now() + KILL_MARGIN;
            }
            Stage::Killing => {
                tracing::error!("a command outlived SIGKILL; the kernel holds it");
                return true;
            }
        }
        false
    }

    /// Tells the helper to end the tree: SIGTERM now, SIGKILL after the grace.
    fn stop(&mut self) {
        if matches!(self.stage, Stage::Running) {
            if self.control.shutdown(Shutdown::Write).is_err() {
                tracing::debug!("the helper is gone already");
            }
            self.stage = Stage::Stopping;
            self.deadline = Instant::now() + TERM_GRACE + KILL_MARGIN;
        }
    }

    fn kill_helper(&self) {
        let group = self.child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        if group.is_some_and(|group| killpg(group, Signal::SIGKILL).is_err()) {
            tracing::debug!("the helper is gone already");
        }
    }

    /// Reads what the pipes still hold (their writers are dead) and how it ended.
    async fn bury(mut self) -> Ended {
        let mut untaken: Vec<_> = self.output.waiting.take().into_iter().collect();
        let drain = async {
            while self.pipes.is_open() {
                let (stream, bytes) = self.pipes.read().await;
                if !self.output.take(stream, bytes) {
                    self.limit.get_or_insert(Exit::OutputLimit);
                    self.pipes = Pipes { stdout: None, stderr: None };
                }
                untaken.extend(self.output.waiting.take());
            }
        };
        if timeout(DRAIN_TIME_MAX, drain).await.is_err() {
            tracing::warn!("the output of a dead command stays open");
        }
        let said = self.read_control();
        let exit = self.limit.unwrap_or(said);
        Ended { exit, kept: self.output.kept, untaken }
    }

    /// The helper's last word. Whatever it said is in the socket's buffer by now.
    fn read_control(&self) -> Exit {
        let mut bytes = Vec::new();
        // Nonblocking: an error here only means that nothing more is there.
        let _end = (&self.control).take(CONTROL_BYTES_MAX).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines().filter_map(Line::parse) {
            match line {
                Line::Sandbox(status) => log_sandbox(&status),
                Line::Exit(status) => return Exit::Code(status),
                Line::Signal(signal) => return Exit::Signal(signal),
                Line::CpuTime => return Exit::CpuTime,
                Line::NotFound => return Exit::NotFound,
                Line::Failed(why) => return Exit::Failed(why),
            }
        }
        Exit::Failed("the helper ended without a word".to_owned())
    }
}

impl Pipes {
    fn is_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// The next piece of either stream, empty at the end of one; never, when both have ended.
    async fn read(&mut self) -> (Stream, Vec<u8>) {
        tokio::select! {
            bytes = read_chunk(&mut self.stdout) => (Stream::Stdout, bytes),
            bytes = read_chunk(&mut self.stderr) => (Stream::Stderr, bytes),
        }
    }
}

/// Cancel-safe: nothing is read before it is ready, and what is read is returned at once.
async fn read_chunk<R: AsyncRead + Unpin>(pipe: &mut Option<R>) -> Vec<u8> {
    let Some(open) = pipe else { return pending().await };
    let mut bytes = Vec::with_capacity(OUTPUT_CHUNK_BYTES);
    if !matches!(open.read_buf(&mut bytes).await, Ok(1..)) {
        *pipe = None;
    }
    bytes
}

impl Output {
    /// Takes one piece into the place for the next report; false if it goes beyond the limit (what
    /// is within is taken).
    fn take(&mut self, stream: Stream, mut bytes: Vec<u8>) -> bool {
        let room = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
        let is_within = bytes.len() <= room;
        bytes.truncate(room);
        self.bytes_left =
            self.bytes_left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if !bytes.is_empty() {
            self.kept.push(stream, &bytes);
            self.waiting = Some(Report::Output { stream, bytes });
        }
        is_within
    }
}

/// Hands the waiting report over. A caller that has left does not stop the command: the outcome is
/// recorded, and asking again gives it.
async fn send(reports: &Sender<Report>, waiting: &mut Option<Report>) {
    let place = reports.reserve().await;
    if let (Some(report), Ok(place)) = (waiting.take(), place) {
        place.send(report);
    }
}

/// A machine that cannot enforce everything says so once; the rest is for debugging.
fn log_sandbox(status: &str) {
    static INCOMPLETE: Once = Once::new();
    let is_complete = status.starts_with("landlock=full seccomp=on namespace=pid");
    if is_complete {
        tracing::debug!(status, "sandbox of a command");
    } else {
        INCOMPLETE.call_once(|| {
            tracing::warn!(status, "this machine enforces only a part of the sandbox");
        });
    }
}
