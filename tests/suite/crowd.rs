//! As many people as one key can be made for (rule R42).

use std::path::Path;
use std::sync::Arc;

use chat_protocol::crypto::random;
use chat_protocol::frame::RawFrame;
use chat_protocol::header::MemberOperation;
use chat_protocol::id::{Digest, Nonce16};
use chat_protocol::limits::ROOM_PEOPLE_MAX;
use chat_protocol::name::ConversationId;
use chat_protocol::tag::label;
use chat_server::store::sqlite::{self, SqliteOptions};
use chat_server::store::{LogId, NewAccount, NewLink, Proposal, Store as _, Stored};
use chat_testkit::cid;
use chat_testkit::device::Device;
use chat_testkit::keys::keys;
use chat_tests::{Scene, types};

/// People who are put in with one transaction.
const BATCH: usize = 500;

/// A room and the end of its chain.
struct Room {
    cid: ConversationId,
    log: LogId,
    place: (u32, Digest),
}

impl Room {
    /// Somebody comes in.
    fn joined_by(&mut self, device: &Device) -> NewLink {
        let (header, frame) = device.link(&self.cid, MemberOperation::Join, self.place);
        let digest = RawFrame::decode(frame.clone()).expect("a frame").digest(label::MEMBER);
        self.place = (self.place.0 + 1, digest);
        NewLink {
            log: Some(self.log),
            header,
            digest,
            newcomers: Vec::new(),
            brought_by: None,
            frame,
        }
    }
}

/// Makes so many accounts that are in the lobby and in ALL, behind those who are there, in the data of a server
/// that does not run.
async fn crowd(data: &Path, people: usize) {
    let opened = sqlite::open(data, SqliteOptions::default(), Arc::default());
    let (mut store, _reads, snapshot) = opened.expect("opened");
    let everybodys = [cid("room:lobby"), cid("room:ALL")];
    let rows = snapshot.conversations.iter().filter(|row| everybodys.contains(&row.cid));
    let mut rooms: Vec<Room> = rows
        .map(|row| {
            let end = row
                .links
                .last()
                .map_or((0, Digest::ZERO), |(link, digest, _)| (link.mg + 1, *digest));
            Room { cid: row.cid.clone(), log: row.log, place: end }
        })
        .collect();
    for first in (0..people).step_by(BATCH) {
        let numbers = first..people.min(first + BATCH);
        let device = |n| Device::with_keys(&format!("c{n:04}"), keys(4), Nonce16(random()));
        let devices: Vec<Device> = numbers.map(device).collect();
        let account = |device: &Device| {
            let (name, bundle) = (device.user.clone(), Arc::new(device.bundle.clone()));
            let (password, vault, invite) = (None, None, None);
            Proposal::Account(Box::new(NewAccount { name, bundle, password, vault, invite }))
        };
        let made = store.commit(devices.iter().map(account).collect()).await.expect("stored");
        let mut links = Vec::new();
        for (device, made) in devices.iter().zip(made) {
            let Ok(Stored::Account(_, id)) = made.outcome else { panic!("{made:?}") };
            for room in &mut rooms {
                let link = NewLink { newcomers: vec![id], ..room.joined_by(device) };
                links.push(Proposal::Link(Box::new(link)));
            }
        }
        let linked = store.commit(links).await.expect("stored");
        assert!(linked.iter().all(|link| matches!(link.outcome, Ok(Stored::Link { .. }))));
    }
}

/// Goal: five thousand people are in the lobby and talk there, and who comes after them has an account without it, is told so
/// and writes to anybody. Before: no key of the lobby or ALL could be made by anybody any more, and newcomers were cut.
#[test]
fn who_comes_after_five_thousand_people_is_told_so_and_everybody_goes_on() {
    let mut scene = Scene::empty();
    let alice = scene.client("alice");
    let here = alice.chat();
    here.stdout.wait_for_part("you are in #lobby");
    here.finish().assert_code(0);
    scene.server.kill_hard();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("made").block_on(crowd(&scene.rig.data(), ROOM_PEOPLE_MAX - 1));
    scene.server.restart(&scene.rig, &[]);
    let mut here = alice.chat();
    let mut bob = scene.client("bob").chat();
    for room in ["#lobby", "ALL"] {
        let told = format!("{room} has {ROOM_PEOPLE_MAX} people, which is the most");
        bob.stdout.wait_for_part(&told);
    }
    types(&mut here, "are we all here?", "✓ stored for #lobby");
    bob.type_line("alice*I am");
    here.stdout.wait_for_part("bob → you: I am");
    assert!(!here.stdout.text().contains("ALARM"), "{}", here.stdout.text());
}
