use super::*;
use crate::{
    order::Guard,
    store::{AccountId, Committed, DeviceId, LogId, Stored},
};

const NOW: u64 = 1_790_000_000_000;

fn hub(node: u32) -> Incarnation {
    Incarnation { node, life: 1 }
}

fn follower() -> Follower {
    Follower::new(Seal::new(&[1; 32], [2; 16], 3))
}

fn record(position: u64) -> Guarded {
    let (account, device) = (AccountId(1), DeviceId(2));
    let positions = vec![(LogId(1), position)];
    let proposal = Proposal::Cursors { account, device, positions };
    Guarded { proposal, guard: Guard::default() }
}

/// What a hub writes that has applied what this follower has.
fn written(by: &Follower, hub: Incarnation, seq: u64, proposal: Guarded) -> Vec<u8> {
    let (at, chain) = (by.applied(), by.chain());
    let batch = Batch { now_ms: NOW, at, chain, records: vec![proposal] };
    by.seal().seal(BatchId { hub, seq }, &batch).unwrap()
}

fn logged(turn: u64, time_ms: u64, batch: &[u8]) -> Logged {
    Logged { turn, generation: 1, time_ms, batch: batch.to_vec().into() }
}

/// Applies a turn all of whose records come to this. Says whether all were admitted.
fn keep(follower: &mut Follower, judged: Judged, stored: Stored) -> bool {
    let Judged { turn, records, mark, .. } = judged;
    let verdicts = mark.verdicts.clone();
    let admitted = records.into_iter().filter_map(|(proposal, is)| is.then_some(proposal));
    let kept = |proposal| Committed { proposal, outcome: Ok(stored) };
    let kept: Vec<Committed> = admitted.map(kept).collect();
    follower.apply(turn, mark.time_ms, mark.chain(&kept));
    verdicts.iter().all(|is| *is)
}

/// Applies a turn as a store would that keeps everything. Says whether all was admitted.
fn follow(follower: &mut Follower, logged: &Logged) -> Result<bool, FollowError> {
    let judged = follower.judge(logged)?;
    let is_something = !judged.records.is_empty();
    Ok(keep(follower, judged, Stored::Done) && is_something)
}

#[test]
fn a_replayed_batch_and_one_of_nobody_count_for_nothing_on_any_hub() {
    let (mut one, mut other) = (follower(), follower());
    let batch = written(&one, hub(1), 1, record(1));
    let foreign = Follower::new(Seal::new(&[9; 32], [2; 16], 3));
    let foreign = written(&foreign, hub(2), 1, record(1));
    let mut numbered = batch.clone();
    numbered[0] += 1;
    let turns = [
        logged(1, NOW, &batch),
        logged(2, NOW, &foreign),
        logged(3, NOW, &batch),
        logged(4, NOW, &numbered),
    ];
    for follower in [&mut one, &mut other] {
        let admitted: Vec<bool> =
            turns.iter().map(|turn| follow(follower, turn).unwrap()).collect();
        assert_eq!(admitted, [true, false, false, false]);
    }
    assert_eq!(one.chain(), other.chain());
    let next = written(&one, hub(1), 2, record(2));
    assert_eq!(follow(&mut one, &logged(5, NOW, &next)), Ok(true));
}

/// Whether its hub has come to something else, and nothing of it counts for that.
fn is_foreign(follower: &mut Follower, logged: &Logged) -> bool {
    let judged = follower.judge(logged).unwrap();
    judged.agrees == Some(false) && judged.mark.verdicts.iter().all(|is| !is)
}

#[test]
fn what_is_left_out_is_noticed() {
    let mut follower = follower();
    let batch = written(&follower, hub(1), 1, record(1));
    let gap = FollowError::Gap { expected: 1, got: 2 };
    assert_eq!(follow(&mut follower, &logged(2, NOW, &batch)), Err(gap));
    // Where the numbers were changed to hide it: the next batch that rests on what is missing says so.
    let mut whole = self::follower();
    follow(&mut whole, &logged(1, NOW, &batch)).unwrap();
    let second = written(&follower, hub(2), 1, record(2));
    let third = {
        follow(&mut whole, &logged(2, NOW, &second)).unwrap();
        written(&whole, hub(1), 2, record(3))
    };
    assert_eq!(follow(&mut follower, &logged(1, NOW, &second)), Ok(true));
    assert_eq!(
        follow(&mut follower, &logged(2, NOW, &third)),
        Ok(false),
        "it rests on a turn to come"
    );
    let fourth = written(&whole, hub(2), 2, record(4));
    assert!(is_foreign(&mut follower, &logged(3, NOW, &fourth)));
}

