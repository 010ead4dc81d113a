//! The list of shared files: who may put what on it, who finds what, and that pages are complete.

use std::collections::BTreeSet;

use chat_protocol::{
    b64::B64Vec,
    file::{
        Manifest,
        catalogue::{Audience as For, Details, IndexKey, Offer, Query},
        offer::{OfferHeader, SignedOffer},
    },
    header::Canonical,
    hub::{self, ClientToHub, HubToClient},
    id::KeyId,
    limits::{
        FILE_NAME_BYTES_MAX, KEYWORD_BYTES_MAX, OFFER_SEALED_BYTES_MAX, OFFER_WORDS_MAX,
        OFFERS_PAGE_MAX, SIGNATURE_BYTES_MAX, TEXT_BYTES_MAX,
    },
};

use super::*;
use crate::limits::{OFFER_BYTES_PER_PERSON_MAX, OFFERS_PER_PERSON_MAX};

fn plan() -> Manifest {
    Manifest { name: "plan.txt".into(), size: 9, root: Digest([7; 32]) }
}

/// What stands where a signed offer should: in its form, with a signature that nobody made. The hub
/// does not check it.
fn framed(header: &OfferHeader) -> B64Vec {
    let bytes = header.to_bytes();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let signature = [0; SIGNATURE_BYTES_MAX];
    B64Vec([&[1, 1], length.as_slice(), &bytes, &[0; 4], &signature].concat())
}

fn details(number: u32, file: Manifest, words: &[&str]) -> Details {
    let Manifest { name: file_name, size, root } = file;
    let header = OfferHeader {
        v: 1,
        t: Tag::Offer,
        u: name("nobody"),
        sk: KeyId([0; 16]),
        cid: For::Everybody,
        id: id(number),
        name: file_name,
        size,
        root,
        ts: 1,
    };
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Details { signed: framed(&header), words }
}

/// The same offer in clear as `user` would sign it now.
fn by(user: &User, offer: &Offer) -> Offer {
    let mut offer = offer.clone();
    if let Some(details) = &mut offer.open
        && let Ok(signed) = SignedOffer::parse(&details.signed.0)
    {
        let (u, sk) = (user.peer.name.clone(), user.peer.sk);
        details.signed = framed(&OfferHeader { u, sk, ..signed.header().clone() });
    }
    offer
}

fn id(number: u32) -> MessageId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    MessageId(id)
}

fn open(number: u32, words: &[&str]) -> Offer {
    Offer::open(id(number), details(number, plan(), words))
}

fn key() -> IndexKey {
    IndexKey::new([5; 32])
}

fn sealed(number: u32, place: &str, words: &[&str]) -> Offer {
    key().seal(id(number), cid(place), &details(number, plan(), words), [1; 12])
}

fn with_words(words: &[&str]) -> Query {
    Query {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        tokens: vec![words.iter().map(|word| key().token(word)).collect()],
        ..Query::default()
    }
}

impl World {
    fn share_with(
        &mut self,
        user: &User,
        offers: &[Offer],
        ended: &[MessageId],
        pending: &mut Pending,
    ) -> Came {
        let offers: Vec<_> = offers.iter().map(|offer| by(user, offer)).collect();
        let question =
            ClientToHub::Share { id: id(0), offers: offers.clone(), ended: ended.to_vec() };
        if let Err(refusal) = check_form(&user.peer, &question) {
            return Came::Refused(refusal.code);
        }
        match self.router.decide_share(&user.peer, &offers, ended, pending) {
            Decision::Propose(proposal) => {
                let committed = self.store.keep(proposal);
                self.router.apply(self.now_ms, committed);
                Came::Stored(u64::try_from(self.router.offers_of(user.peer.account)).unwrap())
            }
            other => came(&other),
        }
    }

    fn share(&mut self, user: &User, offers: &[Offer], ended: &[MessageId]) -> Came {
        self.share_with(user, offers, ended, &mut Pending::default())
    }

    /// Everything that is found, page by page, as owner and number.
    fn all(&self, user: &User, query: &Query) -> Vec<(String, u32)> {
        let (mut query, mut found) = (query.clone(), Vec::new());
        loop {
            let page = self.router.find(&user.peer, &query).unwrap();
            assert!(page.offers.len() <= OFFERS_PAGE_MAX);
            let last = page.offers.last().map(|last| (last.owner.clone(), last.offer.id));
            found.extend(page.offers.into_iter().map(|found| {
                let number = found.offer.id.0.first_chunk().unwrap();
                (found.owner.to_string(), u32::from_be_bytes(*number))
            }));
            if !page.more {
                return found;
            }
            query.after = last;
        }
    }

