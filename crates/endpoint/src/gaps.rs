//! Gaps that heal: what did not come, or did not open, is asked for from its sender (rule R19).
//!
//! ```text
//! gap, bad signature, unknown epoch ─► want ─► (a moment later) KEYREQ ─► GRANT ─► grants
//!                                       ▲            │ no answer: again, later and later
//!                                       └────────────┘ given up after HEAL_TRIES_MAX
//! ```
//!
//! Only the sender is asked: it has the frame, and nobody else can be made to vouch for it. What
//! comes back is checked like any delivery, so an answer can repair and never replace. What the hub says that it has
//! dropped is not asked for: see [`dropped`].

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::content::healing::Counters;
use chat_protocol::frame::{Delivery, RawFrame};
use chat_protocol::header::{Header, MessageHeader};
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::limits::KEYREQ_COUNTERS_MAX;
use chat_protocol::name::{ConversationId, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::limits::{
    HEAL_AWAY_MS, HEAL_DELAY_MS, HEAL_RETRY_MS, HEAL_TRIES_MAX, HEAL_UNANSWERED_MAX,
    HELD_FRAMES_MAX, MISSING_CHAINS_MAX, MISSING_COUNTERS_MAX,
};

use crate::out::Out;
use crate::table::{Kind, Table};

pub(crate) mod dropped;

use dropped::{Claimed, Dropped, Gone};

/// In which requests without an answer are counted.
const MINUTE_MS: u64 = 60_000;

/// Names one sender's chain in one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChainName {
    pub(crate) cid: ConversationId,
    pub(crate) e: Digest,
    pub(crate) from: UserName,
    pub(crate) sk: KeyId,
}

impl ChainName {
    pub(crate) fn of(header: &MessageHeader) -> Self {
        Self { cid: header.cid.clone(), e: header.e, from: header.from.clone(), sk: header.sk }
    }

    fn key(&self) -> String {
        format!("{}/{}/{}", self.e, self.sk, self.from)
    }
}

/// A frame that came without its epoch's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Held {
    hub_ms: u64,
    frame: B64Vec,
}

/// Counters of one chain that are missing.
#[derive(Debug, Serialize, Deserialize)]
struct Wanted {
    chain: ChainName,
    /// What is missing, with the frame where there is one that does not open.
    counters: BTreeMap<u32, Option<Held>>,
    /// The highest counter seen, where this device has no chain that would know.
    top: Option<u32>,
    /// The last request for them.
    request: Option<MessageId>,
    /// Requests without an answer.
    tries: u32,
    /// When to ask next, Unix time in milliseconds.
    next_ms: u64,
    /// Nothing is asked any more; an answer is still taken.
    given_up: bool,
    /// The host was told that they could not be had.
    told: bool,
    /// It is not certain that anything is missing: nothing is shown until it comes.
    quiet: bool,
}

impl Wanted {
    fn is_open(&self) -> bool {
        !self.given_up && !self.counters.is_empty()
    }

    /// Starts to ask anew.
    fn revive(&mut self, now_ms: u64) {
        (self.tries, self.given_up) = (0, false);
        self.next_ms = now_ms.saturating_add(HEAL_DELAY_MS);
    }
}

/// A sender is to be asked for what is missing of one chain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    chain: String,
    pub(crate) from: UserName,
    pub(crate) counters: Counters,
}

/// What this device misses of others.
#[derive(Debug)]
pub(crate) struct Gaps {
    me: UserName,
    /// What is asked for, by chain.
    missing: Table<Wanted>,
    dropped: Dropped,
    /// Counters that came since the host was told.
    closed: BTreeMap<(ConversationId, UserName), BTreeSet<u32>>,
    /// Requests to each person since they last answered, and when the minute of counting began.
    unanswered: BTreeMap<UserName, (u64, u32)>,
    /// Counters of this user's other devices that were shown as missing, by chain.
    own: BTreeSet<(String, u32)>,
}

impl Gaps {
    pub(crate) fn new(me: UserName) -> Self {
        Self {
            me,
            missing: Table::default(),
            dropped: Dropped::default(),
            closed: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            own: BTreeSet::new(),
        }
    }

    pub(crate) fn rows(&mut self) -> [Kind<'_>; 4] {
        let [claims, looked, excused] = self.dropped.rows();
        [("missing", &mut self.missing), claims, looked, excused]
    }

