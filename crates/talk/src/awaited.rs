//! What a script's next line waits for: the answer of the command before it, and at the start the names
//! that lines are read by.
//!
//! Texts need no waiting, because they are chained. `/run` is waited for until the server has it: its
//! end may be hours away.

use std::collections::HashSet;

use chat_device::client::SendError;
use chat_endpoint::Event;
use chat_protocol::id::MessageId;
use chat_text::hints;
use chat_text::item::What;
use tokio::time::Instant;

use crate::talk::Talk;
use crate::told::Told;

/// Messages without an answer; above it no further line is taken, so that a long file does not
/// pile up in memory and in the home.
const OPEN_MAX: usize = 512;

/// Commands without an answer.
#[derive(Debug, Default)]
pub(crate) struct Awaited {
    commands: HashSet<MessageId>,
    /// Lists of files.
    pub(crate) findings: usize,
    /// Orders about files other than those that fetch.
    pub(crate) files: usize,
    /// Lists of people that somebody asked to see.
    pub(crate) people: usize,
    /// The connection was there once.
    pub(crate) has_begun: bool,
    /// The names that lines are read by have not come in time; lines are read as they are typed.
    names_are_late: bool,
    /// The next line of a script waits so long for a connection that was asked for.
    pub(crate) returns_until: Option<Instant>,
}

impl Awaited {
    /// A command is on its way.
    pub(crate) fn expect(&mut self, id: MessageId) {
        self.commands.insert(id);
    }

    /// Takes an answer.
    pub(crate) fn take(&mut self, event: &Event) {
        let ended = match event {
            Event::Ended { re, .. } => Some(*re),
            event => event.answers(),
        };
        if let Some(id) = ended {
            self.commands.remove(&id);
        }
    }
}

impl Talk {
    /// What is said instead of asking for what only a connection answers: nothing asks again when it is back.
    pub(crate) fn without_connection(&self) -> Option<Told> {
        let reason = "there is no connection to the server; ask again when there is one";
        (!self.is_online()).then(|| Told::error(reason))
    }

    /// What is said of something that goes out when there is a connection.
    pub(crate) fn queued(&self) -> Told {
        if self.is_online() { Told::default() } else { What::Queued.into() }
    }

    /// Notes what was asked for under an id; or what is said instead.
    pub(crate) fn ordered(
        &mut self,
        asked: Result<MessageId, SendError>,
    ) -> Result<MessageId, Told> {
        match asked {
            Ok(id) => {
                self.open.insert(id);
                self.awaited.expect(id);
                Ok(id)
            }
            // The reason is in the last event.
            Err(SendError::Stopped) => Err(Told::default()),
            Err(error) => Err(Told::error(hints::not_sent(&error))),
        }
    }

    /// The connection is gone, and with it the questions.
    pub(crate) fn forget_questions(&mut self) -> Told {
        let is_lost = self.waits_for_connection();
        self.awaited.people = 0;
        self.rooms.forget_questions();
        self.lists.clear();
        self.grants.clear();
        self.looking.clear();
        if !is_lost {
            return Told::default();
        }
        Told::error("the connection went away before all that was asked was answered; ask again")
    }

    /// Whether something that a line asked for is still under way.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty() || self.waits_for_answers() || self.files.is_busy()
    }

    /// Whether the next line of a script may be read. With `alone` each line waits for the answers of those before
    /// it.
    pub fn takes_line(&self, alone: bool) -> bool {
        let open_max = if alone { 1 } else { OPEN_MAX };
        self.open.len() < open_max && !self.waits_for_answers()
    }

    /// Lines are read as they are typed from now on, whatever names are still to come.
    pub fn wait_for_no_names(&mut self) {
        self.awaited.names_are_late = true;
    }

    /// Whether the next line of a script has to wait.
    fn waits_for_answers(&self) -> bool {
        let Awaited { commands, findings, files, has_begun, names_are_late, .. } = &self.awaited;
        let is_returning = self.awaited.returns_until.is_some_and(|until| Instant::now() < until);
        let lacks_names = !has_begun || self.silent_lists > 0 || self.rooms.waits_for_names();
        (lacks_names && !names_are_late)
            || !commands.is_empty()
            || *findings > 0
            || *files > 0
            || is_returning
            || self.waits_for_connection()
    }

    /// Whether something was asked for that only this connection answers.
    fn waits_for_connection(&self) -> bool {
        self.awaited.people > 0
            || !self.lists.is_empty()
            || !self.grants.is_empty()
            || !self.looking.is_empty()
            || self.rooms.waits_for_lists()
    }
}
