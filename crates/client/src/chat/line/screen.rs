//! The screen: what is to be shown waits here until the line editor takes it, and nobody waits for the
//! editor.
//!
//! ```text
//! main loop ── waiting ──► thread ──► the editor's printer ──► screen
//!           ◄─ what is shown ──┘
//! ```
//!
//! The editor draws what others say while it waits for a key, and in some of its modes (a search in the
//! history, a list of completions, the key after Ctrl-V) it waits without drawing. Handing a line to it
//! then blocks; that is why a thread does it.
//!
//! The editor has room for one text, and takes it when it draws. So what it was handed is known to be on the
//! screen when a later text got through: after the last one an empty text is sent behind it, and only then is
//! it dealt with. Between two lines the editor's printer writes to the terminal itself.
//!
//! **Architecture Invariant.** The main loop hands over and goes on. What waits is bounded, because a full
//! screen takes nothing more from the connection.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::time::Duration;

use chat_endpoint::EventKey;
use rustyline::ExternalPrinter;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Entries that wait; above it the connection is not read: it is the server that keeps what comes.
const WAITING_MAX: usize = 256;

/// Entries that are drawn at once: a storm of messages costs one drawing for many.
const BATCH_MAX: usize = 64;

/// At the end the editor has this long to take what it was given; it is printed without it then.
const FINISH_TIMEOUT: Duration = Duration::from_millis(500);

/// Empties the screen and puts the cursor in its corner.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// A text that changes nothing on the screen: up one row, and down again.
const NOTHING: &str = "\u{1b}[A\n";

/// What is to be shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Empty the screen first.
    pub(super) clear: bool,
    /// Lines.
    pub(super) lines: Vec<String>,
    /// The durable event that is dealt with once they stand there.
    pub(super) consumed: Option<EventKey>,
}

impl Shown {
    /// One line.
    pub(super) fn line(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], ..Self::default() }
    }
}

/// What one event or line comes to.
#[derive(Debug, Clone)]
struct Entry {
    text: String,
    /// The durable event that is dealt with once this is shown.
    key: Option<EventKey>,
}

/// Where lines go without tearing the one that is typed.
pub(super) struct Screen {
    waiting: VecDeque<Entry>,
    /// What the thread was given last and has not shown yet.
    handed: Vec<Entry>,
    /// What the editor was handed while it read a line, and has perhaps not drawn.
    undrawn: Vec<Entry>,
    /// Whether an editor draws.
    is_edited: bool,
    /// Whether it reads a line.
    is_reading: bool,
    /// Since the thread was given what it has, a line has begun or ended.
    has_turned: bool,
    printer: mpsc::Sender<String>,
    printed: mpsc::Receiver<io::Result<()>>,
}

impl Screen {
    /// A screen that is drawn by this printer; plain lines where the terminal cannot move its cursor.
    pub(super) fn new(mut printer: Option<Box<dyn ExternalPrinter + Send>>) -> Self {
        let (sender, mut texts) = mpsc::channel::<String>(1);
        let (done, shown) = mpsc::channel(1);
        let is_edited = printer.is_some();
        std::thread::spawn(move || {
            while let Some(text) = texts.blocking_recv() {
                if done.blocking_send(print(printer.as_deref_mut(), text)).is_err() {
                    return;
                }
            }
        });
        Self {
            waiting: VecDeque::new(),
            handed: Vec::new(),
            undrawn: Vec::new(),
            is_edited,
            is_reading: false,
            has_turned: false,
            printer: sender,
            printed: shown,
        }
    }

    /// The editor begins to read a line, or has ended one.
    pub(super) fn turn(&mut self, is_reading: bool) {
        (self.is_reading, self.has_turned) = (is_reading, true);
        self.hand_over();
    }

    /// Shows this as soon as can be.
    pub(super) fn show(&mut self, shown: Shown) {
        let mut text = if shown.clear { CLEAR.to_owned() } else { String::new() };
        for line in shown.lines {
            text.push_str(&line);
            text.push('\n');
        }
        if !text.is_empty() || shown.consumed.is_some() {
            self.waiting.push_back(Entry { text, key: shown.consumed });
        }
        self.hand_over();
    }

    /// Shows one line.
    pub(super) fn print(&mut self, line: &str) {
        self.show(Shown::line(line));
    }

    /// Whether nothing more should be taken from the connection.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// Whether all is shown.
    pub(super) fn is_idle(&self) -> bool {
        self.handed.is_empty() && self.waiting.is_empty()
    }

    fn hand_over(&mut self) {
        if !self.handed.is_empty() {
            return;
        }
        let count = self.waiting.len().min(BATCH_MAX);
        self.handed = self.waiting.drain(..count).collect();
        let awaits_proof = self.undrawn.iter().any(|entry| entry.key.is_some());
        if self.handed.is_empty() && self.is_reading && awaits_proof {
            self.handed = vec![Entry { text: NOTHING.to_owned(), key: None }];
        }
        if self.handed.is_empty() {
            return;
        }
        self.has_turned = false;
        let text = self.handed.iter().map(|entry| entry.text.as_str()).collect();
        // The thread has one text at a time, so there is room; one that has ended is seen by
        // [`Screen::printed`].
        self.printer.try_send(text).ok();
    }

