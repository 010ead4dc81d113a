//! Words of others that would act on a terminal if they were written as they are: by every way in which they come, at the
//! full screen and in line mode.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_evil_hub::read;
use chat_protocol::header::Header;
use chat_protocol::tag::Tag;
use chat_testkit::middle::{Passing, Way};
use chat_tests::{Client, Program, Proxy, Scene, Terminal, operator, types};
use serde_json::{Value, json};

/// A number that stands in no sequence of the program's own.
const NUMBER: &str = "6666";

/// Moves the cursor, names the window, colours, ends, goes back, changes letters and directions, and is not seen.
const EVIL: &str = "E\u{1b}[6666H\u{1b}]0;EVIL\u{7}\u{9b}6666m\u{9d}0;EVIL\u{9c}\u{8}\u{e}\u{7f}\u{202e}\u{2066}\u{200b}\u{1b}]2;EVIL\u{1b}\\x";

/// The title of the window, behind the number of what is new.
const TITLE: &str = "chat: alice";

/// How notices for the terminal begin, behind the escape.
const NOTICES: [&str; 3] = ["]9;", "]777;notify;", "]99;;"];

/// How its beginning is shown.
const SHOWN: &str = r"E\x1b[6666H\x1b]0;EVIL\x07\x9b6666m";

/// The same as what a program writes, whose second half is no UTF-8.
const WRITES: &str = r"/run web1 -- printf 'out \033[6666H\033]0;EVIL\007\302\23331m\233\177\010\016\033]2;EVIL\033\\x\n'";

/// Whether a character acts on a terminal, or on how others are read.
fn acts(one: char) -> bool {
    let is_unseen = matches!(
        one,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    );
    // Bytes that are no UTF-8 come to these tests as the last one.
    one.is_control() || is_unseen || one == char::REPLACEMENT_CHARACTER
}

/// How long the sequence is with which a text begins, if it is one that the program makes.
fn own_sequence(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\u{1b}')?;
    for begin in NOTICES {
        if let Some(rest) = rest.strip_prefix(begin) {
            let (said, _) = rest.split_once("\u{1b}\\")?;
            let is_clean = !said.chars().any(acts);
            return is_clean.then_some("\u{1b}\u{1b}\\".len() + begin.len() + said.len());
        }
    }
    if let Some(rest) = rest.strip_prefix("]2;") {
        let (title, _) = rest.split_once("\u{1b}\\")?;
        let counted = title.strip_prefix('(').and_then(|title| title.split_once(") "));
        let name = match counted {
            Some((count, name)) if count.parse::<usize>().is_ok() => name,
            _ => title,
        };
        // At the end it has none.
        let is_own = title.is_empty() || name == TITLE;
        return is_own.then_some("\u{1b}]2;\u{1b}\\".len() + title.len());
    }
    if let Some(rest) = rest.strip_prefix('[') {
        let end = rest.find(|one: char| !(' '..='?').contains(&one))?;
        let (parameters, last) = rest.split_at_checked(end)?;
        let is_own = last.starts_with(|one: char| ('@'..='~').contains(&one));
        return (is_own && !parameters.contains(NUMBER)).then_some("\u{1b}[".len() + end + 1);
    }
    // Keeps the cursor and puts it back, and what the keys of numbers send.
    rest.starts_with(['7', '8', '=', '>']).then_some(2)
}

/// What a program has written that is neither text nor a sequence of its own: the beginning of each.
pub(super) fn strays(written: &str) -> Vec<String> {
    let (mut rest, mut strays) = (written, Vec::new());
    while let Some(one) = rest.chars().next() {
        let length = match one {
            '\u{1b}' => own_sequence(rest),
            '\r' | '\n' => Some(1),
            one => (!acts(one)).then_some(one.len_utf8()),
        };
        if length.is_none() {
            strays.push(rest.chars().take(16).collect::<String>().escape_debug().to_string());
        }
        rest = rest.get(length.unwrap_or(one.len_utf8())..).unwrap_or_default();
    }
    strays
}

/// Goal: the measure itself finds what the tests below look for.
#[test]
fn what_acts_is_told_from_what_the_program_writes() {
    let own =
        "\u{1b}[?2026h\u{1b}[1;31mred\u{1b}[0m\r\n\u{1b}]2;(1) chat: alice\u{1b}\\漢 é\u{1b}7";
    assert_eq!(strays(own), Vec::<String>::new());
    assert_eq!(strays(SHOWN), Vec::<String>::new());
    // Each of them by itself.
    assert_eq!(strays(EVIL).len(), EVIL.chars().filter(|one| acts(*one)).count());
    assert_eq!(strays("\u{1b}]2;a\u{7}b\u{1b}\\").len(), 3);
    assert_eq!(strays("\u{1b}]9;bob: a\u{1b}\\b"), Vec::<String>::new());
    assert_eq!(strays("\u{1b}]9;bob: a\u{9b}31m\u{1b}\\b").len(), 3);
}

/// Somebody at a terminal.
pub(super) struct Seat {
    pub(super) chat: Terminal,
    is_full: bool,
}

impl Seat {
    pub(super) fn take(client: &Client, is_full: bool) -> Self {
        let chat = if is_full {
            client.at_full_screen((200, 40), "")
        } else {
            client.at_terminal_before(&["--line"], "")
        };
        let mut seat = Self { chat, is_full };
        seat.sees("connected to");
        if !is_full {
            seat.sees("alice #lobby>");
        }
        // The bell is a character of the program's own.
        seat.types("/set notify.how off", "notify.how = off");
        seat
    }

