//! The scripts of an opening, in Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chat_protocol::id::Digest;
use redis::{
    RedisError, Script, ScriptInvocation,
    aio::ConnectionLike,
    streams::{StreamId, StreamRangeReply},
};
use thiserror::Error;

use super::attempt::{Answer, Closed, Kept, Look, OPENER_PATIENCE, Opener};
use super::line::Began;
use super::{Heard, Question, SAID_LEASE, Said, Stamp, Words};
use crate::order::{batch::VERSION, words::WordSeal};
use crate::store::Facts;

/// What hubs have said is kept for so long, in seconds. They say it again while they wait.
const SAID_SECONDS: u64 = 60;

/// What it is called beside the log how far the furthest hub has said to be while the log lacked that.
pub const TOLD: &str = "told";

/// Why Redis cannot be asked.
#[derive(Debug, Error)]
pub enum ClosedError {
    /// Redis does not answer, or refuses.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// A script has said something else.
    #[error("Redis has answered {0:?}, which is none of our words")]
    Strange(String),
}

/// A log in Redis that may have to be opened.
pub struct ClosedInRedis<C> {
    connection: C,
    /// Its name, in braces: all of its keys lie in one slot.
    cluster: String,
    id: [u8; 16],
    seal: WordSeal,
    /// What else is said of it, and must not go with an emptied Redis.
    facts: Facts,
}

impl<C> std::fmt::Debug for ClosedInRedis<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClosedInRedis").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl<C: ConnectionLike + Send> ClosedInRedis<C> {
    /// The log with this id of the cluster of this name. `facts` are put back where they are missing, as the sealed
    /// identity; `seal` makes one of each opening.
    pub fn new(
        connection: C,
        cluster: &str,
        (id, seal): ([u8; 16], WordSeal),
        facts: Facts,
    ) -> Self {
        Self { connection, cluster: format!("{{{cluster}}}"), id, seal, facts }
    }

    /// How many facts there are, and all of them.
    fn say_facts(&self, call: &mut ScriptInvocation<'_>) {
        call.arg(self.facts.len());
        for (name, value) in &self.facts {
            call.arg(name).arg(&value[..]);
        }
    }

    fn log(&self) -> String {
        format!("{}:log", self.cluster)
    }

    fn meta(&self) -> String {
        format!("{}:meta", self.cluster)
    }

    fn told(&self) -> String {
        format!("{}:{TOLD}", self.cluster)
    }

    fn opening(&self, run: &str) -> String {
        format!("{}:open:{run}", self.cluster)
    }

    async fn invoke(&mut self, call: &ScriptInvocation<'_>) -> Result<Answer, ClosedError> {
        let (word, number): (String, u64) = call.invoke_async(&mut self.connection).await?;
        let node = || u32::try_from(number).unwrap_or(u32::MAX);
        Ok(match word.as_str() {
            "OK" => Answer::Done(number),
            "OPEN" => Answer::IsOpen(number),
            "OTHER" => Answer::OtherRedis,
            "FOREIGN" => Answer::Foreign,
            "PUT OUT" => Answer::PutOut,
            "END" => Answer::EndsAt(number),
            "BEHIND" => Answer::Behind(node()),
            "TAKEN" => Answer::Taken(node()),
            "SAY" => Answer::NotSaid,
            _ => return Err(ClosedError::Strange(word)),
        })
    }
}

impl<C: ConnectionLike + Send> Closed for ClosedInRedis<C> {
    type Error = ClosedError;

    async fn look(&mut self) -> Result<Look, ClosedError> {
        let script = Script::new(include_str!("../redis/look.lua"));
        let mut call = script.key(self.log());
        call.key(self.meta()).key(self.told());
        let (run, open, generation, has, told): (String, u8, u64, u64, u64) =
            call.invoke_async(&mut self.connection).await?;
        Ok(Look { run, open: (open == 1).then_some(generation), has, told })
    }

    async fn last(&mut self) -> Result<Option<(u64, Stamp)>, ClosedError> {
        let last =
            redis::cmd("XREVRANGE").arg(self.log()).arg(&["+", "-", "COUNT", "1"]).to_owned();
        let found: StreamRangeReply = last.query_async(&mut self.connection).await?;
        Ok(found.ids.first().map(stamped))
    }

    async fn said(&mut self, run: &str) -> Result<Heard, ClosedError> {
        let ((seconds, _), fields): ((u64, u64), BTreeMap<String, Vec<u8>>) = redis::pipe()
            .cmd("TIME")
            .cmd("HGETALL")
            .arg(self.opening(run))
            .query_async(&mut self.connection)
            .await?;
        let mut heard = Heard::default();
        for (field, value) in &fields {
            let Some(node) = field.strip_prefix("n:") else { continue };
            // What no hub has sealed was said by nobody.
            let Some((node, words, at)) = read((run, node), value, &self.seal) else { continue };
            let is_silent = seconds.saturating_sub(at) > SAID_LEASE.as_secs();
            let kept = if is_silent { &mut heard.silent } else { &mut heard.said };
            kept.insert(node, words);
        }
        Ok(heard)
    }

