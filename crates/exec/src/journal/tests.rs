use super::*;
use crate::report::Stream;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn key(number: u8) -> CommandKey {
    CommandKey { requester: "alice's key".to_owned(), id: [number; 16] }
}

fn order(number: u8) -> Order {
    let (signing_key, no) = ("alice's signing key".to_owned(), u64::from(number));
    Order { signing_key, key_ends_at_ms: 1 << 50, no, prev: None }
}

fn begin(journal: &mut Journal, number: u8, now_ms: u64, rate: Option<Rate>) -> Begin {
    let times = (now_ms, now_ms + 60_000);
    let begun = journal.begin(&key(number), &order(number), times, "rule", rate);
    begun.expect("a sound journal")
}

/// Goal: every outcome comes back as it went in, also after a restart.
#[test]
fn outcomes_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/journal.sqlite");
    let exits = [
        Exit::Code(7),
        Exit::Signal(9),
        Exit::TimedOut,
        Exit::CpuTime,
        Exit::Cancelled,
        Exit::OutputLimit,
        Exit::NotFound,
        Exit::Failed("why".to_owned()),
    ];
    let mut kept = Kept::default();
    kept.push(Stream::Stdout, b"one");
    kept.push(Stream::Stdout, b"two");
    kept.push(Stream::Stderr, &[0xff, 0]);
    let nonce = {
        let mut journal = Journal::open(&path).expect("made");
        for (number, exit) in (0..).zip(&exits) {
            assert_eq!(begin(&mut journal, number, 1_000, None), Begin::Started);
            assert_eq!(journal.find(&key(number)).expect("found"), Some(Recorded::Interrupted));
            journal.finish(&key(number), exit, &kept).expect("recorded");
        }
        begin(&mut journal, 99, 1_000, None);
        let times = (1_000, 2_000);
        let refused = journal.refuse(&key(100), None, times, code::RATE, "too often");
        refused.expect("recorded");
        journal.nonce()
    };
    let journal = Journal::open(&path).expect("opened again");
    assert_eq!(journal.nonce(), nonce);
    for (number, exit) in (0..).zip(exits) {
        let expected = Recorded::Ended { exit, kept: kept.clone() };
        assert_eq!(journal.find(&key(number)).expect("found"), Some(expected));
    }
    assert_eq!(journal.find(&key(99)).expect("found"), Some(Recorded::Interrupted));
    let refused = Recorded::Refused { code: code::RATE, reason: "too often".to_owned() };
    assert_eq!(journal.find(&key(100)).expect("found"), Some(refused));
    assert_eq!(journal.find(&key(101)).expect("found"), None);
}

/// Goal: an outcome is final. Method: finish twice, and finish what was never started.
#[test]
fn outcomes_are_final() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::open(&folder.path().join("j")).expect("made");
    begin(&mut journal, 1, 1_000, None);
    journal.finish(&key(1), &Exit::Code(0), &Kept::default()).expect("recorded");
    journal.finish(&key(1), &Exit::Code(1), &Kept::default()).expect("ignored");
    journal.finish(&key(2), &Exit::Code(1), &Kept::default()).expect("ignored");
    let ended = Recorded::Ended { exit: Exit::Code(0), kept: Kept::default() };
    assert_eq!(journal.find(&key(1)).expect("found"), Some(ended));
    assert_eq!(journal.find(&key(2)).expect("found"), None);
    let twice = journal.begin(&key(1), &order(1), (1_000, 61_000), "rule", None);
    assert!(matches!(twice, Err(JournalError::Database(_))), "a second start: {twice:?}");
}

