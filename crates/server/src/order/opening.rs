//! Who opens a log anew, and with what, when Redis is another one than before: started again, replaced, emptied, or
//! gone back. Decided here alone, on what the hubs have said; nothing in here waits or asks.
//!
//! ```text
//! every hub reads what is there ─► says its last turn and chain ─► the furthest decides
//!    nothing is lacking ──────────────────────────────────────────► it opens, when all who run had their time
//!    something is lacking, everybody who lives has said theirs ───► it adds what is lacking from its copy, and opens
//!    something is lacking, somebody has not ──────────────────────► everybody waits, or a person says without whom
//! ```
//! Redis lacks something also where it has what all have who are there, and less than a hub has said to have: that is kept beside
//! the log until it is open. Who has said so may have died since, and Redis may have been started again.
//!
//! Whoever waits asks the others with a number that it makes anew at each closing, and each says how far it is with the
//! numbers that it was asked with. So whoever keeps Redis cannot show again what was said at a closing before.

pub mod attempt;
pub mod line;
pub mod memory;
pub mod redis;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use chat_protocol::crypto::sha256;
use chat_protocol::id::Digest;
use serde::{Deserialize, Serialize};

/// How long somebody is taken to be there who says how far it is. Who waits says so again ten times a second; who has not
/// done so for this long has died, or stands still.
pub const SAID_LEASE: Duration = Duration::from_secs(15);

/// How far a hub says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Said {
    /// The last turn that it has applied.
    pub turn: u64,
    /// What everything up to there came to.
    pub chain: Digest,
    /// The newest generation of the log that it knows.
    pub generation: u64,
    /// It has not followed the open log since it was started: its copy may be one of long ago, which knows less than
    /// it did.
    pub is_new: bool,
}

/// What tells a turn from another one that stands at the same place of another line. It stays with a turn wherever that is put
/// back. The bytes alone would not do: a batch whose turn was lost before anybody had read it is sent again, and may come to the
/// same place behind other turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it came, by the clock of the log: Unix time in milliseconds.
    pub time_ms: u64,
    /// SHA-256 of its sealed bytes; nothing for a copy that does not have them any more.
    pub digest: Option<Digest>,
}

impl Stamp {
    /// That of a turn whose bytes are there.
    pub fn new(time_ms: u64, batch: &[u8]) -> Self {
        Self { time_ms, digest: Some(Digest(sha256(batch))) }
    }

    fn is_other(&self, own: &Self) -> bool {
        let differ = self.digest.zip(own.digest).is_some_and(|(there, here)| there != here);
        differ || self.time_ms != own.time_ms
    }
}

/// What a hub that waits asks the others with: another number at each closing of the log that it meets, so whatever answers
/// it was said since.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Question(pub u64);

/// What a hub says to those that wait with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Words {
    /// How far it is.
    pub said: Said,
    /// What it asks the others with.
    pub asks: Question,
    /// What others had asked with when it said this, by their nodes.
    pub answers: BTreeMap<u32, Question>,
}

impl Words {
    /// Whether it was said since this hub has asked so.
    fn is_since(&self, node: u32, asks: Question) -> bool {
        self.answers.get(&node) == Some(&asks)
    }
}

/// What hubs have said since Redis is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Heard {
    /// Those that say so still.
    pub said: BTreeMap<u32, Words>,
    /// Those that have said nothing for [`SAID_LEASE`], and what they had said last.
    pub silent: BTreeMap<u32, Words>,
}

impl Heard {
    fn all(&self) -> impl Iterator<Item = (u32, &Words)> {
        self.said.iter().chain(&self.silent).map(|(node, words)| (*node, words))
    }

    /// The newest generation that another hub knows which has said so since hub `node` has asked this; 0 where none has.
    pub fn newest_since(&self, node: u32, asks: Question) -> u64 {
        let others =
            self.all().filter(|(other, words)| *other != node && words.is_since(node, asks));
        others.map(|(_, words)| words.said.generation).max().unwrap_or(0)
    }

    /// What everybody asks with who has said something.
    pub fn questions(&self) -> BTreeMap<u32, Question> {
        self.all().map(|(node, words)| (node, words.asks)).collect()
    }
}

