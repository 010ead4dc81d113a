use chat_protocol::header::Recipient;

use super::*;
use crate::position::Positions;
use crate::random::SystemRandom;

const E: Digest = Digest([1; 32]);

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn header(n: u32) -> MessageHeader {
    MessageHeader {
        v: 1,
        t: Tag::Text,
        stage: None,
        cid: ConversationId::parse("room:ops").unwrap(),
        from: name("bob"),
        sk: KeyId([1; 16]),
        to: Recipient::Everyone,
        id: MessageId([2; 16]),
        e: E,
        n,
        p: Digest::ZERO,
        ts: 0,
        nbf: None,
        exp: None,
        rb: None,
        tk: None,
    }
}

/// The gaps of alice, and her way out.
fn alice() -> (Gaps, Out) {
    (Gaps::new(name("alice")), Out::new(name("alice"), Box::new(SystemRandom)))
}

fn told(out: &mut Out) -> Vec<Event> {
    out.take_events().into_iter().map(|told| told.event).collect()
}

/// Goal: what is missing is shown once, asked for later and later, and given up with one sentence. Method: nobody
/// answers.
#[test]
fn what_nobody_answers_is_given_up_once() {
    let (mut gaps, mut out) = alice();
    gaps.missed(0, &mut out, (&header(3), None), vec![(E, vec![1, 2])]);
    gaps.missed(0, &mut out, (&header(4), None), vec![(E, vec![1, 2])]);
    let [Event::Gap { missing, .. }] = &told(&mut out)[..] else { panic!("it is told once") };
    assert_eq!(*missing, [1, 2]);
    let mut waits = Vec::new();
    let mut before = 0;
    while let Some(now_ms) = gaps.deadline() {
        waits.push(now_ms - before);
        before = now_ms;
        for ask in gaps.due(now_ms, &mut out) {
            assert_eq!((&ask.from, &ask.counters.n), (&name("bob"), &vec![1, 2]));
            gaps.asked(&ask, Some(MessageId([7; 16])));
        }
    }
    assert_eq!(waits[..3], [HEAL_DELAY_MS, HEAL_RETRY_MS, 2 * HEAL_RETRY_MS]);
    assert_eq!(waits.len(), usize::try_from(HEAL_TRIES_MAX).unwrap() + 1);
    assert!(matches!(&told(&mut out)[..], [Event::Unhealed { n, .. }] if *n == [1, 2]));
    // Whoever comes back is asked again.
    gaps.came(before, Some(&[name("bob")]));
    assert_eq!(gaps.deadline(), Some(before + HEAL_DELAY_MS));
}

/// Goal: one person is not asked without an end, however much is missing of theirs.
#[test]
fn one_person_is_asked_so_often_in_a_minute() {
    let (mut gaps, mut out) = alice();
    for e in 0..2 * u8::try_from(HEAL_UNANSWERED_MAX).unwrap() {
        gaps.missed(0, &mut out, (&header(1), None), vec![(Digest([e; 32]), vec![0])]);
    }
    let asked = gaps.due(HEAL_DELAY_MS, &mut out).len();
    assert_eq!(asked, usize::try_from(HEAL_UNANSWERED_MAX).unwrap());
    assert!(gaps.due(HEAL_DELAY_MS + 1, &mut out).is_empty(), "the others wait");
}

/// Goal: a member of whom any amount is missing, by their own word, keeps nobody else's messages from being asked for.
/// Before: when so many chains were asked for, no other one was, and each message showed the same gap again.
#[test]
fn nobody_takes_all_the_room_for_what_is_missing() {
    let (mut gaps, mut out) = alice();
    let header = |from: &str, n| MessageHeader { from: name(from), ..header(n) };
    for number in 0..2 * u16::try_from(MISSING_CHAINS_MAX).unwrap() {
        let mut e = [2; 32];
        e[..2].copy_from_slice(&number.to_be_bytes());
        gaps.missed(0, &mut out, (&header("mallory", 1), None), vec![(Digest(e), vec![0])]);
    }
    assert_eq!(gaps.missing.len(), MISSING_CHAINS_MAX);
    told(&mut out);
    for from in ["bob", "carol"] {
        gaps.missed(0, &mut out, (&header(from, 1), None), vec![(E, vec![0])]);
        gaps.missed(0, &mut out, (&header(from, 2), None), vec![(E, vec![0])]);
        let [Event::Unhealed { from: of, .. }, Event::Gap { .. }] = &told(&mut out)[..] else {
            panic!("what is not asked for any more is told, and the gap once")
        };
        assert_eq!(*of, name("mallory"));
    }
    assert_eq!(gaps.missing.len(), MISSING_CHAINS_MAX);
    let asked = gaps.due(HEAL_DELAY_MS, &mut out);
    let others = asked.iter().filter(|ask| ask.from != name("mallory")).count();
    assert_eq!(others, 2);
}

