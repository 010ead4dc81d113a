//! The one worker: takes a batch, decides, commits, applies, releases.
//!
//! **Architecture Invariant:** nothing leaves (an answer that says stored, or a delivery) before
//! the commit that covers it. The next batch collects in the queue while a commit runs.

mod admin;
mod answer;
mod ask;
mod bundles;
mod deletion;
mod enter;
mod erase;
mod follow;
mod lobby;
mod notify;
mod offers;
mod password;
mod remind;
mod retention;
mod story;

use std::sync::Arc;

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
    order::{Guarded, Records, Stale, Turn, Turns},
    queue::{QueueReceiver, Queued},
    request::{FrameRequest, GoLive, Request},
    router::{Decision, Pending, Router},
    sessions::Sessions,
    store::{CommitError, Committed, Proposal, Reads, Stored},
    tasks::Tasks,
};

use answer::Answers;
use erase::Erasing;
use notify::Notify;
use retention::Dropping;
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
    dropping: Dropping,
    erasing: Erasing,
    /// Sign-ins whose account or bundle is kept, and sessions that ended before they began.
    entering: Vec<(Open, Guarded)>,
    gate: Arc<Gate>,
    readiness: Arc<Readiness>,
    budgets: Arc<Budgets>,
}

/// A request whose outcome the store decides.
type Open = Queued<Request>;

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
            dropping: Dropping::default(),
            erasing: Erasing::default(),
            entering: Vec::new(),
            gate: Arc::default(),
            readiness: Arc::default(),
            budgets,
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
        let mut deferred = Vec::new();
        let mut is_stopping = false;
        loop {
            let batch = if deferred.is_empty() {
                let due = self.next_due();
                tokio::select! {
                    biased;
                    () = stop.cancelled(), if !is_stopping => {
                        queue.close();
                        is_stopping = true;
                        continue;
                    }
                    () = self.turns.arrived() => {
                        let turns = self.turns.others().await?;
                        self.follow_all(turns);
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
            if !batch.is_empty() {
                deferred = self.step((self.clock)(), batch).await?;
            }
            self.count_mailboxes();
            self.notify.flush(&self.router, &self.sessions);
            self.drop_old().await?;
            self.erase_deleted().await?;
        }
        Ok(())
    }

    /// One batch. Returns what has to be decided again.
    async fn step(
        &mut self,
        now_ms: u64,
        batch: Vec<Queued<Request>>,
    ) -> Result<Vec<Queued<Request>>, CommitError> {
        let turns = self.turns.catch_up().await?;
        self.follow_all(turns);
        let at = self.turns.applied();
        let mut pending = Pending::default();
        let (mut sessions, mut others, mut deferred) = (Vec::new(), Vec::new(), Vec::new());
        for queued in batch {
            match self.decide(now_ms, queued, &mut pending) {
                Next::Done => {}
                Next::Commit(queued, proposal) => {
                    let is_session = matches!(proposal, Proposal::Session(_));
                    let guarded = self.guarded(proposal);
                    let work = if is_session { &mut sessions } else { &mut others };
                    work.push((queued, guarded));
                }
                Next::Defer(queued) => deferred.push(queued),
            }
        }
        // Who comes or goes waits for no disk.
        self.commit((at, now_ms), sessions, &mut deferred).await?;
        self.commit((at, now_ms), others, &mut deferred).await?;
        while !self.entering.is_empty() {
            let at = self.turns.applied();
            let (entering, mut again) = (std::mem::take(&mut self.entering), Vec::new());
            self.commit((at, now_ms), entering, &mut again).await?;
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
    ) -> Result<(), CommitError> {
        if work.is_empty() {
            return Ok(());
        }
        if T::IS_SHARED {
            // It goes into the log in parts of one class.
            work.sort_by_key(|(_, guarded)| guarded.class());
        }
        let story = Batch::start(work.len());
        let (open, batch): (Vec<Open>, Vec<Guarded>) = work.into_iter().unzip();
        let needs_room: Vec<bool> = batch.iter().map(|one| one.proposal.needs_room()).collect();
        match self.turns.commit(at, now_ms, batch).await {
            Ok(turns) => {
                let story = story.committed();
                if needs_room.contains(&true) {
                    self.readiness.set_store_full(false);
                }
                let mut open = open.into_iter();
                for Turn { now_ms, records } in turns {
                    match records {
                        Records::Own(records) => {
                            for (record, queued) in records.into_iter().zip(open.by_ref()) {
                                match record {
                                    Ok(committed) => {
                                        self.finish(now_ms, queued, committed, &story);
                                    }
                                    Err(Stale) => deferred.push(queued),
                                }
                            }
                        }
                        Records::Other(records) => self.follow_others(now_ms, records),
                    }
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

    fn count_mailboxes(&self) {
        let bytes = i64::try_from(self.router.waiting().bytes).unwrap_or(i64::MAX);
        self.metrics.mailbox_bytes.set(bytes);
    }

    fn decide(&mut self, now_ms: u64, queued: Open, pending: &mut Pending) -> Next {
        match &queued.item {
            Request::Frame(request) => {
                let decision = self.router.decide(now_ms, request, pending);
                match decision {
                    Decision::Propose(proposal) => Next::Commit(queued, proposal),
                    Decision::Defer => Next::Defer(queued),
                    decision => {
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
                story::leave(&self.log, peer);
                self.follow(now_ms, committed, None);
            }
            Request::Password(_) => password::finish(queued, &committed),
            Request::Delete(_) => self.finish_deletion(now_ms, queued, committed),
            Request::Remind(_) => self.finish_reminder(now_ms, &queued, committed),
            Request::Admin(_) => self.finish_admin(now_ms, queued, committed),
            Request::Frame(request) => {
                self.finish_frame(now_ms, request, committed, (&queued, Some(story)));
            }
            Request::Ask(_, ClientToHub::Share { .. }) => {
                self.finish_share(now_ms, &queued, committed, story);
            }
            Request::Ask(peer, question) => {
                self.finish_question(now_ms, committed, peer, question);
            }
            Request::Copy(_) => copied(queued),
            Request::Settings(_) | Request::GoLive(_) => {}
        }
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
