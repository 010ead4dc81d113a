//! The place of a server among several while it runs: its lease, and what it does about others that have lost theirs.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Cluster, ClusterError, key::ClusterKey, unjoined};
use crate::{
    clock::Clock,
    metrics::Metrics,
    order::{
        health::LogHealth,
        redis::{
            Place, RedisLog,
            lease::{Lease, Lost, Trimming},
            word::ReadWord,
        },
    },
    shared::Hub,
    store::Incarnation,
    tasks,
};

/// Servers that may be reported as lost at once.
const LOST_MAX: usize = 4;

/// How long an end in order waits for Redis: without it the lease ends by itself.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

impl Cluster {
    /// Takes the name, and joins the log as this hub, which has applied so many turns; `before` is the process that
    /// had its folder before. From then on the lease is kept.
    pub(crate) async fn join(
        self,
        hub: Incarnation,
        (before, applied, read_from): (Option<u64>, u64, u64),
        (clock, metrics): (Clock, Arc<Metrics>),
    ) -> Result<(RedisLog, Kept), ClusterError> {
        let Self { sharing, settling, place, key, log, .. } = self;
        let failed = |error| unjoined(&sharing, error);
        place.acquire((hub.node, hub.life), before).await.map_err(failed)?;
        if let Err(error) = settling.settle((&place, &sharing, hub.node)).await {
            // Nobody waits for a name that is not used.
            place.release(hub, hub.life).await.ok();
            return Err(error);
        }
        let read_word = read_word(key, log.log);
        let log = RedisLog::new(place.clone(), log.log, hub, (applied, read_from));
        let log = log.with_words(read_word);
        let health = log.health();
        let (process, watched) = ((hub.node, hub.life), (Arc::clone(&health), metrics));
        let trimming = Trimming { keep: sharing.log_keep, most: sharing.log_max };
        let told = (clock, sharing.ack, trimming);
        let lease = Lease::new(place.clone(), process, watched, told);
        let (lost, reports) = mpsc::channel(LOST_MAX);
        let keeping = async move { unjoined(&sharing, lease.keep(lost).await) };
        let keeping = tasks::own(tracing::debug_span!("lease"), keeping);
        Ok((log, Kept { place, hub, health, keeping, reports: Some(reports), reporting: None }))
    }
}

/// What a sealed word of a person is called: it counts for one Redis.
pub(super) fn word_for(run: &str) -> String {
    format!("open {run}")
}

/// Reads what a person has said who has the key: the numbers of servers.
fn read_word(key: ClusterKey, log: [u8; 16]) -> ReadWord {
    Arc::new(move |run, sealed| {
        let words = key.open_words((&log, &word_for(run)), sealed)?;
        serde_json::from_slice(&words).ok()
    })
}

async fn report(mut reports: mpsc::Receiver<Lost>, own: Hub) {
    while let Some(Lost { hub, reply }) = reports.recv().await {
        // Whoever has reported it may have ended meanwhile.
        reply.send(own.lost(hub).await).ok();
    }
}

/// A server whose lease is kept.
pub(crate) struct Kept {
    place: Place,
    hub: Incarnation,
    health: Arc<LogHealth>,
    keeping: AbortOnDropHandle<ClusterError>,
    /// Servers that have lost theirs, until somebody is told of them.
    reports: Option<mpsc::Receiver<Lost>>,
    reporting: Option<AbortOnDropHandle<()>>,
}

impl Kept {
    /// What is known of the log.
    pub(crate) fn health(&self) -> Arc<LogHealth> {
        Arc::clone(&self.health)
    }

    /// This hub has it written down from now on when another server is lost.
    pub(crate) fn report_to(&mut self, own: Hub) {
        let Some(reports) = self.reports.take() else { return };
        self.reporting = Some(tasks::own(tracing::debug_span!("lost"), report(reports, own)));
    }

    /// Why it cannot be one of several any more; waits while it can.
    pub(crate) async fn lost(&mut self) -> ClusterError {
        (&mut self.keeping).await.unwrap_or(ClusterError::Ending)
    }

    /// Gives the name back at an end in order, so that nobody waits for this server.
    pub(crate) async fn leave(self) {
        let Self { place, hub, health, keeping, reporting, .. } = self;
        drop((keeping, reporting));
        let now = Incarnation { life: health.life(), ..hub };
        let released = timeout(LEAVE_TIME_MAX, place.release(now, hub.life)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!("Redis does not answer; the others wait some seconds for this server");
        }
    }
}
