//! Opening the log for a Redis that was started anew, or for another one that has taken its place: only when it lacks
//! nothing that a hub has read.
//!
//! Each hub says how far it has read, and waits for those that may have read further. Where Redis has lost something,
//! nobody opens: that is for a person to decide, who still has the hubs' own copies.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{Script, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep};

use super::{Place, PlaceError, SCRIPT_TIME_MAX};

/// How long the others are waited for. Who is alive has seen by then that its connection is cut.
const OTHERS_TIME_MAX: Duration = Duration::from_secs(10);

/// How often it is looked who has come.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What hubs have said is kept for so long, in seconds: longer than an opening takes.
const SAID_SECONDS: u64 = 60;

/// Which Redis a log is open for, and which one this is.
#[derive(Debug)]
struct Standing {
    open_for: Option<String>,
    this: String,
}

async fn standing(
    place: &Place,
    connection: &mut MultiplexedConnection,
) -> Result<Standing, PlaceError> {
    let script = Script::new(include_str!("standing.lua"));
    let (this, open_for): (String, Option<String>) =
        script.key(&place.meta).invoke_async(connection).await?;
    Ok(Standing { open_for, this })
}

/// Opens the log if it is not open for this Redis. `read` is the last turn that was read here.
pub(super) async fn if_closed(
    place: &Place,
    hub: &str,
    read: &AtomicU64,
) -> Result<(), PlaceError> {
    let mut connection = place.connect(SCRIPT_TIME_MAX).await?;
    let standing = standing(place, &mut connection).await?;
    let Some(before) = standing.open_for else { return Err(PlaceError::None) };
    if before == standing.this {
        return Ok(());
    }
    let said = format!("{}:open:{}", place.meta, standing.this);
    let deadline = Instant::now() + OTHERS_TIME_MAX;
    let needed = loop {
        let () = redis::pipe()
            .hset(&said, hub, read.load(Ordering::Relaxed))
            .expire(&said, i64::try_from(SAID_SECONDS).unwrap_or(i64::MAX))
            .ignore()
            .query_async(&mut connection)
            .await?;
        let have: HashMap<String, u64> =
            redis::cmd("HGETALL").arg(&said).query_async(&mut connection).await?;
        let fields: Vec<String> =
            redis::cmd("HKEYS").arg(&place.meta).query_async(&mut connection).await?;
        let mut hubs = fields.iter().filter_map(|field| field.strip_prefix("s:"));
        let are_here = hubs.all(|hub| have.contains_key(hub));
        if are_here || Instant::now() >= deadline {
            break have.values().copied().max().unwrap_or(0);
        }
        sleep(LOOK_PAUSE).await;
    };
    let script = Script::new(include_str!("open.lua"));
    let mut call = script.key(&place.log);
    call.key(&place.meta).arg(before).arg(needed);
    let (word, number): (String, u64) = call.invoke_async(&mut connection).await?;
    match word.as_str() {
        "OK" => Ok(()),
        "NONE" => Err(PlaceError::None),
        "BACK" => Err(PlaceError::Lost { has: number, needed }),
        // Another hub is at it.
        "OTHER" => Err(PlaceError::Closed),
        _ => Err(PlaceError::Strange(word)),
    }
}
