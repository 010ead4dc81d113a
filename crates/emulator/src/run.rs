//! Runs the clients and makes the report.
//!
//! ```text
//! keys ─► sign in ─► all joined ─► all refreshed ─► start ─► sent, answered, delivered ─► receipts
//! ```

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat_protocol::crypto::random;
use chat_protocol::name::{RoomName, UserName};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::error::{EmulatorError, Ended};
use crate::html;
use crate::options::{Emulation, Options};
use crate::report::{About, Report, machine};
use crate::script::{Picker, Random, Script, ScriptError};
use chat_device::client::Client;
use chat_device::server_url::ServerUrl;

mod client;
mod clients;
mod desk;
pub(crate) mod exchange;
mod keys;
mod ledger;
mod metrics;
mod movement;
mod pace;
mod plan;
mod whereabouts;

use client::{Emulated, Milestone, Phase, State};
use desk::Desk;
use exchange::{Exchange, FileLedger};
use ledger::Ledger;
use metrics::Pages;
use movement::{Mover, Progress, WHOLE};
use plan::{ROOM_STREAMS, messages, names, pace, rooms, span, stream};

/// Sign-ins at a time. The server lets an address have few connections that are not signed in.
const SIGN_INS_MAX: usize = 16;

/// A client that nothing is heard of for so long before the start will not come.
const SETUP_TIMEOUT: Duration = Duration::from_mins(2);

/// What is missing after so long without any progress counts as lost.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// When nothing has moved for so long, whoever is away may be what is waited for.
const IDLE_PUSH: Duration = Duration::from_millis(500);

/// How often is looked whether all is there. No latency depends on it.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The clients flush their receipts in less; one that hangs must not keep the report.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Where no bar is seen, a line tells so often how far the run is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// People who are named before a run that reaches them; the others are counted.
const NAMES_SHOWN_MAX: usize = 8;

/// A seed that a person can copy, and that every JSON reader keeps exactly.
const SEED_BITS: u64 = (1 << 53) - 1;

/// Runs the clients, shows the report, and says whether all was well. `interrupted` completes when somebody wants it
/// to end; it is called again for each time that it is waited for.
pub async fn run(
    options: &Options,
    emulation: &Emulation,
    interrupted: &impl AsyncFn(),
) -> Result<Ended, EmulatorError> {
    let script = Arc::new(Script::read(&emulation.messages).map_err(|error| wrong_script(&error))?);
    let seed = emulation.seed.unwrap_or_else(|| u64::from_be_bytes(random()) & SEED_BITS);
    let names = names(emulation.clients)?;
    for path in [&emulation.html, &emulation.csv].into_iter().flatten() {
        // Whoever has waited for a run gets its report.
        File::options().append(true).create(true).open(path).map_err(unwritable(path))?;
    }
    let crowd = Crowd::new(options, emulation, &names);
    tokio::select! {
        done = Box::pin(crowd.run(script, seed, &names, interrupted)) => done,
        never = crowd.tell() => match never {},
    }
}

fn wrong_script(error: &ScriptError) -> EmulatorError {
    EmulatorError::Wrong(error.to_string())
}

/// Everything that the clients share.
struct Crowd<'a> {
    options: &'a Options,
    emulation: &'a Emulation,
    ledger: Arc<Mutex<Ledger>>,
    files: Arc<Mutex<FileLedger>>,
    phases: watch::Sender<Phase>,
    progress: watch::Sender<Progress>,
    bar: ProgressBar,
}

type Ready = (mpsc::Receiver<Milestone>, Option<Pages>);

