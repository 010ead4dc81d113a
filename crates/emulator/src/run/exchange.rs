//! Files of emulated clients: one shares a small file, another finds it by its keyword, fetches it, and
//! every byte is compared.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chat_endpoint::{Event, Notification};
use chat_protocol::b64;
use chat_protocol::crypto::{random, sha256};
use chat_protocol::name::UserName;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::report::FileFigures;
use crate::script::Random;
use chat_device::client::{Client, ClientEvent};
use chat_files::transfer::{Listed, TransferEvent, TransferOptions, Transfers};

/// Largest file that is shared: a few chunks, so that a run is not all files.
const BYTES_MAX: u64 = 200_000;

/// A file may be looked for as soon as its owner has begun to share it: whoever asks before it is on
/// the list asks again, for a minute in all.
const FIND_TRIES: u32 = 240;

/// The pause before it does.
const FIND_PAUSE: Duration = Duration::from_millis(250);

/// Answers of questions that wait to be looked at.
const FOUND_MAX: usize = 16;

/// Messages in which programs say something about files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// The server has stored so many.
    pub(super) stored: u64,
    /// So many came from others.
    pub(super) delivered: u64,
}

/// A file that is on the list or about to be, as its owner knows it.
#[derive(Debug, Clone)]
struct OnOffer {
    owner: UserName,
    name: String,
    word: String,
    digest: [u8; 32],
}

/// The files of all clients.
#[derive(Debug, Default)]
pub(super) struct FileLedger {
    figures: FileFigures,
    notes: Notes,
    on_offer: Vec<OnOffer>,
    /// Begun and not ended.
    open: u64,
    /// When something last ended.
    changed: Option<Instant>,
}

impl FileLedger {
    pub(super) fn figures(&self) -> FileFigures {
        // What is still open when the run is over did not come.
        FileFigures { failed: self.figures.failed + self.open, ..self.figures }
    }

    /// What was said about files.
    pub(super) fn notes(&self) -> Notes {
        self.notes
    }

    /// Whether nothing is on its way.
    pub(super) fn is_settled(&self) -> bool {
        self.open == 0
    }

    /// How long nothing has ended while something is open.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        match self.changed {
            Some(at) if self.open > 0 => now.saturating_duration_since(at),
            _ => Duration::MAX,
        }
    }

    /// Something has begun.
    fn begin(&mut self, now: Instant) {
        self.open += 1;
        self.changed.get_or_insert(now);
    }

    /// So many have ended.
    fn end(&mut self, count: u64, now: Instant) {
        self.open = self.open.saturating_sub(count);
        self.changed = Some(now);
    }

    /// How many have ended: progress.
    pub(super) fn ended(&self) -> u64 {
        let FileFigures { shared, fetched, wrong, failed, .. } = self.figures;
        shared + fetched + wrong + failed
    }
}

/// The keyword that was looked for, what was found, and what its content should be.
type Answer = (String, Option<Listed>, [u8; 32]);

/// What happens to the files of one client.
pub(super) enum News {
    Happened(TransferEvent),
    Found(String, Option<Listed>, [u8; 32]),
}

/// The files of one client.
#[derive(Debug)]
pub(super) struct Exchange {
    me: UserName,
    transfers: Transfers,
    happened: mpsc::Receiver<TransferEvent>,
    found: mpsc::Receiver<Answer>,
    finder: mpsc::Sender<Answer>,
    ledger: Arc<Mutex<FileLedger>>,
    folder: PathBuf,
    made: u64,
    /// In every name and keyword: what an earlier run left on the list is not taken for this one's.
    run: String,
    /// What is looked for or on its way: a file is fetched once at a time.
    busy: HashSet<String>,
    /// Names of files that are shared and not on the list yet.
    waiting: Vec<String>,
    /// What each transfer should bring.
    expected: HashMap<u32, (String, [u8; 32])>,
}

impl Exchange {
    /// With a folder of its own below `root`.
    pub(super) fn new(
        me: UserName,
        client: Client,
        root: &Path,
        ledger: Arc<Mutex<FileLedger>>,
    ) -> std::io::Result<Self> {
        let folder = root.join(me.as_str());
        let (shared, downloads) = (folder.join("shared"), folder.join("fetched"));
        std::fs::create_dir_all(&shared)?;
        std::fs::create_dir_all(&downloads)?;
        let options = TransferOptions { downloads, shared, waits: true, accept_from: Vec::new() };
        let (transfers, happened) = Transfers::new(me.clone(), client, options);
        let (finder, found) = mpsc::channel(FOUND_MAX);
        let (made, waiting, expected) = (0, Vec::new(), HashMap::new());
        let run = b64::encode(&random::<6>()).to_lowercase();
        let folder = folder.join("shared");
        let busy = HashSet::new();
        Ok(Self {
            me,
            transfers,
            happened,
            found,
            finder,
            ledger,
            folder,
            made,
            run,
            busy,
            waiting,
            expected,
        })
    }

