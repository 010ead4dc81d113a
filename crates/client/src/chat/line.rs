//! For a person at a terminal: what arrives is printed above the line that is being typed.

use std::io::{self, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::identity::NOTHING_CHANGED;
use super::outbox::TOGETHER;
use super::{Said, Talk};
use crate::client::Events;
use crate::exit::ExitStatus;
use crate::oneshot::interrupted;
use crate::start::Failure;

mod keyboard;

use keyboard::{Keyboard, Screen, Typed};

/// Ctrl-C twice within this time leaves.
const TWICE: Duration = Duration::from_secs(2);

/// How long leaving may wait for answers.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// After so long it is said what leaving waits for.
const LEAVE_SILENCE: Duration = Duration::from_secs(1);

/// How long the prompt waits for the answer about the room that was gone to, or for what is to be
/// compared.
const GOING_TIMEOUT: Duration = Duration::from_secs(2);

/// Empties the screen and puts the cursor in its corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Talks until the person leaves.
pub(super) async fn talk(mut talk: Talk, mut events: Events) -> Result<ExitStatus, Failure> {
    talk.returns = true;
    let words =
        keyboard::Words { names: Arc::clone(&talk.names), rooms: Arc::clone(&talk.rooms.names) };
    let (mut screen, mut keyboard) = keyboard::open(words, Arc::clone(&talk.rooms.prompt))?;
    screen.print("· /help lists the commands, USER*TEXT writes to one person, /quit leaves")?;
    for line in talk.earlier().await {
        screen.print(&line)?;
    }
    let ended = converse(&mut talk, &mut events, &mut screen, &mut keyboard).await;
    if let Err(failure) = ended {
        // The terminal is the keyboard's until the line that it reads has ended.
        screen.print(&format!("✗ {failure}"))?;
        screen.print("· press Enter to leave")?;
        keyboard.next().await;
        return Err(failure);
    }
    leave(talk, events, screen).await
}

/// Takes turns between what is typed and what happens.
async fn converse(
    talk: &mut Talk,
    events: &mut Events,
    screen: &mut Screen,
    keyboard: &mut Keyboard,
) -> Result<(), Failure> {
    let mut interrupted_at: Option<Instant> = None;
    let mut waits_until: Option<Instant> = None;
    loop {
        let due = talk.outbox.due();
        let mut is_late = false;
        let (said, is_typed) = tokio::select! {
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                (Said { lines: talk.outbox.take(Instant::now()), ..Said::default() }, false)
            }
            event = events.next() => (talk.happened(event).await?, false),
            news = talk.files.next() => (talk.file_news(news), false),
            typed = keyboard.next() => (match typed {
                Some(Typed::Line(line)) => {
                    interrupted_at = None;
                    talk.read(&line).await?
                }
                Some(Typed::Interrupt) if talk.leave_question() => Said::line(NOTHING_CHANGED),
                Some(Typed::Interrupt) => {
                    let is_twice = interrupted_at.is_some_and(|at| at.elapsed() < TWICE);
                    interrupted_at = Some(Instant::now());
                    if is_twice { Said::over() } else { Said::line("· Ctrl-C again, or /quit, leaves") }
                }
                Some(Typed::End) | None => Said::over(),
            }, true),
            () = sleep_until(waits_until.unwrap_or_else(Instant::now)), if waits_until.is_some() => {
                talk.rooms.stop_waiting();
                is_late = true;
                (Said::default(), false)
            }
        };
        let is_over = said.is_over;
        show(talk, screen, said).await?;
        if is_over {
            return Ok(());
        }
        // The next prompt says where text goes, or what it is the answer to: who was refused is not
        // there.
        if is_typed && talk.holds_prompt() {
            waits_until = Some(Instant::now() + GOING_TIMEOUT);
        } else if is_typed || is_late || (waits_until.is_some() && !talk.holds_prompt()) {
            waits_until = None;
            keyboard.go_on();
        }
    }
}

/// Waits for the answers while there is a connection, and says what stays open.
async fn leave(
    mut talk: Talk,
    mut events: Events,
    mut screen: Screen,
) -> Result<ExitStatus, Failure> {
    let client = talk.client.clone();
    let waits = client.clone();
    let mut flush = pin!(timeout(LEAVE_TIMEOUT, waits.flush()));
    let is_answered = if let Ok(answered) = timeout(LEAVE_SILENCE, &mut flush).await {
        answered == Ok(true)
    } else {
        let seconds = LEAVE_TIMEOUT.as_secs();
        screen.print(&format!(
            "· waiting for the answers to what you wrote, {seconds} s at most; Ctrl-C leaves now"
        ))?;
        tokio::select! {
            answered = &mut flush => answered == Ok(true),
            () = interrupted() => false,
        }
    };
    while let Some(event) = events.try_next() {
        let said = talk.happened(Some(event)).await?;
        show(&talk, &mut screen, said).await?;
    }
    for line in talk.outbox.take(Instant::now() + TOGETHER) {
        screen.print(&line)?;
    }
    if !is_answered {
        screen.print("· what has no answer yet is sent at the next start")?;
    }
    client.leave().await;
    Ok(ExitStatus::Ok)
}

async fn show(talk: &Talk, screen: &mut Screen, said: Said) -> io::Result<()> {
    if said.clear {
        let mut output = io::stdout().lock();
        output.write_all(CLEAR.as_bytes())?;
        output.flush()?;
    }
    for line in said.lines {
        screen.print(&line)?;
    }
    if let Some(key) = said.consumed {
        talk.client.consumed(key).await;
    }
    Ok(())
}
