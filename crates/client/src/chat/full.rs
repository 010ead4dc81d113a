//! For a person at a terminal whose whole screen is used: keys and events go in, frames come out.

use std::io::{self, Write as _};
use std::pin::pin;
use std::time::Duration;

use chat_device::client::{ClientEvent, Events, Stopped};
use chat_device::clock::now_ms;
use chat_protocol::name::ConversationId;
use chat_protocol::sanitise;
use chat_talk::{Talk, Told};
use chat_text::input::{self, Input};
use chat_text::item::Asked;
use chat_text::show::{Detail, Lines};
use chat_text::slash::SlashCommand;
use chat_tui::data::Facts;
use chat_tui::keys::{Action, Keys};
use chat_tui::screen::{Need, Screen};
use chat_tui::theme::Theme;
use chat_tui::told::Teller;
use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_util::StreamExt as _;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::chat::{Beginning, asks_password};
use crate::config::screen::Choices;
use crate::diagnostics::{self, Diverted};
use crate::exit::ExitStatus;
use crate::notify::Notifier;
use crate::signals::{ended, interrupted, stop_here};
use crate::start::Failure;

use super::typed::TypedLines;

mod begun;
mod editor;
mod facts;
mod opening;
mod paths;
mod search;
mod shown;
mod terminal;

use begun::drafts;
use facts::{Looking, Watched};
use opening::Opened;
use search::Searching;
use shown::Shown;
use terminal::FullScreen;

/// Frames follow each other no faster while nobody presses a key: what comes within this time is drawn together.
const FRAME: Duration = Duration::from_millis(16);

/// Clock, lag and members are looked at so often.
const LOOK: Duration = Duration::from_secs(1);

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

/// Whom the mouse serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mouse {
    /// It scrolls and opens conversations.
    Screen,
    /// It selects.
    Terminal,
}

impl Mouse {
    fn of(is_taken: bool) -> Self {
        if is_taken { Self::Screen } else { Self::Terminal }
    }
}

/// What a person sees and does.
struct Desk {
    screen: Screen,
    teller: Teller,
    watched: Watched,
    looking: Looking,
    searching: Searching,
    facts: Facts,
    /// Something has happened since the facts were gathered.
    are_facts_old: bool,
    /// None while the terminal is somebody else's.
    full: Option<FullScreen>,
    keys: Option<EventStream>,
    mouse: Mouse,
    /// As the terminal allows it and the command line asks.
    found: Theme,
    notifier: Notifier,
    log: Diverted,
    shown: Shown,
    /// Lines that were typed, to be recalled after a restart too.
    typed: TypedLines,
    is_stale: bool,
    /// No frame before that, but for a key.
    next_frame: Instant,
    /// There was a connection.
    was_online: bool,
}

/// Talks until the person leaves.
pub(super) async fn chat(beginning: &Beginning<'_>) -> Result<ExitStatus, Failure> {
    let opened = Box::pin(opening::open(beginning, true)).await?;
    match Box::pin(talk(beginning, opened)).await? {
        Ended::With(status) => Ok(status),
        // The server does not take this device as it is: a person is asked what a sign-in asks, or told why.
        Ended::NeverIn => {
            let opened = Box::pin(opening::open(beginning, false)).await?;
            match Box::pin(talk(beginning, opened)).await? {
                Ended::With(status) => Ok(status),
                Ended::NeverIn => Ok(ExitStatus::SignInRefused),
            }
        }
    }
}

/// How a conversation has ended.
enum Ended {
    With(ExitStatus),
    /// The server has refused the first connection of a home that was opened without it.
    NeverIn,
}

