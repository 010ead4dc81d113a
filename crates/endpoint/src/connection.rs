//! What belongs to one connection, or can be asked for again: gone with it.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::content::healing::Counters;
use chat_protocol::header::MessageHeader;
use chat_protocol::hub::{EpochHead, Log};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::name::{ConversationId, UserName};

use crate::audience::Audience;
use crate::endpoint::Endpoint;
use crate::epochs::Parts;
use crate::grants::GrantQuestions;
use crate::lacks::Lacks;
use crate::limits::{RENEW_OWN_MIN_MS, UNASKED_MAX};
use crate::offers::Checking;
use crate::position::Position;
use crate::repair::{Lack, Repair};
use crate::rollback::Behind;

/// What belongs to one connection, or can be asked for again.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a connection")]
pub(crate) struct Link {
    pub(crate) online: bool,
    /// This device's clock and the hub's when it was made, Unix time in milliseconds.
    pub(crate) clocks: Option<(u64, u64)>,
    /// When it was made, and whether this device's encryption key has expired on it.
    pub(crate) since_ms: u64,
    pub(crate) keys_are_old: bool,
    /// The hub has seen counters of this device's key that it has not used.
    pub(crate) rolled_back: bool,
    /// Conversations for which the hub is to be asked how far it has seen this device's key.
    pub(crate) uncounted: BTreeSet<ConversationId>,
    /// The hub has sent all that waited when the connection was signed in.
    pub(crate) live: bool,
    pub(crate) live_ms: u64,
    /// The newest position by the hub's answer to the sign-in; since when a person was not told that what waited then has
    /// not ended, Unix time in milliseconds; and for how long connections before did not come to that end.
    pub(crate) newest_at_sign_in: u64,
    pub(crate) late_since_ms: u64,
    pub(crate) late_before_ms: u64,
    /// Which epoch the hub shows as current, where it has shown one or none.
    pub(crate) epochs: BTreeMap<ConversationId, Option<EpochHead>>,
    /// Conversations in which the hub seems to have gone back.
    pub(crate) behind: BTreeMap<ConversationId, Behind>,
    /// Conversations whose deliveries wait until that is settled.
    pub(crate) unsettled: BTreeSet<ConversationId>,
    /// Bundles and accounts that the hub has lost.
    pub(crate) lacks: Lacks,
    /// Rooms whose chain the hub was reminded of on this connection; and those of which it still shows less.
    pub(crate) reminded_chains: BTreeSet<ConversationId>,
    pub(crate) reminded_in_vain: BTreeSet<ConversationId>,
    /// What is to be handed to writers who lack it, by conversation and writer; and the ends of chains that the
    /// hub was reminded of because a member had them.
    pub(crate) repairs: BTreeMap<(UserName, Lack), Repair>,
    pub(crate) reminded: BTreeSet<(ConversationId, Digest)>,
    /// Epochs by somebody unknown for which the view was fetched anew.
    pub(crate) questioned: BTreeSet<Digest>,
    /// The newest time that this device was told, Unix time in milliseconds.
    pub(crate) clock_ms: u64,
    /// Of whom it was told that their accounts were deleted.
    pub(crate) gone_told: BTreeSet<UserName>,
    /// Requests for something of ours that wait for a view.
    pub(crate) key_requests: Vec<(MessageHeader, Counters)>,
    /// Who was put out of the lobby, by the hub's word, and how many links its chain had then.
    pub(crate) put_out: BTreeMap<UserName, u32>,
    /// Who has banned this user from the lobby, by the hub's word.
    pub(crate) banned_by: Option<UserName>,
    /// Listed offers whose owners' bundles are on their way.
    pub(crate) checking: BTreeMap<MessageId, Checking>,
    /// Parts of the epochs whose KEYs wait.
    pub(crate) parts: BTreeMap<Digest, Parts>,
    /// Parts are missing that a new connection may bring.
    pub(crate) lacks_parts: bool,
    pub(crate) waiting_for_epoch: BTreeMap<ConversationId, u64>,
    /// Conversations in which the view or the newest epoch has just changed.
    pub(crate) contested: BTreeSet<ConversationId>,
    /// Until when the next epoch of a large room is left to others.
    pub(crate) race_until: BTreeMap<ConversationId, u64>,
    /// How often the hub has refused the devices of an epoch of ours since it last accepted one.
    pub(crate) futile_epochs: BTreeMap<ConversationId, u32>,
    /// Rooms in which the hub takes no epoch of this user at all: none is made but for what is to be said.
    pub(crate) keys_denied: BTreeSet<ConversationId>,
    /// Until when nothing is sealed in a conversation: the hub has no room.
    pub(crate) held: BTreeMap<ConversationId, u64>,
    /// Conversations in which something may be sealed now.
    pub(crate) dirty: BTreeSet<ConversationId>,
    /// Answers of the hub to what was not asked.
    pub(crate) unasked: u32,
    /// The newest position of each log that the hub has answered a frame of this device with.
    pub(crate) answered: BTreeMap<Log, Position>,
    /// Commands of whose pieces one is missing and not asked for, and since when.
    pub(crate) unasked_since: BTreeMap<MessageId, u64>,
    /// When to send an id again that the hub could not take.
    pub(crate) retries: BTreeMap<MessageId, u64>,
    /// How often the hub could not take it; and how often the messages of a conversation, since it
    /// last took one of them.
    pub(crate) retried: BTreeMap<MessageId, u32>,
    pub(crate) busy: BTreeMap<ConversationId, u32>,
    /// The host was told that something is put off.
    pub(crate) put_off_told: bool,
    /// Pages that are asked for when the minute is over.
    pub(crate) pages: Vec<MessageId>,
    /// Conversations that need a new epoch before anything is said.
    pub(crate) renew: BTreeSet<ConversationId>,
    pub(crate) grants: GrantQuestions,
    /// Times that whom one follows was asked for, without an answer yet.
    pub(crate) subscriptions_asked: u32,
    /// Who was seen with a membership that the hub does not show here.
    pub(crate) other_views: BTreeSet<(ConversationId, UserName)>,
    /// Rooms, writers who still seal for somebody who has gone, by which link, and who that is.
    pub(crate) warned: BTreeMap<(ConversationId, UserName, u32), UserName>,
    /// Rooms, writers and links of which the host was told so, also where the writer has named other places since.
    pub(crate) warned_told: BTreeSet<(ConversationId, UserName, u32)>,
    /// The same of those who still seal for a revoked key, and whether the host was told.
    pub(crate) warned_of_keys: BTreeMap<(ConversationId, UserName, UserName), bool>,
    /// Whom what this user says does not reach, as the host was told; and whom what others say does not, by writer.
    pub(crate) left_out: BTreeMap<ConversationId, BTreeSet<UserName>>,
    pub(crate) left_out_by: BTreeMap<(ConversationId, UserName), BTreeSet<UserName>>,
    /// Where nothing has changed since that was told that it follows from.
    pub(crate) left_out_told: BTreeSet<ConversationId>,
    /// Members of whom no key was held when the view of a room was last completed, the hub's answers included.
    pub(crate) keyless: BTreeMap<ConversationId, BTreeSet<UserName>>,
    /// Names in a room that nobody has vouched for, as was told.
    pub(crate) unvouched_told: BTreeMap<ConversationId, BTreeSet<UserName>>,
    /// How the lists of epochs differ from what is held here.
    pub(crate) audiences: BTreeMap<Digest, Audience>,
    /// From which link on chains have grown lately, and when.
    pub(crate) grown: BTreeMap<ConversationId, Vec<(u32, u64)>>,
}

