//! Nobody but sender and recipients sees a text or a password.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chat_tests::{PASSWORD, Proxy, Rig, messages};

/// Bytes of a text that are searched for: enough that chance finds none.
const TELLING: usize = 16;

/// `/broadcast {peer} ` is the longest that can stand before a text.
const BEFORE_TEXT: usize = 18;

type Needle = [u8; TELLING];

#[derive(Default)]
struct Search {
    needles: HashMap<Needle, String>,
}

impl Search {
    /// Looks for `text` as it is and in the encodings that would hide it from the eye.
    fn add(&mut self, text: &[u8], what: &str) {
        let mut forms = vec![text.to_vec()];
        let hex = text.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        forms.push(hex.clone().into_bytes());
        forms.push(hex.to_uppercase().into_bytes());
        // Base64 looks different for each place of the text in its group of three bytes.
        for skipped in 0..3 {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                forms.push(engine.encode(&text[skipped..]).into_bytes());
            }
        }
        for form in forms {
            self.needles.insert(form[..TELLING].try_into().unwrap(), what.to_owned());
        }
    }

    fn found_in(&self, hay: &[u8]) -> Vec<&str> {
        let windows = hay.windows(TELLING);
        let mut found: Vec<&str> = windows
            .filter_map(|window| {
                let needle: Needle = window.try_into().ok()?;
                self.needles.get(&needle).map(String::as_str)
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The ends of all lines of the file that are no commands and have enough text for certain.
fn texts() -> Vec<Vec<u8>> {
    let file = std::fs::read_to_string(messages()).unwrap();
    let is_command = |line: &str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("/run ") || line.starts_with("/cmd ")
    };
    let has_text = |line: &str| {
        let plain = !line.contains(['/', '*', '{']) && !line.starts_with("PM ");
        let before = if plain { 0 } else { BEFORE_TEXT };
        line.len() >= before + TELLING + 2
    };
    file.lines()
        .filter(|line| !line.starts_with('#') && !is_command(line) && has_text(line))
        .map(|line| line.as_bytes()[line.len() - TELLING - 2..].to_vec())
        .collect()
}

fn all_files(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(all_files(&path));
        } else {
            bytes.extend(std::fs::read(&path).unwrap());
            // Files do not continue each other.
            bytes.extend([0; TELLING]);
        }
    }
    bytes
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn no_text_and_no_password_is_on_the_wire_in_the_data_or_in_the_logs() {
    const PRIVATE: &str = "zeppelins over the custard factory";
    let rig = Rig::new();
    let server = rig.server();
    let proxy = Proxy::start(server.address());
    let file = messages().display().to_string();
    let arguments = ["--emulate", "8", "--per-client", "40", "--messages", &file, "--json"];
    rig.client("emulator", &proxy.url()).run(&arguments).assert_code(0);
    let alice = rig.client("alice", &proxy.url());
    rig.client("bob", &proxy.url()).run(&["users"]).assert_code(0);
    alice.run(&["send", "bob", PRIVATE]).assert_code(0);
    let bob = rig.client("bob", &proxy.url());
    let bob_hears = bob.run(&["listen", "--count", "1", "--for", "30s"]).expect_code(0);
    assert!(bob_hears.stdout.contains(PRIVATE));
    server.terminate().assert_code(0);

    let mut search = Search::default();
    let texts = texts();
    assert!(texts.len() > 150, "only {} texts to look for", texts.len());
    for text in &texts {
        search.add(text, &String::from_utf8_lossy(text));
    }
    search.add(PRIVATE.as_bytes(), PRIVATE);
    search.add(PASSWORD.as_bytes(), "the password");
    let places = [
        ("sent by clients", proxy.sent_by_clients()),
        ("sent by the server", proxy.sent_by_server()),
        ("the data folder", all_files(&rig.data())),
        ("the logs", all_files(&rig.logs())),
        ("the home", all_files(alice.home())),
    ];
    for (place, bytes) in &places {
        assert_eq!(search.found_in(bytes), Vec::<&str>::new(), "in {place}");
        // What is not secret is found, so the search looks at the right bytes.
        assert!(contains(bytes, b"alice") || *place == "the home", "no name in {place}");
    }
    let from_clients = places.first().map(|(_, bytes)| bytes.as_slice()).unwrap();
    assert!(contains(from_clients, b"emu-001"), "the frames of clients are not read");
}

#[test]
fn the_search_finds_what_is_there() {
    let mut search = Search::default();
    search.add(b"my handwriting is worse than the fog", "fog");
    let clear = "xx my handwriting is worse than the fog";
    for hay in [clear.to_owned(), STANDARD_NO_PAD.encode(clear), URL_SAFE_NO_PAD.encode(clear)] {
        assert_eq!(search.found_in(hay.as_bytes()), ["fog"]);
    }
    assert_eq!(search.found_in(b"my handwritings are worse than the fog"), Vec::<&str>::new());
}
