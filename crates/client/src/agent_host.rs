//! This machine accepts commands: the agent of `crates/exec` behind this user's device.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use chat_agent::{AgentHost, Backlog};
use chat_endpoint::Event;
use chat_exec::{Agent, AgentConfig, Namespaces, Policy, PolicyError, Rules};
use chat_protocol::handshake::Purpose;
use chat_protocol::id::Nonce16;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Common, Verbosity};
use crate::exit::ExitStatus;
use crate::notify::Notifier;
use crate::prompt::TerminalPrompt;
use crate::signals::interrupted;
use crate::start::{self, Failure, connected};
use crate::task::{note, print_line};
use crate::unshown::Unshown;
use chat_device::client::ClientEvent;
use chat_device::clock::now_ms;
use chat_device::home::{HomeError, HomeFolder, file};
use chat_device::sign_in::meet;
use chat_text::show::{Detail, Lines, clocks as clocks_line};

/// Who may run what on this machine.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct AgentOf {
    /// Who may run what; without it everything is refused
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Read the policy, say what it allows to whom, and end; with 1 if it is wrong
    #[arg(long)]
    pub check: bool,
}

impl AgentOf {
    /// Serves until it is stopped, or reads the policy only.
    pub fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        let policy = self.policy.as_deref();
        if self.check { check(common, policy) } else { connected(serve(common, policy)) }
    }
}

/// Reads a policy, and says what is wrong in it or what it allows to whom.
fn check(common: &Common, path: Option<&Path>) -> Result<ExitStatus, Failure> {
    let failed = |reason: String| Failure::Other { status: ExitStatus::Failure, reason };
    let policy = rules(path).map_err(|error| failed(error.to_string()))?;
    warn(common, &policy);
    for line in policy.allows() {
        print_line(&line)?;
    }
    Rules::new(policy).map_err(|error| failed(error.to_string()))?;
    Ok(ExitStatus::Ok)
}

/// What the author of a policy probably does not mean.
fn warn(common: &Common, policy: &Policy) {
    for warning in policy.warnings().iter().filter(|_| common.verbosity > Verbosity::Quiet) {
        note(&format!("warning: {warning}"));
    }
}

/// Serves until it is stopped.
async fn serve(common: &Common, policy: Option<&Path>) -> Result<ExitStatus, Failure> {
    let user = start::user(common)?;
    let connector = start::connector(common)?;
    let meeting = meet(Arc::clone(&connector), TerminalPrompt::is_possible());
    let server = start::go_through(common, meeting).await?;
    let folder = HomeFolder::new(&common.home, &server, &user);
    // From here on a closed terminal ends nothing.
    let mut hangup = signal(SignalKind::hangup())?;
    let agent = Arc::new(open(common, &folder, policy)?);
    let follower = Arc::clone(&agent);
    let rb = Some(Nonce16(agent.restart_nonce()));
    let (host, mut reports) = AgentHost::new(agent, start::operation_log(common, &user)?);
    let signed_in = start::sign_in(common, connector, user.clone(), Purpose::Agent, rb);
    let (client, mut events) = Box::pin(signed_in).await?;
    let lines = Lines::new(user, Detail::Full);
    let says = |line: &str| {
        if common.verbosity > Verbosity::Quiet {
            note(line);
        }
    };
    let (mut unshown, mut backlog) = (Unshown::of_machine(), Backlog::default());
    let (mut notifier, settings) = (Notifier::default(), &common.configured.settings);
    let mut interrupt = pin!(interrupted());
    let status = loop {
        tokio::select! {
            event = events.next() => match event {
                Some(ClientEvent::Notification(notification)) => {
                    let is_command = backlog.start(&host, now_ms(), &notification);
                    let line = lines.event(&notification.event);
                    let is_for_people = is_for_people(&host, &notification.event);
                    match (&notification.event, notification.key) {
                        (Event::CommandPassed { .. } | Event::Cancel { .. }, Some(key)) => {
                            client.pass_over(key).await;
                        }
                        _ if is_command => notifier.asked(&notification.event, settings),
                        _ => unshown.take(&client, &notification).await,
                    }
                    if let Some(line) = line.filter(|_| is_command || is_for_people) {
                        says(&line);
                    }
                }
                Some(ClientEvent::CaughtUp) => backlog.read(&host, now_ms()),
                Some(ClientEvent::Online { url, clocks, .. }) => {
                    says(&format!("accepting commands at {url}"));
                    if let Some(line) = clocks_line(clocks.0, clocks.1) {
                        says(&line);
                    }
                }
                Some(ClientEvent::Silent { seconds }) => {
                    says(&format!("the server has not answered for {seconds} s"));
                }
                Some(ClientEvent::Answering) => says("the server answers again"),
                Some(ClientEvent::Offline { reason }) => {
                    backlog.connected();
                    says(&format!("offline: {reason}; trying again"));
                }
                Some(ClientEvent::Stopped(stopped)) => return Err(stopped.into()),
                None => break ExitStatus::Failure,
            },
            Some(report) = reports.recv() => client.report(report).await,
            _ = hangup.recv() => says(&match follow(common, &follower, policy) {
                Ok(()) => "the policy was read again".to_owned(),
                Err(error) => format!("the policy stays as it was: {error}"),
            }),
            () = &mut interrupt => break ExitStatus::Interrupted,
        }
    };
    client.leave().await;
    Ok(status)
}

/// Whether whoever looks after this machine should see it: trouble, and gaps of people who may give
/// commands here.
fn is_for_people(host: &AgentHost, event: &Event) -> bool {
    match event {
        Event::Alarm { .. } | Event::Complaint { .. } | Event::PutOff { .. } => true,
        Event::Gap { from, .. } | Event::Unhealed { from, .. } => host.knows(from),
        _ => false,
    }
}

/// The policy of this machine. Without a file everything is refused.
fn rules(path: Option<&Path>) -> Result<Policy, PolicyError> {
    path.map_or_else(|| Ok(Policy::deny_all()), Policy::load)
}

/// Reads the policy again; one that cannot be used changes nothing.
fn follow(common: &Common, agent: &Agent, policy: Option<&Path>) -> Result<(), String> {
    let policy = rules(policy).map_err(|error| error.to_string())?;
    warn(common, &policy);
    agent.follow(Rules::new(policy).map_err(|error| error.to_string())?);
    Ok(())
}

/// Opens journal, work directory and policy. Without a policy everything is refused.
fn open(common: &Common, folder: &HomeFolder, policy: Option<&Path>) -> Result<Agent, Failure> {
    let failed = |reason: String| Failure::Other { status: ExitStatus::Failure, reason };
    let policy = rules(policy).map_err(|error| failed(error.to_string()))?;
    warn(common, &policy);
    let path = folder.path();
    file::make_private_folder(path)
        .map_err(|source| HomeError::Io { path: path.to_owned(), source })?;
    let config = AgentConfig {
        policy,
        journal_path: path.join("commands"),
        work_dir: path.join("work"),
        helper: std::env::current_exe()?,
        namespaces: Namespaces::default(),
    };
    Agent::open(config).map_err(|error| failed(error.to_string()))
}