    /// What the hub says that it has dropped.
    pub(crate) fn dropped(&mut self) -> &mut Dropped {
        &mut self.dropped
    }

    /// Those of these counters that were not shown yet. Each message of an epoch may tell of the same
    /// ones (rule R15).
    fn own_gaps(&mut self, chain: &str, mut counters: Vec<u32>) -> Vec<u32> {
        counters.retain(|n| !self.own.contains(&(chain.to_owned(), *n)));
        if self.own.len() + counters.len() > MISSING_COUNTERS_MAX {
            self.own.clear();
        }
        self.own.extend(counters.iter().map(|n| (chain.to_owned(), *n)));
        counters
    }

    /// Shows what is missing of this message's sender and what the hub's word does not explain, and asks for it.
    /// Counters already asked for are not shown again. Whether any was shown.
    pub(crate) fn missed(
        &mut self,
        now_ms: u64,
        out: &mut Out,
        (header, drop): (&MessageHeader, Option<&Claimed>),
        gone: Gone,
    ) -> bool {
        let gone = self.dropped.unexplained(out, (header, &self.me), drop, gone);
        let mut missing = Vec::new();
        for (e, counters) in gone {
            let chain = ChainName { e, ..ChainName::of(header) };
            missing.extend(self.want(now_ms, out, chain, counters, false));
        }
        let is_news = !missing.is_empty();
        if is_news {
            let (cid, from) = (header.cid.clone(), header.from.clone());
            out.tell(Event::Gap { cid, from, missing });
        }
        is_news
    }

    /// Shows, once, what a sender has said in an epoch before this user went and what did not come, but for what the
    /// hub's word explains. A hub that could hide it would only have to see to it that they go.
    pub(crate) fn lost_before_going(
        &mut self,
        out: &mut Out,
        (header, drop): (&MessageHeader, Option<&Claimed>),
        e: Digest,
        counters: Vec<u32>,
    ) {
        let gone = vec![(e, counters)];
        let gone = self.dropped.unexplained(out, (header, &self.me), drop, gone);
        let n: Vec<u32> = gone.into_iter().flat_map(|(_, counters)| counters).collect();
        if let Some(newest) = n.last() {
            self.dropped.excuse(&ChainName { e, ..ChainName::of(header) }, *newest);
            let (cid, from) = (header.cid.clone(), header.from.clone());
            let reason =
                "it was said before you left, and is not sent again to who has left".to_owned();
            out.tell(Event::Unhealed { cid, from, n, reason });
        }
    }

    /// Notes counters as missing; returns those that are news. Nothing is said of a quiet one before an answer comes.
    pub(crate) fn want(
        &mut self,
        now_ms: u64,
        out: &mut Out,
        chain: ChainName,
        counters: Vec<u32>,
        quiet: bool,
    ) -> Vec<u32> {
        // Another device of one's own cannot be asked for a message; its gaps are shown, once, and stay. What is set is
        // told again as a whole.
        if chain.from == self.me {
            return self.own_gaps(&chain.key(), counters);
        }
        if counters.is_empty() {
            return counters;
        }
        let Some(wanted) = self.wanted(out, chain, quiet) else { return counters };
        let mut news = Vec::new();
        for n in counters {
            let known = wanted.counters.contains_key(&n) || wanted.top.is_some_and(|top| n <= top);
            if !known && wanted.counters.len() < MISSING_COUNTERS_MAX {
                wanted.counters.insert(n, None);
                news.push(n);
            }
        }
        if !news.is_empty() {
            (wanted.tries, wanted.given_up, wanted.told) = (0, false, false);
            wanted.next_ms = wanted.next_ms.min(now_ms.saturating_add(HEAL_DELAY_MS));
            if wanted.request.is_none() {
                wanted.next_ms = now_ms.saturating_add(HEAL_DELAY_MS);
            }
        }
        news
    }

    /// What is missing of a chain; nothing where too much is.
    fn wanted(&mut self, out: &mut Out, chain: ChainName, quiet: bool) -> Option<&mut Wanted> {
        let key = chain.key();
        if self.missing.get(&key).is_none() && !self.make_room_for_wanted(out, &chain.from) {
            return None;
        }
        let make = || Wanted {
            chain,
            counters: BTreeMap::new(),
            top: None,
            request: None,
            tries: 0,
            next_ms: u64::MAX,
            given_up: false,
            told: false,
            quiet,
        };
        Some(self.missing.entry(&key, make))
    }

