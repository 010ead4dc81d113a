//! A server and people in its lobby: how most scenarios open.

use crate::client::{Client, PASSWORD};
use crate::person::person;
use crate::program::Program;
use crate::rig::Rig;
use crate::server::Server;
use crate::terminal::Terminal;

/// A server on a free port, and the folders of its scenario.
pub struct Scene {
    // The people, who are not in here, and the server end before their folders go.
    /// The server.
    pub server: Server,
    /// The folders.
    pub rig: Rig,
}

impl Scene {
    /// Opens it with these people at their prompts, in the lobby, in this order.
    ///
    /// # Panics
    /// When the server does not start, or they do not get there in time.
    pub fn with<const N: usize>(names: [&str; N]) -> (Self, [Program; N]) {
        let rig = Rig::new();
        let server = rig.server();
        let scene = Self { server, rig };
        let people = names.map(|name| scene.person(name));
        (scene, people)
    }

    /// Opens it with nobody.
    ///
    /// # Panics
    /// When the server does not start.
    pub fn empty() -> Self {
        Self::with([]).0
    }

    /// Where clients connect to.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// How to start the client of somebody.
    pub fn client(&self, name: &str) -> Client {
        self.rig.client(name, self.url())
    }

    /// Somebody at a prompt, in the lobby when this returns.
    ///
    /// # Panics
    /// When they do not get there in time.
    pub fn person(&self, name: &str) -> Program {
        person(&self.rig, self.url(), name)
    }

    /// Makes accounts, whose people go away at once.
    ///
    /// # Panics
    /// When one is not made.
    pub fn accounts(&self, names: &[&str]) {
        for name in names {
            self.client(name).run(&["users"]).assert_code(0);
        }
    }

    /// Somebody at a full screen of so many columns and rows, connected when this returns.
    ///
    /// # Panics
    /// When they do not get there in time.
    pub fn at_full_screen(&self, name: &str, size: (u16, u16)) -> Terminal {
        let chat = self.client(name).at_full_screen(size, "");
        chat.wait_until_seen("connected to");
        chat
    }

    /// Somebody with an account at a terminal, connected and at their prompt when this returns: what is typed before
    /// that is read by the terminal, to which some keys mean something else.
    ///
    /// # Panics
    /// When they do not get there in time.
    pub fn at_terminal(&self, name: &str) -> Terminal {
        self.accounts(&[name]);
        let mut chat = self.client(name).at_terminal(&[]);
        chat.answer("Password", PASSWORD);
        chat.wait_for("connected to");
        chat.wait_for(&format!("{name} #lobby>"));
        chat
    }
}
