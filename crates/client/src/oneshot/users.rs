//! Who has an account, and who is here.

use std::time::Duration;

use chat_endpoint::Event;
use tokio::time::timeout;

use super::{Task, interrupted, print_json, print_line};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::show::{self, json};
use crate::start::Failure;

/// A list of thousands comes in pages, each within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Prints everybody, in the order of their names.
pub async fn users(common: &Common) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start(common)).await?;
    task.client.who().await;
    let listed = tokio::select! {
        listed = timeout(ANSWER_TIMEOUT, list(&mut task)) => listed,
        () = interrupted() => return Ok(ExitStatus::Interrupted),
    };
    let status = match listed {
        Ok(listed) => listed.map(|()| ExitStatus::Ok)?,
        Err(_) => ExitStatus::TimedOut,
    };
    task.end().await;
    Ok(status)
}

async fn list(task: &mut Task) -> Result<(), Failure> {
    loop {
        let event = task.events.next().await;
        let is_lost = matches!(event, Some(crate::client::ClientEvent::Offline { .. }));
        let Some(notification) = task.notification(event)? else {
            if is_lost {
                // The question went with the connection.
                return Err(Failure::Other {
                    status: ExitStatus::CannotConnect,
                    reason: "the connection was lost before the list was complete".to_owned(),
                });
            }
            continue;
        };
        let Event::People { people, more } = notification.event else { continue };
        for person in &people {
            if task.is_json {
                print_json(vec![json::person(person)])?;
            } else {
                print_line(&show::person(person))?;
            }
        }
        if !more {
            return Ok(());
        }
    }
}
