//! One contract for the opening of a log that is closed: in memory, and in Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use bytes::Bytes;
use chat_protocol::crypto::sha256;
use chat_protocol::id::Digest;
use chat_server::clock::now_ms;
use chat_server::order::opening::attempt::{
    Allowed, Answer, Attempt, AttemptError, Closed, Held, Kept, Look, Opener, attempt,
};
use chat_server::order::opening::line::Began;
use chat_server::order::opening::memory::ClosedInMemory;
use chat_server::order::opening::{Decision, Heard, Question, Said, Stamp, Words};
use chat_server::store::Facts;

/// A closed log, and what may happen to it.
pub(crate) trait TestPlace: Closed {
    /// Another Redis, with the turns up to this one: 0 for an empty one.
    async fn replace(&mut self, last: u64);

    /// Turns and texts that are there.
    async fn turns(&mut self) -> Vec<(u64, String)>;

    /// The number of this hub, if it may write.
    async fn number(&mut self, hub: &str) -> Option<u64>;

    /// Nothing was heard of a hub for a while.
    async fn grows_silent(&mut self, node: u32);

    /// It closes for the Redis that it is in, and has the turns up to this one.
    async fn close(&mut self, last: u64);

    /// What lies there of a hub.
    type Shown;

    /// What a hub has said last, as it lies there.
    async fn shown(&mut self, node: u32) -> Self::Shown;

    /// It lies there again, as if it was said now.
    async fn show(&mut self, node: u32, shown: Self::Shown);
}

impl TestPlace for ClosedInMemory {
    async fn replace(&mut self, last: u64) {
        Self::replace(self, last);
    }

    async fn turns(&mut self) -> Vec<(u64, String)> {
        let text = |kept: &Kept| String::from_utf8_lossy(&kept.batch).into_owned();
        Self::turns(self).iter().map(|kept| (kept.turn, text(kept))).collect()
    }

    async fn number(&mut self, hub: &str) -> Option<u64> {
        self.numbers().get(hub).copied()
    }

    async fn grows_silent(&mut self, node: u32) {
        Self::grows_silent(self, node);
    }

    async fn close(&mut self, last: u64) {
        Self::close(self, last);
    }

    type Shown = Words;

    async fn shown(&mut self, node: u32) -> Words {
        self.words_of(node).expect("it has said something")
    }

    async fn show(&mut self, node: u32, shown: Words) {
        Self::show(self, node, shown);
    }
}

/// A hub with a copy in memory. Each turn was written by the hub of the same number.
pub(crate) struct Copy {
    node: u32,
    /// How far it is.
    turn: u64,
    kept: Vec<Kept>,
    living: BTreeSet<u32>,
    generation: u64,
    /// What it asks the others with at this closing.
    asks: Question,
}

fn text(turn: u64) -> String {
    format!("batch {turn}")
}

/// A hub that has the turns up to this one, and knows of hubs 1 to 3.
fn copy(node: u32, turns: u64) -> Copy {
    let kept = |turn| Kept {
        turn,
        time_ms: turn,
        is_structure: turn == 2,
        batch: Bytes::from(text(turn)),
    };
    let living = BTreeSet::from([1, 2, 3]);
    let asks = Question(u64::from(node) + 10);
    Copy { node, turn: turns, kept: (1..=turns).map(kept).collect(), living, generation: 1, asks }
}

/// What a hub says that has heard nobody.
fn words(hub: &Copy) -> Words {
    Words { said: hub.said(), asks: hub.asks, answers: BTreeMap::new() }
}

/// Each asks, and answers the others.
async fn hear_each_other(place: &mut impl TestPlace, hubs: &[&Copy]) {
    let run = place.look().await.expect("asked").run;
    for _ in 0..2 {
        for hub in hubs {
            let answers = place.said(&run).await.expect("asked").questions();
            let words = Words { answers, ..words(hub) };
            assert_eq!(place.say(&run, hub.node, &words).await.expect("asked"), Answer::Done(0));
        }
    }
}

