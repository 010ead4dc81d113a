use std::sync::Arc;

use bytes::Bytes;
use chat_protocol::{
    handshake::Purpose,
    id::{Digest, MessageId},
};

use super::*;
use crate::{
    connection::ConnectionId,
    order::{
        Guard,
        batch::Seal,
        memory::{MemoryEnd, MemoryLog},
        opening::attempt::Held,
    },
    store::{
        AccountId, DeviceId, EntryKind, Facts, LogId, NewEntry, NewSession, NewTopic, OpenError,
        SessionPlace, Stored,
        memory::MemoryStore,
        sqlite::{self, FollowedLog, SqliteOptions},
    },
};

const NOW: u64 = 1_790_000_000_000;

type Hub = Shared<MemoryEnd, MemoryStore>;

fn log() -> MemoryLog {
    MemoryLog::new(|| NOW)
}

fn hub(log: &MemoryLog, node: u32) -> Hub {
    let hub = Incarnation { node, life: 1 };
    let follower = Follower::new(Seal::new(&[1; 32], [2; 16], 1));
    Shared::new(hub, log.join(hub, 0), MemoryStore::default(), follower)
}

/// A record of so many bytes that nobody else has, which reads and writes these keys.
fn record(id: u64, bytes: usize, keys: &[u64], is_structure: bool) -> Guarded {
    let mut own = [0; 16];
    own[..8].copy_from_slice(&id.to_be_bytes());
    let new = NewEntry {
        log: LogId::inbox(AccountId(1)),
        sender: AccountId(2),
        id: MessageId(own),
        digest: Digest([1; 32]),
        kind: EntryKind::Receipt,
        epoch: None,
        line: 0,
        n: 0,
        hub_ms: NOW,
        frame: vec![0; bytes].into(),
    };
    let (reads, writes) = (keys.to_vec(), keys.to_vec());
    let guard = Guard { reads, writes, is_structure };
    Guarded { proposal: Proposal::Entry(Box::new(new)), guard }
}

/// What became of one's own records, in their order.
fn own(turns: Vec<Turn>) -> Vec<Option<Stored>> {
    let own = turns.into_iter().filter_map(|turn| match turn.records {
        Records::Own(records) => Some(records),
        Records::Other(_) => None,
    });
    own.flatten().map(|record| record.ok().and_then(|kept| kept.outcome.ok())).collect()
}

#[tokio::test]
async fn hubs_come_to_the_same_and_one_that_begins_later_too() {
    let log = log();
    let mut hubs: Vec<Hub> = (1..4).map(|node| hub(&log, node)).collect();
    let mut dice = 88_172_645_463_325_252_u64;
    let mut below = |end: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 11) % end
    };
    let (mut kept, mut stale, mut id) = (0, 0, 0);
    for _ in 0..400 {
        let one = &mut hubs[usize::try_from(below(3)).unwrap()];
        let at = one.applied();
        if below(3) == 0 {
            one.catch_up().await.unwrap();
        }
        let mut batch = Vec::new();
        for _ in 0..=below(4) {
            id += 1;
            batch.push(record(id, 10, &[below(40)], below(8) == 0));
        }
        batch.sort_by_key(Guarded::class);
        let number = batch.len();
        let came = own(one.commit(at, NOW, batch).await.unwrap());
        assert_eq!(came.len(), number, "each request is answered");
        kept += came.iter().flatten().count();
        stale += came.iter().filter(|one| one.is_none()).count();
    }
    assert!(kept > 300 && stale > 100, "{kept} kept, {stale} decided again");
    let mut late = hub(&log, 9);
    for one in hubs.iter_mut().chain([&mut late]) {
        one.catch_up().await.unwrap();
    }
    let first = (hubs[0].follower().applied(), hubs[0].follower().chain());
    for one in hubs.iter().chain([&late]) {
        assert_eq!((one.follower().applied(), one.follower().chain()), first);
    }
}

