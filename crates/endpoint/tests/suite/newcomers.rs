//! Whom nothing can be sealed for, because the hub shows no key of theirs, is told to whoever says something, also
//! where that is somebody new: they change no list of devices, and so bring no new key (rule R40).

use std::sync::Arc;

use chat_endpoint::{Endpoint, Event, RoomAction, SystemRandom};
use chat_protocol::code;
use chat_protocol::header::MemberArgument;
use chat_protocol::header::MemberOperation::{Admit, Join};

use crate::audience::live;
use crate::hub::{TestHub, name};
use crate::rules::complaints;

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const ZED: usize = 3;

/// Longer than what is under way takes.
const HELD_MS: u64 = 60_000;

/// Alice, bob and carol have talked in a private room, of which bob is the admin.
fn crew() -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    hub.act(BOB, "crew", RoomAction::Create { private: true });
    for who in ["alice", "carol"] {
        hub.act(BOB, "crew", RoomAction::Admit(name(who)));
    }
    for index in [ALICE, BOB, CAROL] {
        hub.say_in(index, "crew", "hello");
        hub.say_in(index, "lobby", "hello");
    }
    live(&mut hub);
    hub
}

/// The hub shows alice no key of zed's.
fn withhold(hub: &mut TestHub) {
    hub.faults.hides_kids = true;
    hub.faults.hides_keys.push((ALICE, name("zed")));
}

/// It shows them again.
fn show(hub: &mut TestHub) {
    hub.faults.hides_kids = false;
    hub.faults.hides_keys.clear();
    hub.faults.unknown_to.clear();
    hub.faults.deleted.clear();
    hub.tell_one_of_keys(ALICE, "zed");
    hub.run();
}

/// Zed is a member of the crew by bob's signature.
fn admit_zed(hub: &mut TestHub) {
    assert_eq!(hub.add("zed"), ZED);
    hub.run();
    hub.act(BOB, "crew", RoomAction::Admit(name("zed")));
    assert!(hub.roster(BOB, "crew").contains(&"zed".to_owned()));
}

fn last_text(hub: &TestHub, index: usize) -> String {
    hub.texts(index).pop().unwrap_or_default()
}

/// Alice was told once, that what she says does not reach zed.
fn assert_told_of_zed(hub: &TestHub) {
    let told = complaints(hub, ALICE, code::UNTRUSTED);
    let is_of_zed = |told: &String| told.contains("does not reach zed:");
    assert!(told.len() == 1 && told.iter().all(is_of_zed), "{told:?}");
}

/// Alice was told once, that somebody is in the lobby whom nobody has vouched for: zed.
fn assert_told_of_a_name(hub: &TestHub) {
    let is_told = |event: &Event| {
        matches!(event, Event::Announcement { text }
            if text.contains("in #lobby is a name that nobody has vouched for") && text.contains("(zed)"))
    };
    assert_eq!(hub.count(ALICE, is_told), 1);
    assert_eq!(complaints(hub, ALICE, code::UNTRUSTED), [""; 0]);
}

/// Goal: whoever says something is told of a newcomer whose signature nobody can show, at the first message behind
/// their link. Before: the list of devices was as it had been, the old key was used on, and nothing was told.
/// Method: the hub makes zed's join up, or zed joins and the hub shows alice no key of zed's.
#[test]
fn r40_a_newcomer_whose_join_cannot_be_verified_is_told_at_once() {
    for is_made_up in [true, false] {
        let mut hub = crew();
        withhold(&mut hub);
        if is_made_up {
            hub.make_up_link("lobby", "zed", Join);
        } else {
            assert_eq!(hub.add("zed"), ZED);
            hub.run();
        }
        let offered = hub.epochs_offered;
        hub.say_in(ALICE, "lobby", "one");
        assert_eq!(hub.epochs_offered, offered, "in the key that there was");
        assert_eq!(last_text(&hub, CAROL), "alice: one");
        assert_told_of_a_name(&hub);
        hub.say_in(ALICE, "lobby", "two");
        assert_told_of_a_name(&hub);
        if !is_made_up {
            show(&mut hub);
            hub.say_in(ALICE, "lobby", "three");
            assert_eq!(last_text(&hub, ZED), "alice: three");
            assert_told_of_a_name(&hub);
        }
    }
}

