//! What there is: Redis, three hubs, and what is on its way between them.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::id::Digest;
use chat_server::order::opening::line::{Began, Line};
use chat_server::order::opening::{Heard, Question, Said, Words};
use chat_server::order::redis::word::Word;

pub(crate) const HUBS: usize = 3;

/// A turn of the log: a batch of one life of a hub. The first one of a life tells the others that it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) hub: u8,
    pub(crate) life: u8,
    pub(crate) number: u8,
    pub(crate) generation: u8,
}

impl Entry {
    /// Whose batch it is, and which: it may be in the log once.
    pub(crate) fn id(self) -> (u8, u8, u8) {
        (self.hub, self.life, self.number)
    }
}

/// What Redis has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Redis {
    /// Which Redis it is: another number after each start.
    pub(crate) run: u8,
    pub(crate) meta: Option<Meta>,
    pub(crate) stream: Vec<Entry>,
    /// The last turn that a hub has said to have, since the log was open, when it was lacking here.
    pub(crate) told: u64,
    /// What hubs have said, and who opens, by the Redis that it was said of.
    pub(crate) openings: BTreeMap<u8, Opening>,
    /// It is one of before: its last turns are some that the log was opened without.
    pub(crate) is_old: bool,
}

/// What is said of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Meta {
    /// The Redis that the log is open for; none while it is being filled.
    pub(crate) run: Option<u8>,
    pub(crate) generation: u8,
    /// The last number of each life that may write.
    pub(crate) numbers: BTreeMap<(u8, u8), u8>,
    /// Where each generation began.
    pub(crate) openings: BTreeMap<u64, Began>,
}

impl Meta {
    /// The openings that led to where the log is.
    pub(crate) fn line(&self) -> Line {
        Line::to(self.generation.into(), &self.openings)
    }

    /// The same as they are noted, also those that are passed over.
    pub(crate) fn noted(&self) -> BTreeMap<u64, Began> {
        let (line, mut noted) = (self.line(), self.openings.clone());
        noted.retain(|generation, _| line.has(*generation));
        noted
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Opening {
    pub(crate) heard: Heard,
    pub(crate) opener: Option<u8>,
    /// Whom the opener goes on without.
    pub(crate) without: BTreeSet<u32>,
}

/// Where a hub is in an opening.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// In none.
    #[default]
    Out,
    /// It has said how far it is, of this Redis.
    Said { run: u8 },
    /// It has decided to open: the newest generation that anybody knows, and the one that the next one stands behind.
    Decided { run: u8, generation: u8, before: u8 },
    /// It is who opens, and adds what is lacking.
    Opener { run: u8, generation: u8, before: u8 },
    /// It has noted the generation that it is about to begin.
    Ready { run: u8, generation: u8, before: u8 },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and worlds have any of them"
)]
pub(crate) struct Hub {
    pub(crate) is_up: bool,
    pub(crate) life: u8,
    /// Its copy: what it has read back.
    pub(crate) applied: Vec<Entry>,
    /// The newest generation that it has noted.
    pub(crate) generation: u8,
    /// The openings that the log has gone through, as it knows.
    pub(crate) openings: BTreeMap<u64, Began>,
    /// Its last number.
    pub(crate) number: u8,
    /// A batch that was sent and not read back yet.
    pub(crate) sent: Option<Entry>,
    pub(crate) place: Place,
    /// It is up since before Redis was another one.
    pub(crate) is_here: bool,
    /// It was started, and has not been at the end of the open log since.
    pub(crate) is_new: bool,
    /// It has read something else than the others, and has stopped.
    pub(crate) is_forked: bool,
    /// Its folder was put back to an earlier state.
    pub(crate) is_restored: bool,
    /// At how many closings it has asked the others: what it asks with is another number at each.
    pub(crate) asked: u8,
    /// It does so at this one.
    pub(crate) is_asking: bool,
}

impl Hub {
    /// The openings that it knows.
    pub(crate) fn line(&self) -> Line {
        let newest = self.openings.last_key_value().map_or(0, |(generation, _)| *generation);
        Line::to(newest, &self.openings).agreed(|turn| self.chain_at(turn))
    }

    /// What it asks the others with.
    pub(crate) fn asks(&self) -> Question {
        Question(self.asked.into())
    }

