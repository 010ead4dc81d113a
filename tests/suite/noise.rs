//! Ignoring, muting, being away, and what one device has read: on all devices of a person.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_protocol::frame::Binary;
use chat_testkit::middle::{Message, Passing, Way};
use chat_tests::{Program, Proxy, Rig, Scene, Terminal, types};
use parking_lot::Mutex;
use serde_json::Value;

/// What is set on one device is set on the other within this time while both are connected.
const SOON: Duration = Duration::from_secs(1);

/// Columns and rows: what is new has room in the status line.
const WIDE: (u16, u16) = (120, 30);

/// Two machines of alice, at their prompts.
fn machines(scene: &Scene) -> [Program; 2] {
    machines_at(scene, scene.url())
}

/// The same, connected to this address.
fn machines_at(scene: &Scene, url: &str) -> [Program; 2] {
    ["alice-desk", "alice-laptop"].map(|home| {
        let client = scene.rig.client("alice", url).with_home(scene.rig.path(home));
        let program = client.chat();
        program.stdout.wait_for_part("you are in #lobby");
        program
    })
}

/// Types a line at one machine and waits for what the other one says of it.
#[track_caller]
fn passes(from: &mut Program, to: &Program, line: &str, part: &str) -> Duration {
    let begun = Instant::now();
    from.type_line(line);
    to.stdout.wait_for_part(part);
    begun.elapsed()
}

/// Goal: what somebody says who is ignored is hidden on every device, confirmed as ever, and shown again later.
#[test]
fn an_ignored_person_is_hidden_everywhere_and_is_not_told() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let [mut desk, mut laptop] = machines(&scene);
    // What the first message between the two makes is made.
    passes(&mut desk, &laptop, "/mute #nowhere", "#nowhere is muted");
    let took = passes(&mut desk, &laptop, "/ignore bob", "what bob says is hidden");
    assert!(took < SOON, "{took:?}");
    scene.rig.write("plan.pdf", "a plan");
    bob.type_line("/send plan.pdf alice");
    bob.stdout.wait_for_part("plan.pdf");
    bob.type_line("alice*a secret");
    bob.type_line("in the lobby");
    bob.stdout.wait_for_count(2, |line| line.contains("delivered to alice"));
    // What was offered before those lines is there, and nobody takes what they have not seen.
    types(&mut desk, "/accept", "nobody offers a file");
    passes(&mut laptop, &desk, "/unignore bob", "what bob says is shown again");
    types(&mut desk, "/transfers", "plan.pdf");
    bob.type_line("alice*louder");
    for machine in [&desk, &laptop] {
        machine.stdout.wait_for_part("louder");
        let said = machine.stdout.text();
        assert!(!said.contains("a secret") && !said.contains("in the lobby"), "{said}");
    }
    assert!(!bob.stdout.text().contains("ignore"));
}

/// Goal: of whom one ignores nothing is taken without asking, whatever was wanted of them before; it stays on offer. (The
/// build before fetched it without a word.)
#[test]
fn nothing_is_taken_without_asking_of_whom_one_ignores() {
    let (scene, [mut alice]) = Scene::with(["alice"]);
    let folder = scene.rig.path("taken");
    std::fs::create_dir(&folder).unwrap();
    let options = ["--downloads", folder.to_str().unwrap(), "--accept-from", "alice"];
    let mut bob = scene.client("bob").start(&options);
    bob.stdout.wait_for_part("connected to");
    for name in ["hidden.txt", "wanted.txt"] {
        scene.rig.write(name, name);
    }
    types(&mut bob, "/ignore alice", "what alice says is hidden");
    types(&mut alice, "/send hidden.txt bob", "hidden.txt");
    types(&mut alice, "bob*behind it", "delivered to bob");
    types(&mut bob, "/unignore alice", "what alice says is shown again");
    types(&mut alice, "/send wanted.txt bob", "wanted.txt");
    bob.stdout.wait_for("the file", |line| {
        line.contains("wanted.txt") && line.contains("is here, checked")
    });
    let names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["wanted.txt"]);
    types(&mut bob, "/accept", "hidden.txt");
    bob.stdout.wait_for("the other file", |line| {
        line.contains("hidden.txt") && line.contains("is here, checked")
    });
}

