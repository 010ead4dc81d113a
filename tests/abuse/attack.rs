//! The attacks, one a row. Each does what one account, or a crowd, did to the first build until the hub or
//! its other clients could not go on. None of them waits for more than the hub makes it wait.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use bytes::Bytes;
use chat_protocol::crypto::{KeyBits, SigningKey, random};
use chat_protocol::handshake::Mode;
use chat_protocol::header::{Canonical as _, MemberOperation};
use chat_protocol::hub::{self, ClientToHub, HubToClient};
use chat_protocol::id::{Digest, KeyId, Nonce16};
use chat_protocol::keys::{BundleOptions, Held};
use chat_protocol::limits::EPOCH_DEVICES_MAX;
use chat_protocol::members::{MemberLine, MemberList};
use chat_protocol::tag::{Tag, label};
use chat_testkit::client::Client;
use chat_testkit::device::Device;
use chat_testkit::keys::second_device;
use chat_testkit::wire::{Entry, Fresh, Socket};
use chat_testkit::{cid, name, new_id, now_ms};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::pair::{fresh_name, join_lobby, register};
use crate::{signups, wraps};

/// Nobody is connected so often from one account.
const CONNECTIONS: usize = 20;

/// A hundred more than the lobby is for.
const PEOPLE: usize = EPOCH_DEVICES_MAX + 100;

/// How much of an attack the hub has taken, and the line that says so.
pub(crate) type Done = (usize, String);

/// Runs an attack. One of which the hub takes nothing at all has not been tried: it is broken.
pub(crate) async fn run(server: &str, row: &str, end: Instant) -> anyhow::Result<String> {
    let (taken, line) = match row {
        "1" | "8" => new_keys(server, end).await?,
        "2" => devices(server, end).await?,
        "3" => conversations(server, end).await?,
        "4" => uploads(server, end).await?,
        "5" => passwords(server, end).await?,
        "6" => connections(server, end).await?,
        "7" => agent_epochs(server, end).await?,
        "9" => mailbox(server, end).await?,
        "10" => receipts(server, end).await?,
        "11" => questions(server, end).await?,
        "12" => rooms(server, end).await?,
        "13" => wraps::rubbish(server, end).await?,
        "14" => crowd(server, end).await?,
        "signups" => signups::run(server, end).await?,
        other => bail!("there is no row {other} that a server is attacked with"),
    };
    ensure!(taken > 0, "nothing of the attack came through: {line}");
    Ok(line)
}

/// A socket whose answers nobody looks at: they are read and dropped.
struct Flood {
    sink: futures_util::stream::SplitSink<Socket, Message>,
    reading: tokio::task::JoinHandle<u64>,
}

impl Flood {
    fn of(client: Client) -> (Self, Device) {
        let (sink, mut stream) = client.socket.split();
        let reading = tokio::spawn(async move {
            let mut bytes = 0;
            while let Some(Ok(message)) = stream.next().await {
                bytes += u64::try_from(message.len()).unwrap_or(0);
            }
            bytes
        });
        (Self { sink, reading }, client.device)
    }

    /// Sends, unless the hub has read nothing for a while: then that is over.
    async fn send(&mut self, message: Message) -> bool {
        let sent = tokio::time::timeout(Duration::from_millis(500), self.sink.send(message)).await;
        matches!(sent, Ok(Ok(())))
    }

    async fn frame(&mut self, frame: Bytes) -> bool {
        self.send(Message::Binary(frame)).await
    }

    async fn ask(&mut self, question: &ClientToHub) -> bool {
        self.send(Message::text(hub::write(question))).await
    }

    async fn end(self) -> u64 {
        self.reading.abort();
        self.reading.await.unwrap_or(0)
    }
}

