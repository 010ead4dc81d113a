//! For scripts: lines from standard input, one record per line on standard output.

use std::io::{self, Write as _};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::exit_status;
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::Failure;
use chat_device::client::Events;
use chat_device::text_lines::{BadLine, TextLines};
use chat_talk::{Fault, Talk, Told};
use chat_text::item::What;
use chat_text::show::items::Printer;

/// Lines read ahead.
const LINES_AHEAD_MAX: usize = 64;

/// Events that are here already and are shown before another line is read. A line costs a commit and brings
/// several events: taken in turns, what others say would come later and later. A flood of it stops no script.
const EVENTS_PER_LINE: u32 = 64;

/// So long the first line waits for the names that lines are read by. A server that sends none stops
/// nobody.
const NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// At the end of the input everything is answered within this time, or the exit code says so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Whose turn it is: a line's, or that of events that are here already.
#[derive(Debug, Default)]
struct Turns {
    /// Events that were shown since the last line, or since none was waiting.
    events: u32,
}

impl Turns {
    /// Whether a line may be read now.
    fn is_for_line(&mut self, is_event_waiting: bool) -> bool {
        if !is_event_waiting {
            self.events = 0;
        }
        !is_event_waiting || self.events >= EVENTS_PER_LINE
    }
}

/// What has become of a script so far.
#[derive(Debug)]
struct Outcome {
    printer: Printer,
    /// What has failed: refused before anything else.
    fault: Option<Fault>,
    /// Why standard output takes no more. Everything is sent all the same.
    output: Option<io::Error>,
}

impl Outcome {
    /// Prints what is told. What cannot be printed is not dealt with: the next reader is told of it.
    async fn tell(&mut self, talk: &Talk, told: Told) {
        self.fault = Fault::gravest(self.fault, told.fault);
        if self.output.is_some() {
            return;
        }
        self.printer.set_timed(talk.settings().timestamps);
        if let Err(error) = print(&self.printer.print(&told.items)) {
            self.output = Some(error);
        } else if let Some(key) = told.consumed {
            talk.consumed(key).await;
        }
    }

    /// How the program ends.
    fn end(self, is_answered: bool) -> Result<ExitStatus, Failure> {
        let status = exit_status(self.fault.unwrap_or(Fault::Failed));
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
        Ok(self.fault.map_or(ExitStatus::Ok, exit_status))
    }
}

/// Reads to the end of the input, then waits until everything sent is answered. With `stop_on_error` no
/// line is read after the first that failed.
pub(super) async fn talk(
    mut talk: Talk,
    mut events: Events,
    printer: Printer,
    stop_on_error: bool,
) -> Result<ExitStatus, Failure> {
    let mut lines = read_lines();
    let mut outcome = Outcome { printer, fault: None, output: None };
    let mut deadline: Option<Instant> = None;
    let names_due = Instant::now() + NAMES_TIMEOUT;
    let mut interrupt = pin!(interrupted());
    let (mut turns, mut waits_for_names) = (Turns::default(), true);
    while deadline.is_none() || talk.is_open() {
        let is_turn = turns.is_for_line(events.is_waiting());
        let takes = deadline.is_none() && is_turn && talk.takes_line(stop_on_error);
        let start_due = talk.due();
        let told = tokio::select! {
            line = lines.recv(), if takes => {
                turns.events = 0;
                match line.transpose()? {
                    Some(Ok(line)) => talk.read(&line).await,
                    Some(Err(bad)) => bad_line(&bad),
                    None => Told::over(),
                }
            }
            event = events.next() => {
                turns.events += 1;
                talk.happened(event).await?
            }
            news = talk.next_about_files() => talk.file_news(news),
            () = sleep_until(names_due), if waits_for_names => {
                waits_for_names = false;
                talk.wait_for_no_names();
                Told::default()
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
        let is_over = told.is_over;
        outcome.tell(&talk, told).await;
        if is_over || (stop_on_error && outcome.fault.is_some()) {
            deadline.get_or_insert(Instant::now() + ANSWER_TIMEOUT);
        }
    }
    let rest = deadline.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
    let flushed = timeout(rest, flush(&mut talk, &mut events, &mut outcome)).await;
    let is_answered = !talk.is_open() && matches!(flushed, Ok(Ok(true)));
    talk.end().await;
    outcome.end(is_answered)
}

/// Sends the last receipts and shows what still arrives meanwhile.
async fn flush(
    talk: &mut Talk,
    events: &mut Events,
    outcome: &mut Outcome,
) -> Result<bool, Failure> {
    let client = talk.client().clone();
    let mut flushed = pin!(client.flush());
    loop {
        let told = tokio::select! {
            biased;
            event = events.next() => talk.happened(event).await?,
            is_flushed = &mut flushed => return Ok(is_flushed),
        };
        outcome.tell(talk, told).await;
    }
}

/// A line that is no text.
fn bad_line(bad: &BadLine) -> Told {
    Told { fault: Some(Fault::Failed), ..What::Error(bad.to_string()).into() }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what has come is shown before another line is read, and a flood of it stops no script. Before: lines and
    /// events took turns, and a pipe with many lines on a slow disk showed what others say later and later.
    #[test]
    fn what_has_come_goes_before_a_line_and_a_flood_stops_none() {
        let mut turns = Turns::default();
        assert!(turns.is_for_line(false), "nothing has come");
        for _ in 0..EVENTS_PER_LINE {
            assert!(!turns.is_for_line(true));
            turns.events += 1;
        }
        assert!(turns.is_for_line(true), "one line in a flood");
        turns.events = 0;
        assert!(!turns.is_for_line(true), "and then what has come again");
        turns.events = EVENTS_PER_LINE;
        assert!(turns.is_for_line(false));
        assert!(!turns.is_for_line(true), "what came one by one is no flood");
    }
}
