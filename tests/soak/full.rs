//! Somebody at the full screen who types without sense, in a terminal that changes its size all the while.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use chat_tests::{Rig, Server, Terminal};

use crate::{APART, FROZEN, KEY_PAUSE_MAX_MS, Typist, keys, screen};

/// The program at the terminal.
const PROGRAM: &str = "chat-client";

/// Columns and rows, from the smallest that is used to the largest.
const SIZES: [(u16, u16); 7] =
    [(40, 10), (20, 5), (79, 24), (80, 24), (120, 40), (200, 60), (300, 100)];

/// The size at which what is shown is looked at.
const WIDE: (u16, u16) = (120, 40);

/// Messages that are looked through at the end, the newest: the screen keeps no more lines in memory than 100,000.
const LOOKED_THROUGH_MAX: usize = 90_000;

/// Keys that do something, but for those that leave or sleep. The editor ends at once, and no answer that can be typed by
/// chance is a yes.
const KEYS: &[&[u8]] = &[
    b"\x0f",
    b"\x15/join lobbi\r",
    b"\x15/verify carol\r",
    b"\x1b1",
    b"\x1b2",
    b"\x1b3",
    b"\x1b9",
    b"\x1b[1;3C",
    b"\x1b[1;3D",
    b"\x10",
    b"\x0e",
    b"\x1ba",
    b"\x1b<",
    b"\x1b>",
    b"\x0b",
    b"\x0bca",
    b"\x0bx\r",
    b"\x1b[5~",
    b"\x1b[6~",
    b"\x1b[H",
    b"\x1b[F",
    b"\x1b[1;5H",
    b"\x1b[1;5F",
    b"\x1bu",
    b"\x1bp",
    b"\x1bn",
    b"\x13",
    b"\x13storm 1",
    b"\x13\x1b[A",
    b"\x13zz\t",
    b"\x1bo",
    b"\x12",
    b"\x12a",
    b"\x1b[A",
    b"\x1b[B",
    b"\x01",
    b"\x05",
    b"\x15",
    b"\x17",
    b"\x19",
    b"\x1f",
    b"\x1b\x7f",
    b"\x1b[1;5D",
    b"\x1b[1;5C",
    b"\t",
    b"\x1b[Z",
    b"\x1b\r",
    b"\x1bOP",
    b"?",
    b"\x1b",
    b"\x0c",
    b"\x7f",
    b"\x1b[<64;60;10M",
    b"\x1b[<65;60;10M",
    b"\x1b[<0;5;4M",
    b"\x1b[200~two\rlines\x1b[201~",
    b"\x1b[200~no end ",
    b"\x1b[",
    b"\xff",
    b"\xe4\xbc",
    b"\x00",
];

/// Opens the screen.
pub(crate) fn open(rig: &Rig, server: &Server) -> Terminal {
    let alice = rig.client("alice", server.url()).with_env([("VISUAL", "true")]);
    let chat = alice.at_full_screen(WIDE, "");
    chat.wait_until_seen("connected to");
    chat
}

impl Typist {
    /// Types, and changes the size, for some time.
    pub(crate) fn drives_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.chat.has_ended() {
            let typed = match self.dice.below(10) {
                0 => {
                    let size = SIZES.get(self.dice.below(SIZES.len())).copied().unwrap_or(WIDE);
                    self.chat.resize(PROGRAM, size);
                    continue;
                }
                1..4 => keys::letters(&mut self.dice),
                4 => b"\r".to_vec(),
                _ => keys::of(&mut self.dice, KEYS),
            };
            self.types(&typed);
            let pause = u64::try_from(self.dice.below(KEY_PAUSE_MAX_MS)).unwrap_or_default();
            sleep(Duration::from_millis(pause));
        }
    }

    /// Whether the screen answers a key, shows the newest messages once and in their order, and a line that is
    /// typed arrives.
    pub(crate) fn looks_at_screen(&mut self) -> anyhow::Result<()> {
        ensure!(!self.chat.has_ended(), "the chat has ended before look {}", self.looks);
        self.chat.resize(PROGRAM, WIDE);
        // Ends a paste and whatever is open, goes to the lobby and to its end, and leaves nothing typed.
        for keys in [&b"\x1b[201~"[..], b"\x1b", b"\x1b", b"\x1b2", b"x", b"\x03", b"\x1b[1;5F"] {
            self.chat.type_keys(keys);
            sleep(APART);
        }
        let begun = Instant::now();
        self.chat.type_keys(b"\x03");
        if !self.chat.is_seen_within(FROZEN, |picture| picture.contains("Ctrl-C again")) {
            bail!("frozen at look {}: no answer to Ctrl-C", self.looks);
        }
        let line = format!("look {}", self.looks);
        let before = self.heard.count();
        self.chat.type_line(&line);
        let is_it = |heard: &String| heard.ends_with(&format!("alice: {line}"));
        let arrives =
            |lines: &[String]| lines.get(before..).is_some_and(|new| new.iter().any(is_it));
        ensure!(self.heard.within(FROZEN, arrives), "frozen: {line:?} does not arrive");
        self.looks += 1;
        self.slowest = self.slowest.max(begun.elapsed());
        self.rows_follow()
    }

    /// Whether the messages that are seen follow each other, in the frame that is seen now.
    fn rows_follow(&self) -> anyhow::Result<()> {
        screen::check_picture(&self.chat.picture())
    }
}

/// Looks through the messages of the storm from the newest to the oldest, screen by screen, and says how many were seen: each
/// once, and none is left out.
fn looks_through(typist: &mut Typist, sent: usize) -> anyhow::Result<usize> {
    let first = sent.saturating_sub(LOOKED_THROUGH_MAX);
    // All from here on were seen.
    let mut reached = sent;
    loop {
        let picture = typist.chat.picture();
        if let Some(shown) = screen::shown_now(&picture)? {
            ensure!(
                shown.start <= reached && shown.end >= reached,
                "{shown:?} are shown above {reached}:\n{picture}"
            );
            reached = shown.start;
        }
        if reached <= first {
            return Ok(sent - reached);
        }
        typist.chat.type_keys(b"\x1b[5~");
        // A second key before this one has done its work would leave out a screen.
        let has_moved = |now: &str| screen::log_of(now) != screen::log_of(&picture);
        ensure!(
            typist.chat.is_seen_within(FROZEN, has_moved),
            "nothing is above {reached}:\n{picture}"
        );
    }
}

/// Ends the chat; what was under way is shown first, and then everything of the storm is looked through.
pub(crate) fn end(typist: &mut Typist, sent: usize, limit: Duration) -> anyhow::Result<usize> {
    let shows = |picture: &str| picture.contains("bob: all is said");
    ensure!(
        typist.chat.is_seen_within(limit, shows),
        "the last message is not shown; {}",
        typist.told()
    );
    typist.rows_follow()?;
    // Nothing is typed, and nothing is asked.
    for keys in [&b"\x1b"[..], b"\x1b", b"x", b"\x03"] {
        typist.chat.type_keys(keys);
        sleep(APART);
    }
    let seen = looks_through(typist, sent)?;
    typist.chat.type_line("/quit");
    let code = typist.chat.wait();
    ensure!(code == Some(0), "/quit ended with {code:?}; {}", typist.told());
    ensure!(typist.chat.text().contains("\u{1b}[?1049l"), "the terminal is not given back");
    Ok(seen)
}
