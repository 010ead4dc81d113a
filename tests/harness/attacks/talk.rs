//! Alice talks to bob, directly and in the lobby, while the hub lies to one of them; carol must hear
//! the lobby only. Afterwards the hub is honest again, and they must still be able to talk.
#![expect(
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it says what went wrong"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chat_evil_hub::{Liar, Lie, Switch, VICTIM, WRITER, read};
use chat_testkit::middle::{Message, Middle, Passing, Way};

use super::{Report, Stage, Verdict, memory, screen};
use crate::program::{Finished, Program};
use crate::{Client, types};

/// How long the lie is told at most; it ends sooner where bob and carol have heard everything. A device
/// asks again for what is missing within 15 s.
const LIE: Duration = Duration::from_secs(18);
/// How long a flood or a storm lasts at least: one that does not stop shows in this time.
const STORM: Duration = Duration::from_secs(2);
/// What is said with an honest hub must come by then.
const AFTERWARDS: Duration = Duration::from_secs(30);
/// A message is said again with an honest hub after this time, where the first was refused.
const AGAIN: Duration = Duration::from_secs(3);
/// A flood may cost a client no more.
const MEMORY_MAX: u64 = 64 << 20;
/// More frames of alice's in the time of a lie are a storm.
const FRAMES_MAX: usize = 200;
/// More questions of bob's are one: a device turns so many pages in a minute.
const QUESTIONS_MAX: usize = 1_024;
/// More lines about one lie are no help to anybody. Each of bob's programs shows 64 a minute of frames that
/// nobody has signed, and one listens while another one sends.
const LINES_MAX: usize = 160;
/// What bob says to alice must be answered in this time, one way or another.
const ANSWER: Duration = Duration::from_secs(20);
/// Nobody has said so many messages: a gap that names a higher one is made up.
const COUNTER_MAX: u64 = 100;

/// What alice says to bob directly, and in the lobby. The first is said before the lie.
const DIRECT: [&str; 4] = ["before", "one", "two", "three"];
const IN_THE_LOBBY: [&str; 4] = ["to all", "first", "second", "third"];
const AFTER: &str = "honest again";

/// Counts what the writer's device sends, and what the victim's asks.
struct Counting {
    liar: Liar,
    frames: Arc<AtomicUsize>,
    questions: Arc<AtomicUsize>,
}

impl Middle for Counting {
    fn pass(&mut self, passing: Passing) -> Vec<Passing> {
        if passing.user == WRITER && read::frame(&passing).is_some() {
            self.frames.fetch_add(1, Ordering::Relaxed);
        }
        let is_text = matches!(passing.message, Message::Text(_));
        if passing.user == VICTIM && passing.way == Way::ToHub && is_text {
            self.questions.fetch_add(1, Ordering::Relaxed);
        }
        self.liar.pass(passing)
    }
}

/// Somebody who listens, also when their program has ended and starts again.
struct Listener {
    client: Client,
    program: Program,
    /// What other programs said, and earlier ones.
    said: Vec<Finished>,
    /// Bytes that were on the screen when the lie began.
    before: usize,
}

impl Listener {
    fn new(client: Client) -> Self {
        client.run(&["users"]).assert_code(0);
        let program = Self::start(&client);
        Self { client, program, said: Vec::new(), before: 0 }
    }

    fn start(client: &Client) -> Program {
        client.start(&["listen", "--for", "300s"])
    }

    /// Starts again if the program has ended.
    fn revive(&mut self) {
        if self.program.has_ended() {
            let ended = std::mem::replace(&mut self.program, Self::start(&self.client));
            self.said.push(ended.finish());
        }
    }

    fn screen(&self) -> String {
        let earlier = self.said.iter().map(|ended| ended.stdout.clone() + &ended.stderr);
        earlier.chain([self.program.stdout.text()]).collect()
    }

    /// What stands there since the lie began.
    fn since(&self) -> String {
        self.screen().split_off(self.before)
    }

    /// Says something to alice, by a program of its own: some lies are about who writes.
    fn says(&mut self, text: &str) {
        let mut program = self.client.start(&["send", WRITER, text]);
        program.close_stdin();
        program.ends_within(ANSWER);
        let (stdout, stderr) = (program.stdout.text(), program.stderr.text());
        self.said.push(Finished { code: None, stdout, stderr });
    }