/// What a hub knows when it decides.
#[derive(Debug)]
pub struct View<'a> {
    /// Which hub it is, by its node.
    pub node: u32,
    /// How far it is itself. What Redis shows as its own words may be old.
    pub own: Said,
    /// What it asks with. Words of others that do not answer that are of a closing before, or of a moment ago.
    pub asks: Question,
    /// The hubs that live, by the log as it was applied here. This one may be among them.
    pub living: &'a BTreeSet<u32>,
    /// What all hubs have said.
    pub heard: &'a Heard,
    /// The last turn that Redis has; 0 for none.
    pub has: u64,
    /// The last turn that a hub has said to have, since the log was open, when Redis lacked it; 0 for none.
    pub told: u64,
    /// Whoever runs has had the time to say something.
    pub is_time_over: bool,
    /// A person has said that it is to go on without these, and with this hub alone if there is no other.
    pub without: Option<&'a BTreeSet<u32>>,
}

/// What a hub is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is more to read first.
    Read,
    /// Another hub is further: that one opens.
    Leave {
        /// Which.
        to: u32,
    },
    /// A person has said that the others go on without this one.
    LeftOut,
    /// Nobody opens: these hubs have come to something else, and a person decides which copy counts.
    Forked {
        /// Which.
        with: BTreeSet<u32>,
    },
    /// What Redis lacks may be less than what these have.
    WaitFor {
        /// Which have said nothing; none where only whoever runs is to have their time.
        hubs: BTreeSet<u32>,
        /// Redis lacks something: no time ends the waiting for these.
        is_lacking: bool,
    },
    /// Redis lacks something, and no other hub is there to say that this one is the furthest.
    Alone,
    /// Redis lacks what a hub has said to have, and nobody who is known has it by now: a person decides.
    NobodyHas {
        /// The last turn that was said.
        turn: u64,
    },
    /// The last turn that Redis has is not what this hub has read there, or it cannot be said: nothing is put behind it, and a
    /// person decides.
    Apart {
        /// Which turn.
        turn: u64,
        /// It is another one; otherwise this copy knows nothing of it any more.
        is_known: bool,
    },
    /// It adds these turns from its copy, if there are any, and opens.
    Open {
        /// What Redis lacks.
        refill: Option<RangeInclusive<u64>>,
        /// The newest generation that anybody knows: the next one is larger.
        generation: u64,
    },
}

/// What others have said, as one hub takes it that has asked them.
struct Sorted {
    /// They are there, and were asked.
    present: BTreeMap<u32, Said>,
    /// They were there, and have said nothing for a while.
    silent: BTreeMap<u32, Said>,
    /// They do not answer: nothing rests on what they say, but that they may have that much.
    unasked: BTreeMap<u32, Said>,
}

impl Sorted {
    fn new(View { node, asks, heard, without, .. }: &View<'_>) -> Self {
        let is_out = |hub: u32| without.is_some_and(|without| without.contains(&hub));
        let of = |words: &BTreeMap<u32, Words>, is_since: bool| -> BTreeMap<u32, Said> {
            let others = words.iter().filter(|(hub, _)| **hub != *node && !is_out(**hub));
            let these = others.filter(|(_, words)| words.is_since(*node, *asks) == is_since);
            these.map(|(hub, words)| (*hub, words.said)).collect()
        };
        let mut unasked = of(&heard.silent, false);
        unasked.extend(of(&heard.said, false));
        Self { present: of(&heard.said, true), silent: of(&heard.silent, true), unasked }
    }
}

