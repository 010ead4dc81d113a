//! The log of one conversation: what is in memory of it, and which part is looked at.
//!
//! In memory is the end of the conversation. Older messages are in the home and come a page at a time as the reader
//! scrolls up to them ([`Log::wants_older`]); what was scrolled to is forgotten when the reader is back at the end.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};

use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;

use crate::data::{Delivery, Kind, Line, Progress};

mod laid;
mod rows;
mod view;

pub(crate) use rows::clock;
pub(crate) use view::Window;

use crate::wrap::clean;
use laid::Laid;

/// How much of a conversation stays in memory. The home has the rest.
#[derive(Debug, Clone, Copy)]
struct Kept {
    lines: usize,
    /// Bytes of their texts. The newest line stays, however long it is.
    bytes: usize,
}

/// Of the open conversation while its end is looked at.
const OPEN_MAX: Kept = Kept { lines: 1_000, bytes: 8 * 1_024 * 1_024 };

/// Of the others: a thousand of them must not fill the memory.
const CLOSED_MAX: Kept = Kept { lines: 50, bytes: 64 * 1_024 };

/// Of the open one while somebody has scrolled up, or looks for something further back: what came from the home, and what
/// comes meanwhile.
const SCROLLED_MAX: Kept = Kept { lines: 100_000, bytes: 64 * 1_024 * 1_024 };

/// Nothing.
const CLEARED: Kept = Kept { lines: 0, bytes: 0 };

/// How far back a message is looked for that something has become of. Of older ones `/receipts` tells.
const LOOKED_BACK_MAX: usize = 2_000;

/// Alarms that stay when the lines around them are forgotten: the home does not keep them.
const ALARMS_MAX: usize = 64;

/// Bytes of a command's output that stay in memory.
const OUTPUT_MAX: usize = 256 * 1_024;

/// People who spoke last, for completion.
const SPEAKERS_MAX: usize = 32;

/// A line that is counted: its number stays the same while others come before and behind it.
#[derive(Debug)]
struct Block {
    /// Its text is clean: a newline is the only control in it.
    line: Line,
    is_unfolded: bool,
    /// Output that came behind what is kept is not shown, and neither is what follows it.
    is_cut: bool,
    /// How many rows it has in a window of this kind; none where that has to be found out.
    height: Cell<Option<(Shape, usize)>>,
    /// Its text as it was laid out last.
    laid: RefCell<Option<Laid>>,
}

/// What of a window the rows of a text depend on: its columns, and whether it is shown when something was said.
type Shape = (usize, bool);

impl Block {
    fn new(line: Line) -> Self {
        let line = Line { text: clean(&line.text), ..line };
        let (height, laid) = (Cell::new(None), RefCell::default());
        Self { line, is_unfolded: false, is_cut: false, height, laid }
    }

    /// The line, to be changed.
    fn line_mut(&mut self) -> &mut Line {
        self.height.set(None);
        &mut self.line
    }
}

/// Where the first line is that nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unread {
    /// Here, under this number.
    Here(i64),
    /// It is forgotten, and comes back with a page of the home. What stood around it may not, so a number says nothing.
    Gone(Mark),
}

/// What a line is known by when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    Message(UserName, MessageId),
    /// Its time and its text, where it is no message.
    Alarm(u64, String),
}

impl Mark {
    fn of(line: &Line) -> Self {
        match message_of(line) {
            Some((from, id)) => Self::Message(from, id),
            None => Self::Alarm(line.at_ms, line.text.clone()),
        }
    }
}

/// A row of the log: the block's number, and which of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    number: i64,
    row: usize,
}

/// Whether the home has more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Older {
    Perhaps,
    Asked,
    /// The screen was emptied: it has, for whoever scrolls up.
    Hidden,
    None,
}

/// The log of one conversation.
#[derive(Debug)]
pub(crate) struct Log {
    blocks: VecDeque<Block>,
    /// Bytes of their texts.
    bytes: usize,
    /// The number of the first block; pages before it count down.
    first: i64,
    /// What is at the top of the window; nothing while the end is looked at.
    top: Option<Spot>,
    /// The first line that nobody has looked at.
    unread: Option<Unread>,
    /// The line that was jumped to.
    focus: Option<i64>,
    /// A search upwards has looked at all lines from this number on.
    sought: Option<i64>,
    /// One that begins looks at all lines, wherever the window is.
    is_from_end: bool,
    /// Pages of the home are fetched because something is looked for in them. They are needed until it is found, whatever
    /// comes meanwhile.
    is_sought_on: bool,
    older: Older,
    /// The oldest place of the pages that have come since lines were forgotten. What came since the start has no
    /// place, and pages of it bring nothing new.
    reached: Option<i64>,
    /// Alarms among the lines that are forgotten, oldest first. They come back with the page of their time.
    alarms: VecDeque<Line>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            blocks: VecDeque::new(),
            bytes: 0,
            first: 0,
            top: None,
            unread: None,
            focus: None,
            sought: None,
            is_from_end: false,
            is_sought_on: false,
            older: Older::Perhaps,
            reached: None,
            alarms: VecDeque::new(),
        }
    }
}

