//! What `envelope.json` holds: keys by name, and vectors that are accepted or refused.

use std::collections::BTreeMap;

use chat_protocol::b64::{B64Array, B64Vec};
use chat_protocol::file::catalogue::Audience;
use chat_protocol::id::{Digest, KeyId, MessageId};
use chat_protocol::name::{ConversationId, UserName};
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Serialize, Deserialize)]
pub(crate) struct VectorFile {
    pub(crate) about: String,
    /// `PKCS8` of every key, `user.use`; test keys of 2048 bits that guard nothing.
    pub(crate) keys: BTreeMap<String, B64Vec>,
    pub(crate) vectors: Vec<Vector>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Vector {
    pub(crate) name: String,
    /// Present if the vector must be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Refusal>,
    #[serde(flatten)]
    pub(crate) case: Case,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The check that must refuse it; every check before must pass.
    pub(crate) at: String,
    /// What was changed.
    pub(crate) altered: String,
    /// Why it matters.
    pub(crate) why: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Case {
    Bundle(BundleCase),
    Possession(PossessionCase),
    Epoch(EpochCase),
    Membership(MembershipCase),
    Message(MessageCase),
    Receipt(ReceiptCase),
    SignIn(SignInCase),
    Password(PasswordCase),
    Vault(VaultCase),
    Offer(OfferCase),
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct BundleCase {
    pub(crate) bundle: B64Vec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<BundleExpect>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct BundleExpect {
    pub(crate) user: UserName,
    pub(crate) identity: KeyId,
    pub(crate) digest: Digest,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PossessionCase {
    pub(crate) user: UserName,
    pub(crate) ik: B64Vec,
    pub(crate) sk: B64Vec,
    pub(crate) pop: B64Vec,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct EpochCase {
    pub(crate) frame: B64Vec,
    pub(crate) members: String,
    /// One per line of `members`.
    pub(crate) wraps: Vec<B64Vec>,
    /// Names of the keys that open them, in the same order.
    pub(crate) openers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<EpochExpect>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct EpochExpect {
    pub(crate) e: Digest,
    pub(crate) key: B64Array<32>,
    pub(crate) chains: Vec<B64Array<32>>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MembershipCase {
    pub(crate) cid: ConversationId,
    pub(crate) links: Vec<B64Vec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<MembershipExpect>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MembershipExpect {
    pub(crate) head: Digest,
    /// Name, and whether an admin.
    pub(crate) members: BTreeMap<UserName, bool>,
}

/// Frames of one sender, in order, sealed in the epoch of the named vector.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MessageCase {
    pub(crate) epoch: String,
    /// Counter and digest of the frame that was received before the first.
    pub(crate) after: Option<(u32, Digest)>,
    pub(crate) frames: Vec<B64Vec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<Vec<MessageExpect>>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MessageExpect {
    pub(crate) digest: Digest,
    pub(crate) plaintext: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ReceiptCase {
    pub(crate) frame: B64Vec,
    /// The message vector whose frames it may name.
    pub(crate) of: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<Digest>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SignInCase {
    pub(crate) hello: String,
    pub(crate) auth: String,
    pub(crate) ok: String,
    /// Name of the hub's link key.
    pub(crate) link: String,
    /// That of the connection the hub has under it.
    pub(crate) exporter: Option<B64Array<32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<SignInExpect>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SignInExpect {
    pub(crate) secret: B64Array<32>,
    pub(crate) body: String,
    pub(crate) signed_in: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PasswordCase {
    pub(crate) password: String,
    pub(crate) srv: KeyId,
    pub(crate) user: UserName,
    pub(crate) login: B64Array<32>,
    pub(crate) vault: B64Array<32>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct VaultCase {
    pub(crate) key: B64Array<32>,
    pub(crate) srv: KeyId,
    pub(crate) user: UserName,
    pub(crate) number: u32,
    pub(crate) sealed: B64Vec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<String>,
}

/// A signed offer as somebody found it: listed under this owner, audience and id.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OfferCase {
    pub(crate) owner: UserName,
    pub(crate) audience: Audience,
    pub(crate) id: MessageId,
    pub(crate) signed: B64Vec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<OfferExpect>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OfferExpect {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) root: Digest,
    pub(crate) ts: u64,
}
