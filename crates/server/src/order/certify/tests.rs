use proptest::{collection::vec, prelude::*};

use super::*;

fn hub(node: u32) -> Incarnation {
    Incarnation { node, life: 1 }
}

fn guard(reads: &[u64], writes: &[u64]) -> Guard {
    Guard { reads: reads.to_vec(), writes: writes.to_vec(), is_structure: false }
}

#[test]
fn what_was_read_and_written_since_is_void_for_others_and_counts_for_nobody() {
    let mut certifier = Certifier::new(0);
    assert_eq!(certifier.judge(1, (hub(1), 0), [&guard(&[7], &[7])]), [true]);
    assert_eq!(certifier.judge(2, (hub(2), 0), [&guard(&[7], &[8])]), [false], "7 was written");
    assert_eq!(certifier.judge(3, (hub(3), 0), [&guard(&[8], &[])]), [true], "8 was not");
    assert_eq!(
        certifier.judge(4, (hub(2), 1), [&guard(&[8], &[])]),
        [false],
        "it follows what is void"
    );
    assert_eq!(certifier.judge(5, (hub(2), 4), [&guard(&[7, 8], &[])]), [true], "decided again");
}

#[test]
fn records_of_one_batch_are_decided_together_unless_the_first_is_void() {
    let mut certifier = Certifier::new(0);
    let line = guard(&[1], &[1]);
    assert_eq!(certifier.judge(1, (hub(1), 0), [&line, &line, &line]), [true; 3]);
    let behind = guard(&[2, 1], &[3]);
    let follows = guard(&[3], &[]);
    assert_eq!(certifier.judge(2, (hub(2), 0), [&behind, &follows]), [false, false]);
}

#[test]
fn a_decision_on_what_is_forgotten_is_void() {
    let mut certifier = Certifier::new(0);
    let turns = u64::try_from(WINDOW_TURNS).unwrap();
    for turn in 1..=turns + 1 {
        assert_eq!(certifier.judge(turn, (hub(1), turn - 1), [&guard(&[], &[turn])]), [true]);
    }
    let next = turns + 2;
    assert_eq!(certifier.judge(next, (hub(2), 0), [&guard(&[], &[])]), [false]);
    assert_eq!(certifier.judge(next + 1, (hub(2), next), [&guard(&[1], &[])]), [true]);
    assert!(certifier.last.len() <= WINDOW_TURNS, "what is forgotten takes no room");
    let many: Vec<u64> = (0..u64::try_from(WINDOW_KEYS).unwrap()).collect();
    certifier.judge(next + 2, (hub(1), next), [&guard(&[], &many)]);
    assert_eq!(certifier.keys, WINDOW_KEYS);
    assert!(certifier.window.len() < 4, "many keys make the window shorter");
}

/// A turn, whose it is, and its records with their verdicts.
type Judged = (u64, Incarnation, Vec<(Guard, bool)>);

/// The rule as it is said, on all that ever was.
fn plainly(
    history: &[Judged],
    (hub, at): (Incarnation, u64),
    earlier: &[(Guard, bool)],
    guard: &Guard,
) -> bool {
    let later = history.iter().filter(|(turn, ..)| *turn > at);
    let mut written = Vec::new();
    for (_, by, records) in later {
        for (guard, is_admitted) in records {
            if *is_admitted || *by == hub {
                written.extend(&guard.writes);
            }
        }
    }
    let void = earlier.iter().filter(|(_, is_admitted)| !is_admitted);
    written.extend(void.flat_map(|(guard, _)| guard.writes.clone()));
    !guard.reads.iter().any(|key| written.contains(key))
}

proptest! {
    /// Goal: the memory of the certifier is the rule. Method: the rule itself, on random batches.
    #[test]
    fn it_judges_by_the_rule(
        batches in vec((1u32..4, 0u64..6, vec((vec(0u64..5, 0..3), vec(0u64..5, 0..3)), 1..4)), 1..40),
    ) {
        let mut certifier = Certifier::new(0);
        let mut history: Vec<Judged> = Vec::new();
        for (turn, (node, lag, records)) in (1u64..).zip(batches) {
            let place = (hub(node), (turn - 1).saturating_sub(lag));
            let guards: Vec<Guard> =
                records.iter().map(|(reads, writes)| guard(reads, writes)).collect();
            let verdicts = certifier.judge(turn, place, &guards);
            let mut judged: Vec<(Guard, bool)> = Vec::new();
            for (guard, verdict) in guards.into_iter().zip(verdicts) {
                prop_assert_eq!(verdict, plainly(&history, place, &judged, &guard));
                judged.push((guard, verdict));
            }
            history.push((turn, place.0, judged));
        }
    }
}
