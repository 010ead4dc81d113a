//! Frames that were altered or come again, by the thousand: none is taken.

use bytes::Bytes;
use chat_endpoint::Event;
use chat_protocol::frame::{Delivery, RawFrame};

use super::{say, tell};
use crate::hub::{Fate, TestHub, lobby};

const REPLAYED: usize = 10_000;
const ALTERED: usize = 20_000;

/// splitmix64: enough for tests, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bound = u64::try_from(bound).expect("small");
        usize::try_from((mixed ^ (mixed >> 31)) % bound).expect("small")
    }
}

/// What a device was told that counts as taking a frame.
fn taken(hub: &TestHub, index: usize) -> usize {
    hub.count(index, |event| {
        matches!(
            event,
            Event::Message { .. }
                | Event::Command { .. }
                | Event::File { .. }
                | Event::Delivered { .. }
                | Event::Started { .. }
                | Event::Ended { .. }
                | Event::Gap { .. }
                | Event::MemberChanged { .. }
        )
    })
}

/// A world with some talk in several conversations and epochs.
fn world(dice: &mut Dice) -> TestHub {
    let mut hub = TestHub::with(&["alice", "bob", "carol"]);
    for step in 0..24 {
        let now = hub.now;
        let (who, text) = (dice.below(3), format!("step {step}"));
        match dice.below(4) {
            0 => hub.close_next = true,
            1 => drop(hub.peers[who].endpoint.say(now, &lobby(), &text)),
            _ => {
                let to = ["bob", "carol", "alice"][who];
                tell(&mut hub, who, to, &text);
            }
        }
        hub.run();
    }
    hub
}

/// Feeds one frame to bob, as the hub delivers it.
fn feed(hub: &mut TestHub, position: u64, frame: &[u8]) {
    let now = hub.now;
    let bytes = Delivery::encode(position, now, frame);
    hub.peers[1].endpoint.handle_binary(now, bytes);
}

/// Forgets what is only told.
fn drain(hub: &mut TestHub) {
    let now = hub.now;
    let peer = &mut hub.peers[1];
    for notification in peer.endpoint.finish(now).events {
        peer.events.push(notification.event);
        if let Some(key) = notification.key {
            peer.endpoint.consumed(key);
        }
    }
}

#[test]
fn no_replayed_and_no_altered_frame_is_taken() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(39);
    println!("SEED={seed}");
    let mut dice = Dice(seed);
    for round in 0..4usize {
        let mut hub = world(&mut dice);
        let frames: Vec<Bytes> = hub.frames_for(1);
        assert!(frames.len() >= 12, "SEED={seed}: {} frames", frames.len());
        let before = taken(&hub, 1);
        let mut position = 100_000;
        for _ in 0..REPLAYED / 4 {
            position += 1;
            let frame = frames[dice.below(frames.len())].clone();
            feed(&mut hub, position, &frame);
            drain(&mut hub);
        }
        assert_eq!(taken(&hub, 1), before, "SEED={seed}, round {round}: a replay was taken");

        // Altered ones meet a device that has the keys and has not seen the originals: bob's next.
        hub.close_next = false;
        say(&mut hub, 0, "the key of this epoch is known");
        let before = before + 1;
        let known = hub.frames_for(1).len();
        hub.rule = Some(Box::new(|index, _| if index == 1 { Fate::Lost } else { Fate::Good }));
        let now = hub.now;
        for number in 0..3 {
            let alice = &mut hub.peers[0].endpoint;
            alice.say(now, &lobby(), &format!("unseen {number}")).expect("a text");
        }
        hub.run();
        let unseen = hub.frames_for(1).split_off(known);
        let targets: Vec<Bytes> = frames.iter().cloned().chain(unseen.clone()).collect();
        for number in 0..ALTERED / 4 {
            position += 1;
            let target = if number % 2 == 0 { &unseen } else { &targets };
            let mut frame = target[dice.below(target.len())].to_vec();
            let at = dice.below(frame.len());
            frame[at] ^= 1 << dice.below(8);
            if RawFrame::decode(frame.clone().into()).is_ok() {
                feed(&mut hub, position, &frame);
                drain(&mut hub);
            }
        }
        hub.rule = None;
        drain(&mut hub);
        assert_eq!(taken(&hub, 1), before, "SEED={seed}, round {round}: an altered one was taken");
    }
}
