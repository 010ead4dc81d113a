//! `share`, `find`, `files` and `get`.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chat_files::keywords::{self, KEYWORD_FILE};
use chat_protocol::crypto::Sha256Stream;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::name::{ConversationId, UserName};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Task, note, print_json, print_lines};
use crate::config::{Common, Verbosity, names};
use crate::exit::{ExitStatus, HasExit as _};
use crate::signals::interrupted;
use crate::start::{self, Failure};
use crate::unshown::Unshown;
use chat_device::client::ClientEvent;
use chat_device::home::known_servers::hex;
use chat_device::ignored::Ignored;
use chat_device::recipient::Recipient;
use chat_files::transfer::{
    Findings, Forged, Listed, TransferError, TransferEvent, TransferOptions, Transfers,
};
use chat_text::show::files as show;

/// Files of one name that are listed as choices: a screenful.
const CHOICES_MAX: usize = 20;

/// How often it is told how much of a file is here, where no bar shows it.
const PROGRESS: Duration = Duration::from_secs(10);

/// A task whose notifications about files go to its transfers.
struct Desk {
    task: Task,
    transfers: Transfers,
    happened: mpsc::Receiver<TransferEvent>,
    unshown: Unshown,
}

impl Desk {
    async fn open(common: &Common, waits: bool) -> Result<Self, Failure> {
        let task = Box::pin(Task::start(common)).await?;
        Ok(Self::new(task, common, waits))
    }

    fn new(task: Task, common: &Common, waits: bool) -> Self {
        let options = start::transfer_options(common, &task.user);
        let options = TransferOptions { waits, ..options };
        let (transfers, happened) = Transfers::new(task.user.clone(), task.client.clone(), options);
        Self { task, transfers, happened, unshown: Unshown::of_person() }
    }

    /// Waits for something while what happens is dealt with. Events of transfers go to `hear`.
    async fn until<T>(
        &mut self,
        work: impl Future<Output = T>,
        mut hear: impl FnMut(TransferEvent) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                event = self.task.events.next() => self.happened(event).await?,
                Some(event) = self.happened.recv() => {
                    if let Some(done) = hear(event)? {
                        return Ok(done);
                    }
                }
            }
        }
    }

    async fn happened(&mut self, event: Option<ClientEvent>) -> Result<(), Failure> {
        // Nobody sees here who offers something: the next chat says so, and what is ignored there stays so.
        let is_theirs = event.as_ref().is_some_and(|event| self.transfers.heard(event, |_| false));
        if let Some(notification) = self.task.notification(event)?.filter(|_| !is_theirs) {
            self.unshown.take(&self.task.client, &notification).await;
        }
        Ok(())
    }

    /// The one file of a person that is meant: by its name, by its path, or by the id of its offer.
    /// `listed` is what stands on the whole list, as far as it was looked at.
    async fn find_file(
        &mut self,
        owner: &UserName,
        name: &str,
        listed: &Findings,
    ) -> Result<Listed, Failure> {
        let transfers = self.transfers.clone();
        let work = async move { transfers.find_of(owner, |listed| is_meant(listed, name)).await };
        let found = self.until(work, |_event| Ok(None)).await?.map_err(|error| failed(&error))?;
        // A whole path, or an id, is said of one file alone; a name may be that of several.
        let is_exact = |listed: &&Listed| is_exact(listed, name);
        let exact: Vec<&Listed> = found.files.iter().filter(is_exact).collect();
        let meant = if exact.is_empty() { found.files.iter().collect() } else { exact };
        match meant.as_slice() {
            [] => {
                let forged = found.forged.iter().chain(&listed.forged);
                Err(not_offered(forged, owner, name))
            }
            [one, others @ ..] if others.iter().all(|other| is_same_file(one, other)) => {
                Ok((*one).clone())
            }
            several => Err(ambiguous(owner, name, several)),
        }
    }

    async fn find(&mut self, words: &[String]) -> Result<Findings, Failure> {
        let transfers = self.transfers.clone();
        let work = async move { transfers.find(words, None).await };
        self.until(work, |_event| Ok(None)).await?.map_err(|error| failed(&error))
    }
}

fn failed(error: &TransferError) -> Failure {
    Failure::Other { status: error.exit_status(), reason: error.to_string() }
}

