//! Who can read what others seal, by keys and not by places (rule R33): a hub that hides a revocation or
//! a newcomer from one writer is seen by the others.

use chat_endpoint::{Alarm, Event, RoomAction};
use chat_protocol::code;
use chat_protocol::name::ConversationId;

use crate::hub::{TestHub, lobby, name, room};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

/// Longer than what is under way takes.
const HELD_MS: u64 = 16_000;

fn alarms(hub: &TestHub, index: usize) -> Vec<String> {
    let alarm = |event: &Event| match event {
        Event::Alarm { kind: Alarm::SealsForRemoved, user, .. } => Some(user.to_string()),
        _ => None,
    };
    hub.peers[index].events.iter().filter_map(alarm).collect()
}

/// Everybody has what waited for them.
pub(crate) fn live(hub: &mut TestHub) {
    hub.run();
}

fn say(hub: &mut TestHub, index: usize, text: &str) {
    let now = hub.now;
    hub.peers[index].endpoint.say(now, &lobby(), text).unwrap();
    hub.run();
}

/// Goal: a hidden revocation is seen by everybody who has it at the next message, and mended. Before:
/// nobody said a word, and who has the lost device read on.
/// Method: alice revokes her laptop; the hub does not show it to bob.
#[test]
fn a_hidden_revocation_is_seen_and_mended() {
    for hides in [true, false] {
        let mut hub = TestHub::with(&["alice", "bob", "carol"]);
        let laptop = hub.add_sibling(ALICE, None);
        live(&mut hub);
        say(&mut hub, BOB, "to the laptop too");
        let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
        if hides {
            hub.faults.hides_keys = vec![(BOB, name("alice"))];
        }
        hub.disconnect(laptop);
        hub.disconnect(ALICE);
        hub.revoke(ALICE, lost);
        hub.connect(ALICE);
        hub.tell_of_keys("alice");
        hub.peers[CAROL].endpoint.refresh(&ConversationId::room(&lobby()));
        live(&mut hub);
        say(&mut hub, BOB, "under way");
        assert_eq!([ALICE, CAROL].map(|index| alarms(&hub, index).len()), [0, 0], "{hides}");
        hub.now += HELD_MS;
        say(&mut hub, BOB, "the laptop reads this");
        let expected = if hides { vec!["bob"] } else { vec![] };
        for index in [ALICE, CAROL] {
            assert_eq!(alarms(&hub, index), expected, "{hides}");
        }
        say(&mut hub, BOB, "the laptop does not read this");
        let (_, members) = hub.newest_epoch();
        assert!(
            members.lines().iter().all(|line| line.sk != lost),
            "alice's device has told bob's"
        );
        hub.now += HELD_MS;
        say(&mut hub, BOB, "nor this");
        assert_eq!(alarms(&hub, CAROL), expected, "one line for one lie");
    }
}

/// Goal: what an older bundle alone revokes names nobody before they were handed it: a server that has begun anew shows the
/// newest ones, and no other. Method: alice revokes her laptop, and her next bundle says nothing of it; bob is shown that
/// one alone. It is no news: this keeps it so.
#[test]
fn who_was_shown_the_newest_bundle_alone_is_handed_the_older_one_and_not_named() {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    let laptop = hub.add_sibling(ALICE, None);
    live(&mut hub);
    say(&mut hub, BOB, "to the laptop too");
    let lost = hub.peers[laptop].endpoint.device().keys.signing_id();
    let is_for_lost = |hub: &TestHub| hub.newest_epoch().1.lines().iter().any(|l| l.sk == lost);
    hub.faults.hides_keys = vec![(BOB, name("alice"))];
    hub.disconnect(laptop);
    hub.disconnect(ALICE);
    hub.revoke(ALICE, lost);
    hub.tell_of_keys("alice");
    hub.peers[CAROL].endpoint.refresh(&ConversationId::room(&lobby()));
    live(&mut hub);
    hub.rotate(ALICE);
    hub.faults.hides_keys.clear();
    hub.tell_of_keys("alice");
    hub.peers[CAROL].endpoint.refresh(&ConversationId::room(&lobby()));
    live(&mut hub);
    hub.now += HELD_MS;
    say(&mut hub, BOB, "the laptop reads this");
    assert!(is_for_lost(&hub), "this tests nothing");
    assert_eq!(alarms(&hub, CAROL), [""; 0]);
    hub.now += HELD_MS;
    for text in ["carol's device has told bob's", "the laptop does not read this"] {
        say(&mut hub, BOB, text);
    }
    assert!(!is_for_lost(&hub));
    assert_eq!(alarms(&hub, CAROL), [""; 0]);
}

/// Goal: a hidden newcomer is seen, and served by the others. Before: nobody said a word.
/// Method: alice admits carol; the hub does not show it to bob, and takes what he says without her.
#[test]
fn a_hidden_newcomer_is_noted_and_served_by_the_others() {
    for hides in [true, false] {
        let mut hub = TestHub::with(&["alice", "bob", "carol"]);
        hub.act(ALICE, "crew", RoomAction::Create { private: true });
        hub.act(ALICE, "crew", RoomAction::Admit(name("bob")));
        hub.say_in(BOB, "crew", "among two");
        let crew = ConversationId::room(&room("crew"));
        if hides {
            hub.faults.hides = vec![(BOB, crew, 2)];
        }
        hub.faults.takes_anything = true;
        live(&mut hub);
        hub.act(ALICE, "crew", RoomAction::Admit(name("carol")));
        hub.say_in(BOB, "crew", "at about the same time");
        let notes = |hub: &TestHub| {
            let is_note = |event: &Event| {
                matches!(event, Event::Complaint { code, reason, by_hub: false, .. }
                    if code == code::MEMBERS && reason.contains("bob") && reason.contains("carol"))
            };
            hub.count(ALICE, is_note)
        };
        assert_eq!(notes(&hub), 0, "{hides}");
        hub.now += HELD_MS;
        hub.say_in(BOB, "crew", "without carol");
        hub.say_in(BOB, "crew", "again without carol");
        assert_eq!(notes(&hub), usize::from(hides), "{hides}");
        hub.say_in(ALICE, "crew", "to all");
        assert!(hub.texts(CAROL).contains(&"alice: to all".to_owned()));
        let alarms = |event: &Event| matches!(event, Event::Alarm { .. });
        assert!(hides || hub.count(ALICE, alarms) == 0);
    }
}
