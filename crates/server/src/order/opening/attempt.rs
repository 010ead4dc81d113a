//! One attempt of a hub at an opening: what is done between its decisions, each of them one script.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use chat_protocol::id::Digest;
use thiserror::Error;

use super::line::Began;
use super::{Decision, Heard, Question, Said, Stamp, View, Words, apart, decide};
use crate::order::batch::BATCH_BYTES;
use crate::store::Facts;
pub use crate::store::KeptBatch as Kept;

/// How long an opener may do nothing before another takes its place.
pub const OPENER_PATIENCE: Duration = Duration::from_secs(10);

/// What a place of a log says to a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was done; the number is that of the last turn, or of the generation.
    Done(u64),
    /// The log is open already, in this generation.
    IsOpen(u64),
    /// It was meant for another Redis.
    OtherRedis,
    /// There is another log of this name.
    Foreign,
    /// This hub does not open, or not any more.
    PutOut,
    /// The log ends at this turn, and not where the hub thinks.
    EndsAt(u64),
    /// This hub has said more.
    Behind(u32),
    /// This hub opens.
    Taken(u32),
    /// The hub has said nothing of this Redis.
    NotSaid,
}

/// What there is, before anything is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Which Redis this is.
    pub run: String,
    /// The generation, if the log is open for it.
    pub open: Option<u64>,
    /// The last turn that it has; 0 for none.
    pub has: u64,
    /// The last turn that a hub has said to have, since the log was open, when it was lacking here; 0 for none. It stays where
    /// the place starts again, which forgets what was said.
    pub told: u64,
}

/// Where a log lies that may have to be opened. Each call is one script: all of it is done, or nothing.
pub trait Closed: Send {
    /// Why it cannot be asked. What was asked may have been done.
    type Error: std::error::Error + Send;

    /// What there is.
    fn look(&mut self) -> impl Future<Output = Result<Look, Self::Error>> + Send;

    /// The last turn that stands there, and what it is; nothing where there is none.
    fn last(&mut self) -> impl Future<Output = Result<Option<(u64, Stamp)>, Self::Error>> + Send;

    /// What hubs have said of this Redis.
    fn said(&mut self, run: &str) -> impl Future<Output = Result<Heard, Self::Error>> + Send;

    /// Says how far a hub is. Who is further than the opener puts it out, but for those that it goes on without. That the log lacks
    /// what this one has is kept until it is open.
    fn say(
        &mut self,
        run: &str,
        node: u32,
        words: &Words,
    ) -> impl Future<Output = Result<Answer, Self::Error>> + Send;

    /// Makes a hub the opener, if nobody has said more and no other is at it. Those that a person goes on without do not
    /// count.
    fn claim(
        &mut self,
        run: &str,
        node: u32,
        without: &BTreeSet<u32>,
    ) -> impl Future<Output = Result<Answer, Self::Error>> + Send;

    /// Adds batches behind turn `after`, which is the last one there.
    fn refill(
        &mut self,
        opener: Opener<'_>,
        after: u64,
        batches: &[Kept],
    ) -> impl Future<Output = Result<Answer, Self::Error>> + Send;

    /// Opens the log in this generation, with the last number of each hub that lives. It ends where the generation begins.
    fn settle(
        &mut self,
        opener: Opener<'_>,
        begins: (u64, Began),
        numbers: &[(String, u64)],
    ) -> impl Future<Output = Result<Answer, Self::Error>> + Send;
}

/// Who opens, and of which Redis.
#[derive(Debug, Clone, Copy)]
pub struct Opener<'a> {
    /// Which Redis.
    pub run: &'a str,
    /// Which hub.
    pub node: u32,
    /// The newest generation of the log that it knows. What it adds gets it, and the next one stands behind it.
    pub before: u64,
}

