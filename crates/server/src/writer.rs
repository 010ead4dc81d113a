//! One per connection: takes what its outbox holds, feeds all of it, flushes once.
//!
//! The system call is the cost of a delivery, so frames that wait together leave together. The
//! writer also keeps the connection alive: it pings a silent peer and ends a dead one.

use std::{convert::Infallible, time::Duration};

use futures_util::{Sink, SinkExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{
    close::CloseReason,
    limits::{CLOSE_TIME_MAX, SILENCE_PERIOD, WRITE_TIME_MAX},
    outbox::{Next, OutboxReceiver, Outgoing},
    socket::Pulse,
};

/// Times a writer works with. Tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct WriterTimes {
    /// How long one batch may take to reach the socket.
    pub write_max: Duration,
    /// Silence after which the peer is pinged, and after twice of which it is gone.
    pub silence: Duration,
}

impl Default for WriterTimes {
    fn default() -> Self {
        Self { write_max: WRITE_TIME_MAX, silence: SILENCE_PERIOD }
    }
}

/// Writes until the outbox is closed or the peer is gone, and returns why. Where the socket still
/// takes it, the peer has been told the reason.
pub async fn run<S>(
    outbox: OutboxReceiver,
    mut socket: S,
    pulse: &Pulse,
    times: WriterTimes,
) -> CloseReason
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    let Err(End { reason, is_stuck }) = drain(outbox, &mut socket, pulse, times).await;
    if is_stuck {
        // What it would not take in ten seconds it does not take in one more.
        return reason;
    }
    let farewell = async {
        socket.feed(Message::Close(Some(reason.to_frame()))).await?;
        socket.flush().await
    };
    // A peer that takes nothing any more is not worth more than this.
    match timeout(CLOSE_TIME_MAX.min(times.write_max), farewell).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::trace!(%error, "the peer was gone before it was told why"),
    }
    reason
}

/// Why the writing ends.
struct End {
    reason: CloseReason,
    /// The peer takes nothing more.
    is_stuck: bool,
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        Self { reason, is_stuck: false }
    }
}

/// Moves frames from the outbox to the socket until there is a reason to end.
async fn drain<S>(
    mut outbox: OutboxReceiver,
    socket: &mut S,
    pulse: &Pulse,
    times: WriterTimes,
) -> Result<Infallible, End>
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    let mut batch = Vec::new();
    // One timer for the whole life: registering one for each wait would cost as much as a frame.
    let mut silence = interval_at(Instant::now() + times.silence, times.silence);
    silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_pinged = false;
    loop {
        tokio::select! {
            // Frames first: they are also what keeps the peer busy. Both arms are cancel-safe.
            biased;
            next = outbox.next(&mut batch) => match next {
                Next::Frames => write(socket, &mut batch, times.write_max).await?,
                Next::Close(reason) => return Err(reason.into()),
            },
            _ = silence.tick() => {
                if pulse.take() {
                    is_pinged = false;
                } else if is_pinged {
                    let reason = CloseReason::Policy("nothing heard, the connection is dead".into());
                    return Err(reason.into());
                } else {
                    is_pinged = true;
                    let ping = socket.send(Message::Ping(bytes::Bytes::new()));
                    deliver(timeout(times.write_max, ping).await)?;
                }
            }
        }
    }
}

/// Sends one batch with a single flush.
async fn write<S>(socket: &mut S, batch: &mut Vec<Outgoing>, time_max: Duration) -> Result<(), End>
where
    S: Sink<Message, Error = tungstenite::Error> + Unpin,
{
    let all = async {
        for frame in batch.drain(..) {
            socket.feed(frame.into()).await?;
        }
        socket.flush().await
    };
    // Nearly free: a timer is registered only when the socket does not take everything at once.
    deliver(timeout(time_max, all).await)
}

