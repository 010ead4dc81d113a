//! The folders of one scenario.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::client::Client;
use crate::prepared::{self, Prepared};
use crate::server::Server;

/// A folder of its own for one scenario: server data, logs, homes. Removed when dropped.
pub struct Rig {
    folder: TempDir,
    /// None where server and people make their keys themselves.
    prepared: Option<Arc<Prepared>>,
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

impl Rig {
    /// A new folder. Its server and its people find keys that were made once for all scenarios; the server has
    /// the same ones in each.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        Self { prepared: Some(Arc::default()), ..Self::unprepared() }
    }

    /// A new folder in which the server and everybody make keys of their own.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn unprepared() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), prepared: None }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The server's data.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The logs of the server and of the clients.
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Writes a file and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A server on a free port of the loopback address.
    ///
    /// # Panics
    /// When it does not start.
    pub fn server(&self) -> Server {
        self.server_with(&[])
    }

    /// The same with more options.
    ///
    /// # Panics
    /// When it does not start.
    pub fn server_with(&self, options: &[&str]) -> Server {
        if let Some(prepared) = &self.prepared {
            prepared.server(&self.data());
        }
        Server::start(self, options)
    }

    /// A client of `url` with the name `user`, its home named like the user.
    pub fn client(&self, user: &str, url: &str) -> Client {
        Client::new(self, user, url)
    }

    /// An emulator at `url`. It makes the names of its clients, and most of their keys are prepared as well.
    ///
    /// # Panics
    /// When the keys cannot be written.
    pub fn emulator(&self, url: &str) -> Client {
        let client = self.client("emulator", url);
        // There is nobody of this name, who would need a home. One that was an emulator's before has its keys.
        if self.prepared.as_ref().is_some_and(|prepared| prepared.meets("emulator")) {
            prepared::emulated(client.home());
        }
        client
    }

    /// What its clients find.
    pub(crate) fn prepared(&self) -> Option<Arc<Prepared>> {
        self.prepared.clone()
    }

    /// A program of ours that sees nothing of the environment of whoever runs the tests.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env("HOME", self.path("nobody"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHAT_") {
                command.env_remove(name);
            }
        }
        command
    }
}
