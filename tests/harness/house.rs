//! Where a scenario takes place: one server, or two that share a log and behave as one.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::Rig;
use crate::server::Server;
use crate::several::{Redis, is_redis_wanted, node};

/// One server or two, and the folders of the scenario.
pub struct House {
    // The servers end before Redis, and that before its folder.
    servers: Vec<Server>,
    _redis: Option<Redis>,
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

    /// Two servers; nothing unless `CHAT_WITH_REDIS=1` asks for a Redis.
    ///
    /// # Panics
    /// When they do not start.
    pub fn over_two() -> Option<Self> {
        if !is_redis_wanted() {
            return None;
        }
        let rig = Rig::unprepared();
        let redis = Redis::start(&rig, &[]);
        // The first one makes the key that the second finds.
        let servers = ["n1", "n2"].map(|name| node(&rig, &redis, name)).into();
        Some(Self { servers, _redis: Some(redis), rig, next: AtomicUsize::new(0) })
    }

    /// Where the next client connects to: they are dealt round.
    ///
    /// # Panics
    /// Never: there is a server.
    pub fn url(&self) -> &str {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.servers.iter().cycle().nth(number).unwrap().url()
    }
}
