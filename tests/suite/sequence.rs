//! The promise as one story: what was acknowledged arrives once, in order, whoever is killed.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use chat_tests::{Client, Dice, Fate, Finished, LIMIT, Program, Proxy, Rig, Server};
use serde_json::Value;

/// Messages to somebody who is away.
const MESSAGES: usize = 100;

/// How often the server is killed: half of it while alice sends, half while bob receives.
const SERVER_KILLS: usize = 50;

/// How often bob's client is killed while it receives.
const BOB_KILLS: usize = 50;

/// In each half, how often alice's client is killed.
const ALICE_KILLS: usize = 5;

/// New deliveries of one life of bob's client, at most. On average it is half of it, and not every
/// life comes that far: some of the messages are still to come after the last kill.
const PER_LIFE_MAX: usize = 4;

/// So many lives of bob's client must have shown something, or the kills have hit nothing.
const BUSY_LIVES_MIN: usize = 5;

/// A sign-in takes about as long: some kills hit it.
const DURING_SIGN_IN_MS: usize = 150;

/// What follows a delivery (a commit, a line, a receipt) takes about as long: some kills hit it.
const AFTER_DELIVERY_MS: usize = 50;

/// A life to which no more comes ends after this time.
const QUIET: Duration = Duration::from_secs(2);

/// Second byte of a delivery; the parts of an epoch have others.
const DELIVERY: u8 = 0x20;

/// Lets so many new deliveries pass, and then nothing until it is told again.
#[derive(Default)]
struct Gate {
    allowed: Mutex<Allowed>,
    spent: Condvar,
}

#[derive(Default)]
struct Allowed {
    left: usize,
    /// What has passed in an earlier life may pass again.
    passed: HashSet<Vec<u8>>,
}

impl Gate {
    fn allow(&self, count: usize) {
        self.allowed.lock().unwrap().left = count;
    }

    fn pass(&self, message: &[u8]) -> Fate {
        let mut allowed = self.allowed.lock().unwrap();
        if message.get(1) != Some(&DELIVERY) || allowed.passed.contains(message) {
            return Fate::Good;
        }
        let Some(fewer) = allowed.left.checked_sub(1) else { return Fate::Held };
        allowed.left = fewer;
        allowed.passed.insert(message.to_owned());
        self.spent.notify_all();
        Fate::Good
    }

    /// Waits until all that may pass has passed; a life that gets less waits no longer than this.
    fn wait(&self) {
        let allowed = self.allowed.lock().unwrap();
        drop(self.spent.wait_timeout_while(allowed, QUIET, |allowed| allowed.left > 0).unwrap());
    }
}

/// What one person's programs said in all their lives.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    fn add(&mut self, program: &Program) {
        self.0.push(program.stdout.text());
    }

    /// The objects of each life; a line that the kill has cut is none.
    fn lives(&self) -> impl Iterator<Item = Vec<Value>> {
        let events =
            |life: &String| life.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        self.0.iter().map(events)
    }

    /// Nothing was missing, unreadable or suspicious in any life.
    fn assert_no_trouble(&self) {
        let trouble = ["gap", "healed", "unhealed", "unreadable", "alarm", "noack"];
        for event in self.lives().flatten() {
            let name = event["event"].as_str().unwrap();
            assert!(!trouble.contains(&name), "{event}");
        }
    }
}

/// Everything that the story needs.
struct Story {
    rig: Rig,
    server: Server,
    alice: Client,
    bob: Client,
    gate: Arc<Gate>,
    _line: Proxy,
    dice: Dice,
    server_kills: usize,
}

impl Story {
    fn begin() -> Self {
        let rig = Rig::new();
        let server = rig.server();
        let gate = Arc::new(Gate::default());
        let passing = Arc::clone(&gate);
        let line = Proxy::lying(server.address(), Box::new(move |message| passing.pass(message)));
        let alice = rig.client("alice", server.url());
        let bob = rig.client("bob", &line.url());
        let dice = Dice::new("CHAT_SEQUENCE_SEED");
        Self { rig, server, alice, bob, gate, _line: line, dice, server_kills: 0 }
    }

    fn kill_server(&mut self) {
        self.server.restart(&self.rig, &[]);
        self.server_kills += 1;
    }