    /// Waits until something is shown. The durable events that are dealt with. May be dropped at any time
    /// without loss.
    pub(super) async fn printed(&mut self) -> io::Result<Vec<EventKey>> {
        if self.handed.is_empty() {
            return std::future::pending().await;
        }
        match self.printed.recv().await {
            Some(printed) => printed?,
            None => return Err(io::Error::other("the screen takes nothing more")),
        }
        let mut drawn = Vec::new();
        if !self.is_edited || (!self.is_reading && !self.has_turned) {
            // It went to the terminal itself.
            drawn.append(&mut self.handed);
        } else {
            if !self.has_turned {
                drawn.append(&mut self.undrawn);
            }
            self.handed.retain(|entry| entry.text != NOTHING);
            self.undrawn.append(&mut self.handed);
        }
        self.hand_over();
        Ok(drawn.into_iter().filter_map(|entry| entry.key).collect())
    }

    /// Shows all that waits, at last without the editor, which reads no line any more. What it may have drawn
    /// or not is told again at the next start.
    pub(super) async fn finish(&mut self) -> io::Result<Vec<EventKey>> {
        let mut keys = Vec::new();
        while !self.is_idle() {
            match timeout(FINISH_TIMEOUT, self.printed()).await {
                Ok(shown) => keys.extend(shown?),
                Err(_) => break,
            }
        }
        let mut output = io::stdout().lock();
        // The printer still waits for the editor to take what it has: that is on no screen.
        let stuck =
            if self.handed.is_empty() { Vec::new() } else { std::mem::take(&mut self.undrawn) };
        self.handed.retain(|entry| entry.text != NOTHING);
        for entry in stuck.into_iter().chain(self.handed.drain(..)).chain(self.waiting.drain(..)) {
            output.write_all(entry.text.as_bytes())?;
            keys.extend(entry.key);
        }
        output.flush()?;
        Ok(keys)
    }
}

fn print(
    printer: Option<&mut (dyn ExternalPrinter + Send + 'static)>,
    text: String,
) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    if let Some(printer) = printer {
        return printer.print(text).map_err(io::Error::other);
    }
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// As the editor's printer: one text is kept, and the next one waits until it was taken.
    struct Busy(SyncSender<String>);

    impl ExternalPrinter for Busy {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            self.0.send(text).map_err(|_| io::Error::other("gone").into())
        }
    }

    fn busy() -> (Screen, Receiver<String>) {
        let (sender, taken) = sync_channel(1);
        (Screen::new(Some(Box::new(Busy(sender)))), taken)
    }

    /// Goal: a message counts as shown when it stands on the screen, and not when it waits for an editor in
    /// a mode in which that draws nothing. (The build before took it for shown at once: whoever ended the
    /// chat in such a mode never saw it.)
    #[tokio::test]
    async fn what_the_editor_has_not_drawn_is_not_dealt_with() {
        let (mut screen, taken) = busy();
        screen.turn(true);
        let message = |number: u64| Shown {
            consumed: Some(EventKey(number)),
            ..Shown::line(format!("message {number}"))
        };
        screen.show(message(1));
        assert_eq!(screen.printed().await.unwrap(), [], "it waits for the editor");
        let soon = Duration::from_millis(50);
        assert!(timeout(soon, screen.printed()).await.is_err(), "the editor takes nothing");
        assert_eq!(taken.recv().unwrap(), "message 1\n");
        assert_eq!(screen.printed().await.unwrap(), [EventKey(1)], "the next text got through");
        assert_eq!(taken.recv().unwrap(), NOTHING);
        assert!(screen.is_idle());

        // Between two lines it goes to the terminal itself.
        screen.turn(false);
        screen.show(message(2));
        assert_eq!(screen.printed().await.unwrap(), [EventKey(2)]);
        assert_eq!(taken.recv().unwrap(), "message 2\n");

        // A line that ends meanwhile proves nothing; what is stuck is shown at the end.
        screen.turn(true);
        screen.show(message(3));
        assert_eq!(screen.printed().await.unwrap(), []);
        screen.turn(false);
        assert_eq!(screen.finish().await.unwrap(), [EventKey(3)]);
    }

    #[tokio::test]
    async fn a_screen_that_takes_nothing_stops_nobody_and_fills_up() {
        let (mut screen, taken) = busy();
        // One is taken, one waits in the thread, the others here.
        for number in 0..WAITING_MAX * 2 {
            screen.print(&number.to_string());
            if !screen.handed.is_empty() && number == 0 {
                screen.printed().await.unwrap();
            }
        }
        assert!(screen.is_full() && !screen.is_idle());
        let mut shown = String::new();
        while !screen.is_idle() {
            tokio::select! {
                printed = screen.printed() => drop(printed.unwrap()),
                () = tokio::task::yield_now() => shown.extend(taken.try_iter()),
            }
        }
        shown.extend(taken.try_iter());
        let numbers: Vec<usize> = shown.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..WAITING_MAX * 2).collect::<Vec<_>>(), "each once, in order");
    }
}
