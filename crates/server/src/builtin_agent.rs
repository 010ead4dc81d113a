//! The agent named `server`: runs the commands that the policy of this machine allows.
//!
//! It is an ordinary device that happens to live in the hub's process. It verifies requesters by
//! their signatures and never takes the hub's word, and it is in no room, so it reads nothing that
//! was not sent to it.

use std::{path::Path, sync::Arc, time::Duration};

use chat_agent::{AgentHost, AgentReport, Backlog, answer};
use chat_device::{
    step::{Core, Input, Released},
    store::{Home as _, SqliteStore, StoreError},
};
use chat_endpoint::{Device, Endpoint, SystemRandom, Transmit};
use chat_exec::{Agent, AgentConfig, AgentError, Namespaces, Policy, PolicyError};
use chat_protocol::{
    crypto::hkdf_extract, handshake::SignedIn, id::Nonce16, keys::DeviceKeys, name::UserName,
};
use thiserror::Error;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    clock::now_ms,
    config::Config,
    local::{LocalConnection, LocalError},
    outbox::Outgoing,
    shared::Hub,
};

/// Pause before the agent connects again after the hub has closed its connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Bound into the key of the agent's state, so that the identity key serves no second purpose.
const STATE_LABEL: &[u8] = b"chat-server built-in agent state";

/// Why the agent cannot start.
#[derive(Debug, Error)]
pub enum BuiltInError {
    /// The policy cannot be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Commands cannot run.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// Why the agent stopped.
#[derive(Debug, Error)]
enum Stopped {
    #[error(transparent)]
    Connection(#[from] LocalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the agent's state is older than what it has sent; restore the folder agent and the database \
         as they were at one time"
    )]
    RolledBack,
    #[error("the agent's state is damaged: {0}")]
    State(#[from] serde_json::Error),
}

/// The rules of this machine: those of a file, or the harmless list. What its author probably does not
/// mean is logged.
pub(crate) fn policy(path: Option<&Path>) -> Result<Policy, PolicyError> {
    let policy = path.map_or_else(|| Ok(Policy::builtin()), Policy::load)?;
    for warning in policy.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(policy)
}

/// The agent before its hub runs.
pub struct BuiltInAgent {
    agent: Arc<Agent>,
    folder: std::path::PathBuf,
}

impl BuiltInAgent {
    /// Reads the policy and opens the journal. `helper` is the program that commands are run by.
    pub fn open(config: &Config, helper: &Path) -> Result<Self, BuiltInError> {
        let policy = policy(config.policy.as_deref())?;
        let folder = config.data.join("agent");
        let agent = Agent::open(AgentConfig {
            policy,
            journal_path: folder.join("journal.db"),
            work_dir: folder.join("work"),
            helper: helper.to_owned(),
            namespaces: Namespaces::default(),
        })?;
        Ok(Self { agent: Arc::new(agent), folder })
    }

