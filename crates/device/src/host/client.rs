//! One signed-in device: a handle that takes orders and a stream of what happens. Line mode, pipe,
//! one-shot commands, agent and emulator are all written against these two.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use chat_agent::AgentReport;
use chat_endpoint::{
    CommandOptions, Endpoint, EventKey, GrantError, HistoryEntry, RoomAction, Roster,
};
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::{ConversationId, RoomName, UserName};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::driver::{Driver, Order, Turn, Work};
use crate::history::History;
use crate::home::HomeError;
use crate::keep::Keep;
use crate::recipient::Recipient;
use crate::sign_in::{self, Dialog, People, StartError};
use crate::store::StoreError;

mod files;
mod people;
mod settings;

pub use crate::driver::{BY_WILL, Decision, RENEWING};
pub use crate::event::{ClientEvent, RenewError, Status, Stopped};
pub use crate::sign_in::{Account, ClientOptions};
pub use people::DecideError;

/// Orders that wait for the driver; whoever gives more waits too.
const ORDERS_MAX: usize = 256;

/// Events that wait for the host; the driver keeps further ones itself and then reads no more.
const EVENTS_MAX: usize = 256;

/// Orders to the driver. Clones give orders to the same device.
#[derive(Debug, Clone)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    /// What was said; none for a device that keeps nothing.
    history: Option<Arc<Mutex<History>>>,
    /// What is remembered about files.
    keep: Keep,
    /// Messages of this process that are about files.
    notes: Notes,
}

/// Ids that are added before anything of them can be answered.
type Notes = Arc<Mutex<HashSet<MessageId>>>;

