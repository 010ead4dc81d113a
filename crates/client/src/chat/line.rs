//! For a person at a terminal: what arrives is printed above the line that is being typed.
//!
//! The main loop waits for nobody who may be waiting for it: `screen` draws beside it, and the editor reads
//! the next line when it is told to.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_protocol::name::UserName;
use chat_protocol::{sanitise, veil};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use crate::diagnostics::{self, Diverted, is_plain};
use crate::exit::ExitStatus;
use crate::notify::Notifier;
use crate::signals::{ended, interrupted, pressed};
use crate::start::Failure;
use chat_device::client::Events;
use chat_device::recipient::Recipient;
use chat_endpoint::Event;
use chat_talk::conversations::names;
use chat_talk::{Talk, Told};
use chat_text::history;
use chat_text::input;
use chat_text::item::{Asked, Connection, Item, What};
use chat_text::show::Lines;
use chat_text::show::items::LinePrinter;
use chat_tui::keys::{Action, Bindings, Keys};

mod bindings;
mod keyboard;
mod outbox;
mod screen;
mod terminal;

use super::asks_password;
use super::typed::TypedLines;
use keyboard::{Draft, Keyboard, Turn, Typed, Typing};
use outbox::{Outbox, TOGETHER};
use screen::{Screen, Shown};
use terminal::TerminalState;

/// Messages of the current room that are shown at the start.
const SHOWN_AT_START: usize = 10;

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
    printer: LinePrinter,
    /// What is still to be said about messages of ours.
    outbox: Outbox,
    /// What the next line is typed at.
    prompt: Arc<Mutex<String>>,
    screen: Screen,
    keyboard: Keyboard,
    terminal: TerminalState,
    /// Lines that were typed, to be recalled.
    typed: TypedLines,
    /// The conversation whose lines the editor recalls, where the line is typed that it reads.
    recalls: String,
    notifier: Notifier,
    /// Lines of the log.
    log: Diverted,
    /// When the next line is read at the latest; none while one is read.
    turn_due: Option<Instant>,
    /// Until then the prompt waits for an answer.
    waits_until: Option<Instant>,
    interrupted_at: Option<Instant>,
    /// The key that interrupts.
    interrupts: String,
    /// The editor reads a line.
    is_reading: bool,
    /// What stood in the line that the editor has given up; it begins the next one with it.
    draft: Draft,
    /// The key for what was typed before.
    older: String,
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
pub(super) async fn talk(
    mut talk: Talk,
    mut events: Events,
    lines: Lines,
    bindings: &Bindings,
) -> Result<ExitStatus, Failure> {
    talk.typing(true);
    let prompt = Arc::new(Mutex::new(prompt(&talk)));
    let typed = TypedLines::open(talk.client()).await;
    let typing = Typing { words: talk.words(), prompt: Arc::clone(&prompt), draft: Arc::default() };
    let recalls = place(&talk);
    let past = typed.lines(&recalls);
    let (terminal, screen, keyboard) = keyboard::open(typing, past, bindings::bound(bindings))?;
    let mut desk = Desk {
        printer: LinePrinter::new(lines),
        outbox: Outbox::default(),
        prompt,
        screen,
        keyboard,
        terminal,
        typed,
        recalls,
        notifier: Notifier::default(),
        log: diagnostics::divert(),
        turn_due: None,
        waits_until: None,
        interrupted_at: None,
        interrupts: Keys::with(bindings).key_of(Action::Interrupt).to_owned(),
        // The first line is read without being told to.
        is_reading: true,
        draft: Draft::default(),
        older: Keys::with(bindings).key_of(Action::Older).to_owned(),
    };
    desk.screen.turn(true);
    desk.screen.print("· /help lists the commands, USER*TEXT writes to one person, /quit leaves");
    if let Some(cid) = talk.conversations().here() {
        for entry in talk.earlier(cid, None, SHOWN_AT_START).await {
            desk.screen.print(&dimmed(&history::line(desk.printer.lines(), &entry)));
        }
    }
    let over = converse(&mut talk, &mut events, &mut desk).await;
    desk.typed.finish().await;
    match over {
        Ok(Over::Left) => leave(talk, events, desk).await,
        Ok(Over::Ended) => {
            drop(timeout(END_TIMEOUT, talk.end()).await);
            Ok(ExitStatus::Interrupted)
        }
        Err(failure) => {
            last_words(&mut desk, &talk, &failure).await;
            Err(failure)
        }
    }
}

