//! The lines that emulated clients send, and which one a client sends next.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_protocol::limits::NAME_BYTES_MAX;
use chat_protocol::name::UserName;
use thiserror::Error;

use chat_device::text_lines::without_mark;
use chat_text::input::{self, Input, InputError};
use chat_text::slash::SlashCommand;

/// Stands for the name of another emulated client.
const PEER: &str = "{peer}";
/// A file above this is not a list of lines that a person wrote.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The lines of a file, each of them valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    templates: Vec<Template>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    /// Line number in the file, from 1.
    line: usize,
    text: String,
    names_peer: bool,
}

/// Why a file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the messages of {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than a list of lines is.
    #[error("{path} has more than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line that the input language refuses.
    #[error("line {line}: {source}")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        source: InputError,
    },
    /// A line that is valid and sends nothing.
    #[error("line {line}: only messages and /run can be emulated")]
    NotSent {
        /// Line number, from 1.
        line: usize,
    },
    /// Nothing but comments.
    #[error("no line to send")]
    Empty,
    /// One client alone, and each line needs another.
    #[error("every line needs another client in place of {PEER}, and there is none")]
    NoPeer,
}

impl Script {
    /// Reads a file of lines.
    pub fn read(path: &Path) -> Result<Self, ScriptError> {
        let unreadable = |source| ScriptError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let read = File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(unreadable)?;
        if u64::try_from(read).is_ok_and(|read| read > FILE_BYTES_MAX) {
            return Err(ScriptError::TooLarge { path: path.to_owned() });
        }
        Self::parse(&text)
    }

    /// Checks every line: blank lines and lines that begin with `#` are skipped, `{peer}` stands
    /// for another client's name.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        // If the line is valid with the longest name, it is valid with every other.
        let longest_name = "p".repeat(NAME_BYTES_MAX);
        let mut templates = Vec::new();
        for (index, text) in without_mark(text).lines().enumerate() {
            let line = index + 1;
            if text.starts_with('#') {
                continue;
            }
            match input::parse(&text.replace(PEER, &longest_name)) {
                Ok(Input::Nothing) => continue,
                Ok(Input::Slash(SlashCommand::Run { .. })) => {}
                Ok(Input::Slash(_)) => return Err(ScriptError::NotSent { line }),
                Ok(_) => {}
                Err(source) => return Err(ScriptError::Line { line, source }),
            }
            let names_peer = text.contains(PEER);
            templates.push(Template { line, text: text.to_owned(), names_peer });
        }
        if templates.is_empty() {
            return Err(ScriptError::Empty);
        }
        Ok(Self { templates })
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.templates.len()
    }

    /// Never: a script has a line.
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }
}

/// What a client sends next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked {
    /// Line number in the file, from 1.
    pub line: usize,
    /// What the line asks for.
    pub input: Input,
}

/// One client's endless choice of lines, the same for the same seed and client.
#[derive(Debug, Clone)]
pub struct Picker {
    script: Arc<Script>,
    /// Positions of the lines that this client can send.
    usable: Vec<usize>,
    peers: Vec<UserName>,
    random: Random,
}

impl Picker {
    /// The choice of client number `client` among `names`, all emulated clients in order.
    pub fn new(
        script: Arc<Script>,
        seed: u64,
        client: usize,
        names: &[UserName],
    ) -> Result<Self, ScriptError> {
        let is_peer = |(index, name): &(usize, &UserName)| *index != client && !name.is_server();
        let peers: Vec<_> =
            names.iter().enumerate().filter(is_peer).map(|(_, name)| name.clone()).collect();
        let lines = script.templates.iter().enumerate();
        let usable: Vec<_> = lines
            .filter(|(_, template)| !template.names_peer || !peers.is_empty())
            .map(|(index, _)| index)
            .collect();
        if usable.is_empty() {
            return Err(ScriptError::NoPeer);
        }
        let stream = u64::try_from(client).unwrap_or(u64::MAX);
        Ok(Self { script, usable, peers, random: Random::new(seed, stream) })
    }

    /// The next line, with a random other client in place of `{peer}`.
    pub fn pick(&mut self) -> Picked {
        let template = self
            .random
            .choose(&self.usable)
            .and_then(|index| self.script.templates.get(*index))
            .expect("a picker has a usable line, and scripts do not change");
        let text = match self.random.choose(&self.peers) {
            Some(peer) if template.names_peer => template.text.replace(PEER, peer.as_str()),
            _ => template.text.clone(),
        };
        let input = input::parse(&text)
            .expect("the line was valid with the longest name when the script was read");
        Picked { line: template.line, input }
    }
}