/// Decides. `chain_at` is what everything up to a turn came to in the own copy; nothing for one that is too long ago.
pub fn decide(view: &View<'_>, chain_at: impl Fn(u64) -> Option<Digest>) -> Decision {
    let View { node, own, living, has, told, is_time_over, without, .. } = view;
    let is_left_out = |hub: &u32| without.is_some_and(|without| without.contains(hub));
    if is_left_out(node) {
        return Decision::LeftOut;
    }
    if own.turn < *has {
        return Decision::Read;
    }
    let Sorted { present, silent, unasked } = Sorted::new(view);
    let is_other = |said: &Said| chain_at(said.turn).is_some_and(|chain| chain != said.chain);
    let is_fork = |(_, said): &(&u32, &Said)| said.turn <= own.turn && is_other(said);
    let with: BTreeSet<u32> = present.iter().filter(is_fork).map(|(hub, _)| *hub).collect();
    if !with.is_empty() {
        return Decision::Forked { with };
    }
    // The first of those that are equally far.
    let far = |node: u32, said: &Said| (said.turn, std::cmp::Reverse(node));
    if let Some((to, said)) = present.iter().max_by_key(|(hub, said)| far(**hub, said))
        && far(*to, said) > far(*node, own)
    {
        return Decision::Leave { to: *to };
    }
    // Whoever is silent by now need not be waited for where this copy has all that it had.
    let is_covered = |(_, said): &(&u32, &Said)| said.turn <= own.turn && !is_other(said);
    let covered = silent.iter().filter(is_covered);
    let known: BTreeMap<&u32, &Said> = present.iter().chain(covered).chain([(node, own)]).collect();
    let is_missing = |hub: &&u32| !known.contains_key(hub) && !is_left_out(hub);
    let named = living.iter().chain(silent.keys()).chain(unasked.keys());
    let hubs: BTreeSet<u32> = named.filter(is_missing).copied().collect();
    let had = |hub: &u32| silent.get(hub).into_iter().chain(unasked.get(hub));
    let has_more = |hub: &u32| had(hub).any(|said| said.turn > *has);
    // Who has said so is one of those that are missing, or has an older folder than it had.
    let is_told = told > has && *told > own.turn;
    let is_lacking = *has < own.turn || is_told || hubs.iter().any(has_more);
    // Who lives may not be known to a copy of long ago, nor to one that is as far; and whom it knows to know more, a person
    // may have left out.
    let is_sure = without.is_none() && known.values().all(|said| !said.is_new);
    let is_known = !is_lacking || is_sure;
    let is_waiting = !hubs.is_empty() && (is_lacking || !is_time_over);
    if is_waiting || !(is_known || *is_time_over) {
        return Decision::WaitFor { hubs, is_lacking };
    }
    // A copy of long ago may know of nobody else.
    if *has < own.turn && known.len() < 2 && without.is_none() {
        return Decision::Alone;
    }
    if is_told && without.is_none() {
        return Decision::NobodyHas { turn: *told };
    }
    let generation = known.values().map(|said| said.generation).max().unwrap_or_default();
    let refill = (*has < own.turn).then(|| has.saturating_add(1)..=own.turn);
    Decision::Open { refill, generation }
}

