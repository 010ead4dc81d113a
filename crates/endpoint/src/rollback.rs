//! A hub that went back to an older state, as after a restore from a backup, or pretends to (rule
//! R36). That is no end: what the hub shows is where the conversation goes on, with a fresh key, and
//! it is told again what it forgot.
//!
//! Nothing that the hub says here is kept: its heads live for one connection.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use chat_protocol::b64::B64Vec;
use chat_protocol::hub::{ClientToHub, EpochHead, Head, Log};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::keys::BundleHeader;
use chat_protocol::limits::REMIND_BYTES_MAX;
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::epochs::Epoch;
use crate::event::Alarm;
use crate::limits::{BEHIND_GRACE_MS, HEADS_MAX, REMIND_WAIT_MS};
use crate::position::Horizon;
use crate::questions::Question;

/// What is noted of a conversation in which the hub seems to have gone back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It has served less than is held here, a moment ago.
    Noticed,
    /// It may only be late. Looked at again at this time, Unix time in milliseconds.
    Suspected(u64),
    /// The hub is reminded at this time, if nobody else has done it by then.
    Remind(u64),
    /// It was reminded. What it still lacks at this time it does not take.
    Reminded(u64),
}

impl Behind {
    pub(crate) fn due_ms(self) -> u64 {
        match self {
            Self::Noticed => 0,
            Self::Suspected(at) | Self::Remind(at) | Self::Reminded(at) => at,
        }
    }
}

impl Endpoint {
    /// Tells a new device the newest position that its home had when the sign-in began, by the row
    /// [`NEWEST_POSITION_ROW`](crate::NEWEST_POSITION_ROW). For a host that reads the rows after it: another process of the home may
    /// have heard of newer ones meanwhile than the hub names in its answer.
    pub fn knew(&mut self, newest: u64) {
        self.before_sign_in = Some(Horizon { newest, era: self.positions.era() });
    }

    /// Compares what was known before a sign-in with the newest position that the hub names in its
    /// answer. One that names a lower one has lost what stood between them, if nothing but direct
    /// messages (rule R36), or had named one that it never gave. It has gone back everywhere: no position from
    /// before compares with what comes.
    pub(crate) fn compare_position(&mut self, before: Horizon, shown: u64) {
        if shown >= before.newest || before.era != self.positions.era() {
            return;
        }
        self.positions.end_at(shown);
        self.tell_rolled_back();
    }

    /// Notes which epoch the hub shows as current; `None` where it shows none.
    pub(crate) fn note_hub_epoch(
        &mut self,
        now_ms: u64,
        cid: &ConversationId,
        epoch: Option<EpochHead>,
    ) {
        if self.link.epochs.len() < HEADS_MAX || self.link.epochs.contains_key(cid) {
            self.link.epochs.insert(cid.clone(), epoch);
        }
        self.suspect(now_ms, cid);
    }

    /// Notes where the hub says that a conversation stands.
    pub(crate) fn note_hub_head(&mut self, now_ms: u64, head: &Head) {
        self.note_head(head);
        self.note_hub_epoch(now_ms, &head.cid, head.epoch);
    }

    /// Whether the hub may have gone back in a conversation; if so, it is looked at again.
    pub(crate) fn suspect(&mut self, now_ms: u64, cid: &ConversationId) {
        if self.hub_is_behind(cid) {
            let at = now_ms.saturating_add(BEHIND_GRACE_MS);
            self.link.behind.entry(cid.clone()).or_insert(Behind::Suspected(at));
            return;
        }
        if self.link.behind.remove(cid).is_some() {
            self.link.dirty.insert(cid.clone());
        }
        self.note_era(cid);
    }

    /// What the hub shows of a conversation belongs to the time after the last alarm, so going back behind
    /// it is another restore. A key and a chain are lost apart from each other.
    fn note_era(&mut self, cid: &ConversationId) {
        if let Some(shown) = self.link.epochs.get(cid).copied().flatten() {
            self.key_stands(&shown.e);
        }
        let place = self.place_of(cid);
        if self.views.of(cid).end == Some(place) {
            self.epochs.links_stand(cid, self.positions.era());
        }
    }

