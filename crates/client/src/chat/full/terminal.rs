//! The terminal while the whole screen is ours, and how it was before.

use std::io::{self, BufWriter, Stdout};
use std::panic;
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Size;
use ratatui::{Frame, Terminal};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// A panic puts the terminal back before it is told.
static HOOK: Once = Once::new();

/// Bytes of a frame that are written at once: a wide screen that is drawn as a whole, with its colours.
const FRAME_BYTES: usize = 64 * 1_024;

type Output = CrosstermBackend<BufWriter<Stdout>>;

/// The whole screen. Whatever ends the program puts the terminal back.
pub(super) struct FullScreen {
    terminal: Terminal<Output>,
    has_mouse: bool,
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
        let taken = Self { terminal: fresh()?, has_mouse };
        enable_raw_mode()?;
        taken.set_up()?;
        Ok(taken)
    }

    /// Takes it once more, whatever somebody else has made of the terminal meanwhile, and forgets what stands there: the
    /// next frame is drawn as a whole. The terminal is never as it was before in between: what is typed ahead keeps its
    /// meaning.
    pub(super) fn take_again(&mut self) -> io::Result<()> {
        let mut modes = tcgetattr(io::stdin())?;
        modes.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        self.set_up()?;
        execute!(io::stdout(), Clear(ClearType::All))?;
        // A terminal that is cleared by its owner is asked for its cursor first, and one that does not answer is an
        // error.
        self.terminal = fresh()?;
        Ok(())
    }

    /// The modes of the terminal that do not stand in its settings.
    fn set_up(&self) -> io::Result<()> {
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        if self.has_mouse {
            execute!(io::stdout(), EnableMouseCapture)?;
        }
        Ok(())
    }

    /// Takes the mouse, or leaves it to the terminal.
    pub(super) fn set_mouse(&mut self, on: bool) -> io::Result<()> {
        if std::mem::replace(&mut self.has_mouse, on) == on {
            return Ok(());
        }
        if on {
            execute!(io::stdout(), EnableMouseCapture)
        } else {
            execute!(io::stdout(), DisableMouseCapture)
        }
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> io::Result<Size> {
        self.terminal.size()
    }

    /// Draws a frame, which a terminal that knows how (mode 2026) shows as a whole or not at all.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let drawn = self.terminal.draw(draw).map(drop);
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        drawn
    }
}

/// A terminal of which nothing is known.
fn fresh() -> io::Result<Terminal<Output>> {
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout())))
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        put_back();
    }
}

/// A terminal that is gone needs nothing of it.
fn put_back() {
    let output = &mut io::stdout();
    // A frame may have been begun.
    execute!(output, EndSynchronizedUpdate).ok();
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