impl Log {
    /// The number behind the last block.
    fn end(&self) -> i64 {
        self.first.saturating_add_unsigned(u64::try_from(self.blocks.len()).unwrap_or(u64::MAX))
    }

    fn block(&self, number: i64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn block_mut(&mut self, number: i64) -> Option<&mut Block> {
        self.blocks.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Something new. `is_seen` says whether the conversation is open.
    pub(crate) fn push(&mut self, line: Line, is_seen: bool) {
        let is_news = matches!(line.kind, Kind::Said | Kind::Alarm) || line.is_mention;
        if !is_seen && self.unread.is_none() && is_news {
            self.unread = Some(Unread::Here(self.end()));
        }
        let block = Block::new(line);
        self.bytes += block.line.text.len();
        self.blocks.push_back(block);
        self.bound(is_seen);
    }

    /// Nothing is forgotten under the eyes of somebody who has scrolled up or looks for something, unless very much has come.
    fn bound(&mut self, is_seen: bool) {
        match (self.top.is_some() || self.is_sought_on, is_seen) {
            (false, true) => self.forget(OPEN_MAX),
            (false, false) => self.forget(CLOSED_MAX),
            (true, _) => {
                let first = self.first;
                self.forget(SCROLLED_MAX);
                // There is no room for what the home has before it.
                if self.first != first {
                    self.older = Older::None;
                }
            }
        }
    }

    /// What a command has printed, which goes on where it stopped.
    pub(crate) fn push_output(&mut self, line: Line, is_seen: bool) {
        let is_same =
            |block: &&mut Block| block.line.kind == Kind::Output && block.line.id == line.id;
        let block = self.blocks.iter_mut().rev().take(LOOKED_BACK_MAX).find(is_same);
        let Some(block) = block else { return self.push(line, is_seen) };
        // What is shown has no holes.
        if block.is_cut {
            return;
        }
        let (before, more) = (block.line.text.len(), clean(&line.text));
        block.is_cut = before + more.len() > OUTPUT_MAX;
        let added = if block.is_cut { OUTPUT_CUT } else { more.as_str() };
        let text = &mut block.line_mut().text;
        text.push('\n');
        text.push_str(added);
        self.bytes += text.len() - before;
        self.bound(is_seen);
    }

    /// Something has become of a message of this user.
    pub(crate) fn set_delivery(&mut self, id: &MessageId, delivery: Delivery) {
        let is_it =
            |block: &&mut Block| block.line.kind == Kind::Own && block.line.id.as_ref() == Some(id);
        let block = self.blocks.iter_mut().rev().take(LOOKED_BACK_MAX).find(is_it);
        if let Some(block) = block {
            block.line_mut().delivery = Some(delivery);
        }
    }

    /// How much is here of a file: the line about it shows that. Says whether there is one.
    pub(crate) fn set_progress(&mut self, progress: Progress) -> bool {
        let is_it = |block: &&mut Block| block.line.progress.is_some_and(|one| one.n == progress.n);
        let block = self.blocks.iter_mut().rev().take(LOOKED_BACK_MAX).find(is_it);
        let is_there = block.is_some();
        if let Some(block) = block {
            block.line_mut().progress = Some(progress);
        }
        is_there
    }

    /// A page of the home, oldest first, that stands before what is here. `is_all` says that there is nothing older.
    pub(crate) fn prepend(&mut self, page: Vec<Line>, is_all: bool) {
        let oldest = self.oldest_place();
        self.reached = page.first().and_then(|line| line.place).or(self.reached);
        let page = self.with_alarms(page, is_all);
        // What has come since the start has no place; it may be in the home by now. Others choose ids, so a line is known
        // by its writer as well.
        let unplaced = self.blocks.iter().filter(|block| block.line.place.is_none());
        let here: HashSet<(UserName, MessageId)> =
            unplaced.filter_map(|block| message_of(&block.line)).collect();
        let is_here = |line: &Line| {
            let is_placed = oldest.is_some_and(|oldest| line.place.is_some_and(|at| at >= oldest));
            is_placed || message_of(line).is_some_and(|message| here.contains(&message))
        };
        for line in page.into_iter().rev().filter(|line| !is_here(line)) {
            let block = Block::new(line);
            self.bytes += block.line.text.len();
            self.first -= 1;
            if matches!(&self.unread, Some(Unread::Gone(mark)) if *mark == Mark::of(&block.line)) {
                self.unread = Some(Unread::Here(self.first));
            }
            self.blocks.push_front(block);
        }
        let is_full = self.blocks.len() >= SCROLLED_MAX.lines || self.bytes >= SCROLLED_MAX.bytes;
        self.older = if is_all || is_full { Older::None } else { Older::Perhaps };
    }

    /// A page with the alarms of its time in it.
    fn with_alarms(&mut self, mut page: Vec<Line>, is_all: bool) -> Vec<Line> {
        // Of what could not be read nobody knows when it was said.
        let from_ms = match page.iter().find(|line| line.at_ms > 0) {
            _ if is_all => 0,
            Some(first) => first.at_ms,
            None => return page,
        };
        while let Some(alarm) = self.alarms.pop_back_if(|alarm| alarm.at_ms >= from_ms) {
            let at = page.iter().position(|line| line.at_ms > alarm.at_ms);
            page.insert(at.unwrap_or(page.len()), alarm);
        }
        page
    }

    /// Whether the home may have older lines.
    pub(crate) fn may_have_older(&self) -> bool {
        self.older != Older::None
    }

    /// A page of the home is needed, whatever is looked at, because something is sought in it. It is said once for each
    /// page.
    pub(crate) fn seeks_older(&mut self) -> bool {
        self.unhide();
        self.is_sought_on = true;
        self.asks_older()
    }

    /// Nothing is sought any more: what was fetched for it is forgotten as ever.
    pub(crate) fn seek_has_ended(&mut self) {
        self.is_sought_on = false;
    }

    /// Somebody wants to see what was there before the screen was emptied.
    fn unhide(&mut self) {
        if self.older == Older::Hidden {
            self.older = Older::Perhaps;
        }
    }

    fn asks_older(&mut self) -> bool {
        let is_wanted = self.older == Older::Perhaps;
        if is_wanted {
            self.older = Older::Asked;
        }
        is_wanted
    }

    /// Whether a page of the home is needed for what is looked at. It is said once for each page.
    pub(crate) fn wants_older(&mut self, window: &Window<'_>) -> bool {
        let ahead = i64::try_from(window.rows).unwrap_or(i64::MAX);
        let is_near = self.top(window).number.saturating_sub(self.first) <= ahead;
        is_near && self.asks_older()
    }

    /// The place of the home's history before which that page ends; its end where nothing of it is here.
    pub(crate) fn oldest_place(&self) -> Option<i64> {
        let here = self.blocks.iter().find_map(|block| block.line.place);
        here.into_iter().chain(self.reached).min()
    }

    /// Another conversation is opened: what is here has been seen, and most of it is forgotten.
    pub(crate) fn close(&mut self) {
        (self.top, self.unread) = (None, None);
        self.forget_found();
        self.seek_has_ended();
        self.forget(CLOSED_MAX);
    }

    /// Empties the screen. The home keeps what was said, and scrolling up brings it back.
    pub(crate) fn clear(&mut self) {
        (self.top, self.unread) = (None, None);
        self.forget_found();
        self.forget(CLEARED);
        self.alarms.clear();
        (self.older, self.reached) = (Older::Hidden, None);
    }

    fn forget(&mut self, kept: Kept) {
        let mut surplus = self.blocks.len().saturating_sub(kept.lines);
        let length = |block: &Block| block.line.text.len();
        self.bytes -= self.blocks.iter().take(surplus).map(length).sum::<usize>();
        while self.bytes > kept.bytes && surplus + 1 < self.blocks.len() {
            self.bytes -= self.blocks.get(surplus).map_or(0, length);
            surplus += 1;
        }
        if surplus > 0 {
            self.forget_unread(surplus);
            let lines = self.blocks.drain(..surplus).map(|block| block.line);
            let is_here_alone = |line: &Line| line.place.is_none() && message_of(line).is_none();
            self.alarms
                .extend(lines.filter(|line| line.kind == Kind::Alarm && is_here_alone(line)));
            let beyond = self.alarms.len().saturating_sub(ALARMS_MAX);
            self.alarms.drain(..beyond);
            self.first = self.first.saturating_add_unsigned(u64::try_from(surplus).unwrap_or(0));
            (self.older, self.reached) = (Older::Perhaps, None);
        }
    }

    /// The first line that nobody has looked at may be among so many that are forgotten. Where it does not come back, the
    /// next one takes its place.
    fn forget_unread(&mut self, surplus: usize) {
        let Some(Unread::Here(number)) = self.unread else { return };
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(at) = at.filter(|at| *at < surplus) else { return };
        let comes_back = |line: &Line| line.kind == Kind::Alarm || message_of(line).is_some();
        let mut behind = self.blocks.iter().zip(self.first..).enumerate().skip(at);
        let next = behind.find(|(at, (block, _))| *at >= surplus || comes_back(&block.line));
        self.unread = next.map(|(at, (block, number))| {
            if at < surplus { Unread::Gone(Mark::of(&block.line)) } else { Unread::Here(number) }
        });
    }

    /// Who spoke last, newest first.
    pub(crate) fn speakers(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for block in self.blocks.iter().rev().take(LOOKED_BACK_MAX) {
            let Some(who) = &block.line.who else { continue };
            if block.line.kind == Kind::Said && !names.contains(who) {
                names.push(who.clone());
            }
            if names.len() == SPEAKERS_MAX {
                break;
            }
        }
        names
    }
}

/// The message that a line is: what the home has under this writer and id.
fn message_of(line: &Line) -> Option<(UserName, MessageId)> {
    Some((line.from.clone()?, line.id?))
}

/// Stands for output beyond the bound.
const OUTPUT_CUT: &str = "(more output is not kept)";

#[cfg(test)]
mod tests;
