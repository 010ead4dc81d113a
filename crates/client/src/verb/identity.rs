//! `verify`, `trust`, `distrust`, `devices` and `key`.

use std::time::Duration;

use chat_endpoint::Event;
use chat_protocol::name::{ConversationId, RoomName, SERVER, UserName};
use clap::Subcommand;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Task, note, print_json, print_line, verify_server};
use crate::config::{Common, names};
use crate::exit::ExitStatus;
use crate::prompt::TerminalPrompt;
use crate::signals::interrupted;
use crate::start::{self, Failure};
use chat_device::client::{ClientEvent, RenewError};
use chat_device::identity::{self, IdentityCommand, IdentityError, Kind, Question, is_yes};
use chat_device::own_device::KeyChange;
use chat_device::sign_in::check_password;
use chat_text::{hints, show};

/// How long the server may take to hand keys over.
const KEYS_TIMEOUT: Duration = Duration::from_secs(15);

/// How long new keys may take: they are made, and a new connection publishes them.
const RENEW_TIMEOUT: Duration = Duration::from_mins(1);

/// The commands about keys and devices, as clap reads them.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum IdentityVerb {
    /// Compare keys with somebody: twelve words, the same on both screens. Without a name, with
    /// `server` or with a bare `--server`: the words of the server's key and its certificate, as it
    /// says them at its start
    Verify {
        /// With whom
        #[arg(default_value = SERVER, value_parser = names::user)]
        name: UserName,
        /// The six words that they read, or `yes`; asked for at a terminal
        words: Vec<String>,
        /// Show digits, too
        #[arg(long)]
        digits: bool,
    },
    /// Take another key for somebody than the known one, after comparing its words
    Trust {
        /// Whose key
        #[arg(value_parser = names::user)]
        name: UserName,
        /// The six words of the other key; asked for at a terminal
        #[arg(long)]
        words: Option<String>,
    },
    /// Keep the known key of somebody and refuse the other one from now on
    Distrust {
        /// Whose key
        #[arg(value_parser = names::user)]
        name: UserName,
        /// The six words of the other key; asked for at a terminal
        #[arg(long)]
        words: Option<String>,
    },
    /// Show devices, or shut one of mine out
    #[command(args_conflicts_with_subcommands = true)]
    Devices {
        /// Whose; mine if absent
        #[arg(value_parser = names::user)]
        name: Option<UserName>,
        /// What to do
        #[command(subcommand)]
        action: Option<DevicesVerb>,
    },
    /// The keys of this device
    Key {
        /// What to do
        #[command(subcommand)]
        action: KeyVerb,
    },
}

/// What to do about devices.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum DevicesVerb {
    /// Shut a device of mine out: it reads and says nothing any more
    Revoke {
        /// Its number in the list
        number: usize,
    },
}

/// What to do about the keys of this device.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum KeyVerb {
    /// Replace the signing and the encryption key
    Rotate,
}

impl IdentityVerb {
    /// Whether the words of the server are meant, for which nobody signs in.
    pub(crate) fn is_about_server(&self) -> bool {
        matches!(self, Self::Verify { name, .. } if name.is_server())
    }

    /// Does it.
    pub async fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        match self {
            Self::Verify { words, digits, .. } if self.is_about_server() => {
                if *digits || !words.is_empty() {
                    let reason = "verify server shows six words and takes neither words nor --digits; compare \
                                  them by eye";
                    return Err(Failure::usage(&reason));
                }
                verify_server::verify(common).await
            }
            verb => identity(common, &verb.command()).await,
        }
    }

    /// What it asks the device for.
    fn command(&self) -> IdentityCommand {
        let decide = |kind, user: &UserName, words, digits| IdentityCommand::Decide {
            kind,
            user: user.clone(),
            words,
            digits,
        };
        match self {
            Self::Verify { name, words, digits } => {
                let words = (!words.is_empty()).then(|| words.join(" "));
                decide(Kind::Verify, name, words, *digits)
            }
            Self::Trust { name, words } => decide(Kind::Trust, name, words.clone(), false),
            Self::Distrust { name, words } => decide(Kind::Distrust, name, words.clone(), false),
            Self::Devices { action: Some(DevicesVerb::Revoke { number }), .. } => {
                IdentityCommand::Revoke { number: *number }
            }
            Self::Devices { name, action: None } => IdentityCommand::Devices { user: name.clone() },
            Self::Key { action: KeyVerb::Rotate } => IdentityCommand::Rotate,
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let status = match &error {
            IdentityError::Words(_) | IdentityError::InQuestion(_) => ExitStatus::Integrity,
            IdentityError::Renew(error) if *error != RenewError::TooOld => {
                ExitStatus::CannotConnect
            }
            _ => ExitStatus::Refused,
        };
        Self::Other { status, reason: hints::undecided(&error) }
    }
}

/// Does it and leaves.
async fn identity(common: &Common, what: &IdentityCommand) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start(common)).await?;
    let done = tokio::select! {
        done = Box::pin(act(common, &mut task, what)) => done,
        () = interrupted() => Ok(ExitStatus::Interrupted),
    };
    task.end().await;
    done
}

