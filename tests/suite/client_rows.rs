//! Rows of docs/CLIENT.md that no other scenario shows: words of the chat and of the command line.

use std::process::Command;

use chat_tests::{Program, Rig, Scene, binary, messages, types};

/// Goal: other names of a command do the same, a command of another program is explained, and a text may begin with a
/// slash.
#[test]
fn other_names_of_commands_and_what_is_none() {
    let (scene, [mut alice, mut bob]) = Scene::with(["alice", "bob"]);
    for (line, part) in [
        ("/?", "/help COMMAND"),
        ("/who", "bob"),
        ("/names", "bob"),
        ("/list", "#lobby"),
        ("/j plans", "you are in #plans"),
        ("/part", "you have left #plans"),
        ("/join lobby", "you are in #lobby"),
        ("/dm bob one for bob", "delivered to bob"),
        ("/broadcast one for all", "stored for everybody (ALL)"),
        ("/sub bob", "you follow bob"),
        ("/subs", "bob"),
        ("/unsub bob", "you do not follow bob any more"),
        ("/cmd server -- uptime", "for server"),
        ("/lastlog one for bob", "one for bob"),
        ("/exec ls", "nothing runs on your own machine"),
        ("/cancel 7", "no file number 7"),
        ("/exti", "did you mean /quit?"),
    ] {
        let before = alice.stdout.count();
        alice.type_line(line);
        let is_new = |lines: &[String]| lines.iter().skip(before).any(|new| new.contains(part));
        assert!(alice.stdout.within(chat_tests::LIMIT, is_new), "{line}: {}", alice.stdout.text());
    }
    types(&mut bob, "alice*for you alone", "delivered to alice");
    alice.type_line("/r and back");
    bob.stdout.wait_for_part("alice → you: and back");
    alice.type_line("//etc is full");
    bob.stdout.wait_for_part("#lobby alice: /etc is full");
    assert!(!bob.stdout.text().contains("/exti"), "what is no command goes nowhere");
    alice.type_line("/q");
    drop((alice.wait(), scene));
}

/// Goal: rights of a room are given and taken by name.
#[test]
fn rights_are_given_and_taken() {
    let (_scene, [mut alice, mut bob]) = Scene::with(["alice", "bob"]);
    types(&mut alice, "/create plans", "you are in #plans");
    types(&mut bob, "/join plans", "you are in #plans");
    alice.stdout.wait_for_part("[bob] joined #plans");
    alice.type_line("/op bob");
    bob.stdout.wait_for_part("alice made you an admin of #plans");
    alice.type_line("/deop bob");
    bob.stdout.wait_for_part("alice made you an ordinary member of #plans");
}

