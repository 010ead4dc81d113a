//! Epochs that the hub refuses again and again, because it counts other devices than this one does.

use std::collections::BTreeSet;

use chat_protocol::code;
use chat_protocol::limits::LEFT_OUT_MAX;
use chat_protocol::name::{ConversationId, UserName};

use crate::answers::Refusal;
use crate::endpoint::Endpoint;
use crate::epochs::left_out::named;
use crate::limits::{EPOCH_FUTILE_MAX, EPOCH_FUTILE_WAIT_MS, EPOCH_WAIT_MS, STORAGE_WAIT_MS};
use crate::outgoing::Outgoing;

/// In the place of how often the hub has refused: the host was told whose devices they are. Before that it may have been
/// told that they are not the same.
const FUTILE_NAMED: u32 = u32::MAX;

impl Endpoint {
    /// The hub says that the devices of our epoch are not those of the conversation. The view is
    /// fetched anew; where that changes nothing, as when somebody's key is not the one they are
    /// known by, the next try waits, and the host is told once.
    pub(super) fn refused_devices(&mut self, now_ms: u64, cid: &ConversationId) {
        self.devices_were_refused();
        self.start_refresh(cid, false);
        let futile = self.link.futile_epochs.entry(cid.clone()).or_default();
        *futile = futile.saturating_add(1);
        let futile = *futile;
        if futile < EPOCH_FUTILE_MAX {
            if !self.link.behind.is_empty() {
                // The hub has gone back, and may have forgotten devices: it is reminded first.
                let until = now_ms.saturating_add(EPOCH_WAIT_MS);
                self.link.waiting_for_epoch.insert(cid.clone(), until);
            }
            return;
        }
        let until = now_ms.saturating_add(EPOCH_FUTILE_WAIT_MS);
        self.link.waiting_for_epoch.insert(cid.clone(), until);
        if futile == EPOCH_FUTILE_MAX {
            let reason = format!(
                "this device and the server do not agree on the devices in {cid}, so nothing can be \
                 sealed there; see whether the key of a member has changed",
                cid = cid.spoken()
            );
            self.out.complain(code::MEMBERS, &reason);
        }
    }

    /// Whether more people in a room are left out than a key can name, some of them because members have handed over that a
    /// device of theirs is revoked which the hub shows as good, or because it has other devices of theirs than are held here.
    /// It takes no key without their lines, and nothing is sealed for those devices: the next try waits, and the host is
    /// told who it is, once on a connection until a key is taken there again.
    pub(super) fn is_stopped_by_disputes(
        &mut self,
        now_ms: u64,
        cid: &ConversationId,
        left_out: &[UserName],
    ) -> bool {
        let room = self.state.rooms.get(cid);
        let is_wanted = |name: &&UserName| {
            let is_member = room.is_some_and(|room| room.contains(name));
            // Of whom it has another identity the hub wants no line.
            let is_themselves = self.is_member_by_key(cid, name) && !self.people.is_replaced(name);
            is_member && is_themselves && self.is_missed(cid, name)
        };
        let wanted: Vec<&UserName> = left_out.iter().filter(is_wanted).collect();
        let is_disputed = |name: &&UserName| self.people.is_disputed(name);
        let (disputed, others): (Vec<&UserName>, Vec<&UserName>) =
            wanted.iter().copied().partition(is_disputed);
        let differing = others.into_iter().filter(|name| self.is_differing(name));
        let differing: Vec<UserName> = differing.cloned().collect();
        let disputed: Vec<UserName> = disputed.into_iter().cloned().collect();
        let is_stopped = wanted.len() > LEFT_OUT_MAX;
        if !is_stopped || (disputed.is_empty() && differing.is_empty()) {
            return false;
        }
        let until = now_ms.saturating_add(EPOCH_FUTILE_WAIT_MS);
        self.link.waiting_for_epoch.insert(cid.clone(), until);
        // What the hub shows by then is asked first.
        self.views.outdate(cid);
        let before = self.link.futile_epochs.insert(cid.clone(), FUTILE_NAMED);
        if before != Some(FUTILE_NAMED) {
            let reason = format!(
                "nothing can be sealed in {cid}: {why}, and it takes no key that leaves out more than {LEFT_OUT_MAX} \
                 people. What you say waits until the server and this device know the same of them or enough of them \
                 have gone: an admin of the room removes them, and whoever runs the server deletes them where there is \
                 none",
                cid = cid.spoken(),
                why = self.why_stopped(&disputed, &differing),
            );
            self.out.complain(code::MEMBERS, &reason);
        }
        true
    }

    /// Who is left out because of what a member has handed over, and because the hub has other devices of them.
    fn why_stopped(&self, disputed: &[UserName], differing: &[UserName]) -> String {
        let by: BTreeSet<&UserName> =
            disputed.iter().filter_map(|name| self.people.giver_of(name)).collect();
        let by: Vec<UserName> = by.into_iter().cloned().collect();
        let by = named(&by).unwrap_or_else(|| "members".to_owned());
        let disputed = named(disputed).map(|names| {
            format!(
                "{by} handed over that devices of {names} are revoked, which the server does not show"
            )
        });
        let differing = named(differing)
            .map(|names| format!("the server has other devices of {names} than you know"));
        disputed.into_iter().chain(differing).collect::<Vec<_>>().join(", ")
    }

    /// The hub says that this user can make no key here at all: what is to be said there is refused by its
    /// word, and not tried again and again. A hub that has lost the room is told of it first.
    pub(crate) fn key_refused(&mut self, now_ms: u64, cid: &ConversationId, refusal: &Refusal) {
        let Refusal { code, reason, .. } = refusal;
        match code.as_str() {
            code::EPOCH | code::MEMBERS => {}
            code::STORAGE_FULL => {
                // As where there is a key: who wrote something is told and can say it again, and what devices say by
                // themselves is said later.
                let reason = format!("the server says: {reason}");
                for key in self.drafts(cid) {
                    if self.outbox.get(&key).is_some_and(Outgoing::is_of_person) {
                        self.refuse(now_ms, &key, code, &reason);
                    }
                }
                self.link.held.insert(cid.clone(), now_ms.saturating_add(STORAGE_WAIT_MS));
            }
            _ if self.chain_is_behind(cid) || self.views.of(cid).is_unlisted => {}
            _ => {
                self.link.renew.remove(cid);
                self.link.keys_denied.insert(cid.clone());
                let reason = format!("the server says: {reason}");
                self.refuse_drafts(now_ms, cid, code, &reason);
                // Who is asked for may have an account by the next time.
                self.views.outdate(cid);
            }
        }
    }

    /// The hub was reminded of devices that it had forgotten: an epoch that it refused because of them
    /// is made anew at once.
    pub(crate) fn devices_are_known_again(&mut self) {
        for cid in self.link.futile_epochs.keys() {
            self.link.waiting_for_epoch.remove(cid);
            self.link.dirty.insert(cid.clone());
        }
    }
}
