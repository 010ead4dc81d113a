//! The state of the terminal around the line editor: how it was before, and how the editor needs it.

use std::io::{self, Write as _};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

use crate::signals::stop_here;

/// The editor asks the terminal to mark what is pasted; a shell does not expect such marks.
const PASTE_MARKS_ON: &str = "\u{1b}[?2004h";
const PASTE_MARKS_OFF: &str = "\u{1b}[?2004l";

/// The terminal as it was found, put back when this is dropped: whatever ends the chat.
///
/// As long as the chat has the terminal it is set for the editor, between two lines too. What is typed then waits in its
/// order until the editor reads on: a terminal that made a signal of Ctrl-C would let it overtake the keys before it, and
/// what they typed would stand in the next line.
pub(super) struct TerminalState(Option<Termios>);

impl TerminalState {
    /// Notes how the terminal is now, and sets it for the editor, if there is one: without it lines are read as the
    /// terminal gives them.
    pub(super) fn taken(is_edited: bool) -> Self {
        let this = Self(is_edited.then(|| tcgetattr(io::stdin()).ok()).flatten());
        this.ready_for_editor();
        this
    }

    /// Sets the terminal for the editor: each key at once, and none of them means anything to the terminal.
    pub(super) fn ready_for_editor(&self) {
        if self.0.is_none() {
            return;
        }
        let Ok(mut state) = tcgetattr(io::stdin()) else { return };
        state.input_modes.remove(
            InputModes::BRKINT
                | InputModes::ICRNL
                | InputModes::INPCK
                | InputModes::ISTRIP
                | InputModes::IXON,
        );
        state
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG);
        state.special_codes[SpecialCodeIndex::VMIN] = 1;
        state.special_codes[SpecialCodeIndex::VTIME] = 0;
        // A terminal that is gone is seen by the editor.
        tcsetattr(io::stdin(), OptionalActions::Drain, &state).ok();
    }

    /// Gives the terminal back as it was found, for a while or for good, to somebody else who reads what is typed.
    pub(super) fn give_back(&self) {
        if let Some(found) = &self.0 {
            tcsetattr(io::stdin(), OptionalActions::Drain, found).ok();
        }
    }

    /// Stops this process as the terminal would have done, until somebody lets it go on.
    ///
    /// # Errors
    /// The system does not let it stop.
    pub(super) fn suspend(&self) -> io::Result<()> {
        self.give_back();
        self.mark_pastes(PASTE_MARKS_OFF);
        let stopped = stop_here();
        self.ready_for_editor();
        self.mark_pastes(PASTE_MARKS_ON);
        stopped
    }

    fn mark_pastes(&self, marks: &str) {
        if self.0.is_some() {
            let mut output = io::stdout().lock();
            write!(output, "{marks}").and_then(|()| output.flush()).ok();
        }
    }
}

impl Drop for TerminalState {
    fn drop(&mut self) {
        let Some(found) = &self.0 else { return };
        if tcgetattr(io::stdin()).is_ok_and(|now| now.local_modes != found.local_modes) {
            self.give_back();
            // The line that was being typed stays, and what follows begins a new one.
            self.mark_pastes(&format!("{PASTE_MARKS_OFF}\n"));
        }
    }
}