impl Endpoint {
    /// Notes that this device's own key has expired, once a day: a host that publishes no other key
    /// must not connect again and again.
    pub(crate) fn note_own_expiry(&mut self, now_ms: u64) {
        let is_expired = self.device.bundle.header().ek.iter().any(|key| key.exp <= now_ms);
        let is_long = now_ms.saturating_sub(self.link.since_ms) > RENEW_OWN_MIN_MS;
        // The hub's own agent is never left out.
        let may_be_away = self.link.online && !self.device.user.is_server();
        self.link.keys_are_old = may_be_away && is_expired && is_long;
    }

    /// Whether only a new connection helps; see [`Endpoint::reconnect_reason`].
    pub fn must_reconnect(&self) -> bool {
        self.reconnect_reason().is_some()
    }

    /// Why only a new connection helps, in words for people, if so.
    pub fn reconnect_reason(&self) -> Option<&'static str> {
        if self.link.keys_are_old {
            // The next sign-in publishes another one (rule R12).
            return Some("this device's key has expired; it publishes another one");
        }
        if self.link.unasked >= UNASKED_MAX {
            return Some("the server keeps answering what nobody has asked");
        }
        if self.link.lacks_parts {
            return Some("the server has held back a part of a key; it is asked for again");
        }
        self.inbox
            .may_begin_anew()
            .then_some("more came at once than this device can hold; it asks for the rest again")
    }

    /// The hub has answered what was not asked: that is dropped, and counted.
    pub(crate) fn unasked(&mut self) {
        self.link.unasked = self.link.unasked.saturating_add(1);
    }

    /// About how many bytes of memory this device holds because of what others have sent and it has
    /// not dealt with, or has yet to send: deliveries that wait with their epochs' parts, links,
    /// frames without a key, granted messages, receipts, questions, and its own messages that are
    /// kept to be sent again. Rooms that the hub calls deleted count, too.
    pub fn held_bytes(&self) -> usize {
        let link = &self.link;
        let (waiting, small) = self.inbox.held();
        let parts = link.parts.values().map(Parts::bytes).sum::<usize>();
        let links = self.views.bytes();
        let small = small + self.out.questions.len() + self.views.len();
        let small = small + link.retries.len() + self.receipts.counts().0;
        let held = self.gaps.held_bytes() + self.parked_grant_bytes() + self.resends.bytes();
        waiting + parts + links + self.receipts.bytes() + held + small * SMALL_BYTES
    }
}

/// What a question, a head or the name of a log costs, about.
const SMALL_BYTES: usize = 256;
