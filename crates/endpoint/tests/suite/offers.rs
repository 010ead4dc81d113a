//! Offers of files that the hub lists: only what its owner has signed for this place counts, and an
//! older copy is known (rule R32).

use std::sync::Arc;

use chat_endpoint::{Alarm, Event, ListedOffer, OfferVerdict, limits};
use chat_protocol::b64::B64Vec;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::file::offer::{self, OfferDraft, OfferHeader, SignedOffer};
use chat_protocol::frame::RawFrame;
use chat_protocol::header::Canonical;
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::ConversationId;

use crate::hub::{TestHub, name};

const ALICE: usize = 0;
const BOB: usize = 1;
const MALLORY: usize = 2;

fn draft(number: u16, ts: u64) -> OfferDraft {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let file = Manifest { name: format!("plan-{number}.txt"), size: 9, root: Digest([4; 32]) };
    OfferDraft { id: MessageId(id), audience: Audience::Everybody, file, ts }
}

/// What the hub lists when alice shares this.
fn listed(hub: &TestHub, draft: &OfferDraft) -> ListedOffer {
    listed_by(hub, ALICE, draft)
}

/// What the hub lists when somebody shares this.
fn listed_by(hub: &TestHub, index: usize, draft: &OfferDraft) -> ListedOffer {
    let endpoint = &hub.peers[index].endpoint;
    let signed = endpoint.sign_offers(vec![draft.clone()]).remove(0);
    let (audience, id) = (draft.audience.clone(), draft.id);
    ListedOffer { owner: endpoint.device().user.clone(), audience, id, signed }
}

/// The same with another header under the same signature.
fn edited(listed: &ListedOffer, edit: impl FnOnce(&mut OfferHeader)) -> ListedOffer {
    let mut header = SignedOffer::parse(&listed.signed.0).unwrap().header().clone();
    edit(&mut header);
    let old = RawFrame::decode(listed.signed.0.clone().into()).unwrap().header().len();
    let header = header.to_bytes();
    let length = u32::try_from(header.len()).unwrap().to_be_bytes();
    let parts = [&listed.signed.0[..2], &length, &header, &listed.signed.0[6 + old..]];
    ListedOffer { signed: B64Vec(parts.concat()), ..listed.clone() }
}

