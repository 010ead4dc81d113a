//! What applying a log does to the file, for ever: each statement of the store, and each constant that it uses.

use chat_protocol::{
    crypto::{sha256, sha256_parts},
    handshake::Purpose,
    header::{MemberArgument, MemberHeader, MemberOperation},
    id::KeyId,
    tag::Tag,
};
use rusqlite::types::ValueRef;

use super::{
    lobby::{ALICE, BOB, ROOM, epoch},
    *,
};
use crate::{
    connection::ConnectionId,
    limits::{
        ACCOUNT_REVOKED_MAX, DROP_STEP_MESSAGES_MAX, DROP_STEP_WRAPS_MAX, EPOCH_GRACE,
        EPOCH_MEMORY, ERASE_STEP_MESSAGES_MAX, OLD_EPOCHS_MAX,
    },
    store::{
        CopyChange, Incarnation, Invite, KeptBatch, Mark, NewBundle, NewExcuse, NewIdentity,
        NewLink, NewOrder, NewPassword, NewRetention, NewSession, NewTopic, PutOut, ResetCode,
        SessionPlace, Standing, Written,
    },
};

/// Tables of what records have come to. What is kept of the log itself stands in others.
const TABLES: [&str; 29] = [
    "accounts",
    "bans",
    "brought",
    "closed_rooms",
    "conversations",
    "copies",
    "cursors",
    "devices",
    "dropped",
    "dropped_counters",
    "dropped_from",
    "entries",
    "epochs",
    "excused",
    "invites",
    "links",
    "moderators",
    "nobodies",
    "offers",
    "put_out",
    "resets",
    "retention",
    "revoked",
    "segments",
    "sessions",
    "signers",
    "standings",
    "topics",
    "wraps",
];

const HUB: Incarnation = Incarnation { node: 1, life: 5 };

/// A bundle that is the same for ever: one of the test vectors.
fn fixed(number: usize) -> Arc<Bundle> {
    let vectors = include_str!("../../../../../protocol/tests/vectors/envelope.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let text = &vectors["vectors"][number]["bundle"];
    let bytes: B64Vec = serde_json::from_value(text.clone()).unwrap();
    Arc::new(Bundle::verify(bytes.0.into()).unwrap())
}

fn person(number: usize, invite: Option<Digest>) -> Proposal {
    let bundle = fixed(number);
    let name = bundle.header().u.clone();
    let (password, vault) = (Some("hash".to_owned()), Some(vec![1, 2]));
    Proposal::Account(Box::new(NewAccount { name, bundle, password, vault, invite }))
}

fn name(text: &str) -> UserName {
    UserName::new(text).unwrap()
}

fn said(log: LogId, sender: AccountId, (epoch, n): (Option<i64>, u32), hub_ms: u64) -> Proposal {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    id[4..12].copy_from_slice(&epoch.unwrap_or(0).to_be_bytes());
    id[15] = u8::try_from(sender.0).unwrap();
    Proposal::Entry(Box::new(NewEntry {
        log,
        sender,
        id: MessageId(id),
        digest: Digest([7; 32]),
        kind: if epoch.is_some() { EntryKind::Message } else { EntryKind::Receipt },
        epoch: epoch.map(EpochId),
        line: u32::try_from(sender.0).unwrap() - 1,
        n,
        hub_ms,
        frame: Bytes::from(vec![1; 60]),
    }))
}

fn link() -> Proposal {
    let header = MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: ConversationId::parse("room:den").unwrap(),
        from: name("alice"),
        sk: KeyId([1; 16]),
        op: MemberOperation::Create,
        who: name("alice"),
        ik: KeyId([3; 16]),
        arg: MemberArgument::Open,
        mg: 0,
        pm: Digest::ZERO,
        id: MessageId([40; 16]),
        ts: 0,
    };
    Proposal::Link(Box::new(NewLink {
        log: None,
        header,
        digest: Digest([41; 32]),
        newcomers: vec![DeviceId(1), DeviceId(2)],
        brought_by: Some(ALICE),
        frame: Bytes::from_static(b"link"),
    }))
}

fn session(is_open: bool) -> Proposal {
    Proposal::Session(NewSession {
        place: SessionPlace { hub: HUB, connection: ConnectionId(2) },
        account: ALICE,
        device: DeviceId(1),
        purpose: Purpose::Interactive,
        is_open,
        replaces: None,
    })
}

fn drop_before(before_ms: u64) -> Proposal {
    Proposal::Drop(NewDrop { log: ROOM, before_ms, keep_ms: 5_000, current: None })
}

