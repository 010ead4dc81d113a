//! While the log that hubs share is away: nobody is told that something is kept, and nobody that it is refused.

use std::pin::pin;

use chat_protocol::{
    code,
    hub::{self, ClientToHub, HubToClient},
    name::ConversationId,
};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::{Open, Worker, account, admin::reply, ask::asked_by, owed::Owed};
use crate::{
    admin::request::AdminAnswer,
    close::CloseReason,
    limits::BATCH_REQUESTS_MAX,
    metrics::Metrics,
    order::{
        Guarded, Turns,
        health::{AWAY_AFTER, LogHealth},
    },
    queue::{QueueReceiver, Queued},
    request::{Refusal, Request},
    sessions::{Sessions, push_text},
    store::CommitError,
};

/// After this time without the log sessions are ended, so that their devices look elsewhere.
const SESSIONS_END_AFTER: Duration = Duration::from_secs(15);

/// When to come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// What those are told who wait.
const AWAY: &str = "this server cannot reach the log that it shares with others";

/// What those are told whom other servers have overtaken again and again.
const OVERTAKEN: &str = "other servers were faster again and again";

/// How often a request is decided that other hubs overtake: some hundred milliseconds where Redis is near.
const ROUNDS_MAX: u8 = 16;

/// How long a hub that ends in order waits until the log has its last words. Without them the others find out.
const TAKE_LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// What a message is told that was sealed behind one which is to come again.
pub(super) const BEHIND: &str = "a message before this one is to come again first";

/// What goes on beside something that waits for the log.
pub(super) struct Beside<'a> {
    pub(super) sessions: &'a mut Sessions,
    pub(super) metrics: &'a Metrics,
    pub(super) queue: &'a mut QueueReceiver<Request, ConversationId>,
    pub(super) owed: &'a mut Owed,
    pub(super) health: Option<&'a LogHealth>,
    /// What has to be done afterwards.
    pub(super) kept_aside: &'a mut Vec<Open>,
}

impl Beside<'_> {
    /// Waits for something that only the log can answer. When that takes too long, others are told to come again:
    /// what is under way itself stays so.
    pub(super) async fn wait<T>(self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        if let Ok(done) = timeout(AWAY_AFTER, &mut waiting).await {
            return done;
        }
        let (mut stuck, stuck_at) = (None, Instant::now() + AWAY_AFTER);
        let mut end_at = Some(Instant::now() + SESSIONS_END_AFTER.saturating_sub(AWAY_AFTER));
        loop {
            tokio::select! {
                biased;
                done = &mut waiting => return done,
                batch = self.queue.take_batch(BATCH_REQUESTS_MAX) => {
                    if batch.is_empty() {
                        // Nobody asks any more.
                        return waiting.await;
                    }
                    let again = |queued| ask_again((self.metrics, &mut *self.owed), queued, AWAY);
                    self.kept_aside.extend(batch.into_iter().filter_map(again));
                }
                // Whoever looks after the log has said by now that it is away. If not, it answers and takes nothing.
                () = sleep_until(stuck_at), if stuck.is_none() => stuck = Some(Stuck::say(self.health)),
                () = sleep_until(end_at.unwrap_or_else(Instant::now)), if end_at.is_some() => {
                    end_at = None;
                    self.sessions.close_all(&CloseReason::TryLater(AWAY.into()));
                    self.sessions.clear();
                }
            }
        }
    }
}

impl<T: Turns> Worker<T> {
    /// What keeps this hub from writing into the log although it answers.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        self.health.as_ref().and_then(|health| health.refusal())
    }

    /// Tells all of a batch to come again, but for what needs no log, and for who is here no more: that is true whatever
    /// a clock says, and nobody is promised anything by it. Returns that, and the time of the log.
    pub(super) fn put_off(&mut self, now_ms: u64, batch: Vec<Open>, why: &str) -> (u64, Vec<Open>) {
        let mut ends = Vec::new();
        for queued in batch {
            match ask_again((&self.metrics, &mut self.owed), queued, why) {
                None => {}
                Some(Queued { item: Request::GoLive(request), .. }) => self.go_live(request),
                Some(queued) if matches!(queued.item, Request::Settings(_)) => self.settle(queued),
                Some(queued) => ends.push(queued),
            }
        }
        (self.time_of_log(now_ms), ends)
    }

    fn time_of_log(&self, now_ms: u64) -> u64 {
        self.health.as_ref().map_or(now_ms, |health| health.time_of_log(now_ms))
    }

    /// Ends all sessions: nothing was kept for so long that their devices look elsewhere.
    pub(super) fn end_sessions(&mut self) {
        let why = self.refusal().unwrap_or(AWAY);
        self.sessions.close_all(&CloseReason::TryLater(why.into()));
        self.sessions.clear();
    }

    /// This hub ends in order, and says of everybody who is here that they leave: the others need not find out, and who
    /// comes in there is not taken for somebody who is still here.
    pub(super) async fn take_leave(&mut self) {
        if !T::IS_SHARED {
            return;
        }
        let now_ms = self.time_of_log((self.clock)());
        let departures = self.sessions.peers().map(|peer| self.guarded(self.departure(peer)));
        let departures: Vec<Guarded> = departures.collect();
        let turns = &mut self.turns;
        let told = timeout(TAKE_LEAVE_TIME_MAX, async move {
            let mut left = departures.into_iter();
            loop {
                let batch: Vec<Guarded> = left.by_ref().take(BATCH_REQUESTS_MAX).collect();
                if batch.is_empty() {
                    return Ok::<(), CommitError>(());
                }
                let at = turns.applied();
                turns.commit(at, now_ms, batch).await?;
            }
        });
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log_untold(&error),
            Err(late) => log_untold(&late),
        }
    }

    /// What another hub has overtaken is decided again. That has an end: whoever waits is told to come again then.
    pub(super) fn another_round(&mut self, mut queued: Open) -> Option<Open> {
        queued.rounds = queued.rounds.saturating_add(1);
        if queued.rounds < ROUNDS_MAX {
            return Some(queued);
        }
        queued.rounds = 0;
        ask_again((&self.metrics, &mut self.owed), queued, OVERTAKEN)
    }

    /// The other hubs have taken this one for dead, and it goes on as another one: whoever is connected comes in
    /// again, here or elsewhere.
    pub(super) fn note_life(&mut self) {
        let life = self.turns.hub();
        if life == self.life {
            return;
        }
        self.life = life;
        let reason = "the other servers had lost this one; connect again";
        self.sessions.close_all(&CloseReason::TryLater(reason.into()));
        self.sessions.clear();
    }
}