    /// Whether one more chain of a person may be asked for. What is over of theirs makes room, then of whom the most is
    /// kept, over or not, then what is over of anybody of whom more is kept: a member can name any number of epochs, and
    /// must neither keep others from being asked nor throw out what they still owe.
    fn make_room_for_wanted(&mut self, out: &mut Out, from: &UserName) -> bool {
        if self.missing.len() < MISSING_CHAINS_MAX {
            return true;
        }
        let key = self.chain_to_go(from);
        let Some(wanted) = key.and_then(|key| self.missing.remove(&key)) else { return false };
        if wanted.is_open() && !wanted.quiet && !wanted.told {
            let ChainName { cid, from, .. } = wanted.chain;
            let (n, reason) = (wanted.counters.into_keys().collect(), too_much(&from));
            out.tell(Event::Unhealed { cid, from, n, reason });
        }
        true
    }

    /// The chain that gives way to another one of this person.
    fn chain_to_go(&self, from: &UserName) -> Option<String> {
        let mut chains = BTreeMap::<&UserName, Vec<(&String, bool)>>::new();
        for (key, wanted) in self.missing.iter() {
            chains.entry(&wanted.chain.from).or_default().push((key, !wanted.is_open()));
        }
        let over = |chains: &Vec<(&String, bool)>| {
            chains.iter().find(|(_, is_over)| *is_over).map(|(key, _)| (*key).clone())
        };
        let own = chains.get(from);
        if let Some(key) = own.and_then(over) {
            return Some(key);
        }
        let own = own.map_or(0, Vec::len);
        let mut most: Vec<_> = chains.into_values().filter(|chains| chains.len() > own).collect();
        most.sort_by_key(|chains| std::cmp::Reverse(chains.len()));
        let last = |chains: &Vec<(&String, bool)>| {
            let is_much = chains.len() > own + 1;
            chains.last().filter(|_| is_much).map(|(key, _)| (*key).clone())
        };
        let first = most.first().and_then(|chains| over(chains).or_else(|| last(chains)));
        first.or_else(|| most.iter().find_map(over))
    }

    /// A frame of an epoch whose key this device has not, with its sender's signature: it is kept,
    /// and asked for together with what must have come before it.
    pub(crate) fn want_strange(
        &mut self,
        now_ms: u64,
        out: &mut Out,
        delivery: &Delivery,
        header: &MessageHeader,
    ) {
        let chain = ChainName::of(header);
        let key = chain.key();
        let top = self.missing.get(&key).and_then(|wanted| wanted.top);
        let next = top.map_or(Some(0), |top| top.checked_add(1)).unwrap_or(u32::MAX);
        // The counter is its sender's word, and may be any.
        let reach = u32::try_from(MISSING_COUNTERS_MAX).unwrap_or(u32::MAX);
        let before = if header.n.saturating_sub(next) < reach { next..header.n } else { 0..0 };
        // What asks is said again by itself.
        let said = Some(header.n).filter(|_| header.t != Tag::Keyreq);
        if self.wanted(out, chain.clone(), false).is_none() {
            return;
        }
        let news = self.want(now_ms, out, chain, before.clone().chain(said).collect(), false);
        let held = self.missing.iter();
        let held: usize = held.map(|(_, w)| w.counters.values().flatten().count()).sum();
        if let Some(wanted) = self.missing.get_mut(&key) {
            if before.end == header.n {
                wanted.top = Some(wanted.top.map_or(header.n, |top| top.max(header.n)));
            }
            if let Some(place) = wanted.counters.get_mut(&header.n).filter(|p| p.is_none())
                && held < HELD_FRAMES_MAX
            {
                let frame = B64Vec(delivery.frame.bytes().to_vec());
                *place = Some(Held { hub_ms: delivery.hub_ms, frame });
            }
        }
        let missing: Vec<u32> = news.into_iter().filter(|n| *n != header.n).collect();
        if !missing.is_empty() {
            let (cid, from) = (header.cid.clone(), header.from.clone());
            out.tell(Event::Gap { cid, from, missing });
        }
    }

    /// Bytes of the frames that are kept until their key comes.
    pub(crate) fn held_bytes(&self) -> usize {
        let wanted = self.missing.iter().map(|(_, wanted)| wanted);
        let held = wanted.flat_map(|wanted| wanted.counters.values().flatten());
        held.map(|held| held.frame.0.len()).sum()
    }

