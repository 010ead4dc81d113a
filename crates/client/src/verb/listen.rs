//! What was missed, then what arrives.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use chat_endpoint::Event;
use clap::Args;
use jiff::tz::TimeZone;
use tokio::time::{Instant, sleep_until};

use super::{CATCH_UP_MAX, Task, print_json, print_line};
use crate::config::{Common, arguments};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::Failure;
use chat_device::clock::now_ms;
use chat_device::ignored::Ignored;
use chat_device::names::Names;
use chat_device::names::alike::Met;
use chat_text::show::claim;
use chat_text::show::days::Days;

/// How long one listens: up to whichever limit comes first.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct ListenOf {
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this time: 500ms, 10s, 2m, 1h
    #[arg(long = "for", value_name = "TIME", value_parser = arguments::duration)]
    pub limit: Option<Duration>,
}

impl ListenOf {
    /// Prints messages and receipts until the limit. What was missed is still waited for then, for a while: a slow
    /// start must not make it look like nothing.
    pub async fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        listen(common, self.count, self.limit).await
    }
}

async fn listen(
    common: &Common,
    count: Option<u64>,
    limit: Option<Duration>,
) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start_to_stay(common)).await?;
    let mut until = limit.map(|limit| Instant::now() + limit);
    let (mut printed, mut is_over) = (0, false);
    let (mut days, mut late) = (Days::new(TimeZone::system()), HashSet::new());
    let (mut met, mut names) = (Met::default(), Names::default());
    for name in task.client.known_names().await {
        names.learn(name.as_str());
    }
    let mut ignored = Ignored::of(&task.client.settings().await);
    let mut interrupt = pin!(interrupted());
    while count.is_none_or(|count| printed < count) && !(is_over && task.has_caught_up) {
        let event = tokio::select! {
            event = task.events.next() => event,
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                if is_over {
                    break;
                }
                is_over = true;
                until = Some(Instant::now() + CATCH_UP_MAX);
                continue;
            }
            () = &mut interrupt => {
                task.end().await;
                return Ok(ExitStatus::Interrupted);
            }
        };
        let Some(mut notification) = task.notification(event)? else { continue };
        // Nobody else waits for what follows on that.
        if let Event::Late { re, .. } = &notification.event {
            late.insert(*re);
        }
        if !claim(&notification.event, |id| late.contains(id), now_ms()) {
            continue;
        }
        if let Event::Settings { .. } = &notification.event {
            ignored = Ignored::of(&task.client.settings().await);
        }
        if ignored.hide(&notification.event) || ignored.silence(&notification.event) {
            task.consumed(&notification).await;
            continue;
        }
        notification.event = ignored.without_presence(notification.event);
        if task.is_for_eyes()
            && let Some(day) = days.line(now_ms())
        {
            print_line(&day)?;
        }
        names.learn_from(&notification.event);
        for alike in met.look(&task.user, &notification.event, &names) {
            if common.json {
                print_json(vec![alike.object()])?;
            } else {
                print_line(&alike.line())?;
            }
        }
        // How this device comes and goes is no news for a script.
        if !matches!(notification.event, Event::Joined { .. } | Event::Refreshed { .. }) {
            task.show(&notification.event)?;
        }
        task.consumed(&notification).await;
        printed += u64::from(matches!(notification.event, Event::Message { .. }));
    }
    task.end().await;
    Ok(ExitStatus::Ok)
}
