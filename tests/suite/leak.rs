//! Nobody but sender and recipients sees a text or a password.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use chat_tests::{Client, PASSWORD, Proxy, Rig, messages, types};

/// Bytes of a text that are searched for: enough that chance finds none.
const TELLING: usize = 16;

/// `/broadcast {peer} ` is the longest that can stand before a text.
const BEFORE_TEXT: usize = 18;

type Needle = [u8; TELLING];

struct Search {
    needles: HashMap<Needle, String>,
    /// Whether a needle begins with these two bytes. That leaves out most places of the memory of a server.
    begins: Vec<bool>,
}

impl Default for Search {
    fn default() -> Self {
        Self { needles: HashMap::new(), begins: vec![false; 1 << 16] }
    }
}

/// The first two bytes of what may be a needle, as a number.
fn beginning(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
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
            self.begins[beginning(&form)] = true;
            self.needles.insert(form[..TELLING].try_into().unwrap(), what.to_owned());
        }
    }

    fn found_in(&self, hay: &[u8]) -> Vec<&str> {
        let windows = hay.windows(TELLING).filter(|window| self.begins[beginning(window)]);
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
    rig.emulator(&proxy.url()).run(&arguments).assert_code(0);
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

/// Texts, names of files, commands and what they print, each of its own and unlike anything else.
struct Canaries {
    salt: String,
    next: usize,
    all: Vec<String>,
    /// Words of commands, and what the commands print.
    commands: Vec<(String, String)>,
}

/// Marked messages, if the environment asks for no other number (`CHAT_CANARIES`).
const CANARIES: usize = 60;

/// For so many marked messages there is one marked file, and one marked command with its output.
const MESSAGES_PER_FILE: usize = 20;

impl Canaries {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            salt: format!("{:08x}", now.subsec_nanos()),
            next: 0,
            all: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// A command with a marked word that prints something else that is marked.
    fn marked_command(&mut self) {
        let pair = (self.hatch(), self.hatch());
        self.commands.push(pair);
    }

    /// One more: its first bytes alone tell it from all others.
    fn hatch(&mut self) -> String {
        self.next += 1;
        let canary = format!("{:05}kanarie{}gelb", self.next, self.salt);
        self.all.push(canary.clone());
        canary
    }

    fn search(&self) -> Search {
        let mut search = Search::default();
        for canary in &self.all {
            search.add(canary.as_bytes(), canary);
        }
        search
    }
}

/// Most of what an allocator and stacks hold was never written to. Unoptimised, a look through it takes minutes.
const PAGE: usize = 4_096;

/// What a process holds in memory that it can write, without pages of zeros alone: no needle has a zero in it, so none
/// reaches into one.
fn memory(pid: u32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let file = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [start, end] = [start, end].map(|place| u64::from_str_radix(place, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        // A page may go while this reads.
        if file.read_exact_at(&mut bytes, start).is_ok() {
            let written = bytes.chunks(PAGE).filter(|page| *page != [0; PAGE]);
            written.for_each(|page| all.extend_from_slice(page));
        }
    }
    all
}

/// What alice and bob do with each other, all of it marked: commands on his machine and what they print,
/// files with their names, messages.
fn marked_talk(rig: &Rig, url: &str, canaries: &mut Canaries) {
    let count = std::env::var("CHAT_CANARIES").map_or(CANARIES, |count| count.parse().unwrap());
    let (alice, bob) = (rig.client("alice", url), rig.client("bob", url));
    for _ in 0..count.div_ceil(MESSAGES_PER_FILE) {
        canaries.marked_command();
    }
    run_marked(rig, (&alice, &bob), canaries);
    share_marked(rig, (&alice, &bob), canaries, count.div_ceil(MESSAGES_PER_FILE));

    let texts: Vec<String> = (0..count).map(|_| canaries.hatch()).collect();
    let lines: Vec<String> = texts.iter().map(|text| format!("bob*{text}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    alice.pipe(&lines, &[]).assert_code(0);
    let count = count.to_string();
    let heard = bob.run(&["listen", "--count", &count, "--for", "60s", "--json"]).expect_code(0);
    assert_eq!(heard.texts(), texts);
}

/// Alice runs the marked commands on bob's machine, and reads what they print.
fn run_marked(rig: &Rig, (alice, bob): (&Client, &Client), canaries: &Canaries) {
    let said = alice.pipe(&["/fingerprint"], &[]).expect_code(0).stdout;
    let key = said.lines().find_map(|line| line.trim().strip_prefix("in a policy: ")).unwrap();
    let key = key.trim();
    let rule = format!(
        "[[rule]]\nwho = [{{ name = \"alice\", key = \"{key}\" }}]\nargv = [[\"printf\", \"**\"]]\n"
    );
    let policy = rig.write("policy.toml", &rule).display().to_string();
    let agent = bob.start(&["agent", "--policy", &policy]);
    agent.stderr.wait_for_part("accepting commands");
    let mut person = alice.chat();
    for (argument, output) in &canaries.commands {
        let (front, back) = output.split_at(output.len() / 2);
        types(
            &mut person,
            &format!("/run bob -- printf %s%s%.0s {front} {back} {argument}"),
            output,
        );
    }
}

/// Alice shares marked files with bob, who fetches them.
fn share_marked(
    rig: &Rig,
    (alice, bob): (&Client, &Client),
    canaries: &mut Canaries,
    count: usize,
) {
    let files: Vec<(String, String)> =
        (0..count).map(|_| (format!("{}.txt", canaries.hatch()), canaries.hatch())).collect();
    let keywords: Vec<String> = files.iter().map(|(name, _)| format!("plan, {name}")).collect();
    let content: Vec<(&str, &[u8])> =
        files.iter().map(|(name, content)| (name.as_str(), content.as_bytes())).collect();
    let folder = super::files::folder(rig, "marked", &keywords.join("; "), &content);
    let _sharing = super::files::share(alice, &folder, "bob");
    let target = rig.path("fetched");
    std::fs::create_dir_all(&target).unwrap();
    let mut person = bob.chat();
    person.type_line("/find plan");
    for number in 1..=files.len() {
        person.stdout.wait_for_part(&format!("{number}  alice"));
        person.type_line(&format!("/get {number} {}", target.display()));
    }
    let is_fetched = |line: &str| line.contains("is here, checked");
    person.stdout.wait_for_count(files.len(), is_fetched);
}

#[test]
fn the_hub_holds_no_canary_on_its_disk_in_its_logs_in_its_memory_or_on_the_wire() {
    let rig = Rig::new();
    let server = rig.server();
    let proxy = Proxy::start(server.address());
    let mut canaries = Canaries::new();
    marked_talk(&rig, &proxy.url(), &mut canaries);
    let memory = memory(server.program().pid());
    server.terminate().assert_code(0);
    let search = canaries.search();
    let places = [
        ("the memory of the server", memory),
        ("the data folder", all_files(&rig.data())),
        ("the logs", all_files(&rig.logs())),
        ("sent by clients", proxy.sent_by_clients()),
        ("sent by the server", proxy.sent_by_server()),
    ];
    for (place, bytes) in &places {
        assert!(contains(bytes, b"alice"), "{place} is not read");
        assert_eq!(search.found_in(bytes), Vec::<&str>::new(), "in {place}");
    }
    let fetched = all_files(&rig.path("fetched"));
    let files = canaries.commands.len();
    assert_eq!(search.found_in(&fetched).len(), files, "the search finds what is there");
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