    fn numbers(&self, user: &User, query: &Query) -> Vec<u32> {
        self.all(user, query).into_iter().map(|(_, number)| number).collect()
    }
}

/// Goal: an offer is found by its audience as it is now, and by nobody else, with or without words.
#[test]
fn an_offer_is_seen_by_its_audience_alone() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let (carol, dave) = (world.user("carol", 2), world.user("dave", 3));
    for room in ["room:ops", "room:crew"] {
        world.do_link(&alice, room, MemberOperation::Create, &alice);
    }
    world.do_link(&alice, "room:crew", MemberOperation::Admit, &bob);
    world.do_link(&carol, "room:ops", MemberOperation::Join, &carol);
    let offers = [
        open(1, &["plan"]),
        sealed(2, "dm:alice:bob", &["plan"]),
        sealed(3, "room:crew", &["plan"]),
        sealed(4, "room:ops", &["plan"]),
    ];
    assert_eq!(world.share(&alice, &offers, &[]), Came::Stored(4));
    let sees = |world: &World, user: &User, expected: &[u32]| {
        for query in [Query::default(), with_words(&["plan"])] {
            assert_eq!(world.numbers(user, &query), expected, "{}", user.peer.name);
        }
        let owner = Some(alice.peer.name.clone());
        assert_eq!(world.numbers(user, &Query { owner, ..Query::default() }), expected);
    };
    sees(&world, &alice, &[1, 2, 3, 4]);
    sees(&world, &bob, &[1, 2, 3]);
    sees(&world, &carol, &[1, 4]);
    sees(&world, &dave, &[1]);
    world.do_link(&alice, "room:crew", MemberOperation::Remove, &bob);
    world.do_link(&dave, "room:ops", MemberOperation::Join, &dave);
    sees(&world, &bob, &[1, 2]);
    sees(&world, &dave, &[1, 4]);
    world.do_link(&carol, "room:ops", MemberOperation::Leave, &carol);
    sees(&world, &carol, &[1]);
    // The other of the two shares back; the shelf of a person holds both directions.
    assert_eq!(world.share(&bob, &[sealed(5, "dm:alice:bob", &["plan"])], &[]), Came::Stored(1));
    assert_eq!(world.numbers(&alice, &Query::default()), [1, 2, 3, 4, 5]);
}

#[test]
fn who_leaves_a_room_offers_nothing_there_any_more_and_starts_anew_when_back() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.do_link(&alice, "room:ops", MemberOperation::Create, &alice);
    world.do_link(&bob, "room:ops", MemberOperation::Join, &bob);
    let offers =
        [open(1, &["plan"]), sealed(2, "room:ops", &["plan"]), sealed(3, "dm:alice:bob", &[])];
    assert_eq!(world.share(&bob, &offers, &[]), Came::Stored(3));
    world.do_link(&alice, "room:ops", MemberOperation::Remove, &bob);
    assert_eq!(world.numbers(&alice, &Query::default()), [1, 3]);
    assert_eq!(world.numbers(&bob, &Query::default()), [1, 3]);
    assert_eq!(world.router.offers_of(bob.peer.account), 2);
    world.do_link(&alice, "room:ops", MemberOperation::Admit, &bob);
    assert_eq!(
        world.numbers(&alice, &Query::default()),
        [1, 3],
        "the key of then is not told again"
    );
    // One of a batch that leaves is applied before what they share there is decided.
    let mut pending = Pending::default();
    let leave = world.link(&bob, "room:ops", MemberOperation::Leave, &bob);
    assert!(matches!(world.router.decide(0, &leave, &mut pending), Decision::Propose(_)));
    let to_ops = [sealed(2, "room:ops", &["plan"])];
    assert_eq!(world.share_with(&bob, &to_ops, &[], &mut pending), Came::Defer);
    assert_eq!(
        world.share_with(&bob, &[open(9, &[])], &[], &mut pending),
        Came::Defer,
        "what comes behind does not overtake it"
    );
    assert!(matches!(
        world.share_with(&alice, &[open(9, &[])], &[], &mut pending),
        Came::Stored(1)
    ));
}