/// Goal: whatever a person sets for all of their devices is there within a second while both are connected.
#[test]
fn what_is_set_reaches_another_machine_within_a_second() {
    let (scene, [_bob]) = Scene::with(["bob"]);
    let [mut desk, mut laptop] = machines(&scene);
    // What the first message between the two makes is made, on both.
    passes(&mut desk, &laptop, "/mute #nowhere", "#nowhere is muted");
    passes(&mut laptop, &desk, "/unmute #nowhere", "#nowhere is muted no more");
    for (line, part) in [
        ("/mute #plans", "#plans is muted:"),
        ("/unmute #plans", "#plans is muted no more"),
        ("/ignore bob", "what bob says is hidden"),
        ("/unignore bob", "what bob says is shown again"),
        ("/away at the sea", "you are away (at the sea)"),
        ("/back", "you are back"),
    ] {
        let took = passes(&mut desk, &laptop, line, part);
        assert!(took < SOON, "{line}: {took:?}");
    }
}

/// What was read on one device is read on the other within this time, also while the machine has much to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Goal: what one reads, ignores and mutes on one machine, and that one is away, is so on the other: soon while both are there,
/// and else when it comes.
#[test]
fn what_is_read_reaches_another_machine_soon_and_one_that_was_away_when_it_comes() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let at = |home: &str| {
        let chat = scene.client("alice").with_home(scene.rig.path(home)).at_full_screen(WIDE, "");
        chat.wait_until_seen("connected to");
        chat
    };
    let (mut desk, mut laptop) = (at("alice-desk"), at("alice-laptop"));
    // What the first message between the two makes is made, on both.
    desk.type_line("/mute #nowhere");
    laptop.wait_until_seen("#nowhere is muted");
    laptop.type_line("/unmute #nowhere");
    desk.wait_until_seen("#nowhere is muted no more");
    bob.type_line("alice*one");
    for machine in [&desk, &laptop] {
        machine.wait_until_seen("bob(1,1)");
    }
    let begun = Instant::now();
    laptop.type_line("/query bob");
    let is_read = desk.is_seen_within(PATIENCE, |picture| !picture.contains("bob(1,1)"));
    assert!(is_read, "{:?}:\n{}", begun.elapsed(), desk.picture());
    desk.type_line("/quit");
    assert_eq!(desk.wait(), Some(0));

    // The other one is away now.
    laptop.wait_until_seen("bob: one");
    laptop.type_line("/room lobby");
    laptop.wait_until_gone("bob: one");
    bob.type_line("alice*two");
    laptop.wait_until_seen("bob(1,1)");
    laptop.type_line("/query bob");
    laptop.wait_until_seen("bob: two");
    for (line, part) in [
        ("/mute #plans", "#plans is muted"),
        ("/ignore carol", "what carol says is hidden"),
        ("/away at the sea", "you are away (at the sea)"),
    ] {
        laptop.type_line(line);
        laptop.wait_until_seen(part);
    }
    laptop.type_line("/quit");
    assert_eq!(laptop.wait(), Some(0));
    bob.type_line("alice*three");
    let mut desk = at("alice-desk");
    for part in ["#plans is muted", "what carol says is hidden", "you are away (at the sea)"] {
        desk.wait_until_seen(part);
    }
    // It is said to have come once it was shown: two of them would be new here, if one was not read elsewhere.
    bob.stdout.wait_for_count(3, |line| line.contains("delivered to alice"));
    desk.wait_until_seen("bob(1,1)");
    desk.type_line("/quit");
    assert_eq!(desk.wait(), Some(0));
}

/// What alice's machines have sent to the hub.
type Sent = Arc<Mutex<Vec<Message>>>;

/// A proxy that notes it.
fn noted(scene: &Scene) -> (Proxy, Sent) {
    let sent = Sent::default();
    let notes = Arc::clone(&sent);
    let middle = move |passing: Passing| {
        if passing.way == Way::ToHub {
            notes.lock().push(passing.message.clone());
        }
        vec![passing]
    };
    (Proxy::through(scene.server.address(), Box::new(middle), None), sent)
}