    /// The generation that its last turn was read from.
    pub(crate) fn read_from(&self) -> u64 {
        self.applied.last().map_or(0, |last| last.generation.into())
    }

    /// What everything up to a turn came to.
    pub(crate) fn chain_at(&self, turn: u64) -> Option<Digest> {
        Some(chain(self.applied.get(..usize::try_from(turn).ok()?)?))
    }
}

/// An append whose connection may have been given up; it may be carried out late, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Flying {
    pub(crate) entry: Entry,
    pub(crate) at: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) hubs: [Hub; HUBS],
    pub(crate) flying: BTreeSet<Flying>,
    pub(crate) left: Budget,
    /// Hubs ask with another number at each closing, and answer, as where Redis may show old words. Elsewhere whatever is heard
    /// answers, as nothing else is there: that makes far fewer worlds.
    pub(crate) are_asking: bool,
    /// What was added at which turn since the log was open, as far as Redis has it.
    pub(crate) refilled: BTreeMap<u8, Entry>,
    /// The generations that were ever begun.
    pub(crate) begun: BTreeSet<u8>,
    /// What is said of a Redis of before, and its turns: nobody has read the last ones, and the log was opened without them.
    pub(crate) before: Option<(Meta, Vec<Entry>)>,
    /// What hubs have said at a closing before, and of which Redis.
    pub(crate) old: BTreeMap<u32, (u8, Words)>,
    /// Without whom a person lets the others go on, in the next opening for this Redis.
    pub(crate) word: Option<(u8, Word)>,
    /// Whom a person has ever left out.
    pub(crate) left_out: BTreeSet<u32>,
    /// A promise that the last step has broken.
    pub(crate) broken: Option<&'static str>,
}

/// How often something may still happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Redis starts again, with all it had.
    pub(crate) restarts: u8,
    /// Redis starts with less than it had.
    pub(crate) backs: u8,
    /// An empty Redis takes its place.
    pub(crate) empties: u8,
    /// It is emptied while it runs.
    pub(crate) flushes: u8,
    pub(crate) deaths: u8,
    pub(crate) starts: u8,
    /// A hub that does not run gets an older folder.
    pub(crate) restores: u8,
    /// Batches, and repetitions of batches, that hubs send.
    pub(crate) sends: u8,
    /// A person says without whom to go on.
    pub(crate) words: u8,
    /// Redis shows again what a hub has said at a closing before.
    pub(crate) shows: u8,
    /// An opener stands still for so long that one takes its place whom it goes on without.
    pub(crate) stalls: u8,
    /// A Redis of before takes its place.
    pub(crate) olds: u8,
    /// A person removes what such a Redis has.
    pub(crate) removes: u8,
}

/// How it begins, and what may happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) turns: [usize; HUBS],
    pub(crate) budget: Budget,
    /// Which hubs run.
    pub(crate) are_up: [bool; HUBS],
    /// Hubs ask with another number at each closing, and answer.
    pub(crate) are_asking: bool,
    /// Redis is another one, and the first hub, which does not run, had begun to put the log back.
    pub(crate) is_cut: bool,
}

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The numbers of the hubs are not put back.
    NumbersNotRefilled,
    /// An opening begins no new generation.
    GenerationNotRaised,
    /// The last script does not look who opens.
    OpenerNotChecked,
    /// Who lives and has said nothing is not waited for.
    NobodyWaitedFor,
    /// Scripts do not look which Redis they are in.
    RunNotCompared,
    /// The opener adds a batch of its own that nobody has read back.
    BeyondTheFurthest,
    /// Whoever decides first opens, also when another is further.
    NotTheFurthest,
    /// Who says that it is further does not put out the opener.
    OpenerNotPutOut,
    /// A copy that knows of nobody else opens what lacks something.
    AloneIsEnough,
    /// Who was started meanwhile does not say so.
    NewIsNotSaid,
    /// Generations are counted: whoever knows as much begins the same one.
    GenerationsCounted,
    /// Whom a person has left out, and who has said more, keeps the others from opening.
    LeftOutCounts,
    /// Whatever is shown as the words of a hub is taken for what it says now.
    OldWordsCount,
    /// Whom the opener goes on without puts it out.
    LeftOutPutsOut,
    /// The next generation stands behind the newest one that the opener has come to, and it may know a newer one.
    BehindWhatWasReached,
    /// What hubs have said is forgotten when Redis starts again.
    ToldIsForgotten,
    /// An opening that stands behind a later turn than the next one is not noted any more.
    PassedIsForgotten,
    /// Whoever opens does not look at the last turn that Redis has.
    LastNotCompared,
}