#[test]
fn what_must_not_stand_on_the_list_is_refused() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    world.do_link(&bob, "room:crew", MemberOperation::Create, &bob);
    let leaking = Offer { audience: For::Conversation(cid("dm:alice:bob")), ..open(1, &[]) };
    let hidden = Offer { audience: For::Everybody, ..sealed(1, "dm:alice:bob", &[]) };
    let long = Offer {
        sealed: Some(B64Vec(vec![0; OFFER_SEALED_BYTES_MAX + 1])),
        ..sealed(1, "dm:alice:bob", &[])
    };
    let huge = Manifest { size: u64::MAX, ..plan() };
    let huge = Offer::open(id(1), details(1, huge, &[]));
    let of_another = Offer::open(id(1), details(2, plan(), &[]));
    let mut unsigned = open(1, &[]);
    unsigned.open.as_mut().unwrap().signed.0[1] = 0;
    for (offer, code) in [
        (open(1, &["Plan"]), code::MALFORMED),
        (open(1, &["a,b"]), code::MALFORMED),
        (huge, code::MALFORMED),
        (unsigned, code::MALFORMED),
        (of_another, code::NOT_ALLOWED),
        (open(1, &["plan"; OFFER_WORDS_MAX + 1]), code::TOO_MANY),
        (long, code::TOO_MANY),
        (leaking, code::NOT_ALLOWED),
        (hidden, code::NOT_ALLOWED),
        (sealed(1, "room:ALL", &[]), code::NOT_ALLOWED),
        (sealed(1, "feed:news", &[]), code::NOT_ALLOWED),
        (sealed(1, "room:crew", &[]), code::NOT_A_MEMBER),
        (sealed(1, "room:nowhere", &[]), code::NOT_A_MEMBER),
        (sealed(1, "dm:bob:carol", &[]), code::NOT_A_MEMBER),
        (sealed(1, "dm:alice:nobody", &[]), code::NO_SUCH_USER),
    ] {
        // One bad offer, and nothing of the request is kept.
        let offers = [open(7, &[]), offer];
        assert_eq!(world.share(&alice, &offers, &[]), Came::Refused(code), "{:?}", offers[1]);
    }
    let many: Vec<_> = (0..33).map(|number| open(number, &[])).collect();
    assert_eq!(world.share(&alice, &many, &[]), Came::Refused(code::TOO_MANY));
    let ended: Vec<_> = (0..33).map(id).collect();
    assert_eq!(world.share(&alice, &[], &ended), Came::Refused(code::TOO_MANY));
    assert_eq!(world.router.offers().offers, 0);
    let unknown = Some((name("nobody"), id(1)));
    let asked = world.router.find(&alice.peer, &Query { after: unknown, ..Query::default() });
    assert_eq!(asked.unwrap_err().code, code::NO_SUCH_USER);
    for words in [vec!["Plan".to_owned()], vec!["plan".to_owned(); 9]] {
        let query = Query { words, ..Query::default() };
        assert!(check_form(&alice.peer, &ClientToHub::Find { id: id(1), query }).is_err());
    }
}

/// Goal: nobody lists a file in clear that another person or device has signed.
#[test]
fn an_offer_in_clear_is_signed_by_this_session() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let share = |offer| ClientToHub::Share { id: id(0), offers: vec![offer], ended: Vec::new() };
    let own = by(&alice, &open(1, &[]));
    assert_eq!(check_form(&alice.peer, &share(own.clone())), Ok(()));
    let refused = check_form(&bob.peer, &share(own)).unwrap_err();
    assert_eq!(refused.code, code::NOT_ALLOWED);
    let mut other_key = by(&alice, &open(1, &[]));
    let details = other_key.open.as_mut().unwrap();
    let signed = SignedOffer::parse(&details.signed.0).unwrap();
    details.signed = framed(&OfferHeader { sk: bob.peer.sk, ..signed.header().clone() });
    let refused = check_form(&alice.peer, &share(other_key)).unwrap_err();
    assert_eq!(refused.code, code::NOT_ALLOWED);
}

#[test]
fn an_offer_replaces_the_one_with_its_id_and_ends_when_its_owner_says_so() {
    let mut world = World::new();
    let (alice, bob) = world.pair();
    let before = [open(1, &["plan", "old"]), open(2, &["plan"])];
    assert_eq!(world.share(&alice, &before, &[]), Came::Stored(2));
    assert_eq!(world.share(&bob, &[open(1, &["plan"])], &[]), Came::Stored(1));
    assert_eq!(world.share(&alice, &[open(1, &["plan", "new"])], &[]), Came::Stored(2));
    assert_eq!(world.numbers(&bob, &with_words(&["old"])), [0; 0]);
    assert_eq!(world.numbers(&bob, &with_words(&["new", "plan"])), [1]);
    // To another audience under the same id.
    assert_eq!(world.share(&alice, &[sealed(2, "dm:alice:bob", &["plan"])], &[]), Came::Stored(2));
    let words = Query { tokens: Vec::new(), ..with_words(&["plan"]) };
    assert_eq!(world.all(&bob, &words), [("alice".into(), 1), ("bob".into(), 1)]);
    // Ended first, then put; an id that is unknown or of somebody else is passed over.
    assert_eq!(world.share(&alice, &[open(2, &["plan"])], &[id(1), id(2), id(9)]), Came::Stored(1));
    assert_eq!(world.share(&bob, &[], &[id(2)]), Came::Stored(1));
    assert_eq!(world.all(&bob, &Query::default()), [("alice".into(), 2), ("bob".into(), 1)]);
    world.share(&alice, &[], &[id(2)]);
    world.share(&bob, &[], &[id(1)]);
    assert_eq!(world.router.offers().offers, 0, "nothing is left of them");
    // Of two with one id in a request the later counts.
    assert_eq!(world.share(&bob, &[open(1, &["old"]), open(1, &["new"])], &[]), Came::Stored(1));
    assert_eq!(world.numbers(&alice, &with_words(&["new"])), [1]);
}