#[test]
fn what_is_swapped_is_noticed_by_its_number_or_by_the_chain() {
    let start = follower();
    let batches =
        [(1, 1), (1, 2), (2, 1)].map(|(node, seq)| written(&start, hub(node), seq, record(1)));
    let [first, second, others] = &batches;
    let mut swapped = follower();
    assert_eq!(follow(&mut swapped, &logged(1, NOW, second)), Ok(true));
    assert_eq!(follow(&mut swapped, &logged(2, NOW, first)), Ok(false), "its number went by");
    // Two hubs are shown another order.
    let (mut one, mut other) = (follower(), follower());
    for (follower, order) in [(&mut one, [first, others]), (&mut other, [others, first])] {
        for (turn, batch) in (1..).zip(order) {
            follow(follower, &logged(turn, NOW, batch)).unwrap();
        }
    }
    let next = written(&one, hub(1), 2, record(5));
    assert!(is_foreign(&mut other, &logged(3, NOW, &next)));
}

#[test]
fn a_wrong_clock_and_an_old_state_make_a_batch_void() {
    let mut follower = follower();
    let batch = written(&follower, hub(1), 1, record(1));
    let late = NOW + CLOCK_SLACK_MS + 1;
    assert_eq!(follow(&mut follower, &logged(1, late, &batch)), Ok(false));
    // Decided before the first turn, and come after it for as long as that.
    let old = {
        let (at, chain) = (0, Digest::ZERO);
        let batch = Batch { now_ms: late + 9_000, at, chain, records: vec![record(2)] };
        follower.seal().seal(BatchId { hub: hub(2), seq: 1 }, &batch).unwrap()
    };
    assert_eq!(follow(&mut follower, &logged(2, late + STATE_AGE_MS + 1, &old)), Ok(false));
}

#[test]
fn a_hub_that_is_gone_writes_nothing_any_more_and_one_that_has_written_is_not_gone() {
    let mut follower = follower();
    let gone = || Guarded { proposal: Proposal::Gone(hub(2)), guard: Guard::default() };
    let too_early = written(&follower, hub(1), 1, gone());
    let alive = written(&follower, hub(2), 1, record(1));
    assert_eq!(follow(&mut follower, &logged(1, NOW, &alive)), Ok(true));
    assert_eq!(follow(&mut follower, &logged(2, NOW, &too_early)), Ok(false));
    let now = written(&follower, hub(1), 2, gone());
    let again = written(&follower, hub(3), 1, gone());
    let after = written(&follower, hub(2), 2, record(2));
    assert_eq!(follow(&mut follower, &logged(3, NOW, &now)), Ok(true));
    assert_eq!(follow(&mut follower, &logged(4, NOW, &again)), Ok(false), "once");
    assert_eq!(follow(&mut follower, &logged(5, NOW, &after)), Ok(false));
}

/// Goal: hubs that have come to other outcomes notice it at the next batch.
#[test]
fn other_outcomes_are_another_chain() {
    let (mut one, mut other) = (follower(), follower());
    let batch = written(&one, hub(1), 1, record(1));
    let turn = logged(1, NOW, &batch);
    for (follower, position) in [(&mut one, 1), (&mut other, 2)] {
        let judged = follower.judge(&turn).unwrap();
        keep(follower, judged, Stored::Entry(position));
    }
    let next = logged(2, NOW, &written(&one, hub(1), 2, record(2)));
    assert_eq!(follow(&mut one, &next), Ok(true));
    let judged = other.judge(&next).unwrap();
    assert_eq!(
        (judged.agrees, judged.mark.verdicts),
        (Some(false), vec![false]),
        "void for this one"
    );
}