    /// Whether this frame is among those asked for.
    pub(crate) fn is_wanted(&self, header: &MessageHeader) -> bool {
        let wanted = self.missing.get(&ChainName::of(header).key());
        wanted.is_some_and(|w| w.chain.cid == header.cid && w.counters.contains_key(&header.n))
    }

    /// The frame that is kept for a counter.
    pub(crate) fn held(&self, chain: &ChainName, n: u32) -> Option<B64Vec> {
        let wanted = self.missing.get(&chain.key())?;
        wanted.counters.get(&n)?.as_ref().map(|held| held.frame.clone())
    }

    /// The frames that are kept until the key of this epoch comes.
    pub(crate) fn held_in(&self, e: &Digest) -> Vec<(Delivery, MessageHeader)> {
        let wanted = self.missing.iter().filter(|(_, wanted)| wanted.chain.e == *e);
        let held = wanted.flat_map(|(_, w)| w.counters.values().flatten());
        let read = held.filter_map(|Held { hub_ms, frame }| {
            let frame = RawFrame::decode(frame.0.clone().into()).ok()?;
            let Ok(Header::Message(header)) = Header::parse(frame.header()) else { return None };
            Some((Delivery { position: 0, hub_ms: *hub_ms, frame }, header))
        });
        read.collect()
    }

    /// What was missing has come, or was burnt: the gap closes.
    pub(crate) fn filled(&mut self, chain: &ChainName, n: u32) {
        let Some(wanted) = self.missing.get(&chain.key()) else { return };
        if wanted.counters.contains_key(&n) && wanted.chain.cid == chain.cid {
            self.unwant(chain, n);
            let place = (chain.cid.clone(), chain.from.clone());
            self.closed.entry(place).or_default().insert(n);
        }
    }

    /// A counter is not asked for any more; returns whether it was.
    pub(crate) fn unwant(&mut self, chain: &ChainName, n: u32) -> bool {
        let key = chain.key();
        if !self.missing.get(&key).is_some_and(|w| w.counters.contains_key(&n)) {
            return false;
        }
        let Some(wanted) = self.missing.get_mut(&key) else { return false };
        wanted.counters.remove(&n);
        if wanted.counters.is_empty() && wanted.top.is_none() {
            self.missing.remove(&key);
        }
        true
    }

    /// Tells the host of what has come, once for each sender and conversation.
    pub(crate) fn tell_healed(&mut self, out: &mut Out) {
        for ((cid, from), n) in std::mem::take(&mut self.closed) {
            out.tell(Event::Healed { cid, from, n: n.into_iter().collect() });
        }
    }

    /// A sender says of its own counters that there is nothing under them.
    pub(crate) fn on_nothing(
        &mut self,
        now_ms: u64,
        out: &mut Out,
        from: &UserName,
        said: &Counters,
        burnt: bool,
    ) {
        let Counters { cid, e, sk, n } = said;
        let chain = ChainName { cid: cid.clone(), e: *e, from: from.clone(), sk: *sk };
        let quiet = self.missing.get(&chain.key()).is_some_and(|wanted| wanted.quiet);
        let mut lost = Vec::new();
        for n in n {
            if burnt {
                self.filled(&chain, *n);
            } else if self.unwant(&chain, *n) {
                lost.push(*n);
            }
        }
        self.went_on(now_ms, &chain);
        if let Some(last) = lost.last().filter(|_| quiet) {
            // Several messages name the same tail: this answer is the end of it.
            self.dropped.excuse(&chain, *last);
        }
        if !lost.is_empty() && !quiet {
            let reason =
                format!("the device of {from} has no such message, or cannot send it again");
            out.tell(Event::Unhealed { cid: chain.cid, from: chain.from, n: lost, reason });
        }
    }

    /// An answer has come: what is left is asked for soon.
    pub(crate) fn went_on(&mut self, now_ms: u64, chain: &ChainName) {
        let key = chain.key();
        if self.missing.get(&key).is_some_and(Wanted::is_open)
            && let Some(wanted) = self.missing.get_mut(&key)
        {
            wanted.revive(now_ms);
        }
    }

    /// These people, or this device itself, are here: they are asked soon, even if that was given
    /// up.
    pub(crate) fn came(&mut self, now_ms: u64, people: Option<&[UserName]>) {
        let here = |name: &UserName| people.is_none_or(|people| people.contains(name));
        let is_here = |wanted: &Wanted| !wanted.counters.is_empty() && here(&wanted.chain.from);
        self.missing.change(is_here, |wanted| wanted.revive(now_ms));
    }