fn texts(turns: u64) -> Vec<(u64, String)> {
    (1..=turns).map(|turn| (turn, text(turn))).collect()
}

impl Held for Copy {
    type Error = Infallible;

    fn node(&self) -> u32 {
        self.node
    }

    fn said(&self) -> Said {
        let turn = self.turn;
        let chain = self.chain_at(turn).unwrap_or(Digest::ZERO);
        Said { turn, chain, generation: self.generation, is_new: false }
    }

    fn chain_at(&self, turn: u64) -> Option<Digest> {
        let first = self.kept.first().map_or(self.turn, |kept| kept.turn);
        let upto: String = (1..=turn).map(text).collect();
        (turn + 1 >= first).then(|| Digest(sha256(upto.as_bytes())))
    }

    async fn stamp_at(&self, turn: u64) -> Result<Option<Stamp>, Infallible> {
        let kept = self.kept.iter().find(|kept| kept.turn == turn);
        Ok(kept.map(|kept| Stamp::new(kept.time_ms, &kept.batch)))
    }

    fn living(&self) -> BTreeSet<u32> {
        self.living.clone()
    }

    fn numbers(&self) -> Vec<(String, u64)> {
        (1_u64..=3).map(|node| (format!("{node}:00"), node * 10)).collect()
    }

    fn read_from(&self) -> u64 {
        self.generation
    }

    fn facts(&self) -> Facts {
        Facts::new()
    }

    fn unsure_since(&self) -> Option<u64> {
        None
    }

