//! Which rooms there are, and which I am in.

use std::time::Duration;

use chat_endpoint::Event;
use tokio::time::timeout;

use super::{Task, interrupted, print_json, print_line};
use crate::client::ClientEvent;
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::show::rooms::{room, room_object};
use crate::start::Failure;

/// A list of thousands comes in pages, each within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Prints the rooms, in the order of their names.
pub async fn rooms(common: &Common) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start(common)).await?;
    task.client.rooms().await;
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
        let is_lost = matches!(event, Some(ClientEvent::Offline { .. }));
        let notification = task.notification(event)?;
        if is_lost {
            // The question went with the connection.
            return Err(Failure::Other {
                status: ExitStatus::CannotConnect,
                reason: "the connection was lost before the list was complete".to_owned(),
            });
        }
        let Some(Event::Rooms { rooms, more }) = notification.map(|n| n.event) else { continue };
        for info in &rooms {
            if task.is_json {
                print_json(vec![room_object(info)])?;
            } else {
                print_line(&room(info))?;
            }
        }
        if !more {
            return Ok(());
        }
    }
}