fn verdicts(hub: &mut TestHub, index: usize, listed: Vec<ListedOffer>) -> Vec<OfferVerdict> {
    let id = hub.peers[index].endpoint.check_offers(listed);
    hub.run();
    let answers = hub.peers[index].events.iter().filter_map(|event| match event {
        Event::OffersChecked { id: of, verdicts } if *of == id => Some(verdicts.clone()),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 1, "one answer");
    answers.into_iter().next().unwrap()
}

fn alarms(hub: &TestHub, index: usize) -> Vec<String> {
    let alarm = |event: &Event| match event {
        Event::Alarm { kind: Alarm::BadSignature, detail, .. } => Some(detail.clone()),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(alarm).collect()
}

fn is_good(verdict: &OfferVerdict) -> bool {
    matches!(verdict, OfferVerdict::Good(_))
}

fn is_forged(verdict: &OfferVerdict) -> bool {
    matches!(verdict, OfferVerdict::Forged { .. })
}

#[test]
fn what_its_owner_has_signed_is_good_for_every_audience_and_raises_no_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let audiences = [
        Audience::Everybody,
        Audience::Conversation(ConversationId::parse("room:ops").unwrap()),
        Audience::Conversation(ConversationId::parse("dm:alice:bob").unwrap()),
    ];
    let drafts = (1..).zip(audiences).map(|(n, audience)| OfferDraft { audience, ..draft(n, 5) });
    let drafts: Vec<_> = drafts.collect();
    let signed = hub.peers[ALICE].endpoint.sign_offers(drafts.clone());
    let offers = drafts.iter().zip(signed).map(|(draft, signed)| {
        let (audience, id) = (draft.audience.clone(), draft.id);
        ListedOffer { owner: name("alice"), audience, id, signed }
    });
    let offers: Vec<_> = offers.collect();
    for index in [BOB, ALICE] {
        let verdicts = verdicts(&mut hub, index, offers.clone());
        for (verdict, draft) in verdicts.iter().zip(&drafts) {
            let OfferVerdict::Good(header) = verdict else { panic!("{verdict:?}") };
            assert_eq!(header.file(), draft.file);
        }
        assert_eq!(alarms(&hub, index), Vec::<String>::new());
    }
}

#[test]
fn another_persons_offer_under_alices_name_is_forged() {
    let mut hub = TestHub::with(&["alice", "bob", "mallory"]);
    let draft = draft(1, 5);
    let mallorys = hub.peers[MALLORY].endpoint.sign_offers(vec![draft.clone()]).remove(0);
    let moved = ListedOffer { signed: mallorys, ..listed(&hub, &draft) };
    // In alice's name, by mallory's key, which is nobody's of hers; and as if it were hers.
    let keys = Arc::clone(&hub.peers[MALLORY].endpoint.device().keys);
    let signed = offer::sign(&keys.signing, &name("alice"), vec![draft.clone()]).remove(0);
    let by_mallory = ListedOffer { signed, ..moved.clone() };
    let sk = hub.peers[ALICE].endpoint.device().keys.signing_id();
    let in_her_key = edited(&by_mallory, |header| header.sk = sk);
    let nothing = ListedOffer { signed: B64Vec(Vec::new()), ..moved.clone() };
    for offer in [moved, by_mallory, in_her_key, nothing] {
        let verdicts = verdicts(&mut hub, BOB, vec![offer]);
        assert!(is_forged(&verdicts[0]), "{verdicts:?}");
    }
    let hers = listed(&hub, &draft);
    let verdicts = verdicts(&mut hub, BOB, vec![hers]);
    assert!(is_good(&verdicts[0]), "her own is still good");
}

#[test]
fn nothing_of_an_offer_can_be_changed() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let honest = listed(&hub, &draft(1, 5));
    let room = Audience::Conversation(ConversationId::parse("room:ops").unwrap());
    let changed = [
        ("root", edited(&honest, |header| header.root = Digest([9; 32]))),
        ("size", edited(&honest, |header| header.size = 10)),
        ("name", edited(&honest, |header| header.name = "other.txt".to_owned())),
        ("time", edited(&honest, |header| header.ts = 6)),
        ("audience and its header", {
            let offer = edited(&honest, |header| header.cid = room.clone());
            ListedOffer { audience: room.clone(), ..offer }
        }),
        ("audience", ListedOffer { audience: room, ..honest.clone() }),
        ("id", ListedOffer { id: MessageId([9; 16]), ..honest.clone() }),
        ("owner", ListedOffer { owner: name("bob"), ..honest.clone() }),
        ("owner that nobody is", ListedOffer { owner: name("ghost"), ..honest.clone() }),
    ];
    for (what, offer) in changed {
        let verdicts = verdicts(&mut hub, BOB, vec![offer]);
        assert!(is_forged(&verdicts[0]), "another {what}: {verdicts:?}");
    }
    assert!(is_good(&verdicts(&mut hub, BOB, vec![honest])[0]));
}

#[test]
fn a_name_that_has_not_signed_is_told_of_once() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let forged = |hub: &TestHub, number| {
        edited(&listed(hub, &draft(number, 5)), |header| header.root = Digest([9; 32]))
    };
    let offers = vec![forged(&hub, 1), listed(&hub, &draft(2, 5)), forged(&hub, 3)];
    for _ in 0..3 {
        let verdicts = verdicts(&mut hub, BOB, offers.clone());
        let good: Vec<_> = verdicts.iter().map(is_good).collect();
        assert_eq!(good, [false, true, false]);
    }
    assert_eq!(
        alarms(&hub, BOB),
        ["the server lists plan-1.txt under alice's name; alice's key has not signed that \
          (1 more likewise)"]
    );
    // Nobody has looked: another process of the home does not say it again.
    hub.peers[BOB].shows_nothing = true;
    for _ in 0..3 {
        hub.restart(BOB);
        verdicts(&mut hub, BOB, offers.clone());
        let rows = hub.peers[BOB].store.rows();
        let is_alarm = |value: &[u8]| String::from_utf8_lossy(value).contains("plan-1.txt under");
        assert_eq!(rows.iter().filter(|(_, value)| is_alarm(value)).count(), 1);
    }
}

