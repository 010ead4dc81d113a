//! The pair: one writes to the other fifty times a second, and each message is timed until it has come.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chat_protocol::header::MemberOperation;
use chat_protocol::hub::{ClientToHub, Head, HubToClient};
use chat_protocol::keys::Held;
use chat_protocol::tag::Tag;
use chat_testkit::client::Client;
use chat_testkit::device::Device;
use chat_testkit::wire::{Entry, Fresh};
use chat_testkit::{cid, new_id};

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(20);

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

pub(crate) async fn run(server: &str, end: Instant) -> anyhow::Result<String> {
    let (first, second) = (fresh_name("a"), fresh_name("b"));
    let mut from = register(server, &first, 0).await?;
    let mut to = register(server, &second, 1).await?;
    let place = cid(&format!("dm:{first}:{second}"));
    let (a, b) = (from.device.clone(), to.device.clone());
    let epoch = from.key(&place, None, &[&a, &b]).await;
    from.ack().await;
    let mut times = Vec::new();
    let mut n = 0;
    while Instant::now() < end {
        let start = Instant::now();
        from.say(Tag::Dm, &place, epoch.e, n).await;
        to.message().await;
        times.push(start.elapsed());
        from.ack().await;
        n += 1;
        tokio::time::sleep(PAUSE).await;
    }
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied();
    let (p50, p99) = (at(50).context("no time")?, at(99).context("no time")?);
    Ok(format!("{:.2} {:.2}", p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3))
}

/// Where the lobby stands, as this client was told.
pub(crate) async fn join_lobby(client: &mut Client) -> anyhow::Result<Head> {
    let lobby = cid("room:lobby");
    let heads = client.signed_in.heads.clone();
    let mut head = heads.into_iter().find(|head| head.cid == lobby).context("no lobby")?;
    loop {
        client.link(&lobby, MemberOperation::Join, (head.mg, head.pm)).await;
        match client.answer().await {
            HubToClient::Ack { .. } => return Ok(head),
            HubToClient::Noack { head: Some(newer), .. } => head = newer,
            other => anyhow::bail!("the lobby: {other:?}"),
        }
    }
}

/// Somebody new comes into the lobby, reads its chain and the keys in it, and writes to somebody.
pub(crate) async fn newcomer(server: &str) -> anyhow::Result<String> {
    let start = Instant::now();
    let user = fresh_name("n");
    let mut client = register(server, &user, 2).await?;
    join_lobby(&mut client).await?;
    let mut links = 0;
    loop {
        let from = u32::try_from(links)?;
        client
            .send_text(&ClientToHub::Members { id: new_id(), cid: cid("room:lobby"), from })
            .await;
        match client.answer().await {
            HubToClient::Members { links: page, more, .. } => {
                links += page.len();
                if !more {
                    break;
                }
            }
            HubToClient::Retry { after_ms, .. } => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            other => anyhow::bail!("the chain: {other:?}"),
        }
    }
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
    Ok(format!("{links} links, {:.0} ms", start.elapsed().as_secs_f64() * 1e3))
}