    /// A random point in time: no wait for anything.
    fn at_random(&mut self, below_ms: usize) {
        let ms = u64::try_from(self.dice.below(below_ms)).unwrap();
        std::thread::sleep(Duration::from_millis(ms));
    }

    /// So many different numbers below a bound: when something is to happen.
    fn choose(&mut self, count: usize, bound: usize) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..bound).collect();
        while chosen.len() > count {
            let at = self.dice.below(chosen.len());
            chosen.remove(at);
        }
        chosen
    }

    /// What was said between the two, by a client's own history.
    fn history(client: &Client, place: &str) -> Vec<Value> {
        Self::kept(client, place).events_named("history")
    }

    fn history_lines(client: &Client, place: &str) -> String {
        Self::kept(client, place).stdout
    }

    fn kept(client: &Client, place: &str) -> Finished {
        let count = (2 * MESSAGES).to_string();
        client.run_known(&["history", place, "--count", &count, "--json"]).expect_code(0)
    }

    /// Looks at what alice has said until all of it is in one of these states: a file has no event
    /// for a change.
    fn wait_for_state(&self, states: &[&str]) {
        let end = Instant::now() + LIMIT;
        loop {
            // Asked for often: whether the objects are as the page says is looked at when all is over.
            let entries = Self::history_lines(&self.alice, "bob");
            let is_there = |line: &&str| {
                states.iter().any(|state| line.contains(&format!("\"state\":\"{state}\"")))
            };
            let there = entries.lines().filter(is_there).count();
            if there == MESSAGES {
                return;
            }
            let late = entries.lines().find(|line| !is_there(line));
            let count = entries.lines().count();
            assert!(Instant::now() < end, "{there} of {count} are {states:?} in time: {late:?}");
        }
    }

    /// Alice writes to bob, who is away, while the server and her client are killed.
    fn send(&mut self, sent: &[String]) -> Said {
        let rounds = SERVER_KILLS / 2;
        let of_alice = self.choose(ALICE_KILLS, rounds);
        let (mut said, mut typed, mut of_this_life, mut is_new) = (Said::default(), 0, 0, true);
        let mut alice = self.alice.start(&["--json"]);
        for round in 0..rounds {
            let until = MESSAGES * (round + 1) / rounds;
            for text in &sent[typed..until] {
                alice.type_line(&format!("bob*{text}"));
            }
            (of_this_life, typed) = (of_this_life + until - typed, until);
            // A client whose first sign-in fails ends, as it should.
            if !is_new && self.dice.below(2) == 0 {
                self.at_random(AFTER_DELIVERY_MS);
            } else {
                let stored = of_this_life.saturating_sub(self.dice.below(PER_LIFE_MAX + 1)).max(1);
                let is_stored = |line: &str| line.contains("\"stored\"");
                alice.stdout.wait_for_count(stored, is_stored);
            }
            is_new = of_alice.contains(&round);
            if is_new {
                alice.kill_hard();
                said.add(&alice);
                // What a killed client had not taken from the keyboard is typed again.
                let kept = texts(&Self::history(&self.alice, "bob"));
                assert_eq!(kept, sent[..kept.len()], "what she has typed is in order");
                (typed, of_this_life) = (kept.len(), 0);
                self.kill_server();
                alice = self.alice.start(&["--json"]);
            } else {
                self.kill_server();
            }
        }
        for text in &sent[typed..] {
            alice.type_line(&format!("bob*{text}"));
        }
        // A second answer to what was sent twice does not say that bob is away.
        self.wait_for_state(&["kept", "stored"]);
        said.add(&alice);
        said
    }

    /// Bob signs in again and again, and is killed again and again; so are the others.
    fn receive(&mut self) -> (Said, Said) {
        // In which lives.
        let of_server = self.choose(SERVER_KILLS - self.server_kills, BOB_KILLS);
        let of_alice = self.choose(ALICE_KILLS, BOB_KILLS);
        let (mut said_alice, mut said_bob) = (Said::default(), Said::default());
        let mut alice = self.alice.start(&["listen", "--json"]);
        for life in 0..BOB_KILLS {
            let allowed = self.dice.below(PER_LIFE_MAX + 1);
            self.gate.allow(allowed);
            let mut bob = self.bob.start(&["listen", "--json"]);
            let kill_server = of_server.contains(&life).then(|| self.dice.below(3));
            if kill_server == Some(0) {
                self.at_random(DURING_SIGN_IN_MS);
                self.kill_server();
            }
            if allowed == 0 || self.dice.below(4) == 0 {
                self.at_random(DURING_SIGN_IN_MS);
            } else {
                self.gate.wait();
                self.at_random(AFTER_DELIVERY_MS);
            }
            if kill_server == Some(1) {
                self.kill_server();
            }
            bob.kill_hard();
            if kill_server == Some(2) {
                self.kill_server();
            }
            said_bob.add(&bob);
            if of_alice.contains(&life) {
                alice.kill_hard();
                said_alice.add(&alice);
                alice = self.alice.start(&["listen", "--json"]);
            }
        }
        self.gate.allow(usize::MAX);
        let bob = self.bob.start(&["listen", "--json"]);
        bob.stdout.wait_for_part("the end");
        // Her client may have met the server while it was down, and have ended.
        said_alice.add(&alice);
        drop(alice);
        let alice = self.alice.start(&["listen", "--json"]);
        self.wait_for_state(&["delivered"]);
        said_bob.add(&bob);
        said_alice.add(&alice);
        (said_alice, said_bob)
    }
}

