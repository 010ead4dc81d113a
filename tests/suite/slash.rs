//! Slash commands by the real programs, where they are typed: in a pipe, at a prompt, and on the full screen.

use chat_tests::{Client, LIMIT, PASSWORD, Program, Scene, Terminal, operator, types};
use chat_text::slash;

/// Where alice types.
enum Seat {
    Pipe(Program),
    Line(Terminal),
    Full(Terminal),
}

impl Seat {
    /// One after the other, each with a home of its own: another device of alice.
    fn all(scene: &Scene) -> Vec<(&'static str, Client)> {
        let names = ["pipe", "line", "full"];
        names.map(|name| (name, scene.client("alice").with_home(scene.rig.path(name)))).into()
    }

    fn open(name: &str, client: &Client) -> Self {
        match name {
            "pipe" => Self::Pipe(client.chat()),
            "line" => {
                client.run(&["users"]).assert_code(0);
                let mut chat = client.at_terminal(&[]);
                chat.answer("Password", PASSWORD);
                chat.wait_for("alice #lobby>");
                Self::Line(chat)
            }
            _ => {
                // Wide: what is looked for stands in one row.
                let chat = client.at_full_screen((200, 40), "");
                // It opens without its server; what is asked of that is refused until there is a connection.
                chat.wait_until_seen("connected to");
                Self::Full(chat)
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        match self {
            Self::Pipe(program) => program.type_line(line),
            Self::Line(terminal) | Self::Full(terminal) => terminal.type_line(line),
        }
    }

    /// Types a line and waits for this part of what it comes to. On a full screen the log is emptied before: what an
    /// earlier line came to is no answer.
    #[track_caller]
    fn asks(&mut self, line: &str, part: &str) {
        match self {
            Self::Pipe(program) => {
                let before = program.stdout.count();
                program.type_line(line);
                let is_new =
                    |lines: &[String]| lines.iter().skip(before).any(|new| new.contains(part));
                assert!(
                    program.stdout.within(LIMIT, is_new),
                    "no {part:?}: {}",
                    program.stdout.text()
                );
            }
            Self::Line(terminal) => terminal.types(line, part),
            Self::Full(terminal) => {
                terminal.type_line("/clear");
                terminal.wait_until_gone(part);
                terminal.type_line(line);
                terminal.wait_until_seen(part);
            }
        }
    }
}

/// Goal: what the new words do is the same wherever they are typed.
#[test]
fn commands_do_what_they_say_in_a_pipe() {
    assert_commands_do_what_they_say(&["pipe"]);
}

#[test]
fn commands_do_what_they_say_at_a_prompt_and_on_the_full_screen() {
    assert_commands_do_what_they_say(&["line", "full"]);
}

/// Types them one after the other at each of these seats.
fn assert_commands_do_what_they_say(seats: &[&str]) {
    let (scene, [mut bob]) = Scene::with(["bob"]);
    operator(&scene.rig, &["announce", "lunch-is-ready"]).assert_code(0);
    bob.stdout.wait_for_part("lunch-is-ready");
    let chosen = Seat::all(&scene).into_iter().filter(|(name, _)| seats.contains(name));
    for (round, (name, client)) in (1..).zip(chosen) {
        let mut alice = Seat::open(name, &client);
        alice.asks("/whois bob", "bob: online");
        alice.asks("/whois bob", "/verify");
        alice.asks("/ping", "answers");
        alice.asks("/lag", "the last answer took");
        alice.asks("/motd", "nothing was announced since you came");
        operator(&scene.rig, &["announce", &format!("dinner-for-{name}")]).assert_code(0);
        alice.asks("/motd", &format!("dinner-for-{name}"));
        alice.asks("/unread", "nothing is new");
        alice.asks("/jobs", "no command of yours is under way");
        alice.asks("/jobs cancel 7", "there is no command 7 under way");
        alice.asks("/theme ascii", "default, contrast, plain or ascii");
        alice.asks("/theme default", "default, contrast, plain or ascii");
        alice.asks("/set presense all", "did you mean presence?");
        alice.asks("/connect", "you are connected already");
        bob.type_line(&format!("alice*psst-{name}"));
        bob.stdout.wait_for_count(round, |line| line.contains("delivered to alice"));
        alice.type_line(&format!("/reply on my way-{name}"));
        bob.stdout.wait_for_part(&format!("alice → you: on my way-{name}"));
        alice.type_line(&format!("/me waves-{name}"));
        bob.stdout.wait_for_part(&format!("#lobby * alice waves-{name}"));
        alice.type_line("/query bob");
        alice.type_line(&format!("a secret-{name}"));
        bob.stdout.wait_for_part(&format!("alice → you: a secret-{name}"));
        alice.type_line(&format!("/reply ^ quoted-{name}"));
        bob.stdout.wait_for_part(&format!("alice → you: > bob: psst-{name}"));
        bob.stdout.wait_for_part(&format!("    quoted-{name}"));
        alice.type_line("/disconnect");
        alice.type_line(&format!("written while away-{name}"));
        alice.type_line("/connect");
        bob.stdout.wait_for_part(&format!("written while away-{name}"));
        alice.type_line("/reconnect");
        alice.type_line(&format!("after another connection-{name}"));
        bob.stdout.wait_for_part(&format!("after another connection-{name}"));
        alice.type_line("/quit");
    }
}

/// Goal: whoever goes away and comes back at once is back. (The build before looked at what it had been told of the
/// connection last, said that it was there, and stayed away.) Method: a script types without waiting for anything.
#[test]
fn who_leaves_and_comes_back_at_once_is_back() {
    let (scene, [bob]) = Scene::with(["bob"]);
    let lines: Vec<String> = (0..5)
        .flat_map(|round| {
            let back = format!("bob*back {round}");
            let away = format!("bob*written away {round}");
            ["/disconnect", "/connect", &back, "/disconnect", &away, "/connect", "/reconnect"]
                .map(str::to_owned)
        })
        .collect();
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.extend(["/disconnect", "/status", "/connect"]);
    let alice = scene.client("alice").pipe(&lines, &[]).expect_code(0);
    assert!(alice.stdout.contains("\ndisconnected; /connect connects again; "), "{alice:?}");
    for round in 0..5 {
        bob.stdout.wait_for_part(&format!("back {round}"));
        bob.stdout.wait_for_part(&format!("written away {round}"));
    }
}

/// Goal: the line of `/help COMMAND` works, for every command. Method: all are typed, one after the other; what the
/// table says of its own words is never refused by it, and the program goes on.
#[test]
fn every_example_of_the_table_is_understood_wherever_it_is_typed() {
    let (scene, [bob]) = Scene::with(["bob"]);
    scene.rig.write("plan.pdf", "a plan");
    scene.rig.write("report.pdf", "a report");
    for (name, client) in Seat::all(&scene) {
        let mut alice = Seat::open(name, &client);
        // What asks for a password takes the keyboard; the end comes last.
        // On the full screen a question about a key is a window that takes what is typed behind it.
        let is_asked = |row: &str| name == "full" && ["verify", "trust", "distrust"].contains(&row);
        let asks = |row: &str| ["password", "devices", "quit"].contains(&row) || is_asked(row);
        for row in slash::rows().filter(|row| !asks(row.name)) {
            alice.type_line(row.example);
        }
        alice.type_line("/connect");
        alice.type_line("/query bob");
        alice.type_line(&format!("still there-{name}"));
        bob.stdout.wait_for_part(&format!("still there-{name}"));
        let said = match &alice {
            Seat::Pipe(program) => program.stdout.text(),
            Seat::Line(terminal) | Seat::Full(terminal) => terminal.text(),
        };
        for refused in ["usage: /", "unknown command", "is not the name of"] {
            assert!(!said.contains(refused), "{name}: {refused}: {said}");
        }
        alice.type_line("/quit");
    }
}

/// Goal: a command under way has a number by which it is taken back.
#[test]
fn a_command_under_way_is_listed_and_taken_back_by_its_number() {
    let (scene, [mut alice]) = Scene::with(["alice"]);
    types(&mut alice, "/fingerprint", "in a policy: ");
    let line = alice.stdout.wait_for_part("in a policy: ");
    let key = line.rsplit(' ').next().unwrap();
    let rule = format!(
        "[[rule]]\nwho = [{{ name = \"alice\", key = \"{key}\" }}]\nargv = [[\"sleep\", \"*\"]]\n"
    );
    let policy = scene.rig.write("policy.toml", &rule);
    let agent = scene.client("web1").start(&["agent", "--policy", &policy.display().to_string()]);
    agent.stderr.wait_for_part("accepting commands");
    types(&mut alice, "/run web1 -- sleep 50", "web1 runs it");
    types(&mut alice, "/jobs", "  1 on web1: sleep 50 (runs)");
    types(&mut alice, "/jobs cancel 1", "command 1 on web1 is taken back");
    alice.stdout.wait_for_part("E_CANCELLED");
    types(&mut alice, "/jobs", "no command of yours is under way");
}

/// Goal: what was said is shown without its time once that is wanted.
#[test]
fn times_are_left_out_on_request() {
    let (scene, [mut alice, mut bob]) = Scene::with(["alice", "bob"]);
    types(&mut alice, "/timestamp off", "timestamps = off");
    types(&mut bob, "without a time", "stored");
    assert_eq!(alice.stdout.wait_for_part("without a time"), "#lobby bob: without a time");
    types(&mut alice, "/timestamp on", "timestamps = on");
    types(&mut bob, "with a time", "stored");
    assert_ne!(alice.stdout.wait_for_part("with a time"), "#lobby bob: with a time");
    drop(scene);
}

/// Goal: whoever answers while two people write is not taken to mean the other one.
#[test]
fn an_answer_to_two_who_write_at_once_goes_to_nobody() {
    let (_scene, [mut alice, mut bob, mut carol]) = Scene::with(["alice", "bob", "carol"]);
    types(&mut bob, "alice*from bob", "delivered to alice");
    types(&mut carol, "alice*from carol", "delivered to alice");
    alice.stdout.wait_for_part("from carol");
    types(&mut alice, "/reply for one of you", "nothing was sent: carol has just written, too");
    types(&mut alice, "/reply", "needs a text");
    let unsaid = |person: Program| !person.finish().stdout.contains("for one of you");
    assert!(unsaid(bob) && unsaid(carol));
}