    /// The hub has a key: it shows it, or keeps or delivers what was said with it. So it stands where it stood before
    /// the hub went back, and no later than the newest position that the hub has named.
    pub(crate) fn key_stands(&mut self, e: &Digest) {
        if let Some((cid, place, position)) = self.epochs.stands(e, self.positions.horizon()) {
            self.mark(&cid, place, position);
            self.removals_are_counted(&cid, place);
        }
    }

    /// The keys that stand in the hub's log, as far as is known here.
    pub(crate) fn standing_keys(&self) -> BTreeSet<Digest> {
        let kept = self.epochs.iter();
        kept.filter(|epoch| epoch.position.is_some()).map(|epoch| epoch.head.e).collect()
    }

    /// Another process of the home has written, and other keys stand than these. The hub tells who made a key that it stands,
    /// and no other process of the same device: that this connection was shown the one before says nothing against the hub.
    /// Whatever it shows here from now on is compared with the new one.
    pub(crate) fn keys_stand_since(&mut self, before: &BTreeSet<Digest>) {
        let kept = self.epochs.iter();
        let news = kept.filter(|epoch| epoch.position.is_some() && !before.contains(&epoch.head.e));
        let newest: Vec<(ConversationId, EpochHead)> = news
            .filter(|epoch| {
                let conversation = self.epochs.conversation(&epoch.cid);
                conversation.is_some_and(|c| c.head == Some(epoch.head))
            })
            .map(|epoch| (epoch.cid.clone(), epoch.head))
            .collect();
        for (cid, head) in newest {
            let shown = self.link.epochs.get(&cid);
            if shown
                .is_some_and(|shown| shown.is_none_or(|shown| self.comes_from(head.e, &shown.e)))
            {
                self.link.epochs.insert(cid, Some(head));
            }
        }
    }

    fn hub_is_behind(&self, cid: &ConversationId) -> bool {
        self.epoch_is_behind(cid) || self.chain_is_behind(cid)
    }

    /// The hub shows an epoch as current that this device knows as replaced, or none.
    fn epoch_is_behind(&self, cid: &ConversationId) -> bool {
        let Some(shown) = self.link.epochs.get(cid) else { return false };
        let kept = self.epochs.iter();
        let mut kept = kept.filter(|epoch| epoch.cid == *cid && epoch.position.is_some());
        match shown {
            None => kept.next().is_some(),
            Some(head) => kept.any(|epoch| epoch.pe == head.e),
        }
    }

    /// The hub shows a chain whose end lies within the one held here, of a room that this user is in.
    pub(crate) fn chain_is_behind(&self, cid: &ConversationId) -> bool {
        let Some(room) = self.state.rooms.get(cid) else { return false };
        let Some(end) = self.views.of(cid).end else { return false };
        end.mg < room.next() && self.is_in(room) && self.has_place(cid, end)
    }

    /// Whether the hub is told first what it forgot of a room: what is asked for and said there waits.
    pub(crate) fn is_told_first(&self, cid: &ConversationId) -> bool {
        self.link.behind.contains_key(cid) && self.chain_is_behind(cid)
    }

    /// Whether the deliveries of a log wait, because it is open if the hub has gone back there: a new era may begin, and
    /// they are judged by their positions in that one. Not for long: see [`Endpoint::look_behind`].
    pub(crate) fn awaits_settling(&mut self, log: &Log) -> bool {
        let Log::Conversation(cid) = log else { return false };
        let is_open = self.is_suspected(cid);
        if is_open && !self.link.unsettled.contains(cid) {
            self.link.unsettled.insert(cid.clone());
        }
        is_open
    }

    fn is_suspected(&self, cid: &ConversationId) -> bool {
        matches!(self.link.behind.get(cid), Some(Behind::Noticed | Behind::Suspected(_)))
    }

