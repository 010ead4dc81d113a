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
        Turns,
        health::{AWAY_AFTER, LogHealth},
    },
    queue::QueueReceiver,
    request::{Refusal, Request},
    sessions::{Sessions, push_text},
};

/// After this time without the log sessions are ended, so that their devices look elsewhere.
const SESSIONS_END_AFTER: Duration = Duration::from_secs(15);

/// When to come again.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// What those are told who wait.
const AWAY: &str = "this server cannot reach the log that it shares with others";

/// What a message is told that was sealed behind one which is to come again.
pub(super) const BEHIND: &str = "a message before this one is to come again first";

/// What goes on beside something that waits for the log.
pub(super) struct Beside<'a> {
    pub(super) sessions: &'a mut Sessions,
    pub(super) metrics: &'a Metrics,
    pub(super) queue: &'a mut QueueReceiver<Request, ConversationId>,
    pub(super) owed: &'a mut Owed,
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
                () = sleep_until(end_at.unwrap_or_else(Instant::now)), if end_at.is_some() => {
                    end_at = None;
                    self.sessions.close_all(&away());
                    self.sessions.clear();
                }
            }
        }
    }
}

fn away() -> CloseReason {
    CloseReason::TryLater(AWAY.into())
}

impl<T: Turns> Worker<T> {
    /// What keeps this hub from writing into the log although it answers.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        self.health.as_ref().and_then(|health| health.refusal())
    }

    /// Tells all of a batch to come again. Returns what has to be done later whatever happens.
    pub(super) fn put_off(&mut self, batch: Vec<Open>, why: &str) -> Vec<Open> {
        let again = |queued| ask_again((&self.metrics, &mut self.owed), queued, why);
        batch.into_iter().filter_map(again).collect()
    }

    /// Ends all sessions: nothing was kept for so long that their devices look elsewhere.
    pub(super) fn end_sessions(&mut self) {
        self.sessions.close_all(&away());
        self.sessions.clear();
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

/// Waits until the log has been away for so long that `sessions` of them are to end, while nobody wanted anything kept:
/// for ever where there are none, or no such log.
pub(super) async fn long_away(health: Option<&LogHealth>, sessions: usize) {
    let Some(health) = health else { return std::future::pending().await };
    let mut away = health.away();
    loop {
        let since = *away.borrow_and_update();
        let end_at = since.filter(|_| sessions > 0).map(|since| since + SESSIONS_END_AFTER);
        tokio::select! {
            biased;
            // Whoever looks after the log is there as long as this.
            changed = away.changed() => if changed.is_err() {
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
        // Whoever knows it reminds again.
        Request::Remind(_) => {}
        Request::Settings(_) | Request::GoLive(_) | Request::Leave(_) | Request::Lost(_) => {
            return Some(queued);
        }
    }
    None
}
