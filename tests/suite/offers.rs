//! A hub that lies about shared files: what it lists under a name that has not signed it is neither
//! shown nor asked for (rule R32).

use std::sync::Arc;

use chat_evil_hub::offers::change_header;
use chat_protocol::b64;
use chat_tests::{Client, Finished, Program, Proxy, Rig, Server, TextRule};
use parking_lot::Mutex;
use serde_json::Value;

use super::files::{folder, share};

/// What the hub does to the offers of a FOUND.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    None,
    /// Mallory's stand under alice's name.
    Owner,
    /// A root that is mallory's file, and its size.
    RootAndSize,
    /// Another name.
    Name,
}

fn rewrite(lie: Lie, text: &str) -> Option<String> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    if message["tag"] != "FOUND" || lie == Lie::None {
        return None;
    }
    for found in message["offers"].as_array_mut()? {
        match lie {
            Lie::Owner => found["owner"] = "alice".into(),
            Lie::RootAndSize if found["owner"] == "alice" => {
                let root = format!("\"root\":\"{}\"", b64::encode(&[7; 32]));
                change_header(found, |header| {
                    let at = header.find("\"root\":").unwrap_or_default();
                    let end = at + root.len();
                    header.replace(&header[at..end], &root).replace("\"size\":8", "\"size\":9")
                });
            }
            Lie::Name if found["owner"] == "alice" => {
                let (from, to) = (b64::encode(b"plan.txt"), b64::encode(b"evil.txt"));
                change_header(found, |header| header.replace(&from, &to));
            }
            Lie::None | Lie::RootAndSize | Lie::Name => {}
        }
    }
    Some(message.to_string())
}

/// Alice and mallory share with everybody, directly at the server; bob looks through the proxy.
struct Scene {
    rig: Rig,
    lie: Arc<Mutex<Lie>>,
    proxy: Proxy,
    bob: Client,
    _sharing: [Program; 2],
    _server: Server,
}

impl Scene {
    fn new() -> Self {
        let rig = Rig::new();
        let server = rig.server();
        let lie = Arc::new(Mutex::new(Lie::None));
        let told = Arc::clone(&lie);
        let rule: TextRule = Box::new(move |text| rewrite(*told.lock(), text));
        let proxy = Proxy::rewriting(server.address(), rule);
        let sharing = [("alice", "plan.txt", "her plan"), ("mallory", "evil.txt", "his plan!")];
        let sharing = sharing.map(|(who, file, content)| {
            let keywords = format!("plan, {file}");
            let files: [(&str, &[u8]); 1] = [(file, content.as_bytes())];
            let shared = folder(&rig, &format!("shared-{who}"), &keywords, &files);
            share(&rig.client(who, server.url()), &shared, "ALL")
        });
        let bob = rig.client("bob", &proxy.url());
        Self { rig, lie, proxy, bob, _sharing: sharing, _server: server }
    }

    fn tell(&self, lie: Lie) {
        *self.lie.lock() = lie;
    }

    fn get(&self, name: &str) -> Finished {
        let target = self.rig.path("fetched");
        self.bob.run(&["get", "alice", name, "-o", target.to_str().unwrap()])
    }

    fn asked_for_bytes(&self) -> bool {
        let sent = self.proxy.sent_by_clients();
        sent.windows(12).any(|part| part == b"\"tag\":\"TAKE\"")
    }
}

/// Goal: a file that is listed under alice's name, or as another than she has signed, is refused before a
/// byte is asked for, with a word that says why. Method: the hub changes FOUND on its way to bob.
#[test]
fn what_alice_has_not_signed_is_refused_before_a_byte_is_asked_for() {
    let scene = Scene::new();
    for (lie, name) in
        [(Lie::Owner, "evil.txt"), (Lie::RootAndSize, "plan.txt"), (Lie::Name, "evil.txt")]
    {
        scene.tell(lie);
        let refused = scene.get(name).expect_code(7);
        let word = format!("the server lists {name} under alice's name; alice's key has not");
        assert!(refused.stderr.contains(&word), "{lie:?}: {refused:?}");
        let found = scene.bob.run(&["find", "plan", "--json"]).expect_code(0);
        let of_alice = |file: &&Value| file["owner"] == "alice" && file["name"] == name;
        let files = found.events_named("file");
        assert_eq!(files.iter().filter(of_alice).count(), 0, "{lie:?}: {found:?}");
        assert!(found.stderr.contains(&word), "{lie:?}: {found:?}");
    }
    assert!(!scene.asked_for_bytes(), "a TAKE was sent");
    // The chat says it as an alarm, and the same words stand in its list.
    let mut chat = scene.bob.chat();
    chat.stdout.wait_for_part("alice's key has not signed that");
    chat.type_line("/find plan");
    chat.stdout.wait_for_part("! the server lists evil.txt under alice's name");
    drop(chat);

    scene.tell(Lie::None);
    scene.get("plan.txt").assert_code(0);
    assert_eq!(std::fs::read(scene.rig.path("fetched")).unwrap(), b"her plan");
    assert!(scene.asked_for_bytes());
}