async fn talk(beginning: &Beginning<'_>, opened: Opened) -> Result<Ended, Failure> {
    let Opened { client, mut events, says } = opened;
    let mut talk = beginning.talk(client, true).await;
    let common = beginning.common;
    let chosen = (common.high_contrast, &common.configured.choices);
    let mut desk = Desk::open(&talk, beginning.lines(Detail::Brief), chosen).await?;
    desk.greet(&talk, says).await;
    let over = desk.converse(&mut talk, &mut events).await;
    desk.full = None;
    desk.typed.finish().await;
    match over {
        Ok(Over::Left) => leave(talk, desk).await.map(Ended::With),
        Ok(Over::Ended) => {
            for typed in desk.screen.take_typed() {
                talk.leave_draft(desk.screen.open(), typed);
            }
            let drafts = drafts(&talk);
            let end = async {
                desk.shown.finish().await;
                talk.end().await;
            };
            drop(timeout(END_TIMEOUT, end).await);
            // The terminal may be gone.
            drafts.and_then(|line| writeln!(io::stdout(), "{line}").ok());
            Ok(Ended::With(ExitStatus::Interrupted))
        }
        Err(failure) => {
            // One may be in no conversation, and type where the screen still is.
            let begun = desk.screen.take_typed();
            for unsent in talk.unsent().chain(begun.iter().map(String::as_str)) {
                let shown = sanitise::line(input::repeated(unsent, talk.is_veiled()));
                writeln!(io::stdout(), "✗ this was not sent: {shown}")?;
            }
            let is_refused = matches!(&failure, Failure::Stopped(Stopped::Connection(error)) if error.code().is_some());
            if is_refused && !desk.was_online { Ok(Ended::NeverIn) } else { Err(failure) }
        }
    }
}

impl Desk {
    async fn open(
        talk: &Talk,
        lines: Lines,
        (is_high_contrast, choices): (bool, &Choices),
    ) -> Result<Self, Failure> {
        let settings = talk.settings();
        let mouse = Mouse::of(settings.mouse);
        let full = FullScreen::take(settings.mouse)?;
        let size = full.size()?;
        let theme = Theme::detect(|name| std::env::var(name).ok());
        let colours = choices.colours;
        let theme = Theme { is_high_contrast, colours, ..theme };
        let found = theme;
        let theme = found.looking(settings.theme);
        let here = talk.conversations().here().cloned().unwrap_or_else(ConversationId::all);
        let mut screen = Screen::new(theme, lines.zone.clone(), here, (size.width, size.height));
        screen.set_look(theme, settings.timestamps);
        screen.set_keys(Keys::with(&choices.bindings));
        let typed = TypedLines::open(talk.client()).await;
        for (cid, line) in typed.all() {
            if let Ok(cid) = ConversationId::parse(cid) {
                screen.was_typed(&cid, line);
            }
        }
        let watched = Watched::default();
        Ok(Self {
            screen,
            teller: Teller::new(lines),
            facts: watched.facts(talk),
            are_facts_old: false,
            watched,
            looking: Looking::default(),
            searching: Searching::default(),
            full: Some(full),
            keys: Some(EventStream::new()),
            mouse,
            found,
            notifier: Notifier::default(),
            log: diagnostics::divert(),
            shown: Shown::new(talk.client().clone()),
            typed,
            is_stale: true,
            next_frame: Instant::now(),
            was_online: false,
        })
    }

    /// Shows what was said before there was a screen, and to whoever is new how things are done here.
    async fn greet(&mut self, talk: &Talk, says: Vec<String>) {
        self.fetch_older(talk).await;
        for line in says {
            self.teller.note(&mut self.screen, line, now_ms());
        }
        if !talk.has_history() {
            self.teller.welcome(&mut self.screen, now_ms());
        }
    }

