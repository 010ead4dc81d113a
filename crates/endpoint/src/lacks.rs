//! Bundles that the hub had and lost, as it shows with its answers about people (rule R36): it is told
//! them again, and until then no epoch is made that it would refuse because of them.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::hub::PersonBundles;
use chat_protocol::id::{Digest, KeyId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceMark};
use chat_protocol::limits::REMIND_BYTES_MAX;
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::event::Alarm;
use crate::limits::{
    AWAY_SOON_MS, REMIND_WAIT_MS, REMINDED_WAIT_MS, TOLD_BUNDLES_MAX, UNDECIDED_MS,
};

/// What is done about the bundles of a person that the hub lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// The hub is told at this time, Unix time in milliseconds, if nobody else has done it by then.
    Tell(u64),
    /// It was told, and has until then to answer.
    Told(u64),
    /// It has put that off, or says nothing, and takes it later if at all. Only what is for this person alone waits for
    /// that.
    PutOff,
}

impl Lack {
    fn due_ms(self) -> Option<u64> {
        match self {
            Self::Tell(at) | Self::Told(at) => Some(at),
            Self::PutOff => None,
        }
    }
}

/// What the hub lacks, by its word on one connection.
#[derive(Debug, Default)]
pub(crate) struct Lacks {
    of: BTreeMap<UserName, Lack>,
    /// Bundles that it was told of: once is enough.
    told: BTreeSet<Digest>,
    /// People whom it does not know, and whom this device does.
    unknown: BTreeSet<UserName>,
    /// It has refused a key because of the devices of members.
    has_refused: bool,
    /// People of whom it shows other live devices than are held here, and has taken nothing else.
    differing: BTreeSet<UserName>,
    /// Until when it has to show what was handed over of this user's other devices and counts only then, Unix time in
    /// milliseconds; and the keys of which this user was told that it does not.
    undecided_until: Option<u64>,
    undecided_told: BTreeSet<KeyId>,
    /// Keys of this user's other devices that were revoked, and that by its word no newest bundle revokes.
    taken_back: BTreeSet<KeyId>,
}

impl Endpoint {
    /// Compares what the hub has of a person with what is held here; `None` where it says that it has
    /// the same.
    pub(crate) fn compare_bundles(
        &mut self,
        now_ms: u64,
        name: &UserName,
        offered: Option<&PersonBundles>,
    ) {
        if *name == self.device.user {
            self.tell_undecided();
        }
        let offered: Option<Vec<Bundle>> = offered.map(|offered| {
            let bundles = offered.bundles.iter();
            bundles.filter_map(|bytes| self.people.verify(bytes)).collect()
        });
        if *name == self.device.user {
            self.note_taken_back(offered.as_deref());
        }
        let lacking = offered.as_ref().map(|offered| self.lacking(name, offered));
        let lacking = lacking.unwrap_or_default();
        let is_news = lacking.iter().any(|bundle| !self.link.lacks.told.contains(&bundle.digest()));
        let is_telling = self.out.questions.is_telling(name);
        if is_telling || !is_news {
            // There is one reminder of a person at a time: what is known since then follows its answer.
            let differs = offered.is_some_and(|offered| self.has_other_devices(name, &offered));
            self.note_differing(name, differs);
            if is_telling && (differs || is_news) {
                self.link.lacks.of.entry(name.clone()).or_insert(Lack::PutOff);
            } else {
                self.lacks_no_more(name);
            }
            return;
        }
        // One's own are brought at once: nobody is surer to have them.
        let wait = u64::from_be_bytes(self.out.random()) % REMIND_WAIT_MS;
        let wait = if *name == self.device.user { 0 } else { wait };
        let tell = Lack::Tell(now_ms.saturating_add(wait));
        self.link.lacks.of.entry(name.clone()).or_insert(tell);
    }

    /// The newest bundles of a person's live devices that are not among those offered, nor older than those; and those
    /// that revoke one of the devices offered. A hub by which the name has another identity takes none of them, and lacks
    /// none.
    fn lacking(&self, name: &UserName, offered: &[Bundle]) -> Vec<Bundle> {
        let expected = self.expected_identity(name);
        if offered.iter().any(|bundle| Some(bundle.identity()) != expected) {
            return Vec::new();
        }
        let is_offered = |held: &Bundle| {
            let (dev, seq) = (held.header().dev, held.header().seq);
            offered.iter().any(|b| b.header().dev == dev && b.header().seq >= seq)
        };
        let is_live = |bundle: &Bundle| {
            let now_ms = self.link.clock_ms;
            let is_revoked = |sk: &_| self.people.is_revoked(name, sk);
            DeviceMark::of(bundle).is_some_and(|mark| mark.is_live(now_ms, is_revoked))
        };
        let held = self.people.devices(name).filter(|bundle| is_live(bundle));
        let held = held.filter(|bundle| !is_offered(bundle)).cloned();
        let given = self.people.given_revoking(name).into_iter();
        let shows = |sk: &KeyId| {
            let mut in_use = offered.iter().filter_map(|bundle| bundle.header().sk.first());
            in_use.any(|key| key.kid == *sk)
        };
        held.chain(given.filter(|given| given.header().rev.iter().any(shows))).collect()
    }