    /// Looks at an event first: `true` if it was about files. `is_of_run` says whether it belongs to
    /// this run and is counted.
    pub(super) fn take(&self, event: &ClientEvent, is_of_run: bool) -> bool {
        let is_taken = self.transfers.heard(event, |_| false);
        if is_taken
            && is_of_run
            && let ClientEvent::Notification(Notification { event, .. }) = event
        {
            let mut ledger = self.ledger.lock();
            match event {
                Event::Stored { .. } => ledger.notes.stored += 1,
                Event::File { from, .. } if *from != self.me => ledger.notes.delivered += 1,
                _ => {}
            }
        }
        is_taken
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> News {
        tokio::select! {
            Some(event) = self.happened.recv() => News::Happened(event),
            Some((word, found, digest)) = self.found.recv() => News::Found(word, found, digest),
            else => std::future::pending().await,
        }
    }

    /// One operation: fetches a file that somebody else offers, or shares one where there is none.
    pub(super) fn operate(&mut self, random: &mut Random) -> std::io::Result<()> {
        let others: Vec<OnOffer> = {
            let ledger = self.ledger.lock();
            let is_other =
                |file: &&OnOffer| file.owner != self.me && !self.busy.contains(&file.word);
            ledger.on_offer.iter().filter(is_other).cloned().collect()
        };
        match random.choose(&others) {
            Some(file) if random.below(2) == 0 => {
                self.busy.insert(file.word.clone());
                self.look_for(file.clone());
            }
            _ => self.share(random)?,
        }
        Ok(())
    }

    fn share(&mut self, random: &mut Random) -> std::io::Result<()> {
        self.made += 1;
        let (name, word) =
            (format!("{}.bin", self.made), format!("{} {} {}", self.me, self.made, self.run));
        let length = usize::try_from(random.below(BYTES_MAX)).unwrap_or(0);
        let mut content = Vec::with_capacity(length + 8);
        while content.len() < length {
            content.extend_from_slice(&random.below(u64::MAX).to_le_bytes());
        }
        let path = self.folder.join(&name);
        std::fs::write(&path, &content)?;
        let (owner, digest) = (self.me.clone(), sha256(&content));
        let file = OnOffer { owner, name, word: word.clone(), digest };
        {
            let mut ledger = self.ledger.lock();
            ledger.begin(Instant::now());
            ledger.on_offer.push(file.clone());
        }
        self.waiting.push(file.name);
        self.transfers.share(path, vec![word], None);
        Ok(())
    }

    fn look_for(&self, file: OnOffer) {
        self.ledger.lock().begin(Instant::now());
        let (transfers, finder) = (self.transfers.clone(), self.finder.clone());
        tokio::spawn(async move {
            let mut found = None;
            for _ in 0..FIND_TRIES {
                let findings = transfers.find(std::slice::from_ref(&file.word), None).await;
                let listed = findings.unwrap_or_default().files.into_iter();
                let is_it =
                    |listed: &Listed| listed.owner == file.owner && listed.file.name == file.name;
                found = listed.into_iter().find(is_it);
                if found.is_some() {
                    break;
                }
                sleep(FIND_PAUSE).await;
            }
            // The client may have ended.
            finder.send((file.word, found, file.digest)).await.ok();
        });
    }

    /// Takes what this client shares off the list.
    pub(super) async fn withdraw(&self) {
        self.transfers.withdraw().await;
    }

    /// Counts what happened.
    pub(super) fn see(&mut self, news: News) {
        match news {
            News::Found(word, Some(listed), digest) => {
                let n = self.transfers.fetch(&listed, &[], None);
                self.expected.insert(n, (word, digest));
            }
            News::Found(word, None, _) => {
                self.busy.remove(&word);
                let mut ledger = self.ledger.lock();
                ledger.end(1, Instant::now());
                ledger.figures.failed += 1;
            }
            News::Happened(TransferEvent::Listed { .. }) => self.listed(),
            News::Happened(TransferEvent::Fetched { n, path, .. }) => self.fetched(n, &path),
            News::Happened(TransferEvent::Failed { n, error }) => {
                tracing::warn!(client = %self.me, %error, "a file was not fetched");
                if let Some((word, _)) = self.expected.remove(&n) {
                    self.busy.remove(&word);
                    let mut ledger = self.ledger.lock();
                    ledger.end(1, Instant::now());
                    ledger.figures.failed += 1;
                }
            }
            News::Happened(TransferEvent::Problem { reason }) => {
                tracing::warn!(client = %self.me, reason, "a file was not shared");
            }
            News::Happened(_) => {}
        }
    }

    /// What was shared and is in the folder's listing is on the list now.
    fn listed(&mut self) {
        let names = self.transfers.shared_names();
        let waiting = std::mem::take(&mut self.waiting);
        let (on_list, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|name| names.contains(name));
        self.waiting = waiting;
        let mut ledger = self.ledger.lock();
        let count = u64::try_from(on_list.len()).unwrap_or(0);
        ledger.end(count, Instant::now());
        ledger.figures.shared += count;
    }

    fn fetched(&mut self, n: u32, path: &Path) {
        let Some((word, digest)) = self.expected.remove(&n) else { return };
        self.busy.remove(&word);
        let content = std::fs::read(path).unwrap_or_default();
        let mut ledger = self.ledger.lock();
        ledger.end(1, Instant::now());
        if sha256(&content) == digest {
            ledger.figures.fetched += 1;
            ledger.figures.bytes += u64::try_from(content.len()).unwrap_or(0);
        } else {
            ledger.figures.wrong += 1;
        }
    }
}