    async fn converse(&mut self, talk: &mut Talk, events: &mut Events) -> Result<Over, Failure> {
        let mut ends = pin!(ended());
        let mut stops = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
        let mut wakes = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        let mut hangs_up = signal(SignalKind::hangup())?;
        let mut look = interval(LOOK);
        loop {
            if self.is_stale && self.next_frame <= Instant::now() && self.frame(talk).await.is_err()
            {
                return Ok(Over::Ended);
            }
            // What was begun is meant for where it was begun.
            talk.typing(!self.screen.is_idle());
            let (due, takes) = (talk.due(), !self.shown.is_full());
            let mut need = None;
            let told = tokio::select! {
                () = sleep_until(self.next_frame), if self.is_stale => continue,
                pressed = next(&mut self.keys) => {
                    // The terminal is gone.
                    let Some(pressed) = pressed else { return Ok(Over::Ended) };
                    self.gather(talk);
                    need = self.pressed(talk, &pressed);
                    self.keep_aside(talk);
                    Told::default()
                }
                event = events.next(), if takes => self.happened(talk, event).await?,
                news = talk.next_about_files(), if takes => talk.file_news(news),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    talk.take_back_unstarted(Instant::now()).await
                }
                line = self.log.next() => {
                    self.teller.note(&mut self.screen, line, now_ms());
                    Told::default()
                }
                () = self.shown.hand_on() => continue,
                told = self.searching.next() => told,
                _ = look.tick() => {
                    self.looking.begin(talk);
                    continue
                }
                watched = self.looking.next() => {
                    // One has gone elsewhere meanwhile.
                    if !watched.is_of(talk) {
                        self.looking.begin(talk);
                    }
                    self.watched = watched;
                    Told::default()
                }
                _ = stops.recv() => {
                    need = Some(Need::Suspend);
                    Told::default()
                }
                // While it slept somebody else may have changed the terminal.
                _ = wakes.recv() => {
                    self.redraw()?;
                    Told::default()
                }
                _ = hangs_up.recv() => return Ok(Over::Ended),
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

    async fn happened(
        &mut self,
        talk: &mut Talk,
        event: Option<ClientEvent>,
    ) -> Result<Told, Failure> {
        self.was_online |= matches!(event, Some(ClientEvent::Online { .. }));
        Ok(talk.happened(event).await?)
    }

    /// Gathers what the screen shows beside the log, once for all that has happened.
    fn gather(&mut self, talk: &Talk) {
        if std::mem::take(&mut self.are_facts_old) {
            self.facts = self.watched.facts(talk);
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
                self.screen.paste(text, &self.facts);
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
            Need::Line(line) => {
                // An answer is not meant a second time.
                if talk.asked().is_none() {
                    self.typed.add(self.screen.open().as_ref(), &line, talk.is_veiled());
                }
                return self.read(talk, &line).await;
            }
            Need::Search(letters) => {
                let words = letters.split_whitespace().map(str::to_owned).collect();
                self.searching.begin(talk, words);
            }
            Need::Open(cid) => {
                let told = talk.look_at(&cid);
                self.looking.begin(talk);
                self.follow_key(talk);
                return Ok(told);
            }
            Need::Draft => self.put_back(talk),
            Need::LeaveQuestion => return Ok(talk.leave_question().unwrap_or_default()),
            Need::Editor(text) => {
                self.leave_screen();
                // Before the terminal is taken back, which may be gone: what is typed is kept then, too.
                let written = editor::write(&text).await;
                match &written {
                    Ok(written) => self.screen.set_typed(written.text().trim_end_matches('\n')),
                    // It may name a file, which is to be had later, too.
                    Err(error) => {
                        let line = format!("✗ the editor: {error}");
                        self.teller.note(&mut self.screen, line, now_ms());
                    }
                }
                self.take_screen()?;
                // Somebody can see it now.
                if let Ok(written) = written {
                    written.was_seen();
                }
            }
            Need::Suspend => {
                self.leave_screen();
                stop_here()?;
                self.take_screen()?;
            }
            Need::Redraw => self.redraw()?,
            Need::Quit => return Ok(Told::over()),
        }
        Ok(Told::default())
    }
}

impl Desk {
    /// Has the talk read a line. What asks for a password has the terminal for itself meanwhile.
    async fn read(&mut self, talk: &mut Talk, line: &str) -> Result<Told, Failure> {
        talk.typing(false);
        match input::parse(line) {
            // It may take long, and a key must not wait for it.
            Ok(Input::Slash(SlashCommand::Search { words })) if talk.asked().is_none() => {
                self.searching.begin(talk, words);
                return Ok(Told::default());
            }
            _ if asks_password(line) => {}
            _ => {
                let was_veiled = talk.is_veiled();
                let told = talk.read(line).await;
                if talk.is_veiled() != was_veiled {
                    self.tell_of_begun(talk);
                }
                return Ok(told);
            }
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
        self.set_mouse(settings.mouse);
        for item in &told.items {
            self.teller.show(&mut self.screen, item, talk.sent(), now_ms());
        }
        self.shown.add(told.consumed);
        self.follow(talk);
        let close = self.screen.key_of(Action::Close);
        let question = talk.asked().map(|asked| question(asked, close));
        self.screen.ask(question);
        (self.are_facts_old, self.is_stale) = (true, true);
        told.is_over
    }

    /// Makes a frame of all that has happened. What is on the screen with it is dealt with.
    async fn frame(&mut self, talk: &Talk) -> io::Result<()> {
        self.gather(talk);
        let is_more = self.fetch_older(talk).await;
        let Some(full) = &mut self.full else { return Ok(()) };
        full.draw(|frame| self.screen.draw(&self.facts, frame))?;
        self.is_stale = is_more;
        self.next_frame = Instant::now() + if is_more { Duration::ZERO } else { FRAME };
        self.shown.are_drawn();
        Ok(())
    }

    /// Fetches a page of what is looked at or for and not here; says whether there was one to fetch.
    async fn fetch_older(&mut self, talk: &Talk) -> bool {
        let Some((cid, before)) = self.screen.wants_older(&self.facts) else { return false };
        let page = talk.earlier(&cid, before, PAGE).await;
        let is_all = page.len() < PAGE;
        let page = page.iter().map(|entry| self.teller.entry(entry)).collect();
        self.screen.older(&self.facts, &cid, page, is_all);
        true
    }

    /// The mouse is ours, or the terminal's.
    fn set_mouse(&mut self, on: bool) {
        self.mouse = Mouse::of(on);
        if let Some(full) = &mut self.full {
            // A terminal that is gone says so with the next frame.
            full.set_mouse(on).ok();
        }
    }

    /// Gives the terminal to somebody else.
    fn leave_screen(&mut self) {
        self.full = None;
        self.keys = None;
    }

    /// Takes it back.
    fn take_screen(&mut self) -> io::Result<()> {
        let full = FullScreen::take(self.mouse == Mouse::Screen)?;
        let size = full.size()?;
        self.screen.resize(size.width, size.height);
        (self.full, self.keys) = (Some(full), Some(EventStream::new()));
        Ok(())
    }

    /// Draws everything anew, as the terminal is now.
    fn redraw(&mut self) -> io::Result<()> {
        let Some(full) = &mut self.full else { return Ok(()) };
        full.take_again()?;
        let size = full.size()?;
        self.screen.resize(size.width, size.height);
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

/// What the talk asks, in words, with the key that leaves it.
fn question(asked: &Asked, close: &str) -> String {
    match asked {
        Asked::Key(question) => {
            let (verb, user) = (question.kind.verb(), &question.user);
            format!("{verb} {user}? Type yes, or the six words; {close} leaves it")
        }
        Asked::Room { room, like } => {
            let what = format!("There is no #{room}, but a #{like}. Make #{room}?");
            format!("{what} Type yes; {close} leaves it")
        }
    }
}

/// Waits for the answers while there is a connection, and says what stays open.
async fn leave(mut talk: Talk, mut desk: Desk) -> Result<ExitStatus, Failure> {
    desk.shown.finish().await;
    drop(desk);
    talk.leaves().await;
    if let Some(line) = drafts(&talk) {
        writeln!(io::stdout(), "{line}")?;
    }
    let mut hangs_up = signal(SignalKind::hangup())?;
    let client = talk.client().clone();
    let mut output = io::stdout();
    if talk.is_open() {
        writeln!(output, "· waiting for the answers to what you wrote; Ctrl-C leaves now")?;
    }
    let is_answered = tokio::select! {
        answered = timeout(LEAVE_TIMEOUT, client.flush()) => answered == Ok(true),
        () = interrupted() => false,
        _ = hangs_up.recv() => false,
    };
    if !is_answered {
        writeln!(output, "· what has no answer yet is sent at the next start")?;
    }
    talk.give_up_unstarted().await;
    talk.client().clone().leave().await;
    Ok(ExitStatus::Ok)
}
