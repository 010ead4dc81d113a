//! The one worker: takes a batch, decides, commits, applies, releases.
//!
//! **Architecture Invariant:** nothing leaves (an answer that says stored, or a delivery) before
//! the commit that covers it. The next batch collects in the queue while a commit runs.

mod account;
mod admin;
mod answer;
mod ask;
mod away;
mod bundles;
mod enter;
mod follow;
mod gone;
mod later;
mod notify;
mod offers;
mod owed;
mod remind;
mod retention;
mod story;

use std::sync::{Arc, Weak};

use chat_oplog::OperationLog;
use chat_protocol::{
    hub::{ClientToHub, HubToClient},
    name::ConversationId,
};
use futures_util::FutureExt;
use tokio::{sync::Semaphore, time::sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    budgets::{Budget, Budgets, Limits},
    clock::{Clock, now_ms},
    close::CloseReason,
    console::Console,
    gate::Gate,
    http::Readiness,
    limits::BATCH_REQUESTS_MAX,
    metrics::Metrics,
    order::{Guarded, Records, Turn, Turns, Unkept, health::LogHealth},
    queue::{QueueReceiver, Queued},
    relay::Relay,
    request::{FrameRequest, GoLive, Request},
    router::{Decision, Pending, Router},
    sessions::Sessions,
    store::{CommitError, Committed, Incarnation, Proposal, Reads, Stored},
    tasks::Tasks,
};

use answer::Answers;
use away::{BEHIND, Beside, ask_again, long_away};
use later::Later;
use notify::Notify;
use owed::Owed;
use retention::Steps;
use story::Batch;

/// Everything the worker owns.
pub struct Worker<T> {
    router: Router,
    turns: T,
    sessions: Sessions,
    reads: Reads,
    /// How many questions may wait for the readers of the store.
    questions: Arc<Semaphore>,
    /// Those that are being read.
    reading: Tasks,
    notify: Notify,
    console: Console,
    metrics: Arc<Metrics>,
    answers: Answers,
    log: OperationLog,
    clock: Clock,
    dropping: Steps,
    erasing: Steps,
    /// Sign-ins whose account or bundle is kept, and sessions that ended before they began.
    entering: Vec<(Open, Guarded)>,
    gate: Arc<Gate>,
    readiness: Arc<Readiness>,
    budgets: Arc<Budgets>,
    /// What is known of the log, if it is shared.
    health: Option<Arc<LogHealth>>,
    /// Which hub this was when it was last looked at.
    life: Incarnation,
    /// What came while the log was away, and has to be done.
    kept_aside: Vec<Open>,
    /// What could not be kept, and has to be.
    later: Later,
    /// Messages that were told to come again.
    owed: Owed,
    /// Where it is known which copies of files there are.
    relay: Weak<Relay>,
}

/// A request whose outcome the store decides.
type Open = Queued<Request>;

/// What waits to be done.
type Queue = QueueReceiver<Request, ConversationId>;

impl<T: Turns> Worker<T> {
    /// A worker for this state, whose batches go there.
    pub fn new(
        router: Router,
        turns: T,
        reads: Reads,
        metrics: Arc<Metrics>,
        log: OperationLog,
        console: Console,
    ) -> Self {
        let sessions = Sessions::new(router.position(), Arc::clone(&metrics));
        let answers = Answers::new(&metrics);
        let questions = Arc::new(Semaphore::new(ask::QUESTIONS_MAX));
        let notify = Notify::default();
        let clock = now_ms;
        let budgets = Arc::new(Budgets::new(Limits::off(), &metrics));
        offers::count(&metrics, &router);
        let life = turns.hub();
        Self {
            router,
            turns,
            sessions,
            reads,
            questions,
            reading: Tasks::default(),
            notify,
            console,
            metrics,
            answers,
            log,
            clock,
            dropping: Steps::default(),
            erasing: Steps::default(),
            entering: Vec::new(),
            gate: Arc::default(),
            readiness: Arc::default(),
            budgets,
            health: None,
            life,
            kept_aside: Vec::new(),
            later: Later::default(),
            owed: Owed::default(),
            relay: Weak::new(),
        }
    }

    /// The same worker, which tells this gate who may come in.
    #[must_use]
    pub fn with_gate(self, gate: Arc<Gate>) -> Self {
        gate.publish(self.router.admittance());
        Self { gate, ..self }
    }