fn deliver(
    result: Result<Result<(), tungstenite::Error>, tokio::time::error::Elapsed>,
) -> Result<(), End> {
    match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_gone)) => Err(CloseReason::Done.into()),
        Err(_elapsed) => {
            let reason = CloseReason::SlowConsumer("slow consumer: nothing was read".into());
            Err(End { reason, is_stuck: true })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        pin::Pin,
        sync::{Arc, Mutex},
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use tungstenite::Utf8Bytes;

    use super::*;
    use crate::outbox::{Outbox, OutboxLimits, bounded};

    /// A socket that writes down what it is asked to do, and takes nothing while `is_stuck`.
    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Recorded>>);

    #[derive(Default)]
    struct Recorded {
        sent: VecDeque<Message>,
        flushes: usize,
        is_stuck: bool,
    }

    impl Tape {
        fn new(is_stuck: bool) -> Self {
            let tape = Self::default();
            tape.0.lock().unwrap().is_stuck = is_stuck;
            tape
        }

        fn record(&self, message: Message) {
            self.0.lock().unwrap().sent.push_back(message);
        }

        fn take(&self) -> (Vec<Message>, usize) {
            let mut recorded = self.0.lock().unwrap();
            (recorded.sent.drain(..).collect(), std::mem::take(&mut recorded.flushes))
        }
    }

    impl Sink<Message> for Tape {
        type Error = tungstenite::Error;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            if self.0.lock().unwrap().is_stuck { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
            self.record(message);
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.0.lock().unwrap().flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Running {
        outbox: Outbox,
        tape: Tape,
        pulse: Pulse,
        task: tokio::task::JoinHandle<CloseReason>,
        started: Instant,
    }

    fn start(is_stuck: bool) -> Running {
        let (outbox, receiver) = bounded(OutboxLimits::default());
        let (tape, pulse) = (Tape::new(is_stuck), Pulse::default());
        let (sink, heard) = (tape.clone(), pulse.clone());
        let task =
            tokio::spawn(async move { run(receiver, sink, &heard, WriterTimes::default()).await });
        Running { outbox, tape, pulse, task, started: Instant::now() }
    }

    fn text(text: &str) -> Outgoing {
        Outgoing::Text(Utf8Bytes::from(text))
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_wait_together_leave_with_one_flush() {
        let running = start(false);
        for n in 0..5 {
            running.outbox.push(text(&n.to_string())).unwrap();
        }
        tokio::task::yield_now().await;
        let (sent, flushes) = running.tape.take();
        let expected: Vec<_> = (0..5).map(|n| Message::text(n.to_string())).collect();
        assert_eq!((sent, flushes), (expected, 1));

        running.outbox.push(Outgoing::Binary(Bytes::from_static(b"x"))).unwrap();
        running.outbox.close(CloseReason::Restart);
        assert_eq!(running.task.await.unwrap(), CloseReason::Restart);
        let (sent, _) = running.tape.take();
        let reason = CloseReason::Restart.to_frame();
        let expected = [Message::binary(&b"x"[..]), Message::Close(Some(reason))];
        assert_eq!(sent, expected, "what waited, then the reason");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_cut_after_ten_seconds() {
        let running = start(true);
        running.outbox.push(text("hello")).unwrap();
        let reason = running.task.await.unwrap();
        assert_eq!(reason.code(), 1013, "{reason}");
        let elapsed = running.started.elapsed();
        assert!((10..=11).contains(&elapsed.as_secs()), "after {elapsed:?}");
        assert!(running.outbox.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_pinged_once_and_given_up_within_45_seconds() {
        let running = start(false);
        let reason = timeout(Duration::from_hours(1), running.task).await.expect("never given up");
        assert_eq!(reason.unwrap().code(), 1008);
        assert!(running.started.elapsed() <= Duration::from_secs(45));
        let (sent, _) = running.tape.take();
        let pings = sent.iter().filter(|message| message.is_ping()).count();
        assert_eq!(pings, 1, "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_heard_lives_on_without_pings() {
        let running = start(false);
        for _ in 0..100 {
            running.pulse.beat();
            tokio::time::advance(Duration::from_secs(14)).await;
        }
        assert!(!running.task.is_finished());
        assert_eq!(running.tape.take(), (Vec::new(), 0));
        running.outbox.close(CloseReason::Done);
        running.task.await.unwrap();
    }
}
