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

    /// Leaves a question that was asked without an answer: at a prompt the next command does that, and a script is asked
    /// none.
    fn leaves_question(&mut self) {
        if let Self::Full(terminal) = self {
            terminal.type_keys(b"\x1b");
            terminal.wait_until_seen("nothing is changed");
        }
    }

    /// Waits for what somebody else has done.
    #[track_caller]
    fn sees(&mut self, part: &str) {
        match self {
            Self::Pipe(program) => drop(program.stdout.wait_for_part(part)),
            Self::Line(terminal) => terminal.wait_for(part),
            Self::Full(terminal) => terminal.wait_until_seen(part),
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

/// One step of a day with alice and bob, of which each row's own example is one.
enum Step {
    /// Bob types this, and sees that.
    Bob(&'static str, &'static str),
    /// Alice types this, and sees that.
    Alice(&'static str, &'static str),
    /// Alice types the example of this row, and sees that.
    Row(&'static str, String),
    /// The same, and bob hears that.
    Heard(&'static str, &'static str),
    /// The same, and what alice types then bob hears so: it is where it goes that has changed.
    Then(&'static str, &'static str, &'static str),
    /// Alice says this.
    Says(&'static str),
    /// Bob hears of what alice has done before.
    Hears(&'static str),
    /// Alice sees of what bob has done before.
    Sees(&'static str),
    /// A question is left.
    Leave,
}

/// Rows whose example is not typed there: what they do is shown elsewhere, or they take the keyboard for a password.
const SHOWN_ELSEWHERE: [&str; 4] = ["clear", "quit", "password", "devices"];

/// What alice sees of the example of this row.
fn row(name: &'static str, seen: &str) -> Step {
    Step::Row(name, seen.to_owned())
}

/// The day: nobody has met before, and there is a plan.pdf and a report.pdf.
fn day() -> Vec<Step> {
    [about_this_program(), about_bob(), talk(), rooms(), files(), connection()]
        .into_iter()
        .flatten()
        .collect()
}

fn about_this_program() -> Vec<Step> {
    vec![
        row("help", "example: /run server -- uname -a"),
        row("whoami", "you are alice, device"),
        row("version", ", protocol "),
        row("status", "without an answer"),
        row("ping", "the server answers in"),
        row("lag", "the last answer took"),
        row("motd", "nothing was announced since you came"),
        row("unread", "nothing is new"),
        row("jobs", "no command of yours is under way"),
        row("pending", "everything sent is answered"),
        row("set", "presence = followed"),
        row("timestamp", "timestamps = off"),
        row("theme", "theme = contrast"),
        row("save", "the settings are kept in"),
    ]
}

fn about_bob() -> Vec<Step> {
    vec![
        Step::Bob("/subscribe alice", "you follow alice now"),
        Step::Row("users", format!("{:<32} online", "bob")),
        row("whois", "bob: online"),
        row("fingerprint", "the key of bob: "),
        row("verify", "compare with bob, by telephone or face to face:"),
        Step::Leave,
        row("trust", "no other key was offered for bob"),
        row("distrust", "no other key was offered for bob"),
        row("subscribe", "you follow bob now: what bob says"),
        row("subs", "you follow 1:"),
        row("unsubscribe", "you do not follow bob any more"),
        row("subscribers", "bob is removed and follows you no more"),
        row("ignore", "what bob says is hidden from now on"),
        row("unignore", "what bob says is shown again"),
        row("mute", "#ops is muted: only what names you"),
        row("unmute", "#ops is muted no more"),
        row("away", "you are away (at lunch)"),
        row("back", "you are back"),
    ]
}

fn talk() -> Vec<Step> {
    vec![
        Step::Heard("msg", "alice → you: see you at six"),
        Step::Heard("all", "alice → ALL: lunch is ready"),
        Step::Heard("me", "#lobby * alice waves"),
        Step::Heard("pm", "#lobby alice: 2*3 is still six"),
        Step::Bob("alice*psst", "delivered to alice"),
        Step::Heard("reply", "alice → you: on my way"),
        row("history", "you → bob: see you at six"),
        row("search", "messages fit"),
        row("receipts", "  id "),
        row("veil", "the veil is on: the letters"),
        Step::Alice("/veil off", "the veil is off"),
        Step::Then("query", "for bob alone", "alice → you: for bob alone"),
        Step::Then("room", "for all of them", "#lobby alice: for all of them"),
    ]
}

fn rooms() -> Vec<Step> {
    vec![
        row("create", "you are in #crew"),
        row("members", "#crew is private; members: "),
        Step::Says("the first word of the crew"),
        Step::Heard("invite", "alice added you to #crew"),
        Step::Heard("op", "alice made you an admin of #crew"),
        Step::Heard("deop", "alice made you an ordinary member of #crew"),
        row("grant", "bob is granted "),
        row("retention", "[alice] set how long the server keeps messages of #crew: 30d"),
        Step::Heard("ban", "alice banned you from #crew"),
        row("unban", "who is invited here is banned no more, bob too"),
        Step::Alice("/invite bob", "[alice] added bob to #crew"),
        Step::Heard("kick", "alice removed you from #crew"),
        Step::Bob("/create ops", "you are in #ops"),
        row("join", "you are in #ops"),
        Step::Hears("[alice] joined #ops"),
        Step::Row("rooms", format!("#{:<32} 2 users", "ops")),
        Step::Bob("/op alice", "[bob] made alice an admin of #ops"),
        row("topic", "[alice] set the topic of #ops: on call: bob"),
    ]
}

fn files() -> Vec<Step> {
    vec![
        row("transfers", "nothing is on its way and nobody offers you a file"),
        row("cancel", "no file number 1 is on its way"),
        row("decline", "nobody offers a file under this number"),
        row("share", "plan.pdf is shared"),
        row("files", "1  alice  plan.pdf"),
        row("find", "1  alice  plan.pdf"),
        row("get", "this file is your own"),
        row("keep", "the server keeps a copy of plan.pdf until"),
        row("unshare", "plan.pdf is not shared any more"),
        Step::Heard("send", "alice offers you report.pdf (8 B)"),
        Step::Bob("/send notes.txt alice", "notes.txt (7 B) is offered to alice"),
        Step::Sees("bob offers you notes.txt"),
        row("accept", "from bob is here, checked"),
        Step::Heard("leave", "[alice] left #ops"),
    ]
}

fn connection() -> Vec<Step> {
    vec![
        row("run", "Linux "),
        Step::Alice("/devices", ", this one"),
        row("key", "this device has new keys"),
        row("connect", "you are connected already"),
        row("disconnect", "disconnected; /connect connects again"),
        row("reconnect", "connected to ws://"),
    ]
}

/// Goal: the example of each row works, and comes to the same wherever it is typed. Method: one day with all of them, in a
/// pipe, at a prompt and on the full screen, each in a world of its own; what is seen is that of a person, on the full
/// screen in the picture that a terminal makes of it.
fn assert_each_example_comes_to_the_same(seat: &str) {
    let day = day();
    let shown = |name: &str| {
        day.iter().any(|step| match step {
            Step::Row(row, _) | Step::Heard(row, _) | Step::Then(row, ..) => *row == name,
            _ => false,
        })
    };
    for row in slash::rows() {
        assert_ne!(shown(row.name), SHOWN_ELSEWHERE.contains(&row.name), "/{}", row.name);
    }
    let example = |name: &str| slash::find(name).unwrap().example;
    let (scene, [mut bob]) = Scene::with(["bob"]);
    for (name, content) in
        [("plan.pdf", "a plan"), ("report.pdf", "a report"), ("notes.txt", "a notes")]
    {
        scene.rig.write(name, content);
    }
    let clients = Seat::all(&scene);
    let (_, client) = clients.into_iter().find(|(name, _)| *name == seat).unwrap();
    let mut alice = Seat::open(seat, &client);
    for step in &day {
        match step {
            Step::Bob(line, part) => types(&mut bob, line, part),
            Step::Alice(line, part) => alice.asks(line, part),
            Step::Row(name, part) => alice.asks(example(name), part),
            Step::Heard(name, part) => {
                alice.type_line(example(name));
                bob.stdout.wait_for_part(part);
            }
            Step::Then(name, line, part) => {
                alice.type_line(example(name));
                alice.type_line(line);
                bob.stdout.wait_for_part(part);
            }
            Step::Says(text) => alice.type_line(text),
            Step::Hears(part) => drop(bob.stdout.wait_for_part(part)),
            Step::Sees(part) => alice.sees(part),
            Step::Leave => alice.leaves_question(),
        }
    }
    alice.type_line("/quit");
}

#[test]
fn each_example_comes_to_the_same_in_a_pipe() {
    assert_each_example_comes_to_the_same("pipe");
}

#[test]
fn each_example_comes_to_the_same_at_a_prompt() {
    assert_each_example_comes_to_the_same("line");
}

#[test]
fn each_example_comes_to_the_same_on_the_full_screen() {
    assert_each_example_comes_to_the_same("full");
}

/// Goal: of somebody one is told the words of their key, how many devices they have and since when the first is known, and
/// in which rooms both are.
#[test]
fn whois_tells_words_devices_and_rooms() {
    let (_scene, [mut alice, mut bob]) = Scene::with(["alice", "bob"]);
    types(&mut bob, "/create plans", "you are in #plans");
    types(&mut alice, "/join plans", "you are in #plans");
    bob.stdout.wait_for_part("[alice] joined #plans");
    types(&mut alice, "/whois bob", "bob: online");
    let words = alice.stdout.wait_for_part("(not compared yet; /verify bob)");
    let words = words.trim().strip_prefix("key: ").and_then(|rest| rest.split(" (").next());
    types(&mut bob, "/verify alice", words.unwrap());
    let since = alice.stdout.wait_for_part("1 device, the first known since ");
    assert!(since.contains(':'), "a time: {since}");
    alice.stdout.wait_for_part("  also in #plans");
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
