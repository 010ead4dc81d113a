//! From the command line to a home that is open, with something on the screen while that lasts.

use std::io::{self, Write as _};
use std::sync::Arc;

use chat_device::client::{Client, Events};
use chat_device::sign_in::{HomeAccount, Next, aside};
use chat_protocol::handshake::Purpose;
use chat_protocol::sanitise;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue};

use crate::chat::Beginning;
use crate::prompt::TerminalPrompt;
use crate::signals::interrupted;
use crate::start::{self, Failure};

/// Says what goes on. The terminal stays as it is otherwise: Ctrl-C ends the program.
struct Curtain;

impl Curtain {
    fn raise(words: &str) -> io::Result<Self> {
        let mut output = io::stdout();
        execute!(output, EnterAlternateScreen)?;
        let curtain = Self;
        queue!(output, Hide, Clear(ClearType::All), MoveTo(0, 0))?;
        write!(output, "{}", sanitise::line(words))?;
        output.flush()?;
        Ok(curtain)
    }
}

impl Drop for Curtain {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing of it.
        execute!(io::stdout(), LeaveAlternateScreen, Show).ok();
    }
}

/// A device that is signed in or opened, and what was said on the way.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) says: Vec<String>,
}

/// Opens the home where there is one, without waiting for the server; else signs in. Questions are asked on the
/// terminal as it was.
pub(super) async fn open(
    beginning: &Beginning<'_>,
    needs_no_server: bool,
) -> Result<Opened, Failure> {
    tokio::select! {
        opened = Box::pin(through(beginning, needs_no_server)) => opened,
        () = interrupted() => Err(Failure::Interrupted),
    }
}

async fn through(beginning: &Beginning<'_>, needs_no_server: bool) -> Result<Opened, Failure> {
    let words = format!("Opening the home of {} …", beginning.user);
    let account = HomeAccount { needs_no_server, ..beginning.account() };
    let (connector, user) = (Arc::clone(&beginning.connector), beginning.user.clone());
    let mut dialog =
        start::dialog(beginning.common, connector, user, Purpose::Interactive, account)?;
    let mut curtain = Some(Curtain::raise(&words)?);
    let mut says: Vec<String> = Vec::new();
    while let Some(next) = dialog.next().await {
        if let Next::Says(text) = next {
            says.push(text);
            continue;
        }
        drop(curtain.take());
        // Before the question, and not again on the screen.
        says.drain(..).for_each(|text| TerminalPrompt::say(&text));
        aside(move || TerminalPrompt::meet(next)).await?;
        curtain = Some(Curtain::raise(&words)?);
    }
    drop(curtain);
    let ended = dialog.end();
    if ended.is_err() {
        says.drain(..).for_each(|text| TerminalPrompt::say(&text));
    }
    let (client, events) = ended?;
    says.extend(beginning.words_for_newcomers(&client).await);
    Ok(Opened { client, events, says })
}
