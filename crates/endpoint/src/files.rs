//! Files as far as a device has to do with them: what is said about them, and the hub's list of what
//! is shared. The bytes travel beside this, on a connection of their own.

use chat_protocol::content::Content;
use chat_protocol::content::files::FileNote;
use chat_protocol::file::catalogue::{Offer, Query};
use chat_protocol::hub::ClientToHub;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, ConversationKind};
use chat_protocol::tag::Tag;

use crate::endpoint::Endpoint;
use crate::questions::Question;

impl Endpoint {
    /// Says something about a file in a conversation: sealed, signed and answered like any message.
    pub fn note_file(&mut self, now_ms: u64, cid: ConversationId, note: FileNote) -> MessageId {
        let tag = match cid.kind() {
            ConversationKind::Direct(..) => Tag::Dm,
            ConversationKind::Room(room) if room.is_all() => Tag::Broadcast,
            ConversationKind::Room(_) | ConversationKind::Feed(_) => Tag::Text,
        };
        self.draft(now_ms, cid, tag, None, &Content::File(note))
    }

    /// Puts files on the hub's list, or takes them off; answered by [`Event::Shared`](crate::Event::Shared) or
    /// [`Event::ListRefused`](crate::Event::ListRefused). A question that the connection took with it has no answer.
    pub fn share(&mut self, offers: Vec<Offer>, ended: Vec<MessageId>) -> MessageId {
        let id = MessageId(self.out.random());
        self.ask_of_files(id, ClientToHub::Share { id, offers, ended });
        id
    }

    /// Asks for one page of the hub's list; answered by [`Event::Found`](crate::Event::Found) or [`Event::ListRefused`](crate::Event::ListRefused).
    pub fn find(&mut self, query: Query) -> MessageId {
        let id = MessageId(self.out.random());
        self.ask_of_files(id, ClientToHub::Find { id, query });
        id
    }

    pub(crate) fn ask_of_files(&mut self, id: MessageId, question: ClientToHub) {
        self.out.text(&question);
        self.out.questions.ask(id, Question::Files(Box::new(question)));
    }
}
