//! For a person at a terminal: what arrives is printed above the line that is being typed.
//!
//! The main loop waits for nobody who may be waiting for it: `screen` draws beside it, and the editor reads
//! the next line when it is told to.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chat_protocol::sanitise;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use super::identity::NOTHING_CHANGED;
use super::outbox::TOGETHER;
use super::{Said, Talk};
use crate::diagnostics::{self, Diverted};
use crate::exit::ExitStatus;
use crate::signals::{ended, interrupted, pressed};
use crate::start::Failure;
use chat_device::client::Events;

mod keyboard;
mod screen;
mod terminal;

use keyboard::{Keyboard, Typed};
use screen::Screen;
use terminal::TerminalState;

/// Ctrl-C twice within this time leaves.
const TWICE: Duration = Duration::from_secs(2);

/// How long leaving may wait for answers.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// After so long it is said what leaving waits for.
const LEAVE_SILENCE: Duration = Duration::from_secs(1);

/// How long the prompt waits for the answer about the room that was gone to, or for what is to be
/// compared.
const GOING_TIMEOUT: Duration = Duration::from_secs(2);

/// So long a program that is ended waits until the server has its goodbye.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// After a line the next prompt waits so long for what the line comes to. The editor may hold up what is
/// shown, so it is not waited for any longer.
const TURN_TIMEOUT: Duration = Duration::from_millis(100);

/// Where things are said and typed.
struct Desk {
    screen: Screen,
    keyboard: Keyboard,
    terminal: TerminalState,
    /// Lines of the log.
    log: Diverted,
    /// When the next line is read at the latest; none while one is read.
    turn_due: Option<Instant>,
    /// Until then the prompt waits for an answer.
    waits_until: Option<Instant>,
    interrupted_at: Option<Instant>,
    /// The editor reads a line.
    is_reading: bool,
    /// A line that was not sent; the editor begins the next one with it.
    draft: String,
    /// What the editor has begun its line with.
    offered: String,
}

/// Why the conversation is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The person leaves.
    Left,
    /// Somebody ends this program.
    Ended,
}

/// Talks until the person leaves.
pub(super) async fn talk(mut talk: Talk, mut events: Events) -> Result<ExitStatus, Failure> {
    talk.returns = true;
    talk.rooms.is_typing = true;
    let (names, rooms) = (Arc::clone(&talk.names), Arc::clone(&talk.rooms.names));
    let prompt = Arc::clone(&talk.rooms.prompt);
    let words = keyboard::Words { names, rooms, prompt, draft: Arc::default() };
    let terminal = TerminalState::found();
    let (screen, keyboard) = keyboard::open(words)?;
    let mut desk = Desk {
        screen,
        keyboard,
        terminal,
        log: diagnostics::divert(),
        turn_due: None,
        waits_until: None,
        interrupted_at: None,
        // The first line is read without being told to.
        is_reading: true,
        draft: String::new(),
        offered: String::new(),
    };
    desk.screen.turn(true);
    desk.screen.print("· /help lists the commands, USER*TEXT writes to one person, /quit leaves");
    for line in talk.earlier().await {
        desk.screen.print(&line);
    }
    match converse(&mut talk, &mut events, &mut desk).await {
        Ok(Over::Left) => leave(talk, events, desk).await,
        Ok(Over::Ended) => {
            drop(timeout(END_TIMEOUT, talk.end()).await);
            Ok(ExitStatus::Interrupted)
        }
        Err(failure) => {
            last_words(&mut desk, &failure).await;
            Err(failure)
        }
    }
}

/// Says why it cannot go on. The terminal is the keyboard's until the line that it reads has ended, and what
/// was not sent stands there; whoever goes on typing is told that it goes nowhere.
async fn last_words(desk: &mut Desk, failure: &Failure) {
    desk.screen.print(&format!("✗ {failure}\n· press Enter to leave; nothing more is sent"));
    desk.go_on();
    let mut ends = pin!(ended());
    loop {
        tokio::select! {
            typed = desk.keyboard.next() => {
                desk.line_has_ended();
                let Some(Typed::Line(line)) = typed else { break };
                if line.trim().is_empty() || line == desk.offered {
                    break;
                }
                desk.screen.print(&format!("✗ this was not sent: {}", sanitise::line(&line)));
                desk.draft = line;
                desk.go_on();
            }
            printed = desk.screen.printed() => if printed.is_err() { break },
            () = &mut ends => break,
        }
    }
    // What fails here fails with a reason that is told anyway.
    desk.screen.finish().await.ok();
}