/// Prints the files that have all these words, or all that this person may fetch.
pub async fn find(common: &Common, words: &[String]) -> Result<ExitStatus, Failure> {
    let mut desk = Desk::open(common, false).await?;
    let found = tokio::select! {
        found = desk.find(words) => found?,
        () = interrupted() => return Ok(ExitStatus::Interrupted),
    };
    let ignored = Ignored::of(&desk.task.client.settings().await);
    let found = found.hiding(|owner| ignored.has(owner));
    if common.json {
        // One object for each file and nothing else: an empty answer is no line.
        print_json(found.files.iter().map(show::object).collect())?;
        warn(&found);
    } else {
        print_lines(false, show::findings(&found, &desk.task.user))?;
    }
    desk.task.end().await;
    Ok(ExitStatus::Ok)
}

/// What is shared, and with whom.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct ShareOf {
    /// The folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// With whom, where keyword.txt does not say it: a user, #ROOM, or ALL
    #[arg(long, value_name = "WHOM", default_value = "ALL", value_parser = names::recipient)]
    pub to: Recipient,
    /// Leave encrypted copies at the server for so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..))]
    pub keep: Option<u64>,
}

impl ShareOf {
    /// Shares a folder until it is stopped.
    pub async fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        share(common, &self.folder, &self.to, self.keep).await
    }
}

async fn share(
    common: &Common,
    folder: &Path,
    audience: &Recipient,
    keep_days: Option<u64>,
) -> Result<ExitStatus, Failure> {
    check_folder(folder)?;
    let common = Common { shared: Some(folder.to_owned()), ..common.clone() };
    let task = Box::pin(Task::start_to_stay(&common)).await?;
    let mut desk = Desk::new(task, &common, false);
    let audience = match audience {
        Recipient::All => Audience::Everybody,
        Recipient::Room(room) => Audience::Conversation(ConversationId::room(room)),
        Recipient::User(user) => {
            let user = desk.task.true_name(user).await?;
            let cid =
                ConversationId::direct(&desk.task.user, &user).map_err(|_same| Failure::Other {
                    status: ExitStatus::Usage,
                    reason: "share with somebody else than yourself".to_owned(),
                })?;
            Audience::Conversation(cid)
        }
    };
    desk.transfers.serve_folder(audience);
    let stopped = async {
        interrupted().await;
        ExitStatus::Interrupted
    };
    let (json, quiet) = (common.json, common.verbosity == Verbosity::Quiet);
    let transfers = desk.transfers.clone();
    let mut kept = BTreeSet::new();
    let status = desk
        .until(stopped, |event| {
            if let (TransferEvent::Listed { .. }, Some(days)) = (&event, keep_days) {
                let new =
                    transfers.shared_names().into_iter().filter(|name| kept.insert(name.clone()));
                new.for_each(|name| transfers.leave_copies(name, days));
            }
            let lines = show::event(&event, None);
            if json {
                print_lines(true, lines)?;
            } else if !quiet {
                for (line, _) in &lines {
                    note(line);
                }
            }
            Ok(None)
        })
        .await?;
    desk.task.client.leave().await;
    Ok(status)
}

/// Refuses a folder that shares nothing: whoever starts this means to share something.
fn check_folder(folder: &Path) -> Result<(), Failure> {
    let failed = |reason: String| Failure::Other { status: ExitStatus::Failure, reason };
    let shown = folder.display();
    let metadata = folder.metadata().map_err(|error| failed(format!("{shown}: {error}")))?;
    if !metadata.is_dir() {
        return Err(failed(format!("{shown} is not a folder")));
    }
    let list = folder.join(KEYWORD_FILE);
    let bytes = std::fs::read(&list).map_err(|error| {
        let list = list.display();
        failed(format!("{list}: {error}; write lines of: keyword, file name"))
    })?;
    let read = keywords::parse(&bytes);
    if !read.entries.is_empty() {
        return Ok(());
    }
    let problem = read.problems.first().map(|problem| format!("; {problem}")).unwrap_or_default();
    Err(failed(format!("{} names no file{problem}", list.display())))
}

