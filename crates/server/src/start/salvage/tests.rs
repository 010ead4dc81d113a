use chat_protocol::header::MemberOperation;
use chat_protocol::name::{ConversationId, RoomName};
use chat_protocol::tag::label;
use chat_testkit::device::Device;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::*;
use crate::{
    budgets::MailboxLimits,
    order::{
        batch::{Batch, BatchId, VERSION},
        follow::Follower,
        memory::{MemoryEnd, MemoryLog},
        opening::line::Began,
        shared::Shared,
    },
    store::{
        AccountId, DATABASE_FILE, DeviceId, Incarnation, LogId, NewNo, NewTopic, Snapshot,
        memory::MemoryStore,
        sqlite::{FollowedLog, SqliteOptions},
    },
};

const NOW: u64 = 1_790_000_000_000;
const LOG: [u8; 16] = [2; 16];
const KEY: [u8; 32] = [1; 32];

fn clock() -> u64 {
    NOW
}

fn seal() -> Seal {
    Seal::new(&KEY, LOG, 1)
}

fn words() -> WordSeal {
    WordSeal::new(&KEY, LOG)
}

/// A way to the log that does not take the first batches, for these reasons.
struct Way {
    turns: Shared<MemoryEnd, MemoryStore>,
    refuses: Vec<Unkept>,
}

impl Way {
    fn new(refuses: Vec<Unkept>) -> Self {
        let hub = Incarnation { node: 1, life: 1 };
        let end = MemoryLog::new(clock).join(hub, 0);
        let turns = Shared::new(hub, end, MemoryStore::default(), Follower::new(seal()));
        Self { turns, refuses }
    }
}

impl Turns for Way {
    const IS_SHARED: bool = true;

    fn hub(&self) -> Incarnation {
        self.turns.hub()
    }

    fn applied(&self) -> u64 {
        self.turns.applied()
    }

    async fn commit(
        &mut self,
        at: u64,
        now_ms: u64,
        batch: Vec<Guarded>,
    ) -> Result<Vec<Turn>, CommitError> {
        match self.refuses.pop() {
            None => self.turns.commit(at, now_ms, batch).await,
            Some(why) => {
                let records = Records::Own(batch.iter().map(|_| Err(why)).collect());
                Ok(vec![Turn { now_ms, records }])
            }
        }
    }

    async fn catch_up(&mut self) -> Result<Vec<Turn>, CommitError> {
        self.turns.catch_up().await
    }

    fn is_gone(&self, hub: Incarnation) -> bool {
        self.turns.is_gone(hub)
    }

    async fn arrived(&mut self) {
        self.turns.arrived().await;
    }

    async fn others(&mut self) -> Result<Vec<Turn>, CommitError> {
        self.turns.others().await
    }
}

fn router() -> Router {
    Router::restore(Snapshot::default(), MailboxLimits::default()).unwrap()
}

fn crew() -> ConversationId {
    ConversationId::room(&RoomName::new("crew").unwrap())
}

/// What another line of the log had: alice, and a room that she has made.
async fn said_there() -> Vec<Proposal> {
    let alice = Device::new("alice", 0);
    let (mut router, mut turns) = (router(), Way::new(Vec::new()));
    let new = NewAccount {
        name: alice.user.clone(),
        bundle: Arc::new(alice.bundle.clone()),
        password: None,
        vault: None,
        invite: None,
    };
    let account = || Proposal::Account(Box::new(new.clone()));
    take_up((&mut router, &mut turns), lacking(vec![account()]), (clock, &mut Vec::new()))
        .await
        .unwrap();
    let head = router.head(&crew());
    let (header, frame) = alice.link(&crew(), MemberOperation::Create, (head.mg, head.pm));
    let frame = RawFrame::decode(frame).unwrap();
    let request = request(&router, Header::Member(header), &frame, None).unwrap();
    let Decision::Propose(link) = router.decide(NOW, &request, &mut Pending::default()) else {
        panic!("it is lawful");
    };
    vec![account(), link]
}

/// What the log is known to lack.
fn lacking(records: Vec<Proposal>) -> Missing {
    Missing { records, is_guess: false }
}

