//! Which conversations were open before, for the way back.

use chat_protocol::name::ConversationId;

/// Conversations that are remembered.
const VISITED_MAX: usize = 32;

/// Where one was, and where one came back from.
#[derive(Debug, Default)]
pub(super) struct Visited {
    back: Vec<ConversationId>,
    forward: Vec<ConversationId>,
    /// The next conversation is opened by going this way.
    way: Option<Way>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Back,
    Forward,
}

impl Visited {
    /// The conversation that was open before.
    pub(super) fn back(&mut self) -> Option<ConversationId> {
        let cid = self.back.pop()?;
        self.way = Some(Way::Back);
        Some(cid)
    }

    /// The conversation that was left by going back.
    pub(super) fn forward(&mut self) -> Option<ConversationId> {
        let cid = self.forward.pop()?;
        self.way = Some(Way::Forward);
        Some(cid)
    }

    /// Nothing was found on the way: the next conversation is opened by itself.
    pub(super) fn stays(&mut self) {
        self.way = None;
    }

    /// This one was left for another.
    pub(super) fn went(&mut self, from: ConversationId) {
        let list = match self.way.take() {
            Some(Way::Back) => &mut self.forward,
            Some(Way::Forward) => &mut self.back,
            None => {
                self.forward.clear();
                &mut self.back
            }
        };
        if list.len() == VISITED_MAX {
            list.remove(0);
        }
        list.push(from);
    }
}