/// What is fetched, and where it goes.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct GetOf {
    /// Whose file
    #[arg(value_parser = names::user)]
    pub owner: UserName,
    /// Its path or name, as `find` shows it, or the id of its offer, as `find --json` does
    pub file: String,
    /// A folder, or the file to be made [default: the folder of --downloads]
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Wait for an owner who is away
    #[arg(long)]
    pub wait: bool,
}

impl GetOf {
    /// Fetches one file of one person.
    pub async fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        get(common, self).await
    }
}

async fn get(common: &Common, wanted: &GetOf) -> Result<ExitStatus, Failure> {
    let GetOf { owner, file: name, output, wait } = wanted;
    let mut desk = Desk::open(common, *wait).await?;
    let (folder, rename) = target(common, output.as_deref());
    if let Some(to) = rename.as_deref().filter(|to| to.symlink_metadata().is_ok()) {
        return Err(Failure::Other {
            status: ExitStatus::Usage,
            reason: format!("{} is there already and is not overwritten", to.display()),
        });
    }
    let work = async {
        // Others may offer the same file.
        let listed = desk.find(&[]).await?;
        let owner = desk.task.true_name(owner).await?;
        let wanted = desk.find_file(&owner, name, &listed).await?;
        let begun = Instant::now();
        desk.transfers.fetch(&wanted, &listed.files, Some(&folder));
        let (path, event) = fetched(&mut desk, common, name).await?;
        Ok((path, event, begun.elapsed()))
    };
    let path = tokio::select! {
        path = work => path,
        () = interrupted() => return Ok(ExitStatus::Interrupted),
    };
    let ended =
        path.and_then(|(path, event, took)| finish(common, path, rename.as_deref(), (event, took)));
    desk.task.end().await;
    ended
}

/// Whether a file is said by its path, as the owner has it, or by its offer.
fn is_exact(listed: &Listed, name: &str) -> bool {
    listed.file.name == name || listed.offer.to_string() == name
}

/// The same, or by the last part of its path.
fn is_meant(listed: &Listed, name: &str) -> bool {
    is_exact(listed, name) || listed.file.name.rsplit('/').next() == Some(name)
}

/// Whether two offers are of one file: of a file that several audiences may have there are as many.
fn is_same_file(one: &Listed, other: &Listed) -> bool {
    (&one.file.name, one.file.root) == (&other.file.name, other.file.root)
}

/// Says which of them could be meant, and how each is said.
fn ambiguous(owner: &UserName, name: &str, several: &[&Listed]) -> Failure {
    let line = chat_protocol::sanitise::line;
    let more = several.len().saturating_sub(CHOICES_MAX);
    let mut choices: Vec<String> = several
        .iter()
        .take(CHOICES_MAX)
        .map(|Listed { offer, file, words, .. }| {
            let (path, size) = (line(&file.name), show::size(file.size));
            format!("\n  {offer}  {path}  {size}  {}", line(&words.join(", ")))
        })
        .collect();
    if more > 0 {
        choices.push(format!("\n  and {more} more"));
    }
    Failure::Other {
        status: ExitStatus::Usage,
        reason: format!(
            "{owner} offers {} files named {:?}; say the path or the id of one:{}",
            several.len(),
            line(name),
            choices.concat()
        ),
    }
}

/// Why there is no such file to fetch.
fn not_offered<'a>(
    mut forged: impl Iterator<Item = &'a Forged> + Clone,
    owner: &UserName,
    name: &str,
) -> Failure {
    let of_owner = |forged: &&Forged| forged.owner == *owner;
    let is_it = |forged: &&Forged| of_owner(forged) && forged.name.as_deref() == Some(name);
    let forged = forged.clone().find(is_it).or_else(|| forged.find(of_owner));
    let name = chat_protocol::sanitise::line(name);
    match forged {
        Some(forged) => Failure::Other {
            status: ExitStatus::Integrity,
            reason: format!("{name:?} was not fetched: {}", show::not_signed(forged)),
        },
        None => Failure::Other {
            status: ExitStatus::Failure,
            reason: format!(
                "{owner} offers you no file named {name:?}; `chat-client files` lists what there is"
            ),
        },
    }
}

/// Says on standard error what is listed and not shown.
fn warn(found: &Findings) {
    for (line, _) in show::left_out(found) {
        note(&line);
    }
}

