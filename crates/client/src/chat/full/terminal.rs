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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Set in the environment of the program that panics.
    const PANICS: &str = "CHAT_TEST_PANICS_AT_SCREEN";

    /// The program that the next test starts: by itself it does nothing.
    #[test]
    fn panics_at_the_screen() {
        if std::env::var_os(PANICS).is_some() {
            let _full = FullScreen::take(true).unwrap();
            panic!("on purpose");
        }
    }

    /// Goal: after a panic the terminal is as it was, and what has happened stands on it.
    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_told() {
        let program = std::env::current_exe().unwrap();
        let test = "chat::full::terminal::tests::panics_at_the_screen";
        let line = format!("'{}' --exact {test} --nocapture; stty -a", program.display());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        let told = script.env("TERM", "xterm").env(PANICS, "1").stdin(Stdio::null()).output();
        let told = String::from_utf8_lossy(&told.unwrap().stdout).into_owned();
        let at = |part: &str| told.find(part).unwrap_or_else(|| panic!("no {part:?} in {told:?}"));
        assert!(at("\u{1b}[?1049h") < at("\u{1b}[?1049l"), "{told:?}");
        assert!(at("\u{1b}[?1049l") < at("on purpose"), "{told:?}");
        let settings = told.get(at("speed ")..).unwrap_or_default();
        for set in ["icanon", "echo", "isig", "icrnl"] {
            assert!(settings.split_whitespace().any(|word| word == set), "{set}: {settings}");
        }
    }
}
