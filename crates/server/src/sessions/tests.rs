//! Which connection of an account gives way to another one (rule R41).

use std::time::Duration;

use chat_protocol::id::KeyId;
use tokio::{sync::Semaphore, time::advance};

use super::*;
use crate::{
    budgets::AccountBudgets,
    outbox::{OutboxLimits, OutboxReceiver, bounded},
    request::Heard,
    store::DeviceId,
};

/// A connection, and its end that is written from: it lives as long as that.
fn peer(connection: u64, purpose: Purpose) -> (Arc<Peer>, OutboxReceiver) {
    let (outbox, receiver) = bounded(OutboxLimits::default());
    let peer = Peer {
        connection: ConnectionId(connection),
        account: AccountId(1),
        device: DeviceId(1),
        name: UserName::new("alice").unwrap(),
        sk: KeyId([1; 16]),
        spki: Vec::new(),
        purpose,
        outbox,
        budgets: AccountBudgets::lifted(),
        heard: Heard::default(),
        page: Semaphore::new(1),
    };
    (Arc::new(peer), receiver)
}

#[tokio::test(start_paused = true)]
async fn the_connection_that_was_idle_longest_gives_way_and_a_chat_to_no_task() {
    let mut sessions = Sessions::new(0, Arc::new(Metrics::new()));
    let (chat, _chat) = peer(1, Purpose::Interactive);
    let ((first, _first), (second, _second)) = (peer(2, Purpose::Task), peer(3, Purpose::Task));
    let room = |sessions: &Sessions, purpose| {
        sessions.make_room(AccountId(1), purpose, 3, |_| true).map_err(|refusal| refusal.retry_ms)
    };
    for one in [&chat, &first, &second] {
        assert_eq!(room(&sessions, Purpose::Task), Ok(()));
        sessions.open(Arc::clone(one));
    }
    assert!(matches!(room(&sessions, Purpose::Interactive), Err(Some(_))), "all are busy");
    advance(CONNECTION_IDLE_MIN + Duration::from_secs(1)).await;
    second.heard.now();
    assert_eq!(room(&sessions, Purpose::Task), Ok(()), "the idle task goes");
    assert!(first.outbox.is_closed() && !chat.outbox.is_closed() && !second.outbox.is_closed());
    // Its place is free, although it has not left yet.
    let (third, _third) = peer(4, Purpose::Task);
    sessions.open(third);
    assert!(room(&sessions, Purpose::Task).is_err(), "a chat gives way to no task");
    assert_eq!(room(&sessions, Purpose::Interactive), Ok(()));
    assert!(chat.outbox.is_closed());
    let nobody = sessions.make_room(AccountId(1), Purpose::Task, 3, |_| false);
    assert_eq!(nobody, Ok(()), "others are counted apart");
}
