//! The life of one connection after its upgrade: sign-in, catch-up, reading and writing, the end.

mod files;

use std::{pin::pin, sync::Arc};

use chat_protocol::{id::KeyId, name::UserName};
use futures_util::{Sink, Stream, StreamExt};
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use crate::{
    catch_up,
    close::CloseReason,
    connection::PeerInfo,
    listener::Opened,
    outbox::{self, Outbox, OutboxLimits, OutboxReceiver},
    reader::{Incoming, Reader},
    shared::Shared,
    sign_in::{self, Ended, Entered},
    socket::Pulse,
    tasks,
    writer::{self, WriterTimes},
};

/// What a client sends at once after which the others on this thread come first: what one message of the longest takes is
/// what they wait for. Of short ones many are read in a row, which costs less for each.
const TURN_BYTES: usize = 32 * 1024;

/// Serves one WebSocket until it ends. On `drain` nothing more is read; the worker ends the session
/// when everything that was queued is done.
pub async fn serve(hub: Arc<Shared>, drain: CancellationToken, opened: Opened) {
    let Opened { mut socket, peer, mut permit } = opened;
    let queue = hub.requests.for_connection(peer.id);
    let (outbox, receiver) = outbox::bounded(OutboxLimits::default());
    // In a box of its own: what a sign-in needs is not kept for the life of the connection.
    let entering = Box::pin(sign_in::run(&hub, &mut socket, &peer, &outbox, &queue));
    let admitted = tokio::select! {
        biased;
        () = drain.cancelled() => Err(Ended::Close(CloseReason::Restart)),
        admitted = entering => admitted,
    };
    let admitted = match admitted {
        Ok(Entered::Session(admitted)) => admitted,
        Ok(Entered::Files(seat)) => {
            permit.signed_in();
            let socket = socket.renew_for_files().await;
            let ends = (&outbox, receiver);
            return Box::pin(files::serve(&hub, &drain, socket, (seat, &peer), ends)).await;
        }
        Err(Ended::Gone) => return,
        Err(Ended::Close(reason)) => {
            outbox.close(reason.clone());
            return Box::pin(socket.close(&reason)).await;
        }
    };
    permit.signed_in();
    let socket = socket.renew().await;
    let from = peer;
    let peer = admitted.peer;
    let reader = Reader::new(Arc::clone(&hub), Arc::clone(&peer), queue.clone());
    let catching_up = catch_up::run(Arc::clone(&hub), Arc::clone(&peer), queue, admitted.plan);
    // Ends with this session, if it has not before.
    let _catching_up =
        tasks::own(tracing::debug_span!("catch up", id = %peer.connection), catching_up);
    let pulse = socket.pulse();
    let (sink, stream) = socket.split();
    let keys = [peer.sk];
    let closing = until_closed(&hub, &peer.name, &keys, &from, &outbox);
    tokio::select! {
        biased;
        () = talk((stream, sink, &pulse), (reader, receiver), &outbox, &drain) => {}
        () = closing => {}
    }
}

/// Ends a connection when the operator keeps its owner out. Never returns: what the connection waits for
/// ends it.
async fn until_closed(
    hub: &Shared,
    name: &UserName,
    keys: &[KeyId],
    from: &PeerInfo,
    outbox: &Outbox,
) {
    let refusal = hub.gate.closes(name, keys, from.addr.ip()).await;
    outbox.close(CloseReason::Policy(refusal.reason.into()));
    std::future::pending::<()>().await;
}

/// Reads and writes until one of the two ends, then tells the worker. `outbox` is the end that this
/// connection's answers are pushed to.
pub(crate) async fn talk<I, O>(
    (stream, sink, pulse): (I, O, &Pulse),
    (mut reader, receiver): (Reader, OutboxReceiver),
    outbox: &Outbox,
    drain: &CancellationToken,
) where
    I: Stream<Item = Result<Message, Error>> + Unpin,
    O: Sink<Message, Error = Error> + Unpin,
{
    {
        let mut writing = pin!(writer::run(receiver, sink, pulse, WriterTimes::default()));
        let reading = pin!(read(stream, &mut reader, drain));
        tokio::select! {
            // In one order, so that a simulated run can be repeated; both go on all the time.
            biased;
            _reason = &mut writing => {}
            reason = reading => {
                if let Some(reason) = reason {
                    outbox.close(reason);
                }
                writing.await;
            }
        }
    }
    reader.leave().await;
}

/// Reads until there is a reason to end the connection, or until `drain` (`None`).
async fn read<S>(
    mut stream: S,
    reader: &mut Reader,
    drain: &CancellationToken,
) -> Option<CloseReason>
where
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    let mut drained = pin!(drain.cancelled());
    let mut turn_bytes = 0;
    loop {
        if turn_bytes >= TURN_BYTES {
            turn_bytes = 0;
            yield_now().await;
        }
        let next = async {
            match reader.deadline() {
                Some(deadline) => timeout_at(deadline, stream.next()).await.ok(),
                None => Some(stream.next().await),
            }
        };
        let next = tokio::select! {
            biased;
            () = &mut drained => return None,
            next = next => next,
        };
        let (length, message) = match next {
            None => {
                reader.expire_upload(Instant::now());
                continue;
            }
            Some(Some(Ok(Message::Text(text)))) => {
                (text.len(), Incoming::Text(text.as_str().to_owned()))
            }
            Some(Some(Ok(Message::Binary(bytes)))) => (bytes.len(), Incoming::Binary(bytes)),
            Some(Some(Ok(Message::Close(_))) | None) => return Some(CloseReason::Done),
            Some(Some(Ok(_))) => continue,
            Some(Some(Err(error))) => {
                return Some(CloseReason::for_error(&error).unwrap_or(CloseReason::Done));
            }
        };
        turn_bytes += length;
        // In a box as long as one message lasts: an idle connection does without those 2 kB.
        if let Err(reason) = Box::pin(reader.handle(message)).await {
            return Some(reason);
        }
    }
}