impl Fault {
    pub(crate) const ALL: [Self; 18] = [
        Self::NumbersNotRefilled,
        Self::GenerationNotRaised,
        Self::OpenerNotChecked,
        Self::NobodyWaitedFor,
        Self::RunNotCompared,
        Self::BeyondTheFurthest,
        Self::NotTheFurthest,
        Self::OpenerNotPutOut,
        Self::AloneIsEnough,
        Self::NewIsNotSaid,
        Self::GenerationsCounted,
        Self::LeftOutCounts,
        Self::OldWordsCount,
        Self::LeftOutPutsOut,
        Self::BehindWhatWasReached,
        Self::ToldIsForgotten,
        Self::PassedIsForgotten,
        Self::LastNotCompared,
    ];
}

impl World {
    /// A log of four turns that is open, and three hubs that have read some of it.
    pub(crate) fn new(plan: &Plan) -> Self {
        let entry = |hub, number| Entry { hub, life: 0, number, generation: 1 };
        let stream = vec![entry(0, 1), entry(1, 1), entry(2, 1), entry(0, 2)];
        let numbers = BTreeMap::from([((0, 0), 2), ((1, 0), 1), ((2, 0), 1)]);
        let hubs = [0_u8, 1, 2].map(|hub| {
            let (applied, unread) = stream.split_at(plan.turns[usize::from(hub)]);
            let is_up = plan.are_up[usize::from(hub)];
            Hub {
                is_up,
                applied: applied.to_vec(),
                generation: 1,
                number: numbers[&(hub, 0)],
                // What it has not read back may have gone in, or not.
                sent: unread.iter().rfind(|entry| entry.hub == hub && is_up).copied(),
                is_here: is_up,
                ..Hub::default()
            }
        });
        let meta = Meta { run: Some(0), generation: 1, numbers, ..Meta::default() };
        let meta = Some(meta);
        // There was a closing when the log had one turn, and everybody has heard the others there.
        let said = Said { turn: 1, chain: chain(&stream[..1]), generation: 1, is_new: false };
        let answers = (0..3).map(|hub| (hub, Question(0))).collect();
        let words = Words { said, asks: Question(0), answers };
        let old = (0..3).map(|hub| (hub, (0, words.clone())));
        let old = old.filter(|_| plan.budget.shows > 0).collect();
        let redis = Redis { meta, stream, ..Redis::default() };
        let left = plan.budget;
        let world = Self {
            redis,
            hubs,
            flying: BTreeSet::new(),
            left,
            are_asking: plan.are_asking,
            refilled: BTreeMap::new(),
            begun: BTreeSet::from([1]),
            before: None,
            old,
            word: None,
            left_out: BTreeSet::new(),
            broken: None,
        };
        match plan {
            Plan { is_cut: true, .. } => world.with_a_cut_refill(),
            Plan { budget: Budget { olds: 1.., .. }, .. } => world.with_a_redis_of_before(),
            _ => world,
        }
    }

    /// The log was opened anew behind its second turn. A Redis of before has two more turns there, which were lost before anybody had
    /// read them.
    fn with_a_redis_of_before(mut self) -> Self {
        const LAST: usize = 2;
        let lost = [1, 2].map(|hub| Entry { hub, life: 0, number: 2, generation: 1 });
        let common = &self.redis.stream[..LAST];
        let turn = u64::from(small(LAST));
        let began = Began { before: 1, turn, chain: chain(common) };
        let stream = common.iter().copied().chain(lost).collect();
        let (generation, openings) = (2_u8, BTreeMap::from([(2, began)]));
        let since = |entries: &mut Vec<Entry>| {
            entries.iter_mut().skip(LAST).for_each(|entry| entry.generation = generation);
        };
        since(&mut self.redis.stream);
        for hub in &mut self.hubs {
            since(&mut hub.applied);
            // The numbers of those that were lost are used up.
            hub.number = 2;
            (hub.generation, hub.openings) = (generation, openings.clone());
        }
        self.begun.insert(generation);
        let now = self.redis.meta.get_or_insert_default();
        self.before = Some((now.clone(), stream));
        now.generation = generation;
        now.openings = openings;
        self
    }

