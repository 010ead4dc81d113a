//! More devices of people who are here already.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's double may panic: that is how it says what went wrong"
)]

use std::sync::Arc;

use chat_endpoint::{Device, Endpoint, SystemRandom};
use chat_protocol::hub::HubToClient;
use chat_protocol::id::Nonce16;
use chat_protocol::keys::BundleOptions;
use chat_testkit::keys::second_device;

use super::{Peer, TestHub};

impl TestHub {
    /// Tells everybody something.
    pub(crate) fn tell_all(&mut self, message: &HubToClient) {
        for other in 0..self.peers.len() {
            if self.peers[other].connected {
                self.answer(other, message);
            }
        }
    }

    /// Tells everybody that a person has published keys.
    pub(crate) fn tell_of_keys(&mut self, text: &str) {
        self.tell_all(&HubToClient::Keys { users: vec![super::name(text)] });
    }

    /// The same to one device.
    pub(crate) fn tell_one_of_keys(&mut self, index: usize, text: &str) {
        self.answer(index, &HubToClient::Keys { users: vec![super::name(text)] });
    }

    /// A device signs in with a new encryption key, and everybody is told.
    pub(crate) fn renew(&mut self, index: usize) {
        self.disconnect(index);
        self.rotate(index);
        let users = vec![self.peers[index].endpoint.device().user.clone()];
        for other in (0..self.peers.len()).filter(|other| *other != index) {
            if self.peers[other].connected {
                self.answer(other, &HubToClient::Keys { users: users.clone() });
            }
        }
        self.connect(index);
    }

    /// Another device of the person behind `owner`, with the next keys and the same identity. An
    /// agent has a restart nonce. Everybody is told that the person has new keys.
    pub(crate) fn add_sibling(&mut self, owner: usize, rb: Option<Nonce16>) -> usize {
        let index = self.peers.len();
        let user = self.peers[owner].endpoint.device().user.clone();
        let keys = second_device(owner, index);
        let dev = Nonce16([u8::try_from(index).unwrap(); 16]);
        let options = BundleOptions { rb, ..BundleOptions::default() };
        let bundle = keys.publish(&user, dev, None, self.now, options).unwrap();
        self.people.get_mut(&user).unwrap().push(bundle.clone());
        let server = self.bundle.identity();
        let device = Device { user: user.clone(), dev, server, keys, bundle: Arc::new(bundle) };
        let endpoint =
            Endpoint::new(device, &Vec::new(), Arc::default(), Box::new(SystemRandom)).unwrap();
        self.peers.push(Peer::new(endpoint));
        for other in 0..index {
            self.answer(other, &HubToClient::Keys { users: vec![user.clone()] });
        }
        self.connect(index);
        index
    }
}
