//! The blocks of code of a page, and what is to be done with each.

/// What is done with a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// Typed at the one shell.
    Here,
    /// Typed in terminals of these names.
    InTerminals(Vec<String>),
    /// Lines that somebody types in a chat, and what they see.
    Dialogue,
    /// Written to a file of this name.
    File(String),
    /// Left out, for the reason that stands there.
    NotRun,
    /// No commands.
    Shown,
}

/// A block of code.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) how: How,
    pub(super) lines: Vec<String>,
}

/// The blocks of a page, in their order.
pub(super) fn read(page: &str) -> Vec<Block> {
    let (mut blocks, mut mark) = (Vec::new(), None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            mark = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
            continue;
        };
        let body: Vec<String> =
            lines.by_ref().take_while(|line| *line != "```").map(str::to_owned).collect();
        blocks.push(Block { how: how(language, mark.take(), &body), lines: body });
    }
    blocks
}

fn how(language: &str, mark: Option<&str>, lines: &[String]) -> How {
    let mark =
        mark.map(|mark| mark.split_once(": ").unwrap_or_else(|| panic!("what is {mark:?}?")));
    match (mark, language) {
        (Some(("not run", _)), _) => How::NotRun,
        (Some(("file", name)), _) => How::File(name.to_owned()),
        (Some(("in terminals", names)), "sh") => {
            How::InTerminals(names.split(", ").map(str::to_owned).collect())
        }
        (Some(other), _) => panic!("what is {other:?}?"),
        (None, "sh") => How::Here,
        (None, "text") if lines.iter().any(|line| typed(line).is_some()) => How::Dialogue,
        (None, "text") => How::Shown,
        (None, other) => panic!("a block of {other:?} is neither run nor left out: {lines:?}"),
    }
}

/// Who types what, in a line as `alice #lobby> hello`.
pub(super) fn typed(line: &str) -> Option<(&str, &str)> {
    let (prompt, text) = line.split_once("> ")?;
    let (name, room) = prompt.split_once(" #")?;
    (!room.contains(' ')).then_some((name, text))
}

/// What of a line of an answer is certain: up to what is left out.
pub(super) fn certain(line: &str) -> &str {
    line.split('…').next().unwrap_or_default().trim()
}

/// What stands in single backquotes.
pub(super) fn spans(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// What the tables say that one types.
pub(super) fn typed_in_tables(page: &str) -> Vec<&str> {
    let rows = page.lines().skip_while(|line| *line != "| you type | what happens |").skip(2);
    let rows = rows.take_while(|line| line.starts_with("| "));
    rows.filter_map(|row| row.split(" | ").next()).flat_map(spans).collect()
}