/// What an attempt may rest on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed<'a> {
    /// Whoever runs has had the time to say something.
    pub is_time_over: bool,
    /// A person has said that it is to go on without these.
    pub without: Option<&'a BTreeSet<u32>>,
    /// The newest generation of the log that this hub knows, which it may only have heard of.
    pub before: u64,
    /// What this hub asks the others with, at this closing of the log and at no other one.
    pub asks: Question,
    /// The place has more than this hub, which finds nothing there that goes on from its last turn. It says how far it is all the
    /// same: the others see whether it has come to something else, and do not wait for it.
    pub cannot_read: bool,
}

/// The copy of a hub.
pub trait Held: Send {
    /// Why it cannot be read or written.
    type Error: std::error::Error + Send;

    /// Which hub, by its node.
    fn node(&self) -> u32;

    /// How far it is.
    fn said(&self) -> Said;

    /// What everything up to a turn came to; nothing for one that is too long ago.
    fn chain_at(&self, turn: u64) -> Option<Digest>;

    /// What it has read at a turn; nothing where it does not know any more.
    fn stamp_at(
        &self,
        turn: u64,
    ) -> impl Future<Output = Result<Option<Stamp>, Self::Error>> + Send;

    /// The hubs that live, by the log as it was applied here.
    fn living(&self) -> BTreeSet<u32>;

    /// The hubs that live, as the log calls them, and the numbers of their last batches.
    fn numbers(&self) -> Vec<(String, u64)>;

    /// The generation of the log that its last turn was read from.
    fn read_from(&self) -> u64;

    /// What it knows of the log beside its turns.
    fn facts(&self) -> Facts;