fn texts(entries: &[Value]) -> Vec<String> {
    entries.iter().map(|entry| entry["text"].as_str().unwrap().to_owned()).collect()
}

/// The messages of one life, by their places in what was sent.
fn places(life: &[Value], sent: &[String]) -> Vec<usize> {
    let messages = life.iter().filter(|event| event["event"] == "message");
    let place = |event: &Value| sent.iter().position(|text| event["text"] == **text).unwrap();
    messages.map(place).collect()
}

/// Goal: alice sends a hundred messages to bob, who is away; he signs in, receives all in order and
/// confirms each; she sees each delivered. Nothing is lost, shown twice or out of order. Method:
/// meanwhile the server and bob's client are killed fifty times each, and alice's ten times, at
/// random points. The histories of both decide; standard output shows a message at least once.
#[test]
fn nothing_acknowledged_is_lost_whoever_is_killed() {
    let begun = Instant::now();
    let mut story = Story::begin();
    story.gate.allow(usize::MAX);
    story.bob.run(&["users"]).assert_code(0);
    let mut sent: Vec<String> = (1..MESSAGES).map(|number| format!("number {number};")).collect();
    sent.push("the end".to_owned());
    let sending = story.send(&sent);
    let sent_after = begun.elapsed();
    let (confirmed, shown) = story.receive();
    assert_eq!(story.server_kills, SERVER_KILLS);
    for (client, other) in [(&story.bob, "alice"), (&story.alice, "bob")] {
        let kept = texts(&Story::history(client, other));
        assert_eq!(kept, sent, "the history with {other}: each once, in order");
    }
    let lives: Vec<Vec<usize>> = shown.lives().map(|life| places(&life, &sent)).collect();
    for life in &lives {
        assert!(life.is_sorted(), "out of order within one life: {life:?}");
    }
    let mut seen = lives.concat();
    let printed = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..MESSAGES).collect::<Vec<_>>(), "each was shown");
    for said in [&sending, &confirmed, &shown] {
        said.assert_no_trouble();
    }
    for entry in Story::history(&story.alice, "bob").iter().step_by(20) {
        let id = entry["id"].as_str().unwrap();
        let proof = story.alice.run_known(&["proof", id, "--json"]).expect_code(0);
        let proof = proof.events().remove(0);
        assert_eq!(
            (&proof["verified"], &proof["receipts"][0]["by"]),
            (&true.into(), &"bob".into())
        );
    }
    let busy = lives.iter().filter(|life| !life.is_empty()).count();
    assert!(busy >= BUSY_LIVES_MIN, "{busy}");
    println!(
        "{MESSAGES} messages, kills: server {SERVER_KILLS}, bob {BOB_KILLS}, alice {}; {busy} of {} \
         lives of bob's client showed something, {printed} lines; {:.1} s to send, {:.1} s in all",
        2 * ALICE_KILLS,
        lives.len(),
        sent_after.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
}
