//! What this device has asked the hub, or said to it, and what has no answer yet: one map, so that an answer finds
//! what it answers.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::b64::B64Vec;
use chat_protocol::hub::{ClientToHub, EpochHead};
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::{ConversationId, RoomName, UserName};

/// Signing keys that are not known, by whose they should be.
pub(crate) type Kids = BTreeMap<UserName, Vec<KeyId>>;

/// Something that the hub answers.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// Bundles of these people, perhaps on behalf of a view. Who waits for the answer knows it by the id under which
    /// it was asked first: what is put off, or does not fit one answer, is asked again under others.
    Bundles { names: Vec<UserName>, kids: Kids, view: Option<ConversationId>, first: MessageId },
    /// Links of a room's chain from this number on.
    Members { cid: ConversationId, from: u32 },
    /// Who is here, behind this name.
    Who { after: Option<UserName> },
    /// Which rooms there are, behind this one.
    Rooms { after: Option<RoomName> },
    /// The rooms that did not fit into OK, behind this one.
    Heads { after: ConversationId },
    /// How far the hub has seen this device's key in these.
    Counters { cids: Vec<ConversationId> },
    /// What the hub forgot was told it again: bundles and links, said once more where the hub puts them off.
    /// `of`: whose bundles, as far as anything waits for the answer.
    Remind { of: BTreeSet<UserName>, bundles: Vec<B64Vec>, links: Vec<B64Vec> },
    /// About the list of shared files; asked again as it was.
    Files(Box<ClientToHub>),
    /// A message of this device, or a draft of one, by its key among the outgoing.
    Message(String),
    /// A receipt.
    Receipt,
    /// A key of this device, said on this connection.
    Key { cid: ConversationId, head: EpochHead },
    /// A link, or a setting, for what was asked for in a room.
    Order(MessageId),
    /// The link by which this user joins a room that everybody is in.
    Join(ConversationId),
}

impl Question {
    /// Whether the hub answers it by keeping something.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(
            self,
            Self::Message(_) | Self::Receipt | Self::Key { .. } | Self::Order(_) | Self::Join(_)
        )
    }

    /// The key of a message among the outgoing.
    fn message(&self) -> Option<&String> {
        match self {
            Self::Message(key) => Some(key),
            _ => None,
        }
    }
}

/// All that is open.
#[derive(Debug, Default)]
pub(crate) struct Questions(BTreeMap<MessageId, Question>);

impl Questions {
    /// The hub has been asked something, or will be.
    pub(crate) fn ask(&mut self, id: MessageId, question: Question) {
        self.0.insert(id, question);
    }

    pub(crate) fn get(&self, id: &MessageId) -> Option<&Question> {
        self.0.get(id)
    }

    /// Ends a question.
    pub(crate) fn take(&mut self, id: &MessageId) -> Option<Question> {
        self.0.remove(id)
    }

    /// Whether a question like this is open.
    pub(crate) fn any(&self, is_it: impl Fn(&Question) -> bool) -> bool {
        self.0.values().any(is_it)
    }

    /// Whether the hub was told bundles of a person that it has lost, and has not answered, or has put that off.
    pub(crate) fn is_telling(&self, name: &UserName) -> bool {
        self.any(|question| matches!(question, Question::Remind { of, .. } if of.contains(name)))
    }

    /// The same of bundles for whose answer nothing waits.
    pub(crate) fn is_telling_idly(&self) -> bool {
        self.any(|question| match question {
            Question::Remind { of, links, .. } => of.is_empty() && links.is_empty(),
            _ => false,
        })
    }

    /// Whether this user is about to come into a room that everybody is in.
    pub(crate) fn is_joining(&self, cid: &ConversationId) -> bool {
        self.any(|question| matches!(question, Question::Join(joining) if joining == cid))
    }

    /// The key of a message among the outgoing.
    pub(crate) fn message(&self, id: &MessageId) -> Option<&String> {
        self.0.get(id)?.message()
    }

    /// How many there are, but for messages: these are counted where they are kept.
    pub(crate) fn len(&self) -> usize {
        self.0.values().filter(|question| question.message().is_none()).count()
    }

    /// Rows were loaded: these are the messages.
    pub(crate) fn set_messages(&mut self, messages: impl Iterator<Item = (MessageId, String)>) {
        self.0.retain(|_, question| question.message().is_none());
        self.0.extend(messages.map(|(id, key)| (id, Question::Message(key))));
    }

    /// The connection is gone, and with it all questions but messages, which are said again.
    pub(crate) fn disconnected(&mut self) {
        self.0.retain(|_, question| question.message().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: MessageId = MessageId([1; 16]);

    /// Goal: a new connection knows of messages alone, and of those that the rows have.
    #[test]
    fn messages_outlive_a_connection() {
        let other = MessageId([2; 16]);
        let mut questions = Questions::default();
        questions.ask(ID, Question::Message("1".to_owned()));
        questions.ask(other, Question::Receipt);
        assert_eq!(questions.len(), 1);
        questions.disconnected();
        assert!(questions.message(&ID).is_some() && questions.get(&other).is_none());
        questions.set_messages([(other, "2".to_owned())].into_iter());
        assert!(questions.get(&ID).is_none() && questions.message(&other).is_some());
    }
}