#[tokio::test]
async fn of_structure_that_two_decide_at_once_one_is_decided_again() {
    let log = log();
    let (mut one, mut other) = (hub(&log, 1), hub(&log, 2));
    let at = other.applied();
    assert_eq!(own(one.commit(0, NOW, vec![record(1, 9, &[], true)]).await.unwrap()).len(), 1);
    let came = own(other.commit(at, NOW, vec![record(2, 9, &[], true)]).await.unwrap());
    assert_eq!(came, [None]);
    assert_eq!(log.turns().len(), 1, "nothing void is in the log");
    other.catch_up().await.unwrap();
    let at = other.applied();
    let came = own(other.commit(at, NOW, vec![record(2, 9, &[], true)]).await.unwrap());
    assert_eq!(came, [Some(Stored::Entry(2))]);
}

/// Goal: what follows a message that is decided again does not overtake it, in whatever batch it is.
#[tokio::test]
async fn parts_of_a_batch_that_was_cut_do_not_overtake_each_other() {
    let log = log();
    let (mut one, mut other) = (hub(&log, 1), hub(&log, 2));
    assert_eq!(own(other.commit(0, NOW, vec![record(1, 9, &[7], false)]).await.unwrap()).len(), 1);
    let large = BATCH_BYTES / 2 + 1;
    let line: &[u64] = &[7, 8];
    let batch = vec![record(2, large, line, false), record(3, large, &[8], false)];
    let came = own(one.commit(0, NOW, batch).await.unwrap());
    assert_eq!(came, [None, None]);
    assert_eq!(log.turns().len(), 3, "it was cut");
    let batch = vec![record(2, large, line, false), record(3, large, &[8], false)];
    let at = one.applied();
    let came = own(one.commit(at, NOW, batch).await.unwrap());
    assert_eq!(
        came,
        [Some(Stored::Entry(2)), None],
        "the second rests on the first, and knew it not"
    );
    let at = one.applied();
    let came = own(one.commit(at, NOW, vec![record(3, large, &[8], false)]).await.unwrap());
    assert_eq!(came, [Some(Stored::Entry(3))]);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_goes_in_once_and_a_hub_that_is_over_writes_nothing() {
    let log = log();
    let hub = Incarnation { node: 1, life: 1 };
    let mut end = log.join(hub, 0);
    let batch = Bytes::from_static(b"sealed");
    let append = Append { seq: 1, at: 0, is_structure: false, now_ms: NOW, batch };
    assert_eq!(end.append(append.clone()).await, Ok(1));
    assert_eq!(end.append(append.clone()).await, Ok(1), "again");
    assert_eq!(log.turns().len(), 1);
    let ahead = Append { seq: 2, at: 2, ..append.clone() };
    assert_eq!(end.append(ahead).await, Err(LogError::Back { has: 1, applied: 2 }));
    let odd = Append { seq: 2, now_ms: NOW + 60_000, ..append.clone() };
    assert_eq!(end.append(odd.clone()).await, Err(LogError::Clock));
    assert_eq!(end.append(odd).await, Ok(1), "its number is used up, and it is not in the log");
    assert_eq!(log.turns().len(), 1);
    log.end(hub);
    assert_eq!(end.append(Append { seq: 3, ..append }).await, Err(LogError::Gone));
}

/// Goal: what applying a log does stays the same, or the version goes up. Method: the log of a fixed run, and
/// what all of it comes to.
#[tokio::test]
async fn a_log_of_this_version_comes_to_the_same_for_ever() {
    let log = log();
    let (mut one, mut other) = (hub(&log, 1), hub(&log, 2));
    for id in 0..100 {
        let at = other.applied();
        let (line, key) = (id % 7, id % 3);
        one.commit(one.applied(), NOW, vec![record(id, 20, &[line], id % 10 == 0)]).await.unwrap();
        let batch = vec![record(1_000 + id, 30, &[key], false), record(id, 20, &[9], false)];
        other.commit(at, NOW, batch).await.unwrap();
    }
    assert_eq!(other.follower().applied(), log.turns().last().unwrap().turn);
    assert_eq!(other.follower().chain().to_string(), "ZSnVSE4tUzhjoMk1ik_9cQwib23UmZ0QS4XQOtT25F0");
}

/// That a hub is gone, as one decides that has applied what `by` has.
fn gone(hub: Incarnation) -> Guarded {
    Guarded { proposal: Proposal::Gone(hub), guard: Guard::default() }
}

/// Goal: a hub that was taken for dead goes on as another one, and what it had under way counts for nothing. Before:
/// it ended.
#[tokio::test]
async fn a_hub_that_was_taken_for_dead_goes_on_as_another_one() {
    let log = log();
    let (mut one, mut other) = (hub(&log, 1), hub(&log, 2));
    let before = one.hub();
    assert_eq!(own(one.commit(0, NOW, vec![record(1, 9, &[], false)]).await.unwrap()).len(), 1);
    other.catch_up().await.unwrap();
    let at = other.applied();
    assert_eq!(own(other.commit(at, NOW, vec![gone(before)]).await.unwrap()), [Some(Stored::Done)]);
    assert!(other.is_gone(before) && !one.is_gone(before), "it has not heard of it yet");
    let at = one.applied();
    let came = own(one.commit(at, NOW, vec![record(2, 9, &[], false)]).await.unwrap());
    assert_eq!(came, [None], "it was gone by then");
    assert!(one.is_gone(before) && one.hub() != before && one.hub().node == before.node);
    let at = one.applied();
    let came = own(one.commit(at, NOW, vec![record(2, 9, &[], false)]).await.unwrap());
    assert_eq!(came, [Some(Stored::Entry(2))]);
    // The same where the log says so itself.
    let again = one.hub();
    other.catch_up().await.unwrap();
    let at = other.applied();
    other.commit(at, NOW, vec![gone(again)]).await.unwrap();
    log.end(again);
    let at = one.applied();
    let came = own(one.commit(at, NOW, vec![record(3, 9, &[], false)]).await.unwrap());
    assert_eq!(came, [None]);
    let at = one.applied();
    assert_eq!(own(one.commit(at, NOW, vec![record(3, 9, &[], false)]).await.unwrap()).len(), 1);
    other.catch_up().await.unwrap();
    assert_eq!(other.follower().chain(), one.follower().chain());
}

/// A log that takes so many batches and has no room for more.
struct Narrow(MemoryEnd, usize);

impl SharedLog for Narrow {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        self.1 = self.1.checked_sub(1).ok_or(LogError::Full)?;
        self.0.append(append).await
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        self.0.end().await
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.0.begin_again(hub).await
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        self.0.next().await
    }
}

