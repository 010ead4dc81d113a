//! What happens inside, on standard error, for whoever asks for it with `-v`; and where colours may be.

use std::env;
use std::future::pending;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use crate::config::Verbosity;

/// Lines that wait for the screen: a full screen of a large terminal. Later ones are counted.
const WAITING_MAX: usize = 256;

/// The screen on which somebody types, while there is one.
static SCREEN: Mutex<Option<Screen>> = Mutex::new(None);

/// Where lines go that would tear the one that is typed.
struct Screen {
    lines: mpsc::Sender<String>,
    /// Lines that found no room since the last that did.
    lost: u64,
}

/// Lines for the screen. Without this they go to standard error again, those that wait first.
pub struct Diverted(mpsc::Receiver<String>);

/// Standard error, or the screen.
struct Log;

/// Starts the lines on standard error: nothing but errors unless asked for. `RUST_LOG` wins where it says
/// something.
pub fn start(verbosity: Verbosity) {
    let asked = env::var(EnvFilter::DEFAULT_ENV).ok().filter(|asked| !asked.is_empty());
    let asked = asked.and_then(|asked| EnvFilter::try_new(asked).ok());
    let filter = asked.unwrap_or_else(|| EnvFilter::new(directives(verbosity)));
    let is_coloured = io::stderr().is_terminal() && !is_plain();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Log)
        .with_ansi(is_coloured)
        // A line that standard error does not take is lost; saying so there would end the process.
        .log_internal_errors(false);
    log.init();
}

/// Gives the lines to a screen on which somebody types, where standard error is the same terminal.
pub fn divert() -> Diverted {
    let (lines, waiting) = mpsc::channel(WAITING_MAX);
    if io::stderr().is_terminal() {
        *screen() = Some(Screen { lines, lost: 0 });
    }
    Diverted(waiting)
}

fn screen() -> MutexGuard<'static, Option<Screen>> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Diverted {
    /// The next line. May be dropped at any time without loss.
    pub async fn next(&mut self) -> String {
        match self.0.recv().await {
            Some(line) => line,
            None => pending().await,
        }
    }
}

impl Drop for Diverted {
    fn drop(&mut self) {
        *screen() = None;
        while let Ok(line) = self.0.try_recv() {
            // A line that standard error does not take is lost.
            writeln!(io::stderr(), "{line}").ok();
        }
    }
}

impl Screen {
    fn take(&mut self, line: &str) {
        let line = match self.lost {
            0 => line.to_owned(),
            lost => format!("({lost} lines of the log are left out)\n{line}"),
        };
        let is_taken = self.lines.try_send(line).is_ok();
        self.lost = if is_taken { 0 } else { self.lost.saturating_add(1) };
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut screen = screen();
        let Some(screen) = screen.as_mut() else { return io::stderr().write(bytes) };
        screen.take(&without_colours(String::from_utf8_lossy(bytes).trim_end()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// A line without the sequences that colour it: a screen has its own, and shows others as what they are.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let colour = part
            .split_once('m')
            .filter(|(codes, _)| codes.bytes().all(|code| code.is_ascii_digit() || code == b';'));
        match colour {
            Some((_, rest)) => plain.push_str(rest),
            None => plain.extend(["\u{1b}[", part]),
        }
    }
    plain
}

/// What is told: of our own crates, whose names all begin so, as much as was asked for; of the libraries
/// errors only, whatever was asked for.
fn directives(verbosity: Verbosity) -> String {
    let own = match verbosity {
        Verbosity::Quiet | Verbosity::Normal => "error",
        Verbosity::Verbose => "info",
        Verbosity::Debug => "debug",
    };
    // A certificate that no authority knows is no error here: it is pinned.
    format!("error,chat_={own},rustls_platform_verifier=off")
}

/// Whether a terminal is to be shown no colours and no faint letters, as `NO_COLOR` or a terminal without
/// them says.
pub fn is_plain() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || is_dumb()
}

/// Whether a terminal knows no sequences, as its name in TERM says or as it has none, or whoever listens to it must not
/// hear them.
pub fn is_dumb() -> bool {
    let name = env::var("TERM").unwrap_or_default();
    matches!(name.as_str(), "" | "dumb" | "unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a line of the log can be read on a screen. (The build before showed the codes of its colours.)
    #[test]
    fn a_line_for_a_screen_has_no_colours_of_its_own() {
        let coloured = "\u{1b}[2m06:30\u{1b}[0m \u{1b}[1;32m INFO\u{1b}[0m said \u{1b}[2J";
        assert_eq!(without_colours(coloured), "06:30  INFO said \u{1b}[2J");
        assert_eq!(without_colours("plain"), "plain");
    }
}
