//! The life of a data connection: texts and chunks in, texts and chunks out, nothing else.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use chat_protocol::{
    code,
    file::{self, chunk, relay::RelayToHub},
    frame::RawFrame,
    hub,
    id::Nonce16,
    name::UserName,
    tag::Tag,
};
use futures_util::{Sink, Stream, StreamExt};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use crate::{
    close::CloseReason,
    connection::PeerInfo,
    limits::{CHUNKS_PER_TURN, FILE_FRAME_BYTES_MAX, TRANSFER_TICK},
    outbox::{Outbox, OutboxReceiver},
    relay::{
        Seat,
        copies::{self, Keep, Wanted},
        length,
        link::Word,
        transfers::Fault,
    },
    request::Refusal,
    shared::Shared,
    socket::Socket,
    writer::{self, WriterTimes},
};

/// Counts a data connection while it is open.
struct Open(Gauge);

impl Open {
    fn new(hub: &Shared) -> Self {
        let open = hub.metrics.relay.connections.clone();
        open.inc();
        Self(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Serves a data connection until one side ends it, or the operator keeps its owner out.
pub(super) async fn serve(
    hub: &Arc<Shared>,
    drain: &CancellationToken,
    socket: Socket,
    (seat, from): (Seat, &PeerInfo),
    (outbox, receiver): (&Outbox, OutboxReceiver),
) {
    let (name, keys) = (seat.name().clone(), [seat.signing_id()]);
    let closing = super::until_closed(hub, &name, &keys, from, outbox);
    tokio::select! {
        biased;
        () = talk(hub, drain, socket, seat, (outbox, receiver)) => {}
        () = closing => {}
    }
}

/// Reads and writes until one of the two ends.
async fn talk(
    hub: &Arc<Shared>,
    drain: &CancellationToken,
    socket: Socket,
    seat: Seat,
    (outbox, receiver): (&Outbox, OutboxReceiver),
) {
    let pulse = socket.pulse();
    let _open = Open::new(hub);
    let (sink, stream) = socket.split();
    let writing = writer::run(receiver, Turns::new(sink), &pulse, WriterTimes::default());
    let mut writing = pin!(writing);
    let reading = pin!(async move {
        let reason = read(hub, stream, &seat, drain).await;
        // The other sides hear of it now, not when this one has read the rest.
        drop(seat);
        reason
    });
    tokio::select! {
        _reason = &mut writing => {}
        reason = reading => {
            outbox.close(reason);
            writing.await;
        }
    }
}

/// Reads until there is a reason to end the connection.
async fn read<S>(
    hub: &Arc<Shared>,
    mut stream: S,
    seat: &Seat,
    drain: &CancellationToken,
) -> CloseReason
where
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    let mut drained = pin!(drain.cancelled());
    let mut tick = interval(TRANSFER_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    loop {
        let next = tokio::select! {
            biased;
            () = &mut drained => return CloseReason::Restart,
            _ = tick.tick() => {
                match seat.relay.tend(seat.peer.connection) {
                    Some(reason) => return reason,
                    None => continue,
                }
            }
            next = stream.next() => next,
        };
        let result = match next {
            Some(Ok(Message::Text(text))) => text_message(hub, seat, text.as_str()).await,
            Some(Ok(Message::Binary(bytes))) => {
                turn += 1;
                if turn >= CHUNKS_PER_TURN || seat.relay.is_urgent() {
                    turn = 0;
                    yield_now().await;
                }
                chunk_message(hub, seat, bytes)
            }
            Some(Ok(Message::Close(_))) | None => return CloseReason::Done,
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => {
                return CloseReason::for_error(&error).unwrap_or(CloseReason::Done);
            }
        };
        if let Err(reason) = result {
            return reason;
        }
    }
}

fn chunk_message(hub: &Shared, seat: &Seat, bytes: Bytes) -> Result<(), Fault> {
    hub.metrics.bytes_in.inc_by(length(bytes.len()));
    if bytes.len() > FILE_FRAME_BYTES_MAX {
        let text = format!("a chunk of {} bytes, limit {FILE_FRAME_BYTES_MAX}", bytes.len());
        return Err(CloseReason::TooLarge(text.into()));
    }
    let refused = |why: String| {
        CloseReason::Policy(format!("only chunks of files travel here: {why}").into())
    };
    let frame = RawFrame::decode(bytes).map_err(|error| refused(error.to_string()))?;
    let header = chunk::read(&frame).map_err(|error| refused(error.to_string()))?;
    hub.metrics.frames_in.of(Some(Tag::File)).inc();
    seat.relay.chunk(seat.peer.connection, &header, &frame)
}

async fn text_message(hub: &Arc<Shared>, seat: &Seat, text: &str) -> Result<(), Fault> {
    hub.metrics.frames_in.of(None).inc();
    hub.metrics.bytes_in.inc_by(length(text.len()));
    let message: RelayToHub = hub::read(text).map_err(|error| {
        CloseReason::Policy(format!("no message of a data connection: {error}").into())
    })?;
    let (relay, id) = (&seat.relay, seat.peer.connection);
    let now = Instant::now();
    match message {
        RelayToHub::Give { tid, to } => relay.try_act(|table| table.give(now, id, tid, to)),
        RelayToHub::Credit { tid, n } => relay.try_act(|table| table.credit(now, id, tid, n)),
        RelayToHub::End { tid, reason } => relay.try_act(|table| table.end(now, id, tid, &reason)),
        RelayToHub::Take { tid, from, credit, parts } => seat.take(hub, (tid, from), credit, parts),
        RelayToHub::Keep { tid, chunks, size, until } => {
            if file::chunks(size) != chunks {
                let reason = "the number of chunks does not fit the size";
                relay.refuse(id, tid, &Refusal::new(code::MALFORMED, reason));
                return Ok(());
            }
            seat.keep(hub, &Keep { tid, size, chunks, until })
        }
        RelayToHub::Drop { tid } => {
            copies::take_away(relay, &seat.peer, tid).await;
            Ok(())
        }
    }
}

/// Ranges that ask for something: sorted, apart, and not empty.
fn check_parts(parts: &[(u32, u32)]) -> Result<(), Refusal> {
    let are_few = parts.len() <= chat_protocol::limits::FILE_PARTS_MAX;
    let are_ranges = parts.iter().all(|(start, end)| start < end);
    let are_sorted = parts.is_sorted_by(|before, next| before.1 <= next.0);
    if are_few && are_ranges && are_sorted {
        return Ok(());
    }
    Err(Refusal::new(code::MALFORMED, "parts are ranges in order, and at most 64"))
}

impl Seat {
    /// TAKE: of a copy if there is one, else from a giver.
    fn take(
        &self,
        hub: &Shared,
        (tid, from): (Nonce16, UserName),
        credit: u32,
        parts: Vec<(u32, u32)>,
    ) -> Result<(), Fault> {
        let (relay, id) = (&self.relay, self.peer.connection);
        let copies = relay.copies.as_ref();
        if let Err(refusal) = check_parts(&parts) {
            relay.refuse(id, tid, &refusal);
            return Ok(());
        }
        let found = copies.and_then(|copies| copies.find(&from, tid, (hub.clock)()));
        match found {
            Some(copy) if copies.is_some_and(|copies| copies.is_here(&copy)) => {
                Wanted { copy, parts }.begin(relay, id, (tid, from), credit)
            }
            Some(copy) => {
                let owner = from.clone();
                let word = |mine, taker| Word::Ask { mine, owner, taker, tid, parts, credit };
                let asked = (copy.node, from, word);
                let now = Instant::now();
                relay.try_act(|table| table.take_far_copy(now, id, asked, (tid, credit)))
            }
            None if parts.is_empty() => {
                relay.try_act(|table| table.take(Instant::now(), id, tid, from, credit))
            }
            None => {
                let reason = "no copy is kept here, or its time is over; ask its owner";
                relay.refuse(id, tid, &Refusal::new(code::NO_SUCH_COPY, reason));
                Ok(())
            }
        }
    }

    fn keep(&self, hub: &Arc<Shared>, keep: &Keep) -> Result<(), Fault> {
        let (relay, id, tid) = (&self.relay, self.peer.connection, keep.tid);
        let Some(copies) = &relay.copies else {
            relay.refuse(id, tid, &Refusal::new(code::NOT_ALLOWED, copies::OFF));
            return Ok(());
        };
        copies.begin(relay, &self.peer, keep, (hub.clock)())
    }
}

/// A sink that lets other tasks run after some flushes: the socket of a taker may accept many chunks
/// without a pause.
struct Turns<S> {
    sink: S,
    sent: u32,
}

impl<S> Turns<S> {
    fn new(sink: S) -> Self {
        Self { sink, sent: 0 }
    }
}

impl<S: Sink<Message, Error = Error> + Unpin> Sink<Message> for Turns<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.sent >= CHUNKS_PER_TURN {
            self.sent = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.sink).poll_ready(context)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.sent += u32::from(message.is_binary());
        Pin::new(&mut self.sink).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.sink).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.sink).poll_close(context)
    }
}
