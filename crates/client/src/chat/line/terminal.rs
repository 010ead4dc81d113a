//! The state of the terminal around the line editor: how it was before, and how the editor needs it.

use std::io::{self, Write as _};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// The editor asks the terminal to mark what is pasted; a shell does not expect such marks.
const PASTE_MARKS_OFF: &str = "\u{1b}[?2004l";

/// The terminal as it was found, put back when this is dropped: whatever ends the chat.
pub(super) struct TerminalState(Option<Termios>);

impl TerminalState {
    /// Notes how the terminal is now.
    pub(super) fn found() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }

    /// The editor is reading and somebody else has set the terminal up meanwhile: a shell from which this
    /// program comes back into the foreground.
    pub(super) fn ready_for_editor(&self) {
        if self.0.is_none() {
            return;
        }
        let Ok(mut state) = tcgetattr(io::stdin()) else { return };
        // As the editor sets it: each key at once, and none of them means anything to the terminal.
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
}

impl Drop for TerminalState {
    fn drop(&mut self) {
        let Some(found) = &self.0 else { return };
        if tcgetattr(io::stdin()).is_ok_and(|now| now.local_modes != found.local_modes) {
            tcsetattr(io::stdin(), OptionalActions::Drain, found).ok();
            let mut output = io::stdout().lock();
            // The line that was being typed stays, and what follows begins a new one.
            writeln!(output, "{PASTE_MARKS_OFF}").and_then(|()| output.flush()).ok();
        }
    }
}
