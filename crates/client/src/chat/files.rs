//! What commands about files do, and what is shown of transfers.

use std::collections::HashMap;
use std::path::Path;

use chat_protocol::sanitise;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Said, Talk};
use crate::exit::ExitStatus;
use crate::oneshot::transfers;
use chat_files::transfer::{Findings, Listed, TransferError, TransferEvent, Transfers};
use chat_text::show::files as show;
use chat_text::slash::FileCommand;

/// Files of this device, as the chat sees them.
pub(super) struct Files {
    transfers: Transfers,
    happened: mpsc::Receiver<TransferEvent>,
    /// Answers of questions that were asked beside the conversation.
    found: mpsc::Receiver<Result<Findings, TransferError>>,
    finder: mpsc::Sender<Result<Findings, TransferError>>,
    /// The list that numbers refer to.
    listing: Vec<Listed>,
    /// What is on its way: name, and the tenths of it that were shown.
    running: HashMap<u32, Running>,
}

/// A file on its way.
struct Running {
    name: String,
    shown: u64,
}

/// Something about files that the chat has to deal with.
pub(super) enum FileNews {
    /// From a transfer.
    Happened(TransferEvent),
    /// A list that was asked for.
    Found(Result<Findings, TransferError>),
}

/// Lists that may wait to be shown.
const FOUND_MAX: usize = 8;

impl Files {
    pub(super) fn new((transfers, happened): (Transfers, mpsc::Receiver<TransferEvent>)) -> Self {
        let (finder, found) = mpsc::channel(FOUND_MAX);
        let (listing, running) = (Vec::new(), HashMap::new());
        Self { transfers, happened, found, finder, listing, running }
    }

    /// The part that looks at every notification first.
    pub(super) fn transfers(&self) -> &Transfers {
        &self.transfers
    }

    /// Whether files are on their way here.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// What happens next. May be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> FileNews {
        tokio::select! {
            Some(event) = self.happened.recv() => FileNews::Happened(event),
            Some(found) = self.found.recv() => FileNews::Found(found),
            else => std::future::pending().await,
        }
    }
}

impl Talk {
    /// Does what a command about files asks for.
    pub(super) async fn about_files(&mut self, command: FileCommand) -> Said {
        match command {
            FileCommand::Find { words } => {
                self.awaited.findings += 1;
                let (transfers, finder) = (self.files.transfers.clone(), self.files.finder.clone());
                tokio::spawn(async move {
                    // The chat may have ended.
                    finder.send(transfers.find(&words, None).await).await.ok();
                });
                Said::default()
            }
            FileCommand::Get { n, folder } => self.get(n, folder.as_deref()),
            FileCommand::Share { path, words, audience } => {
                self.awaited.files += 1;
                self.files.transfers.share(path, words, audience);
                Said::default()
            }
            FileCommand::Unshare { name } => {
                self.awaited.files += 1;
                self.files.transfers.unshare(name);
                Said::default()
            }
            FileCommand::Keep { name, days } => {
                self.awaited.files += 1;
                self.files.transfers.leave_copies(name, days);
                Said::default()
            }
            FileCommand::Send { path, to } => {
                self.awaited.files += 1;
                self.files.transfers.send(path, to);
                Said::default()
            }
            FileCommand::Accept { n } => self.accept(n),
            FileCommand::Decline { n } => self.decline(n).await,
            FileCommand::Transfers => self.list_transfers(),
            FileCommand::CleanTransfers => self.clean_transfers(),
            FileCommand::Cancel { n } => {
                if self.files.transfers.cancel(n) {
                    return Said::default();
                }
                self.error(&format!("no file number {n} is on its way; /transfers lists them"))
            }
        }
    }

    fn get(&mut self, n: u32, folder: Option<&Path>) -> Said {
        let at = usize::try_from(n).ok().and_then(|n| n.checked_sub(1));
        let Some(listed) = at.and_then(|at| self.files.listing.get(at)).cloned() else {
            return self.error("this number is not on the list; /files or /find shows one");
        };
        if listed.owner == self.lines.me {
            return self.error("this file is your own");
        }
        let same = self.files.listing.clone();
        let n = self.files.transfers.fetch(&listed, &same, folder);
        self.began(n, &listed.file.name, listed.owner.as_str(), listed.file.size)
    }

    fn began(&mut self, n: u32, name: &str, owner: &str, size: u64) -> Said {
        self.files.running.insert(n, Running { name: name.to_owned(), shown: 0 });
        self.say(
            &format!("⇣ {n} {} from {owner} ({})", sanitise::line(name), show::size(size)),
            &json!({
                "event": "fetching", "transfer": n, "owner": owner, "name": name, "size": size,
            }),
        )
    }