    /// Whether the live devices that the hub shows of a person are others than those held here. Those that are away
    /// for too long about now count on neither side: clocks differ.
    fn has_other_devices(&self, name: &UserName, offered: &[Bundle]) -> bool {
        let expected = self.expected_identity(name);
        if offered.iter().any(|bundle| Some(bundle.identity()) != expected) {
            // Another identity is offered, or nobody's: that is told otherwise.
            return false;
        }
        let shown = newest_of(offered);
        // By what is offered alone: a hub that has begun anew may have forgotten what an older bundle revokes.
        let revokes = |sk: &KeyId| shown.values().any(|bundle| bundle.header().rev.contains(sk));
        let soon_ms = self.link.clock_ms.saturating_add(AWAY_SOON_MS);
        let live = |bundle: &Bundle, is_revoked: &dyn Fn(&KeyId) -> bool| {
            DeviceMark::of(bundle).is_some_and(|mark| mark.is_live(soon_ms, is_revoked))
        };
        let theirs = shown.values().filter(|bundle| live(bundle, &revokes));
        let theirs: BTreeSet<Digest> = theirs.map(|bundle| bundle.digest()).collect();
        let is_revoked = |sk: &KeyId| self.people.is_revoked(name, sk);
        let ours = self.people.devices(name).filter(|bundle| live(bundle, &is_revoked));
        theirs != ours.map(Bundle::digest).collect()
    }

    /// Notes which of this user's other devices were revoked, and by the hub's word no newest bundle says so: of those that
    /// are offered, or where none are of those held, which are the same. Whether it offers such a device is nothing to go by:
    /// it may count it as revoked by a bundle of before, and show nobody why.
    fn note_taken_back(&mut self, offered: Option<&[Bundle]>) {
        let (own, people) = (&self.device, &self.people);
        let named: BTreeSet<KeyId> = match offered {
            Some(offered) => {
                newest_of(offered).values().flat_map(|b| b.header().rev.clone()).collect()
            }
            None => people.devices(&own.user).flat_map(|b| b.header().rev.clone()).collect(),
        };
        let others = people.devices(&own.user).filter(|bundle| bundle.header().dev != own.dev);
        let in_use = others.filter_map(|bundle| bundle.header().sk.first()).map(|key| key.kid);
        // Whoever has the identity key publishes this device's own key under another number.
        let is_other = |sk: &KeyId| *sk != own.keys.signing_id();
        let is_revoked = |sk: &KeyId| is_other(sk) && people.is_shown_revoked(&own.user, sk);
        let lost = in_use.filter(|sk| is_revoked(sk) && !named.contains(sk)).collect();
        self.link.lacks.taken_back = lost;
    }

    /// Whether a device of this user was revoked, and the hub shows no bundle that says so.
    pub(crate) fn is_taken_back(&self, sk: &KeyId) -> bool {
        self.link.lacks.taken_back.contains(sk)
    }

    /// The key of another device of this user that was revoked by a bundle which the hub shows no more, or has not taken: the
    /// next one of this device has to say it again. What the bundle of this device says counts when the hub has it.
    pub fn revocation_to_repeat(&self) -> Option<KeyId> {
        self.link.lacks.taken_back.first().copied()
    }

    /// Notes whether a person is left out of what is sealed in rooms, because no key with their devices is taken: not
    /// before the hub has refused one, nor while it may yet learn in a moment what it lacks of this person. What it puts
    /// off, and what it lacks of others, is no reason to wait: whose devices they are could see to it that it never ends.
    fn note_differing(&mut self, name: &UserName, differs: bool) {
        let lacks = &mut self.link.lacks;
        let is_open = matches!(lacks.of.get(name), Some(Lack::Tell(_) | Lack::Told(_)));
        let is_concluded = lacks.has_refused && !is_open;
        let is_news = match differs {
            true if is_concluded && *name != self.device.user => {
                lacks.differing.insert(name.clone())
            }
            true => false,
            false => lacks.differing.remove(name),
        };
        if is_news {
            self.audiences_changed();
        }
    }

    /// Whether the hub has other devices of a person than are held here.
    pub(crate) fn is_differing(&self, name: &UserName) -> bool {
        self.link.lacks.differing.contains(name)
    }

