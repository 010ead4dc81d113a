//! A Redis of a test.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use chat_server::order::redis::Place;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long a Redis may take to answer at all on a busy machine.
const START_TIME_MAX: Duration = Duration::from_secs(20);

/// A Redis of this test, which syncs each write.
pub(crate) struct Redis {
    folder: TempDir,
    running: Option<Child>,
}

/// Starts a Redis; nothing where there is none to start.
pub(crate) async fn redis() -> Option<Redis> {
    let is_there = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if is_there.is_err() {
        assert!(std::env::var_os("CHAT_WITH_REDIS").is_none(), "there is no redis-server");
        eprintln!("skipped: there is no redis-server (apt-get install redis-server)");
        return None;
    }
    let mut redis = Redis { folder: TempDir::new().expect("a folder"), running: None };
    redis.start().await;
    Some(redis)
}

impl Redis {
    fn socket(&self) -> String {
        let path = self.folder.path().join("redis.sock");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket())
    }

    pub(crate) async fn start(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let running = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", &self.socket(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(["--maxmemory-policy", "noeviction", "--enable-debug-command", "local"])
            .current_dir(self.folder.path())
            .stdout(log)
            .spawn()
            .expect("redis-server");
        self.running = Some(running);
        let answers = async {
            while self.say(&["PING"]).await.is_none_or(|word| word != "PONG") {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(START_TIME_MAX, answers).await.expect("Redis answers");
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        running.kill().expect("killed");
        running.wait().expect("ended");
    }

    /// SIGSTOP and the like.
    pub(crate) fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        kill_process(Pid::from_child(running), signal).expect("signalled");
    }

    pub(crate) async fn say(&self, words: &[&str]) -> Option<String> {
        let client = ::redis::Client::open(self.url()).ok()?;
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        let mut command = ::redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.ok()
    }

    /// Where logs of this test lie.
    pub(crate) fn place(&self) -> Place {
        Place::new(&self.url(), "test").expect("a place")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