/// Whether the hub that opens goes on from the last turn that Redis has, and why it does not. What was said of hubs says nothing of
/// that turn: an old Redis has some that no hub has. `there` is that turn and what it is there, `own` what this hub has read there,
/// if it still knows. It `stays` if what this hub adds stands right behind it; what ends before a copy begins is removed, and
/// nothing is mixed with it.
pub fn apart((turn, there): (u64, Stamp), own: Option<Stamp>, stays: bool) -> Option<Decision> {
    match own {
        Some(own) => there.is_other(&own).then_some(Decision::Apart { turn, is_known: true }),
        None => stays.then_some(Decision::Apart { turn, is_known: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(turn: u64) -> Digest {
        Digest([u8::try_from(turn).unwrap(); 32])
    }

    /// What hub 1 asks with.
    const ASKS: Question = Question(11);

    fn at(turn: u64) -> Said {
        Said { turn, chain: chain(turn), generation: turn + 1, is_new: false }
    }

    /// What these say who have heard hub 1 ask.
    fn said(turns: &[(u32, u64)]) -> BTreeMap<u32, Words> {
        let words = |node, turn| {
            let answers = BTreeMap::from([(1, ASKS)]);
            Words { said: at(turn), asks: Question(u64::from(node) + 10), answers }
        };
        turns.iter().map(|(node, turn)| (*node, words(*node, *turn))).collect()
    }

    fn heard(turns: &[(u32, u64)]) -> Heard {
        Heard { said: said(turns), silent: BTreeMap::new() }
    }

    /// What hub 1 decides; all three live, by what it knows.
    fn one(
        turns: &[(u32, u64)],
        has: u64,
        is_time_over: bool,
        without: Option<&[u32]>,
    ) -> Decision {
        among(&heard(turns), has, is_time_over, without)
    }

    fn among(heard: &Heard, has: u64, is_time_over: bool, without: Option<&[u32]>) -> Decision {
        let without = without.map(|without| without.iter().copied().collect());
        let living = BTreeSet::from([1, 2, 3]);
        let view = View { without: without.as_ref(), ..view(&living, heard, (has, is_time_over)) };
        decide(&view, |turn| Some(chain(turn)))
    }

    /// What hub 1 knows, which is as far as it says there.
    fn view<'a>(
        living: &'a BTreeSet<u32>,
        heard: &'a Heard,
        (has, is_time_over): (u64, bool),
    ) -> View<'a> {
        let own = heard.said[&1].said;
        View { node: 1, own, asks: ASKS, living, heard, has, told: 0, is_time_over, without: None }
    }

    fn wait(hubs: &[u32], is_lacking: bool) -> Decision {
        Decision::WaitFor { hubs: hubs.iter().copied().collect(), is_lacking }
    }

    #[test]
    fn a_redis_that_lacks_nothing_is_opened_by_the_first_of_the_furthest() {
        let opened = Decision::Open { refill: None, generation: 6 };
        assert_eq!(one(&[(1, 5), (2, 5), (3, 4)], 5, false, None), opened);
        assert_eq!(one(&[(1, 5), (2, 5)], 5, false, None), wait(&[3], false));
        assert_eq!(one(&[(1, 5), (2, 5)], 5, true, None), opened, "who runs had their time");
        assert_eq!(one(&[(1, 5)], 5, true, None), opened, "nothing is lacking");
        assert_eq!(one(&[(1, 4), (2, 5)], 4, true, None), Decision::Leave { to: 2 });
        assert_eq!(one(&[(1, 4), (2, 4)], 5, true, None), Decision::Read);
    }

    #[test]
    fn what_is_lacking_is_added_when_everybody_who_lives_was_heard() {
        let opened = |first, generation| Decision::Open { refill: Some(first..=5), generation };
        assert_eq!(one(&[(1, 5), (2, 2), (3, 4)], 3, false, None), opened(4, 6));
        assert_eq!(one(&[(1, 5), (2, 2)], 3, true, None), wait(&[3], true), "no time ends it");
        assert_eq!(one(&[(1, 5), (2, 2)], 3, true, Some(&[3])), opened(4, 6), "a person may");
        assert_eq!(one(&[(1, 5), (2, 2)], 3, false, Some(&[3])), wait(&[], true), "others may run");
        assert_eq!(one(&[(1, 5)], 0, true, Some(&[3])), wait(&[2], true), "without whom is said");
        assert_eq!(one(&[(1, 5)], 0, true, Some(&[2, 3])), opened(1, 6));
    }

    /// Goal: who has said that it is the furthest and dies stops nobody for ever.
    #[test]
    fn who_is_silent_is_waited_for_as_long_as_a_person_says_nothing() {
        let silent = |turns: &[(u32, u64)], silent: &[(u32, u64)]| Heard {
            said: said(turns),
            silent: said(silent),
        };
        let opened = |refill| Decision::Open { refill, generation: 6 };
        let further = silent(&[(1, 5), (2, 5)], &[(3, 7)]);
        assert_eq!(among(&further, 3, true, None), wait(&[3], true), "it may have more");
        assert_eq!(among(&further, 3, true, Some(&[3])), opened(Some(4..=5)));
        assert_eq!(among(&further, 5, true, None), wait(&[3], true), "Redis lacks what it has");
        assert_eq!(among(&further, 5, true, Some(&[3])), opened(None));
        let behind = silent(&[(1, 5), (2, 5)], &[(3, 4)]);
        assert_eq!(among(&behind, 3, false, None), opened(Some(4..=5)), "all that it had is here");
        let mut forked = silent(&[(1, 5), (2, 5)], &[(3, 4)]);
        forked.silent.entry(3).and_modify(|words| words.said.chain = chain(9));
        assert_eq!(among(&forked, 3, true, None), wait(&[3], true), "it had something else");
        assert_eq!(among(&forked, 3, true, Some(&[3])), opened(Some(4..=5)));
    }

    /// Goal: what a hub has said to have is waited for, also where nobody who is there has heard it say so. Before, those that had
    /// what Redis had went on without it, where Redis was started again after a refill that was cut.
    #[test]
    fn what_was_told_is_lacking_until_somebody_has_it_or_a_person_has_decided() {
        let living = BTreeSet::from([1, 2, 3]);
        let decided = |turns: &[(u32, u64)], (has, told): (u64, u64), without: Option<&[u32]>| {
            let without: Option<BTreeSet<u32>> = without.map(|hubs| hubs.iter().copied().collect());
            let heard = heard(turns);
            let known = view(&living, &heard, (has, true));
            let view = View { told, without: without.as_ref(), ..known };
            decide(&view, |turn| Some(chain(turn)))
        };
        let opened = |refill| Decision::Open { refill, generation: 6 };
        let two = [(1, 5), (2, 5)];
        assert_eq!(decided(&two, (5, 5), None), opened(None), "Redis has it");
        assert_eq!(decided(&two, (5, 6), None), wait(&[3], true), "no time ends it");
        assert_eq!(decided(&two, (5, 6), Some(&[3])), opened(None), "a person may");
        assert_eq!(decided(&two, (4, 5), Some(&[3])), opened(Some(5..=5)));
        let all = [(1, 5), (2, 5), (3, 5)];
        let nobody = Decision::NobodyHas { turn: 6 };
        assert_eq!(decided(&all, (5, 6), None), nobody, "it has an older folder by now");
        assert_eq!(decided(&all, (3, 6), None), nobody);
        assert_eq!(decided(&all, (5, 6), Some(&[])), opened(None));
        assert_eq!(decided(&all, (3, 5), None), opened(Some(4..=5)), "it is there");
        assert_eq!(decided(&[(1, 5), (2, 6)], (5, 6), None), Decision::Leave { to: 2 });
    }

    #[test]
    fn whom_a_person_leaves_out_does_not_count_whatever_it_says() {
        let opened = Decision::Open { refill: Some(4..=5), generation: 6 };
        assert_eq!(one(&[(1, 5), (2, 5), (3, 9)], 3, true, Some(&[3])), opened);
        let mut forked = heard(&[(1, 5), (2, 5), (3, 4)]);
        forked.said.entry(3).and_modify(|words| words.said.chain = chain(9));
        assert_eq!(among(&forked, 3, true, Some(&[3])), opened);
        assert_eq!(one(&[(1, 5), (2, 4)], 3, true, Some(&[1])), Decision::LeftOut);
    }

    /// Goal: whoever keeps Redis does not pass off what a hub has said at a closing before as what it says now. Before, what was
    /// said in the same run of Redis counted as often as it was shown.
    #[test]
    fn what_does_not_answer_is_not_heard_and_may_be_more() {
        for answers in [BTreeMap::new(), BTreeMap::from([(1, Question(10)), (2, ASKS)])] {
            let mut old = heard(&[(1, 5), (2, 5), (3, 4)]);
            old.said.entry(3).and_modify(|words| words.answers = answers.clone());
            assert_eq!(among(&old, 3, true, None), wait(&[3], true), "it may have more by now");
            assert_eq!(among(&old, 5, false, None), wait(&[3], false));
            let opened = Decision::Open { refill: None, generation: 6 };
            assert_eq!(among(&old, 5, true, None), opened, "nothing is lacking, as far as it says");
            let words = old.said.remove(&3).unwrap();
            old.silent.insert(3, words);
            assert_eq!(among(&old, 3, true, None), wait(&[3], true), "nor is it covered");
            // It may be further, and nobody leaves the opening to it that does not answer.
            old.silent.entry(3).and_modify(|words| words.said = at(9));
            assert_eq!(among(&old, 5, true, None), wait(&[3], true));
            // One that this copy does not know may have come since.
            let words = old.silent.remove(&3).unwrap();
            old.said.insert(4, Words { said: at(1), ..words });
            old.said.extend(said(&[(3, 5)]));
            assert_eq!(among(&old, 3, true, None), wait(&[4], true));
        }
    }

    /// Goal: nothing is put behind a turn that is another one than this hub has read there. Before, a log that was filled again
    /// behind such a turn was a mixture of two.
    #[test]
    fn what_is_put_back_stands_behind_the_turn_that_was_read() {
        let there = (7, Stamp::new(5, b"a"));
        let forgotten = Stamp { time_ms: 5, digest: None };
        for own in [Stamp::new(5, b"a"), forgotten] {
            assert_eq!(apart(there, Some(own), true), None, "{own:?}");
        }
        let other = Some(Decision::Apart { turn: 7, is_known: true });
        for own in [Stamp::new(5, b"b"), Stamp::new(6, b"a"), Stamp { time_ms: 6, ..forgotten }] {
            assert_eq!(apart(there, Some(own), true), other, "{own:?}");
            assert_eq!(apart(there, Some(own), false), other, "somebody may have only that");
        }
        let unknown = Some(Decision::Apart { turn: 7, is_known: false });
        assert_eq!(apart(there, None, true), unknown);
        assert_eq!(apart(there, None, false), None, "it is removed");
    }

    /// Goal: what Redis shows as the words of this hub decides nothing.
    #[test]
    fn a_hub_knows_itself_what_it_has_and_asks() {
        let living = BTreeSet::from([1, 2]);
        let shown = [heard(&[(1, 5), (2, 5)]), heard(&[(1, 7), (2, 5)]), heard(&[(2, 5)])];
        for heard in shown {
            let (node, own, has) = (1, at(6), 3);
            let view = View {
                node,
                own,
                asks: ASKS,
                living: &living,
                heard: &heard,
                has,
                told: 0,
                is_time_over: true,
                without: None,
            };
            let opened = Decision::Open { refill: Some(4..=6), generation: 7 };
            assert_eq!(decide(&view, |turn| Some(chain(turn))), opened);
        }
    }

    #[test]
    fn a_copy_that_knows_of_nobody_else_opens_nothing_that_lacks_something() {
        let (living, heard) = (BTreeSet::from([1]), heard(&[(1, 5)]));
        let view = view(&living, &heard, (4, true));
        assert_eq!(decide(&view, |turn| Some(chain(turn))), Decision::Alone);
        let nobody = BTreeSet::new();
        let view = View { without: Some(&nobody), ..view };
        assert!(matches!(decide(&view, |turn| Some(chain(turn))), Decision::Open { .. }));
    }

    /// The model has found it: a folder of long ago and a hub that is behind know nothing of a third one that runs.
    #[test]
    fn where_a_copy_may_be_of_long_ago_whoever_runs_has_their_time() {
        let living = BTreeSet::from([1]);
        let decided = |is_new, is_time_over, has| {
            let mut heard = heard(&[(1, 2), (2, 2)]);
            heard.said.entry(2).and_modify(|words| words.said.is_new = is_new);
            decide(&view(&living, &heard, (has, is_time_over)), |turn| Some(chain(turn)))
        };
        assert_eq!(decided(true, false, 0), wait(&[], true));
        assert!(matches!(decided(true, true, 0), Decision::Open { .. }));
        assert!(matches!(decided(false, false, 0), Decision::Open { .. }));
        assert!(matches!(decided(true, false, 2), Decision::Open { .. }), "nothing is lacking");
    }

    #[test]
    fn two_that_have_come_to_different_things_are_named_and_nobody_opens() {
        let (living, mut heard) = (BTreeSet::from([1, 2]), heard(&[(1, 5), (2, 4)]));
        let other = Said { chain: chain(9), generation: 9, ..at(4) };
        heard.said.entry(2).and_modify(|words| words.said = other);
        let view = view(&living, &heard, (5, true));
        let forked = Decision::Forked { with: BTreeSet::from([2]) };
        assert_eq!(decide(&view, |turn| Some(chain(turn))), forked);
        // One that is so far behind that nobody knows is compared when it follows.
        let opened = Decision::Open { refill: None, generation: 9 };
        assert_eq!(decide(&view, |turn| (turn > 4).then(|| chain(turn))), opened);
    }
}
