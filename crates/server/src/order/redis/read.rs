//! Reading the log: one connection with one command in it, which waits for what comes next.

use std::time::Duration;

use bytes::Bytes;
use redis::{
    RedisError,
    aio::MultiplexedConnection,
    streams::{StreamId, StreamReadReply},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Pauses, Place};
use crate::{order::Logged, tasks};

/// How long a read waits for turns. A link that is cut without a word is noticed a little later.
const READ_WAIT: Duration = Duration::from_secs(2);

/// How long it may take in all.
const READ_TIME_MAX: Duration = Duration::from_secs(4);

/// Turns in one read: at most 16 MiB of batches.
const TURNS_PER_READ: usize = 64;

/// Reads that wait to be applied.
const READS_AHEAD_MAX: usize = 4;

/// What reads the log, and gives out what it has read. Another one begins anew: what this one has not given out goes
/// with it.
#[derive(Debug)]
pub(super) struct Reading {
    turns: mpsc::Receiver<Vec<Logged>>,
    _reader: AbortOnDropHandle<()>,
}

impl Reading {
    /// Reads what stands behind turn `after`, which was read from generation `read_from`. What was put back since has a
    /// newer one, so nothing is passed over.
    pub(super) fn begin(place: Place, (after, read_from): (u64, u64)) -> Self {
        let (sender, turns) = mpsc::channel(READS_AHEAD_MAX);
        let reader =
            tasks::own(tracing::debug_span!("log"), read_all(place, (after, read_from), sender));
        Self { turns, _reader: reader }
    }

    /// What comes next. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Option<Vec<Logged>> {
        self.turns.recv().await
    }

    /// Everything that was read until now.
    pub(super) fn all(&mut self) -> Vec<Logged> {
        let mut turns = Vec::new();
        while let Ok(more) = self.turns.try_recv() {
            turns.extend(more);
        }
        turns
    }
}

/// Reads the log for ever, over as many connections as it takes.
async fn read_all(
    place: Place,
    (mut after, read_from): (u64, u64),
    turns: mpsc::Sender<Vec<Logged>>,
) {
    let mut last = format!("{read_from}-{after}");
    let mut pauses = Pauses::default();
    loop {
        if let Ok(mut connection) = place.connect(READ_TIME_MAX).await {
            while let Ok(entries) = read_some(&place, &mut connection, &last).await {
                pauses = Pauses::default();
                let Some(newest) = entries.last() else { continue };
                last.clone_from(&newest.id);
                let logged = entries.iter().filter_map(logged);
                let logged: Vec<Logged> = logged.filter(|logged| logged.turn > after).collect();
                let Some(newest) = logged.last().map(|logged| logged.turn) else { continue };
                if turns.send(logged).await.is_err() {
                    return;
                }
                after = newest;
            }
        }
        pauses.pause().await;
    }
}

/// The next entries of the stream; none when there were none for a while.
async fn read_some(
    place: &Place,
    connection: &mut MultiplexedConnection,
    last: &str,
) -> Result<Vec<StreamId>, RedisError> {
    let reply: Option<StreamReadReply> = redis::cmd("XREAD")
        .arg("COUNT")
        .arg(TURNS_PER_READ)
        .arg("BLOCK")
        .arg(READ_WAIT.as_millis())
        .arg("STREAMS")
        .arg(&place.log)
        .arg(last)
        .query_async(connection)
        .await
        .inspect_err(|error| tracing::warn!(%error, "Redis does not answer; reading again"))?;
    Ok(reply
        .map(|reply| reply.keys.into_iter().flat_map(|key| key.ids).collect())
        .unwrap_or_default())
}

/// What an entry holds. One of another form is none of ours; that a turn is missing is seen by who follows.
fn logged(entry: &StreamId) -> Option<Logged> {
    let (generation, turn) = entry.id.split_once('-')?;
    let batch: Vec<u8> = entry.get("b")?;
    Some(Logged {
        turn: turn.parse().ok()?,
        generation: generation.parse().ok()?,
        time_ms: entry.get("t")?,
        batch: Bytes::from(batch),
    })
}
