//! Links that count by the hub's word only (rule R40) are no way to take back what others have signed.

use chat_endpoint::{Alarm, RoomAction};
use chat_protocol::header::MemberOperation::{Join, Leave};

use crate::hub::{TestHub, name};
use crate::rules::alarms;

const ALICE: usize = 0;
const BOB: usize = 1;
const MALLORY: usize = 2;
const EVE: usize = 3;

/// Goal: a hub undoes no removal with a link that it has made up before it. Before: a link by the hub's word gave way
/// to a signed one as if a person had decided so, with all that was verified behind it and without a word.
/// Method: zed, whom nobody knows, comes and goes; mallory is removed; then bob, who has seen that, is shown a chain
/// in which eve has joined in the place of all this.
#[test]
fn r33_a_made_up_link_takes_no_removal_back() {
    let mut hub = TestHub::with(&["alice", "bob", "mallory"]);
    hub.act(ALICE, "ops", RoomAction::Create { private: false });
    for index in [BOB, MALLORY] {
        hub.act(index, "ops", RoomAction::Join { create: false });
    }
    hub.say_in(BOB, "ops", "hello");
    let older = hub.snapshot();
    for op in [Join, Leave] {
        hub.make_up_link("ops", "zed", op);
    }
    hub.act(ALICE, "ops", RoomAction::Remove { who: name("mallory"), ban: false });
    hub.say_in(BOB, "ops", "without her");
    assert_eq!(hub.texts(MALLORY), ["bob: hello"]);

    hub.put_back(&older);
    assert_eq!(hub.add("eve"), EVE);
    let id = hub.act(EVE, "ops", RoomAction::Join { create: false });
    assert_eq!(hub.answer_to(EVE, id), "joined");
    for index in [BOB, MALLORY] {
        hub.comes(index);
    }
    assert!(hub.roster(BOB, "ops").contains(&"eve".to_owned()), "the branch is taken");
    hub.say_in(BOB, "ops", "still without her");
    assert!(!hub.epoch_of("ops").1.contains(&"mallory".to_owned()), "{:?}", hub.epoch_of("ops"));
    assert_eq!(hub.texts(EVE), ["bob: still without her"]);
    assert!(alarms(&hub, BOB).contains(&Alarm::Fork), "{:?}", alarms(&hub, BOB));
}
