//! The programs under measurement, and what they use.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How often the memory of a program is looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// Where the programs are, and where their files go.
pub(crate) struct Programs {
    pub(crate) bin: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Programs {
    /// Starts a server on the folder's data.
    pub(crate) fn server(&self, port: &str) -> anyhow::Result<Server> {
        let mut command = Command::new(self.bin.join("chat-server"));
        command.args(["--port", port, "--log-format", "text", "--limits", "off"]);
        command.stdout(Stdio::null());
        command.arg("--data").arg(self.folder.join("data"));
        command.arg("--logs").arg(self.folder.join("logs"));
        let mut child = command.stderr(Stdio::piped()).spawn().context("start chat-server")?;
        let said = child.stderr.take().context("what the server says")?;
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let url = lines.find_map(|line| {
            let words = line.split_whitespace();
            words.clone().any(|word| word == "listening").then_some(())?;
            words.clone().find(|word| word.starts_with("ws://")).map(str::to_owned)
        });
        // Whatever else it says must not make it wait.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Server { child, url: url.context("the server does not listen")? })
    }

    /// A client of a person with a password and a home of their own.
    pub(crate) fn client(&self, user: &str, url: &str) -> Command {
        let mut command = Command::new(self.bin.join("chat-client"));
        command
            .args(["--server", url, "--user", user])
            .env("CHAT_PASSWORD", format!("{user}-of-the-drain"));
        command.arg("--home").arg(self.folder.join(user));
        command.arg("--logs").arg(self.folder.join("logs"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> anyhow::Result<&str> {
        Ok(self.url.rsplit_once(':').context("an address without a port")?.1)
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let ended = self.child.wait()?;
        ensure!(ended.success(), "the server ended with {ended}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Resident bytes of a process; none once it has ended.
fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// What a program has used.
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// Memory when the watch began.
    pub(crate) base_bytes: u64,
    /// The most since then.
    pub(crate) max_bytes: u64,
}

/// Looks at the memory of a program until it is told to stop.
pub(crate) struct Watch {
    base_bytes: u64,
    is_over: Arc<AtomicBool>,
    sampling: JoinHandle<u64>,
}

impl Watch {
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        let base_bytes = resident_bytes(pid).context("the program is gone")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let sampling = std::thread::spawn(move || {
            let mut max = base_bytes;
            while !over.load(Ordering::Relaxed) {
                max = max.max(resident_bytes(pid).unwrap_or_default());
                std::thread::sleep(SAMPLE);
            }
            max
        });
        Ok(Self { base_bytes, is_over, sampling })
    }

    pub(crate) fn stop(self, cpu_seconds: f64) -> anyhow::Result<Usage> {
        self.is_over.store(true, Ordering::Relaxed);
        let max_bytes = self.sampling.join().ok().context("the watch has ended early")?;
        Ok(Usage { cpu_seconds, base_bytes: self.base_bytes, max_bytes })
    }
}