/// While this is there, it is said that something waits for too long.
struct Stuck<'a>(Option<&'a LogHealth>);

impl<'a> Stuck<'a> {
    fn say(health: Option<&'a LogHealth>) -> Self {
        if let Some(health) = health {
            health.set_stuck(true);
        }
        Self(health)
    }
}

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        if let Some(health) = self.0 {
            health.set_stuck(false);
        }
    }
}

fn log_untold(error: &dyn std::fmt::Display) {
    tracing::warn!(%error, "the others were not told who leaves here; they find out in some seconds");
}

/// Waits until the log has been away, or was of no use to this hub, for so long that `sessions` of them are to end: for
/// ever where there are none, or no such log.
pub(super) async fn long_away(health: Option<&LogHealth>, sessions: usize) {
    let Some(health) = health else { return std::future::pending().await };
    let (mut away, mut refused) = (health.away(), health.refused());
    loop {
        let since = [*away.borrow_and_update(), *refused.borrow_and_update()];
        let since = since.into_iter().flatten().min();
        let end_at = since.filter(|_| sessions > 0).map(|since| since + SESSIONS_END_AFTER);
        tokio::select! {
            biased;
            // Whoever looks after the log is there as long as this.
            changed = away.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            changed = refused.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            },
            () = sleep_until(end_at.unwrap_or_else(Instant::now)), if end_at.is_some() => return,
        }
    }
}

/// Tells whoever waits for it to come again; nothing of it was kept. Returns it where it has to be done whatever
/// happens.
pub(super) fn ask_again(
    (metrics, owed): (&Metrics, &mut Owed),
    queued: Open,
    why: &str,
) -> Option<Open> {
    let refusal = || Refusal::new(code::TOO_MANY, why).with_retry(COME_AGAIN);
    let after_ms = u64::try_from(COME_AGAIN.as_millis()).unwrap_or(u64::MAX);
    let retry = |id| HubToClient::Retry { id, after_ms, why: why.to_owned() };
    match queued.item {
        Request::Frame(request) => {
            if !owed.note(&request) {
                let reason = "this connection has too much to say again; connect again";
                request.peer.outbox.close(CloseReason::TryLater(reason.into()));
            }
            let text = hub::write(&retry(request.header.id())).into();
            push_text(metrics, &request.peer, text);
        }
        Request::Ask(peer, question) => {
            if let Some(id) = asked_by(&question) {
                push_text(metrics, &peer, hub::write(&retry(id)).into());
            }
            if matches!(question, ClientToHub::Bundles { .. } | ClientToHub::Members { .. }) {
                peer.page.add_permits(1);
            }
        }
        // Whoever waited for one of these may be gone.
        Request::SignIn(request) => drop(request.reply.send(Err(refusal()))),
        Request::Password(request) => drop(request.reply.send(Err(refusal()))),
        Request::Copy(request) => drop(request.reply.send(Err(refusal()))),
        Request::Delete(_) => account::answer_deletion(queued, Err(refusal())),
        Request::Admin(_) => reply(queued, AdminAnswer::refused(why.to_owned())),
        // Whoever knows it reminds again; who looks is told by this that it is not known.
        Request::Remind(_) | Request::Look(_) => {}
        Request::Settings(_) | Request::GoLive(_) | Request::Leave(_) | Request::Lost(_) => {
            return Some(queued);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whatever keeps a hub from writing, its sessions end after a while. Before: those of a hub whose clock is wrong
    /// stayed, and were served nothing.
    #[tokio::test(start_paused = true)]
    async fn sessions_end_when_a_hub_cannot_write_for_whatever_reason() {
        for is_clock in [true, false] {
            let health = LogHealth::new(1);
            if is_clock {
                health.set_clock_wrong(true);
            } else {
                health.set_weak(true);
            }
            let since = Instant::now();
            timeout(2 * SESSIONS_END_AFTER, long_away(Some(&health), 1)).await.unwrap();
            assert!(since.elapsed() >= SESSIONS_END_AFTER);
            let nobody = timeout(2 * SESSIONS_END_AFTER, long_away(Some(&health), 0)).await;
            assert!(nobody.is_err(), "there is nobody whose session could end");
            health.set_clock_wrong(false);
            health.set_weak(false);
            let well = timeout(2 * SESSIONS_END_AFTER, long_away(Some(&health), 1)).await;
            assert!(well.is_err(), "it can write again");
        }
    }
}
