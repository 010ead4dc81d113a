//! What somebody can do in a room, and by which link or question it is done.

use chat_protocol::header::{MemberArgument, MemberOperation};
use chat_protocol::hub::{ClientToHub, Moderation};
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::members::Membership;
use chat_protocol::name::{ConversationId, RoomName, UserName};
use serde::{Deserialize, Serialize};

/// What somebody can do in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoomAction {
    /// Become a member of an open room. It is done when one is a member already.
    Join {
        /// Make an open room where there is none.
        create: bool,
    },
    /// Make a room and be its first admin.
    Create {
        /// Members are admitted by admins; otherwise anybody may join.
        private: bool,
    },
    /// Be a member no more.
    Leave,
    /// Let somebody in; takes a ban back.
    Admit(UserName),
    /// Put somebody out.
    Remove {
        /// The member who goes.
        who: UserName,
        /// They may not join again until an admin admits them.
        ban: bool,
    },
    /// Let somebody who was put out of the lobby in again; in other rooms [`RoomAction::Admit`] does it.
    Unban(UserName),
    /// Make somebody an admin, or take that back.
    Role {
        /// The member whose role changes.
        who: UserName,
        /// Which of the two.
        admin: bool,
    },
    /// Say what an open room is about. The hub reads it.
    Topic(String),
    /// Say how long the hub keeps the messages: milliseconds, 0 for ever, `None` for its default.
    Retention(Option<u64>),
}

impl RoomAction {
    /// Whether it waits for what this device has said there before: who has left can say nothing more, and
    /// who is let in would read it. Who is put out goes at once, and reads less.
    pub(super) fn waits_for_messages(&self) -> bool {
        matches!(self, Self::Leave | Self::Admit(_))
    }

    /// Whether its user comes into the room by it.
    pub(super) fn comes_in(&self) -> bool {
        matches!(self, Self::Join { .. } | Self::Create { .. })
    }

    /// Whether what is said there after it waits for its answer: it changes who reads that, or whether it can
    /// be said at all.
    pub(super) fn holds_messages(&self) -> bool {
        match self {
            Self::Join { .. }
            | Self::Create { .. }
            | Self::Leave
            | Self::Admit(_)
            | Self::Remove { .. } => true,
            Self::Unban(_) | Self::Role { .. } | Self::Topic(_) | Self::Retention(_) => false,
        }
    }

    /// Whom it is about.
    pub(super) fn who<'a>(&'a self, me: &'a UserName) -> &'a UserName {
        match self {
            Self::Admit(who)
            | Self::Remove { who, .. }
            | Self::Unban(who)
            | Self::Role { who, .. } => who,
            Self::Join { .. }
            | Self::Create { .. }
            | Self::Leave
            | Self::Topic(_)
            | Self::Retention(_) => me,
        }
    }

    /// Whether the view shows it as done. `ik` is the identity of whom it is about.
    pub(super) fn is_done(&self, room: &Membership, me: &UserName, ik: Option<KeyId>) -> bool {
        let is_in = |who| room.contains(who) && ik.is_none_or(|ik| room.holds(who, &ik));
        match self {
            Self::Join { .. } | Self::Create { .. } => {
                is_in(me) || room.conversation().is_feed_of(me)
            }
            Self::Leave => !is_in(me),
            Self::Admit(who) => is_in(who),
            Self::Remove { who, ban } => {
                !room.contains(who) && (!ban || ik.is_some_and(|ik| room.is_banned(&ik)))
            }
            Self::Role { who, admin } => {
                room.members().get(who).is_some_and(|member| member.admin == *admin)
            }
            Self::Unban(_) | Self::Topic(_) | Self::Retention(_) => false,
        }
    }

    /// What a moderator of the lobby asks of the hub: its chain has no admin.
    fn moderation(&self) -> Option<(Moderation, &UserName)> {
        match self {
            Self::Remove { who, ban: false } => Some((Moderation::Kick, who)),
            Self::Remove { who, ban: true } => Some((Moderation::Ban, who)),
            Self::Unban(who) => Some((Moderation::Unban, who)),
            _ => None,
        }
    }

    /// What the hub is asked where there is no link to sign.
    pub(super) fn question(&self, id: MessageId, cid: &ConversationId) -> Option<ClientToHub> {
        let is_lobby = *cid == ConversationId::room(&RoomName::lobby());
        let cid = cid.clone();
        if let Some((act, who)) = self.moderation().filter(|_| is_lobby) {
            return Some(ClientToHub::Moderate { id, cid, who: who.clone(), act });
        }
        match self {
            Self::Topic(text) => Some(ClientToHub::Topic { id, cid, text: text.clone() }),
            Self::Retention(keep_ms) => Some(ClientToHub::Retention { id, cid, keep_ms: *keep_ms }),
            _ => None,
        }
    }

    /// Operation and argument of the link.
    pub(super) fn link(&self, exists: bool) -> (MemberOperation, MemberArgument) {
        match self {
            Self::Join { create: true } if !exists => {
                (MemberOperation::Create, MemberArgument::Open)
            }
            Self::Create { private: false } => (MemberOperation::Create, MemberArgument::Open),
            Self::Create { private: true } => (MemberOperation::Create, MemberArgument::Invite),
            Self::Join { .. } | Self::Unban(_) | Self::Topic(_) | Self::Retention(_) => {
                (MemberOperation::Join, MemberArgument::None)
            }
            Self::Leave => (MemberOperation::Leave, MemberArgument::None),
            Self::Admit(_) => (MemberOperation::Admit, MemberArgument::None),
            Self::Remove { ban: false, .. } => (MemberOperation::Remove, MemberArgument::None),
            Self::Remove { ban: true, .. } => (MemberOperation::Remove, MemberArgument::Ban),
            Self::Role { admin: true, .. } => (MemberOperation::Role, MemberArgument::Admin),
            Self::Role { admin: false, .. } => (MemberOperation::Role, MemberArgument::Member),
        }
    }
}
