//! What commands about files do, and what is told of transfers.

use std::collections::BTreeMap;
use std::path::Path;

use chat_device::client::ClientEvent;
use chat_device::sign_in::aside;
use chat_files::part;
use chat_files::transfer::{Findings, Listed, Offered, TransferError, TransferEvent, Transfers};
use chat_protocol::name::{ConversationId, UserName};
use chat_text::item::{Answer, Item, What};
use chat_text::slash::FileCommand;
use tokio::sync::mpsc;

use crate::talk::Talk;
use crate::told::{Fault, Told};

/// Files of this device, as a talk sees them.
#[derive(Debug)]
pub(crate) struct Files {
    transfers: Transfers,
    happened: mpsc::Receiver<TransferEvent>,
    /// Answers of questions that were asked beside the conversation.
    found: mpsc::Receiver<Result<Findings, TransferError>>,
    finder: mpsc::Sender<Result<Findings, TransferError>>,
    /// The list that numbers refer to.
    listing: Vec<Listed>,
    /// What is on its way here, by number.
    fetching: BTreeMap<u32, Fetching>,
}

/// A file on its way here.
#[derive(Debug, Clone)]
pub struct Fetching {
    /// Its name.
    pub name: String,
    /// Who gives it.
    pub owner: UserName,
    /// Bytes of it.
    pub size: u64,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes per second of late.
    pub rate: u64,
}

/// Something about files that a talk has to deal with.
#[derive(Debug)]
pub enum FileNews {
    /// From a transfer.
    Happened(TransferEvent),
    /// A list that was asked for.
    Found(Result<Findings, TransferError>),
}

/// Lists that may wait to be shown.
const FOUND_MAX: usize = 8;

impl Files {
    pub(crate) fn new((transfers, happened): (Transfers, mpsc::Receiver<TransferEvent>)) -> Self {
        let (finder, found) = mpsc::channel(FOUND_MAX);
        let (listing, fetching) = (Vec::new(), BTreeMap::new());
        Self { transfers, happened, found, finder, listing, fetching }
    }

    /// Whether files are on their way here.
    pub(crate) fn is_busy(&self) -> bool {
        !self.fetching.is_empty()
    }
}

impl Talk {
    /// What happens next about files, for [`Talk::file_news`]. May be dropped at any time without loss.
    pub async fn next_about_files(&mut self) -> FileNews {
        tokio::select! {
            Some(event) = self.files.happened.recv() => FileNews::Happened(event),
            Some(found) = self.files.found.recv() => FileNews::Found(found),
            else => std::future::pending().await,
        }
    }

    /// Looks at every event first: `true` if nobody else has anything to do with it.
    pub(crate) fn heard_about_files(&self, event: &ClientEvent) -> bool {
        self.files.transfers.heard(event, |user| !self.is_ignored(user))
    }

    /// Files on their way here, by the number of the transfer.
    pub fn fetching(&self) -> impl Iterator<Item = (u32, &Fetching)> {
        self.files.fetching.iter().map(|(n, file)| (*n, file))
    }

    /// Does what a command about files asks for.
    pub(crate) async fn about_files(&mut self, command: FileCommand) -> Told {
        match command {
            FileCommand::Find { words } => {
                self.awaited.findings += 1;
                let (transfers, finder) = (self.files.transfers.clone(), self.files.finder.clone());
                tokio::spawn(async move {
                    // The chat may have ended.
                    finder.send(transfers.find(&words, None).await).await.ok();
                });
                Told::default()
            }
            FileCommand::Get { n, folder } => self.get(n, folder.as_deref()),
            FileCommand::Share { path, words, audience } => {
                self.awaited.files += 1;
                self.files.transfers.share(path, words, audience);
                Told::default()
            }
            FileCommand::Unshare { name } => {
                self.awaited.files += 1;
                self.files.transfers.unshare(name);
                Told::default()
            }
            FileCommand::Keep { name, days } => {
                self.awaited.files += 1;
                self.files.transfers.leave_copies(name, days);
                Told::default()
            }
            FileCommand::Send { path, to } => {
                self.awaited.files += 1;
                self.files.transfers.send(path, to);
                Told::default()
            }
            FileCommand::Accept { n } => self.accept(n),
            FileCommand::Decline { n } => self.decline(n).await,
            FileCommand::Transfers => self.list_transfers().await,
            FileCommand::CleanTransfers => self.clean_transfers().await,
            FileCommand::Cancel { n } => {
                if self.files.transfers.cancel(n) {
                    return Told::default();
                }
                Told::error(format!("no file number {n} is on its way; /transfers lists them"))
            }
        }
    }

    fn get(&mut self, n: u32, folder: Option<&Path>) -> Told {
        let at = usize::try_from(n).ok().and_then(|n| n.checked_sub(1));
        let Some(listed) = at.and_then(|at| self.files.listing.get(at)).cloned() else {
            return Told::error("this number is not on the list; /files or /find shows one");
        };
        if listed.owner == self.me {
            return Told::error("this file is your own");
        }
        let same = self.files.listing.clone();
        let n = self.files.transfers.fetch(&listed, &same, folder);
        self.began(n, listed.file.name, listed.owner, listed.file.size)
    }

