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
use crate::limits::RENEW_OWN_MIN_MS;
use crate::offers::Checking;
use crate::people::ShownFormer;
use crate::position::Position;
use crate::repair::{Lack, Repair};
use crate::rollback::Behind;
use crate::settings::SettingsDue;

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
    pub(crate) repairs: BTreeMap<(ConversationId, UserName, Lack), Repair>,
    pub(crate) reminded: BTreeSet<(ConversationId, Digest)>,
    /// Epochs by somebody unknown for which the view was fetched anew.
    pub(crate) questioned: BTreeSet<Digest>,
    /// The newest time that this device was told, Unix time in milliseconds.
    pub(crate) clock_ms: u64,
    /// Of whom bundles were asked for because the hub says that they have new keys; and of whom it has
    /// said so again since.
    pub(crate) keys_asked: BTreeMap<MessageId, Vec<UserName>>,
    pub(crate) keys_again: BTreeSet<UserName>,
    /// People of whom the hub offered another identity and nothing of the pinned one.
    pub(crate) replaced: BTreeSet<UserName>,
    /// Signing keys of who had a name before, by the hub's word.
    pub(crate) shown_former: ShownFormer,
    /// People whose accounts were deleted, by the hub's word: no key is made for them. And of whom that was told.
    pub(crate) gone: BTreeSet<UserName>,
    pub(crate) gone_told: BTreeSet<UserName>,
    /// Requests for something of ours that wait for a view.
    pub(crate) key_requests: Vec<(MessageHeader, Counters)>,
    /// Who was put out of the lobby, by the hub's word, and how many links its chain had then.
    pub(crate) put_out: BTreeMap<UserName, u32>,
    /// Who has banned this user from the lobby, by the hub's word.
    pub(crate) banned_by: Option<UserName>,
    /// Listed offers whose owners' bundles are on their way.
    pub(crate) checking: BTreeMap<MessageId, Checking>,
    /// People whose newest bundles were asked for, and came; nobody has said since that they have others.
    pub(crate) newest: BTreeSet<UserName>,
    /// What is to be said about settings.
    pub(crate) settings: SettingsDue,
    /// When the bundles of a command's target came; `None` while they are asked for.
    pub(crate) targets: BTreeMap<UserName, Option<u64>>,
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
    /// Rooms, writers who still seal for somebody who has gone, and by which link, as the host was told.
    pub(crate) warned: BTreeSet<(ConversationId, UserName, u32)>,
    /// The same of those who still seal for a revoked key.
    pub(crate) warned_of_keys: BTreeSet<(ConversationId, UserName)>,
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
}
