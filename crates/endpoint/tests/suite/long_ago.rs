//! Epochs of a time before a device: it gets no key of them, and waits for none.

use crate::hub::{TestHub, name};

/// Goal: a new device gets its first word in at once, although the conversation has an epoch that it does
/// not know. (The build before took that for a race just lost, and waited 2 s for the winner's key.)
#[test]
fn a_new_device_does_not_wait_for_the_key_of_an_epoch_of_long_ago() {
    let mut hub = TestHub::with(&["alice", "bob"]);
    let now = hub.now;
    hub.peers[0].endpoint.tell_user(now, &name("bob"), "from the first").expect("said");
    hub.run();
    let laptop = hub.joins_sibling(0, None);
    let said = hub.now;
    hub.peers[laptop].endpoint.tell_user(said, &name("bob"), "from the laptop").expect("said");
    while hub.turn() {}
    while hub.texts(1).len() < 2 {
        let next = hub.peers[laptop].endpoint.next_deadline().expect("it will go out");
        hub.now = hub.now.max(next);
        let now = hub.now;
        hub.peers.iter_mut().for_each(|peer| peer.endpoint.handle_timeout(now));
        while hub.turn() {}
    }
    let waited = hub.now - said;
    assert!(waited < 100, "{waited} ms");
}
