//! Everything with which the sanitiser is tried, by the ways in which others name something, say something or give a reason:
//! at the full screen and in line mode, with notices for the terminal.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_evil_hub::read;
use chat_protocol::header::Header;
use chat_protocol::sanitise;
use chat_protocol::tag::Tag;
use chat_testkit::middle::{Message, Passing, Way};
use chat_tests::{LIMIT, Program, Proxy, Scene, operator, types, workspace};
use parking_lot::Mutex;
use serde_json::json;

use super::hostile_names::quoted;
use super::hostile_words::{Seat, machine, strays};

/// Beside the corpus of the fuzzer: the clipboard, colours, what is not seen, titles, links, other screens, questions to the
/// terminal.
const MORE: [&str; 15] = [
    "\u{1b}]52;c;cm0gLXJm\u{7}",
    "\u{9b}31m",
    "a\u{7f}b\u{1}",
    "txt.\u{202e}exe",
    "pay\u{200b}pal \u{2066}x\u{2069}",
    "\u{feff}\u{61c}\u{2028}\u{e0041}",
    "\u{1b}[2J\u{1b}[H22:13 bob: pay",
    "\u{115f}\u{3164}\u{ffa0}\u{34f}",
    "\u{85}\u{84}\u{90}q\u{9c}",
    "\u{e}\u{f}\u{8}\u{8}\u{b}\u{c}",
    "\u{1b}P1$r0m\u{1b}\\",
    "\u{1b}_payload\u{1b}\\",
    "\u{1b}]0;title\u{1b}\\",
    "\u{1b}]8;;http://x\u{7}here\u{1b}]8;;\u{7}",
    "\u{1b}c\u{1b}#8\u{1b}[?1049l\u{1b}[6n",
];

/// Notices follow each other no faster than one a second: what was not told then is said again.
const AGAIN_AFTER: Duration = Duration::from_millis(1_200);

/// What is waited for is looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// A notice has room for so many letters.
const NOTICE: usize = 150;

/// So many letters stand in one row of the full screen, beside the list, the members and the names.
const ROW: usize = 100;

/// The corpus of the sanitiser and more, each as one line that can be typed. What the sanitiser leaves that looks like a byte
/// which is no text, or joins two signs, is left out: the measure takes it for harm.
fn lines() -> Vec<String> {
    let folder = workspace().join("fuzz/corpus/sanitiser");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let found = files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let typed = |one: char| if "\0\t\n\r".contains(one) { '\u{c}' } else { one };
    let all = found.chain(MORE.map(str::to_owned));
    let all = all.map(|text| text.chars().map(typed).collect::<String>());
    let is_measured =
        |text: &String| !sanitise::line(text).contains([char::REPLACEMENT_CHARACTER, '\u{200d}']);
    let lines: Vec<String> = all.filter(is_measured).collect();
    assert!(lines.len() > MORE.len(), "{lines:?}");
    lines
}

/// The same in few texts, each of which is shown in so many bytes.
fn packed(lines: &[String], bytes: usize) -> Vec<String> {
    let length = |text: &str| sanitise::line(text).len();
    let mut packed: Vec<String> = Vec::new();
    for line in lines {
        match packed.last_mut() {
            Some(last) if length(last.as_str()) + length(line) < bytes => {
                last.push(' ');
                last.push_str(line);
            }
            _ => packed.push(line.clone()),
        }
    }
    packed.into_iter().map(|text| format!("so {text} end")).collect()
}

/// What a text is shown as, where it can be looked for: in one row, and of letters that each have one cell.
fn shown(text: &str) -> Option<String> {
    let shown = sanitise::line(text);
    (shown.is_ascii() && shown.len() < ROW).then(|| shown.into_owned())
}

/// What makes `printf` write this, and does not look like it.
fn octal(text: &str) -> String {
    let mut octal = String::new();
    for byte in text.bytes() {
        write!(octal, "\\{byte:03o}").unwrap();
    }
    octal
}

/// A way to the server on which the next texts to a room are refused, for the reasons that wait here; with each the server
/// names a room so, and says something that there is not.
fn refusing(scene: &Scene) -> (Proxy, Arc<Mutex<VecDeque<String>>>) {
    let reasons: Arc<Mutex<VecDeque<String>>> = Arc::default();
    let waiting = Arc::clone(&reasons);
    let middle = move |passing: Passing| {
        let Some((Header::Message(header), _)) = read::frame(&passing) else {
            return vec![passing];
        };
        if header.t != Tag::Text {
            return vec![passing];
        }
        let Some(reason) = waiting.lock().pop_front() else { return vec![passing] };
        let id = header.id.to_string();
        let refusal = json!({
            "tag": "NOACK", "stage": "stored", "id": id, "code": "E_TOO_MANY", "reason": reason,
        });
        // Its first character that no name has is one of those.
        let name = reason.replace(' ', "");
        let room = json!({"tag": "ROOMS", "id": id, "rooms": [{"room": name}], "more": false});
        let words = [refusal, room, json!({"tag": reason})];
        words.map(|word| passing.with(Way::ToClient, Message::Text(word.to_string()))).into()
    };
    (Proxy::through(scene.server.address(), Box::new(middle), None), reasons)
}

