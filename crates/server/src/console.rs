//! The lines that a person at the server's terminal sees: who came and who went.
//!
//! Standard output may be a pipe that nobody reads. So a thread writes, and what does not fit in
//! front of it is dropped: the log of operations has it all.

use std::{
    io::{self, Write as _},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Lines that may wait for a slow terminal.
const LINES_MAX: usize = 1_024;

/// How long the last lines are waited for: a terminal takes them at once, and a pipe that nobody reads never.
const LAST_LINES_TIME_MAX: Duration = Duration::from_millis(200);

/// Writes lines without ever making its caller wait.
#[derive(Debug, Clone)]
pub struct Console(Option<Arc<Writing>>);

/// The thread that writes. The last console that goes waits for it.
#[derive(Debug)]
struct Writing {
    /// Without it the thread ends.
    lines: Option<SyncSender<String>>,
    /// The other end is gone when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl Console {
    /// A console on standard output.
    pub fn stdout() -> Self {
        let (sender, lines) = sync_channel::<String>(LINES_MAX);
        let (ending, ended) = sync_channel(0);
        let write = move || {
            for line in lines {
                // A closed terminal is nobody's loss.
                writeln!(io::stdout(), "{line}").ok();
            }
            drop::<SyncSender<()>>(ending);
        };
        let started = thread::Builder::new().name("console".into()).spawn(write).is_ok();
        let writing = || Arc::new(Writing { lines: Some(sender), ended: ended.into() });
        Self(started.then(writing))
    }

    /// A console that nobody sees.
    pub fn none() -> Self {
        Self(None)
    }

    /// Shows a line, unless too many wait already.
    pub fn line(&self, line: String) {
        if let Some(lines) = self.0.as_ref().and_then(|writing| writing.lines.as_ref()) {
            lines.try_send(line).ok();
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.lines = None;
        if let Ok(ended) = self.ended.get_mut() {
            // Its end, or that it takes too long.
            ended.recv_timeout(LAST_LINES_TIME_MAX).ok();
        }
    }
}