    /// Waits until all of these were heard; whether they were. A program that ends starts again.
    fn hears(&mut self, texts: &[&str], limit: Duration) -> bool {
        let begun = Instant::now();
        loop {
            self.revive();
            let earlier: String = self.said.iter().map(|ended| ended.stdout.clone()).collect();
            let all = |lines: &[String]| {
                let shown = earlier.lines().chain(lines.iter().map(String::as_str));
                let shown: Vec<_> = shown.filter_map(screen::said).map(|(_, text)| text).collect();
                texts.iter().all(|text| shown.contains(text))
            };
            let left = limit.saturating_sub(begun.elapsed());
            if self.program.stdout.within(left, all) {
                return true;
            }
            if left.is_zero() || begun.elapsed() >= limit {
                return false;
            }
        }
    }
}

/// What happened.
struct Seen {
    bob: Listener,
    carol: Listener,
    alice: String,
    told: usize,
    frames: usize,
    questions: usize,
    grown: u64,
    talks_again: bool,
}

pub(super) fn run(lie: &Lie) -> Report {
    judge(&play(lie))
}

fn play(lie: &Lie) -> Seen {
    let (switch, frames, questions) = (Switch::default(), Arc::default(), Arc::default());
    let liar = Liar::new((lie.make)(), &switch);
    let counting =
        Counting { liar, frames: Arc::clone(&frames), questions: Arc::clone(&questions) };
    let stage = Stage::with(Box::new(counting), switch);
    let mut bob = Listener::new(stage.client("bob"));
    let mut carol = Listener::new(stage.client("carol"));
    let mut alice = stage.person("alice");
    let say = |alice: &mut Program, number: usize| {
        alice.type_line(&format!("bob*{}", DIRECT[number]));
        alice.type_line(IN_THE_LOBBY[number]);
    };
    say(&mut alice, 0);
    let hears = bob.hears(&[DIRECT[0], IN_THE_LOBBY[0]], AFTERWARDS);
    assert!(hears, "bob hears nothing at all: {}; alice: {}", bob.screen(), alice.stdout.text());
    assert!(carol.hears(&[IN_THE_LOBBY[0]], AFTERWARDS), "carol hears nothing at all");
    (bob.before, carol.before) = (bob.screen().len(), carol.screen().len());
    let alice_before = alice.stdout.text().len();
    let (_, memory_before) = memory(bob.program.pid());
    stage.switch.set(true);
    stage.proxy.cut();
    for count in [&frames, &questions] {
        AtomicUsize::store(count, 0, Ordering::Relaxed);
    }
    // A new device of alice's and a newcomer: some lies are about bundles, links and new epochs.
    stage.client("alice").with_home(stage.rig.path("alice-2")).run(&["users"]).assert_code(0);
    stage.client("dave").run(&["users"]).assert_code(0);
    let begun = Instant::now();
    let mut until = Duration::ZERO;
    for number in 1..DIRECT.len() {
        say(&mut alice, number);
        until += LIE / 3;
        bob.hears(&[DIRECT[number], IN_THE_LOBBY[number]], until.saturating_sub(begun.elapsed()));
        carol.hears(&[IN_THE_LOBBY[number]], until.saturating_sub(begun.elapsed()));
    }
    bob.says("an answer");
    // No event ends a storm: only time shows that there is none.
    std::thread::sleep(STORM.saturating_sub(begun.elapsed()));
    let (frames, questions) =
        (AtomicUsize::load(&frames, Ordering::Relaxed), questions.load(Ordering::Relaxed));
    let has_ended = bob.program.has_ended();
    let most = if has_ended { memory_before } else { memory(bob.program.pid()).1 };
    stage.switch.set(false);
    stage.proxy.cut();
    let talks_again = talk_again(&mut alice, &mut bob);
    let all: Vec<&str> = DIRECT.into_iter().chain(IN_THE_LOBBY).collect();
    // What is missing for good is told of, and is no reason to wait.
    if !bob.hears(&all, AGAIN) && screen::words(&bob.since()).is_empty() {
        bob.hears(&all, AFTERWARDS);
    }
    types(&mut alice, "/help run", "/run");
    let alice = alice.stdout.text().split_off(alice_before);
    let grown = most.saturating_sub(memory_before);
    let told = stage.switch.told();
    Seen { bob, carol, alice, told, frames, questions, grown, talks_again }
}

