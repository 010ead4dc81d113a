//! The answers of the disk to the hub's questions, as those of the SQLite store.

use std::collections::HashMap;

use chat_protocol::{
    id::Digest,
    name::{ConversationId, UserName},
};
use chat_server::store::{
    AccountId, AccountRow, Answer, BundleName, BundlesInOrder, DeviceId, EntryKind, LogId, Page,
    PageEntry, PageEpoch, PageRequest, ReadSource,
};

use super::{Disk, Mistake, contents::Contents};

/// The longest a question takes, in milliseconds.
const READ_MS_MAX: u64 = 3;

#[derive(Debug)]
pub(super) struct DiskReads(pub(super) Disk);

impl DiskReads {
    fn ask<'a, T: Send + 'a>(
        &'a self,
        question: impl FnOnce(&mut Contents) -> T + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            self.0.pause(READ_MS_MAX).await;
            Ok(self.0.read(question))
        })
    }
}

impl ReadSource for DiskReads {
    fn account<'a>(&'a self, name: &'a UserName) -> Answer<'a, Option<AccountRow>> {
        self.ask(|disk| {
            disk.accounts.values().find(|row| row.name.folded() == name.folded()).cloned()
        })
    }

    fn vault(&self, account: AccountId) -> Answer<'_, Option<Vec<u8>>> {
        self.ask(move |disk| disk.vaults.get(&account).cloned())
    }

    fn bundles(&self, names: Vec<BundleName>) -> Answer<'_, BundlesInOrder> {
        self.ask(move |disk| {
            let find = |name: &BundleName| {
                let bundle = match name {
                    BundleName::Newest(device) => {
                        let mut devices = disk.accounts.values().flat_map(|row| &row.devices);
                        devices.find(|row| row.id == *device).map(|row| &row.bundle)
                    }
                    BundleName::Key(account, kid) => disk.signers.get(&(*account, *kid)),
                };
                bundle.map(|bundle| bundle.to_vec())
            };
            names.iter().map(find).collect()
        })
    }

    fn links(&self, log: LogId, from: u32, limit: usize) -> Answer<'_, (Vec<Vec<u8>>, bool)> {
        self.ask(move |disk| {
            let mut links = disk.links.range((log, from)..=(log, u32::MAX));
            let page = links.by_ref().take(limit).map(|(_, link)| link.frame.to_vec()).collect();
            (page, links.next().is_some())
        })
    }

    fn has_link<'a>(&'a self, cid: &'a ConversationId, mg: u32, link: Digest) -> Answer<'a, bool> {
        self.ask(move |disk| {
            let log =
                disk.conversations.iter().find(|(_, known)| *known == cid).map(|(log, _)| *log);
            let known = log.and_then(|log| disk.links.get(&(log, mg)));
            known.is_some_and(|known| known.digest == link)
        })
    }

    fn cursors(&self, device: DeviceId) -> Answer<'_, (u64, HashMap<LogId, u64>)> {
        self.ask(move |disk| {
            let own = disk.cursors.iter().filter(|((of, _), _)| *of == device);
            (disk.starts[&device], own.map(|((_, log), at)| (*log, *at)).collect())
        })
    }

    fn page(&self, request: PageRequest) -> Answer<'_, Page> {
        let is_early = self.0.state().mistake == Some(Mistake::CursorBeforeDelivery);
        self.ask(move |disk| {
            let page = page(disk, &request);
            if is_early {
                let row = disk.accounts.values().find(|row| row.name == request.name);
                let device = row.and_then(|row| row.devices.first()).map(|device| device.id);
                for entry in &page.entries {
                    disk.move_cursor(device.expect("a device"), entry.log, entry.position);
                }
            }
            page
        })
    }
}

fn page(disk: &Contents, request: &PageRequest) -> Page {
    let after = |log: LogId| {
        let found = request.logs.iter().find(|(wanted, _)| *wanted == log);
        found.map(|(_, after)| request.after.max(*after))
    };
    let wanted = disk
        .entries
        .range(request.after + 1..=request.until)
        .filter(|(position, entry)| after(entry.log).is_some_and(|after| **position > after));
    let places: Vec<u64> = wanted.map(|(position, _)| *position).take(request.limit).collect();
    let next = (places.len() >= request.limit).then(|| places.last().copied()).flatten();
    let entries = places.iter().filter_map(|position| entry(disk, request, *position)).collect();
    let who = disk.accounts.values().find(|row| row.name == request.name);
    let who = who.expect("who asks has an account").id;
    let dropped = request.logs.iter().filter_map(|(log, _)| {
        let counted = request.counted.get(log).copied().unwrap_or(0);
        disk.missed(who, *log, counted.max(after(*log)?))
    });
    Page { entries, next, dropped: dropped.collect() }
}

/// One entry, unless the device cannot open it or sent it.
fn entry(disk: &Contents, request: &PageRequest, position: u64) -> Option<PageEntry> {
    let entry = &disk.entries[&position];
    let (log, hub_ms, frame) = (entry.log, entry.hub_ms, entry.frame.clone());
    let found = PageEntry { log, position, hub_ms, frame, epoch: None };
    if entry.kind == EntryKind::Receipt {
        return Some(found);
    }
    let epoch = &disk.epochs[&entry.epoch?];
    let place = epoch.members.position(&request.name, &request.sk)?;
    let line = u32::try_from(place).unwrap();
    if line == entry.line {
        return None;
    }
    let key = PageEpoch {
        e: epoch.e,
        members: epoch.members.as_bytes().to_vec().into(),
        line,
        wrap: epoch.wraps[place].clone(),
    };
    Some(PageEntry { epoch: (entry.kind == EntryKind::Key).then_some(key), ..found })
}