/// Goal: file and profile are chosen by variables, the file is changed in the editor and checked, and the help names the
/// variables.
#[test]
fn configuration_is_chosen_by_variables_and_changed_in_the_editor() {
    let rig = Rig::new();
    let text = "theme = \"plain\"\n[profile.work]\ntheme = \"ascii\"\n";
    let file = rig.write("mine.toml", text).display().to_string();
    let run = |words: &[&str], variables: &[(&str, &str)]| {
        let mut command = rig.command(&binary("chat-client"));
        command.args(words).env("CHAT_CONFIG", &file).envs(variables.iter().copied());
        Program::start(command).finish()
    };
    let show = ["config", "show", "--origin"];
    let plain = run(&show, &[]).expect_code(0).stdout;
    assert!(plain.contains(&format!("theme = plain  ({file}:1)")), "{plain}");
    let work = run(&show, &[("CHAT_PROFILE", "work")]).expect_code(0).stdout;
    assert!(work.contains(&format!("theme = ascii  (profile work, {file}:3)")), "{work}");
    let editor = |text: &str| {
        let script = rig.write("edit.sh", &format!("printf '{text}' > \"$1\"\n"));
        format!("sh {}", script.display())
    };
    let right = editor("theme = \"contrast\"\\n");
    let edited = run(&["config", "edit"], &[("VISUAL", &right)]).expect_code(0);
    assert!(edited.stderr.contains("is in order"), "{edited:?}");
    for (wrong, part) in [
        ("theme = \"pink\"\\n", ":1: theme: it is default, contrast, plain or ascii"),
        ("server = \"ws://elsewhere:1\"\\n", "is not on this machine and not encrypted"),
    ] {
        let refused = run(&["config", "edit"], &[("EDITOR", &editor(wrong))]).expect_code(1);
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    rig.write("mine.toml", "");
    let help = run(&["--help"], &[]).expect_code(0).stdout;
    for name in [
        "CHAT_SERVER",
        "CHAT_USER",
        "CHAT_PROFILE",
        "CHAT_CONFIG",
        "CHAT_INVITE",
        "CHAT_PASSWORD",
        "CHAT_UI",
        "CHAT_WEAK_PASSWORD",
        "NO_COLOR",
        "EDITOR",
        "VISUAL",
        "RUST_LOG",
        "SSL_CERT_FILE",
    ] {
        assert!(help.contains(name), "{name}: {help}");
    }
}

/// Goal: what is typed wins over the file, also where the two do not go together, and where the file stands behind a word
/// that is read twice.
#[test]
fn what_is_typed_is_not_refused_for_what_stands_in_the_file() {
    let rig = Rig::new();
    let ca = rig.write("ca.pem", "none\n").display().to_string();
    let text = format!("ca = \"{ca}\"\nserver = \"ws://127.0.0.1:9\"\nuser = \"alice\"\n");
    let file = rig.write("config.toml", &text).display().to_string();
    let run = |words: &[&str]| {
        let mut command = rig.command(&binary("chat-client"));
        command.args(["--config", &file]).args(words);
        Program::start(command).finish()
    };
    let shown = run(&["--insecure", "config", "show", "--origin"]).expect_code(0).stdout;
    assert!(shown.contains("ca =   (default)"), "{shown}");
    rig.write("config.toml", "server = \"ws://127.0.0.1:9\"\nuser = \"alice\"\n");
    let asked = run(&["verify", "--server"]);
    assert!(asked.stderr.contains("127.0.0.1:9") && !asked.stderr.contains(":9000"), "{asked:?}");
}

/// Goal: the end of `get` says what the file is and how fast it came.
#[test]
fn a_file_that_was_fetched_is_named_by_its_sum() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let folder = scene.rig.path("shared");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plan.txt"), "a plan\n").unwrap();
    std::fs::write(folder.join("keyword.txt"), "plan, plan.txt\n").unwrap();
    let share = alice.start(&["share", folder.to_str().unwrap()]);
    share.stderr.wait_for_part("files on the list");
    let got = scene.client("bob").run(&["get", "alice", "plan.txt"]).expect_code(0);
    let sum = Command::new("sha256sum").arg(folder.join("plan.txt")).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    let sum = sum.split(' ').next().unwrap();
    let has = |line: &str| line.contains(&format!("sha256 {sum}")) && line.contains("/s");
    assert!(got.stderr.lines().any(has), "{got:?}");
}

/// Goal: the report of the emulator is a table, too, and so many losses may be allowed.
#[test]
fn the_report_of_the_emulator_is_a_table() {
    let scene = Scene::empty();
    let (page, messages) = (scene.rig.path("report.csv"), messages().display().to_string());
    let words = ["--emulate", "2", "--per-client", "3", "--max-lost", "0", "--messages", &messages];
    let table = ["--csv", page.to_str().unwrap()];
    scene.rig.emulator(scene.url()).run(&[&words[..], &table].concat()).assert_code(0);
    let table = std::fs::read_to_string(page).unwrap();
    let columns = |line: &str| line.split(',').count();
    let mut lines = table.lines();
    let head = columns(lines.next().unwrap());
    assert!(head > 1 && lines.all(|line| columns(line) == head), "{table}");
}

/// Goal: manual page and completions are printed, for each shell, without a server.
#[test]
fn the_manual_and_completions_are_printed() {
    let rig = Rig::new();
    let run = |words: &[&str]| {
        let mut command = rig.command(&binary("chat-client"));
        command.args(words);
        Program::start(command).finish().expect_code(0).stdout
    };
    let man = run(&["man"]);
    assert!(man.contains(".TH") && man.contains("SLASH COMMANDS"), "{man}");
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        let names = format!("chat-client complete --shell {shell}");
        assert!(script.contains("whoami") && script.contains(&names), "{shell}");
    }
}

/// Goal: what happens inside is told to whoever asks, on standard error, by flags and by a variable.
#[test]
fn what_happens_inside_is_told_on_request() {
    let scene = Scene::empty();
    let alice = scene.client("alice");
    let told = |words: &[&str], variables: &[(&str, &str)]| {
        let client = scene.client("alice").with_env(variables.iter().copied());
        client.run(words).expect_code(0).stderr
    };
    alice.run(&["users"]).assert_code(0);
    let (silent, loud) = (told(&["users"], &[]), told(&["-vv", "users"], &[]));
    assert!(loud.len() > silent.len(), "{loud}");
    let asked = told(&["users"], &[("RUST_LOG", "chat_device=debug")]);
    assert!(asked.len() > silent.len(), "{asked}");
    assert_eq!(told(&["-q", "users"], &[]), "");
}