/// Bob says this to alice alone until her terminal was given notice of it.
#[track_caller]
fn has_notice(bob: &mut Program, seat: &Seat, text: &str) {
    let said = sanitise::line(text).replace(';', ",");
    let notice = format!("\u{1b}]9;bob: {said}\u{1b}\\");
    let is_there = || seat.chat.text().contains(&notice);
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < LIMIT, "{notice:?}: {:?}", seat.chat.text());
        bob.type_line(&format!("alice*{text}"));
        let again = Instant::now() + AGAIN_AFTER;
        while Instant::now() < again && !is_there() {
            std::thread::sleep(LOOK);
        }
    }
}

/// Says it, to a room in which both are, and to alice alone; makes it the topic; and the operator announces it.
fn says(scene: &Scene, bob: &mut Program, (seat, lines): (&Seat, &[String])) {
    for (number, line) in lines.iter().enumerate() {
        let text = format!("at {number}: {line} end");
        bob.type_line(&text);
        seat.sees(&shown(&text).unwrap_or_else(|| format!("at {number}: ")));
    }
    for text in packed(lines, NOTICE - "so  end".len()) {
        has_notice(bob, seat, &text);
    }
    for (number, text) in packed(lines, 300).iter().enumerate() {
        bob.type_line(&format!("/topic {number} {text}"));
        seat.sees(&format!("topic of #dev: {number} so "));
        operator(&scene.rig, &["announce", &format!("lunch {number} {text}")]).assert_code(0);
        seat.sees(&format!("lunch {number} so "));
    }
}

/// Files have these names, and come.
fn sends(scene: &Scene, bob: &mut Program, (seat, lines): (&mut Seat, &[String])) {
    let folder = scene.rig.path("hostile");
    fs::create_dir(&folder).unwrap();
    for (number, line) in lines.iter().enumerate() {
        let name = format!("{number} {}", line.replace('/', "_"));
        let Some(shown) = shown(&name) else { continue };
        let path = folder.join(&name);
        fs::write(&path, "content").unwrap();
        bob.type_line(&format!("/send {} alice", quoted(&path)));
        seat.sees(&format!("bob offers you {shown} ("));
        seat.types("/accept", &format!("{shown} from bob is here, checked"));
    }
}

/// What is done with it at one kind of terminal.
fn nothing_of_it_acts(is_full: bool) {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (proxy, reasons) = refusing(&scene);
    let alice = scene.rig.client("alice", &proxy.url());
    let lines = lines();
    let _machine = machine(&scene, &alice);
    let mut seat = Seat::take(&alice, is_full);
    seat.types("/set notify.how terminal", "notify.how = terminal");
    types(&mut bob, "/create dev", "you are in #dev");
    seat.chat.type_line("/join dev");
    bob.stdout.wait_for_part("[alice] joined #dev");
    says(&scene, &mut bob, (&seat, &lines));
    sends(&scene, &mut bob, (&mut seat, &lines));
    for (number, text) in packed(&lines, ROW).iter().enumerate() {
        let output = octal(&format!("out {number} {text}"));
        seat.types(&format!("/run web1 -- printf '{output}'"), &format!("out {number} so "));
        reasons.lock().push_back(format!("because {number} {text}"));
        seat.types(&format!("is {number} taken?"), &format!("because {number} so "));
        seat.sees("the hub sent a message: ");
    }
    seat.chat.type_line("/quit");
    assert_eq!(seat.chat.wait(), Some(0), "{}", seat.chat.text());
    let text = seat.chat.text();
    assert_eq!(strays(&text), Vec::<String>::new());
    // A sequence that the program could have made by itself is told by what stands behind it.
    for line in &lines {
        let tails = line.match_indices('\u{1b}').map(|(at, _)| &line[at..]);
        for tail in tails.filter(|tail| tail.len() > "\u{1b}[6n ".len()) {
            assert!(!text.contains(tail), "{tail:?}");
        }
    }
}

/// Goal: of everything with which the sanitiser is tried nothing acts on the terminal, and all of it is seen: in texts, notices,
/// topics, announcements, names of files, output, the server's reasons, names of rooms that the server makes up, and what it says
/// that there is not. Method: every byte that the program writes is text, or belongs to a sequence of its own.
#[test]
fn nothing_of_the_corpus_acts_on_the_full_screen() {
    nothing_of_it_acts(true);
}

/// Goal: the same in line mode.
#[test]
fn nothing_of_the_corpus_acts_on_a_terminal_of_lines() {
    nothing_of_it_acts(false);
}