/// Another signing key for a device, as often as the hub takes it.
async fn new_keys(server: &str, end: Instant) -> anyhow::Result<Done> {
    let mut client = register(server, &fresh_name("m"), 4).await?;
    join_lobby(&mut client).await?;
    let mut device = client.bye().await;
    let (mut taken, mut refused) = (0, 0);
    while Instant::now() < end {
        let keys = device.keys.with_signing_key(SigningKey::generate(KeyBits::B2048)?)?;
        let before = Some(&device.bundle);
        let options = BundleOptions::default();
        let bundle = keys.publish(&device.user, device.dev, before, now_ms(), options)?;
        let next = Device { keys: keys.into(), bundle, ..device.clone() };
        let mut entry = Entry::sig();
        entry.body.bundle = Some(next.bundle.bytes().to_vec());
        match Fresh::connect(server).await?.enter(&next, &entry).await {
            Ok(client) => {
                device = client.bye().await;
                taken += 1;
            }
            Err(_) => refused += 1,
        }
    }
    Ok((taken, format!("{taken} keys taken, {refused} not")))
}

/// Devices of one account, by its password.
async fn devices(server: &str, end: Instant) -> anyhow::Result<Done> {
    let user = fresh_name("m");
    let first = Device::new(&user, 4);
    let mut entry = Entry::reg(&first);
    entry.body.pw = Some(vec![7; 32]);
    entry.body.vault = Some(chat_protocol::vault::keep(1, &[9; 100]));
    let mut client = Fresh::connect(server).await?.enter(&first, &entry).await?;
    join_lobby(&mut client).await?;
    let (mut taken, mut refused) = (1, 0);
    while Instant::now() < end {
        let device = Device::with_keys(&user, second_device(4, 5), Nonce16(random()));
        let mut entry = Entry::sig();
        entry.mode = Mode::Pw;
        entry.body.pw = Some(vec![7; 32]);
        entry.body.bundle = Some(device.bundle.bytes().to_vec());
        match Fresh::connect(server).await?.enter(&device, &entry).await {
            Ok(client) => {
                drop(client.bye().await);
                taken += 1;
            }
            Err(_) => refused += 1,
        }
    }
    Ok((taken - 1, format!("{taken} devices, {refused} refused")))
}

/// One account writes to as many people as it can, then signs in again.
async fn conversations(server: &str, end: Instant) -> anyhow::Result<Done> {
    let mut writer = register(server, &fresh_name("m"), 4).await?;
    let mut count = 0;
    while Instant::now() < end && count < 3_000 {
        let other = register(server, &fresh_name("x"), 5).await?.bye().await;
        let mut both = [writer.device.user.to_string(), other.user.to_string()];
        both.sort();
        let place = cid(&format!("dm:{}:{}", both[0], both[1]));
        let own = writer.device.clone();
        let lines = [&own, &other].map(|device| device.bundle.member_line());
        let epoch = own.epoch(&place, None, &MemberList::new(lines.into_iter().flatten()));
        if !taken(&mut writer, &epoch.messages, end).await? {
            break;
        }
        let message = own.seal(&own.message(Tag::Dm, &place, epoch.head.e, 0));
        if !taken(&mut writer, &[message], end).await? {
            break;
        }
        count += 1;
    }
    let device = writer.bye().await;
    Fresh::connect(server).await?.enter(&device, &Entry::sig()).await?;
    Ok((count, format!("{count} conversations, signed in again")))
}

/// Sends something as often as the hub asks for it. `false`: the time was over first.
async fn taken(client: &mut Client, messages: &[Bytes], end: Instant) -> anyhow::Result<bool> {
    while Instant::now() < end {
        for message in messages {
            client.send_frame(message.clone()).await;
        }
        match client.answer().await {
            HubToClient::Ack { .. } => return Ok(true),
            HubToClient::Retry { after_ms, .. } => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
            }
            other => bail!("not taken: {other:?}"),
        }
    }
    Ok(false)
}

/// Epochs of 5,000 lines that never end, from as many accounts and connections as there is time for.
async fn uploads(server: &str, end: Instant) -> anyhow::Result<Done> {
    let mut open = Vec::new();
    let mut accounts = 0;
    while Instant::now() < end && open.len() < 300 {
        let user = fresh_name("m");
        let device = Device::new(&user, 4);
        accounts += 1;
        let mut entry = Entry::reg(&device);
        for _ in 0..CONNECTIONS {
            let Ok(client) = Fresh::connect(server).await?.enter(&device, &entry).await else {
                break;
            };
            entry = Entry::sig();
            let (mut flood, device) = Flood::of(client);
            let place = cid(&format!("dm:a:{user}"));
            let lines = (0..4_999u32).map(|n| {
                let mut kid = [0; 16];
                kid[..4].copy_from_slice(&n.to_be_bytes());
                MemberLine { name: name("a"), sk: KeyId(kid), ek: KeyId(kid) }
            });
            let own = device.bundle.member_line().into_iter();
            let epoch = device.epoch(&place, None, &MemberList::new(lines.chain(own)));
            let last = epoch.messages.len() - 1;
            for message in epoch.messages.into_iter().take(last) {
                if !flood.frame(message).await {
                    break;
                }
            }
            open.push(flood);
        }
    }
    tokio::time::sleep_until(end.into()).await;
    Ok((open.len(), format!("{} uploads of {accounts} accounts", open.len())))
}

