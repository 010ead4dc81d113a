//! What was missed, then what arrives.

use std::collections::HashSet;
use std::time::Duration;

use chat_endpoint::Event;
use tokio::time::{Instant, sleep_until};

use super::{Task, interrupted};
use crate::clock::now_ms;
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::show::claim;
use crate::start::Failure;

/// Prints messages and receipts until `count` messages were printed or `limit` has passed.
pub async fn listen(
    common: &Common,
    count: Option<u64>,
    limit: Option<Duration>,
) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start(common)).await?;
    let until = limit.map(|limit| Instant::now() + limit);
    let mut printed = 0;
    while count.is_none_or(|count| printed < count) {
        let event = tokio::select! {
            event = task.events.next() => event,
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
            () = interrupted() => {
                task.end().await;
                return Ok(ExitStatus::Interrupted);
            }
        };
        let Some(notification) = task.notification(event)? else { continue };
        if !claim(&notification.event, &HashSet::new(), now_ms()) {
            continue;
        }
        task.show(&notification.event)?;
        if let Some(key) = notification.key {
            task.client.consumed(key).await;
        }
        printed += u64::from(matches!(notification.event, Event::Message { .. }));
    }
    task.end().await;
    Ok(ExitStatus::Ok)
}