    /// The hub keeps a request for somebody who is away: that is no try without an answer.
    pub(crate) fn kept_request(&mut self, request: &MessageId) {
        let is_asked = |wanted: &Wanted| wanted.request == Some(*request);
        self.missing.change(is_asked, |wanted| {
            wanted.tries = wanted.tries.saturating_sub(1);
            wanted.next_ms = wanted.next_ms.saturating_add(HEAL_AWAY_MS);
        });
    }

    /// Whether something that this person said there is asked for, or will be.
    pub(crate) fn is_asked_for(&self, cid: &ConversationId, from: &UserName) -> bool {
        let mut wanted = self.missing.iter().map(|(_, wanted)| wanted);
        wanted.any(|w| w.is_open() && w.chain.cid == *cid && w.chain.from == *from)
    }

    /// Somebody has answered.
    pub(crate) fn has_answered(&mut self, who: &UserName) {
        self.unanswered.remove(who);
    }

    /// Counts a request to a person who may be asked now; otherwise says when.
    fn count_request(&mut self, now_ms: u64, who: &UserName) -> Result<(), u64> {
        let over = |began: u64| began.saturating_add(MINUTE_MS);
        let unanswered = &mut self.unanswered;
        unanswered.retain(|_, (began, _)| over(*began) > now_ms);
        let (began, count) = unanswered.entry(who.clone()).or_insert((now_ms, 0));
        if *count >= HEAL_UNANSWERED_MAX {
            return Err(over(*began));
        }
        *count += 1;
        Ok(())
    }

    /// When the next request is due.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let open = self.missing.iter().filter(|(_, wanted)| wanted.is_open());
        open.map(|(_, wanted)| wanted.next_ms).min()
    }

    /// Whom to ask now for what; what was asked for often enough is given up.
    pub(crate) fn due(&mut self, now_ms: u64, out: &mut Out) -> Vec<Ask> {
        let wanted = self.missing.iter();
        let due: Vec<String> = wanted
            .filter(|(_, wanted)| wanted.is_open() && wanted.next_ms <= now_ms)
            .map(|(key, _)| key.clone())
            .collect();
        due.into_iter().filter_map(|key| self.ask(now_ms, out, key)).collect()
    }

    /// Asks for what is missing of one chain, or gives it up.
    fn ask(&mut self, now_ms: u64, out: &mut Out, chain: String) -> Option<Ask> {
        let wanted = self.missing.get(&chain)?;
        let under_way = wanted.request.is_some_and(|id| out.questions.message(&id).is_some());
        let (tries, from) = (wanted.tries, wanted.chain.from.clone());
        let is_over = !under_way && tries >= HEAL_TRIES_MAX;
        let asks = !under_way && !is_over;
        let late = if asks { self.count_request(now_ms, &from).err() } else { None };
        let wanted = self.missing.get_mut(&chain)?;
        if is_over {
            wanted.given_up = true;
            let told = std::mem::replace(&mut wanted.told, true);
            let n: Vec<u32> = wanted.counters.keys().copied().collect();
            let cid = wanted.chain.cid.clone();
            if !wanted.quiet && !told {
                let reason = format!(
                    "the device of {from} did not answer; what it answers later is still taken"
                );
                out.tell(Event::Unhealed { cid, from, n, reason });
            }
            return None;
        }
        wanted.next_ms = match late {
            Some(until) => until,
            None if under_way => now_ms.saturating_add(HEAL_RETRY_MS),
            None => now_ms.saturating_add(HEAL_RETRY_MS.saturating_mul(1 << tries)),
        };
        if !asks || late.is_some() {
            return None;
        }
        wanted.tries += 1;
        let n = wanted.counters.keys().copied().take(KEYREQ_COUNTERS_MAX).collect();
        let ChainName { cid, e, sk, .. } = wanted.chain.clone();
        Some(Ask { chain, from, counters: Counters { cid, e, sk, n } })
    }

    /// Somebody was asked, by this message.
    pub(crate) fn asked(&mut self, ask: &Ask, request: Option<MessageId>) {
        if let Some(wanted) = self.missing.get_mut(&ask.chain) {
            wanted.request = request;
        }
    }
}

fn too_much(from: &UserName) -> String {
    format!("more of {from} is missing than is asked for at a time")
}

#[cfg(test)]
mod tests;
