//! One task of a signed-in device, and where its words go. What can be asked for is in [`crate::verb`].

use std::io::{self, Write as _};
use std::time::Duration;

use chat_endpoint::Event;
use chat_protocol::handshake::Purpose;
use chat_protocol::name::UserName;
use chat_protocol::sanitise;
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::{Common, Verbosity};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::{self, Failure};
use chat_device::client::{Client, ClientEvent, Events};
use chat_device::names::{self, Names};
use chat_text::show::objects::Objects;
use chat_text::show::{Detail, Lines, clocks as clocks_line};

/// How long the last receipts of a task may take; what is not sent by then follows at the next
/// start.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a task that is done still takes in what waited for this device.
pub(crate) const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// How long the names of all users may take.
const NAMES_TIMEOUT: Duration = Duration::from_secs(5);

/// One signed-in task and where its words go.
#[derive(Debug)]
pub struct Task {
    /// The device.
    pub client: Client,
    /// What happens.
    pub events: Events,
    /// The user of this home.
    pub user: UserName,
    pub(crate) lines: Lines,
    objects: Objects,
    pub(crate) is_json: bool,
    pub(crate) verbosity: Verbosity,
    pub(crate) has_caught_up: bool,
}

impl Task {
    /// Signs in for a task that ends by itself: nobody is told that it came or went.
    pub async fn start(common: &Common) -> Result<Self, Failure> {
        Self::start_for(common, Purpose::Visit).await
    }

    /// Signs in for a task that stays until somebody ends it.
    pub async fn start_to_stay(common: &Common) -> Result<Self, Failure> {
        Self::start_for(common, Purpose::Task).await
    }

    async fn start_for(common: &Common, purpose: Purpose) -> Result<Self, Failure> {
        let user = start::user(common)?;
        let connector = start::connector(common)?;
        let signed_in = start::sign_in(common, connector, user.clone(), purpose, None);
        let (client, events) = Box::pin(signed_in).await?;
        let lines = Lines::new(user.clone(), Detail::Full);
        let (is_json, verbosity) = (common.json, common.verbosity);
        let objects = Objects::default();
        Ok(Self { client, events, user, lines, objects, is_json, verbosity, has_caught_up: false })
    }

    /// Whether a person sees the lines as they come, with times of the day only.
    pub fn is_for_eyes(&self) -> bool {
        !self.is_json && !self.lines.dated
    }

    /// Shows an event on standard output: one line, or JSON objects.
    pub fn show(&mut self, event: &Event) -> io::Result<()> {
        if self.is_json {
            return print_json(self.objects.of(&self.user, event));
        }
        match self.lines.event(event) {
            Some(line) => print_line(&line),
            None => Ok(()),
        }
    }

    /// A time as people read it, from Unix time in milliseconds.
    pub fn time(&self, unix_ms: u64) -> String {
        self.lines.time(unix_ms)
    }

    /// Shows the answer to what is done already: an output that takes nothing is told of and changes nothing
    /// about how the program ends, because whoever tries again would do it twice.
    pub fn show_done(&mut self, event: &Event) {
        if let Err(error) = self.show(event) {
            note(&format!("sent, but standard output takes nothing: {error}"));
        }
    }

    /// Shows an event on standard error, for what is not the answer itself.
    pub fn mention(&self, event: &Event) {
        if let Some(line) = self.lines.event(event).filter(|_| self.verbosity > Verbosity::Quiet) {
            note(&line);
        }
    }

