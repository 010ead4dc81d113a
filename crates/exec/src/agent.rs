//! The path of one verified command: journal, order, policy, turn, STARTED, run, outcome.

mod line;
mod setup;
mod under_way;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use crate::helper::{Credentials, LaunchSpec};
use crate::journal::{Begin, CommandKey, Journal, JournalError, Recorded};
use crate::limits::CANCELLED_KEPT_MS;
use crate::order::Order;
use crate::policy::{Grant, Policy, Requester};
use crate::report::{Report, code};
use crate::runner::{self, Ended, Launch};

use line::{Line, Placed, Ticket};
pub use setup::AgentError;
use setup::{absolute, find_users, prepare_work_dir};
use under_way::{Arrival, Place, Turn, UnderWay};

/// A command whose signature, target and freshness the caller has verified.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// The id of its frame.
    pub id: [u8; 16],
    /// Who signed it.
    pub requester: Requester,
    /// Program and arguments, run exactly as they are.
    pub argv: Vec<String>,
    /// Unix time in milliseconds after which it must not start.
    pub expires_at_ms: u64,
    /// Where it stands among the commands of its sender.
    pub order: Order,
    /// Limits below those of the policy.
    pub limits: RequestedLimits,
}

/// What the requester asks for; the policy's limits still hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestedLimits {
    /// Time limit in milliseconds.
    pub wall_ms: Option<u64>,
    /// Output limit in bytes, both streams together.
    pub output_bytes: Option<u64>,
}

/// Whether commands get a PID namespace of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// Where the kernel allows it; otherwise the helper reaps and sweeps as a subreaper.
    #[default]
    WhenAllowed,
    /// Never: for machines that watch or forbid the call.
    Never,
}

/// Where an agent keeps its things and what it allows.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Who may run what.
    pub policy: Policy,
    /// The journal's file. Made if missing; locked while the agent lives.
    pub journal_path: PathBuf,
    /// Where commands run and may write. Made if missing.
    pub work_dir: PathBuf,
    /// The binary that calls [`helper::main`](crate::helper::main).
    pub helper: PathBuf,
    /// Whether to use PID namespaces.
    pub namespaces: Namespaces,
}

/// Runs verified commands on this machine. Share it with an `Arc`; any number of [`run`](Self::run)
/// may be under way.
pub struct Agent {
    /// Replaced as a whole; each command keeps those that it was decided by.
    rules: RwLock<Arc<Rules>>,
    work_dir: PathBuf,
    helper: PathBuf,
    namespaces: Namespaces,
    nonce: [u8; 16],
    journal: Arc<Mutex<Journal>>,
    under_way: UnderWay,
    line: Line,
}

/// A policy that this machine can follow.
#[derive(Debug)]
pub struct Rules {
    policy: Policy,
    /// Whom commands become, by `run_as`; `None` is everybody else's. Empty unless root.
    users: HashMap<Option<String>, Credentials>,
}

impl Rules {
    /// Looks up the users that a policy names, or says which of them commands cannot become.
    pub fn new(policy: Policy) -> Result<Self, AgentError> {
        let users = find_users(&policy)?;
        Ok(Self { policy, users })
    }
}

/// What of a command is needed to record it.
struct Asked {
    now_ms: u64,
    expires_at_ms: u64,
    /// Nothing for a command of somebody whom the policy does not name.
    order: Option<Order>,
}

impl Asked {
    fn new(now_ms: u64, request: &CommandRequest, is_named: bool) -> Self {
        let order = is_named.then(|| request.order.clone());
        Self { now_ms, expires_at_ms: request.expires_at_ms, order }
    }

    /// The same, for a refusal that does not deal with the number.
    fn without_order(&self) -> Self {
        Self { order: None, ..*self }
    }