    async fn read_on_unsure(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    async fn be_sure(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn number_behind(&self, generation: u64) -> u64 {
        generation + 1
    }

    async fn learn(&mut self, generation: u64, _facts: Facts) -> Result<(), Infallible> {
        self.note(generation).await
    }

    async fn note(&mut self, generation: u64) -> Result<(), Infallible> {
        self.generation = self.generation.max(generation);
        Ok(())
    }

    async fn batches(&self, after: u64, bytes: usize) -> Result<Vec<Kept>, Infallible> {
        // Small parts, so that there are several.
        assert!(bytes > 0, "a part has something in it");
        Ok(self.kept.iter().filter(|kept| kept.turn > after).take(2).cloned().collect())
    }
}

async fn attempted(
    place: &mut impl TestPlace,
    hub: &mut Copy,
    (is_time_over, without): (bool, Option<&BTreeSet<u32>>),
) -> Attempt {
    let look = place.look().await.expect("asked");
    let (before, asks) = (hub.generation, hub.asks);
    let allowed = Allowed { is_time_over, without, before, asks, cannot_read: false };
    attempt(place, hub, look, allowed).await.expect("asked")
}

async fn tries(place: &mut impl TestPlace, hub: &mut Copy) -> Attempt {
    attempted(place, hub, (false, None)).await
}

fn wait_for(hubs: &[u32], is_lacking: bool) -> Attempt {
    Attempt::NotYet(Decision::WaitFor { hubs: hubs.iter().copied().collect(), is_lacking })
}

async fn what_redis_lost_is_added_by_the_furthest(place: &mut impl TestPlace) {
    place.replace(0).await;
    let [mut one, mut two, mut three] = [copy(1, 5), copy(2, 3), copy(3, 5)];
    assert_eq!(tries(place, &mut two).await, wait_for(&[1, 3], true));
    assert_eq!(tries(place, &mut one).await, wait_for(&[2, 3], true), "it was not asked yet");
    assert_eq!(tries(place, &mut two).await, Attempt::NotYet(Decision::Leave { to: 1 }));
    assert_eq!(tries(place, &mut one).await, wait_for(&[3], true));
    assert_eq!(place.turns().await, [], "nothing is added before all were heard");
    assert_eq!(tries(place, &mut three).await, wait_for(&[1, 2], true));
    tries(place, &mut two).await;
    assert_eq!(tries(place, &mut one).await, Attempt::Open(2));
    assert_eq!(place.turns().await, texts(5));
    assert_eq!(place.number("2:00").await, Some(20), "what was sent again goes in once");
    for hub in [&mut two, &mut three] {
        assert_eq!(tries(place, hub).await, Attempt::Open(2), "it is open for all");
    }
    // It goes back by two turns: only these are added, and a new generation begins.
    place.replace(3).await;
    hear_each_other(place, &[&two, &three]).await;
    assert!(!matches!(tries(place, &mut one).await, Attempt::Open(_)), "they have not heard it");
    for hub in [&mut two, &mut three] {
        assert_eq!(tries(place, hub).await, Attempt::NotYet(Decision::Leave { to: 1 }));
    }
    assert_eq!(tries(place, &mut one).await, Attempt::Open(3));
    assert_eq!(place.turns().await, texts(5));
    assert_eq!(place.number("3:00").await, Some(30));
}

/// Goal: how far a hub was at a closing before says nothing at the next one, in one run of Redis. Before, who keeps Redis could
/// show it again, and what that hub had since was lost with it.
async fn what_was_said_at_a_closing_before_counts_no_more(place: &mut impl TestPlace) {
    place.replace(0).await;
    let [mut one, mut two, mut three] = [copy(1, 4), copy(2, 4), copy(3, 3)];
    hear_each_other(place, &[&two, &three, &one]).await;
    let shown = place.shown(3).await;
    for hub in [&mut two, &mut three] {
        tries(place, hub).await;
    }
    assert!(matches!(tries(place, &mut one).await, Attempt::Open(_)));
    // The third one goes on, and dies with what it has.
    place.close(2).await;
    for hub in [&mut one, &mut two] {
        hub.asks = Question(hub.asks.0 + 100);
    }
    place.show(3, shown).await;
    hear_each_other(place, &[&two, &one]).await;
    for is_time_over in [false, true] {
        let waits = attempted(place, &mut one, (is_time_over, None)).await;
        assert_eq!(waits, wait_for(&[3], true), "it may have more by now");
    }
    assert_eq!(place.turns().await, texts(2));
    // It comes itself.
    let mut three = Copy { asks: Question(113), ..copy(3, 5) };
    hear_each_other(place, &[&one, &two]).await;
    assert!(!matches!(tries(place, &mut three).await, Attempt::Open(_)));
    for hub in [&mut one, &mut two] {
        assert_eq!(tries(place, hub).await, Attempt::NotYet(Decision::Leave { to: 3 }));
    }
    assert!(matches!(tries(place, &mut three).await, Attempt::Open(_)));
    assert_eq!(place.turns().await, texts(5));
}

async fn nobody_alone_says_what_the_log_was(place: &mut impl TestPlace) {
    place.replace(0).await;
    let mut one = copy(1, 5);
    assert_eq!(attempted(place, &mut one, (true, None)).await, wait_for(&[2, 3], true));
    let without = BTreeSet::from([2]);
    let still = attempted(place, &mut one, (true, Some(&without))).await;
    assert_eq!(still, wait_for(&[3], true), "without whom was said");
    let mut old = Copy { living: BTreeSet::from([1]), ..copy(1, 2) };
    assert_eq!(attempted(place, &mut old, (true, None)).await, Attempt::NotYet(Decision::Alone));
    assert_eq!(place.turns().await, []);
    let without = BTreeSet::from([2, 3]);
    let opened = attempted(place, &mut one, (true, Some(&without))).await;
    assert!(matches!(opened, Attempt::Open(_)), "a person may: {opened:?}");
    assert_eq!(place.turns().await, texts(5));
}

/// Goal: who has said that it is the furthest and dies stops nobody for ever: a person says without whom.
async fn whoever_is_left_out_counts_no_more(place: &mut impl TestPlace) {
    place.replace(0).await;
    let (mut one, mut two, mut three) = (copy(1, 5), copy(2, 4), copy(3, 7));
    hear_each_other(place, &[&one, &two, &three]).await;
    tries(place, &mut two).await;
    assert_eq!(tries(place, &mut one).await, Attempt::NotYet(Decision::Leave { to: 3 }));
    place.grows_silent(3).await;
    assert_eq!(tries(place, &mut one).await, wait_for(&[3], true), "it may have more");
    let without = BTreeSet::from([3]);
    let left_out = attempted(place, &mut three, (true, Some(&without))).await;
    assert_eq!(left_out, Attempt::NotYet(Decision::LeftOut));
    let opened = attempted(place, &mut one, (true, Some(&without))).await;
    assert!(matches!(opened, Attempt::Open(_)), "{opened:?}");
    assert_eq!(place.turns().await, texts(5));
    // What was said before an opening says nothing of the next one.
    let run = place.look().await.expect("asked").run;
    assert_eq!(place.said(&run).await.expect("asked"), Heard::default());
    // It says the same while it runs, or came to something else: that makes no difference.
    place.replace(0).await;
    hear_each_other(place, &[&three, &one, &two]).await;
    let opened = attempted(place, &mut one, (true, Some(&without))).await;
    assert!(matches!(opened, Attempt::Open(_)), "{opened:?}");
}

/// Goal: who does not know that a person goes on without it does not keep the others from opening. Before, it put out the opener
/// ten times a second, because it has more.
async fn who_is_left_out_puts_out_nobody_who_knows_it(place: &mut impl TestPlace) {
    place.replace(0).await;
    let run = place.look().await.expect("asked").run;
    let [one, two, three] = [copy(1, 4), copy(2, 5), copy(3, 7)];
    for hub in [&one, &three] {
        place.say(&run, hub.node, &words(hub)).await.expect("asked");
    }
    let without = BTreeSet::from([3, 13]);
    assert_eq!(place.claim(&run, 1, &without).await.expect("asked"), Answer::Done(0));
    let opener = Opener { run: &run, node: 1, before: 1 };
    place.say(&run, 3, &words(&three)).await.expect("asked");
    assert_eq!(place.refill(opener, 0, &one.kept[..2]).await.expect("asked"), Answer::Done(2));
    // Another one that is further does.
    place.say(&run, 2, &words(&two)).await.expect("asked");
    assert_eq!(place.refill(opener, 2, &one.kept[2..]).await.expect("asked"), Answer::PutOut);
    assert_eq!(place.claim(&run, 2, &without).await.expect("asked"), Answer::Done(0));
    // It waits for the opener as others do, and opens when that one does nothing.
    assert_eq!(place.claim(&run, 2, &BTreeSet::new()).await.expect("asked"), Answer::Behind(3));
    place.say(&run, 3, &words(&three)).await.expect("asked");
    assert_eq!(place.claim(&run, 3, &BTreeSet::new()).await.expect("asked"), Answer::Taken(2));
}

async fn an_opener_that_is_late_changes_nothing(place: &mut impl TestPlace) {
    place.replace(0).await;
    let run = place.look().await.expect("asked").run;
    let [one, two] = [copy(1, 4), copy(2, 5)];
    place.say(&run, 1, &words(&one)).await.expect("asked");
    let nobody = BTreeSet::new();
    let opener = Opener { run: &run, node: 1, before: 1 };
    let began = |turn| Began { before: 1, turn, chain: Digest::ZERO };
    assert_eq!(
        place.refill(opener, 0, &one.kept).await.expect("asked"),
        Answer::PutOut,
        "it has not claimed it"
    );
    assert_eq!(place.claim(&run, 7, &nobody).await.expect("asked"), Answer::NotSaid);
    assert_eq!(place.claim(&run, 1, &nobody).await.expect("asked"), Answer::Done(0));
    assert_eq!(place.refill(opener, 0, &one.kept[..2]).await.expect("asked"), Answer::Done(2));
    // Another that is as far waits for it; one that is further puts it out.
    place.say(&run, 3, &words(&one)).await.expect("asked");
    assert_eq!(place.claim(&run, 3, &nobody).await.expect("asked"), Answer::Taken(1));
    assert_eq!(place.refill(opener, 2, &one.kept[2..3]).await.expect("asked"), Answer::Done(3));
    place.say(&run, 2, &words(&two)).await.expect("asked");
    assert_eq!(place.refill(opener, 3, &one.kept[3..]).await.expect("asked"), Answer::PutOut);
    assert_eq!(place.settle(opener, (2, began(3)), &[]).await.expect("asked"), Answer::PutOut);
    assert_eq!(place.claim(&run, 1, &nobody).await.expect("asked"), Answer::Behind(2));
    assert_eq!(place.claim(&run, 2, &nobody).await.expect("asked"), Answer::Done(0));
    let second = Opener { run: &run, node: 2, before: 1 };
    assert_eq!(place.refill(second, 0, &two.kept[..1]).await.expect("asked"), Answer::EndsAt(3));
    assert_eq!(place.settle(second, (5, began(5)), &[]).await.expect("asked"), Answer::EndsAt(3));
    assert_eq!(place.refill(second, 3, &two.kept[3..]).await.expect("asked"), Answer::Done(5));
    assert_eq!(
        place.settle(second, (5, began(5)), &[]).await.expect("asked"),
        Answer::Done(5),
        "above what was known"
    );
    assert_eq!(place.refill(second, 5, &one.kept[..1]).await.expect("asked"), Answer::IsOpen(5));
    assert_eq!(place.turns().await, texts(5));
    // What was meant for another Redis does nothing here.
    place.replace(4).await;
    assert_eq!(place.say(&run, 1, &words(&one)).await.expect("asked"), Answer::OtherRedis);
    assert_eq!(place.refill(second, 4, &two.kept[4..]).await.expect("asked"), Answer::OtherRedis);
    assert_eq!(place.settle(second, (6, began(4)), &[]).await.expect("asked"), Answer::OtherRedis);
    assert_eq!(place.turns().await, texts(4));
}

/// Goal: what was to be put back is not forgotten with what was said. Before, those that were left settled the log without it, when
/// Redis and who put it back had died together. Method: a refill is cut, and the place starts again with what it has.
async fn what_a_hub_has_said_to_have_is_lacking_until_the_log_is_open(place: &mut impl TestPlace) {
    place.replace(0).await;
    let [one, mut two, three] = [copy(1, 4), copy(2, 3), copy(3, 3)];
    hear_each_other(place, &[&two, &one]).await;
    let run = place.look().await.expect("asked").run;
    assert_eq!(place.claim(&run, 1, &BTreeSet::new()).await.expect("asked"), Answer::Done(0));
    let opener = Opener { run: &run, node: 1, before: 1 };
    assert_eq!(place.refill(opener, 0, &one.kept[..3]).await.expect("asked"), Answer::Done(3));
    for _ in 0..2 {
        place.replace(3).await;
        hear_each_other(place, &[&three, &two]).await;
        let waits = attempted(place, &mut two, (true, None)).await;
        assert_eq!(waits, wait_for(&[1], true), "it has turn 4");
    }
    // It comes with an older folder: only a person knows what else there is.
    let mut less = copy(1, 3);
    hear_each_other(place, &[&three, &two, &less]).await;
    let nobody = attempted(place, &mut less, (true, None)).await;
    assert_eq!(nobody, Attempt::NotYet(Decision::NobodyHas { turn: 4 }));
    let without = BTreeSet::from([1]);
    let settled = attempted(place, &mut two, (true, Some(&without))).await;
    assert!(matches!(settled, Attempt::Open(_)), "a person may: {settled:?}");
    assert_eq!(place.turns().await, texts(3));
    // That was decided with the opening.
    place.replace(3).await;
    hear_each_other(place, &[&three, &two]).await;
    let settled = attempted(place, &mut two, (true, None)).await;
    assert!(matches!(settled, Attempt::Open(_)), "{settled:?}");
    place.replace(3).await;
    assert_eq!(place.look().await.expect("asked").told, 0);
    hear_each_other(place, &[&one]).await;
    assert_eq!(place.look().await.expect("asked").told, 4);
    // An empty place lacks what the copies have.
    place.replace(0).await;
    assert_eq!(place.look().await.expect("asked").told, 0);
}

async fn a_log_begins_where_the_copies_do(place: &mut impl TestPlace) {
    place.replace(0).await;
    // Its copy begins at turn 3: an empty log begins there, and one that ends at 1 is emptied first.
    let cut = |node| {
        let whole = copy(node, 5);
        Copy { kept: whole.kept[2..].to_vec(), living: BTreeSet::from([1, 2]), ..whole }
    };
    let (mut one, two) = (cut(1), Copy { living: BTreeSet::from([1, 2]), ..copy(2, 1) });
    hear_each_other(place, &[&one, &two]).await;
    assert!(matches!(tries(place, &mut one).await, Attempt::Open(_)));
    assert_eq!(place.turns().await, texts(5)[2..]);
    place.replace(0).await;
    let run = place.look().await.expect("asked").run;
    place.say(&run, 2, &words(&two)).await.expect("asked");
    place.claim(&run, 2, &BTreeSet::new()).await.expect("asked");
    let opener = Opener { run: &run, node: 2, before: 1 };
    place.refill(opener, 0, &two.kept).await.expect("asked");
    assert_eq!(place.turns().await, texts(1));
    hear_each_other(place, &[&one, &two]).await;
    assert!(matches!(tries(place, &mut one).await, Attempt::Open(_)));
    assert_eq!(place.turns().await, texts(5)[2..]);
    // What no copy has is not passed over.
    place.replace(4).await;
    let mut none = Copy { kept: Vec::new(), ..cut(1) };
    none.turn = 5;
    hear_each_other(place, &[&copy(2, 4), &none]).await;
    let look = place.look().await.expect("asked");
    let allowed = Allowed { is_time_over: true, asks: none.asks, ..Allowed::default() };
    let lacking = attempt(place, &mut none, look, allowed).await;
    assert!(matches!(lacking, Err(AttemptError::Lacking(5))), "{lacking:?}");
}

/// A place where hub 3, which knows that a person goes on without the others, is faster: it adds this when somebody claims the opening.
struct Raced<'a, P> {
    place: &'a mut P,
    adds: &'a [Kept],
}

impl<P: Closed> Closed for Raced<'_, P> {
    type Error = P::Error;