    /// What runs the commands.
    pub(crate) fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent)
    }

    /// The restart nonce, for the hub's bundle.
    pub fn restart_nonce(&self) -> Nonce16 {
        Nonce16(self.agent.restart_nonce())
    }

    /// Serves commands until the hub stops.
    pub async fn run(self, hub: Hub) {
        let (host, mut reports) = AgentHost::new(Arc::clone(&self.agent), hub.log());
        loop {
            match self.serve(&hub, &host, &mut reports).await {
                Err(Stopped::Connection(LocalError::Stopping)) | Ok(()) => return,
                Err(Stopped::Connection(error)) => {
                    tracing::debug!(%error, "the built-in agent connects again");
                    sleep(RECONNECT_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the built-in agent cannot go on; no commands run here");
                    return;
                }
            }
        }
    }

    /// One connection, from its start to its end.
    async fn serve(
        &self,
        hub: &Hub,
        host: &AgentHost,
        reports: &mut mpsc::Receiver<AgentReport>,
    ) -> Result<(), Stopped> {
        let mut connection = hub.connect_local().await?;
        let keys = hub.keys();
        let mut store = SqliteStore::open(&self.folder.join("home.db"), state_key(&keys))?;
        let (rows, random) = (store.rows()?, Box::new(SystemRandom));
        let endpoint = Endpoint::new(device(hub, keys), &rows, Arc::default(), random)?;
        let mut core = Core::new(endpoint);
        let signed_in = Box::new(SignedIn::at(now_ms()));
        let mut inputs = vec![Input::Connected(signed_in, Arc::new(hub.bundle().clone()))];
        let mut backlog = Backlog::default();
        loop {
            let released = step(&mut core, &mut store, inputs)?;
            inputs = Vec::new();
            for notification in &released.events {
                if !backlog.start(host, now_ms(), notification)
                    && let Some(key) = notification.key
                {
                    inputs.push(Input::Consumed { key, is_shown: false });
                }
            }
            if core.endpoint().has_caught_up() {
                backlog.read(host, now_ms());
            }
            send(&mut connection, released.transmits).await?;
            if core.endpoint().is_rolled_back() {
                return Err(Stopped::RolledBack);
            }
            if let Some(reason) = core.endpoint().reconnect_reason() {
                return Err(Stopped::Connection(LocalError::Closed(reason.to_owned())));
            }
            tokio::select! {
                batch = connection.recv() => inputs.extend(batch?.into_iter().map(input)),
                Some(report) = reports.recv() => {
                    inputs.push(told(hub, report));
                    while let Ok(report) = reports.try_recv() {
                        inputs.push(told(hub, report));
                    }
                }
                () = until(core.endpoint().next_deadline()) => inputs.push(Input::Due),
            }
        }
    }
}

/// Hands a report to the endpoint, and counts it if it is the last of its command.
fn told(hub: &Hub, report: AgentReport) -> Input<()> {
    if let Some(outcome) = report.outcome() {
        hub.metrics().count_command(outcome);
    }
    Input::Work(Box::new(move |turn| {
        let now_ms = turn.now_ms;
        answer(turn.endpoint(), now_ms, report);
    }))
}

/// Commits what the device decided; only then may anything leave.
fn step(
    core: &mut Core,
    store: &mut SqliteStore,
    inputs: Vec<Input<()>>,
) -> Result<Released<()>, StoreError> {
    let (changes, held) = core.prepare(now_ms(), inputs);
    if !changes.is_empty() {
        // The disk is waited for here and not in a thread: the agent has nothing else to do.
        tokio::task::block_in_place(|| {
            store.begin()?;
            store.commit(&changes)
        })?;
    }
    Ok(held.release())
}

fn device(hub: &Hub, keys: Arc<DeviceKeys>) -> Device {
    let bundle = hub.bundle();
    Device {
        user: UserName::server(),
        dev: bundle.header().dev,
        server: bundle.identity(),
        keys,
        bundle: Arc::new(bundle.clone()),
    }
}

/// The key of the agent's state at rest.
fn state_key(keys: &DeviceKeys) -> zeroize::Zeroizing<[u8; 32]> {
    hkdf_extract(STATE_LABEL, &keys.identity.to_pkcs8())
}

fn input(message: Outgoing) -> Input<()> {
    match message {
        Outgoing::Text(text) => Input::Text(text.to_string()),
        Outgoing::Binary(bytes) => Input::Binary(bytes),
    }
}

async fn send(
    connection: &mut LocalConnection,
    transmits: Vec<Transmit>,
) -> Result<(), LocalError> {
    for transmit in transmits {
        match transmit {
            Transmit::Text(text) => connection.send_text(text).await?,
            Transmit::Binary(bytes) => connection.send_binary(bytes).await?,
        }
    }
    Ok(())
}

async fn until(deadline_ms: Option<u64>) {
    match deadline_ms {
        Some(at) => sleep(Duration::from_millis(at.saturating_sub(now_ms()))).await,
        None => std::future::pending().await,
    }
}