async fn taken_up(
    lost: Vec<Proposal>,
    refuses: Vec<Unkept>,
) -> (Router, Result<Tally, SalvageError>) {
    let (mut router, mut turns) = (router(), Way::new(refuses));
    let tally = take_up((&mut router, &mut turns), lacking(lost), (clock, &mut Vec::new())).await;
    (router, tally)
}

/// Goal: others that are faster cost time, and nothing else.
#[tokio::test]
async fn what_others_have_overtaken_is_decided_again_until_it_is_kept() {
    let (router, tally) = taken_up(said_there().await, vec![Unkept::Stale; 40]).await;
    let expected = Tally { kept: 2, ..Tally::default() };
    assert_eq!(tally.unwrap(), expected);
    assert_eq!(router.head(&crew()).mg, 1);
}

/// Goal: a Redis without room is said, and what was not taken up can be taken up later.
#[tokio::test]
async fn without_room_it_ends_and_says_so() {
    let (_, tally) = taken_up(said_there().await, vec![Unkept::Full]).await;
    assert!(matches!(tally, Err(SalvageError::Full(0))), "{tally:?}");
    let always = vec![Unkept::Stale; DECISIONS_MAX];
    let (_, tally) = taken_up(said_there().await, always).await;
    assert!(matches!(tally, Err(SalvageError::Overtaken(0))), "{tally:?}");
}

#[tokio::test]
async fn what_was_refused_stays_so_and_what_is_left_out_is_counted() {
    let mut lost = said_there().await;
    let Some(Proposal::Link(link)) = lost.last() else { panic!("a link") };
    let digest = RawFrame::decode(link.frame.clone()).unwrap().digest(label::MEMBER);
    let (account, device, reason) = (AccountId(1), DeviceId(1), String::new());
    lost.push(Proposal::No(Box::new(NewNo { account, device, digest, code: None, reason })));
    let by = chat_testkit::name("alice");
    for _ in 0..2 {
        let (log, text, by) = (LogId(1), "plans".to_owned(), by.clone());
        lost.push(Proposal::Topic(NewTopic { log, text, by }));
    }
    let (router, tally) = taken_up(lost, Vec::new()).await;
    let left_out = BTreeMap::from([("topics", 2)]);
    assert_eq!(tally.unwrap(), Tally { kept: 1, refused: 1, left_out, known: 0 });
    assert_eq!(router.head(&crew()).mg, 0, "it must not come behind its no");
}

#[test]
fn copies_part_where_they_come_to_something_else() {
    let chains = |turns: &[(u64, u8)]| -> BTreeMap<u64, Digest> {
        turns.iter().map(|(turn, chain)| (*turn, Digest([*chain; 32]))).collect()
    };
    let here = chains(&[(3, 3), (4, 4), (5, 5)]);
    let (behind, unknown) = (|turn| Some(Parting::Behind(turn)), Some(Parting::Unknown));
    for (mine, by_openings, expected) in [
        (chains(&[(3, 3), (4, 4)]), None, None),
        (chains(&[(3, 3), (4, 9)]), None, behind(3)),
        (chains(&[(3, 3), (4, 9)]), behind(1), behind(3)),
        // The openings go back further.
        (chains(&[(5, 9), (6, 9)]), behind(2), behind(2)),
        (chains(&[(5, 9)]), None, unknown),
        (chains(&[(5, 9)]), behind(5), unknown),
        (chains(&[(8, 9)]), behind(5), behind(5)),
        (chains(&[(8, 9)]), unknown, unknown),
    ] {
        let applied = mine.last_key_value().map_or(0, |(turn, _)| *turn);
        assert_eq!(parted((&here, &mine), applied, by_openings), expected, "{mine:?}");
    }
    // It has read on since, and that is in the log.
    assert_eq!(parted((&here, &chains(&[(5, 5)])), 3, unknown), None);
}