    /// People of whom that is so.
    pub(crate) fn differing(&self) -> &BTreeSet<UserName> {
        &self.link.lacks.differing
    }

    /// The hub has refused a key because of the devices of members.
    pub(crate) fn devices_were_refused(&mut self) {
        self.link.lacks.has_refused = true;
    }

    /// Somebody has told the hub, or it has what it takes.
    pub(crate) fn lacks_no_more(&mut self, name: &UserName) {
        if self.link.lacks.of.remove(name).is_some() {
            let drafts = self.outbox.iter().map(|(_, outgoing)| &outgoing.cid);
            let waiting = drafts.chain(self.due_rooms()).chain(&self.link.renew);
            let waiting: Vec<ConversationId> =
                waiting.filter(|cid| self.has_known(cid, name)).cloned().collect();
            self.link.dirty.extend(waiting);
        }
    }

    /// Notes whom the hub does not know of those asked for. Who is known here is somebody whom it has
    /// lost, and nothing is sealed for them until they have signed up again.
    pub(crate) fn note_unknown(&mut self, names: &[UserName], unknown: &[UserName]) {
        let mut is_news = false;
        for name in names {
            let is_lost = unknown.contains(name) && self.people.devices(name).next().is_some();
            let lost = &mut self.link.lacks.unknown;
            is_news |= if is_lost { lost.insert(name.clone()) } else { lost.remove(name) };
        }
        if is_news {
            self.audiences_changed();
        }
    }

    /// Whether the hub has lost somebody's account.
    pub(crate) fn is_unknown_to_hub(&self, name: &UserName) -> bool {
        self.link.lacks.unknown.contains(name)
    }

    /// People of whom the hub says so.
    pub(crate) fn unknown_to_hub(&self) -> &BTreeSet<UserName> {
        &self.link.lacks.unknown
    }

    /// These people have signed in: who was unknown has an account again.
    pub(crate) fn unknown_came(&mut self, names: &[UserName]) {
        let unknown = &self.link.lacks.unknown;
        let back: Vec<UserName> = names.iter().filter(|n| unknown.contains(*n)).cloned().collect();
        if !back.is_empty() {
            self.on_keys(&back);
        }
    }

    /// Whether the hub is about to be told of keys that an epoch of this conversation needs. Nobody waits for those of
    /// whom the epoch leaves out.
    pub(crate) fn hub_lacks_keys_for(&self, cid: &ConversationId) -> bool {
        let awaits = |name: &UserName| match self.link.lacks.of.get(name) {
            Some(Lack::Tell(_) | Lack::Told(_)) => !self.is_left_out(cid, name),
            Some(Lack::PutOff) => cid.is_direct(),
            None => false,
        };
        !self.link.lacks.of.is_empty() && self.people_of(cid).iter().any(awaits)
    }

    /// Whether the hub may still learn what it lacks of a person.
    pub(crate) fn is_being_told_of(&self, name: &UserName) -> bool {
        self.link.lacks.of.contains_key(name)
    }

    /// When the next is to be done about what the hub lacks.
    pub(crate) fn lacks_deadline(&self) -> Option<u64> {
        self.link.lacks.of.values().filter_map(|lack| lack.due_ms()).min()
    }

    /// Tells the hub what it lacks.
    pub(crate) fn tell_lacks(&mut self, now_ms: u64) {
        let is_due = |lack: &Lack| lack.due_ms().is_some_and(|at| at <= now_ms);
        let due = self.link.lacks.of.iter().filter(|(_, lack)| is_due(lack));
        let due: Vec<(UserName, Lack)> = due.map(|(name, lack)| (name.clone(), *lack)).collect();
        let mut bundles = Vec::new();
        for (name, lack) in due {
            match lack {
                Lack::Tell(_) if !self.out.questions.is_telling(&name) => {
                    let of_person = self.untold(&name);
                    if of_person.is_empty() {
                        self.lacks_no_more(&name);
                        continue;
                    }
                    bundles.extend(of_person);
                    let until = Lack::Told(now_ms.saturating_add(REMINDED_WAIT_MS));
                    self.link.lacks.of.insert(name, until);
                }
                Lack::Tell(_) | Lack::Told(_) | Lack::PutOff => self.wait_no_more(&name),
            }
        }
        self.send_reminders(bundles, Vec::new());
    }

    /// The bundles of a person of which the hub was not told on this connection. From now on it was.
    fn untold(&mut self, name: &UserName) -> Vec<B64Vec> {
        let given = self.people.given_revoking(name);
        let all = self.people.devices(name).chain(&given);
        let told = &mut self.link.lacks.told;
        if told.len() >= TOLD_BUNDLES_MAX {
            told.clear();
        }
        let news = all.filter(|bundle| told.insert(bundle.digest()));
        news.map(|bundle| B64Vec(bundle.bytes().to_vec())).collect()
    }