/// Says why it cannot go on. The terminal is the keyboard's until the line that it reads has ended; whoever goes on
/// typing is told that it goes nowhere.
async fn last_words(desk: &mut Desk, talk: &Talk, failure: &Failure) {
    desk.screen.print(&format!("✗ {failure}\n· press Enter to leave; nothing more is sent"));
    desk.go_on(talk);
    let mut ends = pin!(ended());
    loop {
        tokio::select! {
            typed = desk.keyboard.next() => {
                desk.line_has_ended();
                let Some(Typed::Line(line)) = typed else { break };
                if line.trim().is_empty() {
                    break;
                }
                let shown = sanitise::line(input::repeated(&line, talk.is_veiled()));
                desk.screen.print(&format!("✗ this was not sent: {shown}"));
                desk.go_on(talk);
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
    let mut stops = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    loop {
        let due = [desk.outbox.due(), talk.due(), desk.turn_due, desk.waits_until];
        let due = earliest(due);
        let takes = !desk.screen.is_full();
        let mut is_typed = false;
        let told = tokio::select! {
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let told = talk.take_back_unstarted(Instant::now()).await;
                desk.show(talk, &told);
                desk.tell_of_sent(talk, Instant::now());
                Told::default()
            }
            event = events.next(), if takes => talk.happened(event).await?,
            news = talk.next_about_files(), if takes => talk.file_news(news),
            line = desk.log.next(), if takes => {
                desk.screen.print(&line);
                Told::default()
            }
            printed = desk.screen.printed() => {
                for key in printed? {
                    talk.consumed(key).await;
                }
                Told::default()
            }
            typed = desk.keyboard.next() => {
                desk.line_has_ended();
                is_typed = true;
                desk.typed(talk, typed).await
            }
            // The editor at Ctrl-Z, or somebody else.
            _ = stops.recv() => {
                desk.terminal.suspend()?;
                Told::default()
            }
            // Also of who was stopped without being asked, and whose terminal a shell has set since.
            _ = foreground.recv() => {
                desk.terminal.ready_for_editor();
                desk.screen.print("· back in the foreground");
                Told::default()
            }
            // Of somebody else, or of a terminal without the editor.
            () = pressed() => desk.interrupted(talk),
            () = &mut ends => return Ok(Over::Ended),
        };
        let is_over = told.is_over;
        desk.show(talk, &told);
        if is_over {
            return Ok(Over::Left);
        }
        desk.take_turns(talk, is_typed);
    }
}

/// What the next line is typed at: name, veil and place; or what it is the answer to.
fn prompt(talk: &Talk) -> String {
    let (me, mark) = (talk.me(), if talk.is_veiled() { "~" } else { "" });
    match (talk.asked(), talk.place()) {
        (Some(Asked::Key(question)), _) => {
            format!("{} {}? yes, or the six words: ", question.kind.verb(), question.user)
        }
        (Some(Asked::Room { room, .. }), _) => format!("make #{room}? "),
        (None, Some(Recipient::Room(room))) => format!("{me} {mark}#{room}> "),
        (None, Some(Recipient::User(user))) => format!("{me} {mark}{user}> "),
        (None, Some(Recipient::All)) => format!("{me} {mark}ALL> "),
        (None, None) => format!("{me} {mark}(no room)> "),
    }
}

/// A line of the past: faint where the terminal may show it so, and set in everywhere.
fn dimmed(line: &str) -> String {
    if is_plain() {
        return format!("  {line}");
    }
    format!("\u{1b}[2m  {line}\u{1b}[0m")
}

impl Desk {
    /// Shows what was told, and what is to be said about messages of ours because of it. The prompt says where one is
    /// now.
    fn show(&mut self, talk: &mut Talk, told: &Told) {
        for item in &told.items {
            self.outbox.note(Instant::now(), item, talk.sent());
        }
        let is_silent = |item: &Item| matches!(item.what, What::Connection(Connection::Silent(_)));
        self.notifier.note(talk, told);
        self.printer.set_timed(talk.settings().timestamps);
        let mut lines: Vec<String> = Vec::new();
        for item in told.items.iter().filter(|item| !is_muted(talk, item)) {
            lines.extend(self.printer.print(std::slice::from_ref(item)));
        }
        if told.items.iter().any(is_silent) {
            lines.extend(Outbox::unanswered(talk.sent()));
        }
        let clear = told.items.iter().any(|item| matches!(item.what, What::Clear));
        self.screen.show(Shown { clear, lines, consumed: told.consumed });
        *self.prompt.lock().unwrap_or_else(PoisonError::into_inner) = prompt(talk);
    }

    /// Says what is due about messages of ours.
    fn tell_of_sent(&mut self, talk: &Talk, now: Instant) {
        for line in self.outbox.take(now, talk.sent()) {
            self.screen.print(&line);
        }
    }

    /// What comes of a key or a line.
    async fn typed(&mut self, talk: &mut Talk, typed: Option<Typed>) -> Told {
        match typed {
            Some(Typed::Line(line)) => {
                self.interrupted_at = None;
                // An answer is not meant a second time.
                if talk.asked().is_none() {
                    self.typed.add(&self.recalls, &line, talk.is_veiled());
                }
                if !asks_password(&line) {
                    return talk.read(&line).await;
                }
                self.terminal.give_back();
                let told = talk.read(&line).await;
                self.terminal.ready_for_editor();
                told
            }
            Some(Typed::NotUtf8(draft)) => {
                self.draft = draft;
                self.screen.print(
                    "✗ a byte that is not UTF-8 was typed and left out; is the terminal set to UTF-8?",
                );
                Told::default()
            }
            Some(Typed::Interrupt { begun: Some(comes_back) }) if talk.asked().is_none() => {
                self.interrupted_at = None;
                let how = comes_back.then(|| format!("; {}", chat_talk::comes_back(&self.older)));
                let how = how.unwrap_or_default();
                self.screen.print(&format!("· this line was not sent{how}"));
                Told::default()
            }
            Some(Typed::Interrupt { .. }) => self.interrupted(talk),
            Some(Typed::End) | None => {
                talk.leaves().await;
                Told::over()
            }
        }
    }

    /// What comes of Ctrl-C.
    fn interrupted(&mut self, talk: &mut Talk) -> Told {
        if let Some(told) = talk.leave_question() {
            return told;
        }
        let is_twice = self.interrupted_at.is_some_and(|at| at.elapsed() < TWICE);
        self.interrupted_at = Some(Instant::now());
        if is_twice {
            return Told::over();
        }
        self.screen.print(&leaves(&self.interrupts));
        Told::default()
    }

    /// Lets the editor read the next line when it is time. The prompt says where text goes, or what it is the
    /// answer to: it waits for a moment for whoever may be refused, and until the last line is shown.
    fn take_turns(&mut self, talk: &mut Talk, is_typed: bool) {
        let now = Instant::now();
        if is_typed {
            talk.typing(false);
            if talk.holds_prompt() {
                self.waits_until = Some(now + GOING_TIMEOUT);
            } else {
                self.turn_due = Some(now + TURN_TIMEOUT);
            }
        }
        if let Some(until) = self.waits_until
            && (until <= now || !talk.holds_prompt())
        {
            talk.stop_waiting();
            self.waits_until = None;
            self.turn_due = Some(now + TURN_TIMEOUT);
        }
        if self.turn_due.is_some_and(|due| due <= now || self.screen.is_idle()) {
            self.turn_due = None;
            talk.typing(true);
            self.go_on(talk);
        }
    }

    /// Lets the editor read the next line, if it reads none. What was not sent is among the lines to be recalled.
    fn go_on(&mut self, talk: &Talk) {
        if std::mem::replace(&mut self.is_reading, true) {
            return;
        }
        let (place, is_veiled) = (place(talk), talk.is_veiled());
        let past = (self.recalls != place).then(|| self.typed.lines(&place));
        self.recalls = place;
        self.screen.turn(true);
        let draft = std::mem::take(&mut self.draft);
        let unsent = talk.unsent().map(str::to_owned).collect();
        self.keyboard.go_on(Turn { draft, past, unsent, is_veiled });
    }

    fn line_has_ended(&mut self) {
        self.is_reading = false;
        self.screen.turn(false);
    }
}

/// What leaves: this key once more, or the command. Where no key interrupts, a signal of somebody else has.
fn leaves(key: &str) -> String {
    match key {
        "" => "· /quit leaves".to_owned(),
        key => format!("· {key} again, or /quit, leaves"),
    }
}

/// Whether this happens in a room that is muted, and is looked at nowhere, and is about nobody here. What is said there
/// stays unread.
fn is_muted(talk: &Talk, item: &Item) -> bool {
    let (What::Event(event), Some(cid)) = (&item.what, &item.cid) else { return false };
    let all = talk.conversations();
    let is_quiet = all.get(cid).is_some_and(|one| one.is_muted) && all.here() != Some(cid);
    is_quiet && is_about_others(event, talk.me())
}

fn is_about_others(event: &Event, me: &UserName) -> bool {
    match event {
        Event::Message { from, text, veiled, .. } => {
            let text = if *veiled { veil::unshift(text) } else { text.clone() };
            from != me && !names(&text, me)
        }
        Event::Unreadable { signed, .. } => *signed,
        Event::Topic { by, .. } => by != me,
        Event::MemberChanged { who, by, .. } => who != me && by != me,
        _ => false,
    }
}

/// The conversation in which a line is typed now.
fn place(talk: &Talk) -> String {
    talk.conversations().here().map(ToString::to_string).unwrap_or_default()
}

fn earliest<const N: usize>(times: [Option<Instant>; N]) -> Option<Instant> {
    times.into_iter().flatten().min()
}

/// Waits for the answers while there is a connection, and says what stays open.
async fn leave(mut talk: Talk, mut events: Events, mut desk: Desk) -> Result<ExitStatus, Failure> {
    // Ctrl-C is a signal again, which ends the waiting.
    desk.terminal.give_back();
    let client = talk.client().clone();
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
        let told = talk.happened(Some(event)).await?;
        desk.show(&mut talk, &told);
    }
    desk.tell_of_sent(&talk, Instant::now() + TOGETHER);
    if !is_answered {
        desk.screen.print("· what has no answer yet is sent at the next start");
    }
    let given_up = talk.give_up_unstarted().await;
    desk.show(&mut talk, &given_up);
    for key in desk.screen.finish().await? {
        client.consumed(key).await;
    }
    client.leave().await;
    Ok(ExitStatus::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no key is named that is none. (The build before said `·  again, or /quit, leaves`.)
    #[test]
    fn who_interrupts_is_told_what_leaves() {
        assert_eq!(leaves("Ctrl-C"), "· Ctrl-C again, or /quit, leaves");
        assert_eq!(leaves(""), "· /quit leaves");
    }
}
