//! For scripts: lines from standard input, one record per line on standard output.

use std::io::{self, BufRead as _, Write as _};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Said, Talk};
use crate::client::Events;
use crate::exit::ExitStatus;
use crate::oneshot::interrupted;
use crate::start::Failure;

/// Lines read ahead.
const LINES_AHEAD_MAX: usize = 64;

/// Messages without an answer; above it no further line is taken, so that a long file does not
/// pile up in memory and in the home.
const OPEN_MAX: usize = 512;

/// At the end of the input everything is answered within this time, or the exit code says so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads to the end of the input, then waits until everything sent is answered.
pub(super) async fn talk(mut talk: Talk, mut events: Events) -> Result<ExitStatus, Failure> {
    let mut lines = read_lines();
    let mut deadline: Option<Instant> = None;
    let mut interrupt = pin!(interrupted());
    while deadline.is_none()
        || !talk.open.is_empty()
        || !talk.lists.is_empty()
        || talk.files.is_busy()
    {
        let takes = deadline.is_none() && talk.open.len() < OPEN_MAX;
        let said = tokio::select! {
            line = lines.recv(), if takes => match line {
                Some(line) => talk.read(&line?).await?,
                None => Said::over(),
            },
            event = events.next() => talk.happened(event).await?,
            news = talk.files.next() => talk.file_news(news),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
            () = &mut interrupt => {
                talk.client.leave().await;
                return Ok(ExitStatus::Interrupted);
            }
        };
        if said.is_over {
            deadline.get_or_insert(Instant::now() + ANSWER_TIMEOUT);
        }
        say(&talk, said).await?;
    }
    let rest = deadline.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
    let flushed = timeout(rest, flush(&mut talk, &mut events)).await;
    let is_answered = talk.open.is_empty() && matches!(flushed, Ok(Ok(true)));
    talk.client.leave().await;
    if is_answered {
        return Ok(ExitStatus::Ok);
    }
    Err(Failure::Other {
        status: ExitStatus::Failure,
        reason: "not everything sent was answered; it is sent again at the next start".to_owned(),
    })
}

/// Sends the last receipts and shows what still arrives meanwhile.
async fn flush(talk: &mut Talk, events: &mut Events) -> Result<bool, Failure> {
    let client = talk.client.clone();
    let mut flushed = pin!(client.flush());
    loop {
        let said = tokio::select! {
            biased;
            event = events.next() => talk.happened(event).await?,
            is_flushed = &mut flushed => return Ok(is_flushed),
        };
        say(talk, said).await?;
    }
}

async fn say(talk: &Talk, said: Said) -> io::Result<()> {
    if !said.lines.is_empty() {
        let mut output = io::stdout().lock();
        for line in said.lines {
            writeln!(output, "{line}")?;
        }
        output.flush()?;
    }
    if let Some(key) = said.consumed {
        talk.client.consumed(key).await;
    }
    Ok(())
}

/// Standard input on a thread of its own: a read of it cannot be given up.
fn read_lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD_MAX);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
