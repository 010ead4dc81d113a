//! The list of shared files over real sockets: who finds what, what is kept, and what is refused.

use std::sync::LazyLock;

use chat_protocol::{
    b64::B64Vec,
    file::{
        catalogue::{Audience, Details, Found, IndexKey, Offer, Query},
        offer::OfferHeader,
    },
    header::{Canonical, MemberOperation},
    hub::{ClientToHub, HubToClient},
    id::{Digest, KeyId, MessageId},
    limits::OFFERS_PAGE_MAX,
    tag::Tag,
};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Client, Device, cid, config, fresh, name, new_id, register, sign_in, start};
use crate::slow::metrics;

/// The signing key of alice's device.
static ALICE: LazyLock<KeyId> = LazyLock::new(|| Device::new("alice", 0).keys.signing_id());

/// An offer of alice in its form, with a signature that nobody made: the hub does not check it.
fn details(id: MessageId, words: &[&str]) -> Details {
    let header = OfferHeader {
        v: 1,
        t: Tag::Offer,
        u: name("alice"),
        sk: *ALICE,
        cid: Audience::Everybody,
        id,
        name: "plan.txt".into(),
        size: 9,
        root: Digest([7; 32]),
        ts: 1,
    };
    let bytes = header.to_bytes();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let signed = B64Vec([&[1, 1], length.as_slice(), &bytes, &[0; 4], &[0; 256]].concat());
    Details { signed, words: words.iter().map(|word| (*word).to_owned()).collect() }
}

fn open(number: u8, words: &[&str]) -> Offer {
    let id = MessageId([number; 16]);
    Offer::open(id, details(id, words))
}

fn sealed(key: &IndexKey, number: u8, place: &str, words: &[&str]) -> Offer {
    let id = MessageId([number; 16]);
    key.seal(id, cid(place), &details(id, words), [1; 12])
}

/// The number of own offers on the list, or the code of the refusal.
async fn share(client: &mut Client, offers: &[Offer], ended: &[u8]) -> Result<u32, String> {
    let id = new_id();
    let ended = ended.iter().map(|number| MessageId([*number; 16])).collect();
    client.send_text(&ClientToHub::Share { id, offers: offers.to_vec(), ended }).await;
    match client.answer().await {
        HubToClient::Shared { id: got, offers } if got == id => Ok(offers),
        HubToClient::Noack { id: got, code, .. } if got == Some(id) => Err(code),
        other => panic!("SHARED expected: {other:?}"),
    }
}

async fn page(client: &mut Client, query: &Query) -> (Vec<Found>, bool) {
    let id = new_id();
    client.send_text(&ClientToHub::Find { id, query: query.clone() }).await;
    match client.answer().await {
        HubToClient::Found { id: got, offers, more } if got == id => (offers, more),
        other => panic!("FOUND expected: {other:?}"),
    }
}

async fn found(client: &mut Client, query: &Query) -> Vec<Found> {
    let (offers, more) = page(client, query).await;
    assert!(!more);
    offers
}

fn words(words: &[&str]) -> Query {
    Query { words: words.iter().map(|word| (*word).to_owned()).collect(), ..Query::default() }
}

