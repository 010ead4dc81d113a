//! One world: a hub that crashes, devices, wires, a clock that nobody waits for.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chat_oplog::OperationLog;
use chat_protocol::{code, handshake::SignedIn, id::Nonce16, keys::Bundle, name::UserName};
use chat_server::{
    config::Verify,
    console::Console,
    local::{LocalDevice, LocalError},
    metrics::Metrics,
    order::Turns,
    start::{Assembled, Parts},
    store::{Reads, Snapshot},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    checker::{self, Violation},
    device::{DeviceActor, Order},
    dice::Dice,
    disk::{Disk, Mistake},
    facts::{Dated, Fact, Notes},
    hubs::{Hubs, LONG_WAY_MS_MAX, WAY_MS_MAX},
    keys,
    network::{self, Delay, Link},
    plan::{Happening, Plan, Planned, Restore},
    tape,
};

/// When every world begins, Unix time in milliseconds.
pub(crate) const START_MS: u64 = 1_790_000_000_000;

/// Without faults everything has settled by then.
const LIVENESS: Duration = Duration::from_secs(30);

/// After a restore all talk again within this time on a network without delays (rule R36).
const TALK: Duration = Duration::from_secs(10);

/// So many messages, one after the other, are under way until then.
const MESSAGES_TO_TALK: u32 = 10;

/// Alarms of one kind that follow the first one are told together within this time.
const COUNTED_ALARMS: Duration = Duration::from_secs(61);

/// A hub of several that is cut off from the log is so for this time longer than it would be down: others are told to
/// come again then.
const CUT_OFF: Duration = Duration::from_secs(3);

/// Orders that a device may be given while it is down: more than a plan has.
const ORDERS_MAX: usize = 256;

/// A sign-in takes no longer, or the hub is down.
const SIGN_IN_TIME_MAX: Duration = Duration::from_secs(10);

thread_local! {
    /// When the world of this thread began, by its own clock.
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time in the world of this thread, Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    let start = START.get().expect("a world has begun");
    START_MS + u64::try_from(start.elapsed().as_millis()).unwrap()
}

/// Why a device has no connection.
pub(crate) enum NotConnected {
    /// There is no hub, or it cannot now.
    Down,
    /// The hub says no.
    Refused { code: &'static str, reason: String },
}

/// What everybody in a world shares.
pub(crate) struct World {
    seed: u64,
    delay: Delay,
    retention_ms: u64,
    /// What is durable.
    disk: Disk,
    notes: Notes,
    mistake: Option<Mistake>,
    hubs: Hubs,
    quiet: Mutex<Vec<bool>>,
    connections: AtomicU64,
}

/// How a world ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    pub(crate) facts: Vec<Dated>,
    /// What the wires carried.
    pub(crate) travelled: Vec<String>,
}

