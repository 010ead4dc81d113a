//! The openings that a log has gone through, each behind the one before it. Two logs of one origin are the same up to where
//! their lines part, and what a copy has read behind that place is not in the other one.
//!
//! ```text
//! generation   1 ──40──► 7 ──────80──► 9          n1 has opened 7 behind turn 40, and 9 behind turn 80
//!                └──40──► 5 ──60──► 6             n2 has never heard of 7, and has opened 5 behind turn 40
//! ```
//! The number of a generation is larger than that of the one before it, and by chance no other opening has it: two that
//! were begun without knowing of each other are told apart.

use std::collections::BTreeMap;

use chat_protocol::{crypto::random, id::Digest};

use crate::order::words::WordSeal;
use crate::store::Facts;

/// What a fact is called that says where a generation of the log began.
const BEGAN: &str = "o:";

/// Where a generation of a log began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Began {
    /// The generation before it: the newest that whoever has opened the log knew.
    pub before: u64,
    /// The last turn before it.
    pub turn: u64,
    /// What everything up to there came to.
    pub chain: Digest,
}

/// The generation in which a log is founded.
const FIRST: u64 = 1;

/// Bytes of a beginning as it is sealed.
const BEGAN_BYTES: usize = 48;

impl Began {
    fn bytes(&self) -> [u8; BEGAN_BYTES] {
        let mut bytes = [0; BEGAN_BYTES];
        let (before, rest) = bytes.split_at_mut(8);
        let (turn, chain) = rest.split_at_mut(8);
        before.copy_from_slice(&self.before.to_be_bytes());
        turn.copy_from_slice(&self.turn.to_be_bytes());
        chain.copy_from_slice(self.chain.as_bytes());
        bytes
    }

    /// The generation before this one. No hub begins one that is older than what it stands behind.
    fn stands_behind(&self, generation: u64) -> u64 {
        if self.before < generation { self.before } else { 0 }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (before, rest) = bytes.split_first_chunk()?;
        let (turn, chain) = rest.split_first_chunk()?;
        let (before, turn) = (u64::from_be_bytes(*before), u64::from_be_bytes(*turn));
        Some(Self { before, turn, chain: Digest(chain.try_into().ok()?) })
    }

    /// What is kept of it beside the log: a name, and what the hubs alone can make.
    pub fn sealed(&self, generation: u64, seal: &WordSeal) -> (String, Vec<u8>) {
        let name = format!("{BEGAN}{generation}");
        let sealed = seal.seal(&name, &self.bytes());
        (name, sealed)
    }
}

/// Whether a fact is of this kind.
pub fn is_opening(fact: &str) -> bool {
    fact.starts_with(BEGAN)
}

/// A number for the generation behind this one. Whoever counts from the same one at another place gets another number: one
/// in two thousand millions is the same. 2^22 openings of one log are fewer than 2^53, up to which scripts count.
pub fn number_behind(generation: u64) -> u64 {
    const STEP_BITS: u32 = 31;
    let step = u32::from_be_bytes(random()) >> (u32::BITS - STEP_BITS);
    generation.saturating_add(1).saturating_add(u64::from(step))
}

/// The openings that a log has gone through: the last ones, at least.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Line {
    openings: BTreeMap<u64, Began>,
    /// Those on the way there that stand behind a later turn than the next one: whoever has begun the next one had heard of them,
    /// and had not come so far. Turns that were read from them are part of the log up to where the next one began.
    passed: BTreeMap<u64, Began>,
    /// What the oldest of them stands behind, where it is not known what led there: the opening of this generation, and
    /// older ones. 0 where all of them are known.
    unknown: u64,
}

impl Line {
    /// Those that led to the generation `newest`, of all that are known. One that stands behind a later turn than the next one is
    /// passed over: what stands at that turn now is something else.
    pub fn to(newest: u64, known: &BTreeMap<u64, Began>) -> Self {
        let mut line = Self::default();
        let (mut next, mut turn) = (newest, u64::MAX);
        while let Some(began) = known.get(&next) {
            if began.turn <= turn {
                line.openings.insert(next, *began);
                turn = began.turn;
            } else {
                line.passed.insert(next, *began);
            }
            line.unknown = began.stands_behind(next);
            next = line.unknown;
        }
        if line.unknown <= FIRST {
            line.unknown = 0;
        }
        line
    }

