//! What is said of a log beside its turns, as it lies in Redis. Whoever can write there can write anything: only what a hub
//! can have written is taken over, and nothing of the rest gets into a copy, which would bring it to the next Redis.
//!
//! - `identity`, `settings`, `o:GENERATION`: sealed for the hubs. Settings say since when they hold: older ones than a copy
//!   knows are put right as what no hub has written.
//! - `n:NODE`: a name, which the number is made of.
//! - `d:NODE`: how far a hub is, and when; of no use but to wait for it. It counts of hubs that have a name here.
//! - `host`: a name in clear. It says where the agent runs, as Redis may.
//! - `base`: it is in the file of each hub, and is never taken from here.

use std::collections::BTreeMap;

use chat_protocol::crypto::sha256_parts;
use chat_protocol::limits::INTEGER_MAX;
use redis::{RedisError, Script, aio::MultiplexedConnection};

use super::{Place, PlaceError, RedisLog, SCRIPT_TIME_MAX, failed::Failed};
use crate::{
    order::{
        LogError,
        opening::line::{Line, is_opening, sealed_in},
        words::WordSeal,
    },
    store::Facts,
};

/// The number that the name of a hub comes to. 0 is nobody's.
pub fn number_of(name: &str) -> u32 {
    let digest = sha256_parts(&[b"chat-cluster/1 node", name.as_bytes()]);
    digest.first_chunk().map_or(1, |first| u32::from_be_bytes(*first)).max(1)
}

/// Characters of the name of a hub at most: it is a file name as well.
pub const NODE_NAME_CHARS_MAX: usize = 32;

/// Hubs whose names a copy takes over. Anybody who can write to Redis can make up names; more servers than this share
/// no log, whose turns each of them applies.
pub const NODES_MAX: usize = 64;

/// Whether a hub may be called this.
pub fn is_node_name(text: &str) -> bool {
    let is_right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= NODE_NAME_CHARS_MAX && text.chars().all(is_right)
}

/// What the settings of all hubs are called beside the log.
pub const SETTINGS: &str = "settings";

/// The name in the settings that says since when they hold. Those with which a log begins do not have it.
pub const SINCE: &str = "since";

/// Since when sealed settings hold: a number that is larger for each that came later, and 0 for those of the beginning.
fn since(sealed: &[u8], seal: &WordSeal) -> u64 {
    let read = || {
        let settings = seal.open(SETTINGS, sealed)?;
        let settings: BTreeMap<String, String> = serde_json::from_slice(&settings).ok()?;
        settings.get(SINCE)?.parse().ok()
    };
    read().unwrap_or(0)
}

/// Whether this was there before what is known came.
fn is_of_before((name, there): (&str, &[u8]), known: &[u8], seal: &WordSeal) -> bool {
    name == SETTINGS && there != known && since(there, seal) < since(known, seal)
}

/// What is to stand there instead, by what is known: what lies there no hub has written, or it is of before.
pub fn wrong((name, there): (&str, &[u8]), known: &[u8], seal: &WordSeal) -> Option<Wrong> {
    let is_right = |value: &[u8]| is_of_a_hub(name, value, seal);
    let is_wrong = !is_right(there) || is_of_before((name, there), known, seal);
    let (name, there, right) = (name.to_owned(), there.to_vec(), known.to_vec());
    (is_wrong && is_right(known)).then_some(Wrong { name, there, right })
}

/// Something beside a log that no hub can have written there now.
#[derive(Debug)]
pub struct Wrong {
    /// What it is called.
    pub name: String,
    /// What is there.
    pub there: Vec<u8>,
    /// What belongs there.
    pub right: Vec<u8>,
}

/// Puts back what belongs there.
async fn mend(
    meta: &str,
    connection: &mut MultiplexedConnection,
    wrong: &[Wrong],
) -> Result<(), RedisError> {
    if wrong.is_empty() {
        return Ok(());
    }
    let script = Script::new(include_str!("mend.lua"));
    let mut call = script.key(meta);
    for Wrong { name, there, right } in wrong {
        tracing::warn!(
            name,
            "something lay beside the log that no server has put there, or one of before"
        );
        call.arg(name).arg(&there[..]).arg(&right[..]);
    }
    call.invoke_async(connection).await
}

