//! Commands that reach this device, as far as they can be judged without the host: target and
//! freshness.

use chat_protocol::code;
use chat_protocol::content::Command;
use chat_protocol::id::MessageId;

use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::limits::CLOCK_SKEW_MAX_MS;
use crate::outgoing::CommandEnd;
use crate::receive::{Hand, Opened};

impl Endpoint {
    /// When a command was signed, by this device's clock: where its sender's clock is behind, when the hub
    /// took it tells, but never by more than clocks may differ. Unix time in milliseconds.
    ///
    /// The clocks are compared at the sign-in and one of them may be set later, so that comparison only
    /// lengthens the time of a command. A hub that lies about it lengthens it by those five minutes.
    fn signed_ms(&self, opened: &Opened<'_>) -> u64 {
        let (ts, hub_ms) = (opened.header.ts, opened.delivery.hub_ms);
        let Some((own_ms, theirs_ms)) = self.link.clocks.filter(|_| opened.hand == Hand::Log)
        else {
            return ts;
        };
        let taken_ms = own_ms.saturating_add(hub_ms).saturating_sub(theirs_ms);
        taken_ms.clamp(ts, ts.saturating_add(CLOCK_SKEW_MAX_MS))
    }

    /// A command is taken back by whoever has sent it.
    pub(crate) fn on_cancel(&mut self, opened: &Opened<'_>, re: MessageId) {
        let Opened { header, signer, .. } = opened;
        if self.is_for_sibling(header) || self.device.bundle.header().rb.is_none() {
            return;
        }
        let (from, identity) = (header.from.clone(), signer.identity);
        self.out.tell(Event::Cancel { from, identity, re });
    }

    /// Target and freshness of a command (rule R9). The policy is the host's.
    pub(crate) fn on_command(&mut self, now_ms: u64, opened: &Opened<'_>, command: Command) {
        let Opened { header, digest, signer, .. } = opened;
        if self.is_for_sibling(header) {
            return;
        }
        let own = &self.device.bundle;
        let expires_ms = self.signed_ms(opened).saturating_add(header.exp.unwrap_or(0));
        let not_before = header.ts.saturating_add(header.nbf.unwrap_or(0));
        let fresh_key = self
            .people
            .devices(&header.from)
            .any(|bundle| bundle.header().ek.iter().any(|key| key.exp > now_ms));
        let refusal = if own.header().rb.is_none() {
            Some((code::NO_AGENT, "this device accepts no commands"))
        } else if header.rb != own.header().rb || header.tk != Some(own.identity()) {
            Some((code::STALE, "the command was meant for another restart or key of this machine"))
        } else if expires_ms < now_ms {
            Some((code::EXPIRED, "the command arrived after its time to start"))
        } else if not_before > now_ms.saturating_add(CLOCK_SKEW_MAX_MS) {
            Some((code::CLOCK, "the command is from the future; the clocks differ"))
        } else if !fresh_key {
            Some((code::UNTRUSTED, "the requester's keys have expired; sign in again"))
        } else {
            None
        };
        let (id, from) = (header.id, header.from.clone());
        let (identity, sk) = (signer.identity, header.sk);
        let keys = self.people.devices(&from).flat_map(|bundle| &bundle.header().sk);
        // A key that was replaced has ended now at the latest.
        let sk_ends_ms =
            keys.filter(|key| key.kid == sk).map(|key| key.exp).max().unwrap_or(now_ms);
        if let Some((code, reason)) = refusal {
            let (code, reason, status) = (code.to_owned(), reason.to_owned(), None);
            // What was meant for another journal has a number of that one.
            if !matches!(code.as_str(), code::NO_AGENT | code::STALE) {
                let (from, no) = (from.clone(), command.no);
                self.out.tell(Event::CommandPassed { from, identity, sk, sk_ends_ms, no });
            }
            let end = CommandEnd { re: id, of: *digest, status, code, reason };
            self.report_outcome(now_ms, &from, end);
            return;
        }
        let pinned = self.people.is_trusted(&from);
        self.out.tell(Event::Command {
            id,
            digest: *digest,
            from,
            identity,
            sk,
            sk_ends_ms,
            pinned,
            command,
            expires_ms,
        });
    }
}