    fn accept(&mut self, n: Option<u32>) -> Said {
        match self.files.transfers.accept(n) {
            Some((offered, n)) => {
                let (name, from) = (offered.file.name, offered.from);
                self.began(n, &name, from.as_str(), offered.file.size)
            }
            None => self.error("nobody offers a file under this number; /transfers lists them"),
        }
    }

    async fn decline(&mut self, n: Option<u32>) -> Said {
        match self.files.transfers.decline(n).await {
            Some(offered) => {
                let name = sanitise::line(&offered.file.name).into_owned();
                self.say(
                    &format!("· {name} of {} is declined", offered.from),
                    &json!({"event": "declined", "owner": offered.from, "name": name}),
                )
            }
            None => self.error("nobody offers a file under this number; /transfers lists them"),
        }
    }

    /// Removes the parts of files that nobody fetches now.
    fn clean_transfers(&self) -> Said {
        let folder = self.files.transfers.downloads();
        match transfers::removed(folder) {
            Ok(lines) if lines.is_empty() => self.said(vec![transfers::none(folder)]),
            Ok(lines) => self.said(lines),
            Err(error) => self.error(&error.to_string()),
        }
    }

    fn list_transfers(&self) -> Said {
        let mut running: Vec<_> = self.files.running.iter().collect();
        running.sort_by_key(|(n, _)| **n);
        let mut lines: Vec<(String, Value)> = running
            .into_iter()
            .map(|(n, Running { name, .. })| {
                let line = format!("⇣ {n} {}", sanitise::line(name));
                (line, json!({"event": "fetching", "transfer": n, "name": name}))
            })
            .collect();
        lines.extend(self.files.transfers.waiting().iter().map(show::offered));
        let is_running = |name: &str| self.files.running.values().any(|of| of.name == name);
        lines.extend(transfers::partly_here(self.files.transfers.downloads(), is_running));
        if lines.is_empty() {
            let nothing = "nothing is on its way and nobody offers you a file";
            return self.say(nothing, &json!({"event": "transfers", "count": 0}));
        }
        self.said(lines)
    }

    /// Shows what happened about files.
    pub(super) fn file_news(&mut self, news: FileNews) -> Said {
        if let FileNews::Found(_) = news {
            self.awaited.findings = self.awaited.findings.saturating_sub(1);
        }
        match news {
            FileNews::Found(Ok(findings)) => {
                let lines = show::findings(&findings, &self.lines.me);
                self.files.listing = findings.files;
                self.said(lines)
            }
            FileNews::Found(Err(error)) => self.error(&error.to_string()),
            FileNews::Happened(event) => self.transfer_happened(&event),
        }
    }

    fn transfer_happened(&mut self, event: &TransferEvent) -> Said {
        match event {
            TransferEvent::Progress { n, done, size, .. } => {
                let tenths = done.saturating_mul(10) / (*size).max(1);
                let Some(running) = self.files.running.get_mut(n) else { return Said::default() };
                // A line for each tenth: above a prompt nothing can be drawn over.
                if !self.is_json && tenths <= running.shown {
                    return Said::default();
                }
                running.shown = tenths;
                let name = running.name.clone();
                self.said(show::event(event, Some(&name)))
            }
            TransferEvent::Fetched { n, .. } | TransferEvent::Failed { n, .. } => {
                let name = self.files.running.remove(n).map(|running| running.name);
                let is_failed = matches!(event, TransferEvent::Failed { .. });
                let failure = is_failed.then_some(ExitStatus::Failure);
                Said { failure, ..self.said(show::event(event, name.as_deref())) }
            }
            TransferEvent::Waiting { n, .. } => {
                let name = self.files.running.get(n).map(|running| running.name.clone());
                self.said(show::event(event, name.as_deref()))
            }
            TransferEvent::Offered(offered) => {
                if let Some(n) = offered.transfer {
                    let (name, from) = (offered.file.name.clone(), offered.from.clone());
                    return self.began(n, &name, from.as_str(), offered.file.size);
                }
                self.said(vec![show::offered(offered)])
            }
            TransferEvent::Problem { .. } => {
                let failure = Some(ExitStatus::Failure);
                Said { failure, ..self.said(show::event(event, None)) }
            }
            TransferEvent::Done => {
                self.awaited.files = self.awaited.files.saturating_sub(1);
                Said::default()
            }
            _ => self.said(show::event(event, None)),
        }
    }

    fn said(&self, lines: Vec<(String, Value)>) -> Said {
        let form = |(line, object): (String, Value)| {
            if self.is_json { object.to_string() } else { line }
        };
        Said { lines: lines.into_iter().map(form).collect(), ..Said::default() }
    }
}