/// A small repeatable generator (splitmix64). Fit for choosing lines and pauses, not for secrets.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The numbers of one stream of a seed; streams of one seed are unrelated.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut start = Self { state: stream };
        let offset = start.next_u64();
        Self { state: seed ^ offset }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when that is 0. The bias is below `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(scaled >> 64).unwrap_or_default()
    }

    /// One of the items; nothing where there are none.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let bound = u64::try_from(items.len()).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).ok().and_then(|index| items.get(index))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn names(count: usize) -> Vec<UserName> {
        (1..=count).map(|number| UserName::new(&format!("emu-{number:03}")).unwrap()).collect()
    }

    fn picker(text: &str, seed: u64, client: usize, count: usize) -> Picker {
        let script = Arc::new(Script::parse(text).unwrap());
        Picker::new(script, seed, client, &names(count)).unwrap()
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_numbers_kept() {
        let script = Script::parse("# head\n\nhello\r\n   \n{peer}*hi\n").unwrap();
        let lines: Vec<_> = script.templates.iter().map(|template| template.line).collect();
        assert_eq!(lines, [3, 5]);
    }

    #[test]
    fn wrong_lines_are_named_by_number() {
        for (text, part) in [
            ("hello\n/hlep\n", "line 2: unknown command /hlep"),
            ("a\n\n/users\n", "line 3: only messages and /run"),
            ("/quit", "line 1: only messages and /run"),
            ("/run {peer} -- echo 'x", "line 1: the quote ' at"),
            ("# nothing\n\n", "no line to send"),
        ] {
            let error = Script::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_client_chooses_the_same_lines_for_the_same_seed_only() {
        let text = (0..100).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n");
        let lines = |seed, client| {
            let mut picker = picker(&text, seed, client, 20);
            (0..50).map(|_| picker.pick().line).collect::<Vec<_>>()
        };
        assert_eq!(lines(7, 3), lines(7, 3));
        assert_ne!(lines(7, 3), lines(7, 4));
        assert_ne!(lines(7, 3), lines(8, 3));
        let different: HashSet<_> = lines(7, 3).into_iter().collect();
        assert!(different.len() > 20, "{different:?}");
    }

    #[test]
    fn peer_is_every_other_client_and_never_oneself() {
        let mut picker = picker("{peer}*hi {peer}\n/run {peer} -- true\n", 1, 2, 5);
        let mut seen = HashSet::new();
        for _ in 0..200 {
            match picker.pick().input {
                Input::Direct { to, text } => {
                    assert_eq!(text, format!("hi {to}"));
                    seen.insert(to);
                }
                Input::Slash(SlashCommand::Run { target, .. }) => {
                    seen.insert(target);
                }
                other => panic!("{other:?}"),
            }
        }
        let mut expected: HashSet<_> = names(5).into_iter().collect();
        expected.remove("emu-003");
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_client_alone_sends_the_lines_that_need_nobody() {
        let mut alone = picker("{peer}*hi\nhello\n", 1, 0, 1);
        assert!((0..20).all(|_| alone.pick().line == 2));
        let script = Arc::new(Script::parse("{peer}*hi").unwrap());
        assert!(matches!(Picker::new(script, 1, 0, &names(1)), Err(ScriptError::NoPeer)));
    }

    /// The published first numbers of splitmix64 for the state 1234567.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = Random { state: 1_234_567 };
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.next_u64(), random.next_u64()], expected);
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| random.below(7) < 7));
    }

    /// The project's own file: enough lines, every kind, about one in eight a command.
    #[test]
    fn the_messages_that_come_with_the_project_are_varied() {
        let text = include_str!("../../../messages.txt");
        let script = Script::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert!(script.len() >= 200, "{}", script.len());
        let (mut texts, mut directs, mut broadcasts, mut runs) = (0, 0, 0, Vec::new());
        for template in &script.templates {
            match input::parse(&template.text.replace(PEER, "emu-001")).unwrap() {
                Input::Text { .. } => texts += 1,
                Input::Direct { .. } => directs += 1,
                Input::Broadcast { .. } => broadcasts += 1,
                Input::Slash(SlashCommand::Run { target, argv, .. }) => runs.push((target, argv)),
                other => panic!("{other:?}"),
            }
            assert!(template.text.len() >= 12, "{:?} is easily found elsewhere", template.text);
        }
        assert!(texts > 60 && directs > 40 && broadcasts > 10, "{texts} {directs} {broadcasts}");
        let share = script.len() / runs.len();
        assert!((7..=9).contains(&share), "one in {share} is a command");
        assert!(runs.iter().any(|(target, _)| !target.is_server()), "an agent that is none");
        let distinct: HashSet<_> = script.templates.iter().map(|line| &line.text).collect();
        assert_eq!(distinct.len(), script.len(), "no line stands twice");
    }
}
