//! What a script's next line waits for: the answer of the command before it, and at the start the names
//! that lines are read by.
//!
//! Texts need no waiting, because they are chained. `/run` is waited for until the server has it: its
//! end may be hours away.

use std::collections::HashSet;

use chat_endpoint::Event;
use chat_protocol::id::MessageId;

use super::{Said, Talk};
use chat_text::show::Detail;

/// Commands without an answer.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    commands: HashSet<MessageId>,
    /// Lists of files.
    pub(super) findings: usize,
    /// Orders about files other than those that fetch.
    pub(super) files: usize,
    /// Lists of people that somebody asked to see.
    pub(super) people: usize,
    /// The names that lines are read by have not come in time; lines are read as they are typed.
    pub(super) names_are_late: bool,
}

impl Awaited {
    /// A command is on its way.
    pub(super) fn expect(&mut self, id: MessageId) {
        self.commands.insert(id);
    }

    /// Takes an answer.
    pub(super) fn take(&mut self, event: &Event) {
        let ended = match event {
            Event::Ended { re, .. } => Some(*re),
            event => event.answers(),
        };
        if let Some(id) = ended {
            self.commands.remove(&id);
        }
    }

    /// Lists that were asked for are not answered after a loss of the connection.
    pub(super) fn offline(&mut self) {
        self.people = 0;
    }
}

impl Talk {
    /// What is said instead of asking for what only a connection answers: nothing asks again when it is back.
    pub(super) fn without_connection(&self) -> Option<Said> {
        let reason = "there is no connection to the server; ask again when there is one";
        (!self.is_online).then(|| self.error(reason))
    }

    /// What is said of something that goes out when there is a connection.
    pub(super) fn queued(&self) -> Said {
        if self.is_online || self.lines.detail == Detail::Full {
            return Said::default();
        }
        Said::line("… queued")
    }

    /// Whether the next line of a script has to wait.
    pub(super) fn waits_for_answers(&self) -> bool {
        let Awaited { commands, findings, files, names_are_late, .. } = &self.awaited;
        let lacks_names = !self.has_begun || self.silent_lists > 0 || self.rooms.waits_for_names();
        (lacks_names && !names_are_late)
            || !commands.is_empty()
            || *findings > 0
            || *files > 0
            || self.waits_for_connection()
    }

    /// Whether something was asked for that only this connection answers.
    pub(super) fn waits_for_connection(&self) -> bool {
        self.awaited.people > 0
            || !self.lists.is_empty()
            || !self.grants.is_empty()
            || !self.looking.is_empty()
            || self.rooms.waits_for_lists()
    }
}
