//! One command on another machine: its output here, its exit status ours.

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::time::Duration;

use chat_endpoint::{CommandOptions, Event};
use chat_protocol::code;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{Task, interrupted, note, print_json};
use crate::config::Common;
use crate::exit::ExitStatus;
use crate::show::output::Pieces;
use crate::start::Failure;
use crate::unshown::Unshown;

/// A command may start within a minute of its signature; with some allowance for clocks, one that
/// was not started by then never is.
const START_TIMEOUT: Duration = Duration::from_secs(75);

/// Runs one command and passes its output and status on.
pub async fn run(
    common: &Common,
    target: &UserName,
    argv: Vec<String>,
    again: bool,
) -> Result<ExitStatus, Failure> {
    let mut task = Box::pin(Task::start(common)).await?;
    let options = CommandOptions { again, ..CommandOptions::default() };
    let target = task.true_name(target).await?;
    let id = task.client.run(&target, argv, options).await?;
    let mut command =
        Command { id, target, is_started: false, is_whole: true, pieces: Pieces::default() };
    let mut unshown = Unshown::of_person();
    let unstarted_at = Instant::now() + START_TIMEOUT;
    let mut interrupt = pin!(interrupted());
    let status = loop {
        let event = tokio::select! {
            event = task.events.next() => event,
            () = sleep_until(unstarted_at), if !command.is_started => {
                note(&format!("{} did not start the command in time", command.target));
                task.client.forget_command(id).await;
                break ExitStatus::TimedOut;
            }
            () = &mut interrupt => {
                note("interrupted; the command may still be running over there, and what it says is \
                    not shown any more");
                task.client.forget_command(id).await;
                break ExitStatus::Interrupted;
            }
        };
        let Some(notification) = task.notification(event)? else { continue };
        let ended = command.take(&task, &notification.event)?;
        if !command.is_mine(&notification.event) {
            unshown.take(&task.client, &notification).await;
        } else if let Some(key) = notification.key {
            task.client.consumed(key).await;
        }
        if let Some(status) = ended {
            break status;
        }
    };
    task.end().await;
    Ok(status)
}

/// The command that is waited for.
struct Command {
    id: MessageId,
    target: UserName,
    is_started: bool,
    /// No output is missing.
    is_whole: bool,
    pieces: Pieces,
}

impl Command {
    /// Whether an event is about this command: only those are this process's to deal with.
    fn is_mine(&self, event: &Event) -> bool {
        match event {
            Event::Started { re: id, .. }
            | Event::Output { re: id, .. }
            | Event::OutputLost { re: id, .. }
            | Event::Ended { re: id, .. }
            | Event::Stored { id, .. }
            | Event::Delivered { id, .. }
            | Event::Refused { id, .. } => *id == self.id,
            _ => false,
        }
    }

    /// Passes on what an event says; a status when it was the last.
    fn take(&mut self, task: &Task, event: &Event) -> Result<Option<ExitStatus>, Failure> {
        if matches!(event, Event::Alarm { .. } | Event::Complaint { .. }) || self.is_gap(event) {
            task.mention(event);
        }
        if !self.is_mine(event) {
            return Ok(None);
        }
        self.is_started |=
            matches!(event, Event::Started { .. } | Event::Output { .. } | Event::Ended { .. });
        self.is_whole &= !matches!(event, Event::OutputLost { .. });
        if task.is_json {
            self.print(task, event)?;
        } else {
            self.write(task, event)?;
        }
        Ok(match event {
            // Nobody may take a part for the whole.
            Event::Ended { ok: true, .. } if !self.is_whole => Some(ExitStatus::Integrity),
            Event::Ended { ok: true, .. } => Some(ExitStatus::Ok),
            Event::Ended { status: Some(status), .. } => Some(ExitStatus::Command(low(*status))),
            Event::Ended { code, .. } | Event::Refused { code, .. } => Some(not_run(code)),
            _ => None,
        })
    }

    /// Whether something that the machine has said is missing: it may be output, and is waited for.
    fn is_gap(&self, event: &Event) -> bool {
        match event {
            Event::Gap { cid, from, .. }
            | Event::Healed { cid, from, .. }
            | Event::Unhealed { cid, from, .. } => cid.is_direct() && *from == self.target,
            _ => false,
        }
    }

    fn print(&self, task: &Task, event: &Event) -> io::Result<()> {
        let state = match event {
            Event::Stored { .. } => Some("QUEUED"),
            Event::Delivered { .. } => Some("DELIVERED"),
            Event::Refused { .. } => Some("REFUSED"),
            _ => None,
        };
        if let Some(state) = state {
            print_json(vec![json!({"event": "command", "id": self.id, "state": state})])?;
        }
        task.show(event)
    }

    fn write(&mut self, task: &Task, event: &Event) -> io::Result<()> {
        match event {
            Event::Output { stderr, data, .. } => {
                let is_terminal = match stderr {
                    true => io::stderr().is_terminal(),
                    false => io::stdout().is_terminal(),
                };
                if is_terminal {
                    let shown = self.pieces.add(self.id, *stderr, data);
                    write_to(*stderr, shown.as_bytes())
                } else {
                    // A file or program wants the bytes as they are.
                    write_to(*stderr, data)
                }
            }
            Event::Ended { .. } => {
                write_to(false, self.pieces.end(self.id).as_bytes())?;
                if !matches!(event, Event::Ended { ok: true, .. }) {
                    task.mention(event);
                }
                Ok(())
            }
            Event::OutputLost { .. } => {
                write_to(false, self.pieces.end(self.id).as_bytes())?;
                task.mention(event);
                Ok(())
            }
            Event::Refused { .. } | Event::Stored { kept: true, .. } => {
                task.mention(event);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn write_to(stderr: bool, bytes: &[u8]) -> io::Result<()> {
    if stderr {
        let mut error = io::stderr().lock();
        error.write_all(bytes)?;
        return error.flush();
    }
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}

/// The status as a shell sees it: its low eight bits, and never 0 for what failed.
fn low(status: i32) -> u8 {
    let [low, ..] = status.to_le_bytes();
    low.max(1)
}

/// What the program's exit code says about a command that was not run.
fn not_run(code: &str) -> ExitStatus {
    match code {
        code::NO_AGENT
        | code::NO_SUCH_USER
        | code::EXPIRED
        | code::STALE
        | code::CLOCK
        | chat_exec::report::code::INTERRUPTED
        | chat_exec::report::code::BUSY
        | chat_exec::report::code::STORAGE => ExitStatus::NeverRan,
        code::INTEGRITY => ExitStatus::Integrity,
        _ => ExitStatus::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_keep_their_low_bits_and_refusals_differ_from_failures() {
        assert_eq!((low(3), low(255), low(256), low(-1)), (3, 255, 1, 255));
        assert_eq!(not_run("E_POLICY"), ExitStatus::Refused);
        assert_eq!(not_run("E_ORDER"), ExitStatus::Refused);
        assert_eq!(not_run("E_NO_AGENT"), ExitStatus::NeverRan);
        assert_eq!(not_run("E_INTERRUPTED"), ExitStatus::NeverRan);
        assert_eq!(not_run("E_INTEGRITY"), ExitStatus::Integrity);
    }
}