/// The headers of the frames among these.
fn headers(sent: &[Message]) -> Vec<Value> {
    let frames = sent.iter().filter_map(|message| match message {
        Message::Binary(bytes) => Some(bytes),
        Message::Text(_) | Message::SignedIn(_) => None,
    });
    let header = |bytes: &Bytes| match Binary::decode(bytes.clone()) {
        Ok(Binary::Frame(frame)) => serde_json::from_slice(frame.header()).unwrap(),
        other => panic!("no frame: {other:?}"),
    };
    frames.map(header).collect()
}

/// Goal: of what is set a hub sees that something was said to oneself, and nothing of what, of whom or where. Method: each
/// message that alice's machines send from then on is looked at.
#[test]
fn a_hub_sees_of_what_is_set_that_something_was_said_to_oneself() {
    let (scene, [_bob]) = Scene::with(["bob"]);
    let (proxy, sent) = noted(&scene);
    let [mut desk, mut laptop] = machines_at(&scene, &proxy.url());
    passes(&mut desk, &laptop, "/mute #nowhere", "#nowhere is muted");
    passes(&mut laptop, &desk, "/unmute #nowhere", "#nowhere is muted no more");
    let before = sent.lock().len();
    passes(&mut desk, &laptop, "/ignore bob", "what bob says is hidden");
    passes(&mut desk, &laptop, "/mute #plans", "#plans is muted:");
    passes(&mut laptop, &desk, "/away at-the-sea", "you are away (at-the-sea)");
    let sent: Vec<Message> = sent.lock().split_off(before);
    for message in &sent {
        let bytes: &[u8] = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            other @ Message::SignedIn(_) => panic!("{other:?}"),
        };
        for word in ["bob", "plans", "at-the-sea", "ignore", "mute"] {
            let is_there = bytes.windows(word.len()).any(|one| one == word.as_bytes());
            assert!(!is_there, "{word}: {message:?}");
        }
    }
    let mut said = 0;
    for header in headers(&sent) {
        assert_eq!(header["cid"], "dm:alice:alice", "{header}");
        assert!(["DM", "ACK"].contains(&header["t"].as_str().unwrap()), "{header}");
        said += usize::from(header["t"] == "DM");
    }
    assert!(said >= 3, "{said}: {sent:?}");
}

/// Two machines of alice at their full screens, connected to this address, that have said something to each other: what the
/// first message between the two makes is made, on both.
fn screens_at(scene: &Scene, url: &str) -> [Terminal; 2] {
    let [mut desk, mut laptop] = ["alice-desk", "alice-laptop"].map(|home| {
        let client = scene.rig.client("alice", url).with_home(scene.rig.path(home));
        let chat = client.at_full_screen(WIDE, "");
        chat.wait_until_seen("connected to");
        chat
    });
    desk.type_line("/mute #nowhere");
    laptop.wait_until_seen("#nowhere is muted");
    laptop.type_line("/unmute #nowhere");
    desk.wait_until_seen("#nowhere is muted no more");
    [desk, laptop]
}

/// Goal: what is read on one machine is read on the other within a second, over the connection that is there. Method: most of
/// several times count, because a machine that has much to do may be late once; and nobody signs in meanwhile.
#[test]
fn what_is_read_on_one_machine_is_read_on_the_other_within_a_second() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (proxy, sent) = noted(&scene);
    let sign_ins = || {
        let is_one = |message: &&Message| match message {
            Message::Text(text) => text.contains(r#""tag":"AUTH""#),
            Message::Binary(_) | Message::SignedIn(_) => false,
        };
        sent.lock().iter().filter(is_one).count()
    };
    let [mut desk, mut laptop] = screens_at(&scene, &proxy.url());
    let before = sign_ins();
    assert!(before >= 2, "{before}");
    let mut took = Vec::new();
    for round in 1..=5 {
        bob.type_line(&format!("alice*number {round}"));
        for machine in [&desk, &laptop] {
            machine.wait_until_seen("bob(1,1)");
        }
        let begun = Instant::now();
        laptop.type_line("/query bob");
        desk.wait_until_gone("bob(1,1)");
        took.push(begun.elapsed());
        laptop.wait_until_seen(&format!("bob: number {round}"));
        laptop.type_line("/room lobby");
        laptop.wait_until_seen("▸2 #lobby");
    }
    took.sort();
    assert!(took[2] < SOON, "{took:?}");
    assert_eq!(sign_ins(), before, "nobody needed another connection");
    for machine in [&mut desk, &mut laptop] {
        machine.type_line("/quit");
        assert_eq!(machine.wait(), Some(0));
    }
}