/// At least one of each record that changes the file, and more than one step of what goes in steps.
fn run() -> Vec<Vec<Proposal>> {
    let order = |order| Proposal::Order(Box::new(order));
    let code = Digest([50; 32]);
    let many = u32::try_from(DROP_STEP_MESSAGES_MAX).unwrap() + 44;
    let offer = |id: u8| {
        let details = Details { signed: B64Vec(vec![id; 9]), words: vec!["word".to_owned()] };
        Offer::open(MessageId([id; 16]), details)
    };
    let inbox = LogId::inbox(BOB);
    let (positions, by, until_ms) = (vec![(ROOM, 9)], name("alice"), Some(99));
    let first = vec![
        order(NewOrder::Invite(Invite { digest: code, uses: 2, until_ms: 90 })),
        person(0, Some(code)),
        person(1, None),
        Proposal::Bundle(Box::new(NewBundle { account: BOB, device: None, bundle: fixed(0) })),
        Proposal::Password(Box::new(NewPassword {
            account: ALICE,
            before: "hash".to_owned(),
            password: "other".to_owned(),
            vault: vec![3],
        })),
        epoch(0, 10),
        link(),
        session(true),
    ];
    let talk = (0..many).map(|n| {
        said(ROOM, if n % 9 == 0 { BOB } else { ALICE }, (Some(1), n), 1_000 + u64::from(n))
    });
    let rare = vec![
        Proposal::Topic(NewTopic { log: ROOM, text: "topic".to_owned(), by: by.clone() }),
        Proposal::Excuse(NewExcuse { log: ROOM, who: name("bob") }),
        Proposal::Retention(NewRetention { log: ROOM, keep_ms: Some(5_000), by: by.clone() }),
        Proposal::Copies(CopyChange::Remove(vec![(ALICE, Nonce16([1; 16]))])),
        share(1, &[offer(1), offer(2)], &[]),
        share(1, &[], &[2]),
        Proposal::Cursors { account: ALICE, device: DeviceId(1), positions },
        order(NewOrder::Ban("mallory".parse().unwrap())),
        order(NewOrder::Ban("eve".parse().unwrap())),
        order(NewOrder::Unban("eve".parse().unwrap())),
        order(NewOrder::Moderator { account: ALICE, is_one: true }),
        order(NewOrder::PutOut(PutOut { who: BOB, by: by.clone(), until_ms })),
        order(NewOrder::LetIn { who: BOB, by }),
        order(NewOrder::Reset { account: ALICE, code: ResetCode { digest: code, until_ms: 90 } }),
        order(NewOrder::Announce("soon".to_owned())),
    ];
    let identity = Proposal::Identity(Box::new(NewIdentity {
        account: ALICE,
        code,
        bundle: fixed(3),
        password: None,
        vault: None,
    }));
    let kept = (0..many).map(|n| said(inbox, ALICE, (None, n), 2_000));
    let (accounts, names, standing) = (vec![BOB], vec![name("nobody")], Standing::Deleted);
    let erase = |after| Proposal::Erase(NewErase { account: BOB, log: Some(inbox), after });
    vec![
        first,
        talk.collect(),
        rare,
        vec![drop_before(9_000)],
        vec![epoch(1, 2_000), said(ROOM, ALICE, (Some(2), 0), 90_000)],
        vec![drop_before(80_000)],
        vec![identity, session(false), Proposal::Gone(HUB)],
        kept.collect(),
        vec![order(NewOrder::Standing { accounts, names, standing })],
        vec![erase(0)],
        vec![erase(0), Proposal::Erase(NewErase { account: BOB, log: None, after: 0 })],
        vec![order(NewOrder::CloseRoom(ROOM))],
    ]
}

/// What a table holds, whatever the order of its rows.
fn rows(connection: &Connection, table: &str) -> String {
    let mut select = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = select.column_count();
    let mut found = select.query([]).unwrap();
    let mut rows = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let cells = (0..columns).map(|column| match row.get_ref(column).unwrap() {
            ValueRef::Blob(blob) => Digest(sha256(blob)).to_string(),
            other => format!("{other:?}"),
        });
        rows.push(cells.collect::<Vec<_>>().join(" "));
    }
    rows.sort();
    format!("{table} {columns}: {}", rows.join("; "))
}

/// Goal: what applying a log does stays the same, or its version goes up: hubs of two kinds would come apart. Method: a
/// fixed run over a file, what it comes to, and what the file holds after each turn. Whoever changes a number here raises
/// `order::batch::VERSION` once servers with the former one are about.
#[tokio::test]
async fn applying_a_log_of_this_version_leaves_the_same_file_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let own = FollowedLog { log: [2; 16], node: "n1".to_owned() };
    let (mut store, reads, _, _) =
        open_shared(folder.path(), SqliteOptions::default(), Arc::default(), (&own, 1)).unwrap();
    let (mut chain, mut held) = (Digest::ZERO, Digest::ZERO);
    let mut tables: Vec<String> = Vec::new();
    let mut outcomes = Vec::new();
    for (turn, batch) in (1_u64..).zip(run()) {
        let mark = Mark {
            written: Written { turn, keys: vec![turn], void: Vec::new() },
            horizon: 0,
            time_ms: turn,
            by: Some((HUB, turn)),
            gone: Vec::new(),
            verdicts: vec![true; batch.len()],
            before: chain,
            digest: [u8::try_from(turn).unwrap(); 32],
            batch: KeptBatch {
                turn,
                time_ms: turn,
                is_structure: true,
                batch: Bytes::from_static(b"batch"),
            },
            generation: 1,
            forget: 0,
        };
        let (kept, now) = store.commit_turn(batch, mark).await.unwrap();
        outcomes.extend(
            kept.into_iter()
                .map(|one| one.outcome)
                .filter(|outcome| !matches!(outcome, Ok(Stored::Done | Stored::Entry(_)))),
        );
        chain = now;
        let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        tables = TABLES.iter().map(|table| rows(&connection, table)).collect();
        held = Digest(sha256_parts(&[held.as_bytes(), tables.join("\n").as_bytes()]));
    }
    drop((store, reads));
    let constants = (EPOCH_GRACE, EPOCH_MEMORY, OLD_EPOCHS_MAX, DROP_STEP_MESSAGES_MAX);
    let constants = format!(
        "{constants:?} {DROP_STEP_WRAPS_MAX} {ERASE_STEP_MESSAGES_MAX} {ACCOUNT_REVOKED_MAX}"
    );
    assert_eq!(constants, "(10s, 60s, 8, 256) 512 256 1024");
    let came = (chain.to_string(), held.to_string());
    let was = (
        "hWl9UXjXJjVQD93zUPofGz9J1l1K_8yW-n88hZf3r_I".to_owned(),
        "iPoO2NqBUC9hNqEOagPtXtgjfLbb_OJMxiF1wWK-W7M".to_owned(),
    );
    assert_eq!(came, was, "{outcomes:#?}\n{}", tables.join("\n"));
}
