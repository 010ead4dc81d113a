//! Orders about files.

use std::sync::PoisonError;

use chat_endpoint::ListedOffer;
use chat_protocol::b64::B64Vec;
use chat_protocol::content::files::FileNote;
use chat_protocol::file::catalogue::{Offer, Query};
use chat_protocol::file::offer::OfferDraft;
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::ConversationId;
use tokio::sync::oneshot;

use super::step::Replies;
use super::{Driver, Link};
use crate::sign_in::FilesDoor;

/// An order about files.
#[derive(Debug)]
pub(crate) enum FileOrder {
    Note { cid: ConversationId, note: Box<FileNote>, reply: oneshot::Sender<MessageId> },
    Share { offers: Vec<Offer>, ended: Vec<MessageId>, reply: oneshot::Sender<Option<MessageId>> },
    Find { query: Query, reply: oneshot::Sender<Option<MessageId>> },
    Sign { drafts: Vec<OfferDraft>, reply: oneshot::Sender<(KeyId, Vec<B64Vec>)> },
    Check { listed: Vec<ListedOffer>, reply: oneshot::Sender<Option<MessageId>> },
    Door { reply: oneshot::Sender<FilesDoor> },
}

impl Driver {
    pub(super) fn obey_about_files(
        &mut self,
        now_ms: u64,
        order: FileOrder,
        replies: &mut Replies,
    ) {
        let endpoint = &mut self.endpoint;
        let is_online = matches!(self.link, Link::Online { .. });
        match order {
            FileOrder::Note { cid, note, reply } => {
                let id = endpoint.note_file(now_ms, cid, *note);
                self.answers.expect(&Ok(id));
                self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                replies.noted.push((reply, id));
            }
            FileOrder::Share { offers, ended, reply } => {
                // Whoever asked may be gone.
                reply.send(is_online.then(|| endpoint.share(offers, ended))).ok();
            }
            FileOrder::Find { query, reply } => {
                // Whoever asked may be gone.
                reply.send(is_online.then(|| endpoint.find(query))).ok();
            }
            FileOrder::Sign { drafts, reply } => {
                let sk = endpoint.device().keys.signing_id();
                // Whoever asked may be gone.
                reply.send((sk, endpoint.sign_offers(drafts))).ok();
            }
            FileOrder::Check { listed, reply } => {
                // Whoever asked may be gone.
                reply.send(is_online.then(|| endpoint.check_offers(listed))).ok();
            }
            FileOrder::Door { reply } => {
                // Whoever asked may be gone.
                reply.send(FilesDoor::new(&self.door, self.device.clone())).ok();
            }
        }
    }
}
