//! Writes the corpora anew from the vectors, the examples of the protocol and the lists below:
//! `cargo test --workspace --test seeds -- --ignored`. What a fuzzer has found stays.
#![expect(
    clippy::unwrap_used,
    clippy::format_collect,
    clippy::needless_for_each,
    reason = "a test may panic: that is how it says what went wrong"
)]

use std::path::{Path, PathBuf};

use chat_protocol::crypto::sha256;
use chat_protocol::frame::{Delivery, RawFrame, Upload};
use chat_protocol::id::Digest;
use chat_protocol::{b64, vault};
use serde_json::Value;

const SHOWN: [&str; 7] = [
    "hello, lobby",
    "\u{1b}[2J\u{1b}]52;c;aGk=\u{7}a\r\nb\tc\rd",
    "\u{9b}31mred\u{90}x\u{9c}",
    "user\u{202e}txt.exe\u{2066}\u{2069}",
    "Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}algo",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{200b}\u{feff}",
    "räume \u{fffd} \u{7f}",
];

const KEYWORDS: [&str; 6] = [
    "# what I give to everybody\nplan, plans/2026.pdf; räume, plans/2026.pdf\n",
    "notes, \"notes, old.txt\"\n\n[room ops]\nrunbook, ops/runbook.md\n[user bob]\nphoto, bob.jpg\n",
    "a,\n b ; \"c;d\" , \"e \"\"f\"\" g\"",
    "[everybody]\r\nx, ../../etc/passwd\r\ny, /etc/passwd\r\n",
    "[room no such room!]\nz, file\n[everybody]\n",
    ";;,,\"\n\u{feff}#",
];

const POLICIES: [&str; 5] = [
    "[[rule]]\nwho = [{ name = \"alice\", key = \"AAAAAAAAAAAAAAAAAAAAAA\" }]\nargv = [[\"true\"]]\n",
    "[[rule]]\nwho = [{ name = \"alice\", key = \"AAAAAAAAAAAAAAAAAAAAAA\" }]\nargv = [[\"uptime\"], \
     [\"systemctl\", \"status\", \"*\"], [\"ls\", \"**\"]]\ncwd = \"/tmp\"\nrun_as = \"nobody\"\nrate \
     = \"10/min\"\ntime_limit_s = 30\noutput_limit_bytes = 65536\nnetwork = true\n",
    "[[rule]]\nwho = [{ name = \"alice\", key = \"AAAAAAAAAAAAAAAAAAAAAA\" }]\nargv = \
     [[\"/bin/sh\", \"-c\", \"*\"]]\nshell = true\n",
    "[[rule]\n",
    "[[rule]]\nwho = \"*\"\nargv = []\nrate = \"ten/min\"\n",
];

struct Corpora(PathBuf);

impl Corpora {
    fn add(&self, target: &str, bytes: &[u8]) {
        let folder = self.0.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        let name: String = sha256(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    /// Bytes of a frame, and its header on its own.
    fn add_frame(&self, bytes: &[u8]) {
        self.add("frame", bytes);
        if let Ok(frame) = RawFrame::decode(bytes.to_vec().into()) {
            let is_bundle = frame.header().starts_with(b"{\"v\":1,\"t\":\"BUNDLE\"");
            self.add(if is_bundle { "bundle" } else { "header" }, frame.header());
            if is_bundle {
                self.add("bundle", bytes);
            }
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    b64::decode(value.as_str().unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn add_vector(corpora: &Corpora, vector: &Value) {
    for key in ["frame", "bundle"] {
        if vector.get(key).is_some() {
            corpora.add_frame(&bytes(&vector[key]));
        }
    }
    for frame in list(&vector["frames"]).iter().chain(list(&vector["links"])) {
        corpora.add_frame(&bytes(frame));
    }
    for opened in list(&vector["expect"]) {
        corpora.add("content", text(opened, "plaintext").unwrap().as_bytes());
    }
    for key in ["hello", "auth", "ok"] {
        if let Some(message) = text(vector, key) {
            corpora.add("handshake", message.as_bytes());
            let target = if key == "auth" { "client_to_hub" } else { "hub_to_client" };
            corpora.add(target, message.as_bytes());
        }
    }
    for key in ["body", "signed_in"] {
        if let Some(sealed) = vector.get("expect").and_then(|expect| text(expect, key)) {
            corpora.add("handshake", sealed.as_bytes());
        }
    }
    if let Some(members) = text(vector, "members") {
        // As it is, without its last line end, and each line twice.
        for list in [members, members.trim_end(), &members.repeat(2)] {
            corpora.add("member_list", list.as_bytes());
        }
        let wraps: Vec<_> = list(&vector["wraps"]).iter().map(bytes).collect();
        for part in Upload::split(Digest([7; 32]), members.as_bytes(), &wraps) {
            corpora.add("frame", &part);
        }
    }
    if vector["kind"] == "vault" {
        let number = u32::try_from(vector["number"].as_u64().unwrap()).unwrap();
        corpora.add("key_file", &vault::keep(number, &bytes(&vector["sealed"])));
        if let Some(clear) = text(vector, "expect") {
            corpora.add("key_file", clear.as_bytes());
        }
    }
}

/// Lines of the code blocks of the protocol that are JSON.
fn add_examples(corpora: &Corpora, document: &str) {
    for block in document.split("```json\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            let line = line.replace('…', "");
            let targets: &[&str] = if line.starts_with("{\"tag\"") {
                &["client_to_hub", "hub_to_client"]
            } else if line.starts_with("{\"v\"") {
                &["header"]
            } else {
                &["content"]
            };
            targets.iter().for_each(|target| corpora.add(target, line.as_bytes()));
        }
    }
}

#[test]
#[ignore = "writes the corpora"]
fn seeds_from_the_vectors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let corpora = Corpora(root.join("fuzz/corpus"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let vectors: Value =
        serde_json::from_str(&read("crates/protocol/tests/vectors/envelope.json")).unwrap();
    for vector in list(&vectors["vectors"]) {
        add_vector(&corpora, vector);
    }
    let healing: Value =
        serde_json::from_str(&read("crates/protocol/tests/vectors/healing.json")).unwrap();
    for vector in list(&healing) {
        corpora.add("content", text(vector, "plaintext").unwrap().as_bytes());
    }
    add_examples(&corpora, &read("docs/PROTOCOL.md"));
    let first = list(&vectors["vectors"]).iter().find(|vector| vector["name"] == "text/single");
    let frame = bytes(&first.unwrap()["frames"][0]);
    corpora.add("frame", &Delivery::encode(57, 1_790_000_000_000, &frame));
    SHOWN.iter().for_each(|text| corpora.add("sanitiser", text.as_bytes()));
    KEYWORDS.iter().for_each(|text| corpora.add("keyword_txt", text.as_bytes()));
    POLICIES.iter().for_each(|text| corpora.add("policy", text.as_bytes()));
    let key = b64::encode(&bytes(&vectors["keys"]["alice.ik"]));
    let store = b64::encode(&[3; 32]);
    let clear = format!("{{\"v\":1,\"ik\":\"{key}\",\"store\":\"{store}\"}}");
    corpora.add("key_file", clear.as_bytes());
}
