//! Copies at the hub, for files whose owner will be away: sealed like any transfer, under a key that
//! the audience is told in its own conversation.
//!
//! Whoever joins a room later is told the key again, by the owner's device when it is here.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_protocol::b64::B64Array;
use chat_protocol::content::files::FileNote;
use chat_protocol::crypto::random;
use chat_protocol::file::Manifest;
use chat_protocol::file::catalogue::Audience;
use chat_protocol::file::chunk::{FileHeader, TransferKey};
use chat_protocol::file::relay::RelayToHub;
use chat_protocol::header::Recipient;
use chat_protocol::id::{MessageId, Nonce16};
use chat_protocol::limits::VERSION;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;
use serde::{Deserialize, Serialize};

use super::give::{Givable, Sending};
use super::{For, Said, Shared, TransferError, TransferEvent, aside, index};
use chat_device::clock::now_ms;
use chat_device::home::HomeError;
use chat_device::keep::Keep;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A copy that somebody has left: a row of the home.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Copy {
    pub(super) tid: Nonce16,
    pub(super) key: B64Array<32>,
    pub(super) until: u64,
    pub(super) file: Manifest,
}

/// An offer is an owner's: another one who names its id must not take its place.
fn row(owner: &UserName, offer: &MessageId) -> String {
    format!("copy/{owner}/{offer}")
}

/// The rows of copies that were left from here: the newest of each own offer.
pub(super) const LEFT: &str = "left/";

fn left_row(offer: &MessageId) -> String {
    format!("{LEFT}{offer}")
}

/// A copy that was left from here: a row of the home.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Left {
    /// Whom it is for.
    pub(super) cid: ConversationId,
    /// The copy, as others were told of it.
    tid: Nonce16,
    key: B64Array<32>,
    pub(super) until: u64,
    file: Manifest,
    /// Who was there when the key was told.
    pub(super) told: BTreeSet<UserName>,
}

impl Left {
    /// What the audience is told.
    pub(super) fn note(&self, offer: MessageId) -> FileNote {
        let Self { tid, key, until, .. } = *self;
        FileNote::Copy { offer, tid, key, until, file: self.file.clone() }
    }

    /// These have been told. Another copy may have taken its place meanwhile.
    pub(super) fn was_told(
        self,
        keep: &Keep,
        offer: &MessageId,
        told: BTreeSet<UserName>,
    ) -> Result<(), HomeError> {
        let row = left_row(offer);
        let is_newest = keep.get::<Self>(&row)?.is_some_and(|newest| newest.tid == self.tid);
        if is_newest { keep.put(&row, &Self { told, ..self }) } else { Ok(()) }
    }
}

impl Shared {
    /// Leaves copies of a shared file for so many days, one for each audience that it is offered to.
    pub(super) async fn leave_copies(
        self: &Arc<Self>,
        name: &str,
        days: u64,
    ) -> Result<TransferEvent, TransferError> {
        let offers = self.shelf.offers_of(name);
        if offers.is_empty() {
            return Err(TransferError::NotShared { name: name.to_owned() });
        }
        let mut last = 0;
        for (offer, givable) in offers {
            last = self.leave_copy(offer, givable, days).await?;
        }
        Ok(TransferEvent::Copied { name: name.to_owned(), until: last })
    }

    async fn leave_copy(
        self: &Arc<Self>,
        offer: MessageId,
        givable: Givable,
        days: u64,
    ) -> Result<u64, TransferError> {
        let cid = match &givable.whom {
            For::Audience(Audience::Conversation(cid)) => cid.clone(),
            For::Audience(Audience::Everybody) => ConversationId::room(&RoomName::all()),
            For::Person(person) => ConversationId::direct(&self.me, person)
                .map_err(|_same| TransferError::Internal("an offer to oneself".to_owned()))?,
        };
        let trees = self.trees.clone();
        let source = aside(move || givable.file.open(&trees)).await??;
        let (tid, key) = (Nonce16(random()), random::<32>());
        let file = source.manifest().clone();
        let until = now_ms().saturating_add(days.saturating_mul(DAY_MS));
        let channel = self.channels.get().await?;
        let keep = RelayToHub::Keep { tid, chunks: file.chunks(), size: file.size, until };
        let lane = channel.begin(keep).await.ok_or(TransferError::Offline)?;
        let header = FileHeader {
            v: VERSION,
            t: Tag::File,
            cid: cid.clone(),
            from: self.me.clone(),
            sk: channel.sk,
            to: Recipient::Everyone,
            id: offer,
            tid,
            i: 0,
            last: false,
            ts: now_ms(),
        };
        let parts = vec![(0, file.chunks())];
        let sending = Sending { lane, source, header, key: TransferKey::new(&key, &tid), parts };
        let kept = aside(move || sending.run_to_keep()).await?;
        let until = kept.map_err(|(code, reason)| TransferError::Refused { code, reason })?;
        let told = BTreeSet::new();
        let left = Left { cid: cid.clone(), tid, key: B64Array(key), until, file, told };
        let (keep, row, value) = (self.keep.clone(), left_row(&offer), left.clone());
        aside(move || keep.put(&row, &value)).await??;
        self.tell_key(cid.clone(), left.note(offer)).await?;
        let keep = self.keep.clone();
        aside(move || {
            // Who finds the offer can take the copy.
            let told = index::told(&keep, &cid)?;
            left.was_told(&keep, &offer, told)
        })
        .await??;
        Ok(until)
    }

    /// Takes the copies of these offers away from the server.
    pub(super) async fn drop_copies(
        self: &Arc<Self>,
        offers: Vec<MessageId>,
    ) -> Result<(), TransferError> {
        for offer in offers {
            let (keep, row) = (self.keep.clone(), left_row(&offer));
            let left = aside(move || keep.get::<Left>(&row)).await??;
            let Some(Left { tid, .. }) = left else { continue };
            let channel = self.channels.get().await?;
            // The answer ends the lane, whether the copy was still there or not.
            channel.begin(RelayToHub::Drop { tid }).await.ok_or(TransferError::Offline)?.hush();
            let (keep, row) = (self.keep.clone(), left_row(&offer));
            aside(move || keep.remove(&row)).await??;
        }
        Ok(())
    }

    /// Somebody has left a copy.
    pub(super) fn keep_copy(&self, said: &Said, note: &FileNote) -> Result<(), HomeError> {
        let FileNote::Copy { offer, tid, key, until, file } = note else { return Ok(()) };
        let (tid, until, file) = (*tid, *until, file.clone());
        let copy = Copy { tid, key: *key, until, file };
        self.keep.put(&row(&said.from, offer), &copy)
    }

    /// The copy of an offer, if its owner has left one that is still there.
    pub(super) fn copy(&self, offer: &MessageId, owner: &UserName) -> Option<Copy> {
        let copy: Copy = self.keep.get(&row(owner, offer)).ok().flatten()?;
        (copy.until > now_ms()).then_some(copy)
    }
}
