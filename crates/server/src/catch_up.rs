//! Brings a session up to date from the store, then makes it live.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_protocol::{
    frame::Delivery,
    hub::{self, DropClaim, HubToClient},
};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{
    close::CloseReason,
    delivery::{members_messages, tag_of, wrap_message},
    limits::CATCH_UP_PAGE_MAX,
    outbox::{Outgoing, Overflow},
    queue::Lane,
    request::{GoLive, Peer, Plan, Request, Sender},
    sessions::push_text,
    shared::Shared,
    store::{LogId, PageDropped, PageEntry, PageRequest, ReadError},
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
    shared: &Shared,
    peer: &Arc<Peer>,
    queue: &Sender,
    mut plan: Plan,
) -> Result<(), CatchUpError> {
    for notice in std::mem::take(&mut plan.notices) {
        peer.outbox.wait_for_room().await?;
        push_text(&shared.metrics, peer, hub::write(&notice).into());
    }
    let (start, cursors) = shared.reads.cursors(peer.device).await?;
    let mut done = 0;
    loop {
        let target = plan.target;
        read_until(shared, peer, logs(plan, start, &cursors), done, target).await?;
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
    shared: &Shared,
    peer: &Peer,
    logs: Vec<(LogId, u64)>,
    mut after: u64,
    until: u64,
) -> Result<(), CatchUpError> {
    if logs.is_empty() {
        return Ok(());
    }
    let mut missed = Missed::default();
    loop {
        let request = PageRequest {
            name: peer.name.clone(),
            sk: peer.sk,
            logs: logs.clone(),
            after,
            until,
            counted: missed.counted.clone(),
            limit: CATCH_UP_PAGE_MAX,
        };
        let page = shared.reads.page(request).await?;
        missed.add(page.dropped);
        for entry in page.entries {
            for gone in missed.before(entry.position) {
                push_dropped(shared, peer, gone).await?;
            }
            push(shared, peer, entry).await?;
        }
        // Keys that stand before the others may come with the next page.
        for gone in missed.before(page.next.map_or(u64::MAX, |next| next.saturating_add(1))) {
            push_dropped(shared, peer, gone).await?;
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

/// What was dropped and not told yet, in the order of positions.
#[derive(Default)]
struct Missed {
    untold: VecDeque<PageDropped>,
    /// Up to where in each log.
    counted: HashMap<LogId, u64>,
}

impl Missed {
    fn add(&mut self, dropped: Vec<PageDropped>) {
        for mut gone in dropped {
            self.counted.insert(gone.log, gone.position);
            let before = self.untold.iter().position(|untold| untold.log == gone.log);
            if let Some(before) = before.and_then(|at| self.untold.remove(at)) {
                gone.messages = gone.messages.saturating_add(before.messages);
            }
            let place = self.untold.partition_point(|untold| untold.position < gone.position);
            self.untold.insert(place, gone);
        }
    }

    /// What stood before a position. A device that has heard of it counts it as fetched, so the
    /// keys that stand before it have to be there first.
    fn before(&mut self, position: u64) -> Vec<PageDropped> {
        let count = self.untold.partition_point(|gone| gone.position < position);
        self.untold.drain(..count).collect()
    }
}

/// Says that messages were dropped, at the place where they would have been.
async fn push_dropped(shared: &Shared, peer: &Peer, gone: PageDropped) -> Result<(), CatchUpError> {
    peer.outbox.wait_for_room().await?;
    let PageDropped { cid, position, before_ms, keep_ms, messages, .. } = gone;
    let claim = DropClaim { cid, position, before_ms, keep_ms, messages };
    push_text(&shared.metrics, peer, hub::write(&HubToClient::Dropped(claim)).into());
    Ok(())
}

/// Pushes one entry when the outbox has room: answers share it and must not be crowded out.
async fn push(shared: &Shared, peer: &Peer, entry: PageEntry) -> Result<(), CatchUpError> {
    peer.outbox.wait_for_room().await?;
    let tag = tag_of(&entry.frame);
    let frame = Delivery::encode(entry.position, entry.hub_ms, &entry.frame);
    let mut messages = vec![frame];
    if let Some(epoch) = entry.epoch {
        messages.extend(members_messages(epoch.e, &epoch.members));
        messages.push(wrap_message(epoch.e, epoch.line, epoch.wrap));
    }
    for message in messages {
        shared.metrics.bytes_out.inc_by(u64::try_from(message.len()).unwrap_or(u64::MAX));
        peer.outbox.push(Outgoing::Binary(message))?;
    }
    shared.metrics.frames_out.of(tag).inc();
    shared.metrics.deliveries.pushed.inc();
    Ok(())
}
