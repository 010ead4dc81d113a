//! Reads certificate, policy and configuration again while the server runs (SIGHUP): all of it, or, when
//! something of it cannot be used, nothing.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, absolute},
    sync::Arc,
    time::Duration,
};

use chat_exec::{Agent, Rules};
use chat_protocol::spoken::counted;
use rustix::process::{Resource, getrlimit};
use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use crate::{
    admin::request::Running,
    budgets::{Row, TABLE},
    builtin_agent::{self, BuiltInAgent},
    cluster,
    config::{self, Config, Tls},
    connection::ConnectionId,
    listener::Front,
    queue::Lane,
    request::{Request, Settings},
    shared::{Hub, Shared},
    tls::{self, CertificateFiles},
};

/// From so many days before its end on a certificate is warned of, once a day.
const EXPIRY_WARNING_DAYS: i64 = 21;

/// How often it is looked at.
const EXPIRY_LOOK_PERIOD: Duration = Duration::from_hours(24);

/// Seconds in a day.
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Keys of the configuration that apply at once. The others are looked at only at a start.
const AT_ONCE: [&str; 8] = [
    "bans",
    "mailbox_bytes",
    "mailbox_messages",
    "policy",
    "registration",
    "retention",
    "tls_cert",
    "tls_key",
];

/// What a reload came to: what is different now, or why nothing is.
pub type Outcome = Result<Vec<String>, String>;

/// What is asked of the one who knows what the server goes by.
#[derive(Debug)]
pub enum Ask {
    /// Read it again.
    Again(oneshot::Sender<Outcome>),
    /// Say what it is.
    Running(oneshot::Sender<Box<Running>>),
}

/// What can be read again.
pub(crate) struct Reloader {
    config: Config,
    /// Where the server listens, whatever the configuration asked for.
    address: SocketAddr,
    policy: [u8; 32],
    certificate: Option<tls::Fingerprint>,
    front: Arc<Front>,
    agent: Option<Arc<Agent>>,
    hub: Arc<Shared>,
}

/// The certificate files that a configuration means.
fn files(config: &Config) -> Option<CertificateFiles> {
    match &config.tls {
        Tls::Off => None,
        Tls::Auto => tls::made_certificate(&config.data),
        Tls::Files(files) => Some(files.clone()),
    }
}

fn digest(path: Option<&Path>) -> [u8; 32] {
    // Whoever reads the policy says what is wrong with it; here only a difference counts.
    Sha256::digest(path.and_then(|path| fs::read(path).ok()).unwrap_or_default()).into()
}

impl Reloader {
    pub(crate) fn new(
        (config, address): (&Config, SocketAddr),
        hub: &Hub,
        front: Arc<Front>,
        agent: Option<&BuiltInAgent>,
    ) -> Self {
        Self {
            policy: digest(config.policy.as_deref()),
            certificate: files(config).and_then(|files| files.fingerprint().ok()),
            config: config.clone(),
            address,
            front,
            agent: agent.map(BuiltInAgent::agent),
            hub: Arc::clone(&hub.0),
        }
    }

