//! Several servers that share a log, and the Redis in which it lies.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::LIMIT;
use crate::binary;
use crate::rig::Rig;
use crate::server::Server;

/// Whether scenarios with a Redis are wanted: they take longer than others, and need `redis-server`.
pub fn is_redis_wanted() -> bool {
    let is_wanted = std::env::var_os("CHAT_WITH_REDIS").is_some_and(|wanted| wanted == "1");
    if !is_wanted {
        skipped();
    }
    is_wanted
}

#[expect(clippy::print_stderr, reason = "a scenario that is skipped says so")]
fn skipped() {
    eprintln!(
        "skipped: CHAT_WITH_REDIS=1 runs it, with redis-server (apt-get install redis-server)"
    );
}

/// A Redis of one scenario, on a socket in its folder.
pub struct Redis {
    folder: std::path::PathBuf,
    running: Option<Child>,
}

impl Redis {
    /// Starts one that syncs each write, with these options more.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(rig: &Rig, options: &[&str]) -> Self {
        let folder = rig.path("redis");
        std::fs::create_dir_all(&folder).unwrap();
        let mut redis = Self { folder, running: None };
        redis.run(options);
        redis
    }

    /// Starts it where it was ended.
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&mut self, options: &[&str]) {
        let log = File::create(self.folder.join("log")).unwrap();
        let socket = self.folder.join("sock");
        // What an earlier one has left answers nobody.
        std::fs::remove_file(&socket).ok();
        let running = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .args(["--maxmemory-policy", "noeviction", "--unixsocket"])
            .arg(&socket)
            .args(options)
            .current_dir(&self.folder)
            .stdout(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("redis-server runs");
        self.running = Some(running);
        let end = Instant::now() + LIMIT;
        while self.say(&["PING"]).trim() != "PONG" {
            assert!(Instant::now() < end, "Redis does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn files(&self) -> std::path::PathBuf {
        self.folder.join("appendonlydir")
    }

    /// Ends it as a power cut would, and starts an empty one in its place.
    ///
    /// # Panics
    /// When that does not work.
    pub fn replace(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.files()).unwrap();
        self.run(&[]);
    }

    /// Keeps what is on its disk now, for [`Redis::put_back`].
    ///
    /// # Panics
    /// When that does not work.
    pub fn keep(&mut self) {
        self.kill();
        let kept = self.folder.join("kept");
        std::fs::create_dir_all(&kept).unwrap();
        for file in std::fs::read_dir(self.files()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), kept.join(file.file_name())).unwrap();
        }
        self.run(&[]);
    }

    /// Ends it as a power cut would, and starts it with what was kept.
    ///
    /// # Panics
    /// When that does not work.
    pub fn put_back(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.files()).unwrap();
        std::fs::rename(self.folder.join("kept"), self.files()).unwrap();
        self.run(&[]);
    }

    /// What it answers.
    ///
    /// # Panics
    /// When there is no `redis-cli`.
    pub fn say(&self, words: &[&str]) -> String {
        let mut asked = Command::new("redis-cli");
        asked.arg("-s").arg(self.folder.join("sock")).args(words);
        let answer = asked.output().expect("redis-cli runs");
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("unix://{}", self.folder.join("sock").display())
    }

    /// SIGSTOP and the like.
    ///
    /// # Panics
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().unwrap();
        kill_process(Pid::from_child(running), signal).unwrap();
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().unwrap();
            running.wait().unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The command line of the server `node` of several, on a free port unless one is given.
pub fn node_command(rig: &Rig, redis: &Redis, node: &str, port: &str, options: &[&str]) -> Command {
    let mut command = rig.command(&binary("chat-server"));
    command.args(["--port", port, "--log-format", "text", "--limit", "disk=off"]);
    command.args(["--redis", &redis.url(), "--node", node, "--data"]).arg(rig.path(node));
    command.args(options);
    command
}

/// `chat-server` as it is typed in the folder of a rig.
pub fn server_command(rig: &Rig, words: &[&str]) -> Command {
    let mut command = rig.command(&binary("chat-server"));
    command.args(words);
    command
}

/// What is in the folder of the server `node`: its rows, and what they come to.
///
/// # Panics
/// When it cannot be read.
pub fn node_digest(rig: &Rig, node: &str) -> String {
    let mut command = rig.command(&binary("chat-server"));
    command.args(["cluster", "digest", "--data"]).arg(rig.path(node));
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Starts the server `node` of several.
///
/// # Panics
/// When it does not start.
pub fn node(rig: &Rig, redis: &Redis, node: &str) -> Server {
    Server::run(node_command(rig, redis, node, "0", &[]))
}

/// Starts it again where it was killed: same port, same data.
///
/// # Panics
/// When it does not start.
pub fn node_again(rig: &Rig, redis: &Redis, node: &str, before: &Server) -> Server {
    Server::run(node_command(rig, redis, node, before.port(), &[]))
}
