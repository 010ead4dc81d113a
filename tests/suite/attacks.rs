//! Seven attacks of a hub through the real programs; `scripts/evil-hub.sh` runs all of them.

use chat_tests::attacks::attack;

#[track_caller]
fn comes_to_nothing(name: &str) {
    let report = attack(name).run();
    assert!(report.verdict.is_good(), "{name}: {report:?}");
}

#[test]
fn a_bundle_under_another_name_is_not_taken() {
    comes_to_nothing("another's bundle");
}

#[test]
fn what_is_given_to_others_is_not_read_by_them() {
    comes_to_nothing("redirected");
}

#[test]
fn a_receipt_that_bob_has_not_given_confirms_nothing() {
    comes_to_nothing("forged receipt");
}

#[test]
fn a_link_that_the_hub_has_made_lets_nobody_in() {
    comes_to_nothing("made-up link");
}

/// (The build before made the key no more, and took no note of where it stood: nobody was told.)
#[test]
fn a_removal_that_is_withheld_is_seen_however_its_key_is_cut_off() {
    comes_to_nothing("withheld removal, key cut");
}

#[test]
fn a_vault_in_clear_is_not_taken_from_a_hub() {
    comes_to_nothing("vault in clear");
}

/// (The build before said that the command does not start any more, and ran it twice.)
#[test]
fn a_command_that_was_given_up_is_not_asked_for_twice_and_its_answer_is_shown() {
    comes_to_nothing("command given up");
}

/// (The build before let it run on: what took it back named another frame of it.)
#[test]
fn a_command_is_taken_back_in_whichever_frame_it_came() {
    comes_to_nothing("earlier frame");
}