    fn began(&mut self, n: u32, name: String, owner: UserName, size: u64) -> Told {
        let fetching =
            Fetching { name: name.clone(), owner: owner.clone(), size, done: 0, rate: 0 };
        self.files.fetching.insert(n, fetching);
        Answer::Fetching { n, name, owner, size }.into()
    }

    fn accept(&mut self, n: Option<u32>) -> Told {
        match self.files.transfers.accept(n, |user| !self.is_ignored(user)) {
            Some((offered, n)) => self.began(n, offered.file.name, offered.from, offered.file.size),
            None => Told::error("nobody offers a file under this number; /transfers lists them"),
        }
    }

    async fn decline(&mut self, n: Option<u32>) -> Told {
        match self.files.transfers.decline(n, |user| !self.is_ignored(user)).await {
            Some(offered) => Answer::Declined(Box::new(offered)).into(),
            None => Told::error("nobody offers a file under this number; /transfers lists them"),
        }
    }

    /// Removes the parts of files that nobody fetches now.
    async fn clean_transfers(&self) -> Told {
        let folder = self.files.transfers.downloads().to_owned();
        let cleaned = aside(move || part::clean(&folder).map(|parts| (folder, parts)));
        match cleaned.await {
            Ok(Ok((folder, parts))) => Answer::Cleaned(folder, parts).into(),
            Ok(Err(error)) => Told::error(error.to_string()),
            Err(error) => Told::error(error.to_string()),
        }
    }

    async fn list_transfers(&self) -> Told {
        let running = self.fetching().map(|(n, file)| (n, file.name.clone())).collect();
        // A folder that cannot be read has no parts.
        let folder = self.files.transfers.downloads().to_owned();
        let parts = aside(move || part::in_folder(&folder).unwrap_or_default()).await;
        let mut parts = parts.unwrap_or_default();
        parts.retain(|of| self.fetching().all(|(_, file)| file.name != of.manifest.name));
        let offered = self.files.transfers.waiting(|user| !self.is_ignored(user));
        Answer::Transfers(running, offered, parts).into()
    }

    /// Deals with what happened about files.
    pub fn file_news(&mut self, news: FileNews) -> Told {
        if let FileNews::Found(_) = news {
            self.awaited.findings = self.awaited.findings.saturating_sub(1);
        }
        match news {
            FileNews::Found(Ok(findings)) => {
                let findings = findings.hiding(|owner| self.is_ignored(owner));
                self.files.listing.clone_from(&findings.files);
                Answer::Findings(findings).into()
            }
            FileNews::Found(Err(error)) => Told::error(error.to_string()),
            // It stays offered and is given: only nobody is told of it.
            FileNews::Happened(
                TransferEvent::Offered(Offered { from: who, .. })
                | TransferEvent::Gave { to: who, .. }
                | TransferEvent::NotGiven { to: who, .. },
            ) if self.is_ignored(&who) => Told::default(),
            FileNews::Happened(event) => self.transfer_happened(event),
        }
    }

    fn transfer_happened(&mut self, event: TransferEvent) -> Told {
        let (mut name, mut fault, mut with) = (None, None, None);
        match &event {
            TransferEvent::Progress { n, done, rate, .. } => {
                let Some(file) = self.files.fetching.get_mut(n) else { return Told::default() };
                (file.done, file.rate) = (*done, *rate);
                name = Some(file.name.clone());
            }
            TransferEvent::Fetched { n, .. } | TransferEvent::Failed { n, .. } => {
                name = self.files.fetching.remove(n).map(|file| file.name);
                let is_failed = matches!(event, TransferEvent::Failed { .. });
                fault = is_failed.then_some(Fault::Failed);
            }
            TransferEvent::Waiting { n, .. } => {
                name = self.files.fetching.get(n).map(|file| file.name.clone());
            }
            TransferEvent::Offered(offered) => {
                let (file, from) = (&offered.file, offered.from.clone());
                if let Some(n) = offered.transfer {
                    return self.began(n, file.name.clone(), from, file.size);
                }
                with = Some(from);
            }
            TransferEvent::Sent { to: who, .. } | TransferEvent::Answered { by: who, .. } => {
                with = Some(who.clone());
            }
            TransferEvent::Problem { .. } => fault = Some(Fault::Failed),
            TransferEvent::Done => {
                self.awaited.files = self.awaited.files.saturating_sub(1);
                return Told::default();
            }
            _ => {}
        }
        let cid = with.and_then(|who| ConversationId::direct(&self.me, &who).ok());
        if let (TransferEvent::Offered(_), Some(cid)) = (&event, &cid) {
            self.conversations.has_offer(cid);
        }
        let told = Item { cid, id: None, what: What::Transfer { event, name } };
        Told { fault, ..told.into() }
    }
}