    /// Unix time in milliseconds now, of a command that arrived then.
    fn at(&self, arrived: Instant) -> u64 {
        let waited_ms = u64::try_from(arrived.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.now_ms.saturating_add(waited_ms)
    }
}

/// What to do about a command whose end is not known.
const NOT_AGAIN: &str = "do not simply ask for it again, it may have done its work";

/// Why a command that was taken back is refused.
const CANCELLED: &str = "it was cancelled before it started";

/// Why a command of somebody with too many in the journal is refused.
const JOURNAL_FULL: &str = "the journal has no room for more of this requester";

/// A refusal on its way to the caller and to the journal.
struct Refusal {
    code: &'static str,
    reason: String,
}

impl Refusal {
    fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn into_report(self) -> Report {
        Report::Refused { code: self.code, reason: self.reason }
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        tracing::error!(%error, "the command journal failed");
        Self::new(code::STORAGE, "this machine cannot record commands now, so it runs none")
    }
}

impl Agent {
    /// Opens the journal and checks that commands can run at all.
    pub fn open(config: AgentConfig) -> Result<Self, AgentError> {
        let AgentConfig { policy, journal_path, work_dir, helper, namespaces } = config;
        let helper = absolute(&helper)?;
        if !helper.is_file() {
            return Err(AgentError::Helper { path: helper.display().to_string() });
        }
        let rules = Rules::new(policy)?;
        let work_dir = absolute(&work_dir)?;
        prepare_work_dir(&work_dir, rules.users.get(&None))?;
        let journal = Journal::open(&journal_path)?;
        Ok(Self {
            rules: RwLock::new(Arc::new(rules)),
            work_dir,
            helper,
            namespaces,
            nonce: journal.nonce(),
            journal: Arc::new(Mutex::new(journal)),
            under_way: UnderWay::new(),
            line: Line::default(),
        })
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// From now on these decide. What runs goes on; what waits for its turn was decided before.
    pub fn follow(&self, rules: Rules) {
        *self.rules.write() = Arc::new(rules);
    }

    /// The `rb` of the agent's bundle: 16 random bytes that change only when the journal is lost. A
    /// command that carries another value is stale, and the caller refuses it.
    pub fn restart_nonce(&self) -> [u8; 16] {
        self.nonce
    }

    /// Runs one verified command and reports it from the beginning to the end; returns after the
    /// final report. `now_ms` is Unix time. A command that arrives again gets the recorded answer,
    /// after the first run has ended if it is under way; it is never run twice. Dropping the future
    /// ends what runs as a time limit would, and the command counts as interrupted.
    pub async fn run(&self, now_ms: u64, request: CommandRequest, reports: Sender<Report>) {
        let arrived = Instant::now();
        let key = CommandKey { requester: request.requester.identity.clone(), id: request.id };
        let mut arrival = self.under_way.arrive(&key);
        if let Arrival::Again(ended) = &mut arrival {
            // An error is the expected answer: the sender is dropped, never used.
            let _dropped = ended.changed().await;
        }
        let asked = Asked::new(now_ms, &request, self.rules().policy.names(&request.requester));
        let outcome = match (self.recorded(&key).await, &arrival) {
            (Err(error), _) => Err(error.into()),
            (Ok(Some(Recorded::Refused { code: code::CANCELLED, .. })), Arrival::First(place)) => {
                Err(self.refuse_cancelled(&asked, arrived, place).await)
            }
            (Ok(Some(recorded)), _) => Ok(repeat(recorded)),
            (Ok(None), Arrival::First(place)) => {
                self.run_first(&asked, arrived, request, place, &reports).await
            }
            (Ok(None), Arrival::Again(_)) => {
                let lost = Refusal::new(code::BUSY, "it was given up before it started");
                Err(self.record_refusal(&key, &asked.without_order(), lost).await)
            }
            (Ok(None), Arrival::TooMany) => {
                let busy = Refusal::new(code::BUSY, "too many commands wait on this machine");
                // Those before it may still be on their way to their places: they keep their turn.
                Err(self.record_refusal(&key, &asked.without_order(), busy).await)
            }
        };
        // From here on those who asked again are answered from the journal.
        drop(arrival);
        let last = outcome.unwrap_or_else(|refusal| vec![refusal.into_report()]);
        for report in last {
            if reports.send(report).await.is_err() {
                tracing::debug!("nobody waits for the outcome any more; it is recorded");
                return;
            }
        }
    }

    /// A command that the caller has refused itself, for its time or its sender's keys: its number is
    /// dealt with. `now_ms` is Unix time.
    pub async fn pass_over(&self, now_ms: u64, requester: &Requester, order: Order) {
        if !self.rules().policy.names(requester) {
            return;
        }
        let number = order.clone();
        let passed = self.with_journal(move |journal| journal.pass_over(now_ms, &number)).await;
        if let Err(error) = passed {
            tracing::error!(%error, "the command journal failed");
        }
        self.line.raise(&order);
    }

    /// A requester takes a command back, by its id: one that has not come yet or waits never starts, one
    /// that runs is ended as by its time limit. A command may come in several frames, of which its sender does
    /// not know which one the hub has delivered. `now_ms` is Unix time.
    pub async fn cancel(&self, now_ms: u64, requester: &Requester, id: [u8; 16]) {
        let key = CommandKey { requester: requester.identity.clone(), id };
        if !self.rules().policy.names(requester) || self.under_way.cancel(&key) {
            return;
        }
        let times = (now_ms, now_ms.saturating_add(CANCELLED_KEPT_MS));
        // What has ended already stays as it is recorded.
        let write = move |journal: &mut Journal| journal.cancel(&key, times, CANCELLED);
        if let Err(error) = self.with_journal(write).await {
            tracing::error!(%error, "the command journal failed");
        }
    }

    /// Whether a rule of the policy names this account, with whatever key.
    pub fn knows(&self, name: &str) -> bool {
        self.rules().policy.knows(name)
    }

    /// The reports that remain to be sent when the outcome is recorded.
    async fn run_first(
        &self,
        asked: &Asked,
        arrived: Instant,
        request: CommandRequest,
        place: &Place<'_>,
        reports: &Sender<Report>,
    ) -> Result<Vec<Report>, Refusal> {
        let key = &place.key;
        let mut ticket = None;
        let start = match self.take_place(asked, arrived, place, &mut ticket).await {
            Ok(()) => self.start(asked, arrived, &request, place, reports).await,
            Err(_) if place.cancelled.has_happened() => {
                Err(Refusal::new(code::CANCELLED, CANCELLED))
            }
            Err(refusal) => Err(refusal),
        };
        let (turn, grant, user) = match start {
            Ok(start) => start,
            // Nothing can be recorded when recording is what failed.
            Err(refusal) if refusal.code == code::STORAGE => return Err(refusal),
            Err(refusal) => return Err(self.record_refusal(key, asked, refusal).await),
        };
        // It is recorded: the next one's turn.
        drop(ticket);
        let launch = self.launch(&request, &grant, user);
        let Ended { exit, kept, mut untaken } =
            runner::run(launch, reports, place.cancelled.clone()).await;
        let (recorded_key, recorded_exit) = (key.clone(), exit.clone());
        let finished = self
            .with_journal(move |journal| journal.finish(&recorded_key, &recorded_exit, &kept))
            .await;
        drop(turn);
        if let Err(error) = finished {
            tracing::error!(%error, "an outcome could not be recorded");
            // Asked again later, the journal can only answer "interrupted": say the same now.
            let reason =
                format!("it {}, but this could not be recorded; {NOT_AGAIN}", exit.reason());
            return Err(Refusal::new(code::INTERRUPTED, reason));
        }
        untaken.push(Report::Exit(exit));
        Ok(untaken)
    }

    /// A command that was taken back before it came. Those that were asked for before it keep their
    /// turn, and its number is dealt with.
    async fn refuse_cancelled(
        &self,
        asked: &Asked,
        arrived: Instant,
        place: &Place<'_>,
    ) -> Refusal {
        let mut ticket = None;
        let cancelled = Refusal::new(code::CANCELLED, CANCELLED);
        match self.take_place(asked, arrived, place, &mut ticket).await {
            Err(refusal) if refusal.code == code::STORAGE => refusal,
            _ => self.record_refusal(&place.key, asked, cancelled).await,
        }
    }

    /// Waits until everything that the sender asked for before is dealt with (rule R34). The ticket is
    /// kept until this command is recorded too.
    async fn take_place(
        &self,
        asked: &Asked,
        arrived: Instant,
        place: &Place<'_>,
        ticket: &mut Option<Ticket>,
    ) -> Result<(), Refusal> {
        // Whom the policy does not name is refused anyway, and must not fill the line for others.
        let Some(order) = asked.order.clone() else { return Ok(()) };
        let passed = || {
            Refusal::new(code::ORDER, "a later command of the same sender was dealt with before it")
        };
        let (line, key) = (self.line.clone(), place.key.clone());
        let times = (asked.at(arrived), asked.expires_at_ms);
        let placed = self.with_journal(move |journal| {
            let highest = journal.highest(&order)?;
            let placed = line.arrive(&order, highest, times);
            let is_recorded = match &placed {
                Placed::Held { .. } => journal.hold(&key, &order, times)?,
                _ => true,
            };
            Ok((placed, is_recorded))
        });
        *ticket = match placed.await? {
            (Placed::Turn(ticket), _) => Some(ticket),
            (Placed::Passed, _) => return Err(passed()),
            (Placed::TooMany(held), _) => {
                *ticket = Some(held);
                return Err(Refusal::new(code::BUSY, "too many commands wait for one before them"));
            }
            (Placed::Held { .. }, false) => {
                return Err(Refusal::new(code::BUSY, JOURNAL_FULL));
            }
            (Placed::Held { until_ms, woken, waiting }, true) => {
                tracing::warn!(requester = %place.key.requester, "a command before this one is missing");
                let left = Duration::from_millis(until_ms.saturating_sub(asked.at(arrived)));
                let mut woken = woken;
                let given_up = tokio::select! {
                    biased;
                    ticket = &mut woken => Err(ticket),
                    () = tokio::time::sleep(left) => match waiting.give_up() {
                        Some(ticket) => Ok(ticket),
                        None => Err(woken.await),
                    },
                };
                match given_up {
                    Ok(held) => {
                        *ticket = Some(held);
                        return Err(Refusal::new(
                            code::ORDER,
                            "a command before this one is missing",
                        ));
                    }
                    Err(Ok(Some(ticket))) => Some(ticket),
                    Err(_) => return Err(passed()),
                }
            }
        };
        if let Some(ticket) = ticket {
            ticket.wait().await;
        }
        Ok(())
    }

    /// From the policy to STARTED on disk. Returns the turn it holds while it runs, and whom it becomes.
    async fn start<'a>(
        &'a self,
        asked: &Asked,
        arrived: Instant,
        request: &CommandRequest,
        place: &Place<'a>,
        reports: &Sender<Report>,
    ) -> Result<(Turn<'a>, Grant, Option<Credentials>), Refusal> {
        let rules = self.rules();
        let decided = rules.policy.decide(&request.requester, &request.argv, &self.work_dir);
        let grant = decided.map_err(|reason| Refusal::new(code::POLICY, reason))?;
        let busy = || Refusal::new(code::BUSY, "too many commands wait on this machine");
        let mut cancelled = place.cancelled.clone();
        let turn = tokio::select! {
            biased;
            () = cancelled.happened() => return Err(Refusal::new(code::CANCELLED, CANCELLED)),
            turn = place.take_turn() => turn.ok_or_else(busy)?,
        };
        let start_ms = asked.at(arrived);
        if request.expires_at_ms <= start_ms {
            return Err(Refusal::new(code::EXPIRED, "it expired before it could start"));
        }
        let (key, times) = (place.key.clone(), (start_ms, request.expires_at_ms));
        let (rule, rate) = (grant.rule.clone(), grant.rate);
        let order = request.order.clone();
        let begun = self
            .with_journal(move |journal| journal.begin(&key, &order, times, &rule, rate))
            .await?;
        match begun {
            Begin::Started => {}
            Begin::RateUsedUp => {
                return Err(Refusal::new(code::RATE, "its rule's rate is used up for now"));
            }
            Begin::Full => {
                return Err(Refusal::new(code::BUSY, JOURNAL_FULL));
            }
            Begin::Forgotten => {
                return Err(Refusal::new(code::EXPIRED, "it is older than this machine's memory"));
            }
        }
        if reports.send(Report::Started).await.is_err() {
            tracing::debug!("nobody waits for the output");
        }
        let user = rules.users.get(&grant.run_as).cloned();
        Ok((turn, grant, user))
    }