/// Goal: the same of a newcomer whom a member has let in. Before: of whom no device was held at all, nobody was ever
/// told, and no key named them. Method: the hub hides zed's keys from alice, or says to her that it knows nobody of
/// the name. It wants everybody's lines, as an honest one does: the room goes on all the same.
#[test]
fn r40_a_newcomer_by_a_members_signature_without_a_key_is_told_and_named() {
    for is_unknown in [true, false] {
        let mut hub = crew();
        hub.faults.counts_lines = true;
        withhold(&mut hub);
        if is_unknown {
            hub.faults.unknown_to.push((ALICE, name("zed")));
        }
        admit_zed(&mut hub);
        let offered = hub.epochs_offered;
        hub.say_in(ALICE, "crew", "one");
        assert_eq!(hub.epochs_offered, offered, "in the key that there was");
        assert_told_of_zed(&hub);
        let roster = hub.peers[ALICE].endpoint.roster(&crate::hub::room("crew")).expect("a room");
        assert_eq!(roster.left_out, [name("zed")]);

        hub.say_in(BOB, "crew", "two");
        assert_eq!(last_text(&hub, ZED), "bob: two");
        hub.now += HELD_MS;
        for text in ["three", "four", "five"] {
            hub.say_in(ALICE, "crew", text);
        }
        assert_eq!(last_text(&hub, BOB), "alice: five", "the hub takes the key that names zed");
        assert_eq!(hub.epoch_of("crew").1, ["alice", "bob", "carol"]);
        let told = complaints(&hub, BOB, code::MEMBERS);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("was not shown the one that you know"), "{told:?}");
        assert_told_of_zed(&hub);

        show(&mut hub);
        hub.say_in(ALICE, "crew", "six");
        assert_eq!(last_text(&hub, ZED), "alice: six");
        let roster = hub.peers[ALICE].endpoint.roster(&crate::hub::room("crew")).expect("a room");
        assert_eq!(roster.left_out, []);
    }
}

/// Goal: so is a newcomer of whom the hub says that the account was deleted. Before: that was told with the next key
/// only. Method: zed is let in; alice hears that zed is gone, and sees no key.
#[test]
fn r40_a_newcomer_who_is_called_deleted_is_told_at_once() {
    let mut hub = crew();
    assert_eq!(hub.add("zed"), ZED);
    hub.run();
    withhold(&mut hub);
    hub.faults.deleted = vec![name("zed")];
    hub.sign_link(BOB, "crew", (Admit, MemberArgument::None), ZED);
    hub.tell_head("crew");
    hub.run();
    for text in ["one", "two"] {
        hub.say_in(ALICE, "crew", text);
        let is_told = |event: &Event| matches!(event, Event::Announcement { text } if text.contains("not reach them: zed"));
        assert_eq!(hub.count(ALICE, is_told), 1);
    }
    assert_eq!(complaints(&hub, ALICE, code::UNTRUSTED), [""; 0]);
}

/// Goal: a member hides no newcomer by a key that names them before they have come. Whom a key names was told when it
/// was first used. Method: bob's key says that it leaves zed out; alice uses it, and then the hub makes zed's join up.
#[test]
fn r40_a_key_that_names_somebody_beforehand_hides_nobody() {
    let mut hub = crew();
    hub.faults.forged_without = vec![name("zed")];
    hub.forge_epoch(BOB, None);
    hub.give_keys_back();
    hub.run();
    let offered = hub.epochs_offered;
    hub.say_in(ALICE, "lobby", "among ourselves");
    assert_eq!(last_text(&hub, CAROL), "alice: among ourselves");
    withhold(&mut hub);
    hub.make_up_link("lobby", "zed", Join);
    assert_eq!(complaints(&hub, ALICE, code::UNTRUSTED), [""; 0]);
    hub.say_in(ALICE, "lobby", "one");
    assert_eq!(hub.epochs_offered, offered, "in bob's key");
    assert_told_of_a_name(&hub);
}