/// Goal: of a batch that was cut each part is said to be kept, or not, by itself. Before: what was kept of it was
/// refused with the rest.
#[tokio::test]
async fn a_log_that_gets_full_in_the_middle_of_a_batch_refuses_what_is_left_alone() {
    let log = log();
    let one = Incarnation { node: 1, life: 1 };
    let follower = Follower::new(Seal::new(&[1; 32], [2; 16], 1));
    let way = Narrow(log.join(one, 0), 1);
    let mut hub = Shared::new(one, way, MemoryStore::default(), follower);
    let batch = vec![record(1, 9, &[], false), record(2, 9, &[], true)];
    let came = hub.commit(0, NOW, batch).await.unwrap().into_iter().filter_map(|turn| {
        let Records::Own(records) = turn.records else { return None };
        Some(records.into_iter().map(|record| record.map(|kept| kept.outcome)).collect::<Vec<_>>())
    });
    let came: Vec<_> = came.flatten().collect();
    assert_eq!(came, [Ok(Ok(Stored::Entry(1))), Err(Unkept::Full)]);
}

/// Goal: what stands behind a part that the log has refused for its time does not pass it. Before: it went in when the clock
/// was right again by then. Method: a log whose clock is wrong for one batch.
#[tokio::test]
async fn a_part_that_came_at_a_wrong_time_is_not_passed_by_what_stands_behind_it() {
    static WRONG_MS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(60_000);
    let log = MemoryLog::new(|| NOW + WRONG_MS.swap(0, std::sync::atomic::Ordering::Relaxed));
    let mut one = hub(&log, 1);
    let batch = || vec![record(1, 9, &[], false), record(2, 9, &[], true)];
    let came = one.commit(0, NOW, batch()).await.unwrap();
    assert_eq!(own(came), [None, None], "both are decided again");
    assert!(log.turns().is_empty());
    let at = one.applied();
    let came = own(one.commit(at, NOW, batch()).await.unwrap());
    assert_eq!(came, [Some(Stored::Entry(1)), Some(Stored::Entry(2))]);
}