impl World {
    pub(crate) fn write(&self, fact: Fact) {
        self.notes.write(fact);
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The mistake that is made here on purpose.
    pub(crate) fn mistake(&self) -> Option<Mistake> {
        self.mistake
    }

    /// The newest bundle of a device, as the hub would read it for a sign-in.
    pub(crate) fn stored_bundle(&self, name: &UserName, dev: Nonce16) -> Option<Bundle> {
        self.disk.bundle(name, dev)
    }

    /// Whether hubs share a log.
    pub(crate) fn is_sharing(&self) -> bool {
        self.hubs.count() > 1
    }

    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn set_quiet(&self, index: usize, is_quiet: bool) {
        self.quiet.lock().unwrap()[index] = is_quiet;
    }

    pub(crate) fn set_busy(&self, index: usize) {
        self.set_quiet(index, false);
    }

    /// Signs a device in, over a new pair of wires.
    pub(crate) async fn connect(
        &self,
        device: LocalDevice,
        dice: &mut Dice,
    ) -> Result<(SignedIn, Link), NotConnected> {
        let there = Duration::from_millis(dice.between(self.delay.min_ms, self.delay.max_ms));
        sleep(there).await;
        // Of several, any.
        let index = if self.hubs.count() > 1 { dice.index(self.hubs.count()) } else { 0 };
        let Some(hub) = self.hubs.life(index).as_ref().map(|life| life.hub.clone()) else {
            return Err(NotConnected::Down);
        };
        let seat = keys::seat(&device.sk).expect("a device of this world");
        let signed_in = timeout(SIGN_IN_TIME_MAX, hub.connect_device(device)).await;
        let mut local = match signed_in {
            Ok(Ok(local)) => local,
            Err(_) | Ok(Err(LocalError::Stopping | LocalError::Closed(_))) => {
                return Err(NotConnected::Down);
            }
            Ok(Err(LocalError::Refused { code, reason })) => {
                return Err(match code {
                    // It cannot reach what it shares with others, and says that it may be tried again.
                    code::TOO_MANY if self.is_sharing() => NotConnected::Down,
                    code::STORAGE_FULL => NotConnected::Down,
                    _ => NotConnected::Refused { code, reason },
                });
            }
        };
        let mut signed_in = local.signed_in().expect("told once");
        if self.mistake == Some(Mistake::HeadsWithoutEpochs) {
            signed_in.heads.iter_mut().for_each(|head| head.epoch = None);
        }
        let (link, end) = network::connection(&seat, self.delay, dice);
        let mut life = self.hubs.life(index);
        let Some(life) = life.as_mut() else { return Err(NotConnected::Down) };
        let drain = life.drain.clone();
        life.connections.push(tokio::spawn(async move {
            local.serve(end.from_device, end.to_device, &end.pulse, &drain).await;
        }));
        Ok((signed_in, link))
    }

    pub(crate) async fn assemble(
        &self,
        turns: impl Turns + 'static,
        reads: Reads,
        snapshot: Snapshot,
    ) -> Assembled {
        let parts = Parts {
            reads,
            snapshot,
            identity: keys::hub_identity(),
            verify: Verify::Signature,
            mailbox: chat_server::budgets::MailboxLimits::default(),
            limits: chat_server::budgets::Limits::default(),
            retention_ms: self.retention_ms,
            doors: chat_server::start::Doors::default(),
            metrics: Arc::new(Metrics::default()),
            log: OperationLog::disabled(),
            console: Console::none(),
            clock: now_ms,
            trace: None,
            copies: None,
            health: None,
            link: None,
            guesses: None,
        };
        parts.assemble(turns).await.expect("a hub starts from what is durable")
    }
}

/// Who runs a world.
struct Director {
    world: Arc<World>,
    seed: u64,
    /// By the device.
    orders: BTreeMap<usize, mpsc::Sender<Order>>,
    devices: Vec<JoinHandle<()>>,
    hub_down_for: Duration,
    /// By the hub.
    hubs_back_at: Vec<Option<Instant>>,
    /// Which of several hubs something happens to.
    dice: Dice,
    room_at: Option<Instant>,
}

/// Runs the world of a seed to its end, with one hub.
pub(crate) fn run(seed: u64, mistake: Option<Mistake>) -> Report {
    run_plan((seed, Plan::of(seed)), mistake, None)
}

/// The same with hubs that share a log.
pub(crate) fn run_sharing(seed: u64, mistake: Option<Mistake>) -> Report {
    run_plan((seed, Plan::of(seed).without_disks()), mistake, Some(Way::SHORT))
}

/// The same with hubs whose log is lost again and again. None of them dies: what they have is in their memory.
pub(crate) fn run_losing(seed: u64, mistake: Option<Mistake>) -> Report {
    run_plan(
        (seed, Plan::of(seed).without_disks()),
        mistake,
        Some(Way { losing: true, ..Way::SHORT }),
    )
}

/// The same where people talk in a room all the time and come and go there.
pub(crate) fn run_crowded(seed: u64, mistake: Option<Mistake>) -> Report {
    let plan = Plan::of(seed).without_disks().crowded(seed);
    run_plan((seed, plan), mistake, Some(Way { ms_max: LONG_WAY_MS_MAX, ..Way::SHORT }))
}

/// The way of hubs to the log that they share.
#[derive(Clone, Copy)]
struct Way {
    /// The longest that it takes, in milliseconds.
    ms_max: u64,
    /// The log is lost again and again.
    losing: bool,
}

impl Way {
    const SHORT: Self = Self { ms_max: WAY_MS_MAX, losing: false };
}

fn run_plan((seed, plan): (u64, Plan), mistake: Option<Mistake>, way: Option<Way>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        START.set(Some(Instant::now()));
        Director::new((seed, &plan), mistake, way).await.direct(plan).await
    })
}

