//! A hub that lies to one of its clients: every lie is shown, and what was withheld comes from its
//! sender.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use chat_protocol::frame::Binary;
use chat_protocol::header::Header;
use chat_protocol::tag::Tag;
use chat_testkit::middle::{Message, Passing};
use chat_tests::{Fate, Program, Proxy, Rig, Rule, Server};
use serde_json::Value;

/// Tag and counter of a delivery from alice; the counter of a KEY is 0.
fn of_alice(payload: &[u8]) -> Option<(Tag, u32)> {
    let Ok(Binary::Delivery(delivery)) = Binary::decode(payload.to_vec().into()) else {
        return None;
    };
    match Header::parse(delivery.frame.header()).ok()? {
        Header::Message(header) if header.from.as_str() == "alice" => Some((header.t, header.n)),
        Header::Key(header) if header.from.as_str() == "alice" => Some((Tag::Key, 0)),
        _ => None,
    }
}

/// One fate for alice's messages with these counters, the first time that each comes.
fn lie(fate: Fate, counters: &'static [u32]) -> Rule {
    let mut left = counters.to_vec();
    Box::new(move |payload| match of_alice(payload) {
        Some((Tag::Dm | Tag::Text, n)) if left.contains(&n) => {
            left.retain(|other| *other != n);
            fate
        }
        _ => Fate::Good,
    })
}

/// Alice writes directly to the server, bob listens behind the proxy.
struct Scene {
    rig: Rig,
    server: Server,
    proxy: Proxy,
    alice: Program,
    bob: Program,
}

impl Scene {
    fn new(rule: Rule) -> Self {
        let rig = Rig::new();
        let server = rig.server();
        let proxy = Proxy::lying(server.address(), rule);
        let bob = rig.client("bob", &proxy.url());
        bob.run(&["users"]).assert_code(0);
        let bob = bob.start(&["listen", "--for", "60s", "--json"]);
        let alice = rig.client("alice", server.url()).chat();
        Self { rig, server, proxy, alice, bob }
    }

    fn say(&mut self, text: &str) {
        self.alice.type_line(&format!("bob*{text}"));
    }

    /// Waits for an event of bob's.
    fn heard(&self, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let fits = |line: &str| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value["event"] == event && fits(&value)).then_some(value)
        };
        let line = self.bob.stdout.wait_for(event, |line| fits(line).is_some());
        fits(&line).unwrap()
    }

    fn text(&self, text: &str) -> Value {
        self.heard("message", |event| event["text"] == text)
    }

    /// Every text that bob was shown, in order, when all have come.
    fn end(self) -> Vec<String> {
        let Self { rig, server, proxy, alice, bob } = self;
        let texts = bob.stdout.text();
        drop((alice, bob, proxy, server, rig));
        let events = texts.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let texts = events.filter(|event| event["event"] == "message");
        texts.filter_map(|event| event["text"].as_str().map(str::to_owned)).collect()
    }
}

#[test]
fn what_a_hub_loses_is_shown_as_a_gap_and_heals() {
    let mut scene = Scene::new(lie(Fate::Lost, &[1, 2]));
    for text in ["zero", "one", "two", "three"] {
        scene.say(text);
    }
    let gap = scene.heard("gap", |gap| gap["from"] == "alice");
    assert_eq!((&gap["conversation"], &gap["missing"]), (&"dm".into(), &vec![1, 2].into()));
    let healed = scene.heard("healed", |healed| healed["from"] == "alice");
    assert_eq!((&healed["conversation"], &healed["n"]), (&"dm".into(), &vec![1, 2].into()));
    for text in ["one", "two"] {
        let message = scene.text(text);
        assert_eq!((&message["healed_by"], &message["verified"]), (&"alice".into(), &true.into()));
    }
    scene.alice.stdout.wait_for_count(4, |line| line.contains("✓✓ delivered to bob"));
    assert_eq!(scene.end(), ["zero", "three", "one", "two"]);
}

#[test]
fn what_a_hub_alters_is_an_alarm_and_heals() {
    let mut scene = Scene::new(lie(Fate::Altered(300), &[1]));
    for text in ["zero", "one", "two"] {
        scene.say(text);
    }
    let alarm = scene.heard("alarm", |alarm| alarm["user"] == "alice");
    assert_eq!(alarm["kind"], "bad_signature");
    let message = scene.text("one");
    assert_eq!(message["healed_by"], "alice");
    scene.heard("healed", |healed| healed["n"] == Value::from(vec![1]));
    scene.text("two");
    let mut texts = scene.end();
    texts.sort();
    assert_eq!(texts, ["one", "two", "zero"], "each once");
}

#[test]
fn what_a_hub_repeats_is_shown_once() {
    let mut scene = Scene::new(lie(Fate::Twice, &[0, 1]));
    for text in ["zero", "one", "two"] {
        scene.say(text);
    }
    scene.text("two");
    assert_eq!(scene.end(), ["zero", "one", "two"]);
}

#[test]
fn what_a_hub_swaps_is_shown_as_a_gap() {
    let mut scene = Scene::new(lie(Fate::Late, &[1]));
    for text in ["zero", "one", "two", "three"] {
        scene.say(text);
    }
    let gap = scene.heard("gap", |gap| gap["from"] == "alice");
    assert_eq!(gap["missing"], Value::from(vec![1]));
    scene.heard("healed", |healed| healed["n"] == Value::from(vec![1]));
    for text in ["one", "three"] {
        scene.text(text);
    }
    let mut texts = scene.end();
    texts.sort();
    assert_eq!(texts, ["one", "three", "two", "zero"], "each once");
}

#[test]
fn an_epoch_whose_key_a_hub_withholds_is_read_all_the_same() {
    let left = Arc::new(Mutex::new(1));
    let rule: Rule = Box::new(move |payload| {
        let mut left = left.lock().unwrap();
        let hit = *left > 0 && of_alice(payload).is_some_and(|(tag, _)| tag == Tag::Key);
        *left -= i32::from(hit);
        if hit { Fate::Lost } else { Fate::Good }
    });
    let mut scene = Scene::new(rule);
    for text in ["zero", "one"] {
        scene.say(text);
    }
    scene.heard("unreadable", |event| event["from"] == "alice");
    scene.heard("healed", |healed| healed["from"] == "alice");
    for text in ["zero", "one"] {
        scene.text(text);
    }
    let mut texts = scene.end();
    texts.sort();
    assert_eq!(texts, ["one", "zero"], "each once");
}

/// Goal: a server that signs a client in and cuts it at once is tried more and more slowly. Before: twenty
/// times a second, for ever.
#[test]
fn a_server_that_drops_its_clients_at_once_is_left_alone_longer_and_longer() {
    let rig = Rig::new();
    let server = rig.server();
    let (told, heard) = mpsc::channel();
    let middle = move |passing: Passing| {
        let is_live = |text: &str| text.contains(r#""tag":"LIVE""#);
        if matches!(&passing.message, Message::Text(text) if is_live(text)) {
            told.send(()).ok();
        }
        vec![passing]
    };
    let proxy = Proxy::through(server.address(), Box::new(middle), None);
    let mut bob = rig.client("bob", &proxy.url()).start(&["listen", "--for", "4s"]);
    let (began, mut sign_ins) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(4) {
        if heard.recv_timeout(Duration::from_millis(100)).is_ok() {
            sign_ins += 1;
            proxy.cut();
        }
    }
    bob.kill_hard();
    assert!((3..=15).contains(&sign_ins), "{sign_ins} sign-ins in 4 s");
}
