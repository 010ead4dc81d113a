//! Where a scenario takes place: one server, or two that share a log and behave as one.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program::Program;
use crate::rig::Rig;
use crate::server::Server;
use crate::{LIMIT, binary};

/// How often it is looked whether Redis is there.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// One server or two, and the folders of the scenario.
pub struct House {
    // The servers end before Redis, and that before its folder.
    servers: Vec<Server>,
    _redis: Option<Program>,
    /// The folders.
    pub rig: Rig,
    next: AtomicUsize,
}

impl House {
    /// One server.
    ///
    /// # Panics
    /// When it does not start.
    pub fn one() -> Self {
        let rig = Rig::new();
        Self { servers: vec![rig.server()], _redis: None, rig, next: AtomicUsize::new(0) }
    }

    /// Two servers; nothing where there is no Redis, unless `CHAT_WITH_REDIS` asks for it.
    ///
    /// # Panics
    /// When they do not start, or Redis is asked for and missing.
    pub fn over_two() -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if version.is_err() {
            assert!(std::env::var_os("CHAT_WITH_REDIS").is_none(), "there is no redis-server");
            return None;
        }
        let rig = Rig::unprepared();
        let socket = rig.path("redis.sock");
        let redis = start_redis(&rig.path(""), &socket);
        let url = format!("unix://{}", socket.display());
        let server = |node: &str| {
            let mut command = rig.command(&binary("chat-server"));
            command.args(["--port", "0", "--log-format", "text", "--limit", "disk=off"]);
            command.args(["--redis", &url, "--node", node]);
            command
                .arg("--data")
                .arg(rig.path(node))
                .arg("--logs")
                .arg(rig.path(&format!("logs-{node}")));
            Server::run(command)
        };
        // The first one makes the key that the second finds.
        let servers = vec![server("n1"), server("n2")];
        Some(Self { servers, _redis: Some(redis), rig, next: AtomicUsize::new(0) })
    }

    /// Where the next client connects to: they are dealt round.
    ///
    /// # Panics
    /// Never: there is a server.
    pub fn url(&self) -> &str {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.servers.get(number % self.servers.len()).unwrap().url()
    }
}

/// A Redis in this folder that syncs each write, and answers when this returns.
fn start_redis(folder: &Path, socket: &PathBuf) -> Program {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    command.args(["--maxmemory-policy", "noeviction", "--unixsocket"]).arg(socket);
    command.current_dir(folder);
    let redis = Program::start(command);
    let end = Instant::now() + LIMIT;
    while !answers(socket) {
        assert!(Instant::now() < end, "Redis does not answer: {}", redis.stdout.text());
        sleep(LOOK_PAUSE);
    }
    redis
}

fn answers(socket: &PathBuf) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut answer = [0; 5];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG"
}
