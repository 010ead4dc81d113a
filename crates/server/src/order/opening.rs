//! Who opens a log anew, and with what, when Redis is another one than before: started again, replaced, emptied, or
//! gone back. Decided here alone, on what the hubs have said; nothing in here waits or asks.
//!
//! ```text
//! every hub reads what is there ─► says its last turn and chain ─► the furthest decides
//!    nothing is lacking ──────────────────────────────────────────► it opens, when all who run had their time
//!    something is lacking, everybody who lives has said theirs ───► it adds what is lacking from its copy, and opens
//!    something is lacking, somebody has not ──────────────────────► everybody waits, or a person says without whom
//! ```

pub mod attempt;
pub mod memory;
pub mod redis;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use chat_protocol::id::Digest;

use crate::store::Facts;

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

/// What a hub knows when it decides.
#[derive(Debug)]
pub struct View<'a> {
    /// Which hub it is, by its node.
    pub node: u32,
    /// The hubs that live, by the log as it was applied here. This one may be among them.
    pub living: &'a BTreeSet<u32>,
    /// What all hubs have said since Redis is another one, this one among them.
    pub said: &'a BTreeMap<u32, Said>,
    /// The last turn that Redis has; 0 for none.
    pub has: u64,
    /// Whoever runs has had the time to say something.
    pub is_time_over: bool,
    /// A person has said that it is to go on without these, and with this hub alone if there is no other.
    pub without: Option<&'a BTreeSet<u32>>,
}

/// What a hub is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// There is more to read first, or it has said nothing yet.
    Read,
    /// Another hub is further: that one opens.
    Leave {
        /// Which.
        to: u32,
    },
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
    /// It adds these turns from its copy, if there are any, and opens.
    Open {
        /// What Redis lacks.
        refill: Option<RangeInclusive<u64>>,
        /// The newest generation that anybody knows: the next one is larger.
        generation: u64,
    },
}

/// Decides. `chain_at` is what everything up to a turn came to in the own copy; nothing for one that is too long ago.
pub fn decide(view: &View<'_>, chain_at: impl Fn(u64) -> Option<Digest>) -> Decision {
    let View { node, living, said, has, is_time_over, without } = view;
    let Some(own) = said.get(node).filter(|own| own.turn >= *has) else { return Decision::Read };
    let is_other = |said: &Said| chain_at(said.turn).is_some_and(|chain| chain != said.chain);
    let with: BTreeSet<u32> = said
        .iter()
        .filter(|(_, said)| said.turn <= own.turn && is_other(said))
        .map(|(node, _)| *node)
        .collect();
    if !with.is_empty() {
        return Decision::Forked { with };
    }
    // The first of those that are equally far.
    let further = |(node, said): &(&u32, &Said)| (said.turn, std::cmp::Reverse(**node));
    if let Some((furthest, _)) = said.iter().max_by_key(further)
        && furthest != node
    {
        return Decision::Leave { to: *furthest };
    }
    let is_missing = |hub: &&u32| {
        *hub != node
            && !said.contains_key(hub)
            && without.is_none_or(|without| !without.contains(hub))
    };
    let hubs: BTreeSet<u32> = living.iter().filter(is_missing).copied().collect();
    let is_lacking = *has < own.turn;
    // Who lives may not be known to a copy of long ago, nor to one that is as far; and whom it knows to know more, a person
    // may have left out.
    let is_sure = without.is_none() && said.values().all(|said| !said.is_new);
    let is_known = !is_lacking || is_sure;
    let is_waiting = !hubs.is_empty() && (is_lacking || !is_time_over);
    if is_waiting || !(is_known || *is_time_over) {
        return Decision::WaitFor { hubs, is_lacking };
    }
    // A copy of long ago may know of nobody else.
    if is_lacking && said.len() < 2 && without.is_none() {
        return Decision::Alone;
    }
    let generation = said.values().map(|said| said.generation).max().unwrap_or_default();
    let refill = is_lacking.then(|| has.saturating_add(1)..=own.turn);
    Decision::Open { refill, generation }
}

/// What a fact is called that says at which turn a generation of the log began.
const BEGAN: &str = "o:";

/// Whether a fact is of this kind.
pub fn is_opening(fact: &str) -> bool {
    fact.starts_with(BEGAN)
}