/// Takes turns between what is typed and what happens.
async fn converse(talk: &mut Talk, events: &mut Events, desk: &mut Desk) -> Result<Over, Failure> {
    let mut ends = pin!(ended());
    let mut foreground = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    loop {
        let due = [talk.outbox.due(), talk.unstarted.due(), desk.turn_due, desk.waits_until];
        let due = earliest(due);
        let takes = !desk.screen.is_full();
        let mut is_typed = false;
        let said = tokio::select! {
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let mut said = talk.take_back_unstarted(Instant::now()).await;
                said.lines.extend(talk.outbox.take(Instant::now()));
                said
            }
            event = events.next(), if takes => talk.happened(event).await?,
            news = talk.files.next(), if takes => talk.file_news(news),
            line = desk.log.next(), if takes => Said::line(line),
            printed = desk.screen.printed() => {
                for key in printed? {
                    talk.client.consumed(key).await;
                }
                Said::default()
            }
            typed = desk.keyboard.next() => {
                desk.line_has_ended();
                is_typed = true;
                desk.typed(talk, typed).await?
            }
            _ = foreground.recv() => {
                if desk.turn_due.is_none() && desk.waits_until.is_none() {
                    desk.terminal.ready_for_editor();
                    Said::line("· back in the foreground")
                } else {
                    Said::default()
                }
            }
            // Between two lines the terminal makes a signal of Ctrl-C.
            () = pressed() => desk.interrupted(talk),
            () = &mut ends => return Ok(Over::Ended),
        };
        let is_over = said.is_over;
        if let Some(draft) = &said.draft {
            draft.clone_into(&mut desk.draft);
        }
        desk.screen.show(talk.with_day(said));
        if is_over {
            return Ok(Over::Left);
        }
        desk.take_turns(talk, is_typed);
    }
}

impl Desk {
    /// What comes of a key or a line.
    async fn typed(&mut self, talk: &mut Talk, typed: Option<Typed>) -> Result<Said, Failure> {
        Ok(match typed {
            Some(Typed::Line(line)) => {
                self.interrupted_at = None;
                talk.read(&line).await?
            }
            Some(Typed::NotUtf8) => Said::line(
                "✗ a byte that is not UTF-8 was typed and left out; is the terminal set to UTF-8?",
            ),
            Some(Typed::Interrupt) => self.interrupted(talk),
            Some(Typed::End) | None => Said::over(),
        })
    }

    /// What comes of Ctrl-C.
    fn interrupted(&mut self, talk: &mut Talk) -> Said {
        if talk.leave_question() {
            return Said::line(NOTHING_CHANGED);
        }
        let is_twice = self.interrupted_at.is_some_and(|at| at.elapsed() < TWICE);
        self.interrupted_at = Some(Instant::now());
        if is_twice { Said::over() } else { Said::line("· Ctrl-C again, or /quit, leaves") }
    }

    /// Lets the editor read the next line when it is time. The prompt says where text goes, or what it is the
    /// answer to: it waits for a moment for whoever may be refused, and until the last line is shown.
    fn take_turns(&mut self, talk: &mut Talk, is_typed: bool) {
        let now = Instant::now();
        if is_typed {
            talk.rooms.is_typing = false;
            if talk.holds_prompt() {
                self.waits_until = Some(now + GOING_TIMEOUT);
            } else {
                self.turn_due = Some(now + TURN_TIMEOUT);
            }
        }
        if let Some(until) = self.waits_until
            && (until <= now || !talk.holds_prompt())
        {
            talk.rooms.stop_waiting();
            self.waits_until = None;
            self.turn_due = Some(now + TURN_TIMEOUT);
        }
        if self.turn_due.is_some_and(|due| due <= now || self.screen.is_idle()) {
            self.turn_due = None;
            talk.rooms.is_typing = true;
            self.go_on();
        }
    }

    /// Lets the editor read the next line, if it reads none.
    fn go_on(&mut self) {
        if std::mem::replace(&mut self.is_reading, true) {
            return;
        }
        self.offered = std::mem::take(&mut self.draft);
        self.screen.turn(true);
        self.keyboard.go_on(self.offered.clone());
    }

    fn line_has_ended(&mut self) {
        self.is_reading = false;
        self.screen.turn(false);
    }
}

fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

/// Waits for the answers while there is a connection, and says what stays open.
async fn leave(mut talk: Talk, mut events: Events, mut desk: Desk) -> Result<ExitStatus, Failure> {
    let client = talk.client.clone();
    let waits = client.clone();
    let mut flush = pin!(timeout(LEAVE_TIMEOUT, waits.flush()));
    let is_answered = if let Ok(answered) = timeout(LEAVE_SILENCE, &mut flush).await {
        answered == Ok(true)
    } else {
        let seconds = LEAVE_TIMEOUT.as_secs();
        desk.screen.print(&format!(
            "· waiting for the answers to what you wrote, {seconds} s at most; Ctrl-C leaves now"
        ));
        tokio::select! {
            answered = &mut flush => answered == Ok(true),
            () = interrupted() => false,
        }
    };
    while let Some(event) = events.try_next() {
        let said = talk.happened(Some(event)).await?;
        desk.screen.show(said);
    }
    for line in talk.outbox.take(Instant::now() + TOGETHER) {
        desk.screen.print(&line);
    }
    if !is_answered {
        desk.screen.print("· what has no answer yet is sent at the next start");
    }
    for line in talk.give_up_unstarted().await {
        desk.screen.print(&line);
    }
    for key in desk.screen.finish().await? {
        client.consumed(key).await;
    }
    client.leave().await;
    Ok(ExitStatus::Ok)
}
