//! Transfers between two hubs: halves that meet, the window from end to end, and hubs that are lost.

use std::collections::{HashMap, VecDeque};

use super::*;
use crate::{limits::LINK_SILENCE_MAX, relay::link::Far};

/// Two hubs and what lies between them.
struct Pair {
    tables: [Transfers; 2],
    now: Instant,
    /// Halves that were announced: by whom, and which.
    halves: HashMap<Nonce16, (usize, Half, TransferId)>,
    /// Words under way, in their order.
    words: VecDeque<(usize, Word)>,
    /// What connections were told, without what goes between hubs.
    told: Vec<(ConnectionId, HubToRelay)>,
}

const PEERS: [Peer; 2] = [Peer { node: 1, process: 10 }, Peer { node: 2, process: 20 }];

impl Pair {
    /// Alice is at the first one, Bob at the second.
    fn new() -> Self {
        let now = Instant::now();
        let mut tables = [Transfers::default(), Transfers::default()];
        for (table, (id, user)) in tables.iter_mut().zip([(ALICE, "alice"), (BOB, "bob")]) {
            table.link();
            table.enter(now, id, (name(user), CONNECTIONS_MAX), key(id)).unwrap();
        }
        let (halves, words, told) = (HashMap::new(), VecDeque::new(), Vec::new());
        Self { tables, now, halves, words, told }
    }

    fn give(&mut self) {
        let effects = self.tables[0].give(self.now, ALICE, TID, name("bob")).unwrap();
        self.carry(0, effects);
    }

    fn take(&mut self, credit: u32) {
        let effects = self.tables[1].take(self.now, BOB, TID, name("alice"), credit).unwrap();
        self.carry(1, effects);
    }

