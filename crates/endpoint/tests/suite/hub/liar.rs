//! A lie between the hub in memory and its devices.
#![expect(
    clippy::indexing_slicing,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

use chat_endpoint::Transmit;
use chat_protocol::handshake::SignedIn;
use chat_testkit::middle::{Message, Passing, Way};

use super::TestHub;

fn message(transmit: Transmit) -> Message {
    match transmit {
        Transmit::Text(text) => Message::Text(text),
        Transmit::Binary(bytes) => Message::Binary(bytes),
    }
}

/// What travels; the answer to a sign-in does not travel here.
fn transmit(message: Message) -> Option<Transmit> {
    match message {
        Message::Text(text) => Some(Transmit::Text(text)),
        Message::Binary(bytes) => Some(Transmit::Binary(bytes)),
        Message::SignedIn(_) => None,
    }
}

impl TestHub {
    /// What becomes of a message; without a lie it passes.
    fn lie(&mut self, index: usize, way: Way, message: Message) -> Vec<Passing> {
        let user = self.peers[index].endpoint.device().user.to_string();
        let passing = Passing { line: index, user, way, message };
        self.liar.as_mut().map_or_else(|| vec![passing.clone()], |liar| liar.pass(passing.clone()))
    }

    /// What a device is told at its sign-in.
    pub(super) fn lie_at_sign_in(&mut self, index: usize, signed_in: SignedIn) -> SignedIn {
        let told = self.lie(index, Way::ToClient, Message::SignedIn(Box::new(signed_in.clone())));
        let mut told = told.into_iter().filter_map(|passing| match passing.message {
            Message::SignedIn(signed_in) => Some(*signed_in),
            _ => None,
        });
        told.next().unwrap_or(signed_in)
    }

    /// What has come for a device, behind the lie.
    pub(super) fn arrived(&mut self, index: usize) -> Vec<Transmit> {
        let mut arrived = std::mem::take(&mut self.peers[index].smuggled);
        for one in std::mem::take(&mut self.peers[index].inbox) {
            for passing in self.lie(index, Way::ToClient, message(one)) {
                let line = passing.line;
                let Some(transmit) = transmit(passing.message) else { continue };
                if line == index {
                    arrived.push(transmit);
                } else {
                    self.peers[line].smuggled.push(transmit);
                }
            }
        }
        arrived
    }

    /// Takes what a device has sent, as the lie leaves it.
    pub(super) fn hear(&mut self, index: usize, sent: Transmit) {
        for passing in self.lie(index, Way::ToHub, message(sent)) {
            let Some(transmit) = transmit(passing.message) else { continue };
            match passing.way {
                Way::ToHub => self.take(passing.line, transmit),
                Way::ToClient => self.peers[passing.line].smuggled.push(transmit),
            }
        }
    }
}
