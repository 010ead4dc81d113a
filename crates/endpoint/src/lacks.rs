//! Bundles that the hub had and lost, as it shows with its answers about people (rule R36): it is told
//! them again, and until then no epoch is made that it would refuse because of them.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::hub::PersonBundles;
use chat_protocol::id::{Digest, KeyId, Nonce16};
use chat_protocol::keys::{Bundle, DeviceMark};
use chat_protocol::name::{ConversationId, UserName};

use crate::endpoint::Endpoint;
use crate::limits::{AWAY_SOON_MS, BEHIND_GRACE_MS, REMIND_WAIT_MS};

/// What is done about the bundles of a person that the hub lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// The hub is told at this time, Unix time in milliseconds, if nobody else has done it by then.
    Tell(u64),
    /// It was told. What it still lacks at this time it does not take, or not soon.
    Told(u64),
    /// It has put that off, and takes it later if at all. Only what is for this person alone waits for that.
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
        let offered: Option<Vec<Bundle>> = offered.map(|offered| {
            let bundles = offered.bundles.iter();
            bundles.filter_map(|bytes| self.people.verify(bytes)).collect()
        });
        let lacking = offered.as_ref().map(|offered| self.lacking(name, offered));
        let lacking = lacking.unwrap_or_default();
        let is_news = lacking.iter().any(|bundle| !self.link.lacks.told.contains(&bundle.digest()));
        if !is_news {
            let differs = offered.is_some_and(|offered| self.has_other_devices(name, &offered));
            self.note_differing(name, differs);
            if !(differs && self.out.questions.is_telling(name)) {
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

    /// The newest bundles of a person's live devices that are not among those offered, nor older than
    /// those. A hub by which the name has another identity takes none of them, and lacks none.
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
            offered.iter().any(|bundle| bundle.header().sk.iter().any(|key| key.kid == *sk))
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
        let mut shown = BTreeMap::<Nonce16, &Bundle>::new();
        for bundle in offered {
            let newest = shown.entry(bundle.header().dev).or_insert(bundle);
            if newest.header().seq < bundle.header().seq {
                *newest = bundle;
            }
        }
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

    /// Whether the hub was not told of a bundle on this connection. From now on it was.
    pub(crate) fn is_told_first_time(&mut self, bundle: &Bundle) -> bool {
        self.link.lacks.told.insert(bundle.digest())
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
                Lack::Tell(_) => {
                    let given = self.people.given_revoking(&name);
                    for bundle in self.people.devices(&name).chain(&given) {
                        self.link.lacks.told.insert(bundle.digest());
                        bundles.push(B64Vec(bundle.bytes().to_vec()));
                    }
                    let until = Lack::Told(now_ms.saturating_add(BEHIND_GRACE_MS));
                    self.link.lacks.of.insert(name, until);
                }
                Lack::Told(_) | Lack::PutOff => {
                    self.lacks_no_more(&name);
                    if self.out.questions.is_telling(&name) {
                        self.link.lacks.of.insert(name, Lack::PutOff);
                    }
                }
            }
        }
        self.send_reminders(bundles, Vec::new());
    }

    /// The hub has answered what it was told of these people: it has taken it, or it does not.
    pub(crate) fn has_reminded(&mut self, of: &BTreeSet<UserName>) {
        for name in of {
            if !self.out.questions.is_telling(name) && !self.is_to_be_told_of(name) {
                self.lacks_no_more(name);
            }
        }
    }

    fn is_to_be_told_of(&self, name: &UserName) -> bool {
        matches!(self.link.lacks.of.get(name), Some(Lack::Tell(_)))
    }
}
