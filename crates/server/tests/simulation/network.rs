//! The wires: messages in one direction arrive in order and late, or not at all.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use chat_server::socket::Pulse;
use futures_util::{Sink, Stream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{dice::Dice, tape};

/// Messages under way to a device before its hub is held back, as by a full TCP window.
const WINDOW_MESSAGES: usize = 12;

/// How long a message may take, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delay {
    pub(crate) min_ms: u64,
    pub(crate) max_ms: u64,
}

/// One direction.
#[derive(Debug)]
struct Wire {
    /// Whose it is, and in which direction it goes.
    name: String,
    under_way: VecDeque<(Instant, Message)>,
    /// When the last message arrives: nothing overtakes it.
    last: Instant,
    delay: Delay,
    dice: Dice,
    window: usize,
    /// The writing end is gone; what is under way still arrives.
    is_ended: bool,
    /// Nothing arrives any more.
    is_cut: bool,
    /// Of a cut wire: the end at the hub is not told.
    is_silent: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Shared = Arc<Mutex<Wire>>;

fn lock(wire: &Shared) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap()
}

impl Wire {
    fn new(name: String, delay: Delay, dice: Dice, window: usize) -> Shared {
        Arc::new(Mutex::new(Self {
            name,
            under_way: VecDeque::new(),
            last: Instant::now(),
            delay,
            dice,
            window,
            is_ended: false,
            is_cut: false,
            is_silent: false,
            reader: None,
            writer: None,
        }))
    }

    fn push(&mut self, message: Message) {
        if self.is_cut {
            return;
        }
        tape::note(&self.name, &message);
        let late = Duration::from_millis(self.dice.between(self.delay.min_ms, self.delay.max_ms));
        self.last = self.last.max(Instant::now() + late);
        self.under_way.push_back((self.last, message));
        self.wake();
    }

    fn cut(&mut self, is_silent: bool) {
        self.under_way.clear();
        self.is_cut = true;
        self.is_silent = is_silent;
        self.wake();
    }

    fn wake(&mut self) {
        [self.reader.take(), self.writer.take()].into_iter().flatten().for_each(Waker::wake);
    }
}

/// The end that messages go into.
#[derive(Debug)]
pub(crate) struct Entrance(Shared);

impl Entrance {
    /// Sends without a bound: a device keeps what it has to say.
    pub(crate) fn push(&self, message: Message) {
        lock(&self.0).push(message);
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut wire = lock(&self.0);
        wire.is_ended = true;
        wire.wake();
    }
}

impl Sink<Message> for Entrance {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut wire = lock(&self.0);
        if wire.is_cut && !wire.is_silent {
            return Poll::Ready(Err(Error::ConnectionClosed));
        }
        if wire.is_cut || wire.under_way.len() < wire.window {
            return Poll::Ready(Ok(()));
        }
        wire.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.push(message);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}

/// The end that messages come out of.
#[derive(Debug)]
pub(crate) struct Exit {
    wire: Shared,
    timer: Option<Pin<Box<Sleep>>>,
    /// Beats with every message.
    pulse: Pulse,
}

impl Stream for Exit {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let mut wire = lock(&self.wire);
            if wire.is_cut && !wire.is_silent {
                return Poll::Ready(None);
            }
            let next = wire.under_way.front().map(|(at, _)| *at);
            match next {
                Some(at) if at <= Instant::now() => {
                    let message = wire.under_way.pop_front().map(|(_, message)| Ok(message));
                    wire.wake();
                    drop(wire);
                    self.timer = None;
                    self.pulse.beat();
                    return Poll::Ready(message);
                }
                None if wire.is_ended => return Poll::Ready(None),
                None => {
                    wire.reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
                Some(at) => {
                    wire.reader = Some(context.waker().clone());
                    drop(wire);
                    let mut timer = Box::pin(sleep_until(at));
                    if timer.as_mut().poll(context).is_pending() {
                        self.timer = Some(timer);
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

/// Both directions, to cut them.
#[derive(Debug)]
pub(crate) struct Cable {
    up: Shared,
    down: Shared,
}

impl Cable {
    /// Everything under way is lost. When the cut is `silent`, the hub finds out by itself.
    pub(crate) fn cut(&self, silent: bool) {
        lock(&self.up).cut(silent);
        lock(&self.down).cut(silent);
    }
}

/// The end of a device.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) to_hub: Entrance,
    pub(crate) from_hub: Exit,
    pub(crate) cable: Cable,
}

/// The end of the hub.
pub(crate) struct HubEnd {
    pub(crate) from_device: Exit,
    pub(crate) to_device: Entrance,
    pub(crate) pulse: Pulse,
}

/// A new connection.
pub(crate) fn connection(seat: &str, delay: Delay, dice: &mut Dice) -> (Link, HubEnd) {
    let mut stream = || Dice::new(dice.between(0, u64::MAX - 1), 1);
    let up = Wire::new(format!("{seat} >"), delay, stream(), usize::MAX);
    let down = Wire::new(format!("> {seat}"), delay, stream(), WINDOW_MESSAGES);
    let out_of =
        |wire: &Shared| Exit { wire: Arc::clone(wire), timer: None, pulse: Pulse::default() };
    let from_device = out_of(&up);
    let pulse = from_device.pulse.clone();
    let hub = HubEnd { from_device, to_device: Entrance(Arc::clone(&down)), pulse };
    let link = Link {
        to_hub: Entrance(Arc::clone(&up)),
        from_hub: out_of(&down),
        cable: Cable { up, down },
    };
    (link, hub)
}
