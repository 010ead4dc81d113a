//! A device that accepts commands keeps a few epochs of a conversation, however many are made (rule R41).

use chat_endpoint::Event;

use crate::hub::{TestHub, name};
use crate::rules::alarms;

/// Goal: whoever makes epoch after epoch with an agent does not fill its home, and commands go on. Method:
/// alice has another encryption key before each of twelve messages; the rows of the agent are counted.
#[test]
fn r41_an_agent_keeps_the_newest_epochs_of_a_conversation() {
    let mut hub = TestHub::with(&["alice", "machine"]);
    let rows = |hub: &TestHub| {
        let rows = hub.peers[1].store.rows();
        rows.iter()
            .filter(|(key, _)| key.starts_with("epoch/") || key.starts_with("chain/"))
            .count()
    };
    let mut counts = Vec::new();
    for number in 0..12 {
        hub.disconnect(0);
        hub.rotate(0);
        hub.connect(0);
        let now = hub.now;
        let alice = &mut hub.peers[0].endpoint;
        alice.tell_user(now, &name("machine"), &format!("{number}")).unwrap();
        hub.run();
        counts.push(rows(&hub));
    }
    assert_eq!(counts[5..], [counts[5]; 7], "{counts:?}");
    assert_eq!(hub.texts(1).len(), 12);
    let delivered = |event: &Event| matches!(event, Event::Delivered { readable: true, .. });
    assert_eq!(hub.count(0, delivered), 12);
    assert_eq!((alarms(&hub, 0), alarms(&hub, 1)), (vec![], vec![]));
}
