//! A file for one person, without a list: the sender offers it in a message, the receiver fetches it
//! from the sender when they accept.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use chat_endpoint::Event;
use chat_protocol::code;
use chat_protocol::content::files::FileNote;
use chat_protocol::crypto::random;
use chat_protocol::file::Manifest;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::fetch::Holder;
use super::give::{FileAt, Givable};
use super::{ANSWER_MAX, For, Offered, Said, Shared, TransferError, TransferEvent, aside};
use chat_device::clock::now_ms;
use chat_device::home::HomeError;

/// Offers that wait for this person's word. With one more the oldest makes room of whoever has most of them: nobody
/// pushes out what others offer.
const WAITING_MAX: usize = 100;

/// What was offered to me and by me.
#[derive(Debug, Default)]
pub(super) struct Offers {
    waiting: BTreeMap<u32, Offered>,
    last: u32,
    mine: HashMap<MessageId, Mine>,
}

/// An offer that waits for my word: a row of the home.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    from: UserName,
    offer: MessageId,
    file: Manifest,
}

fn offer_row(from: &UserName, offer: &MessageId) -> String {
    format!("offer/{from}/{offer}")
}

/// A file that I offered to one person: a row of the home, so that it can be taken after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Mine {
    to: UserName,
    name: String,
    path: std::path::PathBuf,
}

impl Offers {
    /// Takes out the one of this number, or the newest, of those whose offers are shown.
    fn pick(&mut self, n: Option<u32>, is_shown: impl Fn(&UserName) -> bool) -> Option<Offered> {
        let of_that_number = |it: &&Offered| n.is_none_or(|n| it.n == n) && is_shown(&it.from);
        let n = self.waiting.values().rev().find(of_that_number)?.n;
        self.waiting.remove(&n)
    }

    /// Makes room for one more.
    fn make_room(&mut self) {
        if self.waiting.len() < WAITING_MAX {
            return;
        }
        let mut counts: HashMap<&UserName, usize> = HashMap::new();
        for offered in self.waiting.values() {
            *counts.entry(&offered.from).or_default() += 1;
        }
        let most = counts.values().copied().max();
        let oldest = self.waiting.values().find(|it| counts.get(&it.from).copied() == most);
        if let Some(n) = oldest.map(|offered| offered.n) {
            self.waiting.remove(&n);
        }
    }
}

impl Mine {
    fn row(offer: &MessageId) -> String {
        format!("sent/{offer}")
    }
}

impl Shared {
    /// Offers a file to one person. Returns what was offered once the file has been read through and the hub
    /// has the offer.
    pub(super) async fn offer(
        self: &Arc<Self>,
        path: &Path,
        to: &UserName,
    ) -> Result<Manifest, TransferError> {
        let cid = ConversationId::direct(&self.me, to).map_err(|_same| {
            let reason = "the file is here already".to_owned();
            TransferError::Refused { code: code::NOT_ALLOWED.to_owned(), reason }
        })?;
        let at = FileAt::Named(path.to_owned());
        let named = |source| TransferError::Named { path: path.to_owned(), source };
        let trees = self.trees.clone();
        let source = aside(move || at.open(&trees)).await?.map_err(named)?;
        let file = source.manifest().clone();
        let offer = MessageId::new(now_ms(), random());
        let mine = Mine { to: to.clone(), name: file.name.clone(), path: path.to_owned() };
        let (keep, row, value) = (self.keep.clone(), Mine::row(&offer), mine.clone());
        aside(move || keep.put(&row, &value)).await??;
        self.offered.lock().mine.insert(offer, mine);
        let note = FileNote::Offer { offer, file: file.clone() };
        let id = self.client.note_file(cid, note).await.ok_or(TransferError::Offline)?;
        let mut answer = self.answers.expect(id);
        // Without a connection it goes out with the next one.
        if self.is_online().await
            && let Ok(Some(Event::Refused { code, reason, .. })) =
                timeout(ANSWER_MAX, answer.next()).await
        {
            return Err(TransferError::Refused { code, reason });
        }
        let (shared, name) = (Arc::clone(self), file.name.clone());
        let by = to.clone();
        tokio::spawn(async move {
            while let Some(event) = answer.next().await {
                if let Event::Refused { reason, .. } = event {
                    shared.tell(TransferEvent::Answered { by, name, reason });
                    return;
                }
            }
        });
        Ok(file)
    }