    /// That of a copy: what it has noted are the openings of one line.
    pub fn noted(facts: &Facts, seal: &WordSeal) -> Self {
        let known = sealed_in(facts.iter().map(|(name, value)| (name.as_str(), &value[..])), seal);
        let newest = known.last_key_value().map_or(0, |(generation, _)| *generation);
        Self::to(newest, &known)
    }

    /// The newest generation; 0 for a log that was never opened anew.
    pub fn newest(&self) -> u64 {
        self.openings.last_key_value().map_or(0, |(generation, _)| *generation)
    }

    /// All of them, but for those that are passed over.
    pub fn openings(&self) -> &BTreeMap<u64, Began> {
        &self.openings
    }

    /// Whether the log has gone through this generation. The first ones are of every log.
    pub fn has(&self, generation: u64) -> bool {
        generation <= FIRST || self.names(generation)
    }

    /// Whether it is known where this generation began, and that it led to where the log is.
    fn names(&self, generation: u64) -> bool {
        self.openings.contains_key(&generation) || self.passed.contains_key(&generation)
    }

    /// Whether it may have gone through this generation: it has, or that is so long ago that nobody knows.
    fn may_have(&self, generation: u64) -> bool {
        self.has(generation) || generation <= self.unknown
    }

    fn turns_behind(&self, generation: u64) -> impl Iterator<Item = u64> {
        self.openings.range(generation.saturating_add(1)..).map(|(_, began)| began.turn)
    }

    /// The newest generation that both have gone through, as far as is known; 0 for what was there before all of them.
    fn last_of_both(&self, other: &Self) -> u64 {
        let own = self.openings.keys().chain(self.passed.keys()).copied();
        own.filter(|generation| other.has(*generation)).max().unwrap_or(0)
    }

    /// Whether it is known what this one has gone through behind that generation.
    fn reaches_back_to(&self, generation: u64) -> bool {
        self.unknown == 0 || self.names(generation)
    }

    /// A generation of this one, no newer than the turn behind `applied`, which somebody reads next who has followed `own` and
    /// has read that turn from the generation `read_from`.
    pub fn reached_by(&self, own: &Self, (applied, read_from): (u64, u64)) -> u64 {
        if self.has(read_from) {
            return read_from;
        }
        // What a copy knows may have begun behind what it has read.
        let is_reached =
            |(generation, began): &(&u64, &Began)| began.turn <= applied && own.has(**generation);
        self.openings.iter().rev().find(is_reached).map_or(0, |(generation, _)| *generation)
    }

    /// Whether only the chain of the oldest opening can say that what somebody has is part of this line, who has followed
    /// `own` and has read the turn `applied` from the generation `read_from`: it is not known what led to that opening, and
    /// they have not come so far. Who has read nothing has nothing.
    pub fn is_unsure_of(&self, own: &Self, (applied, read_from): (u64, u64)) -> bool {
        let is_behind_both = || {
            let both = own.last_of_both(self);
            self.names(both) && own.names(read_from) && read_from >= both
        };
        let is_known = self.unknown == 0 || self.names(read_from) || is_behind_both();
        let oldest = self.openings.first_key_value();
        !is_known && oldest.is_some_and(|(_, began)| (1..began.turn).contains(&applied))
    }

    /// Whether the log has all that a copy had up to turn `since`: the copy came to the same where a generation began
    /// there or later. `chain_at` is what everything up to a turn came to in it.
    pub fn has_all_of(&self, since: u64, chain_at: impl Fn(u64) -> Option<Digest>) -> bool {
        let mut began = self.openings.values().filter(|began| began.turn >= since);
        began.any(|began| chain_at(began.turn) == Some(began.chain))
    }

    /// The last turn before the first generation that began behind this turn.
    pub fn next_behind(&self, turn: u64) -> Option<u64> {
        self.openings.values().map(|began| began.turn).find(|last| *last > turn)
    }

    /// Whether the other one has gone on from where this one ends.
    pub fn is_older_than(&self, other: &Self) -> bool {
        let both = other.last_of_both(self);
        self.turns_behind(both).next().is_none() && other.turns_behind(both).next().is_some()
    }

