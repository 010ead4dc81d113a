//! Alice talks to bob, directly and in the lobby, while the hub lies to one of them; carol must hear
//! the lobby only. Afterwards the hub is honest again, and they must still be able to talk.
#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use chat_evil_hub::{Liar, Lie, Switch, WRITER, read};
use chat_testkit::middle::{Middle, Passing};
use serde_json::Value;

use super::{Report, Stage, Verdict, memory};
use crate::program::{Finished, Program};
use crate::{Client, types};

/// How long the lie is told.
const LIE: Duration = Duration::from_secs(6);
/// What is said with an honest hub must come by then.
const AFTERWARDS: Duration = Duration::from_secs(30);
/// A flood may cost a client no more.
const MEMORY_MAX: u64 = 64 << 20;
/// More frames than this in the time of a lie are a storm.
const FRAMES_MAX: usize = 60;
/// Nobody has said so many messages: a gap that names a higher one is made up.
const COUNTER_MAX: u64 = 100;

/// What alice says to bob directly, and in the lobby.
const DIRECT: [&str; 4] = ["before", "one", "two", "three"];
const IN_THE_LOBBY: [&str; 4] = ["to all", "first", "second", "third"];
const AFTER: &str = "honest again";

/// Counts what the writer's device sends.
struct Counting {
    liar: Liar,
    frames: Arc<AtomicUsize>,
}

impl Middle for Counting {
    fn pass(&mut self, passing: Passing) -> Vec<Passing> {
        if passing.user == WRITER && read::frame(&passing).is_some() {
            self.frames.fetch_add(1, Ordering::Relaxed);
        }
        self.liar.pass(passing)
    }
}

/// Somebody who listens, also when their program has ended and starts again.
struct Listener {
    client: Client,
    program: Program,
    /// What earlier programs said.
    said: Vec<Finished>,
}

impl Listener {
    fn new(client: Client) -> Self {
        client.run(&["users"]).assert_code(0);
        let program = Self::start(&client);
        Self { client, program, said: Vec::new() }
    }

    fn start(client: &Client) -> Program {
        client.start(&["listen", "--for", "300s", "--json"])
    }

    /// Starts again if the program has ended.
    fn revive(&mut self) {
        if self.program.has_ended() {
            let ended = std::mem::replace(&mut self.program, Self::start(&self.client));
            self.said.push(ended.finish());
        }
    }

    fn events(&self) -> Vec<Value> {
        let earlier = self.said.iter().map(|ended| ended.stdout.clone());
        let all: String = earlier.chain([self.program.stdout.text()]).collect();
        all.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn has_heard(&self, text: &str) -> bool {
        self.events().iter().any(|event| event["event"] == "message" && event["text"] == text)
    }

    fn texts(&self) -> Vec<String> {
        let events = self.events();
        let messages = events.iter().filter(|event| event["event"] == "message");
        messages.filter_map(|event| event["text"].as_str().map(str::to_owned)).collect()
    }

    /// What the person was told beside messages.
    fn warnings(&self) -> Vec<String> {
        let is_one = |event: &Value| {
            ["alarm", "gap", "unreadable", "dropped", "unhealed"]
                .iter()
                .any(|name| event["event"] == *name)
        };
        let events = self.events().into_iter().filter(is_one).map(|event| event.to_string());
        let errors = self.said.iter().flat_map(|ended| ended.stderr.lines().map(str::to_owned));
        events.chain(errors).collect()
    }
}

fn until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if is_so() {
            return true;
        }
        sleep(Duration::from_millis(100));
    }
    is_so()
}

/// What happened.
struct Seen {
    bob: Listener,
    carol: Listener,
    alice: String,
    frames: usize,
    grown: u64,
    talks_again: bool,
}

pub(super) fn run(lie: &Lie) -> Report {
    judge(&play(lie))
}