/// The folder that a file goes to, and the name it gets there if one was given.
fn target(common: &Common, output: Option<&Path>) -> (PathBuf, Option<PathBuf>) {
    match output {
        None => (common.downloads.clone(), None),
        Some(path) if path.is_dir() => (path.to_owned(), None),
        Some(path) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            (parent.map_or_else(|| PathBuf::from("."), Path::to_owned), Some(path.to_owned()))
        }
    }
}

/// SHA-256 of a file, in hexadecimal digits as `sha256sum` writes them.
fn checksum(path: &Path) -> std::io::Result<String> {
    /// What is read at once.
    const PIECE: usize = 256 * 1_024;
    let (mut file, mut stream) = (std::fs::File::open(path)?, Sha256Stream::default());
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => stream.update(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(hex(&stream.so_far()))
}

/// Waits until the file is here, with a bar on a terminal.
async fn fetched(
    desk: &mut Desk,
    common: &Common,
    name: &str,
) -> Result<(PathBuf, TransferEvent), Failure> {
    let bar = bar(common);
    let json = common.json;
    let is_told = bar.is_hidden() && !json && common.verbosity > Verbosity::Quiet;
    let mut told = Instant::now();
    let ended = desk
        .until(std::future::pending(), |event| match event {
            TransferEvent::Fetched { ref path, .. } => Ok(Some(Ok((path.clone(), event)))),
            TransferEvent::Failed { error, .. } => Ok(Some(Err(failed(&error)))),
            TransferEvent::Progress { done, size, rate, .. } => {
                bar.set_length(size);
                bar.set_position(done);
                if is_told && told.elapsed() >= PROGRESS {
                    told = Instant::now();
                    note(&format!("· {}", show::progress(done, size, rate)));
                }
                if json { Ok(print_lines(true, show::event(&event, Some(name)))?) } else { Ok(()) }
                    .map(|()| None)
            }
            TransferEvent::Waiting { .. } => {
                let lines = show::event(&event, Some(name));
                if json {
                    print_lines(true, lines)?;
                } else {
                    for (line, _) in &lines {
                        bar.suspend(|| note(line));
                    }
                }
                Ok(None)
            }
            _ => Ok(None),
        })
        .await?;
    bar.finish_and_clear();
    ended
}

fn bar(common: &Common) -> ProgressBar {
    let is_wanted = std::io::stderr().is_terminal() && !common.json;
    if !is_wanted || common.verbosity == Verbosity::Quiet {
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {percent} % {bytes} of {total_bytes} {bytes_per_sec} {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Whether both name one file.
fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Gives the file the name that was asked for, never over another one, and says where it is.
fn finish(
    common: &Common,
    mut path: PathBuf,
    rename: Option<&Path>,
    (event, took): (TransferEvent, Duration),
) -> Result<ExitStatus, Failure> {
    // The owner's name for it may be the very one that was asked for.
    if let Some(to) = rename.filter(|to| !is_same(to, &path)) {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        renameat_with(CWD, &path, CWD, to, RenameFlags::NOREPLACE).map_err(|error| {
            let reason = format!(
                "the file is here as {}, and could not become {}: {error}",
                path.display(),
                to.display()
            );
            Failure::Other { status: ExitStatus::Storage, reason }
        })?;
        to.clone_into(&mut path);
    }
    if let TransferEvent::Fetched { n, owner, givers, size, .. } = event {
        let shown = path.to_string_lossy().into_owned();
        if let Some(by) = show::given_by(&owner, &givers).filter(|_| !common.json) {
            note(&format!("· {by}"));
        }
        let sum = checksum(&path).map_err(Failure::Io)?;
        if !common.json && common.verbosity > Verbosity::Quiet {
            note(&format!("· sha256 {sum}, {}", show::average(size, took)));
        }
        let event = TransferEvent::Fetched { n, owner, givers, path, size };
        let mut lines = show::event(&event, Some(&shown));
        for (_, object) in &mut lines {
            if let Some(fields) = object.as_object_mut() {
                let rate = show::rate(size, took);
                fields.insert("sha256".to_owned(), sum.clone().into());
                fields.insert("bytes_per_s".to_owned(), rate.into());
            }
        }
        if !common.json {
            // What a script wants to know.
            lines = vec![(shown, Value::Null)];
        }
        print_lines(common.json, lines)?;
    }
    Ok(ExitStatus::Ok)
}