/// Goal: of what was read a hub sees that something was said to oneself, and not where. Method: each frame that alice's
/// machines send from then on is looked at; that a message has come was confirmed before anybody read it.
#[test]
fn a_hub_sees_of_what_was_read_that_something_was_said_to_oneself() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (proxy, sent) = noted(&scene);
    let [mut desk, mut laptop] = screens_at(&scene, &proxy.url());
    types(&mut bob, "alice*one", "delivered to alice");
    for machine in [&desk, &laptop] {
        machine.wait_until_seen("bob(1,1)");
    }
    let before = sent.lock().len();
    laptop.type_line("/query bob");
    desk.wait_until_gone("bob(1,1)");
    let since = sent.lock().split_off(before);
    let all = headers(&since);
    // The other machine may confirm bob's message late.
    let said: Vec<&Value> = all.iter().filter(|header| header["t"] != "ACK").collect();
    assert!(!said.is_empty(), "{all:?}");
    for header in said {
        assert_eq!((&header["t"], &header["cid"]), (&"DM".into(), &"dm:alice:alice".into()));
    }
    let in_clear = since.iter().filter_map(|message| match message {
        Message::Text(text) => Some(text),
        Message::Binary(_) | Message::SignedIn(_) => None,
    });
    for text in in_clear {
        assert!(!text.contains("read:"), "{text}");
    }
    for machine in [&mut desk, &mut laptop] {
        machine.type_line("/quit");
        assert_eq!(machine.wait(), Some(0));
    }
}

/// What was read waits so long at most before it is told, and some more.
const TOLD_BY_THEN: Duration = Duration::from_millis(600);

/// Goal: what is set without a connection, and what is read, is so on the other machine once there is one. (The build before
/// forgot what was read.)
#[test]
fn what_is_set_and_read_without_a_connection_is_told_with_the_next_one() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let [mut desk, mut laptop] = screens_at(&scene, scene.url());
    bob.type_line("alice*one");
    for machine in [&desk, &laptop] {
        machine.wait_until_seen("bob(1,1)");
    }
    laptop.type_line("/disconnect");
    laptop.wait_until_seen("disconnected; /connect connects again");
    laptop.type_line("/query bob");
    laptop.wait_until_seen("bob: one");
    let set = [
        ("/mute #plans", "#plans is muted"),
        ("/ignore carol", "what carol says is hidden"),
        ("/away at the sea", "you are away (at the sea)"),
    ];
    for (line, part) in set {
        laptop.type_line(line);
        laptop.wait_until_seen(part);
    }
    // It would have been told by now, to nobody.
    laptop.is_seen_within(TOLD_BY_THEN, |_| false);
    desk.type_line("/ignore");
    desk.wait_until_seen("you ignore nobody");
    assert!(desk.picture().contains("bob(1,1)"), "{}", desk.picture());
    laptop.type_line("/connect");
    desk.wait_until_gone("bob(1,1)");
    for (_, part) in set {
        desk.wait_until_seen(part);
    }
    for machine in [&mut desk, &mut laptop] {
        machine.type_line("/quit");
        assert_eq!(machine.wait(), Some(0));
    }
}

/// Goal: what was set while a machine was away is set there when it comes back, also on a machine that is new.
#[test]
fn what_is_set_reaches_a_machine_that_was_away_and_one_that_is_new() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let [mut desk, laptop] = machines(&scene);
    laptop.finish().assert_code(0);
    types(&mut desk, "/ignore bob", "what bob says is hidden");
    let homes = ["alice-laptop", "alice-new"].map(|home| scene.rig.path(home));
    let mut seen = 0;
    for home in homes {
        let client = scene.client("alice").with_home(home);
        let mut machine = client.chat();
        machine.stdout.wait_for_part("what bob says is hidden");
        types(&mut machine, "/ignore", "  bob");
        seen += 1;
        bob.type_line("alice*unheard");
        bob.stdout.wait_for_count(seen, |line| line.contains("delivered to alice"));
        let ended = machine.finish().expect_code(0);
        assert!(!ended.stdout.contains("unheard"), "{ended:?}");
    }
    let again = scene.client("alice").with_home(scene.rig.path("alice-laptop"));
    let kept = again.pipe(&["/ignore"], &[]).expect_code(0);
    assert!(kept.stdout.contains("  bob"), "it is in the home: {kept:?}");
}