/// What happens, in order. Nothing is lost while nobody looks; the connection then waits.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<ClientEvent>);

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum SendError {
    /// It cannot be said at all.
    #[error(transparent)]
    Refused(#[from] chat_endpoint::SendError),
    /// The client has stopped.
    #[error("the client has stopped; start it again")]
    Stopped,
}

/// Why history was not granted.
#[derive(Debug, Error)]
pub enum GrantFailed {
    /// It cannot be granted.
    #[error(transparent)]
    Refused(GrantError),
    /// The client has stopped.
    #[error("the client has stopped; start it again")]
    Stopped,
}

impl Client {
    /// Signs in, once, and then keeps the device connected in the background. A home that is opened without its
    /// server connects there.
    pub fn start(options: ClientOptions) -> Dialog<(Self, Events)> {
        let is_attended = match &options.account {
            Account::Home(account) => account.is_attended,
            Account::Memory(_) => false,
        };
        Dialog::new(is_attended, |people| Self::started(options, people))
    }

    async fn started(options: ClientOptions, people: People) -> Result<(Self, Events), StartError> {
        let started = Box::pin(sign_in::first(&options, people)).await?;
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let (told, events) = mpsc::channel(EVENTS_MAX);
        let user = options.user.clone();
        let open = move || {
            let again = || started.store.as_ref().map(|home| home.store.again()).transpose();
            let (history, keep) = (again()?, Keep::new(again()?));
            let history = history.map(|store| History::new(Box::new(store), user));
            let history = history.map(|history| Arc::new(Mutex::new(history)));
            Ok::<_, HomeError>((history, keep, Driver::new(options, started, taken, told)?))
        };
        let (history, keep, (driver, session)) = sign_in::aside(open).await??;
        tokio::spawn(driver.run(session));
        Ok((Self { orders, history, keep, notes: Notes::default() }, Events(events)))
    }

    /// Says something to people, under a veil or not. It is kept when this returns, and sent as soon as can be.
    pub async fn send(
        &self,
        to: &Recipient,
        text: &str,
        veiled: bool,
    ) -> Result<MessageId, SendError> {
        let (to, text) = (to.clone(), text.to_owned());
        let sent = self.call(move |turn| turn.say(to, text, veiled));
        Ok(sent.await.ok_or(SendError::Stopped)??)
    }

    /// Asks a machine to run a command.
    pub async fn run(
        &self,
        target: &UserName,
        argv: Vec<String>,
        options: CommandOptions,
    ) -> Result<MessageId, SendError> {
        let target = target.clone();
        let sent = self.call(move |turn| turn.run(target, argv, options));
        Ok(sent.await.ok_or(SendError::Stopped)??)
    }

    /// Asks for something in a room; answered under the id returned, see
    /// [`chat_endpoint::Endpoint::act_in_room`].
    pub async fn act_in_room(
        &self,
        room: &RoomName,
        action: RoomAction,
    ) -> Result<MessageId, SendError> {
        let room = room.clone();
        self.act(move |endpoint, now_ms| endpoint.act_in_room(now_ms, &room, action)).await
    }

    /// Follows somebody; answered under the id returned, see
    /// [`chat_endpoint::Endpoint::subscribe`].
    pub async fn subscribe(&self, to: &UserName) -> Result<MessageId, SendError> {
        let to = to.clone();
        self.act(move |endpoint, now_ms| endpoint.subscribe(now_ms, &to)).await
    }

    /// Follows somebody no more.
    pub async fn unsubscribe(&self, from: &UserName) -> Result<MessageId, SendError> {
        let from = from.clone();
        self.act(move |endpoint, now_ms| endpoint.unsubscribe(now_ms, &from)).await
    }

    /// Puts somebody out who follows this user.
    pub async fn remove_subscriber(&self, who: &UserName) -> Result<MessageId, SendError> {
        let who = who.clone();
        self.act(move |endpoint, now_ms| endpoint.remove_subscriber(now_ms, &who)).await
    }

    /// Asks who follows whom; answered by [`chat_endpoint::Event::Subscriptions`].
    pub async fn subscriptions(&self) {
        self.begin(|turn| turn.endpoint().subscriptions()).await;
    }

    /// Asks which rooms there are; answered by [`chat_endpoint::Event::Rooms`].
    pub async fn rooms(&self) {
        self.begin(|turn| turn.endpoint().rooms()).await;
    }

    /// In which of these rooms this user is by the verified view, as far as it was fetched.
    pub async fn own_rooms(&self, rooms: Vec<RoomName>) -> Vec<RoomName> {
        let own = self.call(move |turn| {
            let me = turn.endpoint().device().user.clone();
            let mut is_in = |room: &RoomName| {
                let roster = turn.endpoint().roster(room);
                roster.is_some_and(|roster| roster.members.iter().any(|(name, _)| *name == me))
            };
            rooms.into_iter().filter(|room| is_in(room)).collect()
        });
        own.await.unwrap_or_default()
    }

    /// Who is in a room by the verified view, as far as it was fetched.
    pub async fn roster(&self, room: &RoomName) -> Option<Roster> {
        let room = room.clone();
        self.call(move |turn| turn.endpoint().roster(&room)).await.flatten()
    }

    /// Asks who is there; answered by [`chat_endpoint::Event::People`].
    pub async fn who(&self) {
        self.begin(|turn| turn.endpoint().who()).await;
    }

    /// Brings the view of a conversation up to date; answered by
    /// [`chat_endpoint::Event::Refreshed`].
    pub async fn refresh(&self, cid: &ConversationId) {
        let cid = cid.clone();
        self.begin(move |turn| turn.endpoint().refresh(&cid)).await;
    }

    /// Takes the membership of a room that the server shows, whatever was seen before; `false` if it
    /// shows no other one.
    pub async fn accept_room(&self, cid: &ConversationId) -> bool {
        let cid = cid.clone();
        self.call(move |turn| turn.endpoint().accept_room(&cid)).await.unwrap_or(false)
    }

    /// Hands messages of a room on to one of its members, whose view must be up to date.
    pub async fn grant(&self, to: UserName, entries: Vec<HistoryEntry>) -> Result<(), GrantFailed> {
        let granted = self.call(move |turn| {
            let now_ms = turn.now_ms;
            turn.endpoint().grant(now_ms, &to, &entries).map(|_ids| ())
        });
        granted.await.ok_or(GrantFailed::Stopped)?.map_err(GrantFailed::Refused)
    }

    /// A durable event was dealt with and need not be told again.
    pub async fn consumed(&self, key: EventKey) {
        self.order(Order::Consumed { key, is_shown: true }).await;
    }

    /// A durable event that nobody is shown, nor will be: nothing of it is kept.
    pub async fn pass_over(&self, key: EventKey) {
        self.order(Order::Consumed { key, is_shown: false }).await;
    }

    /// Nobody waits for a command any more: what it has said and will say is dropped.
    pub async fn forget_command(&self, id: MessageId) {
        self.begin(move |turn| turn.endpoint().forget_command(&id)).await;
    }

    /// Takes a command back. Returns the id under which the machine is told, or nothing if there is
    /// nothing to tell: one that had not left is refused, and one that has ended stays as it is.
    pub async fn cancel(&self, re: MessageId) -> Option<MessageId> {
        let cancelled = self.call(move |turn| {
            let now_ms = turn.now_ms;
            let id = turn.endpoint().cancel(now_ms, &re)?;
            Some(turn.expect(id))
        });
        cancelled.await.flatten()
    }

    /// Nobody waits for a command any more, and its machine may still start it. Returns until when, Unix time
    /// in milliseconds; nothing for one that has never left or has ended. `argv` are its words.
    pub async fn give_up(&self, re: MessageId, argv: Vec<String>) -> Option<u64> {
        let given_up = self.call(move |turn| {
            let now_ms = turn.now_ms;
            turn.endpoint().give_up(now_ms, &re, argv)
        });
        given_up.await.flatten()
    }

    /// Passes on what the agent of this device reports about a command.
    pub async fn report(&self, report: AgentReport) {
        let report = move |turn: &mut Turn<'_>| {
            let now_ms = turn.now_ms;
            if let Some(id) = chat_agent::answer(turn.endpoint(), now_ms, report) {
                turn.expect(id);
            }
        };
        self.begin(report).await;
    }

    /// Sends the receipts that are owed and waits until nothing is unanswered. `false` when the
    /// connection went away before that; what is open is sent again on the next one.
    pub async fn flush(&self) -> bool {
        let flush = |reply| -> Work {
            Box::new(move |turn: &mut Turn<'_>| {
                turn.flush();
                turn.answer(move |driver| driver.await_answers(reply));
            })
        };
        self.ask(flush).await.unwrap_or(false)
    }

    /// How things stand; nothing when the client has stopped.
    pub async fn status(&self) -> Option<Status> {
        self.ask_driver(|driver, reply| drop(reply.send(driver.status()))).await
    }

    /// The identity key that a name is known by; one's own included.
    pub async fn identity_of(&self, user: &UserName) -> Option<KeyId> {
        let user = user.clone();
        self.call(move |turn| turn.endpoint().identity_of(&user)).await.flatten()
    }

    /// Reads the history, on a thread that may wait. Nothing for a device that keeps nothing.
    pub async fn read_history<T: Send + 'static>(
        &self,
        read: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<Result<T, StoreError>> {
        let history = Arc::clone(self.history.as_ref()?);
        let read = move || read(&history.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(read).await.ok()
    }

    /// Breaks the connection and stays away until [`Client::come_back`]. Everything is kept, and what
    /// is asked for meanwhile waits. With `goodbye` what is ready to go still goes, and the server is
    /// told.
    pub async fn go_away(&self, goodbye: bool) {
        self.begin(move |turn| turn.answer(move |driver| driver.ask_to_go(goodbye))).await;
    }

    /// Connects again after [`Client::go_away`], and at once where the next attempt is waited for. Returns whether there
    /// is a connection already: what the host was told last may be older than that.
    pub async fn come_back(&self) -> bool {
        self.ask_driver(Driver::ask_to_come_back).await.unwrap_or(false)
    }

    /// Leaves: sends the receipts that are owed, waits for the answers while there is a
    /// connection, and says goodbye.
    pub async fn close(self) {
        self.flush().await;
        self.leave().await;
    }

    /// Leaves at once. What has no answer stays in the home.
    pub async fn leave(self) {
        self.ask_driver(Driver::ask_to_close).await;
    }

    async fn order(&self, order: Order) {
        // A driver that has stopped has said why in its last event.
        self.orders.send(order).await.ok();
    }

    /// Has something done in the device's next step, and waits for nothing.
    async fn begin(&self, work: impl FnOnce(&mut Turn<'_>) + Send + 'static) {
        self.order(Order::Work(Box::new(work))).await;
    }

    /// Has something done in the device's next step, and returns what came of it when that is durable; nothing
    /// when the client has stopped.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn<'_>) -> T + Send + 'static,
    ) -> Option<T> {
        let answered = |reply| -> Work {
            Box::new(move |turn: &mut Turn<'_>| {
                let done = work(turn);
                turn.reply(reply, done);
            })
        };
        self.ask(answered).await
    }

    /// The same for work that keeps its reply for later.
    async fn ask<T>(&self, work: impl FnOnce(oneshot::Sender<T>) -> Work) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Work(work(reply))).await.ok()?;
        answer.await.ok()
    }

    /// The same for what is the driver's to answer, once the step is durable.
    async fn ask_driver<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Driver, oneshot::Sender<T>) + Send + 'static,
    ) -> Option<T> {
        let asked = |reply| -> Work {
            Box::new(move |turn: &mut Turn<'_>| turn.answer(move |driver| ask(driver, reply)))
        };
        self.ask(asked).await
    }

    /// Asks for something that the server answers under the id returned.
    async fn act(
        &self,
        act: impl FnOnce(&mut Endpoint, u64) -> MessageId + Send + 'static,
    ) -> Result<MessageId, SendError> {
        let asked = self.call(move |turn| {
            let now_ms = turn.now_ms;
            let id = act(turn.endpoint(), now_ms);
            turn.expect(id)
        });
        asked.await.ok_or(SendError::Stopped)
    }
}

impl Events {
    /// The next event; none after the client has ended. May be dropped at any time without loss.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.0.recv().await
    }

    /// Whether an event is here already.
    pub fn is_waiting(&self) -> bool {
        !self.0.is_empty()
    }

    /// An event that is here already.
    pub fn try_next(&mut self) -> Option<ClientEvent> {
        self.0.try_recv().ok()
    }
}
