//! For scripts: lines from standard input, one record per line on standard output.

use std::io::{self, Write as _};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Said, Talk, gravest};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::Failure;
use chat_device::client::Events;
use chat_device::text_lines::{BadLine, TextLines};

/// Lines read ahead.
const LINES_AHEAD_MAX: usize = 64;

/// Messages without an answer; above it no further line is taken, so that a long file does not
/// pile up in memory and in the home.
const OPEN_MAX: usize = 512;

/// Events that are here already and are shown before another line is read. A line costs a commit and brings
/// several events: taken in turns, what others say would come later and later. A flood of it stops no script.
const EVENTS_PER_LINE: u32 = 64;

/// So long the first line waits for the names that lines are read by. A server that sends none stops
/// nobody.
const NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// At the end of the input everything is answered within this time, or the exit code says so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What has become of a script so far.
#[derive(Debug, Default)]
struct Outcome {
    /// How it ends because something failed: refused before anything else.
    failure: Option<ExitStatus>,
    /// Why standard output takes no more. Everything is sent all the same.
    output: Option<io::Error>,
}

impl Outcome {
    fn note(&mut self, failure: Option<ExitStatus>) {
        self.failure = gravest(self.failure, failure);
    }

    /// Prints what is said. What cannot be printed is not dealt with: the next reader is told of it.
    async fn say(&mut self, talk: &Talk, said: Said) {
        self.note(said.failure);
        if self.output.is_some() {
            return;
        }
        if let Err(error) = print(&said.lines) {
            self.output = Some(error);
        } else if let Some(key) = said.consumed {
            talk.client.consumed(key).await;
        }
    }

    /// How the program ends.
    fn end(self, is_answered: bool) -> Result<ExitStatus, Failure> {
        let status = self.failure.unwrap_or(ExitStatus::Failure);
        if !is_answered {
            let reason = "not everything sent was answered; it is sent again at the next start";
            return Err(Failure::Other { status, reason: reason.to_owned() });
        }
        if let Some(error) = &self.output {
            let reason = format!(
                "everything was sent, but standard output takes no more ({error}); what arrived and is \
                 not printed is told at the next start"
            );
            return Err(Failure::Other { status, reason });
        }
        Ok(self.failure.unwrap_or(ExitStatus::Ok))
    }
}

/// Reads to the end of the input, then waits until everything sent is answered. With `stop_on_error` no
/// line is read after the first that failed.
pub(super) async fn talk(
    mut talk: Talk,
    mut events: Events,
    stop_on_error: bool,
) -> Result<ExitStatus, Failure> {
    let mut lines = read_lines();
    let mut outcome = Outcome::default();
    let mut deadline: Option<Instant> = None;
    let names_due = Instant::now() + NAMES_TIMEOUT;
    let mut interrupt = pin!(interrupted());
    let mut told = 0;
    while deadline.is_none() || talk.is_open() {
        let is_turn = !events.is_waiting() || told >= EVENTS_PER_LINE;
        let takes = deadline.is_none() && is_turn && talk.takes_line(stop_on_error);
        let start_due = talk.unstarted.due();
        let said = tokio::select! {
            line = lines.recv(), if takes => {
                told = 0;
                match line.transpose()? {
                    Some(Ok(line)) => talk.read(&line).await?,
                    Some(Err(bad)) => talk.error(&bad.to_string()),
                    None => Said::over(),
                }
            }
            event = events.next() => {
                told += 1;
                talk.happened(event).await?
            }
            news = talk.files.next() => talk.file_news(news),
            () = sleep_until(names_due), if !talk.awaited.names_are_late => {
                talk.awaited.names_are_late = true;
                Said::default()
            }
            () = sleep_until(start_due.unwrap_or_else(Instant::now)), if start_due.is_some() => {
                talk.take_back_unstarted(Instant::now()).await
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
            () = &mut interrupt => {
                talk.end().await;
                return Ok(ExitStatus::Interrupted);
            }
        };
        let is_over = said.is_over;
        let said = talk.with_day(said);
        outcome.say(&talk, said).await;
        if is_over || (stop_on_error && outcome.failure.is_some()) {
            deadline.get_or_insert(Instant::now() + ANSWER_TIMEOUT);
        }
    }
    let rest = deadline.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
    let flushed = timeout(rest, flush(&mut talk, &mut events, &mut outcome)).await;
    let is_answered = !talk.is_open() && matches!(flushed, Ok(Ok(true)));
    talk.end().await;
    outcome.end(is_answered)
}

impl Talk {
    /// Whether something that a line asked for is still under way.
    fn is_open(&self) -> bool {
        !self.open.is_empty() || self.waits_for_answers() || self.files.is_busy()
    }

    /// Whether the next line may be read. With `alone` each line waits for the answers of those before it.
    fn takes_line(&self, alone: bool) -> bool {
        let open_max = if alone { 1 } else { OPEN_MAX };
        self.open.len() < open_max && !self.waits_for_answers()
    }
}

/// Sends the last receipts and shows what still arrives meanwhile.
async fn flush(
    talk: &mut Talk,
    events: &mut Events,
    outcome: &mut Outcome,
) -> Result<bool, Failure> {
    let client = talk.client.clone();
    let mut flushed = pin!(client.flush());
    loop {
        let said = tokio::select! {
            biased;
            event = events.next() => talk.happened(event).await?,
            is_flushed = &mut flushed => return Ok(is_flushed),
        };
        outcome.say(talk, said).await;
    }
}

fn print(lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut output = io::stdout().lock();
    for line in lines {
        writeln!(output, "{line}")?;
    }
    output.flush()
}

/// Standard input on a thread of its own: a read of it cannot be given up.
fn read_lines() -> mpsc::Receiver<io::Result<Result<String, BadLine>>> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in TextLines::new(io::stdin().lock()) {
            let has_failed = line.is_err();
            if sender.blocking_send(line).is_err() || has_failed {
                return;
            }
        }
    });
    lines
}
