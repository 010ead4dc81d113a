//! The place of a server among several while it runs: its lease, and what it does about others that have lost theirs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Cluster, ClusterError, unjoined};
use crate::{
    clock::Clock,
    metrics::Metrics,
    order::{
        health::LogHealth,
        redis::{
            Place, RedisLog,
            lease::{Lease, Lost, Trimming},
        },
    },
    shared::Hub,
    store::{Incarnation, sqlite},
    tasks,
};

/// Servers that may be reported as lost at once.
const LOST_MAX: usize = 4;

/// How long an end in order waits for Redis: without it the lease ends by itself.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);

/// How often the file is synced: what others remove from the log is what is on the disk of this server, too.
const SYNC_PERIOD: Duration = Duration::from_secs(1);

/// Syncs the database in `data` again and again, beside what writes to it.
async fn sync_each_second(health: Arc<LogHealth>, data: PathBuf) {
    loop {
        sleep(SYNC_PERIOD).await;
        let applied = health.applied();
        if applied == health.synced() {
            continue;
        }
        let folder = data.clone();
        match spawn_blocking(move || sqlite::sync(&folder)).await {
            Ok(Ok(())) => health.set_synced(applied),
            // What the disk has after that is unknown: the others keep what was written since.
            Ok(Err(error)) => {
                tracing::error!(%error, "the database cannot be synced; start this server again");
                return;
            }
            Err(_cut) => return,
        }
    }
}

impl Cluster {
    /// Takes the name, and joins the log as this hub, which has applied so many turns; `before` is the process that
    /// had its folder before. From then on the lease is kept.
    pub(crate) async fn join(
        self,
        hub: Incarnation,
        (before, applied, read_from): (Option<u64>, u64, u64),
        (clock, metrics, data): (Clock, Arc<Metrics>, &Path),
    ) -> Result<(RedisLog, Kept), ClusterError> {
        let Self { sharing, settling, place, words, log, .. } = self;
        let failed = |error| unjoined(&sharing, error);
        place.acquire((hub.node, hub.life), before).await.map_err(failed)?;
        if let Err(error) = settling.settle((&place, &sharing, hub.node)).await {
            // Nobody waits for a name that is not used.
            place.release(hub, hub.life).await.ok();
            return Err(error);
        }
        let log = RedisLog::new(place.clone(), (log.log, words), hub, (applied, read_from));
        let health = log.health();
        let (process, watched) = ((hub.node, hub.life), (Arc::clone(&health), metrics));
        let trimming = Trimming { keep: sharing.log_keep, most: sharing.log_max };
        let told = (clock, sharing.ack, trimming);
        let lease = Lease::new(place.clone(), process, watched, told);
        let (lost, reports) = mpsc::channel(LOST_MAX);
        let keeping = async move { unjoined(&sharing, lease.keep(lost).await) };
        let keeping = tasks::own(tracing::debug_span!("lease"), keeping);
        let syncing = sync_each_second(Arc::clone(&health), data.to_owned());
        let syncing = tasks::own(tracing::debug_span!("sync"), syncing);
        let (reports, reporting) = (Some(reports), None);
        Ok((log, Kept { place, hub, health, keeping, syncing, reports, reporting }))
    }
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
    syncing: AbortOnDropHandle<()>,
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
        let Self { place, hub, health, keeping, syncing, reporting, .. } = self;
        drop((keeping, syncing, reporting));
        let now = Incarnation { life: health.life(), ..hub };
        let released = timeout(LEAVE_TIME_MAX, place.release(now, hub.life)).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::warn!("Redis does not answer; the others wait some seconds for this server");
        }
    }
}
