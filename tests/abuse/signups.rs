//! Many people who make an account at once, each with a password.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chat_protocol::vault;
use chat_testkit::device::Device;
use chat_testkit::wire::{Entry, Fresh, WireError};

use crate::pair::fresh_name;

/// A school on its first day.
const PEOPLE: usize = 1_000;

/// Before another try where the connection did not come about, or broke.
const PAUSE: Duration = Duration::from_secs(1);

/// What it took one of them to come in.
#[derive(Debug, Default)]
struct Way {
    put_off: usize,
    broken: usize,
}

pub(crate) async fn run(server: &str, end: Instant) -> anyhow::Result<String> {
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
    Ok(line)
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
        match entered {
            Ok(_) => return Ok(Some(way)),
            Err(WireError::Later { after_ms, .. }) => {
                way.put_off += 1;
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            Err(WireError::Socket(_) | WireError::Unexpected { .. }) => {
                way.broken += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