    /// Keeps what is known of the log now, which is open in this generation.
    fn learn(
        &mut self,
        generation: u64,
        facts: Facts,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// How far it was when it was not known whether the log has all of it, and it read on; nothing where that is known.
    fn unsure_since(&self) -> Option<u64>;

    /// It reads on, and it is not known whether the log has all of it: keeps, durably, how far it is and which openings it knows,
    /// for who takes up later what only it has. What was kept before stays, as what it has read since is of the log.
    fn read_on_unsure(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The log has all that it had then.
    fn be_sure(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The number of a generation behind this one, which no other opening has.
    fn number_behind(&self, generation: u64) -> u64;

    /// Notes, durably, that this generation may begin: it must not begin twice.
    fn note(&mut self, generation: u64) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The next batches behind a turn, from the first that the copy still has: about so many bytes, and at least one.
    fn batches(
        &self,
        after: u64,
        bytes: usize,
    ) -> impl Future<Output = Result<Vec<Kept>, Self::Error>> + Send;
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The log is open, in this generation.
    Open(u64),
    /// It is not, because of this. What is to be done is done, and then it is attempted again.
    NotYet(Decision),
    /// Something has changed meanwhile: again.
    Again(Answer),
}

/// Why an attempt has failed.
#[derive(Debug, Error)]
pub enum AttemptError<P: fmt::Debug + fmt::Display, H: fmt::Debug + fmt::Display> {
    /// The place cannot be asked.
    #[error("{0}")]
    Place(P),
    /// The own copy cannot be read or written.
    #[error("{0}")]
    Copy(H),
    /// The copy does not have what is lacking.
    #[error("turn {0} is lacking, and no copy here has it")]
    Lacking(u64),
}

/// Attempts an opening of what there was at this look.
pub async fn attempt<P: Closed, H: Held>(
    place: &mut P,
    hub: &mut H,
    look: Look,
    Allowed { is_time_over, without, before, asks, cannot_read }: Allowed<'_>,
) -> Result<Attempt, AttemptError<P::Error, H::Error>> {
    let (node, own) = (hub.node(), hub.said());
    let Look { run, open, has, told } = look;
    if let Some(generation) = open {
        return Ok(Attempt::Open(generation));
    }
    if without.is_some_and(|without| without.contains(&node)) {
        // It says nothing any more, and puts out nobody.
        return Ok(Attempt::NotYet(Decision::LeftOut));
    }
    if has > own.turn && !cannot_read {
        return Ok(Attempt::NotYet(Decision::Read));
    }
    let answers = place.said(&run).await.map_err(AttemptError::Place)?.questions();
    let words = Words { said: own, asks, answers };
    let answer = place.say(&run, node, &words).await.map_err(AttemptError::Place)?;
    if !matches!(answer, Answer::Done(_)) {
        return Ok(after(answer));
    }
    let heard = place.said(&run).await.map_err(AttemptError::Place)?;
    let living = hub.living();
    let (living, heard) = (&living, &heard);
    let view = View { node, own, asks, living, heard, has, told, is_time_over, without };
    let decision = decide(&view, |turn| hub.chain_at(turn));
    let Decision::Open { generation, .. } = decision else {
        return Ok(Attempt::NotYet(decision));
    };
    if let Some(apart) = looked_at(place, hub).await? {
        return Ok(Attempt::NotYet(apart));
    }
    let nobody = BTreeSet::new();
    let claimed = place.claim(&run, node, without.unwrap_or(&nobody)).await;
    let answer = claimed.map_err(AttemptError::Place)?;
    if !matches!(answer, Answer::Done(_)) {
        return Ok(after(answer));
    }
    let newest = generation.max(before);
    open_as(place, hub, Opener { run: &run, node, before }, (has, own, newest)).await
}

/// Why this hub does not go on from the last turn that a place has, if it does not.
async fn looked_at<P: Closed, H: Held>(
    place: &mut P,
    hub: &mut H,
) -> Result<Option<Decision>, AttemptError<P::Error, H::Error>> {
    let Some((turn, there)) = place.last().await.map_err(AttemptError::Place)? else {
        return Ok(None);
    };
    let end = hub.said().turn;
    if turn > end {
        // It came since: it is read first, and no script opens behind it.
        return Ok(None);
    }
    let own = hub.stamp_at(turn).await.map_err(AttemptError::Copy)?;
    let next = hub.batches(turn, 1).await.map_err(AttemptError::Copy)?;
    let is_next = |first: &Kept| first.turn == turn.saturating_add(1);
    let stays = turn == end || next.first().is_some_and(is_next);
    Ok(apart((turn, there), own, stays))
}

/// Adds what is lacking between two turns, and opens; `newest` is the newest generation that anybody knows.
async fn open_as<P: Closed, H: Held>(
    place: &mut P,
    hub: &mut H,
    opener: Opener<'_>,
    (mut end, Said { turn, chain, .. }, newest): (u64, Said, u64),
) -> Result<Attempt, AttemptError<P::Error, H::Error>> {
    while end < turn {
        let batches = hub.batches(end, BATCH_BYTES).await.map_err(AttemptError::Copy)?;
        let batches: Vec<Kept> = batches.into_iter().filter(|kept| kept.turn <= turn).collect();
        let Some(first) = batches.first() else {
            return Err(AttemptError::Lacking(end.saturating_add(1)));
        };
        // A log that is empty, or older than what the copy still has, begins where the copy does.
        let behind = first.turn.saturating_sub(1);
        match place.refill(opener, behind, &batches).await.map_err(AttemptError::Place)? {
            Answer::Done(last) => end = last,
            // Another opener, before this one, has added some already. It may be one that this one goes on without.
            Answer::EndsAt(last) => {
                if let Some(apart) = looked_at(place, hub).await? {
                    return Ok(Attempt::NotYet(apart));
                }
                end = last;
            }
            answer => return Ok(after(answer)),
        }
    }
    let generation = hub.number_behind(newest);
    hub.note(generation).await.map_err(AttemptError::Copy)?;
    let numbers = hub.numbers();
    let begins = (generation, Began { before: opener.before, turn, chain });
    let answer = place.settle(opener, begins, &numbers).await.map_err(AttemptError::Place)?;
    Ok(match answer {
        Answer::Done(generation) => Attempt::Open(generation),
        answer => after(answer),
    })
}

fn after(answer: Answer) -> Attempt {
    match answer {
        Answer::IsOpen(generation) => Attempt::Open(generation),
        answer => Attempt::Again(answer),
    }
}