    /// The log was opened anew behind its last turn, which the first hub alone has seen. Another Redis is empty, and that hub has
    /// put back all but the last turn when it dies.
    fn with_a_cut_refill(mut self) -> Self {
        let (run, generation) = (1, 2_u8);
        let (turn, there) = (self.end().into(), chain(&self.redis.stream));
        let began = Began { before: 1, turn, chain: there };
        let openings: BTreeMap<u64, Began> = BTreeMap::from([(generation.into(), began)]);
        self.redis.stream.pop();
        self.redis.stream.iter_mut().for_each(|entry| entry.generation = generation);
        self.refilled = (0..).zip(self.redis.stream.iter().copied()).collect();
        self.begun.insert(generation);
        (self.hubs[0].generation, self.hubs[0].openings) = (generation, openings.clone());
        let said = Said { turn, chain: there, generation: generation.into(), is_new: false };
        let answers = BTreeMap::from([(1, Question(0)), (2, Question(0))]);
        let words = Words { said, asks: Question(0), answers };
        let heard = Heard { said: BTreeMap::from([(0, words)]), ..Heard::default() };
        let opening = Opening { heard, opener: Some(0), ..Opening::default() };
        let meta = Meta { generation, openings, ..Meta::default() };
        let (stream, meta) = (self.redis.stream, Some(meta));
        let openings = BTreeMap::from([(run, opening)]);
        self.redis = Redis { run, meta, stream, told: turn, openings, is_old: false };
        self
    }

    pub(crate) fn is_open(&self) -> bool {
        self.redis.meta.as_ref().is_some_and(|meta| meta.run == Some(self.redis.run))
    }

    /// A hub asks the others at this closing.
    pub(crate) fn ask(&mut self, number: usize) -> Question {
        let hub = &mut self.hubs[number];
        hub.asked += u8::from(!hub.is_asking && self.are_asking);
        hub.is_asking = true;
        hub.asks()
    }

    /// Who has answered a hub, and itself.
    pub(crate) fn heard_by(&self, number: usize) -> BTreeSet<u32> {
        let (node, asks) = (u32::from(small(number)), self.hubs[number].asks());
        let answers = |words: &Words| words.answers.get(&node) == Some(&asks);
        let opening = self.redis.openings.get(&self.redis.run);
        let all = opening
            .into_iter()
            .flat_map(|opening| opening.heard.said.iter().chain(&opening.heard.silent));
        all.filter(|(hub, words)| **hub == node || answers(words)).map(|(hub, _)| *hub).collect()
    }

    pub(crate) fn opening(&mut self, run: u8) -> &mut Opening {
        self.redis.openings.entry(run).or_default()
    }

    /// Whom this hub leaves out, because a person has said so to those that wait here.
    pub(crate) fn without(&self, number: usize) -> Option<&BTreeSet<u32>> {
        let hub = &self.hubs[number];
        let turn = u64::try_from(hub.applied.len()).expect("small");
        let (run, word) = self.word.as_ref()?;
        let is_for = word.is_for(small(number).into(), hub.asks(), turn);
        (*run == self.redis.run && hub.is_asking && is_for).then_some(&word.without)
    }

    pub(crate) fn end(&self) -> u8 {
        small(self.redis.stream.len())
    }
}

/// What a copy has come to: as the chain of the server, equal where everything is equal.
pub(crate) fn chain(applied: &[Entry]) -> Digest {
    let mut bytes = [0; 32];
    let ids = applied.iter().flat_map(|entry| [entry.hub + 1, entry.life << 4 | entry.number]);
    for (byte, id) in bytes.iter_mut().zip(ids) {
        *byte = id;
    }
    Digest(bytes)
}

/// Whom a copy knows to live.
pub(crate) fn living(applied: &[Entry]) -> BTreeSet<u32> {
    applied.iter().map(|entry| u32::from(entry.hub)).collect()
}

pub(crate) fn small(number: usize) -> u8 {
    u8::try_from(number).expect("a small number")
}