/// Where a stranger comes from: a server does not count what comes from its own machine.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5));

/// Sign-ins with a password of nobody, and new accounts with one, many at a time, by one stranger. The server believes
/// this machine as a proxy.
async fn passwords(server: &str, end: Instant) -> anyhow::Result<Done> {
    let mut tasks = Vec::new();
    for number in 0..64 {
        let server = server.to_owned();
        tasks.push(tokio::spawn(async move {
            let (mut taken, mut refused) = (0, 0);
            while Instant::now() < end {
                let device = Device::new(&fresh_name("m"), 4);
                let mut entry = if number % 2 == 0 { Entry::sig() } else { Entry::reg(&device) };
                if number % 2 == 0 {
                    entry.mode = Mode::Vault;
                } else {
                    entry.body.vault = Some(chat_protocol::vault::keep(1, &[9; 100]));
                }
                entry.body.pw = Some(vec![7; 32]);
                let Ok(fresh) = Fresh::connect_for(&server, STRANGER).await else { break };
                match fresh.enter(&device, &entry).await {
                    Ok(_) => taken += 1,
                    Err(_) => refused += 1,
                }
            }
            (taken, refused)
        }));
    }
    let (mut taken, mut refused) = (0, 0);
    for task in tasks {
        let (more, less) = task.await?;
        taken += more;
        refused += less;
    }
    Ok((taken, format!("{taken} accounts, {refused} refused or put off")))
}

async fn connections(server: &str, end: Instant) -> anyhow::Result<Done> {
    let first = register(server, &fresh_name("m"), 4).await?;
    let device = first.device.clone();
    let (mut open, mut refused) = (vec![first], 0);
    while Instant::now() < end {
        match Fresh::connect(server).await?.enter(&device, &Entry::sig()).await {
            Ok(client) => open.push(client),
            Err(_) => refused += 1,
        }
    }
    Ok((open.len() - 1, format!("{} connections, {refused} put off", open.len())))
}

/// Epoch after epoch with the hub's own agent.
async fn agent_epochs(server: &str, end: Instant) -> anyhow::Result<Done> {
    let fresh = Fresh::connect(server).await?;
    let hub = fresh.greeting.bundle().clone();
    let device = Device::new(&fresh_name("a"), 4);
    let client = fresh.enter(&device, &Entry::reg(&device)).await?;
    let place = cid(&format!("dm:{}:server", device.user));
    let lines = [device.bundle.member_line(), hub.member_line()].into_iter().flatten();
    let list = MemberList::new(lines);
    let (mut flood, device) = Flood::of(client);
    let (mut before, mut count) = (None, 0);
    while Instant::now() < end {
        let epoch = device.epoch(&place, before, &list);
        // Whether it was taken is not waited for: every other one may be refused.
        before = Some(epoch.head);
        for message in epoch.messages {
            if !flood.frame(message).await {
                return Ok((count, format!("{count} keys, then it was cut")));
            }
        }
        count += 1;
    }
    flood.end().await;
    Ok((count, format!("{count} keys")))
}

