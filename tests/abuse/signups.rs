//! Many people who make an account at once, each with a password.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chat_protocol::code;
use chat_protocol::crypto::random;
use chat_protocol::vault;
use chat_testkit::device::Device;
use chat_testkit::wire::{Entry, Fresh, WireError};

use crate::attack::Done;
use crate::pair::fresh_name;

/// A school on its first day.
const PEOPLE: usize = 1_000;

/// Whoever is put off comes back at any moment of this time after the one that was named, twice as long
/// with each try, as `chat-client` does.
const SPREAD_FIRST: Duration = Duration::from_millis(100);

/// At most.
const SPREAD_MAX: Duration = Duration::from_secs(10);

/// What it took one of them to come in.
#[derive(Debug, Default)]
struct Way {
    put_off: usize,
    broken: usize,
}

pub(crate) async fn run(server: &str, end: Instant) -> anyhow::Result<Done> {
    let start = Instant::now();
    let tasks = (0..PEOPLE).map(|_| tokio::spawn(sign_up(server.to_owned(), end)));
    let tasks: Vec<_> = tasks.collect();
    let (mut came, mut put_off, mut broken) = (0, 0, 0);
    for task in tasks {
        if let Some(way) = task.await?? {
            came += 1;
            put_off += way.put_off;
            broken += way.broken;
        }
    }
    let took = start.elapsed().as_secs_f64();
    let line = format!(
        "{came} of {PEOPLE} came in within {took:.0} s, put off {put_off} times, {broken} broken \
         connections"
    );
    ensure!(came == PEOPLE, "{line}");
    Ok((came, line))
}

/// Somebody who comes again when told to. Nothing when the time was over first.
async fn sign_up(server: String, end: Instant) -> anyhow::Result<Option<Way>> {
    let device = Device::new(&fresh_name("s"), 4);
    let mut entry = Entry::reg(&device);
    entry.body.pw = Some(vec![7; 32]);
    entry.body.vault = Some(vault::keep(1, &[9; 100]));
    let mut way = Way::default();
    while Instant::now() < end {
        let entered = match Fresh::connect(&server).await {
            Ok(fresh) => fresh.enter(&device, &entry).await,
            Err(error) => Err(error),
        };
        let named = match entered {
            Ok(_) => return Ok(Some(way)),
            Err(WireError::Later { after_ms, .. }) => {
                way.put_off += 1;
                Duration::from_millis(after_ms)
            }
            Err(WireError::Socket(_) | WireError::Unexpected { .. }) => {
                way.broken += 1;
                Duration::ZERO
            }
            // The hub had made the account when the connection broke: as `chat-client` does, who has its keys
            // signs in with them.
            Err(WireError::Refused { code, .. }) if code == code::NAME_TAKEN && way.broken > 0 => {
                entry = Entry::sig();
                Duration::ZERO
            }
            Err(error) => return Err(error.into()),
        };
        tokio::time::sleep(named + spread(way.put_off + way.broken)).await;
    }
    Ok(None)
}

fn spread(tries: usize) -> Duration {
    let doublings = u32::try_from(tries.min(8)).unwrap_or_default();
    let longest = SPREAD_FIRST.saturating_mul(1 << doublings).min(SPREAD_MAX);
    longest.mul_f64(f64::from(u16::from_be_bytes(random())) / f64::from(u16::MAX))
}