    /// Goes on with deliveries of conversations in which that is settled.
    pub(crate) fn receive_settled(&mut self, now_ms: u64) {
        let settled = self.link.unsettled.iter().filter(|cid| !self.is_suspected(cid));
        for cid in settled.cloned().collect::<Vec<_>>() {
            self.link.unsettled.remove(&cid);
            self.receive_waiting(now_ms, &Log::Conversation(cid));
        }
    }

    /// When the next conversation is to be looked at.
    pub(crate) fn behind_deadline(&self) -> Option<u64> {
        self.link.behind.values().map(|behind| behind.due_ms()).min()
    }

    /// Looks again at what was suspected, and reminds the hub of what it lacks.
    pub(crate) fn look_behind(&mut self, now_ms: u64) {
        let due = self.link.behind.iter().filter(|(_, behind)| behind.due_ms() <= now_ms);
        let due: Vec<(ConversationId, Behind)> =
            due.map(|(cid, behind)| (cid.clone(), *behind)).collect();
        for (cid, behind) in due {
            if !self.hub_is_behind(&cid) {
                self.link.behind.remove(&cid);
                self.link.dirty.insert(cid);
                continue;
            }
            match behind {
                Behind::Noticed => {
                    let at = now_ms.saturating_add(BEHIND_GRACE_MS);
                    self.link.behind.insert(cid, Behind::Suspected(at));
                }
                Behind::Suspected(_) => {
                    let keys = self.link.epochs.get(&cid).and_then(|shown| {
                        self.lost_keys_stood(&cid, |epoch| {
                            let e = epoch.head.e;
                            shown.is_none_or(|head| {
                                self.comes_after(e, &head.e) || self.is_lost_head(&cid, e, head)
                            })
                        })
                    });
                    self.went_back(now_ms, &cid, keys);
                }
                Behind::Remind(_) => self.remind(now_ms, &cid),
                Behind::Reminded(_) => {
                    self.link.behind.remove(&cid);
                    if self.chain_is_behind(&cid) {
                        self.link.reminded_in_vain.insert(cid.clone());
                        self.view_anew(&cid);
                    }
                    self.link.dirty.insert(cid);
                }
            }
        }
    }

    /// The hub has gone back in a conversation; `keys` tells when it last showed one of the keys that it has
    /// lost. One alarm for each time that it does: what else was seen before the last time is part of it.
    fn went_back(&mut self, now_ms: u64, cid: &ConversationId, keys: Option<u64>) {
        let chain = self.epochs.conversation(cid).map_or(0, |held| held.chain_stood);
        let chain = self.chain_is_behind(cid).then_some(chain);
        if keys.max(chain) >= Some(self.positions.era()) {
            self.tell_rolled_back();
            let shown = self.link.epochs.keys().filter(|other| !self.hub_is_behind(other));
            for other in shown.cloned().collect::<Vec<_>>() {
                self.note_era(&other);
            }
        }
        if !self.chain_is_behind(cid) {
            // No link is lost: the next key goes on from what the hub shows.
            self.link.behind.remove(cid);
            self.link.dirty.insert(cid.clone());
            return;
        }
        let wait = u64::from_be_bytes(self.out.random()) % REMIND_WAIT_MS;
        self.link.behind.insert(cid.clone(), Behind::Remind(now_ms.saturating_add(wait)));
    }

    /// When the hub last showed one of the keys that it has lost; nothing where it has lost none.
    fn lost_keys_stood(
        &self,
        cid: &ConversationId,
        is_lost: impl Fn(&Epoch) -> bool,
    ) -> Option<u64> {
        let kept = self.epochs.iter();
        let kept = kept.filter(|epoch| epoch.cid == *cid && epoch.position.is_some());
        kept.filter(|epoch| is_lost(epoch)).map(|epoch| epoch.stood).max()
    }

