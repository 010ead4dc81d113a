//! What one page of a search costs the worker, over 100,000 shared files of 1,000 people, and what
//! the list costs in memory.

use std::{collections::BTreeSet, hint::black_box};

use chat_protocol::{
    b64::B64Vec,
    file::catalogue::{Details, IndexKey, Offer},
    id::{MessageId, Nonce16},
    limits::OFFERS_PAGE_MAX,
    name::ConversationId,
};
use chat_server::{
    catalogue::{Catalogue, OfferKey, Place, Search},
    store::{AccountId, NewOffer},
};
use criterion::{Criterion, criterion_group, criterion_main};

const OWNERS: u32 = 1_000;
const OFFERS: u32 = 100;
/// Rooms of the asker, and index keys that the asker knows in each.
const ROOMS: u32 = 20;

fn room(number: u32) -> ConversationId {
    ConversationId::parse(&format!("room:r{number}")).expect("a room")
}

fn index_key(owner: u32) -> IndexKey {
    let mut bytes = [1; 32];
    bytes[..4].copy_from_slice(&owner.to_be_bytes());
    IndexKey::new(bytes)
}

/// The offer `number` of an owner: every word a little rarer than the one before.
fn details(owner: u32, number: u32) -> Details {
    let serial = owner * OFFERS + number;
    let parity = if serial.is_multiple_of(2) { "even" } else { "odd" };
    let words = ["all".to_owned(), parity.to_owned(), format!("topic {}", serial % 997)];
    let own = format!("file {serial}");
    let name = format!("a file with a name of usual length {serial}.pdf");
    // As long as a signed offer with this name is in a batch; the list does not look into it.
    let signed = B64Vec(vec![9; 690 + name.len() * 4 / 3]);
    Details { signed, words: words.into_iter().chain([own]).collect() }
}

/// A list on which everything is in clear, or everything is sealed for one of 100 rooms.
fn catalogue(is_sealed: bool) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for owner in 0..OWNERS {
        let key = index_key(owner);
        for number in 0..OFFERS {
            let id =
                MessageId::new(u64::from(number), [u8::try_from(owner % 256).unwrap_or(0); 10]);
            let details = details(owner, number);
            let (offer, place) = if is_sealed {
                let room = room(owner % 100);
                (key.seal(id, room.clone(), &details, [0; 12]), Place::Room(room))
            } else {
                (Offer::open(id, details), Place::Everybody)
            };
            let text = serde_json::to_string(&offer).expect("an offer is JSON").into();
            catalogue.put(AccountId(i64::from(owner)), NewOffer { offer, text }, place);
        }
    }
    catalogue
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}

struct Asked {
    conversations: BTreeSet<ConversationId>,
    words: Vec<String>,
    tokens: Vec<Vec<Nonce16>>,
    after: Option<OfferKey>,
}

impl Asked {
    fn new(words: &[&str], rooms: u32) -> Self {
        let conversations = (0..rooms).map(room).collect();
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { conversations, words, tokens: Vec::new(), after: None }
    }

    fn page(&self, catalogue: &Catalogue) -> usize {
        let Self { conversations, words, tokens, after } = self;
        let (asker, owner) = (AccountId(-1), None);
        let search = Search { asker, conversations, words, tokens, owner, after: *after };
        catalogue.find(&search, OFFERS_PAGE_MAX).0.len()
    }
}

fn measure(
    criterion: &mut Criterion,
    name: &str,
    catalogue: &Catalogue,
    asked: &Asked,
    found: usize,
) {
    assert_eq!(asked.page(catalogue), found, "{name}");
    criterion.bench_function(&format!("offers/{name}"), |bencher| {
        bencher.iter(|| black_box(asked.page(black_box(catalogue))));
    });
}

#[expect(clippy::print_stderr, reason = "a figure that criterion does not measure")]
fn report(what: &str, catalogue: &Catalogue, before: u64) {
    let total = catalogue.total();
    let count = u64::try_from(total.offers).unwrap_or(1);
    let each = resident().saturating_sub(before) / count;
    let counted = total.bytes / total.offers;
    eprintln!("{what}: {count} offers, {each} bytes of memory each, {counted} counted");
}

fn benches(criterion: &mut Criterion) {
    let before = resident();
    let open = catalogue(false);
    report("in clear", &open, before);
    let page = OFFERS_PAGE_MAX;
    measure(criterion, "everything, first page", &open, &Asked::new(&[], 0), page);
    let middle = Some((AccountId(500), MessageId([0; 16])));
    let asked = Asked { after: middle, ..Asked::new(&["all"], 0) };
    measure(criterion, "a word of all, a page in the middle", &open, &asked, page);
    measure(criterion, "a word of one", &open, &Asked::new(&["file 77777"], 0), 1);
    let two = Asked::new(&["all", "odd", "topic 5"], 0);
    measure(criterion, "three words, common to rare", &open, &two, page);
    let none = Asked::new(&["even", "odd"], 0);
    measure(criterion, "two words of 50,000 each, together in none", &open, &none, 0);

    // Beside the other one: what that would free would not be counted.
    let before = resident();
    let sealed = catalogue(true);
    report("sealed", &sealed, before);
    let mut asked = Asked::new(&[], ROOMS);
    measure(criterion, "20 rooms, everything", &sealed, &asked, page);
    let owners = (0..OWNERS).filter(|owner| owner % 100 < ROOMS);
    asked.tokens = owners
        .map(|owner| ["all", "odd"].map(|word| index_key(owner).token(word)).to_vec())
        .collect();
    measure(criterion, "20 rooms, two words under 200 keys", &sealed, &asked, page);
    let mut many = Asked::new(&[], 100);
    many.tokens = (0..256).map(|owner| vec![index_key(owner).token("nothing")]).collect();
    measure(criterion, "100 rooms, 256 keys, found in none", &sealed, &many, 0);
}

criterion_group!(offers, benches);
criterion_main!(offers);
