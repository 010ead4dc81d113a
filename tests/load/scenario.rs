//! The loads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use chat_protocol::frame::{Binary, Delivery};
use chat_protocol::id::MessageId;
use chat_protocol::keys::{DeviceKeys, KeySizes};
use chat_protocol::limits::RECEIPTS_PER_FRAME_MAX;
use chat_protocol::members::{MemberLine, MemberList};
use chat_protocol::name::{ConversationId, RoomName};
use chat_protocol::tag::Tag;
use chat_testkit::now_ms;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use crate::Arguments;
use crate::client::LoadClient;
use crate::frames::{self, Target};

/// Sign-ups under way at once.
const SIGN_UPS: usize = 16;
/// A receiver that hears nothing for this long has lost something.
const PATIENCE: Duration = Duration::from_secs(30);
/// Frames begin with a position and a time that differ; bodies end in random bytes.
const MARK_BYTES: usize = 16;

/// Receipts of all members under way at once.
static RECEIPTS_FLYING: Semaphore = Semaphore::const_new(64);

/// What was done and what it cost.
pub(crate) struct Outcome {
    pub(crate) sent: usize,
    pub(crate) delivered: usize,
    pub(crate) elapsed: Duration,
    pub(crate) cpu_seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// The end of a frame's body, by which a sampled receiver knows it again.
type Mark = [u8; MARK_BYTES];

/// When frames left, by the end of their bodies.
type Departures = Arc<Mutex<HashMap<Mark, Instant>>>;

/// Signs all clients up; `turn` says at which of the servers, in turn, one is.
async fn sign_up(
    arguments: &Arguments,
    keys: &Arc<DeviceKeys>,
    turn: impl Fn(usize) -> usize,
) -> anyhow::Result<Vec<LoadClient>> {
    let mut clients = Vec::with_capacity(arguments.clients);
    let people: Vec<(String, &str)> = (0..arguments.clients)
        .map(|index| (format!("{}-{index:04}", arguments.prefix), arguments.server(turn(index))))
        .collect();
    for people in people.chunks(SIGN_UPS) {
        let signing = people
            .iter()
            .map(|(name, server)| LoadClient::register(server, name, Arc::clone(keys)));
        clients.extend(futures_util::future::try_join_all(signing).await?);
    }
    Ok(clients)
}

fn line(client: &LoadClient) -> Option<MemberLine> {
    client.device.bundle.member_line()
}

/// The mark of a frame.
fn mark(frame: &[u8], body_end: usize) -> Option<Mark> {
    frame.get(..body_end)?.last_chunk::<MARK_BYTES>().copied()
}

fn mark_of(frame: &Bytes) -> Option<Mark> {
    let Ok(Binary::Frame(raw)) = Binary::decode(frame.clone()) else { return None };
    raw.body().last_chunk::<MARK_BYTES>().copied()
}

fn mark_of_delivery(bytes: Bytes) -> Option<Mark> {
    match Binary::decode(bytes) {
        Ok(Binary::Delivery(Delivery { frame, .. })) => mark(frame.body(), frame.body().len()),
        _ => None,
    }
}

/// Counts deliveries of one client until it has had its share, then sends its receipts; `None`
/// samples no latency.
async fn receive(
    mut client: LoadClient,
    share: usize,
    departures: Option<Departures>,
    receipts: Vec<Bytes>,
) -> anyhow::Result<(usize, Vec<Duration>)> {
    let (mut count, mut latencies) = (0, Vec::new());
    while count < share {
        let next = tokio::time::timeout(PATIENCE, client.socket.next()).await;
        let Ok(Some(Ok(message))) = next else { break };
        let Message::Binary(bytes) = message else { continue };
        // 0x20: a delivery; the parts of an epoch are not counted.
        if bytes.get(1) != Some(&0x20) {
            continue;
        }
        if let Some(departures) = &departures
            && let Some(mark) = mark_of_delivery(bytes.clone())
        {
            let left = departures.lock().ok().and_then(|left| left.get(&mark).copied());
            latencies.extend(left.map(|left| left.elapsed()));
        }
        count += 1;
    }
    for receipt in receipts {
        // Live members spread their receipts over seconds; all at once they would overflow the
        // outboxes of the publishers.
        let _turn = RECEIPTS_FLYING.acquire().await?;
        client.send_all(vec![(MessageId([0; 16]), receipt)], 1, |_| {}, |_| {}).await?;
    }
    Ok((count, latencies))
}

/// Waits for all receivers and adds up what they counted, without the KEY that each got first.
async fn gather(
    mut counting: JoinSet<anyhow::Result<(usize, Vec<Duration>)>>,
) -> anyhow::Result<(usize, Vec<Duration>)> {
    let (mut delivered, mut latencies) = (0, Vec::new());
    while let Some(counted) = counting.join_next().await {
        let (count, sample) = counted??;
        delivered += count.saturating_sub(1);
        latencies.extend(sample);
    }
    Ok((delivered, latencies))
}

fn outcome(
    sent: usize,
    delivered: usize,
    elapsed: Duration,
    cpu_seconds: f64,
    mut latencies: Vec<Duration>,
) -> Outcome {
    latencies.sort_unstable();
    let at = |percent: usize| {
        let index = latencies.len().saturating_sub(1) * percent / 100;
        latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    };
    Outcome { sent, delivered, elapsed, cpu_seconds, p50_ms: at(50), p99_ms: at(99) }
}

fn depart(departures: &Departures, mark: Option<Mark>) {
    if let (Ok(mut left), Some(mark)) = (departures.lock(), mark) {
        left.insert(mark, Instant::now());
    }
}

/// One room: the publishers send, everybody else counts.
pub(crate) async fn room(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let keys = Arc::new(DeviceKeys::generate(KeySizes::EMULATED)?);
    let mut clients = sign_up(arguments, &keys, |index| index).await?;
    let cid = ConversationId::room(&RoomName::lobby());
    for client in &mut clients {
        client.join(&cid).await?;
    }
    let mut sleepers = Vec::new();
    for index in 0..arguments.sleepers {
        let name = format!("{}-asleep-{index:04}", arguments.prefix);
        let keys = Arc::clone(&keys);
        let server = arguments.server(index);
        let mut sleeper = LoadClient::register_sleeper(server, &name, keys).await?;
        sleeper.join(&cid).await?;
        sleepers.push(sleeper);
    }
    let list = MemberList::new(clients.iter().chain(&sleepers).filter_map(line));
    let head = clients.first_mut().context("no clients")?.make_epoch(&cid, &list).await?;
    let receivers = clients.split_off(arguments.publishers);
    let target = Target { cid: &cid, tag: Tag::Text, head };
    let (mut sealed, start_ms) = (Vec::new(), now_ms());
    for client in &clients {
        let (count, batch) = (arguments.messages, arguments.batch);
        sealed.push(frames::messages(&client.device, &target, count, batch, start_ms));
    }
    let published: Vec<_> =
        clients.iter().map(|client| client.device.user.clone()).zip(&sealed).collect();
    let published: Vec<_> = published
        .into_iter()
        .map(|(user, frames)| {
            (user, frames.iter().filter_map(|(id, frame)| frames::named(*id, frame)).collect())
        })
        .collect();
    let receipts = if arguments.receipts {
        receivers.len() * arguments.messages.div_ceil(RECEIPTS_PER_FRAME_MAX)
    } else {
        0
    };
    let departures = Departures::default();
    let sent = arguments.messages * clients.len();
    let mut counting = JoinSet::new();
    for (index, client) in receivers.into_iter().enumerate() {
        // The KEY is a delivery too.
        let sample = (index == 0).then(|| Arc::clone(&departures));
        let owed = if arguments.receipts {
            frames::receipts(&client.device, &cid, &published, start_ms)
        } else {
            Vec::new()
        };
        counting.spawn(receive(client, sent + 1, sample, owed));
    }
    let (cpu, began) = (arguments.cpu_seconds()?, Instant::now());
    let publishing = clients.into_iter().zip(sealed).map(|(mut client, frames)| {
        let departures = Arc::clone(&departures);
        async move {
            let marks: Vec<_> = frames.iter().map(|(_, frame)| mark_of(frame)).collect();
            let on_send = |index: usize| depart(&departures, marks.get(index).copied().flatten());
            client.send_all(frames, arguments.window, on_send, |_| {}).await?;
            client.await_receipts(receipts).await
        }
    });
    futures_util::future::try_join_all(publishing).await?;
    let (delivered, latencies) = gather(counting).await?;
    let elapsed = began.elapsed();
    Ok(outcome(sent, delivered, elapsed, arguments.cpu_seconds()? - cpu, latencies))
}

/// Pairs: the first of each writes to the second.
pub(crate) async fn direct(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let keys = Arc::new(DeviceKeys::generate(KeySizes::EMULATED)?);
    let pairs = arguments.clients / 2;
    // Each receiver is one server further than its sender.
    let turn = |index: usize| if index < pairs { index } else { index - pairs + 1 };
    let mut senders = sign_up(arguments, &keys, turn).await?;
    let receivers = senders.split_off(pairs);
    let (mut sealed, start_ms) = (Vec::new(), now_ms());
    for (sender, receiver) in senders.iter_mut().zip(&receivers) {
        let cid = ConversationId::direct(&sender.device.user, &receiver.device.user)?;
        let list = MemberList::new([line(sender), line(receiver)].into_iter().flatten());
        let head = sender.make_epoch(&cid, &list).await?;
        let target = Target { cid: &cid, tag: Tag::Dm, head };
        let (count, batch) = (arguments.messages, arguments.batch);
        sealed.push(frames::messages(&sender.device, &target, count, batch, start_ms));
    }
    let departures = Departures::default();
    let sent = arguments.messages * senders.len();
    let mut counting = JoinSet::new();
    for (index, receiver) in receivers.into_iter().enumerate() {
        let sample = (index % 50 == 0).then(|| Arc::clone(&departures));
        counting.spawn(receive(receiver, arguments.messages + 1, sample, Vec::new()));
    }
    let (cpu, began) = (arguments.cpu_seconds()?, Instant::now());
    let sending =
        senders.into_iter().zip(sealed).enumerate().map(|(index, (mut sender, frames))| {
            let departures = Arc::clone(&departures);
            async move {
                let sampled = index % 50 == 0;
                let marks: Vec<_> =
                    frames.iter().map(|(_, frame)| mark_of(frame).filter(|_| sampled)).collect();
                let on_send =
                    |index: usize| depart(&departures, marks.get(index).copied().flatten());
                sender.send_all(frames, arguments.window, on_send, |_| {}).await
            }
        });
    futures_util::future::try_join_all(sending).await?;
    let (delivered, latencies) = gather(counting).await?;
    let elapsed = began.elapsed();
    Ok(outcome(sent, delivered, elapsed, arguments.cpu_seconds()? - cpu, latencies))
}

/// Producers that write to somebody who is away: only the hub's answers count.
pub(crate) async fn acknowledged(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let keys = Arc::new(DeviceKeys::generate(KeySizes::EMULATED)?);
    let mut producers = sign_up(arguments, &keys, |index| index).await?;
    let sink_name = format!("{}-sink", arguments.prefix);
    let sink = LoadClient::register(arguments.server(0), &sink_name, Arc::clone(&keys)).await?;
    let (sink_user, sink_line) = (sink.device.user.clone(), line(&sink));
    drop(sink);
    let mut sealed: Vec<Vec<(MessageId, Bytes)>> = Vec::new();
    let start_ms = now_ms();
    for producer in &mut producers {
        let cid = ConversationId::direct(&producer.device.user, &sink_user)?;
        let list = MemberList::new([line(producer), sink_line.clone()].into_iter().flatten());
        let head = producer.make_epoch(&cid, &list).await?;
        let target = Target { cid: &cid, tag: Tag::Dm, head };
        let (count, batch) = (arguments.messages, arguments.batch);
        sealed.push(frames::messages(&producer.device, &target, count, batch, start_ms));
    }
    let sent = arguments.messages * producers.len();
    let (cpu, began) = (arguments.cpu_seconds()?, Instant::now());
    let producing = producers.into_iter().zip(sealed).map(|(mut producer, frames)| async move {
        let times = Mutex::new((vec![None; frames.len()], Vec::with_capacity(frames.len())));
        let on_send = |index: usize| {
            if let Ok(mut times) = times.lock()
                && let Some(left) = times.0.get_mut(index)
            {
                *left = Some(Instant::now());
            }
        };
        let on_answer = |index: usize| {
            if let Ok(mut times) = times.lock() {
                let left = times.0.get(index).copied().flatten();
                times.1.extend(left.map(|left: Instant| left.elapsed()));
            }
        };
        producer.send_all(frames, arguments.window, on_send, on_answer).await?;
        anyhow::Ok(times.into_inner().map(|times| times.1).unwrap_or_default())
    });
    let latencies: Vec<Vec<Duration>> = futures_util::future::try_join_all(producing).await?;
    let elapsed = began.elapsed();
    let cpu = arguments.cpu_seconds()? - cpu;
    Ok(outcome(sent, sent, elapsed, cpu, latencies.into_iter().flatten().collect()))
}

/// Resident bytes of these processes together.
fn resident_bytes(pids: &[u32]) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
        bytes += kib * 1024;
    }
    Ok(bytes)
}

/// Signs a few clients in first, so that what is allocated once does not count, and says how much
/// each of the others has cost the server.
pub(crate) async fn idle(arguments: &Arguments) -> anyhow::Result<u64> {
    /// Enough to warm up threads, caches and the database.
    const WARM_UP: usize = 100;
    let keys = Arc::new(DeviceKeys::generate(KeySizes::EMULATED)?);
    let mut held = Vec::with_capacity(arguments.clients + WARM_UP);
    for index in 0..WARM_UP {
        let name = format!("{}-warm-{index:04}", arguments.prefix);
        let server = arguments.server(index);
        held.push(LoadClient::register(server, &name, Arc::clone(&keys)).await?);
    }
    let before = resident_bytes(&arguments.pids)?;
    held.extend(sign_up(arguments, &keys, |index| index).await?);
    let after = resident_bytes(&arguments.pids)?;
    let clients = u64::try_from(arguments.clients)?.max(1);
    Ok(after.saturating_sub(before) / clients)
}