    /// What was offered before this start and is not answered.
    pub(super) fn remember_offers(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let kept = shared.keep.all::<Kept>("offer/").unwrap_or_default();
            for Kept { from, offer, file } in kept.into_iter().map(|(_, kept)| kept) {
                let offered = shared.note_offer(from, offer, file);
                if let Some(offered) = offered {
                    shared.tell(TransferEvent::Offered(offered));
                }
            }
        });
    }

    /// Keeps what was offered, until it is answered.
    pub(super) fn keep_offer(
        &self,
        from: &UserName,
        offer: MessageId,
        file: &Manifest,
    ) -> Result<(), HomeError> {
        let kept = Kept { from: from.clone(), offer, file: file.clone() };
        self.keep.put(&offer_row(from, &offer), &kept)
    }

    /// Somebody offers a file.
    pub(super) fn was_offered(self: &Arc<Self>, said: &Said, offer: MessageId, file: Manifest) {
        if said.cid.other(&self.me).as_ref() != Some(&said.from) {
            return;
        }
        let Some(mut offered) = self.note_offer(said.from.clone(), offer, file) else { return };
        let is_taken = said.pinned && said.is_shown;
        if is_taken && self.options.accept_from.contains(&said.from) {
            self.offered.lock().waiting.remove(&offered.n);
            offered.transfer = Some(self.take_offered(&offered));
        }
        self.tell(TransferEvent::Offered(offered));
    }

    /// Gives an offer its number; nothing if it is known.
    fn note_offer(&self, from: UserName, offer: MessageId, file: Manifest) -> Option<Offered> {
        let mut offers = self.offered.lock();
        let is_it = |known: &Offered| known.offer == offer && known.from == from;
        if offers.waiting.values().any(is_it) {
            return None;
        }
        offers.make_room();
        offers.last += 1;
        let offered = Offered { n: offers.last, from, file, transfer: None, offer };
        offers.waiting.insert(offered.n, offered.clone());
        Some(offered)
    }

    /// It was answered and is not offered at the next start.
    fn forget_offer(&self, offered: &Offered) {
        let (keep, row) = (self.keep.clone(), offer_row(&offered.from, &offered.offer));
        tokio::task::spawn_blocking(move || keep.remove(&row));
    }

    /// What waits for this person's word, of those whose offers are shown.
    pub(super) fn waiting(&self, is_shown: impl Fn(&UserName) -> bool) -> Vec<Offered> {
        let offers = self.offered.lock();
        offers.waiting.values().filter(|offered| is_shown(&offered.from)).cloned().collect()
    }

    /// Fetches what was offered under this number. `None` if there is no such offer of those that are shown.
    pub(super) fn accept(
        self: &Arc<Self>,
        n: Option<u32>,
        is_shown: impl Fn(&UserName) -> bool,
    ) -> Option<(Offered, u32)> {
        let offered = self.offered.lock().pick(n, is_shown)?;
        let transfer = self.take_offered(&offered);
        Some((offered, transfer))
    }

    fn take_offered(self: &Arc<Self>, offered: &Offered) -> u32 {
        self.forget_offer(offered);
        let (owner, offer) = (offered.from.clone(), offered.offer);
        let holder = Holder { owner: owner.clone(), offer, online: true };
        self.begin((owner, offer), vec![holder], offered.file.clone(), &self.options.downloads)
    }

    /// Says no to what was offered under this number.
    pub(super) async fn decline(
        &self,
        n: Option<u32>,
        is_shown: impl Fn(&UserName) -> bool,
    ) -> Option<Offered> {
        let offered = self.offered.lock().pick(n, is_shown)?;
        self.forget_offer(&offered);
        let cid = ConversationId::direct(&self.me, &offered.from).ok()?;
        let (code, reason) = (code::NOT_ALLOWED.to_owned(), "declined".to_owned());
        let note = FileNote::Refuse { re: offered.offer, code, reason };
        self.client.note_file(cid, note).await;
        Some(offered)
    }

    /// Somebody refuses: perhaps what I offered.
    pub(super) fn declined(&self, said: &Said, re: &MessageId, reason: &str) {
        let Some(mine) = self.mine(re).filter(|mine| mine.to == said.from) else { return };
        self.offered.lock().mine.remove(re);
        let (keep, row) = (self.keep.clone(), Mine::row(re));
        tokio::task::spawn_blocking(move || keep.remove(&row));
        self.tell(TransferEvent::Answered {
            by: said.from.clone(),
            name: mine.name,
            reason: reason.to_owned(),
        });
    }

    /// A file that was offered to one person from this home.
    pub(super) fn offered_to_one(&self, offer: &MessageId) -> Option<Givable> {
        let mine = self.mine(offer)?;
        Some(Givable { whom: For::Person(mine.to), file: FileAt::Named(mine.path) })
    }

    fn mine(&self, offer: &MessageId) -> Option<Mine> {
        if let Some(mine) = self.offered.lock().mine.get(offer) {
            return Some(mine.clone());
        }
        self.keep.get(&Mine::row(offer)).ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use chat_protocol::id::Digest;

    use super::*;

    fn user(name: &str) -> UserName {
        UserName::new(name).unwrap()
    }

    fn offered(offers: &mut Offers, from: &str) -> u32 {
        offers.make_room();
        offers.last += 1;
        let (n, file) =
            (offers.last, Manifest { name: "a".into(), size: 1, root: Digest([0; 32]) });
        let offer = MessageId::new(u64::from(n), [0; 10]);
        let offered = Offered { n, from: user(from), file, transfer: None, offer };
        offers.waiting.insert(n, offered);
        n
    }

    /// Goal: nobody fetches, or says no to, what was never shown to them.
    #[test]
    fn of_whom_one_ignores_nothing_is_taken_by_any_number() {
        let mut offers = Offers::default();
        let (bob, mallory) = (offered(&mut offers, "bob"), offered(&mut offers, "mallory"));
        let is_shown = |who: &UserName| *who != user("mallory");
        assert!(offers.pick(Some(mallory), is_shown).is_none());
        assert_eq!(offers.pick(None, is_shown).map(|it| it.n), Some(bob));
        assert!(offers.pick(None, is_shown).is_none());
        assert!(offers.pick(None, |_| true).is_some(), "it is there, and not shown");
    }

    #[test]
    fn nobody_pushes_out_what_others_offer() {
        let mut offers = Offers::default();
        let bob = offered(&mut offers, "bob");
        for _ in 0..2 * WAITING_MAX {
            offered(&mut offers, "mallory");
        }
        assert_eq!(offers.waiting.len(), WAITING_MAX);
        assert_eq!(offers.pick(Some(bob), |_| true).map(|it| it.from), Some(user("bob")));
    }
}
