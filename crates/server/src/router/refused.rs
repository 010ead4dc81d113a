//! Frames that were refused while another session of their device may still bring them: they stay refused.
//!
//! Hubs that share a log decide on what each of them has. Two processes of one home may send one frame to two hubs;
//! what one of these has refused, the other must not keep a moment later. So the refusal is a record: it makes
//! void what is under way of that frame, and is remembered here until its device has one session again.

use std::collections::{HashMap, VecDeque};

use chat_protocol::{code, id::Digest};

use super::{Decision, Router};
use crate::{
    request::{FrameRequest, Refusal},
    store::{AccountId, DeviceId, Incarnation, NewNo, Proposal},
};

/// Refusals that are remembered of one device: more than it has under way at once.
const REFUSED_MAX: usize = 64;

/// What a frame was told.
#[derive(Debug)]
struct No {
    digest: Digest,
    /// None: to be sealed again.
    code: Option<&'static str>,
    reason: String,
}

/// What a device was told.
#[derive(Debug)]
struct Noes {
    account: AccountId,
    /// The oldest first.
    told: VecDeque<No>,
}

/// By the device.
#[derive(Debug, Default)]
pub(super) struct Refused(HashMap<DeviceId, Noes>);

impl Refused {
    fn find(&self, device: DeviceId, digest: &Digest) -> Option<&No> {
        self.0.get(&device)?.told.iter().find(|no| no.digest == *digest)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Router {
    /// What was refused is not taken, whatever has become possible since.
    pub(super) fn still_refused(&self, request: &FrameRequest, decision: Decision) -> Decision {
        if self.refused.is_empty()
            || !matches!(decision, Decision::Propose(ref new) if new.needs_room())
        {
            return decision;
        }
        let Some(no) = self.refused.find(request.peer.device, &request.digest) else {
            return decision;
        };
        match no.code {
            Some(code) => Decision::Refuse(Refusal::new(code, no.reason.clone())),
            None => Decision::Rekey(self.head(request.header.conversation())),
        }
    }

    /// The record of a refusal, where one is needed before it is said at this hub.
    pub fn no_first(
        &self,
        request: &FrameRequest,
        decision: &Decision,
        hub: Incarnation,
    ) -> Option<Proposal> {
        let (code, reason) = match decision {
            Decision::Refuse(refusal) => (Some(refusal.code.to_owned()), refusal.reason.clone()),
            Decision::Rekey(_) => (None, String::new()),
            Decision::Propose(_) | Decision::Again(_) | Decision::Defer => return None,
        };
        let (account, device) = (request.peer.account, request.peer.device);
        let is_known = self.refused.find(device, &request.digest).is_some();
        let is_needed = !is_known && self.is_elsewhere(account, device, hub);
        let digest = request.digest;
        is_needed.then(|| Proposal::No(Box::new(NewNo { account, device, digest, code, reason })))
    }

    pub(super) fn apply_no(&mut self, new: NewNo) {
        let NewNo { account, device, digest, code, reason } = new;
        if !self.has_several(account, device) {
            return;
        }
        let known = |text: &String| code::ALL.iter().find(|known| **known == text).copied();
        let code = code.map(|code| known(&code).unwrap_or(code::NOT_ALLOWED));
        let new = || Noes { account, told: VecDeque::new() };
        let told = &mut self.refused.0.entry(device).or_insert_with(new).told;
        if told.len() >= REFUSED_MAX {
            told.pop_front();
        }
        told.push_back(No { digest, code, reason });
    }

    /// Forgets what no session can bring any more.
    pub(super) fn forget_refused(&mut self) {
        if self.refused.is_empty() {
            return;
        }
        let mut refused = std::mem::take(&mut self.refused);
        refused.0.retain(|device, noes| self.has_several(noes.account, *device));
        self.refused = refused;
    }
}
