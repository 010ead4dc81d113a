//! One command on another machine: its output here, its exit status ours.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use chat_endpoint::limits::MAY_START_MAX_MS;
use chat_endpoint::{CommandOptions, Event};
use chat_exec::limits::{KILL_MARGIN, TERM_GRACE, WALL_MS_MAX};
use chat_protocol::code;
use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use clap::Args;
use serde_json::{Value, json as object};
use tokio::time::{Instant, sleep_until};

mod stdin;

use super::{Task, note, print_json};
use crate::config::{Common, arguments, names};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::{self, Failure};
use crate::unshown::Unshown;
use chat_device::client::SendError;
use chat_device::clock::now_ms;
use chat_talk::START_TIMEOUT;
use chat_text::hints;
use chat_text::input::CommandTooLong;
use chat_text::show::commands::{held_back, not_started, starts_until};
use chat_text::show::json;
use chat_text::show::output::Pieces;

/// No rule lets a command run longer; a machine that says nothing by then will say nothing more.
const END_TIMEOUT: Duration = Duration::from_millis(WALL_MS_MAX);

/// Between the end of its time and the word that it has ended: what the machine needs to bury it, and
/// what that word needs on its way.
const END_MARGIN: Duration =
    TERM_GRACE.saturating_add(KILL_MARGIN).saturating_add(Duration::from_secs(10));

/// What is asked of another machine.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct RunOf {
    /// Ask even if the same command could still start there: the server says that it refused it, or no answer came
    #[arg(long)]
    pub again: bool,
    /// End the command after this time, and wait no longer for it: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    pub timeout: Option<Duration>,
    /// What stands on standard input is not for the command, which gets none
    #[arg(short, long)]
    pub no_input: bool,
    /// `server`, or a user whose client runs as an agent
    #[arg(value_parser = names::target)]
    pub target: UserName,
    /// The program and its arguments, after `--`
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub argv: Vec<String>,
}

impl RunOf {
    /// Runs one command and passes its output and status on.
    pub async fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        CommandTooLong::check(&self.argv).map_err(|error| Failure::usage(&error))?;
        run(common, self).await
    }

    fn options(&self) -> CommandOptions {
        let time_max_ms = self.timeout.and_then(|time| u64::try_from(time.as_millis()).ok());
        CommandOptions { again: self.again, time_max_ms, ..CommandOptions::default() }
    }
}

