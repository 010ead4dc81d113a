//! What a word can become.

/// Where the word at the end of a line begins, in bytes, and what it can become.
pub(crate) type Candidates<'c> = &'c dyn Fn(&str) -> (usize, Vec<String>);

/// A word that is being completed.
#[derive(Debug)]
pub(super) struct Completion {
    /// Characters of the word as it stands in the line.
    stands: usize,
    words: Vec<String>,
    at: Option<usize>,
}

impl Completion {
    /// For the word that begins there at the end of this line.
    pub(super) fn new(line: &str, start: usize, words: Vec<String>) -> Option<Self> {
        let stands = line.get(start..)?.chars().count();
        (!words.is_empty()).then_some(Self { stands, words, at: None })
    }

    /// The next word, and how many characters it takes the place of.
    pub(super) fn step(&mut self, is_forward: bool) -> (usize, &str) {
        let count = self.words.len().max(1);
        let at = match (self.at, is_forward) {
            (None, true) => 0,
            (None, false) => count - 1,
            (Some(at), true) => (at + 1) % count,
            (Some(at), false) => (at + count - 1) % count,
        };
        self.at = Some(at);
        let word = self.words.get(at).map_or("", String::as_str);
        (std::mem::replace(&mut self.stands, word.chars().count()), word)
    }
}

/// What the word at the end of a line can become. Whoever spoke last comes first; at the start of a line a name is
/// followed by a colon. `known` says the same of commands and their arguments, and which names begin so.
pub(crate) fn candidates(
    line: &str,
    speakers: &[String],
    known: impl Fn(&str) -> (usize, Vec<String>),
) -> (usize, Vec<String>) {
    let begins = |name: &str, word: &str| {
        name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if line.starts_with('/') {
        let (start, mut words) = known(line);
        // Stable: what nobody has said stays in its order, behind.
        words.sort_by_key(|word| {
            let name = word.trim_end();
            speakers.iter().position(|speaker| speaker == name).unwrap_or(usize::MAX)
        });
        return (start, words);
    }
    let start = line.rfind(char::is_whitespace).map_or(0, |at| {
        at + line.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    let word = line.get(start..).unwrap_or_default();
    if word.starts_with('#') {
        // As where a command takes a room.
        let (_, rooms) = known(&format!("/join {word}"));
        return (start, rooms);
    }
    let (sign, name) = word.strip_prefix('@').map_or(("", word), |name| ("@", name));
    if name.is_empty() {
        return (start, Vec::new());
    }
    let end = if start == 0 { ": " } else { " " };
    let (_, others) = known(name);
    let others = others.iter().map(|other| other.trim_end_matches(['*', ' ']).to_owned());
    let mut names: Vec<String> =
        speakers.iter().filter(|speaker| begins(speaker, name)).cloned().collect();
    for other in others.filter(|other| begins(other, name)) {
        if !names.contains(&other) {
            names.push(other);
        }
    }
    (start, names.into_iter().map(|name| format!("{sign}{name}{end}")).collect())
}
