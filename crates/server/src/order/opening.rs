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
pub mod line;
pub mod memory;
pub mod redis;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use chat_protocol::id::Digest;

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

/// What hubs have said since Redis is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Heard {
    /// Those that say so still.
    pub said: BTreeMap<u32, Said>,
    /// Those that have said nothing for [`SAID_LEASE`], and what they had said last.
    pub silent: BTreeMap<u32, Said>,
}

/// What a hub knows when it decides.
#[derive(Debug)]
pub struct View<'a> {
    /// Which hub it is, by its node.
    pub node: u32,
    /// The hubs that live, by the log as it was applied here. This one may be among them.
    pub living: &'a BTreeSet<u32>,
    /// What all hubs have said, this one among them.
    pub heard: &'a Heard,
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
    let View { node, living, heard: Heard { said, silent }, has, is_time_over, without } = view;
    let is_left_out = |hub: &u32| without.is_some_and(|without| without.contains(hub));
    if is_left_out(node) {
        return Decision::LeftOut;
    }
    let Some(own) = said.get(node).filter(|own| own.turn >= *has) else { return Decision::Read };
    let is_other = |said: &Said| chain_at(said.turn).is_some_and(|chain| chain != said.chain);
    let is_here = |(hub, _): &(&u32, &Said)| !is_left_out(hub);
    let with: BTreeSet<u32> = said
        .iter()
        .filter(is_here)
        .filter(|(_, said)| said.turn <= own.turn && is_other(said))
        .map(|(node, _)| *node)
        .collect();
    if !with.is_empty() {
        return Decision::Forked { with };
    }
    // The first of those that are equally far.
    let further = |(node, said): &(&u32, &Said)| (said.turn, std::cmp::Reverse(**node));
    if let Some((furthest, _)) = said.iter().filter(is_here).max_by_key(further)
        && furthest != node
    {
        return Decision::Leave { to: *furthest };
    }
    // Whoever is silent by now need not be waited for where this copy has all that it had.
    let is_covered = |said: &Said| said.turn <= own.turn && !is_other(said);
    let covered = silent.iter().filter(is_here).filter(|(_, said)| is_covered(said));
    let known: BTreeMap<&u32, &Said> = said.iter().filter(is_here).chain(covered).collect();
    let is_missing = |hub: &&u32| *hub != node && !known.contains_key(hub) && !is_left_out(hub);
    let hubs: BTreeSet<u32> =
        living.iter().chain(silent.keys()).filter(is_missing).copied().collect();
    let has_more = |hub: &u32| silent.get(hub).is_some_and(|said| said.turn > *has);
    let is_lacking = *has < own.turn || hubs.iter().any(has_more);
    // Who lives may not be known to a copy of long ago, nor to one that is as far; and whom it knows to know more, a person
    // may have left out.
    let is_sure = without.is_none() && known.values().all(|said| !said.is_new);
    let is_known = !is_lacking || is_sure;
    let is_waiting = !hubs.is_empty() && (is_lacking || !is_time_over);
    if is_waiting || !(is_known || *is_time_over) {
        return Decision::WaitFor { hubs, is_lacking };
    }
    // A copy of long ago may know of nobody else.
    if is_lacking && known.len() < 2 && without.is_none() {
        return Decision::Alone;
    }
    let generation = known.values().map(|said| said.generation).max().unwrap_or_default();
    let refill = (*has < own.turn).then(|| has.saturating_add(1)..=own.turn);
    Decision::Open { refill, generation }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(turn: u64) -> Digest {
        Digest([u8::try_from(turn).unwrap(); 32])
    }

    fn said(turns: &[(u32, u64)]) -> BTreeMap<u32, Said> {
        let said = |turn| Said { turn, chain: chain(turn), generation: turn + 1, is_new: false };
        turns.iter().map(|(node, turn)| (*node, said(*turn))).collect()
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
        let without = without.as_ref();
        let view = View { node: 1, living: &living, heard, has, is_time_over, without };
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
        forked.silent.entry(3).and_modify(|said| said.chain = chain(9));
        assert_eq!(among(&forked, 3, true, None), wait(&[3], true), "it had something else");
        assert_eq!(among(&forked, 3, true, Some(&[3])), opened(Some(4..=5)));
    }

    #[test]
    fn whom_a_person_leaves_out_does_not_count_whatever_it_says() {
        let opened = Decision::Open { refill: Some(4..=5), generation: 6 };
        assert_eq!(one(&[(1, 5), (2, 5), (3, 9)], 3, true, Some(&[3])), opened);
        let mut forked = heard(&[(1, 5), (2, 5), (3, 4)]);
        forked.said.entry(3).and_modify(|said| said.chain = chain(9));
        assert_eq!(among(&forked, 3, true, Some(&[3])), opened);
        assert_eq!(one(&[(1, 5), (2, 4)], 3, true, Some(&[1])), Decision::LeftOut);
    }

    #[test]
    fn a_copy_that_knows_of_nobody_else_opens_nothing_that_lacks_something() {
        let (living, heard) = (BTreeSet::from([1]), heard(&[(1, 5)]));
        let view = View {
            node: 1,
            living: &living,
            heard: &heard,
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
            let mut heard = heard(&[(1, 2), (2, 2)]);
            heard.said.entry(2).and_modify(|said| said.is_new = is_new);
            let view =
                View { node: 1, living: &living, heard: &heard, has, is_time_over, without: None };
            decide(&view, |turn| Some(chain(turn)))
        };
        assert_eq!(decided(true, false, 0), wait(&[], true));
        assert!(matches!(decided(true, true, 0), Decision::Open { .. }));
        assert!(matches!(decided(false, false, 0), Decision::Open { .. }));
        assert!(matches!(decided(true, false, 2), Decision::Open { .. }), "nothing is lacking");
    }

    #[test]
    fn two_that_have_come_to_different_things_are_named_and_nobody_opens() {
        let (living, mut heard) = (BTreeSet::from([1, 2]), heard(&[(1, 5), (2, 4)]));
        heard.said.insert(2, Said { turn: 4, chain: chain(9), generation: 9, is_new: false });
        let view = View {
            node: 1,
            living: &living,
            heard: &heard,
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
