//! What carries words about files between hubs: a channel for each process, and one for whoever is a hub now. Half
//! of a transfer lies under a name that tells Redis nothing, until the other half comes.

use std::{collections::BTreeSet, sync::Weak, time::Duration};

use futures_util::StreamExt as _;
use redis::{RedisError, Script, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};

use super::{CONNECT_TIME_MAX, Pauses, Place, SCRIPT_TIME_MAX, lease::hex};
use crate::{
    limits::{HALF_TRANSFER_TIME_MAX, LINK_BYTES_PER_SECOND, LINK_PING_PERIOD, LINK_SILENCE_MAX},
    relay::{
        Relay,
        link::{Address, Far, Half, Heard, LinkSeal, Peer, Post, Sealer, Word},
        transfers::TransferId,
    },
};

/// Words that are given to Redis at once: half a window of chunks, 0.4 ms of its time.
const POSTS_AT_ONCE: usize = 4;

/// What is done about a post, and what it was.
struct Said {
    to: Address,
    about: TransferId,
    word: Word,
}

/// Carries words between hubs as long as there is a relay.
#[derive(Debug)]
pub struct RedisLink {
    place: Place,
    own: Peer,
    seal: LinkSeal,
    posts: mpsc::Receiver<Post>,
}

impl RedisLink {
    /// That of this process.
    pub fn new(place: Place, own: Peer, seal: LinkSeal, posts: mpsc::Receiver<Post>) -> Self {
        Self { place, own, seal, posts }
    }

    /// Carries until the relay is gone. While Redis is away nothing is carried, and all that was under way between
    /// hubs ends.
    pub async fn run(self, relay: Weak<Relay>) {
        let Self { place, own, seal, mut posts } = self;
        let (mut sealer, mut heard) = (Sealer::new(&seal, own), Heard::new(seal));
        let mut pauses = Pauses::default();
        while relay.strong_count() > 0 {
            let begun = Instant::now();
            let ways = Ways { place: &place, own, relay: &relay };
            if let Err(error) = ways.carry(&mut posts, &mut sealer, &mut heard).await {
                tracing::warn!(%error, "files do not go between servers now");
            }
            if let Some(relay) = relay.upgrade() {
                relay.lose(None);
            }
            if begun.elapsed() > LINK_SILENCE_MAX {
                pauses = Pauses::default();
            }
            pauses.pause().await;
        }
    }
}

/// One connection's time.
struct Ways<'a> {
    place: &'a Place,
    own: Peer,
    relay: &'a Weak<Relay>,
}

impl Ways<'_> {
    fn channel(&self, to: Address) -> String {
        match to {
            Address::Peer(Peer { node, process }) => {
                format!("{}{node}:{}", self.place.files, hex(process))
            }
            Address::Hub(node) => format!("{}{node}", self.place.files),
        }
    }

    async fn carry(
        &self,
        posts: &mut mpsc::Receiver<Post>,
        sealer: &mut Sealer,
        heard: &mut Heard,
    ) -> Result<(), RedisError> {
        let cut = || RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let client = &self.place.client;
        let pubsub = timeout(CONNECT_TIME_MAX, client.get_async_pubsub()).await;
        let mut pubsub = pubsub.map_err(|_late| cut())??;
        let (own, hub) = (Address::Peer(self.own), Address::Hub(self.own.node));
        let channels = [self.channel(own), self.channel(hub)];
        timeout(CONNECT_TIME_MAX, pubsub.subscribe(&channels)).await.map_err(|_late| cut())??;
        let connection = self.place.connect(SCRIPT_TIME_MAX).await?;
        let (behind, asks) = throw_away(posts, sealer);
        if let Some(relay) = self.relay.upgrade() {
            relay.announce_all();
        }
        let hearing = async {
            let mut messages = pubsub.on_message();
            // The own pings come, too.
            while let Some(message) =
                timeout(LINK_SILENCE_MAX, messages.next()).await.map_err(|_late| cut())?
            {
                let Some(relay) = self.relay.upgrade() else { return Ok(()) };
                let to = if message.get_channel_name() == channels[0] { own } else { hub };
                let Some(opened) = heard.open(to, message.get_payload_bytes()) else {
                    tracing::warn!("something that no server has said came about files");
                    continue;
                };
                if opened.is_behind_gap && to == own {
                    relay.lose(Some(opened.from));
                }
                relay.hear(opened.from, opened.word);
            }
            Err(cut())
        };
        let speaking = Speaking { ways: self, sealer, connection, free_at: Instant::now() };
        tokio::select! {
            ended = hearing => ended,
            ended = speaking.run(posts, (behind, asks)) => ended,
        }
    }
}