    /// Reads again whenever somebody asks, or at SIGHUP where this process was started by its command
    /// line.
    pub(crate) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut hangup = match self.config.said {
            Some(_) => signal(SignalKind::hangup()).ok(),
            None => None,
        };
        let mut looked_at = self.look_at_certificate();
        loop {
            let asked = tokio::select! {
                asked = asks.recv() => match asked {
                    Some(Ask::Again(asked)) => Some(asked),
                    Some(Ask::Running(asked)) => {
                        // Whoever asked may be gone.
                        asked.send(Box::new(self.running())).ok();
                        continue;
                    }
                    None => return,
                },
                () = hung_up(&mut hangup) => None,
                () = sleep_until(looked_at) => {
                    looked_at = self.look_at_certificate();
                    continue;
                }
            };
            let outcome = self.reload().await;
            looked_at = self.look_at_certificate();
            match &outcome {
                Ok(changes) if changes.is_empty() => tracing::info!("read again: nothing is new"),
                Ok(changes) => {
                    for change in changes {
                        tracing::info!("read again: {change}");
                    }
                }
                Err(reason) => tracing::error!("nothing was changed: {reason}"),
            }
            if let Some(asked) = asked {
                // Whoever asked may be gone.
                asked.send(outcome).ok();
            }
        }
    }

    /// What the server goes by now.
    fn running(&self) -> Running {
        let absolute = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_owned());
        let certificate = files(&self.config).map(|files| CertificateFiles {
            certificate: absolute(&files.certificate),
            key: absolute(&files.key),
        });
        Running {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: self.address,
            logs: absolute(&self.config.logs),
            certificate,
            policy: self.config.policy.as_deref().map(absolute),
            redis: self.config.sharing.as_ref().map(|sharing| sharing.redis.to_string()),
            descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            // Known to the one who is asked.
            audit: None,
        }
    }

    /// Counts when the certificate ends and says so when that is near; when to look again.
    fn look_at_certificate(&self) -> Instant {
        let ends = files(&self.config).and_then(|files| files.not_after());
        self.hub.metrics.tls_not_after.set(ends.unwrap_or(0));
        let now = i64::try_from((self.hub.clock)() / 1000).unwrap_or(i64::MAX);
        if let Some(days) = ends.map(|ends| (ends - now).div_euclid(DAY_SECONDS))
            && days < EXPIRY_WARNING_DAYS
        {
            if days < 0 {
                tracing::error!(
                    "the certificate has ended: new connections are refused by clients"
                );
            } else {
                tracing::warn!(
                    days,
                    "the certificate ends in {}; put a new one in its place, then: \
                     chat-server reload",
                    counted(days, "day")
                );
            }
        }
        Instant::now() + EXPIRY_LOOK_PERIOD
    }

    async fn reload(&mut self) -> Outcome {
        let Some(said) = &self.config.said else {
            return Err("this server was not started by a command line".to_owned());
        };
        let new = Config::resolve(said).map_err(|error| error.to_string())?;
        if new.sharing.is_some() {
            let (theirs, own) = (cluster::settings_of(&self.config), cluster::settings_of(&new));
            if let Some(differences) = cluster::differences(&theirs, &own) {
                return Err(format!(
                    "all servers of this log are set alike: {differences} (there is what all have now); stop all of \
                     them and start the first one with --change-settings"
                ));
            }
        }
        // Everything that can fail comes first.
        let rules = match &self.agent {
            Some(_) => {
                let policy = builtin_agent::policy(new.policy.as_deref());
                let policy = policy.map_err(|error| error.to_string())?;
                Some(Rules::new(policy).map_err(|error| error.to_string())?)
            }
            None => None,
        };
        let files = files(&new);
        let acceptor = match (&files, &self.front.tls) {
            (Some(files), Some(_)) => {
                let acceptor = files.acceptor().map_err(|error| error.to_string())?;
                let digest = files.fingerprint().map_err(|error| error.to_string())?;
                Some((acceptor, digest))
            }
            _ => None,
        };
        let settings = Settings {
            retention_ms: new.retention_ms,
            registration: new.registration,
            bans: new.bans.clone(),
            mailbox: new.mailbox,
        };
        self.settle(settings).await?;
        let mut changes = self.differences(&new);
        if let (Some(agent), Some(rules)) = (&self.agent, rules) {
            agent.follow(rules);
            let digest = digest(new.policy.as_deref());
            if digest != self.policy {
                changes.push("policy: other rules".to_owned());
            }
            self.policy = digest;
        }
        if let (Some((acceptor, digest)), Some(tls)) = (acceptor, &self.front.tls) {
            tls.replace(acceptor);
            if self.certificate != Some(digest) {
                changes.push(format!("certificate: {digest}"));
            }
            self.certificate = Some(digest);
        }
        // What needs a restart stays as it was, so that it is said again the next time.
        let (bans, mailbox, policy) = (new.bans, new.mailbox, new.policy);
        let (retention_ms, registration) = (new.retention_ms, new.registration);
        let tls = if matches!((&self.config.tls, &new.tls), (Tls::Files(_), Tls::Files(_))) {
            new.tls
        } else {
            self.config.tls.clone()
        };
        let old = self.config.clone();
        self.config = Config { policy, tls, mailbox, retention_ms, registration, bans, ..old };
        Ok(changes)
    }

    /// Has the worker take over what it decides by.
    async fn settle(&self, settings: Settings) -> Result<(), String> {
        let queue = self.hub.requests.for_connection(ConnectionId::HUB);
        let request = Request::Settings(Box::new(settings));
        let sent = queue.send(Lane::Control, None, size_of::<Settings>(), request).await;
        sent.map_err(|_closed| "the server is ending".to_owned())
    }

    fn differences(&self, new: &Config) -> Vec<String> {
        let (old, now) = (config::values(&self.config), config::values(new));
        let mut changes = Vec::new();
        for ((key, old), (_, new)) in old.into_iter().zip(now) {
            if old == new {
                continue;
            }
            let when = if AT_ONCE.contains(&key) { "" } else { ": needs a restart" };
            changes.push(format!("{key} {old} -> {new}{when}"));
        }
        for Row { budget, name, .. } in TABLE {
            let amount = |config: &Config| {
                config.limits.amount(*budget).map_or("off".to_owned(), |amount| amount.to_string())
            };
            let (old, new) = (amount(&self.config), amount(new));
            if old != new {
                changes.push(format!("limit {name} {old} -> {new}: needs a restart"));
            }
        }
        if self.config.bans.len() == new.bans.len() && self.config.bans != new.bans {
            changes.push("bans: other entries".to_owned());
        }
        changes
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            if signal.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}