/// Long messages to somebody who is away.
async fn mailbox(server: &str, end: Instant) -> anyhow::Result<Done> {
    let away = register(server, &fresh_name("b"), 5).await?.bye().await;
    let mut client = register(server, &fresh_name("a"), 4).await?;
    let place = cid(&format!("dm:{}:{}", client.device.user, away.user));
    let own = client.device.clone();
    let epoch = client.key(&place, None, &[&own, &away]).await;
    client.ack().await;
    let (mut flood, device) = Flood::of(client);
    let mut n = 0;
    while Instant::now() < end {
        let header = device.message(Tag::Dm, &place, epoch.e, n);
        let frame = device.sign(label::MSG, header.to_bytes(), vec![7; 190_000]);
        if flood.frame(frame).await {
            n += 1;
        }
    }
    flood.end().await;
    // Somebody else still writes to them.
    let mut other = register(server, &fresh_name("a"), 6).await?;
    let place = cid(&format!("dm:{}:{}", other.device.user, away.user));
    let own = other.device.clone();
    let epoch = other.key(&place, None, &[&own, &away]).await;
    other.ack().await;
    other.say(Tag::Dm, &place, epoch.e, 0).await;
    other.ack().await;
    Ok((usize::try_from(n)?, format!("{n} messages of 190 kB; another one was taken")))
}

async fn receipts(server: &str, end: Instant) -> anyhow::Result<Done> {
    let away = register(server, &fresh_name("b"), 5).await?.bye().await;
    let client = register(server, &fresh_name("a"), 4).await?;
    let place = cid(&format!("dm:{}:{}", client.device.user, away.user));
    let (mut flood, device) = Flood::of(client);
    let mut count = 0;
    while Instant::now() < end {
        let header = device.receipt(&place, &away.user).to_bytes();
        let frame = device.sign(label::RECEIPT, header, vec![b'x'; 190_000]);
        if flood.frame(frame).await {
            count += 1;
        }
    }
    flood.end().await;
    Ok((count, format!("{count} receipts of rubbish")))
}

async fn questions(server: &str, end: Instant) -> anyhow::Result<Done> {
    let first = register(server, &fresh_name("m"), 4).await?;
    let device = first.device.clone();
    let (first, _) = Flood::of(first);
    let mut floods = vec![first];
    for _ in 1..CONNECTIONS {
        let client = Fresh::connect(server).await?.enter(&device, &Entry::sig()).await?;
        floods.push(Flood::of(client).0);
    }
    let tasks = floods.into_iter().map(|mut flood| {
        let me = device.user.clone();
        tokio::spawn(async move {
            let mut asked = 0;
            while Instant::now() < end {
                let known = [(me.clone(), Held::default()), (name("server"), Held::default())];
                let questions = [
                    ClientToHub::Bundles { id: new_id(), known: known.into(), kids: [].into() },
                    ClientToHub::Who { id: new_id(), after: None },
                    ClientToHub::Rooms { id: new_id(), after: None },
                ];
                for question in &questions {
                    asked += usize::from(flood.ask(question).await);
                }
            }
            asked
        })
    });
    let mut asked = 0;
    for task in tasks.collect::<Vec<_>>() {
        asked += task.await?;
    }
    Ok((asked, format!("{asked} questions")))
}

async fn rooms(server: &str, end: Instant) -> anyhow::Result<Done> {
    let client = register(server, &fresh_name("m"), 4).await?;
    let (mut flood, device) = Flood::of(client);
    let mut count = 0;
    while Instant::now() < end {
        let room = cid(&format!("room:{}", fresh_name("r")));
        let (_, create) = device.link(&room, MemberOperation::Create, (0, Digest::ZERO));
        if flood.frame(create).await {
            count += 1;
        }
    }
    flood.end().await;
    // Somebody else makes one all the same.
    let mut other = register(server, &fresh_name("m"), 5).await?;
    let room = cid(&format!("room:{}", fresh_name("r")));
    other.link(&room, MemberOperation::Create, (0, Digest::ZERO)).await;
    other.ack().await;
    Ok((count, format!("{count} rooms asked for; another one was made")))
}

/// More people than the lobby takes, all in it.
async fn crowd(server: &str, end: Instant) -> anyhow::Result<Done> {
    let (mut count, mut full) = (0, 0);
    while count < PEOPLE {
        ensure!(Instant::now() < end, "the time was over after {count} people");
        let mut client = register(server, &fresh_name("c"), 4).await?;
        count += 1;
        if join_lobby(&mut client).await?.is_none() {
            full += 1;
        }
        // Not waited for: it is the end of the process for them.
        drop(client);
    }
    ensure!(full > 0, "{count} people are in the lobby, which is for {EPOCH_DEVICES_MAX}");
    Ok((full, format!("{count} people, {full} told that the lobby is full")))
}