fn play(lie: &Lie) -> Seen {
    let (switch, frames) = (Switch::default(), Arc::new(AtomicUsize::new(0)));
    let liar = Liar::new((lie.make)(), &switch);
    let middle = Box::new(Counting { liar, frames: Arc::clone(&frames) });
    let stage = Stage::with(middle, switch);
    let mut bob = Listener::new(stage.client("bob"));
    let carol = Listener::new(stage.client("carol"));
    let mut alice = stage.person("alice");
    let [direct, lobby] = [DIRECT, IN_THE_LOBBY].map(|texts| texts.map(str::to_owned));
    let say = |alice: &mut Program, number: usize| {
        alice.type_line(&format!("bob*{}", direct[number]));
        alice.type_line(&lobby[number]);
    };
    say(&mut alice, 0);
    assert!(until(AFTERWARDS, || bob.has_heard(DIRECT[0])), "bob hears nothing at all");
    assert!(until(AFTERWARDS, || carol.has_heard(IN_THE_LOBBY[0])), "carol hears nothing at all");
    let (_, before) = memory(bob.program.pid());
    stage.switch.set(true);
    stage.proxy.cut();
    frames.store(0, Ordering::Relaxed);
    // A new device of alice's and a newcomer: some lies are about bundles, links and new epochs.
    stage.client("alice").with_home(stage.rig.path("alice-2")).run(&["users"]).assert_code(0);
    stage.client("dave").run(&["users"]).assert_code(0);
    for number in 1..DIRECT.len() {
        say(&mut alice, number);
        sleep(LIE / 4);
    }
    sleep(LIE / 4);
    let frames = frames.load(Ordering::Relaxed);
    let most = if bob.program.has_ended() { before } else { memory(bob.program.pid()).1 };
    stage.switch.set(false);
    stage.proxy.cut();
    bob.revive();
    let talks_again = until(AFTERWARDS, || {
        bob.revive();
        bob.has_heard(AFTER) || {
            // Once is not enough where the first one is refused, and says so.
            alice.type_line(&format!("bob*{AFTER}"));
            until(Duration::from_secs(3), || bob.has_heard(AFTER))
        }
    });
    types(&mut alice, "/help run", "/run");
    let alice = alice.stdout.text();
    Seen { bob, carol, alice, frames, grown: most.saturating_sub(before), talks_again }
}

/// A gap that names messages which nobody can have written.
fn made_up_gap(events: &[Value]) -> Option<String> {
    let is_made_up = |event: &&Value| {
        let missing = event["missing"].as_array();
        missing.is_some_and(|all| all.iter().any(|n| n.as_u64() > Some(COUNTER_MAX)))
    };
    events.iter().find(is_made_up).map(|event| event.to_string().chars().take(160).collect())
}

fn judge(seen: &Seen) -> Report {
    let succeeded = |saw: String| Report::new(Verdict::Succeeded, saw);
    let (texts, carols) = (seen.bob.texts(), seen.carol.texts());
    let known = |text: &&String| {
        let text = text.as_str();
        DIRECT.contains(&text) || IN_THE_LOBBY.contains(&text) || text == AFTER
    };
    if let Some(strange) = texts.iter().chain(&carols).find(|text| !known(text)) {
        return succeeded(format!("shown, and nobody has said it: {strange}"));
    }
    for text in DIRECT.iter().chain(&IN_THE_LOBBY) {
        if texts.iter().filter(|shown| shown == text).count() > 1 {
            return succeeded(format!("shown twice: {text}"));
        }
    }
    if let Some(private) = carols.iter().find(|text| DIRECT.contains(&text.as_str())) {
        return succeeded(format!("carol reads what is for bob: {private}"));
    }
    if !seen.talks_again {
        let last = seen.bob.warnings().pop().unwrap_or_default();
        return succeeded(format!("bob hears nothing any more, with an honest hub too; {last}"));
    }
    if let Some(gap) = made_up_gap(&seen.bob.events()) {
        return succeeded(format!("a gap that is none: {gap}"));
    }
    if seen.grown > MEMORY_MAX {
        return succeeded(format!("bob's program has grown by {} MiB", seen.grown >> 20));
    }
    if seen.frames > FRAMES_MAX {
        return succeeded(format!("alice's program has sent {} frames", seen.frames));
    }
    told(seen, &texts)
}

/// Nobody was deceived by what was shown; were they told of what was not?
fn told(seen: &Seen, texts: &[String]) -> Report {
    let mut warnings = seen.bob.warnings();
    warnings.extend(seen.carol.warnings());
    let alices =
        seen.alice.lines().filter(|line| line.contains("ALARM") || line.contains("although"));
    warnings.extend(alices.map(|line| line.trim().to_owned()));
    let refusals = seen.alice.lines().filter(|line| line.contains("NOACK")).count();
    let missing: Vec<&str> = DIRECT
        .into_iter()
        .chain(IN_THE_LOBBY)
        .filter(|text| !texts.iter().any(|shown| shown == text))
        .collect();
    let waits = seen.alice.contains("waits") || refusals > 0;
    match (missing.is_empty(), warnings.first()) {
        (_, Some(warning)) => Report::new(Verdict::Detected, warning.as_str()),
        (true, None) if refusals > 0 => {
            Report::new(Verdict::Succeeded, "alice is told that it was not sent, and bob has it")
        }
        (true, None) => Report::new(Verdict::Refused, "everything was shown once, and no more"),
        (false, None) if waits => {
            Report::new(Verdict::Detected, format!("alice knows that {missing:?} did not go out"))
        }
        (false, None) => {
            Report::new(Verdict::Succeeded, format!("{missing:?} missing, and no word"))
        }
    }
}
