//! The terminal while the whole screen is ours, and how it was before.

use std::io::{self, Stdout};
use std::panic;
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// A panic puts the terminal back before it is told.
static HOOK: Once = Once::new();

/// The whole screen. Whatever ends the program puts the terminal back.
pub(super) struct FullScreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl FullScreen {
    /// Takes the screen, with the mouse or without it.
    pub(super) fn take(has_mouse: bool) -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                put_back();
                before(panic);
            }));
        });
        let taken = Self { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))? };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        if has_mouse {
            execute!(io::stdout(), EnableMouseCapture)?;
        }
        Ok(taken)
    }

    /// Draws on it.
    pub(super) fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<Stdout>> {
        &mut self.terminal
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        put_back();
    }
}

/// A terminal that is gone needs nothing of it.
fn put_back() {
    let output = &mut io::stdout();
    execute!(output, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, Show).ok();
    disable_raw_mode().ok();
}
