//! One device: a process that can die, its disk, and its connection.

mod host;
mod orders;
mod second;
mod sign_in;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chat_device::{
    step::{Core, Input, Released},
    store::{Changes, Home as _, MemoryStore},
};
use chat_endpoint::{Endpoint, Transmit};
use chat_protocol::{
    code,
    hub::{self, HubToClient},
    id::MessageId,
    name::ConversationId,
};
use chat_server::outbox::OutboxLimits;
use futures_util::{FutureExt, StreamExt};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    dice::Dice,
    disk::Mistake,
    facts::{Fact, What},
    keys,
    network::Link,
    plan::{CrashPoint, DeviceFault, RoomAct, Whereto},
    world::{World, now_ms},
};
use host::Host;
use second::Second;

/// Outbox of a device that stalls: so small that it overflows.
const SMALL_OUTBOX: OutboxLimits = OutboxLimits { frames_max: 24, bytes_max: 64 * 1024 };

/// What a device is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Say(Whereto),
    Act(RoomAct),
    /// Something to everybody with whom this device has spoken, and in every room.
    Talk,
    Fault(DeviceFault),
    /// No more faults.
    Heal,
}

/// What the user has asked for and the device has not kept yet.
enum Draft {
    Message { id: MessageId, place: ConversationId, to: Option<String>, what: What },
    Order { id: MessageId, what: String },
}

/// What outlives the process.
#[derive(Default)]
struct OwnDisk {
    rows: MemoryStore,
    /// The hub knows the account, as far as this device knows.
    is_registered: bool,
    /// Which of its encryption keys it has, and whether the hub has it too.
    generation: usize,
    is_published: bool,
}

impl OwnDisk {
    fn commit(&mut self, changes: &Changes) {
        self.rows.commit(changes).unwrap();
    }
}

/// One device with everything around it.
pub(crate) struct DeviceActor {
    index: usize,
    name: String,
    world: Arc<World>,
    orders: mpsc::Receiver<Order>,
    dice: Dice,
    disk: OwnDisk,
    host: Host,
    /// For the next step.
    inputs: Vec<Input<()>>,
    drafts: Vec<Draft>,
    said: u64,
    /// Where it was.
    spoken: BTreeSet<Whereto>,
    link: Option<Link>,
    /// What another process of its home does.
    second: Second,
    connect_at: Instant,
    reads_from: Instant,
    dies_at: Option<(CrashPoint, Duration)>,
    /// How long the next connection lives, and when this one ends.
    lives: Option<Duration>,
    cut_at: Option<Instant>,
    wants_rotation: bool,
    is_small: bool,
    /// It was told that its state is older than what it has sent.
    is_rolled_back: bool,
}

/// The process has died, and starts again after so long.
struct Died {
    down: Duration,
    /// A step was kept, and what it has to tell was not told.
    is_untold: bool,
}

impl DeviceActor {
    pub(crate) fn new(
        index: usize,
        world: Arc<World>,
        orders: mpsc::Receiver<Order>,
        seed: u64,
    ) -> Self {
        let number = u64::try_from(index).unwrap();
        let now = Instant::now();
        Self {
            index,
            name: keys::SEATS[index].to_owned(),
            world,
            orders,
            dice: Dice::new(seed, 100 + number),
            disk: OwnDisk::default(),
            host: Host::default(),
            inputs: Vec::new(),
            drafts: Vec::new(),
            said: 0,
            spoken: BTreeSet::new(),
            link: None,
            second: Second::new(seed, number),
            connect_at: now,
            reads_from: now,
            dies_at: None,
            lives: None,
            cut_at: None,
            wants_rotation: false,
            is_small: false,
            is_rolled_back: false,
        }
    }

    /// Lives, dies and lives again until nobody gives orders.
    pub(crate) async fn run(mut self) {
        while let Err(Died { down, is_untold }) = self.live().await {
            self.write(Fact::Died { at: self.name.clone(), is_untold });
            // What was not kept is gone; nobody was told that it was sent.
            self.drafts.clear();
            self.inputs.clear();
            self.link = None;
            self.second.end();
            self.dies_at = None;
            self.cut_at = None;
            self.host.died();
            self.world.set_busy(self.index);
            sleep(down).await;
        }
    }

    fn write(&self, fact: Fact) {
        self.world.write(fact);
    }