    /// The same worker, which says here whether the disk is full.
    #[must_use]
    pub fn with_readiness(self, readiness: Arc<Readiness>) -> Self {
        Self { readiness, ..self }
    }

    /// The same worker with budgets; without them there are none.
    #[must_use]
    pub fn with_budgets(mut self, budgets: Arc<Budgets>) -> Self {
        self.router.set_limits(budgets.limits());
        Self { budgets, ..self }
    }

    /// The same worker, which knows this of the log that it shares.
    #[must_use]
    pub fn with_health(self, health: Option<Arc<LogHealth>>) -> Self {
        Self { health, ..self }
    }

    /// The same worker, which tells this relay how the list of copies changes.
    #[must_use]
    pub fn with_relay(self, relay: &Arc<Relay>) -> Self {
        Self { relay: Arc::downgrade(relay), ..self }
    }

    /// The same worker with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Works until `stop` and until everything that was queued is done, then ends every session.
    pub async fn run(
        mut self,
        queue: QueueReceiver<Request, ConversationId>,
        stop: CancellationToken,
    ) -> Result<(), CommitError> {
        let ended = self.work(queue, stop).await;
        if ended.is_ok() {
            // Their answers go out before the sessions end. After an error they go with the worker.
            self.reading.wait().await;
            self.take_leave().await;
        }
        let reason = if ended.is_ok() { CloseReason::Restart } else { CloseReason::Internal };
        self.sessions.close_all(&reason);
        ended
    }