/// Goal: a batch is cut by what it takes, whatever it holds. Before: only messages, epochs and links were counted.
#[test]
fn what_is_rare_and_long_is_counted_too() {
    let topic = |bytes: usize| {
        let text = "x".repeat(bytes);
        let by = chat_protocol::name::UserName::new("alice").unwrap();
        let proposal = Proposal::Topic(NewTopic { log: LogId(1), text, by });
        Guarded { proposal, guard: Guard::default() }
    };
    let parts = cut((0..8).map(|_| topic(BATCH_BYTES / 4)).collect());
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2]);
    let small = cut((0..8).map(|_| topic(10)).collect());
    assert_eq!(small.len(), 1);
}

/// Goal: a hub that is started again judges as one that never stopped, wherever it stopped. Method: two hubs with the
/// same log, one of which is started again and again on its file; records rest on each other across its starts.
#[tokio::test]
async fn a_hub_that_is_started_again_judges_as_one_that_never_stopped() {
    let log = log();
    let mut other = hub(&log, 2);
    let folder = tempfile::tempdir().unwrap();
    let own_log = FollowedLog { log: [2; 16], node: "n1".to_owned() };
    let mut id = 0;
    for life in 1..40 {
        let (options, metrics) = (SqliteOptions::default(), Arc::default());
        let (store, _, snapshot, was) =
            sqlite::open_shared(folder.path(), options, metrics, (&own_log, life)).unwrap();
        assert_eq!(was.life, (life > 1).then(|| life - 1));
        let follower = Follower::restore(Seal::new(&[1; 32], [2; 16], 1), was);
        let hub = Incarnation { node: 1, life };
        let mut one = Shared::new(hub, log.join(hub, follower.applied()), store, follower);
        assert_eq!(snapshot.sessions.len(), usize::from(life > 1), "of the life before");
        for round in 0..life % 7 {
            id += 2;
            let at = other.applied();
            let line = [id % 5, round % 3];
            let now = one.applied();
            one.commit(now, NOW, vec![record(id, 9, &line, id % 4 == 0)]).await.unwrap();
            let behind = vec![record(id + 1, 9, &[id % 3], false), record(id, 9, &line, false)];
            other.commit(at, NOW, behind).await.unwrap();
        }
        let at = one.applied();
        let opened = NewSession {
            replaces: None,
            place: SessionPlace { hub, connection: ConnectionId(2) },
            account: AccountId(1),
            device: DeviceId(1),
            purpose: Purpose::Task,
            is_open: true,
        };
        let before = Incarnation { node: 1, life: life - 1 };
        let batch = [
            gone(before),
            Guarded { proposal: Proposal::Session(opened), guard: Guard::default() },
        ];
        one.commit(at, NOW, batch.into_iter().skip(usize::from(life == 1)).collect())
            .await
            .unwrap();
        one.catch_up().await.unwrap();
        other.catch_up().await.unwrap();
        assert_eq!(one.follower().chain(), other.follower().chain(), "life {life}");
        assert_eq!(one.applied(), other.applied());
    }
    let wrong = FollowedLog { log: [3; 16], node: "n1".to_owned() };
    let open = |log: &FollowedLog| {
        sqlite::open_shared(folder.path(), SqliteOptions::default(), Arc::default(), (log, 99))
            .err()
    };
    assert!(matches!(open(&wrong), Some(OpenError::OtherLog { .. })));
    let alone = sqlite::open(folder.path(), SqliteOptions::default(), Arc::default()).err();
    assert!(matches!(alone, Some(OpenError::Shared { .. })), "nobody goes on alone with it");
}

