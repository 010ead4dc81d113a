//! What the hub says of people on this connection, and what it was asked about them. It ends with the connection.

use std::collections::{BTreeMap, BTreeSet};

use chat_protocol::hub::PersonBundles;
use chat_protocol::id::{KeyId, MessageId};
use chat_protocol::name::UserName;

use super::{People, Signer, Signers};
use crate::limits::{SHOWN_FORMER_MAX, TARGET_FRESH_MS};
use crate::out::Out;

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// People of whom the hub offered another identity and nothing of the pinned one.
    replaced: BTreeSet<UserName>,
    /// People whose accounts were deleted: no key is made for them.
    gone: BTreeSet<UserName>,
    /// Signing keys of who had a name before (section 12 of the protocol), and how many they are.
    former: Signers,
    former_count: usize,
    /// Of whom bundles were asked for because the hub says that they have new keys; and of whom it has
    /// said so again since.
    asked: BTreeMap<MessageId, Vec<UserName>>,
    again: BTreeSet<UserName>,
    /// People whose newest bundles were asked for, and came; nobody has said since that they have others.
    newest: BTreeSet<UserName>,
    /// When the bundles of a command's target came, Unix time in milliseconds; `None` while they are asked for.
    targets: BTreeMap<UserName, Option<u64>>,
}

/// What is known of the newest bundles of a command's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetBundles {
    /// They came just now.
    Fresh,
    /// They are on their way.
    Asked,
    /// They are to be asked for, which counts as done.
    Wanted,
}

impl People {
    /// The connection is gone, and with it all that the hub has said on it.
    pub(crate) fn disconnected(&mut self) {
        self.word = Word::default();
    }

    /// Whether the hub offers nothing of the pinned identity, and another one.
    pub(crate) fn is_replaced(&self, name: &UserName) -> bool {
        self.word.replaced.contains(name)
    }

    /// The hub offers another identity for a name, and nothing of the pinned one.
    pub(crate) fn replaced_by_hub(&mut self, name: &UserName) {
        self.word.replaced.insert(name.clone());
    }

    /// The hub has what is pinned, or this user has decided.
    pub(crate) fn has_bundles(&mut self, name: &UserName) {
        self.word.replaced.remove(name);
    }

    /// Notes whether somebody's account was deleted, by the hub's word: whether that is news.
    pub(crate) fn note_gone(&mut self, name: UserName, is_gone: bool) -> bool {
        let may_be_gone = name != self.me && !name.is_server();
        let gone = &mut self.word.gone;
        if is_gone && may_be_gone { gone.insert(name) } else { gone.remove(&name) }
    }

    /// Whether the hub says that an account was deleted.
    pub(crate) fn is_gone(&self, name: &UserName) -> bool {
        self.word.gone.contains(name)
    }

    /// For whom no key is made by the hub's word: those whom it has under another identity, and those who are gone.
    pub(crate) fn out_of_reach(&self) -> [&BTreeSet<UserName>; 2] {
        [&self.word.replaced, &self.word.gone]
    }

    /// Keys of somebody who had this name before, as far as they were asked for, for this connection: links
    /// by which they let others into rooms verify by them. The hub's word that they are of the past decides
    /// nothing: nothing is sealed for them, and nothing else that they sign is taken.
    pub(crate) fn accept_former(
        &mut self,
        out: &mut Out,
        name: &UserName,
        offered: &PersonBundles,
        asked: &[KeyId],
    ) {
        for bytes in &offered.former {
            let Some(bundle) = self.verify_offered(out, name, bytes) else { continue };
            let header = bundle.header();
            let is_asked = header.sk.iter().any(|key| asked.contains(&key.kid));
            if header.u == *name && is_asked && self.word.former_count < SHOWN_FORMER_MAX {
                self.word.former_count += self.word.former.keep(&bundle);
            }
        }
    }

    /// The owner and parsed form of such a key.
    pub(crate) fn signer_by_word(&self, name: &UserName, sk: &KeyId) -> Option<&Signer> {
        self.word.former.of(name, sk)
    }

    /// Whether a key need not be asked for: links that it has signed can be verified.
    pub(crate) fn has_signer(&self, name: &UserName, sk: &KeyId) -> bool {
        self.signer_of_any_identity(name, sk).or_else(|| self.signer_by_word(name, sk)).is_some()
    }

    /// Somebody has other keys than those that came, or may have.
    pub(crate) fn outdate(&mut self, name: &UserName) {
        self.word.targets.remove(name);
        self.word.newest.remove(name);
    }

    /// The newest bundles of somebody have come.
    pub(crate) fn has_newest(&mut self, name: &UserName) {
        self.word.newest.insert(name.clone());
    }

    /// Whether they have come.
    pub(crate) fn is_newest(&self, name: &UserName) -> bool {
        self.word.newest.contains(name)
    }

    /// Of whom of these bundles are to be asked for. An answer that is on its way may be older than what they have
    /// published since, so those are asked for again when it has come.
    pub(crate) fn ask_now(&mut self, names: BTreeSet<UserName>) -> Vec<UserName> {
        let open: BTreeSet<&UserName> = self.word.asked.values().flatten().collect();
        let (late, now): (Vec<_>, Vec<_>) = names.into_iter().partition(|n| open.contains(n));
        self.word.again.extend(late);
        now
    }

    /// They were asked for with this question.
    pub(crate) fn asked(&mut self, id: MessageId, names: &[UserName]) {
        self.word.asked.insert(id, names.to_vec());
    }

    /// Such a question was answered: of whom bundles are to be asked for again.
    pub(crate) fn answered(&mut self, id: &MessageId) -> BTreeSet<UserName> {
        let names = self.word.asked.remove(id).unwrap_or_default().into_iter();
        let again: BTreeSet<UserName> = names.filter(|name| self.word.again.remove(name)).collect();
        for name in &again {
            self.outdate(name);
        }
        again
    }

    /// Whether a command can be addressed to somebody: an agent that lost its journal has another restart nonce.
    pub(crate) fn target(&mut self, now_ms: u64, name: &UserName) -> TargetBundles {
        match self.word.targets.get(name) {
            Some(Some(at)) if now_ms.saturating_sub(*at) <= TARGET_FRESH_MS => TargetBundles::Fresh,
            Some(None) => TargetBundles::Asked,
            _ => {
                self.word.targets.insert(name.clone(), None);
                TargetBundles::Wanted
            }
        }
    }

    /// The bundles of somebody came, who may be such a target.
    pub(crate) fn target_came(&mut self, now_ms: u64, name: &UserName) {
        if let Some(target) = self.word.targets.get_mut(name) {
            *target = Some(now_ms);
        }
    }

    /// A target says that it is another one by now.
    pub(crate) fn forget_target(&mut self, name: &UserName) {
        self.word.targets.remove(name);
    }
}