async fn act(
    common: &Common,
    task: &mut Task,
    what: &IdentityCommand,
) -> Result<ExitStatus, Failure> {
    match what {
        IdentityCommand::Decide { user, .. } if *user == task.user => {
            Err(IdentityError::Myself(user.clone()).into())
        }
        IdentityCommand::Decide { kind, user, words, digits } => {
            let user = &task.true_name(user).await?;
            fetch_keys(task, user).await?;
            decide(task, (*kind, user.clone(), *digits), words.as_deref()).await
        }
        IdentityCommand::Devices { user } => {
            let user = user.clone().unwrap_or_else(|| task.user.clone());
            let user = task.true_name(&user).await?;
            fetch_keys(task, &user).await?;
            let devices = task.client.known_devices(&user).await;
            let is_deleted = task.client.is_deleted(&user).await;
            if devices.is_empty() {
                return Err(IdentityError::without_keys(user, is_deleted).into());
            }
            for (at, device) in devices.iter().enumerate() {
                let number = at + 1;
                let object = || show::identity::device_object((&user, is_deleted), number, device);
                tell(task, &show::identity::device(&task.lines, number, device), object)?;
            }
            if is_deleted && !task.is_json {
                print_line(&show::identity::deleted(&user))?;
            }
            Ok(ExitStatus::Ok)
        }
        IdentityCommand::Revoke { number } => {
            // The list as it is shown.
            let me = task.user.clone();
            fetch_keys(task, &me).await?;
            identity::to_revoke(&task.client, &me, *number).await?;
            // The key file of this machine may open with a password that is the account's no more.
            let connector = start::connector(common)?;
            let check = check_password(connector, me.clone(), start::account(common, None));
            start::go_through(common, check).await?;
            let client = task.client.clone();
            let revoking = identity::revoke(&client, &me, *number);
            let device = published(task, revoking).await??;
            let object = || json!({"event": "revoked", "number": number, "key": device.sk});
            tell(
                task,
                &format!(
                    "device {number} ({}) is revoked; what it has said is not shown to whoever has not read it yet",
                    device.words
                ),
                object,
            )?;
            Ok(ExitStatus::Ok)
        }
        IdentityCommand::Rotate => {
            let client = task.client.clone();
            let renewed = published(task, client.renew(KeyChange::Rotated)).await?;
            renewed.map_err(IdentityError::from)?;
            let object = || json!({"event": "key", "state": "rotated"});
            tell(task, "this device has new keys", object)?;
            Ok(ExitStatus::Ok)
        }
    }
}

async fn decide(
    task: &Task,
    what: (Kind, UserName, bool),
    words: Option<&str>,
) -> Result<ExitStatus, Failure> {
    let question = Question::look_up(&task.client, &task.user, what).await?;
    let object = || show::identity::question_object(&task.user, &question);
    tell(task, &show::identity::question(&task.user, &question), object)?;
    let answer = match words {
        // A script that takes a key has its words from the person: a yes to whatever the server offers
        // is none.
        Some(words) if question.kind == Kind::Trust && is_yes(words) => {
            return Err(IdentityError::Words(question.user).into());
        }
        Some(words) => words.to_owned(),
        None if TerminalPrompt::is_possible() => {
            if let Some(error) = question.in_vain() {
                return Err(error.into());
            }
            let prompt = question.kind.prompt(&question.user);
            tokio::task::spawn_blocking(move || TerminalPrompt::ask(&prompt).unwrap_or_default())
                .await
                .unwrap_or_default()
        }
        None if question.kind == Kind::Verify => return Ok(ExitStatus::Ok),
        None => {
            let verb = question.kind.verb();
            let reason = format!("{verb} needs --words WORDS where nobody can be asked");
            return Err(Failure::Other { status: ExitStatus::Usage, reason });
        }
    };
    if answer.trim().is_empty() {
        note("nothing is changed");
        return Ok(ExitStatus::Ok);
    }
    let done = question.answer(&task.client, &answer).await?;
    let (user, kind) = (&question.user, question.kind.verb());
    tell(task, &done, || json!({"event": "decided", "user": user, "decision": kind}))?;
    Ok(ExitStatus::Ok)
}

fn tell(task: &Task, line: &str, object: impl FnOnce() -> Value) -> Result<(), Failure> {
    if task.is_json {
        print_json(vec![object()])?;
    } else {
        print_line(line)?;
    }
    Ok(())
}

/// Brings the keys of a person up to date.
async fn fetch_keys(task: &mut Task, user: &UserName) -> Result<(), Failure> {
    let with = ConversationId::direct(&task.user, user);
    // One's own come with any room.
    let cid = with.unwrap_or_else(|_| ConversationId::room(&RoomName::lobby()));
    task.client.refresh(&cid).await;
    let until = Instant::now() + KEYS_TIMEOUT;
    loop {
        let Ok(event) = timeout_at(until, task.events.next()).await else {
            let reason = "the server did not hand the keys over in time".to_owned();
            return Err(Failure::Other { status: ExitStatus::TimedOut, reason });
        };
        let is_lost = matches!(event, Some(ClientEvent::Offline { .. }));
        let Some(notification) = task.notification(event)? else {
            if is_lost {
                let reason = "the connection was lost before the keys had come".to_owned();
                return Err(Failure::Other { status: ExitStatus::CannotConnect, reason });
            }
            continue;
        };
        if let Event::Alarm { .. } = &notification.event {
            task.mention(&notification.event);
        }
        if matches!(&notification.event, Event::Refreshed { cid: of } if *of == cid) {
            return Ok(());
        }
    }
}

/// Waits for new keys while the connection goes and comes; what happens meanwhile is told again.
async fn published<T>(task: &mut Task, renewal: impl Future<Output = T>) -> Result<T, Failure> {
    let renewal = timeout(RENEW_TIMEOUT, renewal);
    tokio::pin!(renewal);
    loop {
        tokio::select! {
            done = &mut renewal => return done.map_err(|_| Failure::Other {
                status: ExitStatus::TimedOut,
                reason: "the new keys were not published in time; chat-client devices shows whether they are now"
                    .to_owned(),
            }),
            event = task.events.next() => match event {
                // It is meant to go.
                Some(ClientEvent::Offline { .. }) => {}
                event => drop(task.notification(event)?),
            },
        }
    }
}