    /// Those that led to where the log is, as far as either knows: this one, or what `own` has gone through since.
    #[must_use]
    pub fn joined(self, own: Self) -> Self {
        if self.is_older_than(&own) { own } else { self }
    }

    /// The generation that the log is in, as far as this one or `own` knows.
    pub fn generation(&self, own: &Self) -> u64 {
        let line = if self.is_older_than(own) { own } else { self };
        match line.newest() {
            // Where a copy has gone through nothing that is known, that may be behind what nobody remembers.
            0 => own.unknown.max(FIRST),
            newest => newest,
        }
    }

    /// The part of it that a copy can have gone through, which has noted it: up to where it has come to something else. It has only
    /// heard of the rest, which is of another line; in the log that it opens nothing would agree with that. `chain_at` is what
    /// everything up to a turn came to in it.
    #[must_use]
    pub fn agreed(mut self, chain_at: impl Fn(u64) -> Option<Digest>) -> Self {
        let is_other =
            |began: &Began| chain_at(began.turn).is_some_and(|chain| chain != began.chain);
        loop {
            let first = self.openings.iter().find(|(_, began)| is_other(began));
            let before = first.map(|(generation, began)| began.stands_behind(*generation));
            let Some(before) = before else { return self };
            // What was passed over because of that one may be part of it again.
            let mut known = self.openings;
            known.append(&mut self.passed);
            self = Self::to(before, &known);
            if self.openings.is_empty() && before > FIRST {
                self.unknown = before;
            }
        }
    }

    /// Whether a turn that was read from this generation is part of the log.
    pub fn counts(&self, turn: u64, generation: u64) -> bool {
        self.may_have(generation) && self.turns_behind(generation).all(|last| turn <= last)
    }

    /// Whether a copy that has gone through `own` passes over this turn, which was read from this generation: the log was opened
    /// without it, as far as this one or `own` knows.
    pub fn passes_over(&self, own: &Self, (turn, generation): (u64, u64)) -> bool {
        // What lies in a Redis that has lost something may have been read from a generation that only this copy knows.
        let is_own = || !self.has(generation) && own.counts(turn, generation);
        let is_parted = forked_behind(self, own, (turn, generation), |_| None).is_some();
        // Of a log that has lost its last openings the copy knows what those left out.
        let line = if self.is_older_than(own) { own } else { self };
        is_parted || !(line.counts(turn, generation) || is_own())
    }

    /// Whether a copy that has followed this line, and has read the turn `applied` from the generation `read_from`, had come
    /// behind an opening by then that is newer than `generation`. What stands behind that turn in such a generation goes on from
    /// something else.
    pub fn has_left(&self, generation: u64, (applied, read_from): (u64, u64)) -> bool {
        let is_between = |of: u64| generation < of && of <= read_from;
        self.openings.iter().any(|(of, began)| is_between(*of) && began.turn < applied)
    }

    /// Facts that are no openings, or are of this line.
    pub fn filter(&self, facts: &mut Facts) {
        let is_of_this = |name: &str| {
            let generation = name.strip_prefix(BEGAN).and_then(|number| number.parse::<u64>().ok());
            generation.is_some_and(|generation| self.names(generation))
        };
        facts.retain(|(name, _)| !is_opening(name) || is_of_this(name));
    }
}

/// The openings among these, as far as a hub has sealed them.
pub fn sealed_in<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    seal: &WordSeal,
) -> BTreeMap<u64, Began> {
    let read = |(name, value): (&str, &[u8])| {
        let generation = name.strip_prefix(BEGAN)?.parse().ok()?;
        Some((generation, Began::read(&seal.open(name, value)?)?))
    };
    fields.filter_map(read).collect()
}

