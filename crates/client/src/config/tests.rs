//! The fixed command line, flag by flag. The variables `CHAT_SERVER` and `CHAT_USER` are clap's
//! business and not set here: tests of one process share an environment.

use std::time::Duration;

use chat_protocol::name::RoomName;
use clap_complete::Shell;

use super::*;
use crate::agent_host::AgentOf;
use crate::verb::listen::ListenOf;
use crate::verb::run::RunOf;
use crate::verb::send::SendOf;

fn config(line: &str) -> Result<Config, ConfigError> {
    let arguments = line.split_whitespace().map(str::to_owned);
    Config::new(
        std::iter::once("chat-client".to_owned())
            .chain(["--home".into(), "h".into()])
            .chain(arguments),
        None,
    )
}

fn mode_of(line: &str) -> Mode {
    config(line).unwrap_or_else(|error| panic!("{line}: {error}")).mode
}

fn name(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

#[test]
fn verbs_are_read() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let send = |to, text: &str, veil| Verb::Send(SendOf { to, veil, text: words(text) });
    let user = |of: &str| Recipient::User(name(of));
    for (line, verb) in [
        ("--user alice send bob hello you", send(user("bob"), "hello you", false)),
        ("send bob --veil hello --user a", send(user("bob"), "hello", true)),
        ("send all hi --user a", send(Recipient::All, "hi", false)),
        ("--user a send #lobby -", send(Recipient::Room(RoomName::lobby()), "-", false)),
        (
            "--user a listen --count 3 --for 10s --json",
            Verb::Listen(ListenOf { count: Some(3), limit: Some(Duration::from_secs(10)) }),
        ),
        (
            "--user a run Server -- uname -a",
            Verb::Run(RunOf {
                target: UserName::server(),
                argv: words("uname -a"),
                again: false,
                timeout: None,
                no_input: false,
            }),
        ),
        (
            "--user a run --again -n --timeout 2m web1 ls -l --json",
            Verb::Run(RunOf {
                target: name("web1"),
                argv: words("ls -l --json"),
                again: true,
                timeout: Some(Duration::from_mins(2)),
                no_input: true,
            }),
        ),
        ("--user a users", Verb::Users),
        (
            "agent --check --policy p",
            Verb::Agent(AgentOf { policy: Some("p".into()), check: true }),
        ),
        ("story AZAZAZAZ --logs l", Verb::Story { id: "AZAZAZAZ".to_owned() }),
        ("completions bash", Verb::Completions { shell: Shell::Bash }),
        ("exit-codes", Verb::ExitCodes),
    ] {
        assert_eq!(mode_of(line), Mode::Verb(verb), "{line}");
    }
    assert_eq!(mode_of("--user alice"), Mode::Interactive);
}

#[test]
fn what_signs_in_must_not_ask_for_a_name_and_the_rest_needs_none() {
    for line in [
        "users",
        "files",
        "devices",
        "key rotate",
        "verify bob",
        "account delete",
        "agent",
        "search x",
        "proof AZ8Rm0vUcUuTf1lD9wqYbQ",
    ] {
        assert!(matches!(config(line), Err(ConfigError::NoUser { .. })), "{line}");
    }
    for line in ["verify", "agent --check", "proof --verify f", "transfers clean", "servers", "man"]
    {
        assert!(config(line).is_ok(), "{line}");
    }
}

#[test]
fn a_flag_that_would_do_nothing_is_known() {
    for (line, flag) in [
        ("users --plain", Some("plain")),
        ("--stop-on-error send bob hi", Some("stop-on-error")),
        ("--ui line listen", Some("ui")),
        ("--plain", None),
        ("users --json", None),
    ] {
        let words = std::iter::once("chat-client").chain(line.split(' ')).map(OsString::from);
        let found = arguments::idle_flag(&words.collect::<Vec<_>>());
        assert_eq!(found.map(|(flag, _)| flag).as_deref(), flag, "{line}");
    }
}

#[test]
fn the_emulator_has_its_flags() {
    let plain = Emulation {
        clients: 20,
        messages: "messages.txt".into(),
        extent: Extent::PerClient(50),
        rate: None,
        seed: None,
        html: None,
        rooms: 0,
        files: 0,
        churn: 0,
        offline: 0,
        p99_max: None,
        csv: None,
        lost_max: 0,
        in_lobby: false,
    };
    assert_eq!(mode_of("--emulate 20 --messages messages.txt"), Mode::Emulate(plain.clone()));
    let full = "--emulate 20 --duration 30s --rate 0.5 --seed 7 --html r.html --max-p99 50 \
                --churn 25 --offline 10 --lobby";
    let expected = Emulation {
        extent: Extent::Duration(Duration::from_secs(30)),
        rate: Some(0.5),
        seed: Some(7),
        html: Some("r.html".into()),
        churn: 25,
        offline: 10,
        p99_max: Some(Duration::from_millis(50)),
        in_lobby: true,
        ..plain
    };
    assert_eq!(mode_of(full), Mode::Emulate(expected));
    assert_eq!(config("--emulate 2").unwrap().common.key_bits, 2048);
}

