//! For a person at a terminal whose whole screen is used: keys and events go in, frames come out.

use std::io::{self, Write as _};
use std::pin::pin;
use std::time::Duration;

use chat_device::client::Events;
use chat_device::clock::now_ms;
use chat_device::identity::IdentityCommand;
use chat_endpoint::EventKey;
use chat_protocol::name::ConversationId;
use chat_protocol::sanitise;
use chat_talk::{Talk, Told};
use chat_text::input::{self, Input};
use chat_text::item::Asked;
use chat_text::show::Lines;
use chat_text::slash::SlashCommand;
use chat_tui::data::Facts;
use chat_tui::screen::{Need, Screen};
use chat_tui::theme::Theme;
use chat_tui::told::Teller;
use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_util::StreamExt as _;
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::diagnostics::{self, Diverted};
use crate::exit::ExitStatus;
use crate::notify::Notifier;
use crate::signals::{ended, interrupted};
use crate::start::Failure;

mod editor;
mod facts;
mod paths;
mod terminal;

use facts::Watched;
use terminal::FullScreen;

/// Frames follow each other no faster while nobody presses a key: what comes within this time is drawn together.
const FRAME: Duration = Duration::from_millis(16);

/// Clock, lag and members are looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// Durable events that may wait for the next frame; while there are more, nothing is taken from the device.
const SHOWN_MAX: usize = 1_024;

/// Messages of one page of the home.
const PAGE: usize = 200;

/// So long leaving waits for answers.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// So long a program that is ended waits until the server has its goodbye.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the conversation is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The person leaves.
    Left,
    /// Somebody ends this program, or the terminal is gone.
    Ended,
}

/// What a person wants of the screen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    /// The mouse scrolls and opens conversations, and does not select.
    pub(super) has_mouse: bool,
    /// Nothing is faint.
    pub(super) is_high_contrast: bool,
}

/// What a person sees and does.
struct Desk {
    screen: Screen,
    teller: Teller,
    watched: Watched,
    facts: Facts,
    /// None while the terminal is somebody else's.
    full: Option<FullScreen>,
    keys: Option<EventStream>,
    has_mouse: bool,
    /// As the terminal allows it and the command line asks.
    found: Theme,
    notifier: Notifier,
    log: Diverted,
    /// Durable events that are on the screen with the next frame.
    shown: Vec<EventKey>,
    is_stale: bool,
    /// No frame before that, but for a key.
    next_frame: Instant,
}

/// Talks until the person leaves.
pub(super) async fn talk(
    mut talk: Talk,
    mut events: Events,
    lines: Lines,
    wishes: Wishes,
) -> Result<ExitStatus, Failure> {
    let mut desk = Desk::open(&talk, lines, wishes).await?;
    let over = desk.converse(&mut talk, &mut events).await;
    desk.full = None;
    match over {
        Ok(Over::Left) => leave(talk, desk).await,
        Ok(Over::Ended) => {
            drop(timeout(END_TIMEOUT, talk.end()).await);
            Ok(ExitStatus::Interrupted)
        }
        Err(failure) => {
            let typed = desk.screen.take_typed();
            if !typed.is_empty() {
                writeln!(io::stdout(), "✗ this was not sent: {}", sanitise::line(&typed))?;
            }
            Err(failure)
        }
    }
}

impl Desk {
    async fn open(talk: &Talk, lines: Lines, wishes: Wishes) -> Result<Self, Failure> {
        let mut full = FullScreen::take(wishes.has_mouse)?;
        let size = full.terminal().size()?;
        let theme = Theme::detect(|name| std::env::var(name).ok());
        let theme = Theme { is_high_contrast: wishes.is_high_contrast, ..theme };
        let settings = talk.settings();
        let found = theme;
        let theme = found.looking(settings.theme);
        let here = talk.conversations().here().cloned().unwrap_or_else(ConversationId::all);
        let mut screen = Screen::new(theme, lines.zone.clone(), here, (size.width, size.height));
        screen.set_look(theme, settings.timestamps);
        let watched = Watched::look(talk).await;
        Ok(Self {
            screen,
            teller: Teller::new(lines),
            facts: watched.facts(talk),
            watched,
            full: Some(full),
            keys: Some(EventStream::new()),
            has_mouse: wishes.has_mouse,
            found,
            notifier: Notifier::default(),
            log: diagnostics::divert(),
            shown: Vec::new(),
            is_stale: true,
            next_frame: Instant::now(),
        })
    }

