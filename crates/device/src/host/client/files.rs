//! What a client is asked about files.

use std::sync::{Arc, PoisonError};

use chat_endpoint::ListedOffer;
use chat_protocol::b64::B64Vec;
use chat_protocol::content::files::FileNote;
use chat_protocol::file::catalogue::{Offer, Query};
use chat_protocol::file::offer::OfferDraft;
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::ConversationId;

use super::Client;
use crate::keep::Keep;
use crate::sign_in::FilesDoor;

impl Client {
    /// Says something about a file in a conversation.
    pub async fn note_file(&self, cid: ConversationId, note: FileNote) -> Option<MessageId> {
        let notes = Arc::clone(&self.notes);
        let said = self.call(move |turn| {
            let now_ms = turn.now_ms;
            let id = turn.endpoint().note_file(now_ms, cid, note);
            notes.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            turn.expect(id)
        });
        said.await
    }

    /// Changes the server's list of what this person shares; answered under the id. Nothing
    /// without a connection.
    pub async fn share(&self, offers: Vec<Offer>, ended: Vec<MessageId>) -> Option<MessageId> {
        self.call(move |turn| Some(turn.online()?.share(offers, ended))).await.flatten()
    }

    /// Asks for a page of the server's list of files; answered under the id. Nothing without a
    /// connection.
    pub async fn find(&self, query: Query) -> Option<MessageId> {
        self.call(move |turn| Some(turn.online()?.find(query))).await.flatten()
    }

    /// Signs offers of this person's files. Returns the key that signs, and what was signed.
    pub async fn sign_offers(&self, drafts: Vec<OfferDraft>) -> Option<(KeyId, Vec<B64Vec>)> {
        let signed = self.call(move |turn| {
            let endpoint = turn.endpoint();
            (endpoint.device().keys.signing_id(), endpoint.sign_offers(drafts))
        });
        signed.await
    }

    /// Asks what listed offers are worth; answered under the id. Nothing without a connection.
    pub async fn check_offers(&self, listed: Vec<ListedOffer>) -> Option<MessageId> {
        self.call(move |turn| Some(turn.online()?.check_offers(listed))).await.flatten()
    }

    /// Whether a message of this process is about a file, and its answers with it.
    pub fn is_about_files(&self, id: &MessageId) -> bool {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// What is remembered about files.
    pub fn keep(&self) -> Keep {
        self.keep.clone()
    }

    /// The way in for the connection that carries files.
    pub async fn files_door(&self) -> Option<FilesDoor> {
        self.ask_driver(|driver, reply| drop(reply.send(driver.files_door()))).await
    }
}