#[test]
fn common_flags_have_defaults_and_values() {
    let common = config("").unwrap().common;
    assert_eq!(common.servers, ["ws://127.0.0.1:9000".parse().unwrap()]);
    assert_eq!((common.user, common.password), (None, None));
    assert_eq!(common.home, PathBuf::from("h"));
    assert_eq!((common.verbosity, common.key_bits), (Verbosity::Normal, 3072));
    assert_eq!(common.trust, Trust::SystemOrPinned);
    let line = "--server wss://a:1 --server ws://[::1]:2 -vv --json --register --key-bits 4096 \
                --ca ca.pem --user bob";
    let common = config(line).unwrap().common;
    assert_eq!(common.servers.len(), 2);
    assert_eq!((common.user, common.verbosity), (Some(name("bob")), Verbosity::Debug));
    assert!(common.json && common.register);
    assert_eq!(common.trust, Trust::Authorities("ca.pem".into()));
}

#[test]
fn mistakes_are_named_and_exit_with_2() {
    for (line, part) in [
        ("--user al*ce", "is not the name of a user: "),
        ("--user a proof x", "is not the id of a message"),
        ("--user ALL", "reserved"),
        ("--user server", "reserved"),
        ("send bob hi", "send needs a name: give --user NAME"),
        ("listen", "listen needs a name"),
        ("--user a send b*b hi", "'*' at position 2"),
        ("--user a send #a*b hi", "is not the name of a room"),
        ("--user a run server", "required"),
        ("--user a send bob", "required"),
        ("--server localhost:9000", "expected ws://HOST:PORT"),
        ("--server ws://chat.example.org", "not encrypted; use wss://"),
        ("--emulate 0", "0 is not in 1..=10000"),
        ("--emulate 2 --per-client 5 --duration 3s", "cannot be used with"),
        ("--emulate 2 --rate 0", "above 0"),
        ("--emulate 2 --duration 30", "500ms, 10s"),
        ("--emulate 2 users", "--emulate takes no command"),
        ("--seed 5", "--emulate"),
        ("--emulate 2 --churn 101", "101 is not in 1..=100"),
        ("--offline 5", "--emulate"),
        ("--key-bits 1024", "expected 2048, 3072 or 4096, got 1024"),
        ("--ca x --insecure", "cannot be used with"),
        ("-q -v", "cannot be used with"),
        ("teleport", "unrecognized subcommand"),
        ("--password-file /nonexistent/p", "cannot use the password of /nonexistent/p"),
    ] {
        let error = config(line).expect_err(line);
        assert!(error.to_string().contains(part), "{line}: {error}");
        assert_eq!(error.exit_status(), ExitStatus::Usage, "{line}");
    }
    for line in ["--help", "--version", "help exit-codes"] {
        assert_eq!(config(line).expect_err(line).exit_status(), ExitStatus::Ok, "{line}");
    }
}

#[test]
fn plain_traffic_beyond_this_machine_needs_the_loud_flag() {
    let common = config("--server ws://chat.example.org --insecure").unwrap().common;
    assert_eq!(common.trust, Trust::Anybody);
}

#[test]
fn the_password_comes_from_the_file_first_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "from the file\r\n").unwrap();
    let with = |arguments: &[&str]| {
        let arguments = ["chat-client", "--home", "h"].iter().chain(arguments);
        Config::new(arguments.map(OsString::from), Some("from the environment".into()))
    };
    let file_text = file.to_str().unwrap();
    let config = with(&["--password-file", file_text]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("from the file"), "{shown}");
    assert_eq!(config.common.password.unwrap().expose(), "from the file");
    let config = with(&[]).unwrap();
    assert_eq!(config.common.password.unwrap().expose(), "from the environment");

    for (content, part) in
        [(String::new(), "empty"), ("\n".to_owned(), "empty"), ("x".repeat(2000), "at most 1024")]
    {
        std::fs::write(&file, content).unwrap();
        let error = with(&["--password-file", file_text]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