/// Goal: an honest hub that is slow causes no word: nothing is said before it has answered whose keys were asked for.
/// Method: zed is let into the crew, and joins the lobby; what alice says waits for zed's keys.
#[test]
fn r40_a_slow_answer_about_a_newcomers_keys_is_no_complaint() {
    let mut hub = crew();
    hub.faults.counts_lines = true;
    assert_eq!(hub.add("zed"), ZED);
    hub.run();
    let before = hub.texts(CAROL).len();
    hub.faults.hold_bundles = true;
    hub.sign_link(BOB, "crew", (Admit, MemberArgument::None), ZED);
    hub.tell_head("crew");
    // The answer about those who were there: the link is taken, and its newcomer asked for.
    hub.release_bundles();
    hub.faults.hold_bundles = true;
    hub.run();
    for room in ["crew", "lobby"] {
        hub.say_in(ALICE, room, "welcome");
    }
    assert!(hub.roster(ALICE, "crew").contains(&"zed".to_owned()), "the link has come");
    assert!(!hub.peers[ALICE].endpoint.known_names().contains(&name("zed")), "and no key");
    assert_eq!(hub.texts(CAROL).len(), before, "and what is said waits for the keys");
    hub.release_bundles();
    hub.run();
    let welcomed = hub.texts(ZED);
    assert_eq!(welcomed, ["alice: welcome", "alice: welcome"]);
    for index in [ALICE, BOB, CAROL, ZED] {
        let troubles = |event: &Event| {
            matches!(
                event,
                Event::Complaint { .. } | Event::Alarm { .. } | Event::Announcement { .. }
            )
        };
        assert_eq!(hub.count(index, troubles), 0, "{:?}", hub.peers[index].events);
    }
}

/// Goal: a member whom another process of the home has met is asked about first. Method: alice's second process has
/// taken in that zed was let in, and not zed's key; her first one, which the hub has told nothing, says something.
#[test]
fn r40_whom_another_process_has_met_is_asked_about_first() {
    for is_withheld in [false, true] {
        let mut hub = crew();
        let device = hub.peers[ALICE].endpoint.device().clone();
        let rows = hub.peers[ALICE].store.rows();
        let new =
            Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).expect("rows");
        let old = std::mem::replace(&mut hub.peers[ALICE].endpoint, new);
        withhold(&mut hub);
        hub.connect(ALICE);
        admit_zed(&mut hub);
        let mut other = std::mem::replace(&mut hub.peers[ALICE].endpoint, old);
        assert!(other.finish(hub.now).transmits.is_empty());
        if !is_withheld {
            hub.faults.hides_kids = false;
            hub.faults.hides_keys.clear();
        }
        let rows = hub.peers[ALICE].store.rows();
        hub.peers[ALICE].endpoint.reload(&rows).expect("rows");
        hub.say_in(ALICE, "crew", "welcome");
        assert_eq!(last_text(&hub, CAROL), "alice: welcome");
        if is_withheld {
            assert_told_of_zed(&hub);
        } else {
            assert_eq!(last_text(&hub, ZED), "alice: welcome");
            assert_eq!(complaints(&hub, ALICE, code::UNTRUSTED), [""; 0]);
        }
    }
}

/// Goal: who was named in a key that another process of the home has made is told with the next one. Before: neither with
/// that key nor with any later one, so that a hub which speaks to scripts alone hid it from every chat. Method: alice's
/// second process says something first, and is told; then her chat does, and the next day again.
#[test]
fn r40_whom_a_key_of_another_process_names_is_told_with_the_next_key() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let mut hub = crew();
    hub.faults.counts_lines = true;
    let device = hub.peers[ALICE].endpoint.device().clone();
    withhold(&mut hub);
    admit_zed(&mut hub);
    hub.say_in(BOB, "crew", "two");
    hub.now += HELD_MS;
    hub.say_in(ALICE, "crew", "in a key that names zed");
    assert_told_of_zed(&hub);
    // A new process of hers, which was told nothing.
    let rows = hub.peers[ALICE].store.rows();
    hub.disconnect(ALICE);
    hub.peers[ALICE].endpoint =
        Endpoint::new(device, &rows, Arc::default(), Box::new(SystemRandom)).expect("rows");
    hub.peers[ALICE].events.clear();
    hub.comes(ALICE);
    hub.say_in(ALICE, "crew", "in the same key");
    assert_eq!(complaints(&hub, ALICE, code::UNTRUSTED), [""; 0], "whom it names was told");
    hub.now += DAY_MS;
    hub.say_in(ALICE, "crew", "in the next key");
    assert_told_of_zed(&hub);
}