    async fn converse(&mut self, talk: &mut Talk, events: &mut Events) -> Result<Over, Failure> {
        let mut ends = pin!(ended());
        let mut stops = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
        let mut look = interval(LOOK);
        loop {
            self.fetch_older(talk).await;
            if self.is_stale && self.next_frame <= Instant::now() && self.draw(talk).await.is_err()
            {
                return Ok(Over::Ended);
            }
            // What was begun is meant for where it was begun.
            talk.typing(!self.screen.is_empty());
            let (due, takes) = (talk.due(), self.shown.len() < SHOWN_MAX);
            let mut need = None;
            let told = tokio::select! {
                () = sleep_until(self.next_frame), if self.is_stale => continue,
                pressed = next(&mut self.keys) => {
                    // The terminal is gone.
                    let Some(pressed) = pressed else { return Ok(Over::Ended) };
                    need = self.pressed(talk, &pressed);
                    Told::default()
                }
                event = events.next(), if takes => talk.happened(event).await?,
                news = talk.next_about_files(), if takes => talk.file_news(news),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    talk.take_back_unstarted(Instant::now()).await
                }
                line = self.log.next() => {
                    self.teller.note(&mut self.screen, line, now_ms());
                    Told::default()
                }
                _ = look.tick() => {
                    self.watched = Watched::look(talk).await;
                    Told::default()
                }
                _ = stops.recv() => {
                    need = Some(Need::Suspend);
                    Told::default()
                }
                () = &mut ends => return Ok(Over::Ended),
            };
            let then = match need {
                Some(need) => self.meet(talk, need).await?,
                None => Told::default(),
            };
            if self.show(talk, &told.and(then)) {
                return Ok(Over::Left);
            }
        }
    }

    /// What a key, a paste, the mouse or another size asks for.
    fn pressed(&mut self, talk: &Talk, event: &TerminalEvent) -> Option<Need> {
        self.next_frame = Instant::now();
        match event {
            TerminalEvent::Key(key) => {
                let words = talk.words();
                let known =
                    |line: &str| paths::candidates(line).unwrap_or_else(|| words.candidates(line));
                self.screen.press(*key, &self.facts, &known)
            }
            TerminalEvent::Paste(text) => {
                self.screen.paste(text);
                None
            }
            TerminalEvent::Mouse(mouse) => self.screen.mouse(*mouse, &self.facts),
            TerminalEvent::Resize(width, height) => {
                self.screen.resize(*width, *height);
                None
            }
            TerminalEvent::FocusGained | TerminalEvent::FocusLost => None,
        }
    }

    /// Does what the screen asks for.
    async fn meet(&mut self, talk: &mut Talk, need: Need) -> Result<Told, Failure> {
        match need {
            Need::Line(line) => return self.read(talk, &line).await,
            Need::Open { cid, draft } => {
                talk.leave_draft(draft);
                return Ok(talk.look_at(&cid));
            }
            Need::LeaveQuestion => return Ok(talk.leave_question().unwrap_or_default()),
            Need::Editor(text) => {
                self.leave_screen();
                let written = editor::write(&text).await;
                self.take_screen()?;
                match written {
                    Ok(text) => self.screen.set_typed(text.trim_end_matches('\n')),
                    Err(error) => self.screen.notify(format!("✗ no editor: {error}")),
                }
            }
            Need::Suspend => {
                self.leave_screen();
                kill_process(getpid(), Signal::STOP).map_err(io::Error::from)?;
                self.take_screen()?;
            }
            Need::Redraw => {
                if let Some(full) = &mut self.full {
                    full.terminal().clear()?;
                }
            }
            Need::Quit => return Ok(Told::over()),
        }
        Ok(Told::default())
    }
}

impl Desk {
    /// Has the talk read a line. What asks for a password has the terminal for itself meanwhile.
    async fn read(&mut self, talk: &mut Talk, line: &str) -> Result<Told, Failure> {
        talk.typing(false);
        if !asks_password(line) {
            return Ok(talk.read(line).await);
        }
        self.leave_screen();
        let told = talk.read(line).await;
        self.take_screen()?;
        Ok(told)
    }