/// Goal: what somebody did not answer is asked for again when they are here, however much is missing of a member
/// meanwhile; and what is over makes room for somebody of whom nothing is kept.
/// Before: what was over went first, whosever it was, and nobody asked for it any more.
#[test]
fn what_was_given_up_gives_way_to_no_flood() {
    let (mut gaps, mut out) = alice();
    let of = |from: &str, n| MessageHeader { from: name(from), ..header(n) };
    let epoch = |number: u16| {
        let mut e = [3; 32];
        e[..2].copy_from_slice(&number.to_be_bytes());
        Digest(e)
    };
    gaps.missed(0, &mut out, (&of("carol", 1), None), vec![(E, vec![0])]);
    while let Some(now_ms) = gaps.deadline() {
        for ask in gaps.due(now_ms, &mut out) {
            gaps.asked(&ask, Some(MessageId([7; 16])));
        }
    }
    let most = u16::try_from(MISSING_CHAINS_MAX).unwrap();
    for number in 0..2 * most {
        gaps.missed(0, &mut out, (&of("mallory", 1), None), vec![(epoch(number), vec![0])]);
    }
    assert!(gaps.is_wanted(&of("carol", 0)), "it is still owed");
    // Everybody owes one thing, and all is given up: who is new has room.
    let (mut gaps, mut out) = alice();
    for number in 0..most {
        let from = format!("p{number}");
        gaps.missed(0, &mut out, (&of(&from, 1), None), vec![(epoch(number), vec![0])]);
    }
    let keys: Vec<String> = gaps.missing.iter().map(|(key, _)| key.clone()).collect();
    for key in keys {
        gaps.missing.get_mut(&key).unwrap().given_up = true;
    }
    gaps.missed(0, &mut out, (&of("bob", 1), None), vec![(E, vec![0])]);
    assert!(gaps.is_wanted(&of("bob", 0)));
}

/// Goal: what comes closes the gap, and the host hears of it once.
#[test]
fn what_comes_is_not_asked_for_any_more() {
    let (mut gaps, mut out) = alice();
    gaps.missed(0, &mut out, (&header(3), None), vec![(E, vec![1, 2])]);
    let chain = ChainName::of(&header(0));
    (0..5).for_each(|n| gaps.filled(&chain, n));
    gaps.tell_healed(&mut out);
    gaps.tell_healed(&mut out);
    let healed = told(&mut out).split_off(1);
    assert!(matches!(&healed[..], [Event::Healed { n, .. }] if *n == [1, 2]));
    assert_eq!((gaps.deadline(), gaps.is_asked_for(&chain.cid, &chain.from)), (None, false));
}

/// Goal: the hub's word explains as many messages as it names, and only what came before them.
#[test]
fn the_hub_explains_no_more_than_it_says() {
    let (mut gaps, mut out) = alice();
    let position = Positions::default();
    let claimed = Claimed { position: position.at(10), before_ms: 1, keep_ms: 2, left: 2 };
    gaps.dropped().claim(&header(0).cid, claimed);
    assert!(gaps.dropped().before(&header(3), None).is_none(), "it stands nowhere");
    assert!(gaps.dropped().before(&header(3), Some(position.at(10))).is_none());
    let drop = gaps.dropped().before(&header(3), Some(position.at(11)));
    assert!(drop.is_some() && gaps.dropped().before(&header(4), Some(position.at(12))).is_none());
    gaps.missed(0, &mut out, (&header(3), drop.as_ref()), vec![(E, vec![0, 1, 2])]);
    assert!(matches!(&told(&mut out)[..], [Event::Gap { missing, .. }] if *missing == [2]));
    let chain = ChainName::of(&header(0));
    assert!(gaps.dropped().is_excused(&chain, 1) && !gaps.dropped().is_excused(&chain, 2));
}