/// Goal: a hub whose copy differs ends, and the others go on without what it says. Before: all others ended.
#[tokio::test]
async fn one_hub_that_has_come_apart_ends_and_the_others_go_on() {
    let log = log();
    let [mut one, mut two, mut three] = [1, 2, 3].map(|node| hub(&log, node).announcing(|| NOW));
    three.store.keep(record(77, 9, &[], false).proposal);
    one.commit(0, NOW, vec![record(1, 9, &[], false)]).await.unwrap();
    two.catch_up().await.unwrap();
    three.catch_up().await.unwrap();
    assert_ne!(three.follower().chain(), one.follower().chain());
    let at = three.applied();
    three.commit(at, NOW, vec![record(2, 9, &[], false)]).await.unwrap();
    let (first, second) = tokio::join!(one.catch_up(), two.catch_up());
    assert!(first.is_ok() && second.is_ok(), "each has said that it agrees with the other");
    let at = one.applied();
    let came = own(one.commit(at, NOW, vec![record(3, 9, &[], false)]).await.unwrap());
    assert_eq!(came, [Some(Stored::Entry(2))], "what the third one has said counts for nothing");
    let error = three.catch_up().await.unwrap_err().to_string();
    assert!(error.contains("two other servers agree with nothing"), "{error}");
    two.catch_up().await.unwrap();
    assert_eq!(one.follower().chain(), two.follower().chain());
}

/// A log that takes a batch and is closed before it has said so, and notes the numbers and bytes that it was given.
struct Unheard {
    end: MemoryEnd,
    given: Vec<(u64, Bytes)>,
}

impl SharedLog for Unheard {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        self.given.push((append.seq, append.batch.clone()));
        let turn = self.end.append(append).await?;
        if self.given.len() % 2 == 1 { Err(LogError::Closed) } else { Ok(turn) }
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        self.end.end().await
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.end.begin_again(hub).await
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        self.end.next().await
    }

    async fn open(
        &mut self,
        _copy: &mut impl Held<Error = CommitError>,
        _used: u64,
    ) -> Result<Opening, CommitError> {
        Ok(Opening::Open)
    }
}

/// Goal: a batch that went in, and of which nobody said so, is sent again as it was and under its number, so that it goes in
/// once. With another number it would be in the log twice.
#[tokio::test]
async fn a_batch_of_which_nobody_said_that_it_is_there_keeps_its_number() {
    let log = log();
    let one = Incarnation { node: 1, life: 1 };
    let end = Unheard { end: log.join(one, 0), given: Vec::new() };
    let follower = Follower::new(Seal::new(&[1; 32], [2; 16], 1));
    let mut hub = Shared::new(one, end, MemoryStore::default(), follower);
    for number in 1..=3 {
        let at = hub.applied();
        let came = hub.commit(at, NOW, vec![record(number, 9, &[], false)]).await.unwrap();
        assert_eq!(own(came), [Some(Stored::Entry(number))]);
    }
    assert_eq!(log.turns().len(), 3, "each is there once");
    for (number, pair) in (1..).zip(hub.log.given.chunks(2)) {
        assert_eq!(pair[0].0, number);
        assert_eq!(pair[0], pair[1], "the same bytes under the same number");
    }
}

/// A log that is closed until it was asked twice to be opened, and notes the numbers that were said to be used up.
struct Closing {
    end: MemoryEnd,
    is_closed: bool,
    used: Vec<u64>,
}

impl Closing {
    fn check(&self) -> Result<(), LogError> {
        if self.is_closed { Err(LogError::Closed) } else { Ok(()) }
    }
}

impl SharedLog for Closing {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        self.check()?;
        self.end.append(append).await
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        self.check()?;
        self.end.end().await
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.end.begin_again(hub).await
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        self.check()?;
        self.end.next().await
    }

    async fn open(
        &mut self,
        copy: &mut impl Held<Error = CommitError>,
        used: u64,
    ) -> Result<Opening, CommitError> {
        self.used.push(used);
        if self.used.len() % 2 == 1 {
            // What was given out before is part of the copy then.
            let said = copy.said().turn;
            let end = self.end.end().await?;
            return Ok(if said < end {
                Opening::Read(self.end.next().await?)
            } else {
                Opening::NotYet
            });
        }
        self.is_closed = false;
        Ok(Opening::Open)
    }
}