#[test]
fn one_person_shares_a_bounded_number_and_the_bound_is_exact() {
    let mut world = World::new();
    let (alice, _) = world.pair();
    let max = u32::try_from(OFFERS_PER_PERSON_MAX).unwrap();
    let numbers: Vec<u32> = (0..max).collect();
    for page in numbers.chunks(OFFERS_PAGE_MAX) {
        let offers: Vec<_> = page.iter().map(|number| open(*number, &["w"])).collect();
        assert!(matches!(world.share(&alice, &offers, &[]), Came::Stored(_)));
    }
    assert_eq!(world.router.offers_of(alice.peer.account), OFFERS_PER_PERSON_MAX);
    assert_eq!(world.share(&alice, &[open(max, &[])], &[]), Came::Refused(code::TOO_MANY));
    let full = Came::Stored(u64::from(max));
    assert_eq!(world.share(&alice, &[open(3, &["x"])], &[]), full, "another in its place");
    assert_eq!(world.share(&alice, &[open(max, &[])], &[id(3)]), full, "one for one");
    // Behind another request of the same batch it is decided when that one is applied.
    let mut pending = Pending::default();
    let first = world.router.decide_share(&alice.peer, &[open(4, &[])], &[], &mut pending);
    assert!(matches!(first, Decision::Propose(_)));
    assert_eq!(world.share_with(&alice, &[open(5, &[])], &[], &mut pending), Came::Defer);
    assert!(matches!(world.share(&alice, &[], &[id(5)]), Came::Stored(_)), "ending always goes");
}

#[test]
fn one_person_takes_a_bounded_part_of_the_memory() {
    let mut world = World::new();
    let (alice, _) = world.pair();
    let large = |number| Offer {
        sealed: Some(B64Vec(vec![0; OFFER_SEALED_BYTES_MAX])),
        ..sealed(number, "dm:alice:bob", &[])
    };
    let refused_at = (0..10_000_u32).find(|number| {
        world.share(&alice, &[large(*number)], &[]) == Came::Refused(code::TOO_MANY)
    });
    let held = world.router.offers().bytes;
    assert!(held <= OFFER_BYTES_PER_PERSON_MAX && held > OFFER_BYTES_PER_PERSON_MAX - 8_192);
    assert!(refused_at.is_some_and(|number| number > 2_000), "{refused_at:?}");
}

/// Goal: a page of the longest offers fits into one message.
#[test]
fn a_page_of_the_longest_offers_is_one_message() {
    let mut world = World::new();
    let owner = "a".repeat(32);
    let alice = world.user(&owner, 0);
    world.user("b", 1);
    let keyword = "\"".repeat(KEYWORD_BYTES_MAX);
    let words = [keyword.as_str(); OFFER_WORDS_MAX];
    for number in 0..40 {
        let file = Manifest { name: "\u{1}".repeat(FILE_NAME_BYTES_MAX), ..plan() };
        let clear = Offer::open(id(number), details(number, file, &words));
        let longest = Offer {
            sealed: Some(B64Vec(vec![0xff; OFFER_SEALED_BYTES_MAX])),
            ..sealed(number + 100, &format!("dm:{owner}:b"), &words)
        };
        assert!(matches!(world.share(&alice, &[clear, longest], &[]), Came::Stored(_)));
    }
    let mut after = None;
    for _ in 0..2 {
        let query = Query { after, ..Query::default() };
        let page = world.router.find(&alice.peer, &query).unwrap();
        after = page.offers.last().map(|last| (last.owner.clone(), last.offer.id));
        let text = hub::write(&HubToClient::Found { id: id(0), offers: page.offers, more: true });
        assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
    }
}

