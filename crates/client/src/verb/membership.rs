//! `join` and `leave`: one order in a room, and its answer.

use std::time::Duration;

use chat_endpoint::{Event, RoomAction};
use chat_protocol::code;
use chat_protocol::id::MessageId;
use chat_protocol::name::RoomName;
use clap::Args;
use tokio::time::timeout;

use super::Task;
use crate::config::{Common, names};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::Failure;

/// So long the answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Which room to join.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct JoinOf {
    /// The room, with or without its #
    #[arg(value_parser = names::room)]
    pub room: RoomName,
    /// Make an open room of this name if there is none
    #[arg(long)]
    pub create: bool,
}

/// Joins a room, or is in one already.
pub async fn join(common: &Common, of: &JoinOf) -> Result<ExitStatus, Failure> {
    let joining = vec![RoomAction::Join { create: false }];
    let making = of.create.then_some(RoomAction::Create { private: false });
    Box::pin(order(common, &of.room, joining.into_iter().chain(making).collect())).await
}

/// Leaves a room.
pub async fn leave(common: &Common, room: &RoomName) -> Result<ExitStatus, Failure> {
    Box::pin(order(common, room, vec![RoomAction::Leave])).await
}

/// Asks for one thing after the other until one is done; the next only where there is no such room.
async fn order(
    common: &Common,
    room: &RoomName,
    actions: Vec<RoomAction>,
) -> Result<ExitStatus, Failure> {
    let mut task = Task::start(common).await?;
    let mut status = ExitStatus::Refused;
    let mut left = actions.len();
    for action in actions {
        left -= 1;
        let id = task.client.act_in_room(room, action).await?;
        let answered = tokio::select! {
            answered = timeout(ANSWER_TIMEOUT, answer(&mut task, &id)) => answered,
            () = interrupted() => return Ok(ExitStatus::Interrupted),
        };
        let Ok(answered) = answered else {
            status = ExitStatus::TimedOut;
            break;
        };
        let event = answered?;
        let Event::Refused { code, .. } = &event else {
            task.show_done(&event);
            status = ExitStatus::Ok;
            break;
        };
        if code != code::NO_SUCH_ROOM || left == 0 {
            task.show_done(&event);
            break;
        }
    }
    task.end().await;
    Ok(status)
}

/// What answers this order.
async fn answer(task: &mut Task, id: &MessageId) -> Result<Event, Failure> {
    loop {
        let event = task.events.next().await;
        let Some(notification) = task.notification(event)? else { continue };
        let is_refusal = matches!(&notification.event, Event::Refused { id: of, .. } if of == id);
        if is_refusal || notification.event.answers() == Some(*id) {
            task.consumed(&notification).await;
            return Ok(notification.event);
        }
    }
}