    async fn look(&mut self) -> Result<Look, P::Error> {
        self.place.look().await
    }

    async fn last(&mut self) -> Result<Option<(u64, Stamp)>, P::Error> {
        self.place.last().await
    }

    async fn said(&mut self, run: &str) -> Result<Heard, P::Error> {
        self.place.said(run).await
    }

    async fn say(&mut self, run: &str, node: u32, words: &Words) -> Result<Answer, P::Error> {
        self.place.say(run, node, words).await
    }

    async fn claim(
        &mut self,
        run: &str,
        node: u32,
        without: &BTreeSet<u32>,
    ) -> Result<Answer, P::Error> {
        self.place.claim(run, 3, &BTreeSet::from([node])).await?;
        let opener = Opener { run, node: 3, before: 1 };
        self.place.refill(opener, 0, self.adds).await?;
        self.place.claim(run, node, without).await
    }

    async fn refill(
        &mut self,
        opener: Opener<'_>,
        after: u64,
        batches: &[Kept],
    ) -> Result<Answer, P::Error> {
        self.place.refill(opener, after, batches).await
    }

    async fn settle(
        &mut self,
        opener: Opener<'_>,
        begins: (u64, Began),
        numbers: &[(String, u64)],
    ) -> Result<Answer, P::Error> {
        self.place.settle(opener, begins, numbers).await
    }
}