/// Where the naive model keeps an offer: its owner, and the words that it was made of.
type Model = BTreeMap<(AccountId, MessageId), (Offer, BTreeSet<String>)>;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Goal: over random lists and questions, pages together hold what a walk over everything finds,
/// each offer once and in order. Method: share, end, join and leave by chance; compare with the model.
#[test]
fn pages_hold_what_a_walk_over_everything_finds() {
    const WORDS: [&str; 6] = ["one", "two", "three", "four", "five", "rare"];
    const ROOMS: [&str; 3] = ["room:ops", "room:crew", "room:lobby"];
    let seed = std::env::var("CHAT_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20);
    println!("CHAT_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let mut world = World::new();
    let users = ["alice", "bob", "carol", "dave"].map(str::to_owned);
    let users: Vec<User> =
        users.iter().enumerate().map(|(index, user)| world.user(user, index)).collect();
    for room in &ROOMS[..2] {
        world.do_link(&users[0], room, MemberOperation::Create, &users[0]);
    }
    let mut model = Model::new();
    for _ in 0..1_500 {
        let user = users[dice.below(4)].clone();
        match dice.below(20) {
            0 => change_membership(&mut world, &mut model, &user, ROOMS[dice.below(3)]),
            1 => {
                let ended = id(u32::try_from(dice.below(400)).unwrap());
                world.share(&user, &[], &[ended]);
                model.remove(&(user.peer.account, ended));
            }
            _ => {
                let number = u32::try_from(dice.below(400)).unwrap();
                let words: BTreeSet<_> = (0..dice.below(5)).map(|_| WORDS[dice.below(6)]).collect();
                let words: Vec<_> = words.into_iter().collect();
                let other = &users[dice.below(4)].peer.name;
                let offer = match dice.below(4) {
                    0 | 1 => open(number, &words),
                    2 if *other != user.peer.name => {
                        let place = ConversationId::direct(&user.peer.name, other).unwrap();
                        sealed(number, place.as_str(), &words)
                    }
                    _ => sealed(number, ROOMS[dice.below(3)], &words),
                };
                if let Came::Stored(_) = world.share(&user, std::slice::from_ref(&offer), &[]) {
                    let words = words.iter().map(|word| (*word).to_owned()).collect();
                    model.insert((user.peer.account, offer.id), (offer, words));
                }
            }
        }
    }
    assert!(model.len() > 300, "{}", model.len());
    assert_eq!(world.router.offers().offers, model.len());
    for round in 0..200 {
        let user = &users[dice.below(4)];
        let words: Vec<_> = (0..dice.below(4)).map(|_| WORDS[dice.below(6)]).collect();
        let mut query = if words.is_empty() { Query::default() } else { with_words(&words) };
        let owner = (dice.below(3) == 0).then(|| &users[dice.below(4)].peer);
        query.owner = owner.map(|owner| owner.name.clone());
        if dice.below(4) == 0 {
            query.tokens.clear();
        }
        let expected: Vec<_> = model
            .iter()
            .filter(|((who, _), _)| owner.is_none_or(|owner| owner.account == *who))
            .filter(|((who, _), (offer, _))| world.may_see(user, *who, offer))
            .filter(|(_, (offer, has))| {
                let is_asked = offer.open.is_some() || !query.tokens.is_empty();
                words.is_empty() || is_asked && words.iter().all(|word| has.contains(*word))
            })
            .map(|((who, id), _)| {
                let number = u32::from_be_bytes(*id.0.first_chunk().unwrap());
                (world.router.account(*who).unwrap().name.to_string(), number)
            })
            .collect();
        assert_eq!(world.all(user, &query), expected, "round {round}: {query:?}");
    }
}

/// Joins or leaves; who leaves takes their offers along.
fn change_membership(world: &mut World, model: &mut Model, user: &User, room: &str) {
    let is_in = world.router.members(&cid(room)).contains(&user.peer.account);
    let op = if is_in { MemberOperation::Leave } else { MemberOperation::Join };
    let request = world.link(user, room, op, user);
    if let Came::Stored(_) = world.put(&request)
        && is_in
    {
        let place = For::Conversation(cid(room));
        model.retain(|(who, _), (offer, _)| *who != user.peer.account || offer.audience != place);
    }
}

impl World {
    /// The rule in words: everybody, members now, or one of the two.
    fn may_see(&self, user: &User, owner: AccountId, offer: &Offer) -> bool {
        match &offer.audience {
            For::Everybody => true,
            For::Conversation(place) if place.is_direct() => {
                owner == user.peer.account || place.other(&user.peer.name).is_some()
            }
            For::Conversation(place) => self.router.members(place).contains(&user.peer.account),
        }
    }
}