impl Place {
    /// Puts back what belongs beside the log, where nobody has done so meanwhile.
    pub async fn mend(&self, wrong: &[Wrong]) -> Result<(), PlaceError> {
        let mut connection = self.connect(SCRIPT_TIME_MAX).await?;
        Ok(mend(&self.meta, &mut connection, wrong).await?)
    }
}

/// All of it.
pub(super) struct Beside {
    fields: BTreeMap<String, Vec<u8>>,
    /// The generation that the log is open in, or was; 0 where nothing is said of it.
    pub(super) generation: u64,
}

impl Beside {
    /// Asks for it. What no hub can have written is put right where `known` has what belongs there.
    pub(super) async fn ask(
        log: &RedisLog,
        connection: &mut MultiplexedConnection,
        known: &Facts,
    ) -> Result<Self, Failed> {
        let asked = redis::cmd("HGETALL").arg(&log.place.meta).to_owned();
        let fields: BTreeMap<String, Vec<u8>> = asked.query_async(connection).await?;
        if fields.get("id").is_some_and(|id| *id != log.id) {
            return Err(LogError::Foreign.into());
        }
        let number = |value: &Vec<u8>| std::str::from_utf8(value).ok()?.parse().ok();
        let generation = fields.get("gen").and_then(number).unwrap_or(0);
        let mut beside = Self { fields, generation };
        let wrong = beside.wrong(known, &log.seal);
        mend(&log.place.meta, connection, &wrong).await?;
        beside.fields.extend(wrong.into_iter().map(|Wrong { name, right, .. }| (name, right)));
        // An opening that is missing there is one that was removed.
        for (name, value) in known.iter().filter(|(name, _)| is_opening(name)) {
            beside.fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Ok(beside)
    }

    /// What no hub can have written.
    fn wrong(&self, known: &Facts, seal: &WordSeal) -> Vec<Wrong> {
        let there = known
            .iter()
            .filter_map(|(name, right)| wrong((name, self.fields.get(name)?), right, seal));
        there.collect()
    }

    /// Whether the log was open for this run of Redis when it was asked.
    pub(super) fn is_open_for(&self, run: &str) -> bool {
        self.fields.get("run").is_some_and(|open| open == run.as_bytes())
    }

    /// The openings that led to where the log is.
    pub(super) fn line(&self, seal: &WordSeal) -> Line {
        let fields = self.fields.iter().map(|(name, value)| (name.as_str(), &value[..]));
        Line::to(self.generation, &sealed_in(fields, seal))
    }

    /// What belongs beside a log that is closed, by the copy of a hub: an old Redis that was put back knows less than the
    /// copies do. `line` led to where the log is.
    pub(super) fn put_back(&self, known: Facts, line: &Line) -> Facts {
        let mut facts: BTreeMap<String, Vec<u8>> = known.into_iter().collect();
        for (name, value) in self.fields.iter().filter(|(name, _)| is_opening(name)) {
            facts.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let mut facts: Facts = facts.into_iter().collect();
        line.filter(&mut facts);
        facts
    }

    /// What the copy of a hub takes over of a log that is open, beside what it knows.
    pub(super) fn learnt(&self, known: Facts, seal: &WordSeal) -> Facts {
        let mut facts: BTreeMap<String, Vec<u8>> = known.into_iter().collect();
        let mut names = facts.keys().filter(|name| name.starts_with("n:")).count();
        // Names come after the rest: how far somebody is counts once there is a name for it.
        for (name, value) in self.fields.iter().rev() {
            if !is_of_a_hub(name, value, seal) {
                continue;
            }
            let known = facts.get(name);
            if known.is_some_and(|known| is_of_before((name, value), known, seal)) {
                continue;
            }
            let is_known = known.is_some();
            let is_taken = match name.split_once(':') {
                Some(("n", _)) => is_known || names < NODES_MAX,
                Some(("d", node)) => facts.contains_key(&format!("n:{node}")),
                _ => true,
            };
            if is_taken {
                names += usize::from(!is_known && name.starts_with("n:"));
                facts.insert(name.clone(), value.clone());
            }
        }
        let mut facts: Facts = facts.into_iter().collect();
        self.line(seal).filter(&mut facts);
        facts
    }
}

/// Whether this is something that hubs write beside a log, and a hub can have written it.
fn is_of_a_hub(name: &str, value: &[u8], seal: &WordSeal) -> bool {
    let text = || std::str::from_utf8(value).ok();
    match (name, name.split_once(':')) {
        ("identity" | SETTINGS, _) => seal.open(name, value).is_some(),
        ("host", _) => text().is_some_and(is_node_name),
        (_, Some(("n", number))) => {
            text().is_some_and(|name| is_node_name(name) && number_of(name).to_string() == number)
        }
        (_, Some(("d", number))) => {
            // A turn, when, and what of it is on the disk, where that was said.
            let is_number = |word: &str| word.parse::<u64>().is_ok_and(|n| n <= INTEGER_MAX);
            let is_right = |text: &str| {
                (2..=3).contains(&text.split(' ').count()) && text.split(' ').all(is_number)
            };
            text().is_some_and(is_right) && number.parse::<u32>().is_ok()
        }
        _ => is_opening(name) && seal.open(name, value).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(name: &str, value: &[u8]) -> (String, Vec<u8>) {
        (name.to_owned(), value.to_vec())
    }

    /// Goal: settings that were changed are not put back by who shows the sealed ones of before. Before, they were taken over.
    #[test]
    fn settings_of_before_a_change_are_put_right_and_not_taken_over() {
        let seal = WordSeal::new(&[1; 32], [7; 16]);
        let sealed = |since: &str| {
            let text = format!(r#"{{"retention":"-"{since}}}"#);
            seal.seal(SETTINGS, text.as_bytes())
        };
        let at = |since: u64| sealed(&format!(r#","since":"{since}""#));
        let first = sealed("");
        for (there, known, is_of_before) in [
            (&first, &at(1), true),
            (&at(5), &at(1_790_000_000_000), true),
            (&at(6), &at(5), false),
            (&at(5), &first, false),
            (&first, &sealed(""), false),
            (&at(5), &b"what no hub has sealed".to_vec(), false),
        ] {
            let fields = BTreeMap::from([(SETTINGS.to_owned(), there.clone())]);
            let beside = Beside { fields, generation: 1 };
            let facts = vec![fact(SETTINGS, known)];
            let wrong = beside.wrong(&facts, &seal);
            assert_eq!(wrong.len(), usize::from(is_of_before), "{wrong:?}");
            let right = if is_of_before { known } else { there };
            assert_eq!(beside.learnt(facts, &seal), [fact(SETTINGS, right)]);
        }
    }

    /// Goal: what somebody writes beside the log who has not the key gets into no copy.
    #[test]
    fn what_no_hub_can_have_written_is_not_taken_over() {
        let seal = WordSeal::new(&[1; 32], [7; 16]);
        let name = |node: &str| format!("n:{}", number_of(node));
        let far = |node: &str| format!("d:{}", number_of(node));
        let known = vec![
            fact("base", b"what was there"),
            fact("identity", &seal.seal("identity", b"key")),
            fact(&name("n1"), b"n1"),
        ];
        let mut fields: BTreeMap<String, Vec<u8>> = [
            fact("base", b"something else"),
            fact("identity", b"x"),
            fact("host", b"n2"),
            fact(&name("n1"), b"n9"),
            fact(&name("n2"), b"n2"),
            fact(&far("n2"), b"12 1000 11"),
            fact(&far("n1"), b"1 2 3 4"),
            // Of nobody who has a name.
            fact("d:6", b"12 1000 11"),
            fact("o:9999", b"5"),
            fact("turn", b"5"),
        ]
        .into_iter()
        .collect();
        let beside = Beside { fields: fields.clone(), generation: 9_999 };
        let wrong: Vec<String> =
            beside.wrong(&known, &seal).into_iter().map(|wrong| wrong.name).collect();
        assert_eq!(wrong, ["identity".to_owned(), name("n1")]);
        let learnt = beside.learnt(known.clone(), &seal);
        let mut expected = known.clone();
        expected.extend([
            fact(&far("n2"), b"12 1000 11"),
            fact("host", b"n2"),
            fact(&name("n2"), b"n2"),
        ]);
        expected.sort();
        assert_eq!(learnt, expected);
        // Of another name, or of another log, it is nothing either.
        for sealed in [
            seal.seal("settings", b"key"),
            WordSeal::new(&[1; 32], [8; 16]).seal("identity", b"key"),
        ] {
            fields.insert("identity".to_owned(), sealed);
            let beside = Beside { fields: fields.clone(), generation: 0 };
            let learnt = beside.learnt(known.clone(), &seal);
            assert!(learnt.contains(&known[1]));
        }
    }
}
