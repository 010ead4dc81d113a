//! Epochs of the lobby in which no wrap opens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chat_protocol::hub::{ClientToHub, HubToClient};
use chat_protocol::keys::{Bundle, Held};
use chat_protocol::members::{MemberLine, MemberList, Place};
use chat_testkit::client::Client;
use chat_testkit::{cid, name, new_id};

use crate::attack::Done;
use crate::pair::{fresh_name, join_lobby, register};

/// Who else is in the lobby: `scripts/abuse.sh` reads the screen of the one, and what it says to the other.
const OTHERS: [&str; 2] = ["watcher", "hearer"];

/// Between two tries that the hub refuses, because somebody else's epoch came first.
const PAUSE: Duration = Duration::from_millis(20);

/// As many of them as the hub takes.
pub(crate) async fn rubbish(server: &str, end: Instant) -> anyhow::Result<Done> {
    let mut client = register(server, &fresh_name("m"), 4).await?;
    let mut head = join_lobby(&mut client).await?.context("the lobby is full")?;
    let lobby = cid("room:lobby");
    let own = client.device.bundle.member_line();
    let lines: Vec<MemberLine> = own.into_iter().chain(lines_of(&mut client).await?).collect();
    let (mut taken, mut late) = (0, 0);
    while Instant::now() < end {
        let place = Place { mg: head.mg, pm: head.pm };
        let list = MemberList::new(lines.iter().cloned());
        let epoch = client.device.epoch_at(&lobby, place, head.epoch, &list);
        for message in epoch.messages {
            client.send_frame(message).await;
        }
        match client.answer().await {
            HubToClient::Ack { .. } => {
                head.epoch = Some(epoch.head);
                taken += 1;
            }
            HubToClient::Noack { head: Some(newer), .. } => {
                head = newer;
                late += 1;
                tokio::time::sleep(PAUSE).await;
            }
            HubToClient::Retry { after_ms, .. } => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            other => bail!("the key: {other:?}"),
        }
    }
    Ok((taken, format!("{taken} keys of rubbish taken, {late} came too late")))
}

/// The lines of those who are there.
async fn lines_of(client: &mut Client) -> anyhow::Result<Vec<MemberLine>> {
    let known = BTreeMap::from(OTHERS.map(|other| (name(other), Held::default())));
    let question = ClientToHub::Bundles { id: new_id(), known, kids: BTreeMap::new() };
    client.send_text(&question).await;
    let HubToClient::Bundles { people, .. } = client.answer().await else { bail!("keys") };
    let bundles = people.into_values().flat_map(|person| person.bundles);
    let bundles = bundles.map(|bundle| Bundle::verify(bundle.0.into()));
    let bundles = bundles.collect::<Result<Vec<_>, _>>()?;
    Ok(bundles.iter().filter_map(Bundle::member_line).collect())
}