    /// Whether an epoch is the newest one known of a conversation whose hub shows a replaced one. With a key between
    /// them that is not held, `pe` does not lead from the one to the other.
    fn is_lost_head(&self, cid: &ConversationId, e: Digest, shown: EpochHead) -> bool {
        let conversation = self.epochs.conversation(cid);
        let is_head = conversation.and_then(|c| c.head).is_some_and(|head| head.e == e);
        is_head && self.epoch_is_behind(cid) && !self.comes_from(shown.e, &e)
    }

    /// Tells that the hub has gone back. A new era begins.
    fn tell_rolled_back(&mut self) {
        self.positions.begin_era();
        self.mark_all_epochs();
        self.removals_are_due_again();
        self.settings_may_be_lost(self.link.clock_ms);
        let detail = "the server shows an older state than it had, as after a restore from a \
            backup; what it lost is told it again, and what is missing is asked for";
        self.out.alarm(Alarm::RolledBack, &UserName::server(), detail);
    }

    /// The hub has put an epoch at a position. One that replaces what another one has replaced already shows
    /// that it forgot that one, however soon it went on; and so does one that cannot stand in one log with
    /// another one which the hub has shown since the last alarm, where a key between them is not held.
    pub(crate) fn note_put_twice(&mut self, e: &Digest, position: u64) {
        let Some(epoch) = self.epochs.get(e) else { return };
        let (cid, head, pe, era) = (epoch.cid.clone(), epoch.head, epoch.pe, self.positions.era());
        let is_forgotten = |other: &Epoch| {
            let contradicts = || other.stood == era && !fit(other, (head, pe, position), era);
            other.cid == cid && other.head.e != *e && (other.pe == pe || contradicts())
        };
        let placed = |epoch: &Epoch| epoch.position.is_some();
        if self.epochs.iter().any(|other| placed(other) && is_forgotten(other)) {
            // What comes from the new one was delivered before it, and is not lost.
            let is_lost = |other: &Epoch| {
                (self.comes_after(other.head.e, &pe) || is_forgotten(other))
                    && !self.comes_from(other.head.e, e)
            };
            let keys = self.lost_keys_stood(&cid, is_lost);
            self.went_back(self.link.clock_ms, &cid, keys);
        }
    }

    /// Tells the hub which links it forgot of a room, with the bundles of those who signed them.
    /// Everything in it proves itself. Once in a connection: a hub that shows an older end again and again
    /// is sent nothing more, and nothing more of it is kept for an answer. Which other bundles it lacks, its answers about people tell.
    fn remind(&mut self, now_ms: u64, cid: &ConversationId) {
        let until = now_ms.saturating_add(BEHIND_GRACE_MS);
        self.link.behind.insert(cid.clone(), Behind::Reminded(until));
        if !self.link.reminded_chains.insert(cid.clone()) {
            return;
        }
        let first = self.views.of(cid).end.map_or(0, |end| end.mg);
        let next = self.state.rooms.get(cid).map_or(0, Membership::next);
        let lost: Vec<_> = (first..next).filter_map(|n| self.kept_link(cid, n)).collect();
        let signers: BTreeSet<&UserName> = lost.iter().map(|link| &link.by).collect();
        let links: Vec<B64Vec> = lost.iter().filter_map(|link| link.frame.clone()).collect();
        // Those of the keys that signed the links come first: the hub takes only newer ones behind.
        let bundles = self.bundles_about(&links, signers);
        self.send_reminders(bundles, links);
    }

    /// Sends reminders in messages of a size that the hub takes; bundles first, because links are
    /// verified with them.
    pub(crate) fn send_reminders(&mut self, bundles: Vec<B64Vec>, links: Vec<B64Vec>) {
        let mut room = REMIND_BYTES_MAX;
        let mut page = (Vec::new(), Vec::new());
        let items =
            bundles.into_iter().map(|b| (true, b)).chain(links.into_iter().map(|l| (false, l)));
        for (is_bundle, item) in items {
            let bytes = item.0.len();
            if bytes > room && room < REMIND_BYTES_MAX {
                let (bundles, links) = std::mem::take(&mut page);
                self.send_reminder(bundles, links);
                room = REMIND_BYTES_MAX;
            }
            room = room.saturating_sub(bytes);
            if is_bundle { page.0.push(item) } else { page.1.push(item) }
        }
        if !(page.0.is_empty() && page.1.is_empty()) {
            self.send_reminder(page.0, page.1);
        }
    }

