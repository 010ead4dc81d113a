//! Lists that the server sends page by page.

use std::time::Duration;

use chat_endpoint::Event;
use tokio::time::timeout;

use super::Task;
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::Failure;
use chat_device::client::{Client, ClientEvent};

/// A list of thousands comes in pages, each within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What an event is to a list.
pub(super) enum Page {
    /// Nothing that belongs to the list.
    Other,
    /// A page of it; another one follows.
    More,
    /// Its last page.
    Last,
}

/// Asks for a list and prints its pages.
pub(super) async fn print(
    common: &Common,
    ask: impl AsyncFnOnce(&Client),
    page: impl Fn(&Task, &Event) -> Result<Page, Failure>,
) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start(common)).await?;
    ask(&task.client).await;
    let listed = tokio::select! {
        listed = timeout(ANSWER_TIMEOUT, pages(&mut task, page)) => listed,
        () = interrupted() => return Ok(ExitStatus::Interrupted),
    };
    let status = match listed {
        Ok(listed) => listed.map(|()| ExitStatus::Ok)?,
        Err(_) => ExitStatus::TimedOut,
    };
    task.end().await;
    Ok(status)
}

async fn pages(
    task: &mut Task,
    page: impl Fn(&Task, &Event) -> Result<Page, Failure>,
) -> Result<(), Failure> {
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
        let Some(notification) = notification else { continue };
        if let Page::Last = page(task, &notification.event)? {
            return Ok(());
        }
    }
}