/// Goal: what a hub puts back does not stand behind turns of another line, also not behind those that another opener has added
/// meanwhile, whom a person has left out. Before, the log was a mixture of both. Method: a hub that has come to something else begins
/// to put back what it has.
async fn nothing_is_put_behind_turns_of_another_line(place: &mut impl TestPlace) {
    let living = || BTreeSet::from([1, 2]);
    let mut other = Copy { living: living(), ..copy(3, 3) };
    other.kept[2].batch = Bytes::from_static(b"something else");
    let nobody = BTreeSet::new();
    for turns in [4, 3] {
        place.replace(0).await;
        let mut one = Copy { living: living(), ..copy(1, turns) };
        let two = Copy { living: living(), ..copy(2, 2) };
        let run = place.look().await.expect("asked").run;
        place.say(&run, 3, &words(&other)).await.expect("asked");
        place.claim(&run, 3, &nobody).await.expect("asked");
        let opener = Opener { run: &run, node: 3, before: 1 };
        let added = place.refill(opener, 0, &other.kept).await.expect("asked");
        assert_eq!(added, Answer::Done(3));
        let without = BTreeSet::from([3]);
        let before = place.turns().await;
        hear_each_other(place, &[&two, &one]).await;
        for _ in 0..2 {
            let refused = attempted(place, &mut one, (true, Some(&without))).await;
            let apart = Decision::Apart { turn: 3, is_known: true };
            assert_eq!(refused, Attempt::NotYet(apart), "{turns} turns");
        }
        assert_eq!(place.turns().await, before, "nothing is added");
        assert_eq!(place.look().await.expect("asked").open, None);
        // A copy does not know for ever what it has read.
        one.kept.retain(|kept| kept.turn > 3);
        let refused = attempted(place, &mut one, (true, Some(&without))).await;
        let unknown = Decision::Apart { turn: 3, is_known: false };
        assert_eq!(refused, Attempt::NotYet(unknown), "{turns} turns");
        assert_eq!(place.turns().await, before, "nothing is added");
    }
    // It was empty when it was looked at, and another opener has been faster.
    place.replace(0).await;
    let mut one = Copy { living: living(), ..copy(1, 4) };
    hear_each_other(place, &[&copy(2, 2), &one]).await;
    let look = place.look().await.expect("asked");
    place.say(&look.run, 3, &words(&other)).await.expect("asked");
    let without = BTreeSet::from([3]);
    let (is_time_over, asks, without) = (true, one.asks, Some(&without));
    let allowed = Allowed { is_time_over, without, before: 1, asks, cannot_read: false };
    let mut raced = Raced { place: &mut *place, adds: &other.kept };
    let refused = attempt(&mut raced, &mut one, look, allowed).await.expect("asked");
    let apart = Decision::Apart { turn: 3, is_known: true };
    assert_eq!(refused, Attempt::NotYet(apart));
    let last = place.turns().await.last().cloned();
    assert_eq!(last, Some((3, "something else".to_owned())), "nothing is added");
}

/// Everything that is promised of an opening.
pub(crate) async fn contract(place: &mut impl TestPlace) {
    what_redis_lost_is_added_by_the_furthest(place).await;
    nobody_alone_says_what_the_log_was(place).await;
    what_was_said_at_a_closing_before_counts_no_more(place).await;
    whoever_is_left_out_counts_no_more(place).await;
    who_is_left_out_puts_out_nobody_who_knows_it(place).await;
    an_opener_that_is_late_changes_nothing(place).await;
    what_a_hub_has_said_to_have_is_lacking_until_the_log_is_open(place).await;
    a_log_begins_where_the_copies_do(place).await;
    nothing_is_put_behind_turns_of_another_line(place).await;
}

#[tokio::test]
async fn an_opening_in_memory_keeps_the_contract() {
    contract(&mut ClosedInMemory::new(now_ms)).await;
}
