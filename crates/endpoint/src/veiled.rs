//! Texts under a veil: a mark beside the text says that its letters are moved on by one. The mark
//! and the text are sealed like any other; the veil hides nothing from anybody.

use chat_protocol::content::Content;
use chat_protocol::id::MessageId;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use chat_protocol::tag::Tag;

use crate::endpoint::Endpoint;
use crate::outgoing::{SendError, check_text};

impl Endpoint {
    /// Says something in a room whose letters the host has moved on.
    pub fn say_veiled(
        &mut self,
        now_ms: u64,
        room: &RoomName,
        shifted: &str,
    ) -> Result<MessageId, SendError> {
        check_text(shifted)?;
        let tag = if room.is_all() { Tag::Broadcast } else { Tag::Text };
        let content = Content::Veiled(shifted.to_owned());
        Ok(self.draft(now_ms, ConversationId::room(room), tag, None, &content))
    }

    /// Says something to one person whose letters the host has moved on.
    pub fn tell_user_veiled(
        &mut self,
        now_ms: u64,
        to: &UserName,
        shifted: &str,
    ) -> Result<MessageId, SendError> {
        check_text(shifted)?;
        let cid = self.direct(to)?;
        Ok(self.draft(now_ms, cid, Tag::Dm, None, &Content::Veiled(shifted.to_owned())))
    }
}