/// Goal: whoever writes to somebody who is away is told once, and such an answer is never answered.
#[test]
fn somebody_away_answers_each_person_once_and_no_answer() {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let [mut desk, laptop] = machines(&scene);
    types(&mut bob, "/away out for lunch", "you are away (out for lunch)");
    passes(&mut desk, &laptop, "/away at the sea", "you are away (at the sea)");
    types(&mut bob, "alice*are you there", "alice is away: at the sea");
    types(&mut desk, "/history bob", "(away) at the sea");
    bob.type_line("alice*and now");
    desk.stdout.wait_for_part("bob → you: and now");
    types(&mut desk, "bob*back soon", "bob is away: out for lunch");
    bob.stdout.wait_for_part("alice → you: back soon");
    desk.type_line("bob*really");
    bob.stdout.wait_for_part("alice → you: really");
    passes(&mut desk, &laptop, "/back", "you are back");
    bob.type_line("alice*welcome");
    desk.stdout.wait_for_part("bob → you: welcome");
    let (bob, desk) = (bob.finish().expect_code(0), desk.finish().expect_code(0));
    assert_eq!(bob.stdout.matches("alice is away").count(), 1, "{bob:?}");
    assert_eq!(desk.stdout.matches("bob is away").count(), 1, "{desk:?}");
}

/// Goal: a muted room is no noise at a prompt unless it names one; what a script reads is whole.
#[test]
fn a_muted_room_is_silent_at_a_prompt_unless_it_names_one() {
    let rig = Rig::new();
    let scene = Scene { server: rig.server(), rig };
    let mut bob = scene.person("bob");
    let mut alice = scene.at_terminal("alice");
    alice.type_line("/join ops");
    alice.wait_for("#ops>");
    types(&mut bob, "/join ops", "you are in #ops");
    alice.type_line("/mute #ops");
    alice.wait_for("#ops is muted");
    alice.type_line("/room lobby");
    alice.wait_for("alice #lobby>");
    bob.type_line("nobody in particular");
    bob.type_line("but alice, look");
    alice.wait_for("but alice, look");
    assert!(!alice.text().contains("nobody in particular"));
    alice.type_line("/unread");
    alice.wait_for("#ops: 2 messages new, 1 for you");
    alice.type_line("/room ops");
    alice.wait_for("alice #ops>");
    alice.type_line("/unread");
    alice.wait_for("nothing is new");
    alice.type_line("/quit");
}

/// Goal: what was read on one device is not new on the other.
#[test]
fn what_one_machine_has_read_is_not_new_on_the_other() {
    let rig = Rig::new();
    let scene = Scene { server: rig.server(), rig };
    let mut bob = scene.person("bob");
    let mut desk = scene.at_terminal("alice");
    let client = scene.client("alice").with_home(scene.rig.path("alice-laptop"));
    let mut laptop = client.at_terminal_before(&[], "");
    laptop.wait_for("connected to");
    types(&mut bob, "alice*one", "delivered to alice");
    types(&mut bob, "alice*two", "delivered to alice");
    for machine in [&desk, &laptop] {
        machine.wait_for("bob → you: two");
    }
    desk.type_line("/unread");
    desk.wait_for("the talk between alice and bob: 2 messages new, 2 for you");
    laptop.type_line("/query bob");
    laptop.wait_for("alice bob>");
    // The mark may be on its way.
    let begun = Instant::now();
    loop {
        desk.type_line("/unread");
        let shown = ["nothing is new", "messages new"];
        if desk.wait_for_one(&shown) == 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", desk.text());
    }
    for machine in [&mut desk, &mut laptop] {
        machine.type_line("/quit");
    }
}