/// Once is not enough where the first one is refused, and says so.
fn talk_again(alice: &mut Program, bob: &mut Listener) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < AFTERWARDS {
        alice.type_line(&format!("bob*{AFTER}"));
        if bob.hears(&[AFTER], AGAIN) {
            return true;
        }
    }
    false
}

/// A gap that names messages which nobody can have written.
fn made_up_gap(screen: &str) -> Option<&str> {
    let is_made_up = |line: &&str| {
        let numbers = line.split_once('(').filter(|_| line.contains("missing"));
        let numbers = numbers.map_or("", |(_, numbers)| numbers);
        numbers
            .split(|c: char| !c.is_ascii_digit())
            .any(|number| number.parse::<u64>().is_ok_and(|number| number > COUNTER_MAX))
    };
    screen.lines().find(|line| line.starts_with("! ") && is_made_up(line))
}

fn texts(screen: &str) -> Vec<&str> {
    screen.lines().filter_map(screen::said).map(|(_, text)| text).collect()
}

/// Whether anybody was deceived by what was shown.
fn judge(seen: &Seen) -> Report {
    let succeeded = |saw: String| Report::new(Verdict::Succeeded, saw);
    if seen.told == 0 {
        return Report::new(Verdict::Failed, "the lie was never told");
    }
    let (bobs, carols) = (seen.bob.screen(), seen.carol.screen());
    let (bob, carol) = (texts(&bobs), texts(&carols));
    let known =
        |text: &&&str| DIRECT.contains(text) || IN_THE_LOBBY.contains(text) || ***text == *AFTER;
    if let Some(strange) = bob.iter().chain(&carol).find(|text| !known(text)) {
        return succeeded(format!("shown, and nobody has said it: {strange}"));
    }
    for text in DIRECT.iter().chain(&IN_THE_LOBBY) {
        if bob.iter().filter(|shown| *shown == text).count() > 1 {
            return succeeded(format!("shown twice: {text}"));
        }
    }
    if let Some(private) = carol.iter().find(|text| DIRECT.contains(text)) {
        return succeeded(format!("carol reads what is for bob: {private}"));
    }
    if !seen.talks_again {
        let last = screen::words(&seen.bob.since()).pop().unwrap_or_default();
        return succeeded(format!("bob hears nothing any more, with an honest hub too; {last}"));
    }
    if let Some(gap) = made_up_gap(&seen.bob.since()) {
        return succeeded(format!("a gap that is none: {gap}"));
    }
    let lines = screen::words(&seen.bob.since()).len();
    if lines > LINES_MAX {
        return succeeded(format!("bob's screen is full of {lines} lines of it"));
    }
    if seen.grown > MEMORY_MAX {
        return succeeded(format!("bob's program has grown by {} MiB", seen.grown >> 20));
    }
    if seen.frames > FRAMES_MAX || seen.questions > QUESTIONS_MAX {
        let Seen { frames, questions, .. } = seen;
        return succeeded(format!("alice has sent {frames} frames, bob {questions} questions"));
    }
    told(seen, &bob)
}

/// Nobody was deceived by what was shown; were they told of what was not?
fn told(seen: &Seen, shown: &[&str]) -> Report {
    let screens =
        [("bob", seen.bob.since()), ("carol", seen.carol.since()), ("alice", seen.alice.clone())];
    let quotes = screens.iter().filter_map(|(who, screen)| {
        screen::quote(who, screen::words(screen).iter().map(String::as_str))
    });
    let quotes: Vec<String> = quotes.collect();
    let missing: Vec<&&str> =
        DIRECT.iter().chain(&IN_THE_LOBBY).filter(|text| !shown.contains(text)).collect();
    let is_refused = seen.alice.contains("NOACK");
    if missing.is_empty() && is_refused && !seen.alice.contains("although") {
        return Report::new(Verdict::Succeeded, "alice is told that it was refused; bob has it");
    }
    match (missing.is_empty(), quotes.is_empty()) {
        (_, false) => Report::new(Verdict::Detected, quotes.join("; ")),
        (true, true) => {
            let last = screen::last_message(&screens[0].1).unwrap_or_default();
            let all = DIRECT.len() + IN_THE_LOBBY.len();
            let saw =
                format!("bob: {all} of {all} messages once, the last \"{last}\", nothing else");
            Report::new(Verdict::Refused, saw)
        }
        (false, true) => Report::new(Verdict::Succeeded, format!("{missing:?} missing, no word")),
    }
}