    async fn work(
        &mut self,
        mut queue: QueueReceiver<Request, ConversationId>,
        stop: CancellationToken,
    ) -> Result<(), CommitError> {
        let queue = &mut queue;
        let mut deferred = Vec::new();
        let mut is_stopping = false;
        loop {
            let mut batch = if deferred.is_empty() {
                let due = self.next_due();
                tokio::select! {
                    biased;
                    () = stop.cancelled(), if !is_stopping => {
                        queue.close();
                        is_stopping = true;
                        continue;
                    }
                    () = self.turns.arrived() => {
                        self.take_others(queue).await?;
                        Vec::new()
                    }
                    () = long_away(self.health.as_deref(), self.sessions.count()), if T::IS_SHARED => {
                        self.end_sessions();
                        Vec::new()
                    }
                    batch = queue.take_batch(BATCH_REQUESTS_MAX) => {
                        if batch.is_empty() {
                            break;
                        }
                        batch
                    }
                    () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                        Vec::new()
                    }
                }
            } else {
                // What was put off goes first, with whatever is there now.
                let mut batch = std::mem::take(&mut deferred);
                batch.extend(
                    queue.take_batch(BATCH_REQUESTS_MAX).now_or_never().unwrap_or_default(),
                );
                batch
            };
            batch.append(&mut self.later.take());
            if !batch.is_empty() {
                deferred = self.step((self.clock)(), batch, queue).await?;
            }
            self.count_mailboxes();
            self.notify.flush(&self.router, &self.sessions);
            self.drop_old(queue).await?;
            self.erase_deleted(queue).await?;
            deferred.append(&mut self.kept_aside);
        }
        Ok(())
    }

    /// One batch. Returns what has to be decided again.
    async fn step(
        &mut self,
        mut now_ms: u64,
        mut batch: Vec<Queued<Request>>,
        queue: &mut Queue,
    ) -> Result<Vec<Queued<Request>>, CommitError> {
        if T::IS_SHARED {
            if let Some(why) = self.refusal() {
                (now_ms, batch) = self.put_off(now_ms, batch, why);
                if batch.is_empty() {
                    return Ok(Vec::new());
                }
            }
            self.catch_up(queue).await?;
        }
        let at = self.turns.applied();
        let mut pending = Pending::default();
        let (mut sessions, mut others, mut deferred) = (Vec::new(), Vec::new(), Vec::new());
        for queued in batch {
            match self.decide(now_ms, queued, &mut pending) {
                Next::Done => {}
                Next::Commit(queued, proposal) => {
                    let is_session = matches!(proposal, Proposal::Session(_));
                    let guarded = self.guarded_of(&queued, proposal);
                    let work = if is_session { &mut sessions } else { &mut others };
                    work.push((queued, guarded));
                }
                Next::Defer(queued) => deferred.push(queued),
            }
        }
        if T::IS_SHARED {
            // That a connection has ended is said behind what came over it: whoever comes in elsewhere then finds
            // all of it settled.
            self.commit((at, now_ms), others, &mut deferred, queue).await?;
            let waits = |queued: &Open| deferred.iter().any(|d| d.connection == queued.connection);
            let (later, now): (Vec<_>, Vec<_>) =
                sessions.into_iter().partition(|(queued, _)| waits(queued));
            deferred.extend(later.into_iter().map(|(queued, _)| queued));
            self.commit((at, now_ms), now, &mut deferred, queue).await?;
        } else {
            // Who comes or goes waits for no disk.
            self.commit((at, now_ms), sessions, &mut deferred, queue).await?;
            self.commit((at, now_ms), others, &mut deferred, queue).await?;
        }
        while !self.entering.is_empty() {
            let at = self.turns.applied();
            let (entering, mut again) = (std::mem::take(&mut self.entering), Vec::new());
            self.commit((at, now_ms), entering, &mut again, queue).await?;
            deferred.extend(again.into_iter().map(enter::known_now));
        }
        Ok(deferred)
    }

    /// Has proposals kept that were decided when `at` turns were applied, and finishes their requests.
    async fn commit(
        &mut self,
        (at, now_ms): (u64, u64),
        mut work: Vec<(Open, Guarded)>,
        deferred: &mut Vec<Open>,
        queue: &mut Queue,
    ) -> Result<(), CommitError> {
        if T::IS_SHARED {
            // A session of a life that is over would be nobody's.
            let life = self.turns.hub();
            let over = work.extract_if(.., |(_, guarded)| is_of_another(&guarded.proposal, life));
            deferred.extend(over.map(|(queued, _)| queued));
            // It goes into the log in parts of one class.
            work.sort_by_key(|(_, guarded)| guarded.class());
        }
        if work.is_empty() {
            return Ok(());
        }
        let story = Batch::start(work.len());
        let (open, batch): (Vec<Open>, Vec<Guarded>) = work.into_iter().unzip();
        let needs_room: Vec<bool> = batch.iter().map(|one| one.proposal.needs_room()).collect();
        let result = self.put((at, now_ms), batch, queue).await;
        match result {
            Ok(turns) => {
                let story = story.committed();
                if needs_room.contains(&true) {
                    self.readiness.set_store_full(false);
                }
                let mut open = open.into_iter().zip(needs_room);
                for Turn { now_ms, records } in turns {
                    match records {
                        Records::Own(records) => {
                            for (record, (queued, needs_room)) in
                                records.into_iter().zip(open.by_ref())
                            {
                                match record {
                                    Ok(committed) => {
                                        self.finish(now_ms, queued, committed, &story);
                                    }
                                    Err(Unkept::Stale | Unkept::Clock) => {
                                        self.metrics.shared_log.decided_again.inc();
                                        deferred.extend(self.another_round(queued));
                                    }
                                    Err(Unkept::Full) => {
                                        self.readiness.set_store_full(true);
                                        self.refuse_full(queued, !needs_room);
                                    }
                                }
                            }
                        }
                        Records::Other(records) => self.follow_others(now_ms, records),
                    }
                }
                if T::IS_SHARED {
                    self.note_life();
                }
                Ok(())
            }
            Err(CommitError::Full) => {
                tracing::error!("the disk is full; nothing is stored until there is room");
                self.readiness.set_store_full(true);
                for (queued, needs_room) in open.into_iter().zip(needs_room) {
                    self.refuse_full(queued, !needs_room);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Everything that other hubs have kept until now.
    async fn catch_up(&mut self, queue: &mut Queue) -> Result<(), CommitError> {
        let waiting = self.turns.catch_up();
        let (sessions, metrics) = (&mut self.sessions, &*self.metrics);
        let (kept_aside, owed) = (&mut self.kept_aside, &mut self.owed);
        let health = self.health.as_deref();
        let turns =
            Beside { sessions, metrics, queue, owed, health, kept_aside }.wait(waiting).await?;
        self.follow_all(turns);
        Ok(())
    }

    /// What other hubs have kept. A log that is closed is opened, which may take its time.
    async fn take_others(&mut self, queue: &mut Queue) -> Result<(), CommitError> {
        let waiting = self.turns.others();
        let (sessions, metrics) = (&mut self.sessions, &*self.metrics);
        let (kept_aside, owed) = (&mut self.kept_aside, &mut self.owed);
        let health = self.health.as_deref();
        let turns =
            Beside { sessions, metrics, queue, owed, health, kept_aside }.wait(waiting).await?;
        self.follow_all(turns);
        Ok(())
    }

    /// Has a batch kept. While a shared log is away others are told to come again.
    async fn put(
        &mut self,
        (at, now_ms): (u64, u64),
        batch: Vec<Guarded>,
        queue: &mut Queue,
    ) -> Result<Vec<Turn>, CommitError> {
        let waiting = self.turns.commit(at, now_ms, batch);
        if !T::IS_SHARED {
            return waiting.await;
        }
        let (sessions, metrics) = (&mut self.sessions, &*self.metrics);
        let (kept_aside, owed) = (&mut self.kept_aside, &mut self.owed);
        let health = self.health.as_deref();
        Beside { sessions, metrics, queue, owed, health, kept_aside }.wait(waiting).await
    }

    fn count_mailboxes(&self) {
        let bytes = i64::try_from(self.router.waiting().bytes).unwrap_or(i64::MAX);
        self.metrics.mailbox_bytes.set(bytes);
    }

    fn decide(&mut self, now_ms: u64, queued: Open, pending: &mut Pending) -> Next {
        match &queued.item {
            // Whoever has been told that their session is over sends it again elsewhere.
            Request::Frame(request) if T::IS_SHARED && !self.sessions.has(&request.peer) => {
                Next::Done
            }
            Request::Frame(request) if T::IS_SHARED && self.owed.holds_back(request) => {
                ask_again((&self.metrics, &mut self.owed), queued, BEHIND);
                Next::Done
            }
            Request::Frame(request) => {
                let decision = self.router.decide(now_ms, request, pending);
                match decision {
                    Decision::Propose(proposal) => Next::Commit(queued, proposal),
                    Decision::Defer => Next::Defer(queued),
                    decision => {
                        if let Some(no) = self.no_first(request, &decision) {
                            return Next::Commit(queued, no);
                        }
                        self.answer(request, &decision, None, 0, (&queued, None));
                        Next::Done
                    }
                }
            }
            Request::SignIn(_) => self.decide_sign_in(now_ms, queued, pending),
            Request::Password(_) => Next::password(queued),
            Request::Delete(_) => self.decide_deletion(queued),
            Request::Remind(_) => self.decide_reminder(now_ms, queued, pending),
            Request::Admin(_) => self.decide_admin(now_ms, queued),
            Request::Settings(_) => {
                self.settle(queued);
                Next::Done
            }
            Request::Copy(request) => {
                let proposal = Proposal::Copies(request.change.clone());
                Next::Commit(queued, proposal)
            }
            Request::Ask(_, ClientToHub::Share { .. }) => self.decide_share(queued, pending),
            Request::Ask(_, ClientToHub::Moderate { .. }) => {
                story::ask(&self.log, &queued);
                self.decide_moderation(now_ms, queued)
            }
            Request::Ask(_, ClientToHub::Find { .. }) => {
                self.find(&queued);
                Next::Done
            }
            Request::Ask(peer, question) => {
                story::ask(&self.log, &queued);
                match self.ask(peer, question) {
                    Some(proposal) => Next::Commit(queued, proposal),
                    None => Next::Done,
                }
            }
            Request::Leave(peer) => {
                let proposal = self.departure(peer);
                Next::Commit(queued, proposal)
            }
            Request::Lost(_) => self.decide_lost(queued),
            Request::Look(_) => {
                if let Request::Look(reply) = queued.item {
                    // The step has begun with it. Who asked may be gone.
                    reply.send(()).ok();
                }
                Next::Done
            }
            Request::GoLive(_) => {
                if let Request::GoLive(request) = queued.item {
                    self.go_live(request);
                }
                Next::Done
            }
        }
    }

    fn finish(&mut self, now_ms: u64, queued: Open, committed: Committed, story: &Batch) {
        match &queued.item {
            Request::SignIn(_) => self.finish_sign_in(now_ms, queued, committed),
            Request::Leave(peer) => {
                self.sessions.close(peer);
                self.owed.forget(peer.connection);
                story::leave(&self.log, peer);
                self.follow(now_ms, committed, None);
            }
            Request::Password(_) => account::finish_password(queued, &committed),
            Request::Delete(_) => self.finish_deletion(now_ms, queued, committed),
            Request::Remind(_) => self.finish_reminder(now_ms, &queued, committed),
            Request::Admin(_) => self.finish_admin(now_ms, queued, committed),
            Request::Frame(_) if matches!(committed.proposal, Proposal::No(_)) => {
                self.follow(now_ms, committed, None);
                // Said on the state that it has made: the frame may have been kept before it.
                self.kept_aside.push(queued);
            }
            Request::Frame(request) => match self.conflict_of(request, &committed) {
                Some(no) => {
                    let guarded = self.guarded(no);
                    self.entering.push((queued, guarded));
                }
                None => self.finish_frame(now_ms, request, committed, (&queued, Some(story))),
            },
            Request::Ask(_, ClientToHub::Share { .. }) => {
                self.finish_share(now_ms, &queued, committed, story);
            }
            Request::Ask(peer, question) => {
                self.finish_question(now_ms, committed, peer, question);
            }
            Request::Copy(_) => {
                self.follow(now_ms, committed, None);
                copied(queued);
            }
            Request::Lost(_) => self.finish_lost(now_ms, queued, committed),
            Request::Settings(_) | Request::GoLive(_) | Request::Look(_) => {}
        }
    }

    /// What has to be in the log before a frame is refused here, if anything.
    fn no_first(&self, request: &FrameRequest, decision: &Decision) -> Option<Proposal> {
        T::IS_SHARED.then(|| self.router.no_first(request, decision, self.turns.hub())).flatten()
    }

    /// The same where the store has refused it.
    fn conflict_of(&self, request: &FrameRequest, committed: &Committed) -> Option<Proposal> {
        let conflict = committed.outcome.as_ref().err().filter(|_| T::IS_SHARED)?;
        self.no_first(request, &self.router.resolve(&request.header, *conflict))
    }

    fn finish_frame(
        &mut self,
        now_ms: u64,
        request: &FrameRequest,
        committed: Committed,
        story: (&Open, Option<&Batch>),
    ) {
        let position = match committed.outcome {
            Err(conflict) => {
                let decision = self.router.resolve(&request.header, conflict);
                self.answer(request, &decision, None, 0, story);
                return;
            }
            Ok(Stored::Again(position)) => {
                self.answer(request, &Decision::Again(position), None, 0, story);
                return;
            }
            Ok(
                Stored::Entry(position)
                | Stored::Epoch { position, .. }
                | Stored::Link { position, .. },
            ) => position,
            Ok(
                Stored::Account(..)
                | Stored::Device(_)
                | Stored::Dropped(_)
                | Stored::Erased(_)
                | Stored::Done,
            ) => return,
        };
        self.budgets.kept.add(request.peer.account, request.bytes());
        let (effects, recipients) = self.follow(now_ms, committed, Some(request.peer.connection));
        if effects.has_made_room {
            request.peer.budgets.spend(Budget::RoomsMade, tokio::time::Instant::now(), 1);
        }
        let kept = effects.recipient.is_some_and(|who| !self.router.is_online(who));
        self.answer(request, &Decision::Again(position), Some(kept), recipients, story);
    }

    fn go_live(&mut self, request: GoLive) {
        let GoLive { peer, position, reply } = request;
        let is_live = self.sessions.go_live(&peer, position);
        let plan = if is_live {
            self.tell(&peer, &HubToClient::Live {});
            if let Some(notice) = self.router.put_out_notice(peer.account) {
                self.tell(&peer, &notice);
            }
            None
        } else {
            self.router.account(peer.account).map(|account| self.router.plan(account))
        };
        reply.send(plan).ok();
    }
}

/// Whether a session is to begin at another hub, or in another life of this one.
fn is_of_another(proposal: &Proposal, hub: Incarnation) -> bool {
    matches!(proposal, Proposal::Session(new) if new.is_open && new.place.hub != hub)
}

/// The list of copies has changed. Whoever waited for it may be gone; what is kept is kept.
fn copied(queued: Open) {
    if let Request::Copy(request) = queued.item {
        request.reply.send(Ok(())).ok();
    }
}

/// What a request needs after it was decided.
enum Next {
    /// Nothing.
    Done,
    /// A commit.
    Commit(Open, Proposal),
    /// The outcome of an earlier one.
    Defer(Open),
}
