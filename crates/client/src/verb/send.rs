//! One message: sent, and its answer waited for.

use std::io::{self, Read as _};
use std::time::Duration;

use chat_endpoint::{Event, RoomAction, check_text};
use chat_protocol::id::MessageId;
use chat_protocol::limits::MESSAGE_TEXT_BYTES_MAX;
use chat_protocol::name::UserName;
use clap::Args;
use tokio::time::timeout;

use super::Task;
use crate::config::{Common, Verbosity, names};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::Failure;
use chat_device::client::SendError;
use chat_device::recipient::Recipient;
use chat_device::text_lines::{BYTE_ORDER_MARK, without_mark};

/// A message that has no answer by then is still sent at the next start.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// What is sent, and to whom.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct SendOf {
    /// A user, #ROOM, or ALL
    #[arg(value_parser = names::recipient)]
    pub to: Recipient,
    /// Shift the letters, as for a spoiler; shown shifted back
    #[arg(long)]
    pub veil: bool,
    /// The text; `-` reads it from standard input
    #[arg(required = true)]
    pub text: Vec<String>,
}

impl SendOf {
    /// Sends one message and waits until the server has stored or refused it.
    pub async fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        let text = match self.text.as_slice() {
            [dash] if dash == "-" => standard_input()?,
            words => words.join(" "),
        };
        sendable(common, &self.to, &text)?;
        send(common, &self.to, &text, self.veil).await
    }
}

async fn send(
    common: &Common,
    to: &Recipient,
    text: &str,
    veil: bool,
) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start(common)).await?;
    let to = &match to {
        Recipient::User(user) => Recipient::User(task.true_name(user).await?),
        other => other.clone(),
    };
    if let Recipient::Room(room) = to {
        let join = RoomAction::Join { create: false };
        let joined = task.client.act_in_room(room, join).await?;
        if let Some(status) = until_joined(&mut task, joined).await? {
            task.end().await;
            return Ok(status);
        }
    }
    let id = task.client.send(to, text, veil).await?;
    let answered = tokio::select! {
        answered = timeout(ANSWER_TIMEOUT, answer(&mut task, id)) => answered,
        () = interrupted() => return Ok(ExitStatus::Interrupted),
    };
    let status = if let Ok(status) = answered {
        status?
    } else {
        super::note("no answer in time; the message is sent at the next start");
        ExitStatus::TimedOut
    };
    tokio::select! {
        caught_up = task.catch_up() => caught_up?,
        () = interrupted() => return Ok(status),
    }
    task.end().await;
    Ok(status)
}

/// Says what is wrong before anybody signs in for it.
fn sendable(common: &Common, to: &Recipient, text: &str) -> Result<(), SendError> {
    check_text(text).map_err(SendError::Refused)?;
    let is_me = |user: &UserName| {
        common.user.as_ref().is_some_and(|me| me.as_str().eq_ignore_ascii_case(user.as_str()))
    };
    match to {
        Recipient::User(user) if is_me(user) => {
            Err(SendError::Refused(chat_endpoint::SendError::ToOneself))
        }
        _ => Ok(()),
    }
}

/// Waits until I am in the room; a status when that is not to be.
async fn until_joined(task: &mut Task, id: MessageId) -> Result<Option<ExitStatus>, Failure> {
    let answered = tokio::select! {
        answered = timeout(ANSWER_TIMEOUT, joined(task, id)) => answered,
        () = interrupted() => return Ok(Some(ExitStatus::Interrupted)),
    };
    if let Ok(answer) = answered {
        return answer;
    }
    super::note("no answer in time; nothing was sent");
    Ok(Some(ExitStatus::TimedOut))
}

async fn joined(task: &mut Task, id: MessageId) -> Result<Option<ExitStatus>, Failure> {
    loop {
        let event = task.events.next().await;
        let Some(notification) = task.notification(event)? else { continue };
        if matches!(notification.event, Event::Alarm { .. }) {
            task.mention(&notification.event);
        }
        if notification.event.answers() != Some(id) {
            continue;
        }
        task.consumed(&notification).await;
        if !matches!(notification.event, Event::Refused { .. }) {
            return Ok(None);
        }
        if task.is_json {
            task.show(&notification.event)?;
        }
        task.mention(&notification.event);
        return Ok(Some(ExitStatus::Refused));
    }
}

/// Waits for the answer. Other durable events stay for whoever shows them.
async fn answer(task: &mut Task, id: MessageId) -> Result<ExitStatus, Failure> {
    loop {
        let event = task.events.next().await;
        let Some(notification) = task.notification(event)? else { continue };
        let status = match &notification.event {
            Event::Stored { id: stored, .. } if *stored == id => {
                task.consumed(&notification).await;
                if task.is_json || task.verbosity > Verbosity::Quiet {
                    task.show_done(&notification.event);
                }
                ExitStatus::Ok
            }
            Event::Refused { id: refused, .. } if *refused == id => {
                task.consumed(&notification).await;
                if task.is_json {
                    task.show(&notification.event)?;
                }
                task.mention(&notification.event);
                ExitStatus::Refused
            }
            Event::Alarm { .. } | Event::Complaint { .. } | Event::PutOff { .. } => {
                task.mention(&notification.event);
                continue;
            }
            _ => continue,
        };
        if let Some(key) = notification.key {
            task.client.consumed(key).await;
        }
        return Ok(status);
    }
}

fn standard_input() -> Result<String, Failure> {
    // One byte more than the longest text with its line end and the mark before it.
    let limit = MESSAGE_TEXT_BYTES_MAX + BYTE_ORDER_MARK.len() + 3;
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut text = String::new();
    io::stdin().lock().take(limit).read_to_string(&mut text)?;
    let text = without_mark(&text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
