//! A server, and a lie between it and everybody.
#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat_evil_hub::{Act, Liar, Switch};
use chat_protocol::crypto::UnwrapKey;
use chat_testkit::middle::Middle;
use serde_json::Value;

use crate::{Client, Program, Proxy, Rig, Server};

/// One of the server's private keys, from its data folder.
///
/// # Panics
/// When it is not there.
pub fn server_key(data: &Path, which: &str) -> Vec<u8> {
    let file = std::fs::read_to_string(data.join("server.key")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    URL_SAFE_NO_PAD.decode(file[which].as_str().unwrap()).unwrap()
}

/// A server behind a proxy.
pub struct Stage {
    /// The lie is told while this is on.
    pub switch: Switch,
    /// What everybody connects to.
    pub proxy: Proxy,
    /// The honest server.
    pub server: Server,
    /// The folders.
    pub rig: Rig,
}

impl Stage {
    /// A hub that tells this lie when it is told to.
    pub fn new(act: Act) -> Self {
        let switch = Switch::default();
        let liar = Liar::new(act, &switch);
        Self::with(Box::new(liar), switch)
    }

    /// A hub with this in between.
    ///
    /// # Panics
    /// When the server does not start.
    pub fn with(middle: Box<dyn Middle>, switch: Switch) -> Self {
        let rig = Rig::new();
        // The budgets of accounts are the hub's own: it gives its accomplices none.
        let server = rig.server_with(&["--limits", "off"]);
        let link = UnwrapKey::from_pkcs8(&server_key(&rig.data(), "link")).unwrap();
        let proxy = Proxy::through(server.address(), middle, Some(link));
        Self { switch, proxy, server, rig }
    }

    /// A client behind the proxy.
    pub fn client(&self, user: &str) -> Client {
        self.rig.client(user, &self.proxy.url())
    }

    /// Somebody at a prompt behind the proxy, in the lobby when this returns.
    ///
    /// # Panics
    /// When they do not get there in time.
    pub fn person(&self, user: &str) -> Program {
        crate::person(&self.rig, &self.proxy.url(), user)
    }
}
