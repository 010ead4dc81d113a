//! The pair: one writes to the other fifty times a second, and each message is timed until it has come.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chat_protocol::code;
use chat_protocol::header::MemberOperation;
use chat_protocol::hub::{ClientToHub, Head, HubToClient};
use chat_protocol::keys::Held;
use chat_protocol::tag::Tag;
use chat_testkit::client::Client;
use chat_testkit::device::Device;
use chat_testkit::wire::{Entry, Fresh};
use chat_testkit::{cid, new_id};
use tokio::signal::unix::{SignalKind, signal};

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(20);

/// Letters of one pair: nothing confirms them, and one sender's part of a mailbox is 12,500.
const LETTERS_MAX: u32 = 10_000;

/// Makes an account.
pub(crate) async fn register(server: &str, user: &str, keys: usize) -> anyhow::Result<Client> {
    let device = Device::new(user, keys);
    Ok(Fresh::connect(server).await?.enter(&device, &Entry::reg(&device)).await?)
}

/// A name that nobody had.
pub(crate) fn fresh_name(prefix: &str) -> String {
    let random = chat_protocol::crypto::random::<5>();
    random.iter().fold(prefix.to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// What the letters took.
#[derive(Debug, Default)]
struct Times {
    done: Vec<Duration>,
    /// When the first one was begun.
    began: Option<Instant>,
    /// The one that has not come yet.
    under_way: Option<Instant>,
}

/// Writes until `end`, or until this process is told to end. Gives milliseconds, and letters a second: a pair that
/// stands still has few times and good ones. A letter that has not come by then counts with what it took so far.
pub(crate) async fn run(server: &str, end: Instant) -> anyhow::Result<String> {
    let mut told = signal(SignalKind::terminate())?;
    let mut times = Times::default();
    let writing = async {
        while Instant::now() < end {
            letters(server, end, &mut times).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        written = writing => written?,
        _ = told.recv() => {}
    }
    let rate = times.began.map_or(0.0, |began| {
        f64::from(u32::try_from(times.done.len()).unwrap_or(u32::MAX))
            / began.elapsed().as_secs_f64()
    });
    let late = times.under_way.map(|began| began.elapsed());
    let mut times: Vec<Duration> = times.done.into_iter().chain(late).collect();
    times.sort_unstable();
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let (p50, p99) = (at(50).context("no time")?, at(99).context("no time")?);
    Ok(format!("{:.2} {:.2} {rate:.1}", p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3))
}

/// As many as a mailbox takes between two new people.
async fn letters(server: &str, end: Instant, times: &mut Times) -> anyhow::Result<()> {
    let (first, second) = (fresh_name("a"), fresh_name("b"));
    let mut from = register(server, &first, 0).await?;
    let mut to = register(server, &second, 1).await?;
    let place = cid(&format!("dm:{first}:{second}"));
    let (a, b) = (from.device.clone(), to.device.clone());
    let epoch = from.key(&place, None, &[&a, &b]).await;
    from.ack().await;
    for n in 0..LETTERS_MAX {
        if Instant::now() >= end {
            break;
        }
        let start = Instant::now();
        times.began.get_or_insert(start);
        times.under_way = Some(start);
        from.say(Tag::Dm, &place, epoch.e, n).await;
        to.message().await;
        times.done.push(start.elapsed());
        times.under_way = None;
        from.ack().await;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Where the lobby stands now that this client is in it; nothing when it is full.
pub(crate) async fn join_lobby(client: &mut Client) -> anyhow::Result<Option<Head>> {
    let lobby = cid("room:lobby");
    let heads = client.signed_in.heads.clone();
    let mut head = heads.into_iter().find(|head| head.cid == lobby).context("no lobby")?;
    loop {
        let link = client.link(&lobby, MemberOperation::Join, (head.mg, head.pm)).await;
        match client.answer().await {
            HubToClient::Ack { .. } => return Ok(Some(Head { mg: head.mg + 1, pm: link, ..head })),
            HubToClient::Noack { head: Some(newer), .. } => head = newer,
            HubToClient::Noack { code, .. } if code == code::TOO_MANY => return Ok(None),
            other => anyhow::bail!("the lobby: {other:?}"),
        }
    }
}

/// Somebody new comes into the lobby or is told that it is full, reads its chain and the keys in it, and
/// writes to somebody.
pub(crate) async fn newcomer(server: &str) -> anyhow::Result<String> {
    let start = Instant::now();
    let user = fresh_name("n");
    let mut client = register(server, &user, 2).await?;
    let lobby = match join_lobby(&mut client).await? {
        Some(_) => format!("{} links", lobby_links(&mut client).await?),
        None => "told that the lobby is full".to_owned(),
    };
    client.send_text(&ClientToHub::Who { id: new_id(), after: None }).await;
    let HubToClient::Who { people, .. } = client.answer().await else { anyhow::bail!("who") };
    let known = people.iter().take(48).map(|person| (person.name.clone(), Held::default()));
    let question = ClientToHub::Bundles { id: new_id(), known: known.collect(), kids: [].into() };
    client.send_text(&question).await;
    let HubToClient::Bundles { people, .. } = client.answer().await else { anyhow::bail!("keys") };
    ensure!(!people.is_empty(), "no keys of anybody");
    // And is heard.
    let other = register(server, &fresh_name("o"), 3).await?;
    let (a, b) = (client.device.clone(), other.device.clone());
    let mut both = [a.user.to_string(), b.user.to_string()];
    both.sort();
    let place = cid(&format!("dm:{}:{}", both[0], both[1]));
    let epoch = client.key(&place, None, &[&a, &b]).await;
    client.ack().await;
    client.say(Tag::Dm, &place, epoch.e, 0).await;
    client.ack().await;
    Ok(format!("{lobby}, {:.0} ms", start.elapsed().as_secs_f64() * 1e3))
}

/// Reads the chain of the lobby; how long it is.
async fn lobby_links(client: &mut Client) -> anyhow::Result<usize> {
    let mut links = 0;
    loop {
        let from = u32::try_from(links)?;
        let question = ClientToHub::Members { id: new_id(), cid: cid("room:lobby"), from };
        client.send_text(&question).await;
        match client.answer().await {
            HubToClient::Members { links: page, more, .. } => {
                links += page.len();
                if !more {
                    return Ok(links);
                }
            }
            HubToClient::Retry { after_ms, .. } => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            other => anyhow::bail!("the chain: {other:?}"),
        }
    }
}