impl Director {
    async fn new((seed, plan): (u64, &Plan), mistake: Option<Mistake>, way: Option<Way>) -> Self {
        let notes = Notes::default();
        let disk = Disk::new(Dice::new(seed, 1), notes.clone(), mistake);
        let hubs = match way {
            Some(Way { ms_max, losing: true }) => Hubs::losing(seed, &disk, (ms_max, mistake)),
            Some(Way { ms_max, losing: false }) => Hubs::sharing(seed, &disk, ms_max),
            None => Hubs::alone(disk.clone()),
        };
        let hubs_back_at = vec![None; hubs.count()];
        let world = World {
            seed,
            delay: plan.delay,
            retention_ms: plan.retention_ms,
            disk,
            notes,
            mistake,
            hubs,
            // Who has not come yet has nothing left to do.
            quiet: Mutex::new(vec![true; keys::SEATS.len()]),
            connections: AtomicU64::new(1),
        };
        for index in 0..world.hubs.count() {
            world.hubs.start(index, &world).await;
        }
        Self {
            world: Arc::new(world),
            seed,
            orders: BTreeMap::new(),
            devices: Vec::new(),
            hub_down_for: Duration::ZERO,
            hubs_back_at,
            dice: Dice::new(seed, 99),
            room_at: None,
        }
    }

    async fn direct(mut self, plan: Plan) -> Report {
        let mut start = Instant::now();
        let has_newcomer = plan.newcomer_ms > 0;
        let last = plan.people - 1;
        (0..plan.people - usize::from(has_newcomer)).for_each(|seat| self.add_device(seat));
        for Planned { at_ms, event } in plan.events {
            if has_newcomer && !self.orders.contains_key(&last) && at_ms >= plan.newcomer_ms {
                self.wait_until(start + Duration::from_millis(plan.newcomer_ms)).await;
                self.add_device(last);
            }
            self.wait_until(start + Duration::from_millis(at_ms)).await;
            if let Happening::Night { for_ms } = event {
                start += Duration::from_millis(for_ms);
            }
            self.happen(&event);
        }
        if !self.orders.contains_key(&last) {
            self.add_device(last);
        }
        self.settle(plan.last_restore, plan.talks).await
    }

    fn add_device(&mut self, seat: usize) {
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        self.world.set_busy(seat);
        let actor = DeviceActor::new(seat, Arc::clone(&self.world), orders, self.seed);
        self.devices.push(tokio::spawn(actor.run()));
        self.orders.insert(seat, sender);
    }

    fn order(&self, who: usize, order: Order) {
        // Whoever has not come yet says and breaks nothing.
        if let Some(device) = self.orders.get(&who) {
            device.try_send(order).expect("a device lives as long as its world, and listens");
        }
    }

    fn happen(&mut self, event: &Happening) {
        match *event {
            Happening::Say { who, whereto, count } => {
                (0..count).for_each(|_| self.order(who, Order::Say(whereto)));
            }
            Happening::Device { who, fault } => self.order(who, Order::Fault(fault)),
            Happening::HubCrash { moment, down_ms } => {
                self.hub_down_for = Duration::from_millis(down_ms);
                let index = self.dice.index(self.world.hubs.count());
                if self.world.hubs.is_losing() {
                    return self.world.hubs.cut_off(index, self.hub_down_for + CUT_OFF);
                }
                if self.world.hubs.count() > 1 {
                    match self.dice.between(0, 2) {
                        0 => {}
                        1 => return self.world.hubs.take_for_dead(index, &mut self.dice),
                        _ => return self.world.hubs.cut_off(index, self.hub_down_for + CUT_OFF),
                    }
                }
                match moment {
                    Some(moment) => self.world.hubs.disk(index).fail_at(moment),
                    None => self.crash_hub(index),
                }
            }
            Happening::DiskFull { for_ms } => {
                self.world.write(Fact::DiskFull);
                self.world.disk.set_full(true);
                self.room_at = Some(Instant::now() + Duration::from_millis(for_ms));
            }
            Happening::Comes { seat } => self.add_device(seat),
            Happening::Act { who, act } => self.order(who, Order::Act(act)),
            Happening::Copy => self.world.disk.copy(),
            Happening::Restore { down_ms } => self.restore(down_ms),
            Happening::Night { .. } => {}
        }
    }

