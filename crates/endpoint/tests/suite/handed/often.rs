//! Who hands over links without an end, or the same again and again, and what waits to be handed on: nobody starts over, and
//! nothing grows (rules R33, R39).

use std::collections::BTreeSet;

use chat_endpoint::RoomAction;
use chat_endpoint::limits::{HANDED_ASKS_MAX, REPAIR_AGAIN_MS};
use chat_protocol::content::healing::LinkRun;
use chat_protocol::frame::{Unsigned, sign_all};
use chat_protocol::header::{Canonical as _, MemberArgument, MemberHeader, MemberOperation};
use chat_protocol::id::{Digest, MessageId};
use chat_protocol::tag::label;

use super::*;

/// Oliver comes into the lobby as the first of all, which its chain does not say: one of any number of such links.
fn comes_first(hub: &TestHub, at: u8) -> Grant {
    let device = hub.peers[OLIVER].endpoint.device().clone();
    let cid = ConversationId::room(&lobby());
    let link = MemberHeader {
        v: 1,
        t: Tag::Member,
        cid: cid.clone(),
        from: device.user.clone(),
        sk: device.keys.signing_id(),
        op: MemberOperation::Join,
        who: device.user.clone(),
        ik: device.bundle.identity(),
        arg: MemberArgument::None,
        mg: 0,
        pm: Digest::ZERO,
        id: MessageId([at; 16]),
        ts: hub.now,
    };
    let frame = Unsigned::new(label::MEMBER, link.to_bytes(), Vec::new());
    let frame = sign_all(&device.keys.signing, &[frame]).remove(0);
    let links = vec![LinkRun { cid, mg: 0, frames: vec![B64Vec(frame.to_vec())] }];
    Grant { links, ..Grant::default() }
}

fn many(hub: &TestHub, ids: std::ops::Range<u8>) -> Vec<Grant> {
    ids.map(|at| comes_first(hub, at)).collect()
}

/// Goal: who hands over one end of a chain after the other makes a device tell the server a few times, and not more.
/// Before: of each, and the view of the room began anew with each.
#[test]
fn links_without_an_end_are_told_a_few_times() {
    let mut hub = three();
    let (since, told) = (hub.now, hub.reminds_heard);
    let grants = many(&hub, 0..40);
    for (turn, grants) in grants.chunks(10).enumerate() {
        hand(&mut hub, ALICE, grants.to_vec());
        say_at_once(&mut hub, &format!("nobody waits, {turn}"));
    }
    assert!(hub.now - since < REPAIR_AGAIN_MS, "this tests nothing");
    let told = hub.reminds_heard - told;
    assert!((1..=usize::try_from(HANDED_ASKS_MAX).unwrap()).contains(&told), "{told} times");
}

/// Goal: what the server puts off of the links of a room is one message, however many are handed over.
/// Before: each was said again for ever, with all that was known of its signer.
#[test]
fn links_that_the_server_puts_off_are_told_in_one_message() {
    let mut hub = three();
    hub.faults.puts_off_reminders = usize::MAX;
    let grants = many(&hub, 0..6);
    hand(&mut hub, ALICE, grants);
    says_little(&mut hub);
    // When the server has room, the next ones are told, too.
    hub.faults.puts_off_reminders = 0;
    hub.run();
    let told = hub.links_reminded;
    let grants = many(&hub, 6..7);
    hand(&mut hub, ALICE, grants);
    assert_eq!(hub.links_reminded, told + 1);
}

/// Goal: what is on its way for a room goes on when links of it are handed over.
/// Before: it was thrown away, so whoever hands over one link after the other kept a room from being seen at all.
#[test]
fn links_that_are_handed_over_leave_what_is_on_its_way() {
    let mut hub = three();
    hub.faults.hold_bundles = true;
    hub.tell_one_of_keys(ALICE, "bob");
    says(&mut hub, ALICE, "when the view has come");
    let (asked, told) = (hub.bundles_asked, hub.links_reminded);
    let grants = many(&hub, 0..3);
    hand(&mut hub, ALICE, grants);
    assert!(hub.links_reminded > told, "this tests nothing");
    assert_eq!(hub.bundles_asked, asked);
    hub.release_bundles();
    hub.run();
    assert!(hub.texts(BOB).contains(&"alice: when the view has come".to_owned()));
}

/// How many messages alice's device has brought to the server that hand something to bob's.
fn grants_to_bob(hub: &TestHub) -> usize {
    let said = hub.seen.iter().filter_map(|frame| said(frame));
    let grants = said.filter(|said| said.t == Tag::Grant && said.from == name("alice"));
    grants.map(|said| said.id).collect::<BTreeSet<MessageId>>().len()
}

/// Goal: a revocation is handed to a writer once, in however many rooms they seal for that key: who is handed too much
/// passes over what comes next. Before: once for each room.
#[test]
fn a_revocation_is_handed_over_once_for_all_rooms() {
    let (mut hub, _, lost) = with_laptop_of_both();
    let rooms = ["crew", "ops"];
    for room in rooms {
        hub.act(ALICE, room, RoomAction::Create { private: false });
        for index in [BOB, OLIVER] {
            hub.act(index, room, RoomAction::Join { create: false });
        }
        for index in [ALICE, BOB] {
            hub.say_in(index, room, "to all");
        }
    }
    (hub.faults.forgets_reminders, hub.faults.counts_lines) = (true, false);
    let revoking = next_of(&hub, OLIVER, vec![lost]);
    hand_over(&mut hub, &[&revoking]);
    keep_from_bob(&mut hub);
    hub.now += HELD_MS;
    says(&mut hub, BOB, "to the laptop, too");
    for room in rooms {
        hub.say_in(BOB, room, "to the laptop, too");
    }
    assert!(is_for(&hub, lost), "this tests nothing");
    assert_eq!(grants_to_bob(&hub), 1);
}

/// Goal: what is to be handed over and waits for the server is kept once. Before: one more of it every ten minutes.
#[test]
fn what_waits_to_be_handed_over_is_not_drafted_again() {
    let (mut hub, lost) = with_laptop_shut_out();
    keep_from_bob(&mut hub);
    hub.faults.hold_answers = true;
    for text in ["one", "two", "three", "four"] {
        hub.now += REPAIR_AGAIN_MS + HELD_MS;
        says(&mut hub, BOB, text);
    }
    assert!(is_for(&hub, lost), "this tests nothing");
    assert_eq!(grants_to_bob(&hub), 1);
    // Also on the next connection.
    hub.disconnect(ALICE);
    hub.comes(ALICE);
    for text in ["five", "six"] {
        hub.now += REPAIR_AGAIN_MS + HELD_MS;
        says(&mut hub, BOB, text);
    }
    assert_eq!(grants_to_bob(&hub), 1);
}