/// The last turn that a copy shares with the log of this line, where it has more that is not in there. The copy has gone
/// through `own` itself, and has read its last turn, `applied`, from the generation `read_from`; `chain_at` is what everything
/// up to a turn came to in it.
pub fn forked_behind(
    log: &Line,
    own: &Line,
    (applied, read_from): (u64, u64),
    chain_at: impl Fn(u64) -> Option<Digest>,
) -> Option<u64> {
    // The log may have lost the opening because of which the copy passes one over, and come to something else there.
    let is_other = |(generation, began): &(&u64, &Began)| {
        !own.passed.contains_key(*generation)
            && began.turn <= applied
            && chain_at(began.turn).is_some_and(|chain| chain != began.chain)
    };
    let other = log.openings.iter().find(is_other).map(|(_, began)| began.turn.saturating_sub(1));
    let parted = if log.has(read_from) {
        log.turns_behind(read_from).min()
    } else {
        // It was read in a generation that the log has not gone through, or so long ago that nobody knows: then what the copy
        // has gone through may be part of it, up to where the log is known from.
        let both = own.last_of_both(log);
        let is_known = log.reaches_back_to(both);
        let there = log.turns_behind(both).min();
        let here = own.turns_behind(both).filter(|_| is_known);
        there.map(|there| here.chain([there]).min().unwrap_or(there))
    };
    parted.filter(|last| *last < applied).into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(turn: u64) -> Digest {
        Digest([u8::try_from(turn).unwrap(); 32])
    }

    /// Generations, each with the one before it and the last turn before it.
    fn line(openings: &[(u64, u64, u64)]) -> Line {
        let began = |before, turn| Began { before, turn, chain: chain(turn) };
        let known =
            openings.iter().map(|(of, before, turn)| (*of, began(*before, *turn))).collect();
        Line::to(openings.last().map_or(0, |(of, ..)| *of), &known)
    }

    fn forked(log: &Line, own: &Line, copy: (u64, u64)) -> Option<u64> {
        forked_behind(log, own, copy, |_| None)
    }

    #[test]
    fn a_copy_that_has_more_than_a_later_generation_began_with_has_forked() {
        let log = line(&[(2, 0, 10), (3, 2, 12)]);
        for (copy, behind) in [
            ((10, 1), None),
            ((11, 1), Some(10)),
            ((13, 1), Some(10)),
            ((12, 2), None),
            ((13, 2), Some(12)),
            ((99, 3), None),
        ] {
            assert_eq!(forked(&log, &line(&[]), copy), behind, "turn and generation {copy:?}");
        }
    }

    /// Goal: two openings that were begun without knowing of each other are told apart, whichever number is the larger one.
    #[test]
    fn a_copy_of_another_line_has_forked_where_the_lines_part() {
        for (there, here) in [(5, 7), (7, 5)] {
            let (log, own) = (line(&[(there, 0, 40)]), line(&[(here, 0, 40)]));
            assert_eq!(forked(&log, &own, (80, here)), Some(40), "read behind it");
            assert_eq!(forked(&log, &own, (40, 1)), None, "nothing was read behind it");
            assert!(!log.is_older_than(&own) && !own.is_older_than(&log));
        }
        // The log goes back further than the other line does, or less far.
        let own = line(&[(3, 0, 20), (7, 3, 40), (8, 7, 50)]);
        assert_eq!(forked(&line(&[(3, 0, 20), (5, 3, 60)]), &own, (55, 8)), Some(40));
        assert_eq!(forked(&line(&[(3, 0, 20), (5, 3, 30)]), &own, (55, 8)), Some(30));
    }

    #[test]
    fn a_log_that_ends_where_the_copy_goes_on_is_one_of_before() {
        let (log, own) = (line(&[(3, 0, 20)]), line(&[(3, 0, 20), (7, 3, 40)]));
        assert!(log.is_older_than(&own) && !own.is_older_than(&log) && !log.is_older_than(&log));
        assert_eq!(forked(&log, &own, (45, 7)), None, "it is to be put back");
        assert_eq!(log.clone().joined(own.clone()), own);
        assert_eq!(own.clone().joined(log), own);
    }

    /// Goal: a copy that was away for longer than the log remembers its openings is taken for what it is: one that is behind.
    /// Before, it was told that it had forked.
    #[test]
    fn what_is_longer_ago_than_the_log_remembers_is_no_fork() {
        // The log has gone through 3 and 7, and through many since; the last ones are known.
        let log = line(&[(90, 80, 60), (95, 90, 70)]);
        for own in [line(&[(3, 0, 20), (7, 3, 40)]), line(&[])] {
            let read_from = own.newest().max(1);
            assert_eq!(forked(&log, &own, (50, read_from)), None, "it is behind");
            assert_eq!(forked(&log, &own, (60, read_from)), None, "as far as that began");
            assert_eq!(forked(&log, &own, (61, read_from)), Some(60), "it has more");
            assert!(!log.is_older_than(&own) && log.counts(55, read_from), "and reads on");
            let seen = |turn: u64| (turn == 60).then(|| chain(1));
            assert_eq!(forked_behind(&log, &own, (60, read_from), seen), Some(59), "by its chain");
        }
        assert!(log.counts(60, 80) && !log.counts(61, 80) && !log.counts(55, 85));
        // One that knows what led there is on another line.
        let own = line(&[(3, 0, 20), (90, 3, 60), (92, 90, 65)]);
        assert_eq!(forked(&log, &own, (68, 92)), Some(65));
        // A log of which nothing is known has gone through nothing.
        assert!(!Line::to(80, &BTreeMap::new()).counts(5, 80));
    }

    /// Goal: a copy that has read something else than the log was opened with is not taken for one that is behind, where the
    /// log does not remember that opening.
    #[test]
    fn who_may_have_forked_where_nobody_remembers_is_unsure() {
        // Whoever has read on without a person's word has opened 5 behind 40; the others went on with 6 there, and later 7.
        let (log, own) = (line(&[(7, 6, 60)]), line(&[(5, 1, 40)]));
        assert_eq!(forked(&log, &own, (58, 5)), None, "by the openings alone it is behind");
        assert!(log.is_unsure_of(&own, (58, 5)) && log.is_unsure_of(&own, (59, 6)));
        assert!(log.is_unsure_of(&line(&[]), (58, 1)), "it has opened nothing itself");
        assert!(!log.is_unsure_of(&line(&[]), (0, 0)), "it is empty");
        assert!(
            log.is_unsure_of(&log, (58, 5)) && log.is_unsure_of(&log, (58, 9)),
            "it has heard of it"
        );
        assert!(!log.is_unsure_of(&own, (60, 6)), "the chain says it");
        assert!(!log.is_unsure_of(&log, (60, 7)));
        let known = line(&[(6, 1, 40), (7, 6, 60)]);
        assert!(!known.is_unsure_of(&own, (58, 5)) && !known.is_unsure_of(&line(&[]), (58, 1)));
        let later = line(&[(5, 1, 40), (7, 6, 60), (8, 7, 70)]);
        assert!(!log.is_unsure_of(&later, (71, 8)), "it has gone on from there");
        // It reads what stands behind its last turn, whatever it has heard of.
        assert_eq!(log.reached_by(&log, (58, 5)), 0);
        assert_eq!(log.reached_by(&log, (60, 6)), 7);
        assert_eq!(log.reached_by(&own, (58, 5)), 0);
    }

    #[test]
    fn a_log_has_all_of_a_copy_that_came_to_the_same_where_a_generation_began_since() {
        let log = line(&[(7, 6, 60), (9, 7, 80)]);
        let upto = |last: u64| move |turn: u64| (turn <= last).then(|| chain(turn));
        assert!(!log.has_all_of(58, upto(59)), "it has not come so far");
        assert!(log.has_all_of(58, upto(60)) && log.has_all_of(60, upto(60)));
        assert!(!log.has_all_of(61, upto(70)), "what it had came later");
        assert!(!log.has_all_of(58, |_| Some(chain(1))), "it has something else");
        assert!(!log.has_all_of(58, |turn| (turn > 80).then(|| chain(turn))), "it is too long ago");
        assert!(log.has_all_of(58, |turn| (turn > 70).then(|| chain(turn))), "a later one says it");
        assert!(!Line::default().has_all_of(0, |_| Some(chain(1))), "nothing is known");
        let next = [0, 59, 60, 79, 80].map(|turn| log.next_behind(turn));
        assert_eq!(next, [Some(60), Some(60), Some(80), Some(80), None]);
    }

    #[test]
    fn an_opening_behind_a_later_turn_than_the_next_one_is_passed_over() {
        let log = line(&[(3, 0, 20), (7, 3, 60), (20, 7, 57), (30, 20, 80)]);
        assert_eq!(log.openings().keys().copied().collect::<Vec<_>>(), [3, 20, 30]);
        assert!(log.has(7) && log.has(3), "the log has gone through them");
        assert!(log.counts(45, 3) && log.counts(57, 7), "turns that were read from them count");
        assert!(!log.counts(58, 7) && !log.counts(58, 3), "up to where the next one began");
        let mut kept: Facts = [3, 5, 7].map(|of| (format!("o:{of}"), Vec::new())).into();
        log.filter(&mut kept);
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["o:3", "o:7"], "they are not forgotten");
        let alike = line(&[(3, 0, 20), (7, 3, 60), (9, 7, 60)]);
        assert_eq!(alike.openings().len(), 3, "two behind one turn");
    }

    /// Goal: a Redis that goes back to before an opening behind an earlier turn is put right by who has gone on from there, and by who
    /// is behind. Before, who had gone on was told that the log was opened without it, and the others opened it without those turns.
    #[test]
    fn a_log_of_before_an_opening_behind_an_earlier_turn_is_one_of_before() {
        let own = line(&[(3, 0, 20), (7, 3, 60), (20, 7, 57)]);
        // What stands at turn 60 now is not what stood there.
        let seen = |turn: u64| Some(chain(if turn == 60 { 61 } else { turn }));
        for there in [line(&[(3, 0, 20), (7, 3, 60)]), line(&[(3, 0, 20)]), line(&[])] {
            assert!(there.is_older_than(&own) && !own.is_older_than(&there), "{there:?}");
            for copy in [(58, 20), (61, 20), (57, 7), (57, 3)] {
                assert_eq!(forked_behind(&there, &own, copy, seen), None, "{there:?} {copy:?}");
            }
            assert_eq!(there.generation(&own), 20, "the next one stands behind it");
            assert!(!there.passes_over(&own, (57, 7)) && !there.passes_over(&own, (58, 20)));
            for left_out in [(58, 3), (58, 7), (61, 7)] {
                assert!(there.passes_over(&own, left_out), "{there:?} {left_out:?}");
            }
            assert_eq!(there.joined(own.clone()), own);
        }
        // Who has turn 60 as it was has gone on from there.
        let log = line(&[(3, 0, 20), (7, 3, 60), (25, 7, 61)]);
        assert!(!log.is_older_than(&own) && !own.is_older_than(&log));
        for copy in [(58, 20), (61, 20)] {
            assert_eq!(forked_behind(&log, &own, copy, seen), Some(57), "{copy:?}");
        }
        assert_eq!(forked_behind(&log, &own, (57, 7), seen), None, "it is only behind");
        // As has who comes to a log that was opened without it.
        let log = line(&[(3, 0, 20), (7, 3, 60), (20, 7, 57)]);
        let known = [(3, 0, 20), (7, 3, 60), (8, 7, 61)];
        for (count, copy) in [(2, (60, 3)), (2, (62, 7)), (3, (62, 8))] {
            assert_eq!(forked(&log, &line(&known[..count]), copy), Some(57), "{copy:?}");
        }
    }

    /// Goal: a log that the last copy opens goes on for ever, also where that one had heard of an opening that it had not come to, and
    /// had read its last turn from there: whoever refills gives each turn its own generation. Before, that opening was part of the
    /// line, and from its turn on no server was let in; or it was cut, and nobody who was behind could read those turns.
    #[test]
    fn a_log_goes_on_that_was_opened_behind_an_earlier_turn_than_the_last_time() {
        let own = line(&[(3, 0, 20), (7, 3, 60)]);
        assert_eq!(Line::default().generation(&own), 7, "the next one stands behind it");
        let opened = line(&[(3, 0, 20), (7, 3, 60), (20, 7, 57)]);
        // What stands at turn 60 now is not what stood there.
        let seen = |turn: u64| Some(chain(if turn == 60 { 61 } else { turn }));
        for copy in [(57, 7), (57, 3)] {
            assert_eq!(forked_behind(&opened, &own, copy, seen), None, "it has opened it");
            assert!(!opened.is_unsure_of(&own, copy));
        }
        let again = line(&[(3, 0, 20), (7, 3, 60), (20, 7, 57), (30, 20, 61)]);
        for log in [&opened, &again] {
            assert_eq!(forked_behind(log, &opened, (61, 20), seen), None, "it starts again");
            assert!(!log.is_unsure_of(&opened, (61, 20)));
            // Who is behind reads on.
            let behind = line(&[(3, 0, 20)]);
            assert_eq!(forked(log, &behind, (45, 3)), None);
            assert!(!log.is_unsure_of(&behind, (45, 3)), "it is known what led there");
            assert!(!log.passes_over(&behind, (46, 7)) && !log.passes_over(&behind, (57, 7)));
            assert!(log.passes_over(&behind, (58, 7)), "the log was opened without it");
        }
    }

    #[test]
    fn an_older_generation_goes_on_from_a_copy_that_had_not_come_behind_the_next_one() {
        let own = line(&[(5, 0, 40), (7, 5, 60)]);
        assert!(!own.has_left(5, (57, 7)), "it has read turn 57 under 7, and that begins later");
        assert!(!own.has_left(5, (60, 7)) && !own.has_left(5, (57, 5)));
        assert!(!own.has_left(9, (70, 7)));
        assert!(own.has_left(5, (61, 7)), "it has read what came behind turn 60");
        assert!(own.has_left(1, (57, 7)) && !own.has_left(1, (40, 7)));
        assert!(!own.has_left(5, (61, 5)), "it has only heard of 7");
    }

    /// Goal: an opening at which a copy has come to something else does not get into the log that it opens.
    #[test]
    fn a_copy_has_only_heard_of_an_opening_where_it_has_come_to_something_else() {
        let own = line(&[(3, 0, 20), (7, 3, 60), (9, 7, 80)]);
        let other_from = |first: u64| {
            move |turn: u64| Some(chain(if turn < first { turn } else { turn.saturating_add(1) }))
        };
        assert_eq!(own.clone().agreed(|_| None), own, "it has not come so far");
        assert_eq!(own.clone().agreed(other_from(99)), own);
        assert_eq!(own.agreed(other_from(60)), line(&[(3, 0, 20)]));
        // What was passed over because of an opening of which it has only heard is of its line, as far as it has come.
        let own = line(&[(3, 0, 20), (7, 3, 60), (20, 7, 57)]);
        let upto_59 = |turn: u64| (turn < 60).then(|| chain(if turn < 57 { turn } else { 99 }));
        assert_eq!(own.clone().agreed(upto_59), line(&[(3, 0, 20), (7, 3, 60)]));
        assert_eq!(own.agreed(other_from(57)), line(&[(3, 0, 20)]));
        let nothing = line(&[(9, 7, 80)]).agreed(other_from(70));
        assert!(nothing.openings().is_empty());
        assert_eq!(Line::default().generation(&nothing), 7, "nobody remembers it");
        assert_eq!(Line::default().generation(&Line::default()), 1);
    }

    #[test]
    fn another_chain_where_a_generation_began_is_a_fork() {
        let log = line(&[(3, 0, 20), (5, 3, 30)]);
        let seen = |turn: u64| Some(chain(if turn < 25 { turn } else { turn + 1 }));
        assert_eq!(forked_behind(&log, &log, (40, 5), seen), Some(29));
        assert_eq!(forked_behind(&log, &log, (29, 3), seen), None, "it has not come that far");
    }

    #[test]
    fn what_no_hub_has_sealed_is_no_opening() {
        let seal = WordSeal::new(&[1; 32], [7; 16]);
        let began = Began { before: 0, turn: 10, chain: chain(10) };
        let right = began.sealed(9, &seal);
        let facts = vec![
            ("host".to_owned(), b"n1".to_vec()),
            ("o:12".to_owned(), b"10".to_vec()),
            ("o:13".to_owned(), right.1.clone()),
            Began { before: 9, turn: 11, chain: chain(11) }
                .sealed(14, &WordSeal::new(&[2; 32], [7; 16])),
            right,
        ];
        assert_eq!(Line::noted(&facts, &seal), line(&[(9, 0, 10)]));
        let mut kept = facts;
        line(&[(9, 0, 10)]).filter(&mut kept);
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["host", "o:9"]);
    }

    #[test]
    fn a_number_is_larger_than_the_one_before_and_seldom_the_same() {
        let numbers: std::collections::BTreeSet<u64> = (0..64).map(|_| number_behind(5)).collect();
        assert!(numbers.len() > 60 && numbers.iter().all(|number| *number > 5), "{numbers:?}");
    }
}