/// Goal: the rate counts starts of one rule and requester in a sliding window, refusals not.
#[test]
fn rates_slide() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("j");
    let rate = Some(Rate { commands_max: 2, window_ms: 10_000 });
    let mut journal = Journal::open(&path).expect("made");
    assert_eq!(begin(&mut journal, 1, 100_000, rate), Begin::Started);
    assert_eq!(begin(&mut journal, 2, 105_000, rate), Begin::Started);
    assert_eq!(begin(&mut journal, 3, 109_999, rate), Begin::RateUsedUp);
    let other = CommandKey { requester: "bob's key".to_owned(), ..key(3) };
    let others = journal.begin(&other, &order(3), (109_999, 200_000), "rule", rate).expect("sound");
    assert_eq!(others, Begin::Started, "another requester");
    let elsewhere =
        journal.begin(&key(4), &order(4), (109_999, 200_000), "other rule", rate).expect("sound");
    assert_eq!(elsewhere, Begin::Started, "another rule");
    drop(journal);
    let mut journal = Journal::open(&path).expect("opened again");
    assert_eq!(begin(&mut journal, 5, 109_999, rate), Begin::RateUsedUp, "after a restart");
    assert_eq!(begin(&mut journal, 6, 110_000, rate), Begin::Started, "the first has left");
    assert_eq!(begin(&mut journal, 7, 110_001, rate), Begin::RateUsedUp);
}

/// Goal: a day after expiry a command is forgotten, and can still never run again.
#[test]
fn the_forgotten_stays_dead() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("j");
    let mut journal = Journal::open(&path).expect("made");
    begin(&mut journal, 1, 1_000, None);
    let later = 61_000 + DAY_MS;
    begin(&mut journal, 2, later - 1, None);
    assert!(journal.find(&key(1)).expect("sound").is_some(), "one millisecond early");
    begin(&mut journal, 3, later + PURGE_EVERY_MS, None);
    assert_eq!(journal.find(&key(1)).expect("sound"), None);
    drop(journal);
    // The clock goes back to when the command was fresh, and it arrives again.
    let mut journal = Journal::open(&path).expect("opened again");
    assert_eq!(begin(&mut journal, 1, 1_000, None), Begin::Forgotten);
}

/// Goal: a clock that was days ahead for a while stops nobody once it is right. (The build before
/// refused everybody until the time came that it had shown.) Method: one command runs rightly, the
/// clock jumps three days ahead and one more runs, the clock is corrected.
#[test]
fn a_clock_that_was_ahead_stops_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("j");
    let rate = Some(Rate { commands_max: 1, window_ms: 60_000 });
    let (now_ms, ahead_ms) = (10 * DAY_MS, 13 * DAY_MS);
    let mut journal = Journal::open(&path).expect("made");
    assert_eq!(begin(&mut journal, 1, now_ms, rate), Begin::Started);
    assert_eq!(begin(&mut journal, 2, ahead_ms, rate), Begin::Started);
    assert_eq!(journal.find(&key(1)).expect("sound"), None, "forgotten under that clock");
    for restarts in [false, true] {
        if restarts {
            drop(journal);
            journal = Journal::open(&path).expect("opened again");
        }
        let number = 3 + u8::from(restarts);
        let later_ms = now_ms + 61_000 * u64::from(number);
        assert_eq!(begin(&mut journal, number, later_ms, rate), Begin::Started, "{restarts}");
    }
    assert_eq!(begin(&mut journal, 1, now_ms, None), Begin::Forgotten, "never a second time");
    // What was begun ahead of time is still known, and what is old is forgotten in time again.
    assert_eq!(journal.find(&key(2)).expect("sound"), Some(Recorded::Interrupted));
    begin(&mut journal, 5, now_ms + 2 * DAY_MS, None);
    assert_eq!(journal.find(&key(3)).expect("sound"), None);
}