    /// Deals with what is about the connection; hands over what the device says.
    pub fn notification(
        &mut self,
        event: Option<ClientEvent>,
    ) -> Result<Option<chat_endpoint::Notification>, Failure> {
        match event {
            Some(ClientEvent::Notification(notification)) => Ok(Some(notification)),
            Some(ClientEvent::Offline { reason }) => {
                if self.verbosity > Verbosity::Quiet {
                    note(&format!("offline: {reason}; trying again"));
                }
                Ok(None)
            }
            Some(ClientEvent::Online { clocks, .. }) => {
                let line = clocks_line(clocks.0, clocks.1);
                if let Some(line) = line.filter(|_| self.verbosity > Verbosity::Quiet) {
                    note(&line);
                }
                Ok(None)
            }
            Some(ClientEvent::Silent { seconds }) => {
                if self.verbosity > Verbosity::Quiet {
                    note(&format!("the server has not answered for {seconds} s"));
                }
                Ok(None)
            }
            Some(ClientEvent::Answering) => Ok(None),
            Some(ClientEvent::CaughtUp) => {
                self.has_caught_up = true;
                Ok(None)
            }
            Some(ClientEvent::Stopped(stopped)) => Err(stopped.into()),
            None => Err(Failure::Other {
                status: ExitStatus::Failure,
                reason: "the client has ended".to_owned(),
            }),
        }
    }

    /// An answer was shown: no other process needs to tell it again. What is said about files waits for a
    /// process that deals with them.
    pub(crate) async fn consumed(&self, notification: &chat_endpoint::Notification) {
        let is_about_files = matches!(notification.event, Event::File { .. });
        if let Some(key) = notification.key.filter(|_| !is_about_files) {
            self.client.consumed(key).await;
        }
    }

    /// Takes what waits at the server into the home, for a while: where nobody ever listens, the
    /// receipts for what was sent would pile up there. Whoever reads in this home is told of it.
    pub async fn catch_up(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + CATCH_UP_MAX;
        while !self.has_caught_up {
            let Ok(event) = timeout_at(until, self.events.next()).await else { break };
            let Some(notification) = self.notification(event)? else { continue };
            if matches!(notification.event, Event::Alarm { .. }) {
                self.mention(&notification.event);
            }
        }
        Ok(())
    }

    /// Whom a typed name means, see [`names::meant`]. The server's list is asked for where nobody is known
    /// by key; a name stays as it was typed where the list does not come in time.
    pub async fn true_name(&mut self, typed: &UserName) -> Result<UserName, Failure> {
        let known = self.client.known_as(typed).await;
        let listed = if known.is_empty() { self.listed_names().await? } else { Names::default() };
        Ok(names::meant(typed, &known, &listed))
    }

    /// The names on the server's list, as many as come in time.
    async fn listed_names(&mut self) -> Result<Names, Failure> {
        self.client.who().await;
        let until = Instant::now() + NAMES_TIMEOUT;
        let mut names = Names::default();
        while let Ok(event) = timeout_at(until, self.events.next()).await {
            let is_lost = matches!(event, Some(ClientEvent::Offline { .. }));
            let notification = self.notification(event)?;
            let event = notification.map(|notification| notification.event);
            if let Some(alarm @ Event::Alarm { .. }) = &event {
                self.mention(alarm);
            }
            if let Some(people @ Event::People { more, .. }) = &event {
                names.learn_from(people);
                if *more {
                    continue;
                }
            } else if !is_lost {
                continue;
            }
            break;
        }
        Ok(names)
    }

    /// Sends the receipts that are owed and leaves.
    pub async fn end(self) {
        tokio::select! {
            flushed = timeout(FLUSH_TIMEOUT, self.client.flush()) => if flushed.is_err() {
                tracing::debug!("not everything was answered in time; it stays in the home");
            },
            () = interrupted() => {}
        }
        self.client.leave().await;
    }
}

/// One line on standard output.
pub fn print_line(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Objects on standard output, one line each.
pub fn print_json(objects: Vec<Value>) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for object in objects {
        writeln!(output, "{}", sanitise::json(&object.to_string()))?;
    }
    output.flush()
}

/// What is said for people and as objects, on standard output in one of the two forms.
pub fn print_lines(as_json: bool, lines: Vec<(String, Value)>) -> io::Result<()> {
    if as_json {
        return print_json(lines.into_iter().map(|(_, object)| object).collect());
    }
    lines.iter().try_for_each(|(line, _)| print_line(line))
}

/// One line on standard error.
pub fn note(line: &str) {
    // With a closed standard error there is nobody to tell.
    writeln!(io::stderr(), "{}", sanitise::text(line)).ok();
}