async fn run(common: &Common, asked: &RunOf) -> Result<ExitStatus, Failure> {
    stdin::check(asked.no_input)?;
    // A question for the name is ended by signals as the system does it.
    let common = &Common { user: Some(start::user(common)?), ..common.clone() };
    // From here on none is lost, whatever is waited for.
    let started = tokio::select! {
        task = Box::pin(Task::start(common)) => Some(task?),
        () = interrupted() => None,
    };
    let Some(mut task) = started else { return Ok(ExitStatus::Interrupted) };
    // What stands before this program in a pipe may have been slower than its start.
    stdin::check(asked.no_input)?;
    let target = tokio::select! {
        target = task.true_name(&asked.target) => Some(target?),
        () = interrupted() => None,
    };
    let Some(target) = target else {
        task.end().await;
        return Ok(ExitStatus::Interrupted);
    };
    let asked_for = task.client.run(&target, asked.argv.clone(), asked.options()).await;
    if let (Err(error), true) = (&asked_for, task.is_json) {
        print_json(vec![not_sent(&target, error)])?;
    }
    let id = asked_for?;
    let mut command = Command::new(id, target, asked.timeout);
    let mut unshown = Unshown::of_person();
    let status = loop {
        let event = tokio::select! {
            event = task.events.next() => event,
            () = sleep_until(command.until) => {
                let may_start = command.leave(&task, &asked.argv).await;
                note(&command.silence(may_start));
                break command.when_silent();
            }
            () = interrupted() => {
                if command.wish == Wish::Wanted {
                    command.take_back(&task).await;
                    continue;
                }
                let may_start = command.leave(&task, &asked.argv).await;
                note(&command.left(may_start));
                break ExitStatus::Interrupted;
            }
        };
        let Some(notification) = task.notification(event)? else { continue };
        let ended = match command.take(&mut task, &notification.event) {
            // The command does not notice, so this is not how it has ended.
            Err(Failure::Io(error)) => {
                note(&command.unheard(&error));
                break ExitStatus::Unknown;
            }
            taken => taken?,
        };
        let ended = match ended {
            None => command.kept_back(&task, &notification.event, &asked.argv).await,
            ended => ended,
        };
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

/// The object for a command that was not asked for: one like it may still start over there, say.
fn not_sent(target: &UserName, error: &SendError) -> Value {
    let mut object = object!({
        "event": "command", "state": "NOT_SENT", "target": target, "reason": hints::not_sent(error),
    });
    let may_start = match error {
        SendError::Refused(chat_endpoint::SendError::MayStart { seconds, .. }) => Some(*seconds),
        _ => None,
    };
    if let (Some(seconds), Some(fields)) = (may_start, object.as_object_mut()) {
        let until = now_ms().saturating_add(seconds.saturating_mul(1_000));
        fields.insert("may_start_until".to_owned(), json::time(until).into());
    }
    object
}

/// What the person wants of the command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// That it runs to its end.
    Wanted,
    /// That it does not; the message that says so, if one had to.
    TakenBack { by: Option<MessageId> },
}

/// The command that is waited for.
struct Command {
    id: MessageId,
    target: UserName,
    /// When it was asked for, Unix time in milliseconds.
    asked_ms: u64,
    is_started: bool,
    /// The machine has left since it was started.
    is_away: bool,
    /// No output is missing.
    is_whole: bool,
    pieces: Pieces,
    /// How long it may run.
    timeout: Option<Duration>,
    wish: Wish,
    /// How long it is waited for: until it starts, and from then on until it must have ended.
    until: Instant,
}

impl Command {
    fn new(id: MessageId, target: UserName, timeout: Option<Duration>) -> Self {
        let start_max = timeout.map_or(START_TIMEOUT, |timeout| timeout.min(START_TIMEOUT));
        Self {
            id,
            target,
            asked_ms: now_ms(),
            is_started: false,
            is_away: false,
            is_whole: true,
            pieces: Pieces::default(),
            timeout,
            wish: Wish::Wanted,
            until: Instant::now() + start_max,
        }
    }

    /// It has started; said once or more. One that was taken back is waited for no longer because of that.
    fn started(&mut self) {
        let was_started = std::mem::replace(&mut self.is_started, true);
        if !was_started && self.wish == Wish::Wanted {
            let run_max = self.timeout.map_or(END_TIMEOUT, |timeout| timeout.min(END_TIMEOUT));
            self.until = Instant::now() + run_max + END_MARGIN;
        }
    }

    fn is_taken_back_by(&self, id: MessageId) -> bool {
        self.wish == Wish::TakenBack { by: Some(id) }
    }

    /// The person wants it no more.
    async fn take_back(&mut self, task: &Task) {
        self.wish = Wish::TakenBack { by: task.client.cancel(self.id).await };
        self.until = Instant::now() + END_MARGIN;
        let target = &self.target;
        note(&format!(
            "· asking {target} to cancel the command; Ctrl-C once more leaves it to {target}"
        ));
    }

    /// Whether the server says that it keeps for a machine that is away that the command is not to start.
    fn is_kept_back(&self, event: &Event) -> bool {
        let Event::Stored { id, kept: true, .. } = event else { return false };
        !self.is_started && self.is_taken_back_by(*id)
    }

    /// Ends where that is kept for a machine that is away.
    async fn kept_back(&self, task: &Task, event: &Event, argv: &[String]) -> Option<ExitStatus> {
        if !self.is_kept_back(event) {
            return None;
        }
        let may_start = self.leave(task, argv).await;
        note(&self.taken_back(may_start));
        Some(ExitStatus::Interrupted)
    }

    /// Waits no longer. One that was not started is taken back, if that has not been said yet; until when it
    /// could start all the same, as a time for people.
    async fn leave(&self, task: &Task, argv: &[String]) -> Option<String> {
        if self.is_started {
            task.client.forget_command(self.id).await;
            return None;
        }
        if self.wish == Wish::Wanted {
            // Whatever the time over there is, it is not to start any more.
            task.client.cancel(self.id).await;
        }
        let until_ms = task.client.give_up(self.id, argv.to_vec()).await;
        until_ms.map(|ms| task.time(ms))
    }

    /// What is said when the word that takes it back waits for its machine.
    fn taken_back(&self, may_start: Option<String>) -> String {
        let target = &self.target;
        let lie = may_start.map(|until| format!(". {}", held_back(&until)));
        format!(
            "· {target} is away; the command is cancelled when it comes back{}",
            lie.unwrap_or_default()
        )
    }

    /// What is said when the person does not wait for the word that it is cancelled.
    fn left(&self, may_start: Option<String>) -> String {
        let target = &self.target;
        match may_start {
            Some(until) => format!(
                "{target} has not said whether the command is cancelled. {}",
                held_back(&until)
            ),
            None => "the command may still be running over there, and what it says is not shown any more"
                .to_owned(),
        }
    }

    /// What is said when what the command says can be written nowhere.
    fn unheard(&self, error: &io::Error) -> String {
        let target = &self.target;
        format!(
            "standard output takes no more ({error}): the command may still be running on {target}, and how it ends \
             is not waited for"
        )
    }

    fn when_silent(&self) -> ExitStatus {
        if self.wish == Wish::Wanted { ExitStatus::TimedOut } else { ExitStatus::Interrupted }
    }

    /// What is said when the time is over; `may_start` is until when it could start all the same.
    fn silence(&self, may_start: Option<String>) -> String {
        let target = &self.target;
        if self.wish != Wish::Wanted {
            let lie = may_start.map(|until| format!(". {}", held_back(&until)));
            return format!(
                "{target} has not said in time whether the command is cancelled{}",
                lie.unwrap_or_default()
            );
        }
        match (self.is_started, self.is_away) {
            (false, _) => not_started(target, may_start),
            (true, false) => format!(
                "{target} has not said in time how the command ended; it was started, and how it \
                 ended is not known"
            ),
            (true, true) => format!(
                "{target} is away since the command was started, and how it ended is not known"
            ),
        }
    }

    /// The machine comes and goes while the command is under way there.
    fn presence(&mut self, task: &mut Task, event: &Event) -> io::Result<()> {
        let Event::Presence { joined, left, .. } = event else { return Ok(()) };
        let (has_left, has_come) = (left.contains(&self.target), joined.contains(&self.target));
        if !self.is_started || !(has_left || has_come) {
            return Ok(());
        }
        self.is_away = has_left && !has_come;
        if task.is_json {
            return task.show(event);
        }
        let target = &self.target;
        note(&if self.is_away {
            format!("· {target} is away; the command was started, and how it ends is not known yet")
        } else {
            format!("· {target} is here again")
        });
        Ok(())
    }

    /// Whether an event is about this command: only those are this process's to deal with.
    fn is_mine(&self, event: &Event) -> bool {
        match event {
            Event::Started { re: id, .. }
            | Event::Output { re: id, .. }
            | Event::OutputLost { re: id, .. }
            | Event::Ended { re: id, .. }
            | Event::Stored { id, .. }
            | Event::Delivered { id, .. }
            | Event::Refused { id, .. } => *id == self.id || self.is_taken_back_by(*id),
            _ => false,
        }
    }

    /// Passes on what an event says; a status when it was the last.
    fn take(&mut self, task: &mut Task, event: &Event) -> Result<Option<ExitStatus>, Failure> {
        self.presence(task, event)?;
        let is_word =
            matches!(event, Event::Alarm { .. } | Event::Complaint { .. } | Event::PutOff { .. });
        if is_word || self.is_gap(event) {
            task.mention(event);
        }
        // What becomes of the word that takes it back is none of the answer.
        if !self.is_mine(event) || event.answers().is_some_and(|id| id != self.id) {
            return Ok(None);
        }
        if matches!(event, Event::Started { .. } | Event::Output { .. }) {
            self.started();
        }
        self.is_whole &= !matches!(event, Event::OutputLost { .. });
        if task.is_json {
            self.print(task, event)?;
        } else {
            self.write(task, event)?;
        }
        Ok(match event {
            // Nobody may take a part for the whole.
            Event::Ended { code, .. } | Event::Refused { code, .. } if code == code::CANCELLED => {
                Some(ExitStatus::Interrupted)
            }
            Event::Ended { ok: true, .. } if !self.is_whole => Some(ExitStatus::Integrity),
            Event::Ended { ok: true, .. } => Some(ExitStatus::Ok),
            Event::Ended { status: Some(status), .. } => Some(ExitStatus::Command(low(*status))),
            Event::Ended { code, .. } | Event::Refused { code, .. } => Some(without_status(code)),
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

    fn print(&self, task: &mut Task, event: &Event) -> io::Result<()> {
        let state = match event {
            Event::Stored { .. } => Some("QUEUED"),
            Event::Delivered { .. } => Some("DELIVERED"),
            Event::Refused { .. } => Some("REFUSED"),
            _ => None,
        };
        if let Some(state) = state {
            let mut object = object!({"event": "command", "id": self.id, "state": state});
            if let (Event::Stored { kept: true, .. }, Some(fields)) =
                (event, object.as_object_mut())
            {
                let until = json::time(self.asked_ms.saturating_add(MAY_START_MAX_MS));
                fields.insert("may_start_until".to_owned(), until.into());
            }
            print_json(vec![object])?;
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
            Event::Stored { kept: true, .. } => {
                task.mention(event);
                note(&format!(
                    "· {}; Ctrl-C cancels it",
                    starts_until(self.target.as_str(), self.asked_ms, |ms| task.time(ms))
                ));
                Ok(())
            }
            Event::Refused { .. } => {
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

/// What the program's exit code says about a command without a status of its own.
fn without_status(code: &str) -> ExitStatus {
    match code {
        // It was started, and may have done its work.
        chat_exec::report::code::INTERRUPTED => ExitStatus::Unknown,
        code::NO_AGENT
        | code::NO_SUCH_USER
        | code::EXPIRED
        | code::STALE
        | code::CLOCK
        | chat_exec::report::code::BUSY
        | chat_exec::report::code::STORAGE => ExitStatus::NeverRan,
        code::INTEGRITY => ExitStatus::Integrity,
        _ => ExitStatus::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: whoever has taken a command back waits for its end and not for as long as it may run. (The build before
    /// waited for an hour if it started after that and its machine died.)
    #[test]
    fn a_start_after_it_was_taken_back_lengthens_no_waiting() {
        let make =
            || Command::new(MessageId::new(1, [1; 10]), UserName::new("web1").unwrap(), None);
        let (mut wanted, mut back) = (make(), make());
        let until = back.until;
        back.wish = Wish::TakenBack { by: None };
        wanted.started();
        back.started();
        assert!(wanted.until > until + END_MARGIN, "it may run for an hour");
        assert!(back.is_started && back.until == until);
    }

    #[test]
    fn a_command_that_is_held_back_has_an_object_too() {
        let target = UserName::new("web1").unwrap();
        let doubt = chat_endpoint::SendError::MayStart { target: target.clone(), seconds: 9 };
        let object = not_sent(&target, &SendError::Refused(doubt));
        assert_eq!(
            (object["event"].as_str(), object["state"].as_str()),
            (Some("command"), Some("NOT_SENT"))
        );
        assert!(object["may_start_until"].is_string(), "{object}");
        assert!(
            object["reason"].as_str().is_some_and(|reason| reason.contains("--again")),
            "{object}"
        );
    }

    #[test]
    fn statuses_keep_their_low_bits_and_refusals_differ_from_failures() {
        assert_eq!((low(3), low(255), low(256), low(-1)), (3, 255, 1, 255));
        assert_eq!(without_status("E_POLICY"), ExitStatus::Refused);
        assert_eq!(without_status("E_ORDER"), ExitStatus::Refused);
        assert_eq!(without_status("E_NO_AGENT"), ExitStatus::NeverRan);
        assert_eq!(without_status("E_EXPIRED"), ExitStatus::NeverRan);
        assert_eq!(without_status("E_INTERRUPTED"), ExitStatus::Unknown, "it was started");
        assert_eq!(without_status("E_INTEGRITY"), ExitStatus::Integrity);
    }
}