#[tokio::test]
async fn what_is_shared_is_found_by_its_audience_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let mut carol = register(&server, "carol", 2).await;
    let key = IndexKey::new([3; 32]);
    let clear = open(1, &["hidden treasure", "map"]);
    let for_bob = sealed(&key, 2, "dm:alice:bob", &["hidden treasure"]);
    assert_eq!(share(&mut alice, &[clear.clone(), for_bob.clone()], &[]).await, Ok(2));
    let listed =
        |offer: &Offer, online| Found { owner: name("alice"), online, offer: offer.clone() };
    let both = words(&["map", "hidden treasure"]);
    assert_eq!(found(&mut carol, &both).await, [listed(&clear, true)]);
    assert_eq!(found(&mut carol, &words(&["map", "plan"])).await, []);
    assert_eq!(found(&mut carol, &Query::default()).await, [listed(&clear, true)]);
    let by_token = Query { tokens: vec![vec![key.token("hidden treasure")]], ..Query::default() };
    assert_eq!(found(&mut carol, &by_token).await, [], "not hers, whatever she knows");
    let offers = found(&mut bob, &by_token).await;
    assert_eq!(offers, [listed(&for_bob, true)]);
    assert_eq!(key.open(&offers[0].offer), Ok(details(for_bob.id, &["hidden treasure"])));
    let a = alice.bye().await;
    bob.notice(|notice| matches!(notice, HubToClient::Presence { left, .. } if left.contains(&name("alice")))).await;
    assert_eq!(
        found(&mut bob, &Query::default()).await,
        [listed(&clear, false), listed(&for_bob, false)]
    );
    let b = bob.device.clone();
    server.stop().await.unwrap();

    let log = std::fs::read_to_string(folder.path().join("logs/server.jsonl")).unwrap();
    assert!(log.contains("request.share") && log.contains("request.find"));
    assert!(!log.contains("treasure"), "words are nobody's business");
    let server = start(config(folder.path())).await;
    let mut bob = sign_in(&server, &b).await;
    assert_eq!(
        found(&mut bob, &Query::default()).await,
        [listed(&clear, false), listed(&for_bob, false)]
    );
    let mut alice = sign_in(&server, &a).await;
    assert_eq!(share(&mut alice, &[], &[1, 77]).await, Ok(1));
    assert_eq!(found(&mut bob, &Query::default()).await, [listed(&for_bob, true)]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn offers_to_a_room_end_durably_when_their_owner_leaves_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(config(folder.path())).await;
    let (mut alice, mut bob) =
        (register(&server, "alice", 0).await, register(&server, "bob", 1).await);
    let lobby = cid("room:lobby");
    let key = IndexKey::new([3; 32]);
    let offer = sealed(&key, 1, "room:lobby", &["plan"]);
    assert_eq!(
        share(&mut alice, std::slice::from_ref(&offer), &[]).await,
        Err("E_NOT_A_MEMBER".into())
    );
    let link = alice.link_kept(&lobby, MemberOperation::Join, (0, Digest::ZERO)).await;
    assert_eq!(share(&mut alice, std::slice::from_ref(&offer), &[]).await, Ok(1));
    assert_eq!(found(&mut bob, &Query::default()).await, []);
    let link = bob.link_kept(&lobby, MemberOperation::Join, (1, link)).await;
    assert_eq!(found(&mut bob, &Query::default()).await[0].offer, offer);
    let link = alice.link_kept(&lobby, MemberOperation::Leave, (2, link)).await;
    assert_eq!(found(&mut bob, &Query::default()).await, []);
    assert_eq!(found(&mut alice, &Query::default()).await, []);
    alice.link_kept(&lobby, MemberOperation::Join, (3, link)).await;
    let b = bob.device.clone();
    server.stop().await.unwrap();
    let server = start(config(folder.path())).await;
    let mut bob = sign_in(&server, &b).await;
    assert_eq!(found(&mut bob, &Query::default()).await, [], "not on the disk either");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn pages_follow_each_other() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    for start in [0, 32, 64, 96] {
        let offers: Vec<_> = (start..start + 32).map(|number| open(number, &["plan"])).collect();
        assert_eq!(share(&mut alice, &offers, &[]).await, Ok(u32::from(start) + 32));
    }
    let (mut query, mut numbers) = (words(&["plan"]), Vec::new());
    loop {
        let (offers, more) = page(&mut alice, &query).await;
        query.after = offers.last().map(|last| (last.owner.clone(), last.offer.id));
        numbers.extend(offers.iter().map(|found| found.offer.id.0[0]));
        if !more {
            break;
        }
        assert_eq!(offers.len(), OFFERS_PAGE_MAX);
    }
    assert!(numbers.into_iter().eq(0..128));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_does_not_belong_on_the_list_is_refused_and_nothing_of_the_request_is_kept() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    register(&server, "bob", 1).await.bye().await;
    let key = IndexKey::new([3; 32]);
    let to = |place: &str| Audience::Conversation(cid(place));
    for (offer, code) in [
        (open(1, &["Unfolded"]), "E_MALFORMED"),
        (Offer { id: MessageId([9; 16]), ..open(1, &["plan"]) }, "E_NOT_ALLOWED"),
        (Offer { audience: to("room:lobby"), ..open(1, &["plan"]) }, "E_NOT_ALLOWED"),
        (
            Offer { audience: Audience::Everybody, ..sealed(&key, 1, "dm:alice:bob", &[]) },
            "E_NOT_ALLOWED",
        ),
        (sealed(&key, 1, "room:ALL", &[]), "E_NOT_ALLOWED"),
        (sealed(&key, 1, "dm:alice:nobody", &[]), "E_NO_SUCH_USER"),
        (sealed(&key, 1, "dm:bob:carol", &[]), "E_NOT_A_MEMBER"),
    ] {
        let offers = [open(2, &["plan"]), offer];
        assert_eq!(share(&mut alice, &offers, &[]).await, Err(code.into()), "{:?}", offers[1]);
    }
    let many: Vec<_> = (0..33).map(|number| open(number, &[])).collect();
    assert_eq!(share(&mut alice, &many, &[]).await, Err("E_TOO_MANY".into()));
    for query in [
        words(&["Unfolded"]),
        words(&["a"; 9]),
        Query { owner: Some(name("nobody")), ..words(&[]) },
    ] {
        alice.send_text(&ClientToHub::Find { id: new_id(), query }).await;
        assert!(matches!(alice.answer().await, HubToClient::Noack { .. }));
    }
    let id = new_id();
    for text in [
        format!(r#"{{"tag":"SHARE","id":"{id}","offers":[{{"id":"{id}","audience":"?"}}]}}"#),
        format!(r#"{{"tag":"FIND","id":"{id}","query":{{"wrods":["a"]}}}}"#),
        format!(r#"{{"tag":"FIND","id":"{id}"}}"#),
    ] {
        alice.send_raw(Message::text(text)).await;
        assert_eq!(alice.noack().await, "E_MALFORMED");
    }
    assert_eq!(found(&mut alice, &Query::default()).await, []);
    // And the connection is as good as before.
    alice.say(Tag::Text, &cid("room:lobby"), Digest::ZERO, 0).await;
    assert_eq!(alice.noack().await, "E_NOT_A_MEMBER");
    server.stop().await.unwrap();
}

/// So many questions about the list an account may ask at once.
const BURST: usize = 1_024;

/// Goal: whoever asks without end is put off and nobody else is. Method: more questions than a burst in
/// one go, then another question of theirs and one of somebody else.
#[tokio::test]
async fn whoever_asks_without_end_is_told_to_ask_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.limits.set("list_questions=64/s+1024").unwrap();
    let server = start(config).await;
    let mut alice = register(&server, "alice", 0).await;
    let mut bob = register(&server, "bob", 1).await;
    let (mut answered, mut put_off) = (0, Vec::new());
    let mut shares = Vec::new();
    // Until both kinds of questions were put off, which a burst and a bit suffices for.
    while !put_off.iter().any(|id| shares.contains(id)) || put_off.len() == 1 {
        assert!(answered < 100 * BURST, "nobody is put off");
        for _ in 0..63 {
            alice.send_text(&ClientToHub::Find { id: new_id(), query: Query::default() }).await;
        }
        let id = new_id();
        let share = ClientToHub::Share { id, offers: vec![open(1, &["plan"])], ended: vec![] };
        alice.send_text(&share).await;
        shares.push(id);
        for _ in 0..64 {
            match alice.answer().await {
                HubToClient::Found { .. } | HubToClient::Shared { .. } => answered += 1,
                HubToClient::Retry { id, after_ms: 1_000, .. } => put_off.push(id),
                other => panic!("FOUND, SHARED or RETRY expected: {other:?}"),
            }
        }
    }
    assert!(answered >= BURST, "{answered} answered, {} put off", put_off.len());
    let counted =
        format!("chat_acks_total{{stage=\"request\",outcome=\"retry\"}} {}", put_off.len());
    assert!(metrics(&server).await.contains(&counted), "{counted}");
    let id = new_id();
    alice.send_text(&ClientToHub::Who { id, after: None }).await;
    assert!(matches!(alice.answer().await, HubToClient::Who { .. }), "other questions are others");
    assert_eq!(found(&mut bob, &Query::default()).await.len(), 1);
    server.stop().await.unwrap();
}

/// Goal: who shares as much as anybody may is not put off. Method: 10,000 offers told page by page, and
/// listed page by page, as a client does after it has signed in.
#[tokio::test]
async fn ten_thousand_offers_are_told_and_listed_without_a_pause() {
    let (server, _folder) = fresh().await;
    let mut alice = register(&server, "alice", 0).await;
    let id = |number: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        MessageId(id)
    };
    let all: Vec<_> = (0..10_000).map(|n| Offer::open(id(n), details(id(n), &["plan"]))).collect();
    for offers in all.chunks(OFFERS_PAGE_MAX) {
        share(&mut alice, offers, &[]).await.unwrap();
    }
    let (mut query, mut listed) = (Query { owner: Some(name("alice")), ..Query::default() }, 0);
    loop {
        let (offers, more) = page(&mut alice, &query).await;
        query.after = offers.last().map(|last| (last.owner.clone(), last.offer.id));
        listed += offers.len();
        if !more {
            break;
        }
    }
    assert_eq!(listed, all.len());
    server.stop().await.unwrap();
}