    /// Puts what was told on the screen; says whether it is over. The screen looks where the talk does.
    fn show(&mut self, talk: &mut Talk, told: &Told) -> bool {
        self.notifier.note(talk, told);
        let settings = talk.settings();
        self.screen.set_look(self.found.looking(settings.theme), settings.timestamps);
        for item in &told.items {
            self.teller.show(&mut self.screen, item, talk.sent(), now_ms());
        }
        self.shown.extend(told.consumed);
        if let Some(here) = talk.conversations().here().filter(|here| *here != self.screen.open()) {
            self.screen.opened(here.clone());
        }
        let draft = talk.take_draft();
        if !draft.is_empty() {
            self.screen.set_typed(&draft);
        }
        self.screen.ask(talk.asked().map(question));
        self.facts = self.watched.facts(talk);
        self.is_stale = true;
        told.is_over
    }

    /// Draws a frame. What is on the screen with it is dealt with.
    async fn draw(&mut self, talk: &Talk) -> io::Result<()> {
        let Some(full) = &mut self.full else { return Ok(()) };
        full.terminal().draw(|frame| self.screen.draw(&self.facts, frame))?;
        self.is_stale = false;
        self.next_frame = Instant::now() + FRAME;
        for key in self.shown.drain(..) {
            talk.consumed(key).await;
        }
        Ok(())
    }

    /// Fetches what is scrolled to and not here.
    async fn fetch_older(&mut self, talk: &mut Talk) {
        while let Some((cid, before)) = self.screen.wants_older(&self.facts) {
            let page = talk.earlier(&cid, before, PAGE).await;
            let is_all = page.len() < PAGE;
            let page = page.iter().map(|entry| self.teller.entry(entry)).collect();
            self.screen.older(&cid, page, is_all);
            self.is_stale = true;
        }
    }

    /// Gives the terminal to somebody else.
    fn leave_screen(&mut self) {
        self.full = None;
        self.keys = None;
    }

    /// Takes it back.
    fn take_screen(&mut self) -> io::Result<()> {
        let mut full = FullScreen::take(self.has_mouse)?;
        let size = full.terminal().size()?;
        self.screen.resize(size.width, size.height);
        (self.full, self.keys) = (Some(full), Some(EventStream::new()));
        Ok(())
    }
}

/// The next key, paste or size; nothing any more once the terminal is gone.
async fn next(keys: &mut Option<EventStream>) -> Option<TerminalEvent> {
    match keys {
        Some(keys) => keys.next().await?.ok(),
        None => std::future::pending().await,
    }
}

/// Whether a line asks for a password, which is typed without echo and not on this screen.
fn asks_password(line: &str) -> bool {
    let input = input::parse(line);
    matches!(
        input,
        Ok(Input::Slash(
            SlashCommand::Password | SlashCommand::Identity(IdentityCommand::Revoke { .. })
        ))
    )
}

/// What the talk asks, in words.
fn question(asked: &Asked) -> String {
    match asked {
        Asked::Key(question) => {
            let (verb, user) = (question.kind.verb(), &question.user);
            format!("{verb} {user}? Type yes, or the six words; Esc leaves it")
        }
        Asked::Room { room, like } => {
            format!("There is no #{room}, but a #{like}. Make #{room}? Type yes; Esc leaves it")
        }
    }
}

/// Waits for the answers while there is a connection, and says what stays open.
async fn leave(mut talk: Talk, desk: Desk) -> Result<ExitStatus, Failure> {
    drop(desk);
    let client = talk.client().clone();
    let mut output = io::stdout();
    if talk.is_open() {
        writeln!(output, "· waiting for the answers to what you wrote; Ctrl-C leaves now")?;
    }
    let is_answered = tokio::select! {
        answered = timeout(LEAVE_TIMEOUT, client.flush()) => answered == Ok(true),
        () = interrupted() => false,
    };
    if !is_answered {
        writeln!(output, "· what has no answer yet is sent at the next start")?;
    }
    talk.give_up_unstarted().await;
    talk.client().clone().leave().await;
    Ok(ExitStatus::Ok)
}