    /// What Redis does, and what is told at once.
    fn carry(&mut self, at: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Announce(id, half, key) => match self.halves.get(&key.tid).copied() {
                    Some((other, kind, first)) if kind != half => {
                        self.halves.remove(&key.tid);
                        let far = Far { peer: PEERS[other], id: first };
                        let found = self.tables[at].found(id, far);
                        self.carry(at, found);
                    }
                    _ => {
                        self.halves.insert(key.tid, (at, half, id));
                    }
                },
                Effect::Withdraw(id, half, key)
                    if self.halves.get(&key.tid) == Some(&(at, half, id)) =>
                {
                    self.halves.remove(&key.tid);
                }
                Effect::Say(Address::Peer(peer), _, word) => {
                    let to = PEERS.iter().position(|one| *one == peer).unwrap();
                    self.words.push_back((to, word));
                }
                Effect::Tell(to, message) => self.told.push((to, message)),
                _ => {}
            }
        }
    }

    /// All that is under way arrives. Chunks come back.
    fn arrive(&mut self) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        while let Some((to, word)) = self.words.pop_front() {
            let from = PEERS[1 - to];
            if let Word::Chunk { to: id, frame } = word {
                let (target, effects) = self.tables[to].far_chunk(self.now, from, (id, frame));
                if let Target::Taker(BOB, frame) = target {
                    chunks.push(frame);
                }
                self.carry(to, effects);
            } else {
                let effects = self.tables[to].hear(self.now, from, word);
                self.carry(to, effects);
            }
        }
        chunks
    }

    fn send(&mut self, index: u32) -> Result<(), Fault> {
        let header = header(index);
        match self.tables[0].chunk(self.now, ALICE, &header, &frame(&header, 100))? {
            Target::Far(_, far, frame) => {
                assert_eq!(far.peer, PEERS[1]);
                self.words.push_back((1, Word::Chunk { to: far.id, frame }));
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    fn credit(&mut self, n: u32) -> Result<(), Fault> {
        let effects = self.tables[1].credit(self.now, BOB, TID, n)?;
        self.carry(1, effects);
        Ok(())
    }

    fn running(&self) -> [usize; 2] {
        self.tables.each_ref().map(Transfers::running)
    }

    fn paired() -> Self {
        let mut pair = Self::new();
        pair.give();
        pair.take(WINDOW);
        assert_eq!(pair.arrive().len(), 0);
        pair.told.clear();
        pair
    }

    fn ends(&self) -> Vec<(ConnectionId, &str)> {
        let ended = self.told.iter().filter_map(|(to, message)| match message {
            HubToRelay::End { code, .. } => Some((*to, code.as_str())),
            _ => None,
        });
        ended.collect()
    }
}

#[test]
fn halves_at_two_hubs_meet_in_both_orders() {
    for giver_first in [true, false] {
        let mut pair = Pair::new();
        if giver_first {
            pair.give();
            pair.take(5);
        } else {
            pair.take(5);
            pair.give();
        }
        pair.arrive();
        assert_eq!(pair.told, [(ALICE, HubToRelay::Credit { tid: TID, n: 5 })]);
        assert_eq!(pair.running(), [1, 1]);
        assert!(pair.halves.is_empty(), "nothing is left: {:?}", pair.halves);
    }
}

#[test]
fn chunks_and_credit_go_through_and_an_end_reaches_the_other_side_behind_them() {
    let mut pair = Pair::paired();
    for round in 0..3 {
        for index in 0..WINDOW {
            pair.send(round * WINDOW + index).unwrap();
        }
        assert!(pair.send(99).is_err(), "a chunk beyond the credit");
        let chunks = pair.arrive();
        assert_eq!(chunks.len(), usize::try_from(WINDOW).unwrap());
        assert!(pair.credit(1).is_err(), "they wait for the socket of the taker");
        drop(chunks);
        pair.credit(WINDOW).unwrap();
        pair.arrive();
        assert_eq!(pair.told.pop(), Some((ALICE, HubToRelay::Credit { tid: TID, n: WINDOW })));
    }
    pair.send(24).unwrap();
    let effects = pair.tables[0].end(pair.now, ALICE, TID, "").unwrap();
    pair.carry(0, effects);
    assert_eq!(pair.arrive().len(), 1, "before the end");
    assert_eq!(pair.ends(), [(BOB, "")]);
    assert_eq!(pair.running(), [0, 0]);
    assert!(pair.words.is_empty());
}

#[test]
fn whoever_leaves_ends_it_for_the_other_one() {
    for leaver in [0, 1] {
        let mut pair = Pair::paired();
        let effects = pair.tables[leaver].leave(pair.now, [ALICE, BOB][leaver]);
        pair.carry(leaver, effects);
        pair.arrive();
        assert_eq!(pair.ends(), [([BOB, ALICE][leaver], code::NO_PEER)]);
        assert_eq!(pair.running(), [0, 0]);
    }
}

#[test]
fn a_half_that_was_announced_and_has_gone_is_not_waited_for() {
    let mut pair = Pair::new();
    pair.give();
    // It leaves in the moment in which the other one has found it.
    pair.take(5);
    let effects = pair.tables[0].leave(pair.now, ALICE);
    pair.carry(0, effects);
    pair.arrive();
    assert_eq!(pair.running(), [0, 0]);
    assert_eq!(pair.ends(), []);
    assert_eq!(pair.halves.len(), 1, "the taker waits for another giver");
    pair.tables[0].enter(pair.now, ALICE, (name("alice"), CONNECTIONS_MAX), key(ALICE)).unwrap();
    pair.give();
    pair.arrive();
    assert_eq!(pair.running(), [1, 1]);
}

/// Goal: whoever tells hubs of halves joins no two that do not belong together. Before: somebody who took anything at all
/// got the file of another pair, and two givers were one transfer.
#[test]
fn halves_that_do_not_belong_together_do_not_meet() {
    let other = Nonce16([8; 16]);
    let taken_of = |table: &mut Transfers, now, id, of: &str, tid| {
        table.take(now, id, tid, name(of), WINDOW).unwrap()
    };
    let given_to =
        |table: &mut Transfers, now, id, to: &str, tid| table.give(now, id, tid, name(to)).unwrap();
    for case in ["another taker", "another giver", "another file", "a giver", "nobody"] {
        let mut pair = Pair::new();
        pair.tables[1]
            .enter(pair.now, CAROL, (name("carol"), CONNECTIONS_MAX), key(CAROL))
            .unwrap();
        pair.give();
        let (_, _, first) = pair.halves[&TID];
        let table = &mut pair.tables[1];
        let effects = match case {
            "another taker" => taken_of(table, pair.now, CAROL, "alice", TID),
            "another giver" => taken_of(table, pair.now, BOB, "carol", TID),
            "another file" => taken_of(table, pair.now, BOB, "alice", other),
            "a giver" => given_to(table, pair.now, CAROL, "bob", TID),
            _ => Vec::new(),
        };
        let announced = effects.into_iter().find_map(|effect| match effect {
            Effect::Announce(id, ..) => Some(id),
            _ => None,
        });
        // Redis says that what alice gives is the other half of it.
        let far = Far { peer: PEERS[0], id: first };
        let met = pair.tables[1].found(announced.unwrap_or(TransferId(99)), far);
        assert_eq!(met.len(), usize::from(announced.is_some()), "{case}");
        pair.carry(1, met);
        // And the other way round, as if alice's hub had been told so.
        if let Some(id) = announced {
            let met = pair.tables[0].found(first, Far { peer: PEERS[1], id });
            pair.carry(0, met);
        }
        for _ in 0..4 {
            let words: Vec<_> = pair.words.drain(..).collect();
            for (to, word) in words {
                let effects = pair.tables[to].hear(pair.now, PEERS[1 - to], word);
                // Nobody announces them again here.
                let said = effects.into_iter().filter(|one| matches!(one, Effect::Say(..)));
                pair.carry(to, said.collect());
            }
        }
        assert_eq!(pair.running(), [0, 0], "{case}");
        assert_eq!(pair.told, [], "{case}");
    }
}

#[test]
fn halves_at_one_hub_meet_there_and_nothing_is_left_outside() {
    let mut pair = Pair::new();
    pair.tables[0].enter(pair.now, BOB, (name("bob"), CONNECTIONS_MAX), key(BOB)).unwrap();
    pair.give();
    let effects = pair.tables[0].take(pair.now, BOB, TID, name("alice"), 3).unwrap();
    pair.carry(0, effects);
    assert_eq!(pair.running(), [1, 0]);
    assert!(pair.halves.is_empty() && pair.words.is_empty());
}

#[test]
fn a_hub_that_is_lost_or_silent_ends_what_is_under_way_with_it() {
    let mut pair = Pair::paired();
    let effects = pair.tables[1].lose(pair.now, Some(PEERS[1]));
    assert_eq!(effects, [], "another one");
    assert_eq!(pair.tables[1].peers(pair.now), [(PEERS[0], false)]);
    pair.now += LINK_SILENCE_MAX;
    assert_eq!(pair.tables[1].peers(pair.now), [(PEERS[0], true)]);
    let effects = pair.tables[1].hear(pair.now, PEERS[0], Word::Ping);
    assert_eq!(effects, []);
    assert_eq!(pair.tables[1].peers(pair.now), [(PEERS[0], false)]);
    let effects = pair.tables[1].lose(pair.now, None);
    pair.carry(1, effects);
    pair.arrive();
    assert_eq!(pair.ends(), [(BOB, code::NO_PEER), (ALICE, code::NO_PEER)]);
    assert_eq!(pair.running(), [0, 0]);
    assert!(pair.tables[1].peers(pair.now).is_empty());
}

/// Bob takes a copy of alice's that lies at her hub. Returns its number there.
fn copy_taken_from_afar() -> (Pair, TransferId) {
    let mut pair = Pair::new();
    let ask = |mine, taker| Word::Ask {
        mine,
        owner: name("alice"),
        taker,
        tid: TID,
        parts: Vec::new(),
        credit: 2,
    };
    let asked = (1, name("alice"), ask);
    let effects = pair.tables[1].take_far_copy(pair.now, BOB, asked, (TID, 2)).unwrap();
    let [Effect::Say(Address::Hub(1), taker, Word::Ask { credit: 2, .. })] = &effects[..] else {
        panic!("{effects:?}")
    };
    let (key, far) = (
        Key { from: name("alice"), to: Recipient::User(name("bob")), tid: TID },
        Far { peer: PEERS[1], id: *taker },
    );
    let (giver, effects) = pair.tables[0].give_copy_far(pair.now, far, key, 2);
    pair.carry(0, effects);
    pair.arrive();
    (pair, giver.unwrap())
}

/// Goal: a copy whose taker is at another hub and takes nothing more ends here, too. Before, its place, its file and its
/// task were held for good.
#[test]
fn a_copy_that_another_hub_takes_no_further_ends() {
    let (mut pair, _giver) = copy_taken_from_afar();
    pair.now += TRANSFER_STALL_TIME_MAX;
    // The hub of the taker has lost it, and something else goes on between both.
    pair.tables[1] = Transfers::default();
    assert_eq!(pair.tables[0].hear(pair.now, PEERS[1], Word::Ping), []);
    assert_eq!(pair.tables[0].peers(pair.now), [(PEERS[1], false)]);
    let effects = pair.tables[0].tend_far(pair.now);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Stop(_))), "{effects:?}");
    assert_eq!(pair.running(), [0, 0]);
}

#[test]
fn a_copy_at_another_hub_is_given_by_it_as_its_credit_allows() {
    let (mut pair, giver) = copy_taken_from_afar();
    assert_eq!(pair.running(), [1, 1]);
    for _ in 0..2 {
        let chunk = pair.tables[0].chunk_of_copy(pair.now, giver, Bytes::from_static(b"chunk"));
        let Target::Far(_, far, frame) = chunk else { panic!("{chunk:?}") };
        pair.words.push_back((1, Word::Chunk { to: far.id, frame }));
    }
    assert_eq!(pair.tables[0].wanted(giver), Some(0));
    assert_eq!(pair.arrive().len(), 2);
    pair.credit(2).unwrap();
    pair.arrive();
    assert_eq!(pair.tables[0].wanted(giver), Some(2));
    let mut effects = Vec::new();
    pair.tables[0].finish(pair.now, giver, "", "", &mut effects);
    pair.carry(0, effects);
    pair.arrive();
    assert_eq!(pair.ends(), [(BOB, "")]);
    assert_eq!(pair.running(), [0, 0]);
}