    fn trouble(&self, what: String) {
        self.write(Fact::Trouble { at: self.name.clone(), what });
    }

    async fn live(&mut self) -> Result<(), Died> {
        let device = keys::device(self.index, self.disk.generation);
        let rows = self.disk.rows.rows().unwrap();
        let random = Box::new(self.dice.split());
        let endpoint = Endpoint::new(device, &rows, keys::bundle_cache(), random).unwrap();
        let mut core = Core::new(endpoint);
        self.connect_at = Instant::now();
        loop {
            self.steps(&mut core)?;
            self.report(core.endpoint());
            if !self.wait(&mut core).await? {
                return Ok(());
            }
        }
    }

    /// Waits for one thing and takes everything else that is there. False at the end of the world.
    async fn wait(&mut self, core: &mut Core) -> Result<bool, Died> {
        let due = self.due(core.endpoint());
        let reads = self.link.is_some() && self.reads_from <= Instant::now();
        let next = async {
            match &mut self.link {
                Some(link) if reads => link.from_hub.next().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            order = self.orders.recv() => match order {
                Some(order) => self.obey(core, order)?,
                None => return Ok(false),
            },
            message = next => {
                self.take(message);
                while let Some(link) = &mut self.link
                    && let Some(message) = link.from_hub.next().now_or_never()
                {
                    self.take(message);
                }
            }
            said = self.second.hear() => self.compare(said),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                self.do_what_is_due(core).await;
            }
        }
        Ok(true)
    }

    /// When something is to be done without being asked.
    fn due(&self, endpoint: &Endpoint) -> Option<Instant> {
        let now = Instant::now();
        let deadline = endpoint
            .next_deadline()
            .map(|at| now + Duration::from_millis(at.saturating_sub(now_ms())));
        let connect = self.link.is_none().then_some(self.connect_at);
        let reads = (self.reads_from > now).then_some(self.reads_from);
        [deadline, connect, reads, self.cut_at, self.host.due()].into_iter().flatten().min()
    }

    async fn do_what_is_due(&mut self, core: &mut Core) {
        if core.endpoint().next_deadline().is_some_and(|at| at <= now_ms()) {
            self.inputs.push(Input::Due);
        }
        self.host.end_commands(core.endpoint_mut());
        if self.cut_at.is_some_and(|at| at <= Instant::now()) {
            self.cut(false);
        }
        if self.link.is_none() && self.connect_at <= Instant::now() {
            self.connect(core).await;
        }
    }