    /// Sends one reminder.
    fn send_reminder(&mut self, bundles: Vec<B64Vec>, links: Vec<B64Vec>) {
        let of = bundles.iter().filter_map(|bundle| BundleHeader::peek(&bundle.0));
        let of = of.map(|header| header.u).collect();
        self.send_reminder_of(of, bundles, links);
    }

    /// The same about these people; the id under which it is answered.
    pub(crate) fn send_reminder_of(
        &mut self,
        of: BTreeSet<UserName>,
        bundles: Vec<B64Vec>,
        links: Vec<B64Vec>,
    ) -> MessageId {
        let again = Question::Remind { of, bundles: bundles.clone(), links: links.clone() };
        let id = self.request(again);
        self.out.text(&ClientToHub::Remind { id, bundles, links });
        id
    }

    /// The next epoch's generation and the epoch before it: by the hub's word on this connection, or
    /// by what was seen last.
    pub(crate) fn known_head(&self, cid: &ConversationId) -> Option<EpochHead> {
        match self.link.epochs.get(cid) {
            Some(shown) => *shown,
            None => self.epochs.conversation(cid).and_then(|c| c.head),
        }
    }

    /// Whether an epoch comes behind the known one, or is it. That is by `pe`; the number tells only where
    /// a key between them is not held.
    fn is_newer(&self, head: EpochHead, pe: Digest, known: EpochHead) -> bool {
        known.e == head.e
            || self.comes_from(pe, &known.e)
            || (known.g < head.g && !self.comes_from(known.e, &head.e))
    }

    /// Whether an epoch is another one, or has it before itself, by the keys that are held.
    fn comes_from(&self, mut e: Digest, other: &Digest) -> bool {
        for _ in 0..=self.epochs.len() {
            if e == *other {
                return true;
            }
            let Some(epoch) = self.epochs.get(&e) else { return false };
            e = epoch.pe;
        }
        false
    }

    /// Whether an epoch has another one before itself.
    fn comes_after(&self, e: Digest, other: &Digest) -> bool {
        e != *other && self.comes_from(e, other)
    }

    /// A key has come, or one of ours was kept: whether it is newer than what is known decides the
    /// order of the epochs, which is that of `pe`.
    pub(crate) fn note_epoch(&mut self, cid: &ConversationId, head: EpochHead, pe: Digest) {
        let known = self.known_head(cid);
        if known.is_some_and(|known| !self.is_newer(head, pe, known)) {
            return;
        }
        self.link.epochs.insert(cid.clone(), Some(head));
        if self.epochs.note_newest(cid, head) {
            self.race_is_over(cid);
        }
    }
}

/// Whether two epochs can stand in one log of a hub that has not gone back: each counts one more than the one that it
/// replaces, so none counts as many as another one, neighbours are linked, and the numbers grow with the positions. Positions
/// compare since the hub went back last.
fn fit(stored: &Epoch, (head, pe, position): (EpochHead, Digest, u64), era: u64) -> bool {
    let follows = |later: u32, earlier: u32| earlier.checked_add(1) == Some(later);
    let are_linked = match stored.head.g.cmp(&head.g) {
        Ordering::Equal => false,
        Ordering::Less => !follows(head.g, stored.head.g) || pe == stored.head.e,
        Ordering::Greater => !follows(stored.head.g, head.g) || stored.pe == head.e,
    };
    let is_in_order = stored.era != era
        || stored.position.is_none_or(|at| at.cmp(&position) == stored.head.g.cmp(&head.g));
    are_linked && is_in_order
}
