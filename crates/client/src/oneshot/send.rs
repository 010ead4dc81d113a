//! One message: sent, and its answer waited for.

use std::io::{self, Read as _};
use std::time::Duration;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_protocol::limits::MESSAGE_TEXT_BYTES_MAX;
use chat_protocol::name::RoomName;
use tokio::time::timeout;

use super::{Task, interrupted};
use crate::config::{Common, Recipient, SendText, Verbosity};
use crate::exit::ExitStatus;
use crate::start::Failure;

/// A message that has no answer by then is still sent at the next start.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Sends one message and waits until the server has stored or refused it.
pub async fn send(common: &Common, to: &Recipient, text: &SendText) -> Result<ExitStatus, Failure> {
    let text = match text {
        SendText::Given(text) => text.clone(),
        SendText::StandardInput => standard_input()?,
    };
    let mut task = Box::pin(Task::start(common)).await?;
    let id = match to {
        Recipient::User(user) => task.client.tell(user, &text).await?,
        Recipient::Room(room) => task.client.say(room, &text).await?,
        Recipient::All => task.client.say(&RoomName::all(), &text).await?,
    };
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
    task.end().await;
    Ok(status)
}

/// Waits for the answer. Other durable events stay for whoever shows them.
async fn answer(task: &mut Task, id: MessageId) -> Result<ExitStatus, Failure> {
    loop {
        let event = task.events.next().await;
        let Some(notification) = task.notification(event)? else { continue };
        let status = match &notification.event {
            Event::Stored { id: stored, .. } if *stored == id => {
                if task.is_json || task.verbosity > Verbosity::Quiet {
                    task.show(&notification.event)?;
                }
                ExitStatus::Ok
            }
            Event::Refused { id: refused, .. } if *refused == id => {
                if task.is_json {
                    task.show(&notification.event)?;
                }
                task.mention(&notification.event);
                ExitStatus::Refused
            }
            Event::Alarm { .. } | Event::Complaint { .. } => {
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
    let limit = u64::try_from(MESSAGE_TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
    let mut text = String::new();
    io::stdin().lock().take(limit).read_to_string(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
