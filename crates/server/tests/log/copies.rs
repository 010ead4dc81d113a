//! Copies of files at servers that share a log.

use std::path::Path;

use chat_protocol::{
    crypto::random,
    file::relay::{HubToRelay, RelayToHub},
    id::Nonce16,
};
use tokio::time::{Duration, Instant, sleep};

use super::{
    client::{PATIENCE, Server, name, now_ms, register, start},
    data::{Data, TestFile},
    node::config,
    server::redis,
};

const HOUR: u64 = 60 * 60 * 1_000;

fn keep(file: &TestFile, tid: Nonce16) -> RelayToHub {
    let (chunks, size) = (file.chunks(), file.manifest.size);
    RelayToHub::Keep { tid, chunks, size, until: now_ms() + HOUR }
}

/// How many files of copies a server has, those that come in not counted.
fn files(folder: &Path, server: &str) -> usize {
    let entries = std::fs::read_dir(folder.join(server).join("files")).expect("a folder");
    entries.filter(|entry| entry.as_ref().is_ok_and(|one| one.path().extension().is_none())).count()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn kept(data: &mut Data) {
    loop {
        match data.text().await {
            HubToRelay::Kept { .. } => return,
            HubToRelay::Credit { .. } => {}
            other @ HubToRelay::End { .. } => panic!("KEPT expected: {other:?}"),
        }
    }
}

async fn is_to_be_had(server: &Server, of_whom: &Data, file: &TestFile, tid: Nonce16) {
    let mut taker = Data::open(server, &of_whom.device).await;
    let take = RelayToHub::Take { tid, from: name("alice"), credit: 8, parts: Vec::new() };
    taker.say(&take).await;
    let (chunks, code) = file.receive(&mut taker, tid).await;
    assert_eq!(code, "", "at {}", server.address);
    assert_eq!(chunks, [(0, file.bytes.clone())]);
}

/// Goal: a copy that two servers take is kept by one of them, and all know by which. Method: the connection of its owner
/// breaks while the first server waits for the log, the second one begins, the first one's word comes into the log, and
/// then the second one's. Before, each said that it lies at the other one, and it was gone although its owner was told KEPT.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_two_servers_take_is_kept_by_one() {
    let Some(redis) = redis().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let said = redis.say(&["ACL", "SETUSER", "one", "on", ">pass", "~*", "&*", "+@all"]).await;
    assert_eq!(said.as_deref(), Some("OK"));
    let mut of_one = config(&redis, folder, "n1");
    let url = format!("{}?user=one&pass=pass", redis.url());
    of_one.sharing.as_mut().expect("one of several").redis = url.parse().expect("an address");
    let one = start(of_one).await;
    let alice = register(&one, "alice", 0).await;
    let two = start(config(&redis, folder, "n2")).await;
    let (mut first, mut second) =
        (Data::open(&one, &alice.device).await, Data::open(&two, &alice.device).await);
    let (file, tid) = (TestFile::new(100), Nonce16(random()));
    // What the first server writes waits from now on.
    first.say(&keep(&file, tid)).await;
    first.credit().await;
    redis.say(&["ACL", "SETUSER", "one", "-eval", "-evalsha"]).await;
    let header = file.header(&first.device, "*", tid, 0);
    first.chunk(file.seal(&header)).await;
    until("it is on the disk", async || files(folder, "n1") == 1).await;
    second.say(&keep(&file, tid)).await;
    second.credit().await;
    redis.say(&["ACL", "SETUSER", "one", "+eval", "+evalsha"]).await;
    kept(&mut first).await;
    second.chunk(file.seal(&header)).await;
    kept(&mut second).await;
    until("the first one takes its file away", async || files(folder, "n1") == 0).await;
    assert_eq!(files(folder, "n2"), 1);
    for server in [&one, &two] {
        is_to_be_had(server, &first, &file, tid).await;
    }
    drop((alice, first, second));
    for server in [one, two] {
        server.stop().await.expect("in order");
    }
}