impl<'a> Crowd<'a> {
    fn new(options: &'a Options, emulation: &'a Emulation, names: &[UserName]) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(names, Instant::now())));
        let (phases, _) = watch::channel(Phase::Joining);
        let (progress, _) = watch::channel(0);
        let bar = bar(options, emulation);
        let files = Arc::default();
        Self { options, emulation, ledger, files, phases, progress, bar }
    }

    async fn run(
        &self,
        script: Arc<Script>,
        seed: u64,
        names: &[UserName],
        interrupted: &impl AsyncFn(),
    ) -> Result<Ended, EmulatorError> {
        let mut clients = JoinSet::new();
        let setup = Box::pin(self.gather(script, seed, names, &mut clients));
        let (mut milestones, before) = tokio::select! {
            ready = setup => ready?,
            () = interrupted() => {
                note("interrupted before the start; nothing was sent");
                return Ok(Ended::Interrupted);
            }
        };
        let room = plan::first_room(self.emulation)?;
        self.announce(&room);
        let (start, at) = (Instant::now(), Timestamp::now());
        self.enter(Phase::Sending(start));
        let was_interrupted = tokio::select! {
            () = self.watch(&mut milestones) => false,
            () = interrupted() => true,
        };
        let elapsed = self.ledger.lock().changed().saturating_duration_since(start);
        let after = if was_interrupted { None } else { self.figures().await };
        self.enter(Phase::Ending);
        let left = async { while clients.join_next().await.is_some() {} };
        tokio::select! {
            _ = timeout(LEAVE_TIMEOUT, left) => {}
            // Twice Ctrl-C: at once.
            () = interrupted() => {}
        }
        if self.emulation.files > 0 {
            // What is left there is removed by the next run.
            std::fs::remove_dir_all(self.files_folder()).ok();
        }
        let about = About {
            at,
            server: addresses(&self.options.servers),
            server_version: before.as_ref().and_then(Pages::version),
            machine: machine(),
            room: format!("#{room}"),
            others: u64::try_from(self.ledger.lock().strangers().len()).unwrap_or(u64::MAX),
            was_interrupted,
        };
        let report = self.report(seed, elapsed, about, before.zip(after));
        self.show(&report)?;
        Ok(match was_interrupted {
            true => Ended::Interrupted,
            false if report.is_well() => Ended::Well,
            false => Ended::WithFaults,
        })
    }

    /// Says where the texts go, and who else will get what is said to everybody, before anything is said.
    fn announce(&self, room: &RoomName) {
        self.say(&format!("texts go to #{room}"));
        let line = strangers_line(self.ledger.lock().strangers(), self.emulation.in_lobby);
        if let Some(line) = line {
            self.say(&line);
        }
    }

    /// Where no bar is seen, a line now and then. Never ends by itself.
    #[expect(clippy::infinite_loop, reason = "it is dropped when the run is over")]
    async fn tell(&self) -> Infallible {
        if !self.bar.is_hidden() || self.options.is_quiet {
            return std::future::pending().await;
        }
        loop {
            sleep(PROGRESS_INTERVAL).await;
            note(&self.progress());
        }
    }

    fn progress(&self) -> String {
        let message = self.bar.message();
        if !message.is_empty() {
            return message;
        }
        let (answered, elapsed) = (self.bar.position(), self.bar.elapsed().as_secs_f64());
        let of_all = messages(self.emulation).map(|all| format!(" of {all}")).unwrap_or_default();
        let rate = f64::from(u32::try_from(answered).unwrap_or(u32::MAX)) / elapsed.max(0.001);
        format!("{answered}{of_all} answered, {rate:.1}/s")
    }

    fn enter(&self, phase: Phase) {
        self.phases.send_replace(phase);
    }

    /// Signs all in and waits until each knows all others.
    async fn gather(
        &self,
        script: Arc<Script>,
        seed: u64,
        names: &[UserName],
        clients: &mut JoinSet<()>,
    ) -> Result<Ready, EmulatorError> {
        self.bar.set_message("making keys");
        let Options { home, key_bits, .. } = self.options;
        let devices = keys::devices(home, *key_bits, names).await?;
        self.bar.set_message("signing in");
        let desk = Desk::open(self.options)?;
        let (told, mut milestones) = mpsc::channel(names.len() * client::MILESTONES_EACH);
        let Emulation { churn, offline, .. } = *self.emulation;
        let mut absences = movement::absences(seed, names.len(), (churn, offline));
        let mut signed_in = stream::iter(names.iter().zip(devices).enumerate())
            .map(|(number, (name, device))| {
                let signed_in = desk.sign_in(number, name.clone(), device);
                async move { Ok::<_, EmulatorError>((number, Box::pin(signed_in).await?)) }
            })
            .buffer_unordered(SIGN_INS_MAX);
        while let Some((number, (client, events))) = signed_in.try_next().await? {
            let picker = Picker::new(Arc::clone(&script), seed, number, names)
                .map_err(|error| wrong_script(&error))?;
            let exchange = match names.get(number) {
                Some(name) => self.exchange(name, &client)?,
                None => None,
            };
            let emulated = Emulated {
                number,
                exchange,
                files: self.emulation.files,
                client,
                events,
                ledger: Arc::clone(&self.ledger),
                picker,
                pace: pace(self.emulation, number),
                rooms: rooms(self.emulation, number)?,
                mover: Mover::new(absences.get_mut(number).map(std::mem::take).unwrap_or_default()),
                progress: self.progress.subscribe(),
                random: Random::new(seed, ROOM_STREAMS + stream(number)),
                phases: self.phases.subscribe(),
                milestones: told.clone(),
                state: State::default(),
            };
            clients.spawn(emulated.run());
        }
        self.all(&mut milestones, "joined the rooms").await?;
        self.enter(Phase::Refreshing);
        self.all(&mut milestones, "learnt who is there").await?;
        Ok((milestones, self.figures().await))
    }

    /// The files of one client, if the run is to have any.
    fn exchange(
        &self,
        name: &UserName,
        client: &Client,
    ) -> Result<Option<Exchange>, EmulatorError> {
        if self.emulation.files == 0 {
            return Ok(None);
        }
        let (folder, files) = (self.files_folder(), Arc::clone(&self.files));
        Ok(Some(Exchange::new(name.clone(), client.clone(), &folder, files)?))
    }

    /// Where the clients keep what they share and fetch; it is gone after the run.
    fn files_folder(&self) -> PathBuf {
        self.options.home.join("emulated-files")
    }

    /// Waits until each client has reached the next thing.
    async fn all(
        &self,
        milestones: &mut mpsc::Receiver<Milestone>,
        what: &str,
    ) -> Result<(), EmulatorError> {
        for reached in 0..self.emulation.clients {
            self.bar.set_message(format!("{reached} have {what}"));
            match timeout(SETUP_TIMEOUT, milestones.recv()).await {
                Ok(Some(Milestone::Stopped(reason))) => {
                    return Err(EmulatorError::Stopped(reason));
                }
                Ok(_) => {}
                Err(_) => {
                    let reason = format!(
                        "only {reached} of {} clients have {what}; see the operation logs",
                        self.emulation.clients
                    );
                    return Err(EmulatorError::Late(reason));
                }
            }
        }
        Ok(())
    }

    /// Waits until everything is sent, answered and delivered, or nothing moves any more.
    async fn watch(&self, milestones: &mut mpsc::Receiver<Milestone>) {
        self.bar.set_message("");
        // The making of keys is no part of the rate.
        self.bar.reset();
        let start = Instant::now();
        let mut reached = 0;
        let mut sending = self.emulation.clients;
        let mut looks = interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                milestone = milestones.recv() => match milestone {
                    Some(Milestone::SentAll) => sending = sending.saturating_sub(1),
                    Some(Milestone::Stopped(reason)) => {
                        note(&format!("a client has stopped: {reason}"));
                        sending = sending.saturating_sub(1);
                    }
                    _ => {}
                },
                _ = looks.tick() => {}
            }
            let (is_settled, idle, answers) = {
                let ledger = self.ledger.lock();
                (ledger.is_settled(), ledger.idle(Instant::now()), ledger.answers())
            };
            let (is_settled, idle, answers) = {
                let files = self.files.lock();
                let idle = idle.min(files.idle(Instant::now()));
                (is_settled && files.is_settled(), idle, answers + files.ended())
            };
            self.bar.set_position(answers);
            reached = self.reached(reached, answers, start.elapsed(), idle);
            self.progress.send_if_modified(|known| std::mem::replace(known, reached) != reached);
            if is_settled && sending == 0 {
                return;
            }
            // Whoever did not come back until the end does not come back.
            if (!is_settled || reached == WHOLE) && idle > IDLE_MAX {
                note(&format!("nothing has moved for {} s", IDLE_MAX.as_secs()));
                return;
            }
        }
    }

    /// How much of the run is over, so that everybody knows when to go and when to come back. Where
    /// only the answers tell, and none come because all wait for those who are away, it goes on by
    /// itself.
    fn reached(
        &self,
        before: Progress,
        answers: u64,
        elapsed: Duration,
        idle: Duration,
    ) -> Progress {
        if let Some(span) = span(self.emulation) {
            return movement::reached(before, (elapsed.as_millis(), span.as_millis()), false);
        }
        let all = u128::from(messages(self.emulation).unwrap_or_default());
        movement::reached(before, (u128::from(answers), all), idle > IDLE_PUSH)
    }

    async fn figures(&self) -> Option<Pages> {
        match Pages::fetch(self.options).await {
            Ok(figures) => Some(figures),
            Err((url, error)) => {
                self.say(&format!("the /metrics of {url} cannot be read: {error}"));
                None
            }
        }
    }

    fn say(&self, line: &str) {
        if !self.options.is_quiet {
            self.bar.suspend(|| note(line));
        }
    }

    fn report(
        &self,
        seed: u64,
        elapsed: Duration,
        about: About,
        figures: Option<(Pages, Pages)>,
    ) -> Report {
        let (tally, stored, (per_client, course)) = {
            let ledger = self.ledger.lock();
            (ledger.tally(), ledger.stored_count(), ledger.course())
        };
        let count = usize::try_from(self.emulation.clients).unwrap_or(usize::MAX);
        let notes = self.files.lock().notes();
        let servers = figures.as_ref().map(|(before, after)| after.each(before));
        let server = figures.map(|(before, after)| {
            let clients = metrics::Clients { count, tally: &tally, stored, notes };
            metrics::compare(&before, &after, clients)
        });
        let server = server.unwrap_or_else(|| Ok(Vec::new())).unwrap_or_else(|why| {
            self.say(&format!("the server's sums are not compared: {why}"));
            Vec::new()
        });
        Report {
            clients: self.emulation.clients,
            key_pairs: u32::try_from(count.min(keys::PAIRS_MAX)).unwrap_or(u32::MAX),
            seed,
            elapsed,
            tally,
            files: (self.emulation.files > 0).then(|| self.files.lock().figures()),
            per_client,
            course,
            about,
            server,
            servers: servers.unwrap_or_default(),
            p99_max: self.emulation.p99_max,
            lost_max: self.emulation.lost_max,
        }
    }

    /// On the screen or as JSON, and as a page where asked for.
    fn show(&self, report: &Report) -> Result<(), EmulatorError> {
        self.bar.finish_and_clear();
        if let Some(path) = &self.emulation.html {
            std::fs::write(path, html::page(report)).map_err(unwritable(path))?;
        }
        if let Some(path) = &self.emulation.csv {
            std::fs::write(path, report.to_csv()).map_err(unwritable(path))?;
        }
        if self.options.json {
            return Ok(print_line(&report.to_json())?);
        }
        Ok(print_line(report.to_string().trim_end())?)
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> EmulatorError {
    let path = path.display().to_string();
    move |error| EmulatorError::Storage(format!("cannot write {path}: {error}"))
}

/// All addresses of the server, as one text.
fn addresses(servers: &[ServerUrl]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One line on standard output.
fn print_line(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// One line on standard error.
fn note(line: &str) {
    // With a closed standard error there is nobody to tell.
    writeln!(io::stderr(), "{line}").ok();
}

/// Who else will get what; nothing where nobody is there.
fn strangers_line(strangers: &BTreeSet<UserName>, in_lobby: bool) -> Option<String> {
    let shown: Vec<&str> = strangers.iter().take(NAMES_SHOWN_MAX).map(UserName::as_str).collect();
    let more = match strangers.len().checked_sub(shown.len()) {
        Some(more) if more > 0 => format!(" and {more} more"),
        _ => String::new(),
    };
    let what = if in_lobby { "the texts and the lines for ALL" } else { "the lines for ALL" };
    let names = shown.join(", ");
    (!strangers.is_empty()).then(|| format!("also online, and reached by {what}: {names}{more}"))
}

/// On standard error, for a person who looks.
fn bar(options: &Options, emulation: &Emulation) -> ProgressBar {
    let is_shown = !options.is_quiet && io::stderr().is_terminal();
    if !is_shown {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let answers = messages(emulation);
    let bar = ProgressBar::with_draw_target(answers, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(match answers {
        Some(_) => "{bar:30} {pos}/{len} answered, {per_sec} {msg}",
        None => "{spinner} {pos} answered, {elapsed}, {per_sec} {msg}",
    });
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_else_is_reached_is_named_as_far_as_a_line_goes() {
        let people = |count| {
            let names =
                (0..count).map(|number| UserName::new(&format!("person-{number:02}")).unwrap());
            names.collect::<BTreeSet<_>>()
        };
        assert_eq!(strangers_line(&people(0), false), None);
        let line = strangers_line(&people(2), false).unwrap();
        assert_eq!(line, "also online, and reached by the lines for ALL: person-00, person-01");
        let line = strangers_line(&people(10), true).unwrap();
        assert!(line.contains("the texts and") && line.ends_with("person-07 and 2 more"), "{line}");
    }
}