#[test]
fn an_offer_by_a_key_that_was_revoked_is_not_shown_and_by_the_new_one_it_is() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let old = listed(&hub, &draft(1, 5));
    assert!(is_good(&verdicts(&mut hub, BOB, vec![old.clone()])[0]));
    hub.disconnect(ALICE);
    hub.replace_signing_key(ALICE);
    hub.connect(ALICE);
    // Bob comes back and hears of the new key by asking.
    hub.restart(BOB);
    let new = listed(&hub, &draft(1, 6));
    let verdicts = verdicts(&mut hub, BOB, vec![old, new]);
    assert_eq!(verdicts[0], OfferVerdict::Revoked);
    assert!(is_good(&verdicts[1]), "{verdicts:?}");
    assert_eq!(alarms(&hub, BOB), Vec::<String>::new(), "an honest hub can list it");
}

/// Goal: what the new owner of a name shares is not taken before their key is trusted, and is no forgery either: there
/// was an alarm about the key already. Method: alice's name is given to somebody else, who shares a file.
#[test]
fn a_file_of_somebody_whose_key_changed_is_not_taken_and_raises_no_second_alarm() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let old = listed(&hub, &draft(1, 5));
    assert!(is_good(&verdicts(&mut hub, BOB, vec![old])[0]));
    let other = hub.give_name("alice");
    hub.say_in(other, "lobby", "I am another alice");
    let changed = |event: &Event| matches!(event, Event::Alarm { kind: Alarm::KeyChanged, .. });
    assert_eq!(hub.count(BOB, changed), 1);
    let new = listed_by(&hub, other, &draft(2, 6));
    assert!(is_forged(&verdicts(&mut hub, BOB, vec![new.clone()])[0]));
    assert_eq!(alarms(&hub, BOB), Vec::<String>::new());
    let key = hub.peers[BOB].endpoint.introduction(&name("alice")).unwrap().other.unwrap().key;
    hub.peers[BOB].endpoint.trust(&name("alice"), key).unwrap();
    hub.run();
    assert!(is_good(&verdicts(&mut hub, BOB, vec![new])[0]));
}

#[test]
fn an_older_copy_of_an_offer_is_known_also_after_a_restart() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let (old, new) = (listed(&hub, &draft(1, 5)), listed(&hub, &draft(1, 6)));
    assert!(is_good(&verdicts(&mut hub, BOB, vec![old.clone()])[0]));
    assert!(is_good(&verdicts(&mut hub, BOB, vec![new.clone()])[0]));
    for _ in 0..2 {
        assert_eq!(verdicts(&mut hub, BOB, vec![old.clone()])[0], OfferVerdict::Outdated);
        assert!(is_good(&verdicts(&mut hub, BOB, vec![new.clone()])[0]), "the same again");
        hub.restart(BOB);
    }
    assert_eq!(alarms(&hub, BOB), Vec::<String>::new());
}

/// Goal: what is remembered is bounded, and the newest is kept. Method: more offers than the bound.
#[test]
fn so_many_offers_are_remembered() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let max = u16::try_from(limits::OFFERS_REMEMBERED_MAX).unwrap();
    let all = |hub: &TestHub, numbers: std::ops::Range<u16>, ts| -> Vec<ListedOffer> {
        let drafts: Vec<_> = numbers.map(|number| draft(number, ts)).collect();
        let signed = hub.peers[ALICE].endpoint.sign_offers(drafts.clone());
        let offer = |(draft, signed): (OfferDraft, B64Vec)| {
            let (owner, audience, id) = (name("alice"), draft.audience, draft.id);
            ListedOffer { owner, audience, id, signed }
        };
        drafts.into_iter().zip(signed).map(offer).collect()
    };
    let (newer, older) = (all(&hub, 0..max + 1, 6), all(&hub, 0..max + 1, 5));
    assert!(verdicts(&mut hub, BOB, newer).iter().all(is_good));
    let rows = |hub: &TestHub| {
        let rows = hub.peers[BOB].store.rows();
        rows.iter().filter(|(key, _)| key.starts_with("offer/")).count()
    };
    assert_eq!(rows(&hub), usize::from(max));
    let mut older = older;
    let oldest = older.remove(0);
    let remembered = verdicts(&mut hub, BOB, older);
    assert!(remembered.iter().all(|verdict| *verdict == OfferVerdict::Outdated));
    let forgotten = verdicts(&mut hub, BOB, vec![oldest]);
    assert!(forgotten.iter().all(is_good), "the oldest was forgotten");
    assert_eq!(rows(&hub), usize::from(max));
}