    #[track_caller]
    pub(super) fn sees(&self, part: &str) {
        if self.is_full {
            self.chat.wait_until_seen(part);
        } else {
            self.chat.wait_for(part);
        }
    }

    #[track_caller]
    pub(super) fn types(&mut self, line: &str, part: &str) {
        self.chat.type_line(line);
        self.sees(part);
    }
}

/// A way to the server on which it refuses the next text, with a reason of its own, once the switch is on.
fn refusing(scene: &Scene) -> (Proxy, Arc<AtomicBool>) {
    let is_on = Arc::new(AtomicBool::new(false));
    let (is_refusing, mut refused) = (Arc::clone(&is_on), None);
    let middle = move |passing: Passing| {
        if let Some((Header::Message(header), _)) = read::frame(&passing)
            && matches!(header.t, Tag::Dm | Tag::Text)
            && is_refusing.swap(false, Ordering::SeqCst)
        {
            refused = Some(Value::from(header.id.to_string()));
        }
        let answer = read::text(&passing, Way::ToClient, "ACK");
        let Some(id) =
            refused.clone().filter(|id| answer.is_some_and(|answer| answer["id"] == *id))
        else {
            return vec![passing];
        };
        let (code, reason) = ("E_TOO_MANY", format!("because{EVIL}"));
        let refusal =
            json!({"tag": "NOACK", "stage": "stored", "id": id, "code": code, "reason": reason});
        vec![read::with_text(&passing, &refusal)]
    };
    (Proxy::through(scene.server.address(), Box::new(middle), None), is_on)
}

/// A machine that lets alice write what she likes.
pub(super) fn machine(scene: &Scene, alice: &Client) -> Program {
    let said = alice.pipe(&["/fingerprint"], &[]).expect_code(0).stdout;
    let key = said.lines().find_map(|line| line.trim().strip_prefix("in a policy: ")).unwrap();
    let who = format!("[[rule]]\nwho = [{{ name = \"alice\", key = \"{}\" }}]\n", key.trim());
    let policy = scene.rig.write("policy.toml", &format!("{who}argv = [[\"printf\", \"**\"]]\n"));
    let agent = scene.client("web1").start(&["agent", "--policy", &policy.display().to_string()]);
    agent.stderr.wait_for_part("accepting commands");
    agent
}

/// Bob says it by every way that the protocol has, a machine writes it, and the server says it.
fn says_it_by_every_way(is_full: bool) {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    let (proxy, is_refusing) = refusing(&scene);
    let alice = scene.rig.client("alice", &proxy.url());
    let _machine = machine(&scene, &alice);
    let mut seat = Seat::take(&alice, is_full);
    types(&mut bob, "/create dev", "you are in #dev");
    seat.chat.type_line("/join dev");
    bob.stdout.wait_for_part("[alice] joined #dev");
    bob.type_line(&format!("/topic {EVIL}"));
    seat.sees(&format!("topic of #dev: {SHOWN}"));
    bob.type_line(EVIL);
    seat.sees(&format!("bob: {SHOWN}"));
    bob.type_line(&format!("/me {EVIL}"));
    seat.sees(&format!("bob {SHOWN}"));
    for asked in ["/topic", "/rooms", "/history 20", "/search EVIL"] {
        seat.chat.type_line(asked);
    }
    operator(&scene.rig, &["announce", &format!("lunch {EVIL}")]).assert_code(0);
    seat.sees(&format!("lunch {SHOWN}"));
    seat.types(WRITES, r"out \x1b[6666H\x1b]0;EVIL\x07");
    scene.rig.write(EVIL, "content");
    bob.type_line(&format!("/send '{EVIL}' alice"));
    seat.sees("bob offers you E");
    for asked in ["/transfers", "/decline 1", "/motd"] {
        seat.chat.type_line(asked);
    }
    bob.type_line(&format!("alice*{EVIL}"));
    if !is_full {
        seat.sees(&format!("bob → you: {SHOWN}"));
    }
    types(&mut bob, &format!("/away {EVIL}"), "you are away");
    seat.chat.type_line("/query bob");
    seat.types("are you there?", &format!("bob is away: {SHOWN}"));
    seat.chat.type_line("/reply ^1 I see");
    // The answer to it has come.
    seat.sees(if is_full { "I see ✓✓" } else { "\"> bob: E" });
    is_refusing.store(true, Ordering::SeqCst);
    seat.types("is that taken?", r"becauseE\x1b[6666H");
    seat.chat.type_line("/quit");
    assert_eq!(seat.chat.wait(), Some(0), "{}", seat.chat.text());
    assert_eq!(strays(&seat.chat.text()), Vec::<String>::new());
    // What the home has of it, at the other kind of seat.
    let mut again = Seat::take(&alice, !is_full);
    for asked in ["/history bob 20", "/search EVIL"] {
        again.chat.type_line(asked);
    }
    let shows = if is_full { "/history #dev 20" } else { "/query bob" };
    again.types(shows, &format!("bob: {SHOWN}"));
    again.chat.type_line("/quit");
    assert_eq!(again.chat.wait(), Some(0), "{}", again.chat.text());
    assert_eq!(strays(&again.chat.text()), Vec::<String>::new());
}

/// Goal: nothing that others write acts on the terminal, by whatever way it comes: texts, topics, names of files, why
/// somebody is away, output, a quote, what the operator announces and why the server refuses; and so it is when the home
/// shows it again. Method: every byte that the program writes is text, or belongs to a sequence of its own.
#[test]
fn nothing_of_others_acts_on_the_full_screen() {
    says_it_by_every_way(true);
}

/// Goal: the same in line mode.
#[test]
fn nothing_of_others_acts_on_a_terminal_of_lines() {
    says_it_by_every_way(false);
}