    /// What the hub was told of a person it takes later if at all.
    fn wait_no_more(&mut self, name: &UserName) {
        self.lacks_no_more(name);
        if self.out.questions.is_telling(name) {
            self.link.lacks.of.insert(name.clone(), Lack::PutOff);
        }
    }

    /// The hub has put off what it was told of these people.
    pub(crate) fn reminder_put_off(&mut self, of: &BTreeSet<UserName>) {
        for name in of {
            if matches!(self.link.lacks.of.get(name), Some(Lack::Told(_))) {
                self.wait_no_more(name);
            }
        }
    }

    /// Tells the hub of what was handed over of this user's devices and counts only when it shows that. It says whose it is
    /// to nobody here: nothing waits for the answer, because whoever has the identity key can see to it that none comes.
    pub(crate) fn tell_undecided(&mut self) {
        self.await_undecided();
        if self.out.questions.is_telling_idly() {
            return;
        }
        let mut room = REMIND_BYTES_MAX;
        let mut bundles = Vec::new();
        for bundle in self.people.given_undecided() {
            let rest = room.checked_sub(bundle.bytes().len());
            if let Some(rest) = rest.filter(|_| self.link.lacks.told.insert(bundle.digest())) {
                room = rest;
                bundles.push(B64Vec(bundle.bytes().to_vec()));
            }
        }
        if !bundles.is_empty() {
            self.send_reminder_of(BTreeSet::new(), bundles, Vec::new());
        }
    }

    /// This user is told, after a while, what the hub does not show of that, whether it was told or not.
    pub(crate) fn await_undecided(&mut self) {
        let lacks = &mut self.link.lacks;
        let is_told = |sk: &KeyId| lacks.undecided_told.contains(sk);
        if !self.people.undecided().iter().all(is_told) {
            let until = self.link.clock_ms.saturating_add(UNDECIDED_MS);
            lacks.undecided_until.get_or_insert(until);
        }
    }

    /// The hub has answered what it was told of these people: it has taken it, or it does not.
    pub(crate) fn has_reminded(&mut self, of: &BTreeSet<UserName>) {
        for name in of {
            if self.out.questions.is_telling(name) || self.is_to_be_told_of(name) {
                continue;
            }
            if self.link.lacks.of.contains_key(name) && self.has_more_to_tell(name) {
                // It came while the hub was being told.
                self.link.lacks.of.insert(name.clone(), Lack::Tell(self.link.clock_ms));
            } else {
                self.lacks_no_more(name);
            }
        }
    }

    /// Whether a bundle was handed over that takes a device away which the hub shows, and the hub was not told of it.
    fn has_more_to_tell(&self, name: &UserName) -> bool {
        let given = self.people.given_revoking(name);
        let told = &self.link.lacks.told;
        self.people.is_disputed(name) && given.iter().any(|given| !told.contains(&given.digest()))
    }

    /// When the hub should have shown what it was told of this user's other devices.
    pub(crate) fn undecided_deadline(&self) -> Option<u64> {
        self.link.lacks.undecided_until
    }

    /// It has not: its user decides what is true of it, once in a connection of each device.
    pub(crate) fn settle_undecided(&mut self, now_ms: u64) {
        if self.undecided_deadline().is_none_or(|at| at > now_ms) {
            return;
        }
        let lacks = &mut self.link.lacks;
        lacks.undecided_until = None;
        let mut news = self.people.undecided();
        news.retain(|sk| lacks.undecided_told.insert(*sk));
        let me = self.device.user.clone();
        let devices = self.known_devices(now_ms, &me).into_iter();
        let devices = devices.filter(|device| news.contains(&device.sk));
        let words: Vec<String> = devices.map(|device| device.words.to_string()).collect();
        if !words.is_empty() {
            let detail = format!(
                "somebody who has your identity key says that a device of yours is revoked ({words}), and the server does \
                 not show that: what you say is sealed for that device until you revoke it",
                words = words.join("; ")
            );
            self.out.alarm(Alarm::SealsForRemoved, &me, &detail);
        }
    }

    fn is_to_be_told_of(&self, name: &UserName) -> bool {
        matches!(self.link.lacks.of.get(name), Some(Lack::Tell(_)))
    }
}

/// The newest of each device among bundles.
fn newest_of(bundles: &[Bundle]) -> BTreeMap<Nonce16, &Bundle> {
    let mut newest_of = BTreeMap::<Nonce16, &Bundle>::new();
    for bundle in bundles {
        let newest = newest_of.entry(bundle.header().dev).or_insert(bundle);
        if newest.header().seq < bundle.header().seq {
            *newest = bundle;
        }
    }
    newest_of
}