/// A folder that follows the log: openings, and the turns whose bytes it has, each with the generation it was read from.
fn folder(openings: &[(u64, Began)], turns: &[(u64, u64)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let log = FollowedLog { log: LOG, node: "n1".to_owned() };
    let (options, metrics) = (SqliteOptions::default(), Arc::default());
    drop(sqlite::open_shared(folder.path(), options, metrics, (&log, 1)).unwrap());
    let file = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    for (generation, began) in openings {
        let (name, value) = began.sealed(*generation, &words());
        file.execute("INSERT INTO facts (name, value) VALUES (?1, ?2)", params![name, value])
            .unwrap();
    }
    for (turn, generation) in turns {
        let id = BatchId { hub: Incarnation { node: 1, life: 1 }, seq: *turn };
        let proposal = Proposal::Topic(NewTopic {
            log: LogId(1),
            text: format!("of turn {turn}"),
            by: chat_testkit::name("alice"),
        });
        let guard = crate::order::Guard::default();
        let records = vec![Guarded { proposal, guard }];
        let batch = Batch { now_ms: NOW, at: 0, chain: Digest::ZERO, records };
        let batch = seal().seal(id, &batch).unwrap();
        let (turn, generation) = (turn.cast_signed(), generation.cast_signed());
        file.execute(
            "INSERT INTO tail (turn, time_ms, structure, generation, batch) VALUES (?1, 0, 0, ?2, ?3)",
            params![turn, generation, batch],
        )
        .unwrap();
    }
    folder
}

/// Goal: what was accepted is not taken for refused because of a refusal in a batch that did not count. Before, it was left out
/// and counted as refused.
#[test]
fn a_refusal_that_did_not_count_refuses_nothing() {
    let data = folder(&[(5, began(2))], &[(2, 1)]);
    let own = folder(&[(9, began(2))], &[]);
    let file = Connection::open(own.path().join(DATABASE_FILE)).unwrap();
    let key = 7_u64;
    for (turn, is_counted) in [(3_u8, true), (4, false), (5, true)] {
        let digest = Digest([turn; 32]);
        let (account, device, reason) = (AccountId(1), DeviceId(1), String::new());
        let proposal =
            Proposal::No(Box::new(NewNo { account, device, digest, code: None, reason }));
        let guard = crate::order::Guard { writes: vec![key], ..crate::order::Guard::default() };
        let id = BatchId { hub: Incarnation { node: 1, life: 1 }, seq: turn.into() };
        let records = vec![Guarded { proposal, guard }];
        let batch = Batch { now_ms: NOW, at: 0, chain: Digest::ZERO, records };
        let batch = seal().seal(id, &batch).unwrap();
        file.execute(
            "INSERT INTO tail (turn, time_ms, structure, generation, batch) VALUES (?1, 0, 0, 9, ?2)",
            params![turn, batch],
        )
        .unwrap();
        // Of what is longer ago than some thousand turns it is not known.
        if turn == 5 {
            continue;
        }
        let keys = if is_counted { vec![key] } else { Vec::new() };
        let mut written = Vec::new();
        let keys = Written { turn: turn.into(), keys, void: Vec::new() };
        ciborium::into_writer(&keys, &mut written).unwrap();
        file.execute(
            "INSERT INTO turns (turn, time_ms, chain, written) VALUES (?1, 0, ?2, ?3)",
            params![turn, [9_u8; 32], written],
        )
        .unwrap();
    }
    let lost = lost(&source(&own), data.path()).unwrap();
    let refused: Vec<Digest> = lost.records.iter().filter_map(refusal).collect();
    assert_eq!(refused, [Digest([3; 32]), Digest([5; 32])]);
}

/// Goal: an account whose name somebody else has taken meanwhile is not said to be there. Before, it counted as known, and nobody
/// was told of it.
#[tokio::test]
async fn an_account_whose_name_is_another_ones_now_is_left_out() {
    let account = |keys: usize| {
        let device = Device::new("alice", keys);
        Proposal::Account(Box::new(NewAccount {
            name: device.user.clone(),
            bundle: Arc::new(device.bundle.clone()),
            password: None,
            vault: None,
            invite: None,
        }))
    };
    for (theirs, known, left_out) in
        [(0, 1, BTreeMap::new()), (1, 0, BTreeMap::from([("accounts", 1)]))]
    {
        let (mut router, mut turns) = (router(), Way::new(Vec::new()));
        let mut copies = Vec::new();
        take_up((&mut router, &mut turns), lacking(vec![account(theirs)]), (clock, &mut copies))
            .await
            .unwrap();
        let tally =
            take_up((&mut router, &mut turns), lacking(vec![account(0)]), (clock, &mut copies))
                .await;
        assert_eq!(tally.unwrap(), Tally { known, left_out, ..Tally::default() });
    }
}

fn source(folder: &TempDir) -> Source {
    Source { folder: folder.path().to_owned(), log: LOG, seal: seal(), words: words() }
}

fn began(turn: u64) -> Began {
    Began { before: 0, turn, chain: Digest([7; 32]) }
}

/// Goal: what only one folder has is found, also where the log was opened twice behind one turn by servers that knew nothing of
/// each other.
#[test]
fn what_two_openings_behind_one_turn_have_parted_is_found() {
    let own = folder(&[(9, began(2))], &[(2, 1), (3, 9), (4, 9)]);
    for log in [5, 12] {
        let data = folder(&[(log, began(2))], &[(2, 1), (3, log)]);
        let lost = lost(&source(&own), data.path()).unwrap();
        assert_eq!(texts(&lost.records), ["of turn 3", "of turn 4"]);
    }
    let same = folder(&[(9, began(2))], &[(4, 9), (5, 9)]);
    assert!(lost(&source(&own), same.path()).unwrap().is_empty());
}

/// What everything up to these turns came to in a folder.
fn put_chains(folder: &TempDir, (turns, chain): (&[u64], u8)) {
    let file = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    for turn in turns {
        let mut written = Vec::new();
        let keys = Written { turn: *turn, ..Written::default() };
        ciborium::into_writer(&keys, &mut written).unwrap();
        file.execute(
            "INSERT INTO turns (turn, time_ms, chain, written) VALUES (?1, 0, ?2, ?3)",
            params![turn.cast_signed(), [chain; 32], written],
        )
        .unwrap();
    }
}

fn texts(lost: &[Proposal]) -> Vec<&str> {
    let texts = lost.iter().map(|proposal| match proposal {
        Proposal::Topic(new) => new.text.as_str(),
        _ => "",
    });
    texts.collect()
}

/// Goal: nothing that only one folder has is left out where nobody remembers the opening behind which it came apart: the
/// folder stopped before the oldest one that is known, or has read on to it. Before, what was taken up began with the first turn
/// of which the chain is known, and a folder has more bytes than chains, or fewer.
#[test]
fn what_came_apart_where_nobody_remembers_is_taken_up_from_the_first_turn_that_is_there() {
    let all = [(2, 1), (3, 9), (4, 9), (5, 12), (6, 12), (7, 12), (8, 12)];
    let of_first = Began { before: 12, ..began(8) };
    let data = folder(&[(15, of_first)], &[(9, 15), (10, 15)]);
    let cases: [(usize, _, &[u64]); 4] = [
        (3, vec![(9, began(2))], &[4]),
        (3, vec![(9, began(2))], &[1, 2, 3, 4]),
        (7, vec![(15, of_first)], &[7, 8]),
        (7, vec![(15, of_first)], &[1, 2, 3, 4, 5, 6, 7, 8]),
    ];
    for (upto, openings, chains) in cases {
        let own = folder(&openings, &all[..upto]);
        put_chains(&own, (chains, 9));
        let found = lost(&source(&own), data.path()).unwrap();
        assert_eq!(
            found.records.len(),
            upto,
            "with the chains of {chains:?}: {:?}",
            texts(&found.records)
        );
    }
}

/// Goal: a folder whose server has read on without knowing whether the log has it is taken up from what it had before, and no
/// further. Before, it said that the log has everything: what it had learnt on the way was that of the log.
#[test]
fn what_was_there_before_a_server_read_on_is_taken_up() {
    let of_first = Began { before: 12, ..began(8) };
    let data = folder(&[(15, of_first)], &[(9, 15), (10, 15), (11, 15)]);
    let all = [(2, 1), (3, 9), (4, 9), (5, 12), (6, 12), (7, 12), (8, 12), (9, 15), (10, 15)];
    let own = folder(&[(15, of_first)], &all);
    put_chains(&own, (&[9, 10], 9));
    // One of before has kept nothing of that: all is taken up, as some of it is of generations that nobody remembers.
    assert_eq!(lost(&source(&own), data.path()).unwrap().records.len(), all.len());
    // The log began a generation behind these, with what they had come to.
    let same = folder(&[(15, of_first)], &all);
    put_chains(&same, (&[8], 7));
    assert!(lost(&source(&same), data.path()).unwrap().is_empty());
    let file = Connection::open(own.path().join(DATABASE_FILE)).unwrap();
    file.execute("INSERT INTO unsure (id, turn, generation) VALUES (1, 4, 9)", []).unwrap();
    let (name, value) = began(2).sealed(9, &words());
    let insert = "INSERT INTO unsure_openings (name, value) VALUES (?1, ?2)";
    file.execute(insert, params![name, value]).unwrap();
    let found = lost(&source(&own), data.path()).unwrap();
    assert_eq!(texts(&found.records), ["of turn 2", "of turn 3", "of turn 4"]);
    // The log remembers more: it is known where they part.
    let known = [(6, began(2)), (12, Began { before: 6, ..began(4) }), (15, of_first)];
    let data = folder(&known, &[(9, 15)]);
    let found = lost(&source(&own), data.path()).unwrap();
    assert_eq!(texts(&found.records), ["of turn 3", "of turn 4"]);
}

/// Goal: what is there is taken up, also where the folder and the log are known to differ before the first turn that is there. Before,
/// it ended as one that has forgotten turns of which it is known that the log lacks them.
#[test]
fn what_differs_before_the_first_turn_that_is_there_is_taken_up_from_that_one() {
    let data = folder(&[(15, Began { before: 12, ..began(12) })], &[(13, 15)]);
    put_chains(&data, (&[3, 4, 5, 6, 7, 8], 9));
    let own = folder(&[], &[(6, 9), (7, 9), (8, 9)]);
    put_chains(&own, (&[3, 4, 5, 6, 7, 8], 8));
    let found = lost(&source(&own), data.path()).unwrap();
    assert_eq!(texts(&found.records), ["of turn 6", "of turn 7", "of turn 8"]);
    assert!(found.is_guess);
}

/// Goal: nobody does again what the log has. Before, a person was told so of all that was looked at, where much of it is in the log: to
/// ban somebody again who was let in again since, for one.
#[test]
fn what_the_log_may_have_is_not_said_to_be_lacking() {
    let mut tally = Tally::default();
    assert_eq!(tally.left_out(true), "nothing");
    tally.leave_out("decisions of the operator");
    assert_eq!(tally.left_out(false), "1 decisions of the operator");
    let words = tally.left_out(true);
    assert!(words.starts_with("1 decisions of the operator; nobody remembers where"), "{words}");
    assert!(words.contains("the log may have these"), "{words}");
}

/// Goal: what another release has sealed ends it, and is not passed over in silence as what no server has sealed.
#[test]
fn what_another_release_has_sealed_is_not_passed_over() {
    let data = folder(&[(5, began(2))], &[(2, 1)]);
    let own = folder(&[(9, began(2))], &[(3, 9)]);
    let file = Connection::open(own.path().join(DATABASE_FILE)).unwrap();
    let id = BatchId { hub: Incarnation { node: 1, life: 1 }, seq: 4 };
    let sealed = seal().seal_plain(VERSION - 1, id, b"another form");
    file.execute(
        "INSERT INTO tail (turn, time_ms, structure, generation, batch) VALUES (4, 0, 0, 9, ?1)",
        params![sealed],
    )
    .unwrap();
    let error = lost(&source(&own), data.path()).unwrap_err();
    assert!(matches!(error, SalvageError::Unread { turn: 4, .. }), "{error}");
    file.execute("UPDATE tail SET batch = x'00' WHERE turn = 4", []).unwrap();
    assert_eq!(texts(&lost(&source(&own), data.path()).unwrap().records), ["of turn 3"]);
}

/// Goal: turns whose bytes are gone are named, and nothing is taken up as if it were all.
#[test]
fn a_folder_that_has_forgotten_turns_says_which() {
    let data = folder(&[(5, began(2))], &[(2, 1)]);
    let own = folder(&[(9, began(2))], &[(5, 9), (6, 9), (9, 9)]);
    let error = lost(&source(&own), data.path()).unwrap_err().to_string();
    assert!(error.contains("turns 3 to 9 that the log was opened without"), "{error}");
    assert!(error.contains(": 3 to 4, 7 to 8 were removed"), "{error}");
}
