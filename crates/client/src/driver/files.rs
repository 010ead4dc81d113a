//! Orders about files.

use std::sync::PoisonError;

use chat_protocol::content::files::FileNote;
use chat_protocol::file::catalogue::{Offer, Query};
use chat_protocol::id::MessageId;
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
            FileOrder::Door { reply } => {
                // Whoever asked may be gone.
                reply.send(FilesDoor::new(&self.door, self.device.clone())).ok();
            }
        }
    }
}