    fn launch(&self, request: &CommandRequest, grant: &Grant, user: Option<Credentials>) -> Launch {
        let asked = &request.limits;
        let wall_ms = grant.wall_ms_max.min(asked.wall_ms.unwrap_or(u64::MAX)).max(1);
        let spec = LaunchSpec {
            work_dir: grant.cwd.clone().unwrap_or_else(|| self.work_dir.clone()),
            network: grant.network,
            namespaces: self.namespaces == Namespaces::WhenAllowed,
            cpu_s: grant.cpu_s_max.unwrap_or(u64::MAX).min(wall_ms.div_ceil(1_000)),
            user,
        };
        Launch {
            helper: self.helper.clone(),
            spec,
            argv: request.argv.clone(),
            wall: Duration::from_millis(wall_ms),
            output_bytes_max: grant.output_bytes_max.min(asked.output_bytes.unwrap_or(u64::MAX)),
        }
    }

    async fn recorded(&self, key: &CommandKey) -> Result<Option<Recorded>, JournalError> {
        let key = key.clone();
        self.with_journal(move |journal| journal.find(&key)).await
    }

    /// Records the refusal and gives it back, or the reason why it could not be recorded.
    async fn record_refusal(&self, key: &CommandKey, asked: &Asked, refusal: Refusal) -> Refusal {
        let (key, code, reason) = (key.clone(), refusal.code, refusal.reason.clone());
        let (times, order) = ((asked.now_ms, asked.expires_at_ms), asked.order.clone());
        let write =
            move |journal: &mut Journal| journal.refuse(&key, order.as_ref(), times, code, &reason);
        let written = self.with_journal(write).await;
        if let Some(order) = &asked.order {
            self.line.raise(order);
        }
        match written {
            Ok(()) => refusal,
            Err(error) => error.into(),
        }
    }

    /// The journal waits for the disk, so it works on a thread that may.
    async fn with_journal<T, F>(&self, work: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Journal) -> Result<T, JournalError> + Send + 'static,
    {
        let journal = Arc::clone(&self.journal);
        let work = move || work(&mut journal.lock());
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(JournalError::Stopped))
    }
}

/// The recorded answer as reports.
fn repeat(recorded: Recorded) -> Vec<Report> {
    match recorded {
        Recorded::Refused { code, reason } => vec![Report::Refused { code, reason }],
        Recorded::Interrupted => {
            let reason = format!("it was started, and how it ended is not known; {NOT_AGAIN}");
            vec![Refusal::new(code::INTERRUPTED, reason).into_report()]
        }
        Recorded::Ended { exit, kept } => {
            let mut reports = vec![Report::Started];
            reports.extend(kept.into_reports());
            reports.push(Report::Exit(exit));
            reports
        }
    }
}