    fn disk_has_room(&self) {
        self.world.disk.set_full(false);
        self.world.write(Fact::DiskHasRoom);
    }

    /// The hub ends, an older disk is put back, and it begins again after a while.
    fn restore(&mut self, down_ms: u64) {
        self.hub_down_for = Duration::from_millis(down_ms);
        self.crash_hub(0);
        self.world.disk.restore();
    }

    fn crash_hub(&mut self, index: usize) {
        self.world.hubs.crash(index);
        self.hubs_back_at[index].get_or_insert(Instant::now() + self.hub_down_for);
    }

    /// Lets the world go on until then, and looks after its hub.
    async fn wait_until(&mut self, until: Instant) {
        loop {
            let back_at = self.hubs_back_at.iter().copied();
            let next = back_at.chain([self.room_at]).flatten().min();
            let world = Arc::clone(&self.world);
            tokio::select! {
                biased;
                index = world.hubs.failed() => self.crash_hub(index),
                () = sleep_until(next.unwrap_or(until)), if next.is_some_and(|at| at < until) => {
                    let now = Instant::now();
                    if self.room_at.take_if(|at| *at <= now).is_some() {
                        self.disk_has_room();
                    }
                    for index in 0..self.hubs_back_at.len() {
                        if self.hubs_back_at[index].take_if(|at| *at <= now).is_some() {
                            self.world.hubs.start(index, &self.world).await;
                        }
                    }
                }
                () = sleep_until(until) => return,
            }
        }
    }

    /// The liveness phase: no more faults, and everything has to come to rest.
    async fn settle(mut self, last: Option<Restore>, talks: bool) -> Report {
        self.disk_has_room();
        (0..self.world.hubs.count()).for_each(|index| self.world.hubs.disk(index).heal());
        self.room_at = None;
        self.order_all(Order::Heal);
        if let Some(Restore { down_ms, calm_ms }) = last {
            self.wait_until(Instant::now() + Duration::from_millis(calm_ms)).await;
            self.restore(down_ms);
            while let Some(back_at) = self.hubs_back_at[0] {
                self.wait_until(back_at + Duration::from_millis(1)).await;
            }
            let until = Duration::from_millis(now_ms() - START_MS) + self.talk_time();
            self.world
                .write(Fact::TalkBegins { until_ms: u64::try_from(until.as_millis()).unwrap() });
        }
        if talks {
            self.order_all(Order::Talk);
        }
        let deadline = Instant::now() + LIVENESS;
        let mut missing = Vec::new();
        while Instant::now() < deadline {
            self.wait_until(Instant::now() + Duration::from_millis(500)).await;
            if self.world.quiet.lock().unwrap().iter().all(|is_quiet| *is_quiet) {
                missing = checker::missing(&self.world.notes.all());
                if missing.is_empty() {
                    break;
                }
            }
        }
        if last.is_some() {
            self.wait_until(Instant::now() + COUNTED_ALARMS).await;
        }
        self.report(missing)
    }

    /// How long it may take after a restore until all talk again.
    fn talk_time(&self) -> Duration {
        TALK + Duration::from_millis(self.world.delay.max_ms) * MESSAGES_TO_TALK
    }

    fn order_all(&self, order: Order) {
        self.orders.keys().for_each(|who| self.order(*who, order));
    }

    fn report(self, mut violations: Vec<Violation>) -> Report {
        if self.world.hubs.has_ended() {
            let what = "the worker ended by itself".to_owned();
            violations.push(Violation { rule: "worker", what });
        }
        for (index, is_quiet) in self.world.quiet.lock().unwrap().iter().enumerate() {
            if !is_quiet {
                let what = format!("{} has not come to rest", keys::SEATS[index]);
                violations.push(Violation { rule: "rest", what });
            }
        }
        self.devices.iter().for_each(JoinHandle::abort);
        (0..self.world.hubs.count()).for_each(|index| self.world.hubs.crash(index));
        for (id, cid, position) in self.world.disk.messages() {
            self.world.write(Fact::Kept { id, place: cid.to_string(), position });
        }
        let facts = std::mem::take(&mut *self.world.notes.all());
        violations.extend(checker::broken(&facts));
        violations.extend(checker::lost(&facts));
        if violations.iter().any(|violation| violation.rule == "rest") {
            violations.extend(checker::missing(&facts));
        }
        Report { violations, facts, travelled: tape::take() }
    }
}
