//! Brings a session up to date from the store, then makes it live.

use std::{collections::HashMap, sync::Arc};

use chat_protocol::frame::Delivery;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    close::CloseReason,
    delivery::{members_messages, tag_of, wrap_message},
    hub::Shared,
    limits::CATCH_UP_PAGE_MAX,
    outbox::{Outgoing, Overflow},
    queue::Lane,
    request::{GoLive, Peer, Plan, Request, Sender},
    store::{
        LogId,
        sqlite::{PageEntry, PageRequest, ReadError},
    },
};

/// Why a session did not become live.
#[derive(Debug, Error)]
enum CatchUpError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Outbox(#[from] Overflow),
    #[error("the hub is stopping")]
    Stopping,
}

/// Pushes what the device has missed, and ends when it is live or gone.
pub async fn run(hub: Arc<Shared>, peer: Arc<Peer>, queue: Sender, plan: Plan) {
    match catch_up(&hub, &peer, &queue, plan).await {
        Ok(()) | Err(CatchUpError::Outbox(_)) => {}
        Err(CatchUpError::Stopping) => peer.outbox.close(CloseReason::Restart),
        Err(CatchUpError::Read(error)) => {
            tracing::error!(%error, user = %peer.name, "cannot catch up");
            peer.outbox.close(CloseReason::Internal);
        }
    }
}

async fn catch_up(
    hub: &Shared,
    peer: &Arc<Peer>,
    queue: &Sender,
    mut plan: Plan,
) -> Result<(), CatchUpError> {
    let (start, cursors) = hub.reads.cursors(peer.device).await?;
    let mut done = 0;
    loop {
        let target = plan.target;
        read_until(hub, peer, logs(plan, start, &cursors), done, target).await?;
        done = target;
        let (reply, answer) = oneshot::channel();
        let request = Request::GoLive(GoLive { peer: Arc::clone(peer), position: done, reply });
        queue
            .send(Lane::Control, None, 0, request)
            .await
            .map_err(|_closed| CatchUpError::Stopping)?;
        match answer.await.map_err(|_gone| CatchUpError::Stopping)? {
            None => return Ok(()),
            Some(next) => plan = next,
        }
    }
}

/// Logs with something new, and after which position.
fn logs(plan: Plan, start: u64, cursors: &HashMap<LogId, u64>) -> Vec<(LogId, u64)> {
    plan.logs
        .into_iter()
        .filter_map(|(log, newest)| {
            let after = cursors.get(&log).copied().unwrap_or(start);
            (newest > after).then_some((log, after))
        })
        .collect()
}

async fn read_until(
    hub: &Shared,
    peer: &Peer,
    logs: Vec<(LogId, u64)>,
    mut after: u64,
    until: u64,
) -> Result<(), CatchUpError> {
    if logs.is_empty() {
        return Ok(());
    }
    loop {
        let request = PageRequest {
            name: peer.name.clone(),
            sk: peer.sk,
            logs: logs.clone(),
            after,
            until,
            limit: CATCH_UP_PAGE_MAX,
        };
        let page = hub.reads.page(request).await?;
        for entry in page.entries {
            push(hub, peer, entry).await?;
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

/// Pushes one entry when the outbox has room: answers share it and must not be crowded out.
async fn push(hub: &Shared, peer: &Peer, entry: PageEntry) -> Result<(), CatchUpError> {
    peer.outbox.wait_for_room().await?;
    let tag = tag_of(&entry.frame);
    let frame = Delivery::encode(entry.position, entry.hub_ms, &entry.frame);
    let mut messages = vec![frame];
    if let Some(epoch) = entry.epoch {
        messages.extend(members_messages(epoch.e, &epoch.members));
        messages.push(wrap_message(epoch.e, epoch.line, epoch.wrap));
    }
    for message in messages {
        hub.metrics.bytes_out.inc_by(u64::try_from(message.len()).unwrap_or(u64::MAX));
        peer.outbox.push(Outgoing::Binary(message))?;
    }
    hub.metrics.frames_out.of(tag).inc();
    hub.metrics.deliveries.pushed.inc();
    Ok(())
}