    async fn say(&mut self, run: &str, node: u32, words: &Words) -> Result<Answer, ClosedError> {
        let script = Script::new(include_str!("../redis/say.lua"));
        let mut call = script.key(self.meta());
        call.key(self.opening(run)).key(self.log()).key(self.told());
        call.arg(run).arg(node).arg(words.said.turn);
        let sealed = self.seal.seal(&said_by(run, node), written(words).as_bytes());
        call.arg(sealed).arg(SAID_SECONDS);
        self.invoke(&call).await
    }

    async fn claim(
        &mut self,
        run: &str,
        node: u32,
        without: &BTreeSet<u32>,
    ) -> Result<Answer, ClosedError> {
        let script = Script::new(include_str!("../redis/claim.lua"));
        let patience = u64::try_from(OPENER_PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let mut call = script.key(self.meta());
        call.key(self.opening(run)).arg(run).arg(node).arg(patience);
        for left_out in without {
            call.arg(*left_out);
        }
        self.invoke(&call).await
    }

    async fn refill(
        &mut self,
        Opener { run, node, before }: Opener<'_>,
        after: u64,
        batches: &[Kept],
    ) -> Result<Answer, ClosedError> {
        let script = Script::new(include_str!("../redis/refill.lua"));
        let mut call = script.key(self.log());
        call.key(self.meta()).key(self.opening(run)).arg(run).arg(node).arg(before);
        call.arg(after).arg(&self.id[..]).arg(VERSION);
        self.say_facts(&mut call);
        for Kept { turn: _, time_ms, is_structure, batch } in batches {
            call.arg(u8::from(*is_structure)).arg(*time_ms).arg(&batch[..]);
        }
        self.invoke(&call).await
    }

    async fn settle(
        &mut self,
        Opener { run, node, .. }: Opener<'_>,
        (generation, began): (u64, Began),
        numbers: &[(String, u64)],
    ) -> Result<Answer, ClosedError> {
        let script = Script::new(include_str!("../redis/settle.lua"));
        let mut call = script.key(self.log());
        call.key(self.meta()).key(self.opening(run)).key(self.told());
        call.arg(run).arg(node).arg(generation);
        let (name, sealed) = began.sealed(generation, &self.seal);
        call.arg(began.turn).arg(&self.id[..]).arg(VERSION).arg(name).arg(sealed);
        self.say_facts(&mut call);
        for (hub, number) in numbers {
            call.arg(hub).arg(*number);
        }
        self.invoke(&call).await
    }
}

/// What stands at an entry. One of another form is none that a hub has read.
fn stamped(entry: &StreamId) -> (u64, Stamp) {
    let turn = entry.id.split_once('-').and_then(|(_, turn)| turn.parse().ok());
    let batch: Vec<u8> = entry.get("b").unwrap_or_default();
    (turn.unwrap_or(0), Stamp::new(entry.get("t").unwrap_or(0), &batch))
}

/// What is sealed of a hub that says how far it is.
fn said_by(run: &str, node: u32) -> String {
    format!("said {run} {node}")
}

/// What a hub says, before it is sealed: `TURN GENERATION CHAIN NEW ASKS`, and `NODE=ASKED` for each that it answers.
fn written(Words { said, asks, answers }: &Words) -> String {
    let Said { turn, chain, generation, is_new } = said;
    let mut text = format!("{turn} {generation} {chain} {} {}", u8::from(*is_new), asks.0);
    for (node, Question(asked)) in answers {
        write!(text, " {node}={asked}").ok();
    }
    text
}

/// Reads what [`written`] has written.
fn read_words(text: &str) -> Option<Words> {
    let mut parts = text.split(' ');
    let (turn, generation) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let chain = Digest::parse(parts.next()?).ok()?;
    let is_new = parts.next()? == "1";
    let asks = Question(parts.next()?.parse().ok()?);
    let answer = |part: &str| {
        let (node, asked) = part.split_once('=')?;
        Some((node.parse().ok()?, Question(asked.parse().ok()?)))
    };
    let answers = parts.map(answer).collect::<Option<BTreeMap<u32, Question>>>()?;
    Some(Words { said: Said { turn, chain, generation, is_new }, asks, answers })
}

/// What one hub has said, and when, in seconds of Redis: `TURN SECONDS`, and sealed all of it. The turn is in clear for the
/// scripts.
fn read((run, node): (&str, &str), value: &[u8], seal: &WordSeal) -> Option<(u32, Words, u64)> {
    let mut parts = value.splitn(3, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
    let (clear, at) = (number()?, number()?);
    let node = node.parse().ok()?;
    let words = seal.open(&said_by(run, node), parts.next()?)?;
    let words = read_words(std::str::from_utf8(&words).ok()?)?;
    (words.said.turn == clear).then_some((node, words, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        let said = Said { turn: 7, chain: Digest([3; 32]), generation: 1 << 40, is_new: true };
        let answers = BTreeMap::from([(1, Question(u64::MAX)), (4_000_000_000, Question(0))]);
        let words = Words { said, asks: Question(5), answers };
        assert_eq!(read_words(&written(&words)), Some(words.clone()));
        let alone = Words { answers: BTreeMap::new(), ..words };
        assert_eq!(read_words(&written(&alone)), Some(alone));
        let text = written(&Words { said, asks: Question(5), answers: BTreeMap::new() });
        for cut in [
            "",
            "7",
            text.strip_suffix(" 5").unwrap(),
            &format!("{text} 1"),
            &format!("{text} 1=x"),
        ] {
            assert_eq!(read_words(cut), None, "{cut}");
        }
    }
}