/// Goal: a hub that finds the log closed goes on when it is open: a batch under way keeps its number, and what was given
/// out before is applied first.
#[tokio::test]
async fn a_hub_goes_on_when_a_log_that_was_closed_is_open() {
    let log = log();
    let (one, mut other) = (Incarnation { node: 1, life: 1 }, hub(&log, 2));
    let end = Closing { end: log.join(one, 0), is_closed: true, used: Vec::new() };
    let follower = Follower::new(Seal::new(&[1; 32], [2; 16], 1));
    let mut hub = Shared::new(one, end, MemoryStore::default(), follower);
    let first = hub.commit(0, NOW, vec![record(1, 9, &[], false)]).await.unwrap();
    assert_eq!(own(first), [Some(Stored::Entry(1))]);
    assert_eq!(hub.log.used, [0, 0], "its number was free");
    other.catch_up().await.unwrap();
    let at = other.applied();
    other.commit(at, NOW, vec![record(2, 9, &[], false)]).await.unwrap();
    hub.log.is_closed = true;
    hub.arrived().await;
    let came = hub.others().await.unwrap();
    assert_eq!(came.len(), 1, "what was given out before it was opened");
    assert_eq!(hub.log.used[2..], [1, 1], "and the first number is used up");
    hub.log.is_closed = true;
    let at = hub.applied();
    let second = hub.commit(at, NOW, vec![record(3, 9, &[], false)]).await.unwrap();
    assert_eq!(own(second), [Some(Stored::Entry(3))]);
    assert_eq!(hub.log.used[4..], [1, 1]);
    other.catch_up().await.unwrap();
    assert_eq!(hub.follower().chain(), other.follower().chain());
}

/// A log that tells of other hubs what was said last.
struct Telling {
    end: MemoryEnd,
    has_news: std::sync::atomic::AtomicBool,
    news: Arc<tokio::sync::Notify>,
    facts: Facts,
}

impl SharedLog for Telling {
    async fn append(&mut self, append: Append) -> Result<u64, LogError> {
        self.end.append(append).await
    }

    async fn end(&mut self) -> Result<u64, LogError> {
        self.end.end().await
    }

    async fn begin_again(&mut self, hub: Incarnation) -> Result<(), LogError> {
        self.end.begin_again(hub).await
    }

    async fn next(&mut self) -> Result<Vec<Logged>, LogError> {
        self.end.next().await
    }

    async fn facts(&mut self, _known: Facts) -> Option<Facts> {
        Some(self.facts.clone())
    }

    fn news(&self) -> impl Future<Output = ()> + Send + 'static {
        let news = Arc::clone(&self.news);
        async move { news.notified().await }
    }

    fn has_news(&self) -> bool {
        self.has_news.swap(false, std::sync::atomic::Ordering::AcqRel)
    }
}

/// Goal: what is said beside the log since it was opened is in the copies when Redis loses it. Before: they knew what there was
/// when they came.
#[tokio::test]
async fn what_is_said_beside_the_log_is_taken_over_while_it_is_open() {
    let log = log();
    let one = Incarnation { node: 1, life: 1 };
    let fact = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let facts = vec![fact("d:2", "5 1000 4"), fact("host", "n2")];
    let (end, news) = (log.join(one, 0), Arc::default());
    let end = Telling { end, has_news: false.into(), news, facts: facts.clone() };
    let follower = Follower::new(Seal::new(&[1; 32], [2; 16], 1));
    let mut hub = Shared::new(one, end, MemoryStore::default(), follower);
    hub.others().await.unwrap();
    assert!(hub.standing.noted.facts.is_empty());
    hub.log.has_news = true.into();
    // Also by a hub to which no other one writes.
    hub.log.news.notify_one();
    tokio::time::timeout(chat_testkit::PATIENCE, hub.arrived()).await.expect("told");
    hub.others().await.unwrap();
    assert_eq!(hub.standing.noted.facts, facts);
    // How far somebody is, is said each second, and is not worth a sync.
    hub.log.facts[0] = fact("d:2", "6 2000 5");
    hub.log.has_news = true.into();
    hub.others().await.unwrap();
    assert_eq!(hub.standing.noted.facts, facts);
    hub.log.facts.push(fact("n:2", "n2"));
    hub.log.has_news = true.into();
    hub.others().await.unwrap();
    assert_eq!(hub.standing.noted.facts, hub.log.facts);
}