/// What was to be said before is of transfers that have ended here. Returns to whom: they notice by the next word that
/// something is missing, and end theirs. Nobody has begun yet what is only asked for: that is said now.
fn throw_away(
    posts: &mut mpsc::Receiver<Post>,
    sealer: &mut Sealer,
) -> (BTreeSet<Peer>, Vec<Said>) {
    let (mut behind, mut asks) = (BTreeSet::new(), Vec::new());
    while let Ok(post) = posts.try_recv() {
        match post {
            Post::Say(to @ Address::Hub(_), about, word) => asks.push(Said { to, about, word }),
            Post::Say(to @ Address::Peer(peer), ..) => {
                sealer.leave_out(to);
                behind.insert(peer);
            }
            // All that wait are announced anew.
            Post::Announce(..) | Post::Withdraw(..) => {}
        }
    }
    (behind, asks)
}

/// The writing half.
struct Speaking<'a> {
    ways: &'a Ways<'a>,
    sealer: &'a mut Sealer,
    connection: MultiplexedConnection,
    /// When more may be said without hindering messages.
    free_at: Instant,
}

impl Speaking<'_> {
    /// Speaks until the relay is gone, first to those who do not know yet that they have missed something, and what was
    /// asked for meanwhile.
    async fn run(
        mut self,
        posts: &mut mpsc::Receiver<Post>,
        (behind, asks): (BTreeSet<Peer>, Vec<Said>),
    ) -> Result<(), RedisError> {
        self.ping(behind).await?;
        self.say(asks).await?;
        let mut pings = interval(LINK_PING_PERIOD);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(POSTS_AT_ONCE);
        loop {
            sleep_until(self.free_at).await;
            tokio::select! {
                biased;
                _ = pings.tick() => {
                    let Some(relay) = self.ways.relay.upgrade() else { return Ok(()) };
                    let mut peers = relay.peers();
                    peers.push(self.ways.own);
                    drop(relay);
                    self.ping(peers).await?;
                }
                count = posts.recv_many(&mut batch, POSTS_AT_ONCE) => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.post(batch.drain(..)).await?;
                }
            }
        }
    }

    async fn ping(&mut self, peers: impl IntoIterator<Item = Peer>) -> Result<(), RedisError> {
        let ping = |peer| Said { to: Address::Peer(peer), about: TransferId(0), word: Word::Ping };
        self.say(peers.into_iter().map(ping).collect()).await
    }

    /// Carries posts in their order.
    async fn post(&mut self, batch: impl Iterator<Item = Post>) -> Result<(), RedisError> {
        let mut said = Vec::new();
        for post in batch {
            match post {
                Post::Say(to, about, word) => said.push(Said { to, about, word }),
                Post::Announce(id, half, name) => {
                    self.say(std::mem::take(&mut said)).await?;
                    self.announce(id, half, &name.0).await?;
                }
                Post::Withdraw(id, half, name) => {
                    self.say(std::mem::take(&mut said)).await?;
                    let own = self.value(id, half);
                    let script = Script::new(include_str!("withdraw.lua"));
                    let mut call = script.key(self.half(&name.0));
                    let () = call.arg(own).invoke_async(&mut self.connection).await?;
                }
            }
        }
        self.say(said).await
    }

    /// The key of a half.
    fn half(&self, name: &[u8; 32]) -> String {
        format!("{}{}", self.ways.place.halves, crate::hex::hex(name))
    }

    /// What lies there of a half of this hub.
    fn value(&self, id: TransferId, half: Half) -> String {
        let side = match half {
            Half::Giver => 'g',
            Half::Taker => 't',
        };
        let Peer { node, process } = self.ways.own;
        format!("{side}:{node}:{}:{}", hex(process), hex(id.0))
    }

    async fn announce(
        &mut self,
        id: TransferId,
        half: Half,
        name: &[u8; 32],
    ) -> Result<(), RedisError> {
        let time = u64::try_from(HALF_TRANSFER_TIME_MAX.as_millis()).unwrap_or(u64::MAX);
        let script = Script::new(include_str!("half.lua"));
        let mut call = script.key(self.half(name));
        call.arg(self.value(id, half)).arg(time);
        let first: Result<String, RedisError> = call.invoke_async(&mut self.connection).await;
        match first {
            Ok(first) => {
                if let (Some(far), Some(relay)) = (read_half(&first), self.ways.relay.upgrade()) {
                    relay.found(id, far);
                }
                Ok(())
            }
            // A Redis without room: this half meets those at this hub alone.
            Err(error) if error.code() == Some("OOM") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says these, and does what follows where nobody has heard them.
    async fn say(&mut self, words: Vec<Said>) -> Result<(), RedisError> {
        let mut pipe = redis::pipe();
        let mut bytes = 0_u64;
        let mut carried = Vec::with_capacity(words.len());
        for said in words {
            let Some(sealed) = self.sealer.seal(said.to, &said.word) else { continue };
            bytes = bytes.saturating_add(u64::try_from(sealed.len()).unwrap_or(u64::MAX));
            if let Address::Hub(node) = said.to {
                // One that is cut off still counts as if it heard, and has no lease.
                pipe.cmd("EXISTS").arg(self.ways.place.lease_of(node));
            }
            pipe.cmd("PUBLISH").arg(self.ways.channel(said.to)).arg(sealed);
            carried.push(said);
        }
        if carried.is_empty() {
            return Ok(());
        }
        let answers: Vec<u64> = pipe.query_async(&mut self.connection).await?;
        let nanos = bytes.saturating_mul(1_000_000_000) / LINK_BYTES_PER_SECOND;
        // What was not used is not saved up.
        self.free_at = self.free_at.max(Instant::now()) + Duration::from_nanos(nanos);
        let mut answers = answers.into_iter();
        for said in carried {
            let is_there = match said.to {
                Address::Hub(_) => answers.next() == Some(1),
                Address::Peer(_) => true,
            };
            if answers.next() != Some(0) && is_there {
                continue;
            }
            let away = match said.to {
                Address::Hub(node) => self.away(node).await?,
                Address::Peer(_) => String::new(),
            };
            let Some(relay) = self.ways.relay.upgrade() else { return Ok(()) };
            relay.unheard(said.to, said.about, &said.word, &away);
        }
        Ok(())
    }

    /// Why a copy at this hub is not to be had now.
    async fn away(&mut self, node: u32) -> Result<String, RedisError> {
        let name: Option<String> = redis::cmd("HGET")
            .arg(&self.ways.place.meta)
            .arg(format!("n:{node}"))
            .query_async(&mut self.connection)
            .await?;
        let name = name.unwrap_or_else(|| "another server".to_owned());
        Ok(format!("the copy lies on {name}, which is away"))
    }
}

/// Reads what `value` has written.
fn read_half(text: &str) -> Option<Far> {
    let mut parts = text.split(':').skip(1);
    let node = parts.next()?.parse().ok()?;
    let process = u64::from_str_radix(parts.next()?, 16).ok()?;
    let id = TransferId(u64::from_str_radix(parts.next()?, 16).ok()?);
    Some(Far { peer: Peer { node, process }, id })
}