/// The generations that facts know, and the last turn before each.
pub fn openings(facts: &Facts) -> BTreeMap<u64, u64> {
    let read = |(name, value): &(String, Vec<u8>)| {
        let generation = name.strip_prefix(BEGAN)?.parse().ok()?;
        Some((generation, std::str::from_utf8(value).ok()?.parse().ok()?))
    };
    facts.iter().filter_map(read).collect()
}

/// The last turn that a copy shares with the log, where the log was opened without what the copy has behind it. The copy
/// has applied turn `applied`, which it read from the log in this generation.
pub fn forked_behind(
    openings: &BTreeMap<u64, u64>,
    (applied, generation): (u64, u64),
) -> Option<u64> {
    let later = openings.range(generation.saturating_add(1)..).map(|(_, last)| *last);
    later.filter(|last| *last < applied).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_has_more_than_a_later_generation_began_with_has_forked() {
        let facts = [("o:2", "10"), ("host", "n1"), ("o:3", "12"), ("o:x", "1")];
        let facts =
            facts.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        let openings = openings(&facts);
        assert_eq!(openings, BTreeMap::from([(2, 10), (3, 12)]));
        for (applied, generation, behind) in [
            (10, 1, None),
            (11, 1, Some(10)),
            (13, 1, Some(10)),
            (12, 2, None),
            (13, 2, Some(12)),
            (99, 3, None),
        ] {
            let found = forked_behind(&openings, (applied, generation));
            assert_eq!(found, behind, "turn {applied} of generation {generation}");
        }
    }

    fn chain(turn: u64) -> Digest {
        Digest([u8::try_from(turn).unwrap(); 32])
    }

    fn said(turns: &[(u32, u64)]) -> BTreeMap<u32, Said> {
        let said = |turn| Said { turn, chain: chain(turn), generation: turn + 1, is_new: false };
        turns.iter().map(|(node, turn)| (*node, said(*turn))).collect()
    }

    /// What hub 1 decides; all three live, by what it knows.
    fn one(
        turns: &[(u32, u64)],
        has: u64,
        is_time_over: bool,
        without: Option<&[u32]>,
    ) -> Decision {
        let without = without.map(|without| without.iter().copied().collect());
        let (living, said) = (BTreeSet::from([1, 2, 3]), said(turns));
        let without = without.as_ref();
        let view = View { node: 1, living: &living, said: &said, has, is_time_over, without };
        decide(&view, |turn| Some(chain(turn)))
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
        assert_eq!(one(&[(2, 4)], 4, true, None), Decision::Read);
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

    #[test]
    fn a_copy_that_knows_of_nobody_else_opens_nothing_that_lacks_something() {
        let (living, said) = (BTreeSet::from([1]), said(&[(1, 5)]));
        let view = View {
            node: 1,
            living: &living,
            said: &said,
            has: 4,
            is_time_over: true,
            without: None,
        };
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
            let mut said = said(&[(1, 2), (2, 2)]);
            said.entry(2).and_modify(|said| said.is_new = is_new);
            let view =
                View { node: 1, living: &living, said: &said, has, is_time_over, without: None };
            decide(&view, |turn| Some(chain(turn)))
        };
        assert_eq!(decided(true, false, 0), wait(&[], true));
        assert!(matches!(decided(true, true, 0), Decision::Open { .. }));
        assert!(matches!(decided(false, false, 0), Decision::Open { .. }));
        assert!(matches!(decided(true, false, 2), Decision::Open { .. }), "nothing is lacking");
    }

    #[test]
    fn two_that_have_come_to_different_things_are_named_and_nobody_opens() {
        let (living, mut said) = (BTreeSet::from([1, 2]), said(&[(1, 5), (2, 4)]));
        said.insert(2, Said { turn: 4, chain: chain(9), generation: 9, is_new: false });
        let view = View {
            node: 1,
            living: &living,
            said: &said,
            has: 5,
            is_time_over: true,
            without: None,
        };
        let forked = Decision::Forked { with: BTreeSet::from([2]) };
        assert_eq!(decide(&view, |turn| Some(chain(turn))), forked);
        // One that is so far behind that nobody knows is compared when it follows.
        let opened = Decision::Open { refill: None, generation: 9 };
        assert_eq!(decide(&view, |turn| (turn > 4).then(|| chain(turn))), opened);
    }
}