/// Goal: the same for a command that was taken back under that clock and had not come. (The build before refused
/// everybody until the time of that clock.) Method: the clock is three days ahead for over a day, and it is corrected.
#[test]
fn a_cancellation_under_a_clock_that_was_ahead_stops_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::open(&folder.path().join("j")).expect("made");
    let (now_ms, ahead_ms) = (10 * DAY_MS, 13 * DAY_MS);
    let (until_ms, later_ms) = (ahead_ms + 60_000, ahead_ms + 2 * DAY_MS);
    journal.cancel(&key(1), (ahead_ms, until_ms), "taken back").expect("recorded");
    let refused = Recorded::Refused { code: code::CANCELLED, reason: "taken back".to_owned() };
    assert_eq!(journal.find(&key(1)).expect("found"), Some(refused.clone()));
    // It comes, and is refused; its expiry is its own.
    journal.cancel(&key(2), (ahead_ms, until_ms), "taken back").expect("recorded");
    let times = (ahead_ms, now_ms + 60_000);
    let came = journal.refuse(&key(2), Some(&order(1)), times, code::CANCELLED, "taken back");
    came.expect("recorded");
    assert_eq!(journal.find(&key(2)).expect("found"), Some(refused));
    assert_eq!(begin(&mut journal, 3, later_ms, None), Begin::Started);
    assert_eq!(journal.find(&key(1)).expect("sound"), None, "forgotten under that clock");
    assert_eq!(begin(&mut journal, 2, now_ms, None), Begin::Forgotten, "never a second time");
    let back_ms = now_ms + 2 * DAY_MS;
    assert_eq!(begin(&mut journal, 4, back_ms, None), Begin::Started);
}

/// Goal: old outputs make room, their outcomes stay.
#[test]
fn old_outputs_make_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::open(&folder.path().join("j")).expect("made");
    begin(&mut journal, 1, 1_000, None);
    let mut kept = Kept::default();
    kept.push(Stream::Stdout, b"old");
    journal.finish(&key(1), &Exit::Code(0), &kept).expect("recorded");
    let skip = i64::try_from(KEPT_OUTPUTS_MAX).expect("small");
    let sequence = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'commands'";
    journal.connection.execute(sequence, [skip]).expect("skipped ahead");
    begin(&mut journal, 2, 1_000, None);
    journal.finish(&key(2), &Exit::Code(0), &Kept::default()).expect("recorded");
    let expected = Recorded::Ended { exit: Exit::Code(0), kept: Kept::nothing_of(3) };
    assert_eq!(journal.find(&key(1)).expect("found"), Some(expected));
}

/// Goal: one requester cannot fill the disk, nor keep others from starting.
#[test]
fn a_full_share_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::open(&folder.path().join("j")).expect("made");
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO commands (requester, id, expires_at_ms, state) SELECT ?2, CAST(i AS BLOB), 9, 'ended' FROM n";
    let rows = to_sql(JOURNAL_COMMANDS_PER_REQUESTER_MAX - 1);
    journal.connection.execute(fill, params![rows, key(1).requester]).expect("filled");
    assert_eq!(begin(&mut journal, 1, 1_000, None), Begin::Started, "the last");
    assert_eq!(begin(&mut journal, 2, 1_000, None), Begin::Full);
    journal.refuse(&key(3), None, (1_000, 2_000), code::POLICY, "no").expect("nothing to record");
    assert_eq!(journal.find(&key(3)).expect("sound"), None);
    let other = CommandKey { requester: "bob's key".to_owned(), ..key(1) };
    let others = journal.begin(&other, &order(1), (1_000, 2_000), "rule", None).expect("sound");
    assert_eq!(others, Begin::Started);
}

/// Goal: two agents never share a journal, and a newer journal is not touched.
#[test]
fn foreign_journals_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("j");
    let journal = Journal::open(&path).expect("made");
    assert!(matches!(Journal::open(&path), Err(JournalError::InUse { .. })));
    journal.connection.pragma_update(None, "user_version", 2).expect("set");
    drop(journal);
    assert!(matches!(Journal::open(&path), Err(JournalError::Newer { got: 2 })));
    fs::write(&path, "not a database, but long enough to be read as one").expect("written");
    assert!(Journal::open(&path).is_err());
    assert!(matches!(Journal::open(Path::new("/proc/none/j")), Err(JournalError::Open { .. })));
}
