//! The lines that a person at the server's terminal sees: who came and who went.
//!
//! Standard output may be a pipe that nobody reads. So a thread writes, and what does not fit in
//! front of it is dropped: the log of operations has it all.

use std::{
    io::{self, Write as _},
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

/// Lines that may wait for a slow terminal.
const LINES_MAX: usize = 1_024;

/// Writes lines without ever making its caller wait.
#[derive(Debug, Clone)]
pub struct Console(Option<SyncSender<String>>);

impl Console {
    /// A console on standard output.
    pub fn stdout() -> Self {
        let (sender, lines) = sync_channel::<String>(LINES_MAX);
        let write = move || {
            for line in lines {
                // A closed terminal is nobody's loss.
                writeln!(io::stdout(), "{line}").ok();
            }
        };
        Self(thread::Builder::new().name("console".into()).spawn(write).ok().map(|_| sender))
    }

    /// A console that nobody sees.
    pub fn none() -> Self {
        Self(None)
    }

    /// Shows a line, unless too many wait already.
    pub fn line(&self, line: String) {
        if let Some(sender) = &self.0 {
            sender.try_send(line).ok();
        }
    }
}