    fn take(&mut self, message: Option<Result<Message, impl Sized>>) {
        match message {
            Some(Ok(Message::Text(text))) => {
                if let Ok(HubToClient::Noack { id: Some(id), code, .. }) = hub::read(text.as_str())
                    && code == code::STORAGE_FULL
                {
                    self.write(Fact::Full { at: self.name.clone(), id });
                }
                if let Ok(said) = hub::read(text.as_str()) {
                    self.compare(Some(said));
                }
                self.inputs.push(Input::Text(text.to_string()));
            }
            Some(Ok(Message::Binary(bytes))) => self.inputs.push(Input::Binary(bytes)),
            Some(Ok(Message::Ping(bytes))) => {
                if let Some(link) = &self.link {
                    link.to_hub.push(Message::Pong(bytes));
                }
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => self.offline(2_000),
            Some(Ok(_)) => {}
        }
    }

    /// Loses the connection and all that is under way.
    fn cut(&mut self, silent: bool) {
        if let Some(link) = &self.link {
            link.cable.cut(silent);
            self.offline(1_500);
        }
    }

    fn offline(&mut self, wait_ms_max: u64) {
        self.link = None;
        self.cut_at = None;
        self.inputs.push(Input::Disconnected);
        let wait = self.dice.between(1, wait_ms_max);
        self.connect_at = Instant::now() + Duration::from_millis(wait);
    }

    fn obey(&mut self, core: &mut Core, order: Order) -> Result<(), Died> {
        match order {
            Order::Say(whereto) => {
                self.spoken.insert(whereto);
                self.say(core.endpoint_mut(), whereto);
            }
            Order::Act(act) => self.act(core.endpoint_mut(), act),
            Order::Talk => self.talk(core.endpoint_mut()),
            Order::Heal => {
                self.dies_at = None;
                self.lives = None;
                self.cut_at = None;
                self.is_small = false;
                self.reads_from = Instant::now();
                self.connect_at = self.connect_at.min(Instant::now() + Duration::from_secs(1));
            }
            Order::Fault(DeviceFault::Cut { silent }) => {
                self.cut(silent);
            }
            Order::Fault(DeviceFault::Flap { for_ms, lives_ms }) => {
                self.offline(1);
                self.connect_at = Instant::now() + Duration::from_millis(for_ms);
                self.lives = Some(Duration::from_millis(lives_ms));
            }
            Order::Fault(DeviceFault::Crash { point, down_ms }) => {
                let down = Duration::from_millis(down_ms);
                if point == CrashPoint::Now {
                    return Err(Died { down, is_untold: false });
                }
                self.dies_at = Some((point, down));
            }
            Order::Fault(DeviceFault::Away { for_ms }) => {
                self.offline(1);
                self.connect_at = Instant::now() + Duration::from_millis(for_ms);
            }
            Order::Fault(DeviceFault::Stall { for_ms }) => {
                // On a connection with a small outbox: the next one.
                self.is_small = true;
                self.offline(100);
                self.reads_from = Instant::now() + Duration::from_millis(for_ms);
            }
            Order::Fault(DeviceFault::Rotate) => {
                self.wants_rotation = self.disk.is_registered && self.disk.generation == 0;
                if self.wants_rotation {
                    self.offline(300);
                }
            }
        }
        Ok(())
    }

    /// Commits, then sends, then shows; again while what is shown makes something to commit.
    fn steps(&mut self, core: &mut Core) -> Result<(), Died> {
        loop {
            let (changes, held) = core.prepare(now_ms(), std::mem::take(&mut self.inputs));
            if !changes.is_empty() {
                self.dies(CrashPoint::BeforeCommit)?;
            }
            self.host.committed(&changes.rows);
            self.disk.commit(&changes);
            for draft in std::mem::take(&mut self.drafts) {
                let by = self.name.clone();
                self.write(match draft {
                    Draft::Message { id, place, to, what } => {
                        let place = place.to_string();
                        Fact::Submitted { by, id, place, to, what }
                    }
                    Draft::Order { id, what } => Fact::Asked { by, id, what },
                });
            }
            let Released { transmits, events, .. } = held.release();
            if !transmits.is_empty() {
                self.dies(CrashPoint::AfterCommit)?;
            }
            let half = transmits.len() / 2;
            for (number, transmit) in transmits.into_iter().enumerate() {
                if number == half {
                    self.dies(CrashPoint::HalfSent)?;
                }
                if let Transmit::Binary(bytes) = &transmit {
                    self.second.send(bytes);
                }
                if let Some(link) = self.link.as_ref().filter(|_| !self.is_kept_back(&transmit)) {
                    link.to_hub.push(match transmit {
                        Transmit::Text(text) => Message::text(text),
                        Transmit::Binary(bytes) => Message::Binary(bytes),
                    });
                }
            }
            if events.is_empty() {
                return Ok(());
            }
            for notification in events {
                let facts = self.host.take(&self.name, core.endpoint_mut(), notification);
                for fact in facts {
                    self.write(fact);
                }
            }
        }
    }

    /// Whether a planted mistake loses this.
    fn is_kept_back(&self, transmit: &Transmit) -> bool {
        let is_reminder = matches!(transmit, Transmit::Text(text) if text.contains("\"REMIND\""));
        is_reminder && self.world.mistake() == Some(Mistake::DeafToReminders)
    }

    /// Dies here, if that was ordered.
    fn dies(&mut self, here: CrashPoint) -> Result<(), Died> {
        match self.dies_at {
            Some((point, down)) if point == here => {
                Err(Died { down, is_untold: here != CrashPoint::BeforeCommit })
            }
            _ => Ok(()),
        }
    }

    /// Tells the world whether this device has anything left to do.
    fn report(&mut self, endpoint: &Endpoint) {
        if endpoint.is_rolled_back() && !std::mem::replace(&mut self.is_rolled_back, true) {
            self.trouble("the hub has seen counters that this device has not used".to_owned());
        }
        let is_quiet = self.link.is_some()
            && endpoint.unanswered() == 0
            && !endpoint.owes_receipts()
            && self.host.due().is_none();
        self.world.set_quiet(self.index, is_quiet);
    }
}
