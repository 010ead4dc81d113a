//! One of several becomes a server that is alone: with everything that was acknowledged, or not at all.

use std::sync::Arc;

use super::{RunError, Way, open_shared};
use crate::{
    cluster::{self, ClusterError},
    config::{Config, Leaving, Sharing},
    http::Readiness,
    metrics::Metrics,
    order::{Turns as _, redis::Place},
    store::sqlite::{self, Owner},
};

/// Makes the folder that of a server which is alone. One that is so already stays as it is. One in which nothing is was none of
/// several: it is another one than was meant, and must not become a new server.
pub(super) async fn leave(
    config: &Config,
    leaving: &Leaving,
    (metrics, readiness): (&Arc<Metrics>, &Readiness),
) -> Result<(), RunError> {
    let data = || config.data.display().to_string();
    let was = match sqlite::owner(&config.data)? {
        Owner::Follows(was) => was,
        Owner::Nobody => return Err(ClusterError::LeavesNothing { data: data() }.into()),
        Owner::Alone => return Ok(()),
    };
    match leaving {
        Leaving::HasLeft => return Err(ClusterError::LeavesUnread { data: data() }.into()),
        Leaving::ReadingOn(sharing) => read_on(config, sharing, (metrics, readiness)).await?,
        Leaving::AtTurn(turn) => {
            let there = sqlite::last_turn(&config.data)?;
            if there != *turn {
                return Err(ClusterError::OtherTurn { data: data(), there, said: *turn }.into());
            }
        }
    }
    sqlite::leave(&config.data, cluster::number(&was.node))?;
    let logs = config.logs.display();
    tracing::info!(%logs, "this server is alone now, with everything the servers had");
    Ok(())
}

/// Takes over what is in the log, while no other server writes there.
async fn read_on(
    config: &Config,
    sharing: &Sharing,
    (metrics, readiness): (&Arc<Metrics>, &Readiness),
) -> Result<(), RunError> {
    // It is one of the servers until everything is here, with what they are all given.
    let config = &Config { sharing: Some(sharing.clone()), ..config.clone() };
    let cluster = cluster::find(config, sharing).await?;
    let (place, node) = (cluster.place.clone(), cluster.node);
    no_other_runs(&place, node, sharing).await?;
    let (way, reads, snapshot) = open_shared(config, cluster, metrics).await?;
    drop((reads, snapshot));
    let Way::Shared(mut turns, member, _) = way else { return Err(RunError::Ending) };
    // What it waits for is told as long as it is one of them.
    let health = Arc::downgrade(&member.health());
    readiness.watch_shared(move || health.upgrade()?.obstacle());
    let read = turns.catch_up().await;
    // One that was started meanwhile may have said something since.
    let alone = no_other_runs(&place, node, sharing).await;
    let turn = turns.applied();
    // The file is closed before its tables go.
    drop(turns);
    (*member).leave().await;
    read?;
    alone?;
    tracing::info!(turn, "everything that is in the log is here");
    Ok(())
}

async fn no_other_runs(place: &Place, node: u32, sharing: &Sharing) -> Result<(), ClusterError> {
    let url = || sharing.redis.to_string();
    let others = place.others(node).await;
    let others = others.map_err(|source| ClusterError::Redis { url: url(), source })?;
    if others > 0 {
        return Err(ClusterError::OthersGoOn { cluster: sharing.cluster.to_string() });
    }
    Ok(())
}
