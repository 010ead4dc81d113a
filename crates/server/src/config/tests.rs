//! Where a value comes from, and what makes no configuration.

use clap::{Command, CommandFactory, FromArgMatches, Parser};

use super::{
    arguments::{parse_size, parse_time},
    *,
};

fn options(arguments: &[&str]) -> Options {
    let program = std::iter::once("chat-server");
    Cli::try_parse_from(program.chain(arguments.iter().copied())).unwrap().options
}

fn with_file(text: &str, arguments: &[&str]) -> Result<Config, ConfigError> {
    let folder = folder_with(text);
    let mut options = options(arguments);
    options.config = Some(folder.path().join("chat.toml"));
    Config::resolve(&options)
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chat.toml"), text).unwrap();
    folder
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

/// Goal: every command shows how it is used, then its own options, then those of all; and what it shows
/// works.
#[test]
fn the_help_of_each_command_has_examples_that_are_understood() {
    fn look(command: &mut Command, path: &str) {
        let help = command.render_help().to_string();
        assert!(help.contains("Examples:\n  chat-server"), "{path}: no example\n{help}");
        for heading in ["\nOptions:\n", "\nCommon options:\n"] {
            assert!(help.matches(heading).count() <= 1, "{path}: {help}");
        }
        if let (Some(own), Some(common)) = (help.find("Options:\n"), help.find("Common options:\n"))
        {
            assert!(own < common, "{path}: {help}");
        }
        for sub in command.get_subcommands_mut() {
            if sub.get_name() != "help" {
                let path = format!("{path} {}", sub.get_name());
                look(sub, &path);
            }
        }
    }
    let mut command = command();
    command.build();
    look(&mut command, "chat-server");
    for (path, lines) in examples::EXAMPLES {
        for line in lines.lines() {
            let words = line.split_whitespace().map(|word| word.trim_matches('\''));
            let words: Vec<_> = words.take_while(|word| !["#", "|", ">"].contains(word)).collect();
            let read = Cli::try_parse_from(&words);
            assert!(read.is_ok(), "{line}: {:?}", read.err());
            assert!(words.join(" ").contains(path), "{line} is no example of {path}");
        }
    }
    let help = command.find_subcommand_mut("doctor").unwrap().render_help().to_string();
    let (own, common) = help.split_once("Common options:\n").unwrap();
    assert!(own.contains("--json") && common.contains("--port"), "{help}");
}

#[test]
fn the_manual_page_names_no_page_that_nobody_made() {
    let mut page = Vec::new();
    write_man(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    for part in
        ["chat\\-server user reset", "EXIT STATUS", "storage failure", "\\-\\-trusted\\-proxy"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("(1)"), "{page}");
}

#[test]
fn nothing_given_means_this_machine_only() {
    let config = Config::resolve(&options(&[])).unwrap();
    assert_eq!(config.address.to_string(), "127.0.0.1:9000");
    assert_eq!(config.tls, Tls::Off);
    assert_eq!(config.verify, Verify::Signature);
    assert_eq!(config.drain_time_max, Duration::from_secs(5));
}

#[test]
fn the_default_file_changes_nothing() {
    let by_file = Config { said: None, ..with_file(DEFAULT_FILE, &[]).unwrap() };
    let without = Config { said: None, ..Config::resolve(&options(&[])).unwrap() };
    assert_eq!(format!("{by_file:?}"), format!("{without:?}"));
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = "port = 9100\nverify = \"transport\"\ndrain_timeout = \"700ms\"";
    let config = with_file(file, &["--port", "9200"]).unwrap();
    assert_eq!(config.address.port(), 9200);
    assert_eq!(config.verify, Verify::Transport);
    assert_eq!(config.drain_time_max, Duration::from_millis(700));
}

#[test]
fn a_way_of_tls_on_the_command_line_replaces_that_of_the_file() {
    let file = "tls_cert = \"a.pem\"\ntls_key = \"b.pem\"";
    assert!(matches!(with_file(file, &[]).unwrap().tls, Tls::Files(_)));
    assert_eq!(with_file(file, &["--tls", "auto"]).unwrap().tls, Tls::Auto);
    let files = ["--tls-cert", "c.pem", "--tls-key", "d.pem"];
    let Tls::Files(files) = with_file("tls = \"auto\"", &files).unwrap().tls else {
        panic!("files were given");
    };
    assert_eq!(files.certificate, Path::new("c.pem"));
}

#[test]
fn other_machines_are_served_with_tls_or_by_an_explicit_word() {
    for bind in ["0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1"] {
        let error = Config::resolve(&options(&["--bind", bind])).unwrap_err().to_string();
        assert!(error.contains("--tls auto") && error.contains("--insecure-plaintext"), "{error}");
        let explicit = options(&["--bind", bind, "--insecure-plaintext"]);
        assert!(Config::resolve(&explicit).unwrap().is_plaintext_exposed);
        let encrypted = options(&["--bind", bind, "--tls", "auto"]);
        assert!(!Config::resolve(&encrypted).unwrap().is_plaintext_exposed);
    }
    for bind in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
        assert!(Config::resolve(&options(&["--bind", bind])).is_ok(), "{bind} is this machine");
    }
}

#[test]
fn half_of_tls_and_two_ways_of_it_are_refused() {
    let cases: [(&[&str], &str); 3] = [
        (&["--tls-cert", "a.pem"], "--tls-cert without --tls-key"),
        (&["--tls-key", "a.pem"], "--tls-key without --tls-cert"),
        (&["--tls", "auto", "--tls-cert", "a", "--tls-key", "b"], "contradict"),
    ];
    for (arguments, expected) in cases {
        let error = Config::resolve(&options(arguments)).unwrap_err().to_string();
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn a_bad_file_is_named_with_the_place_of_the_error() {
    for (text, expected) in [
        ("prot = 9000", "unknown field `prot`"),
        ("port = \"9000\"", "invalid type"),
        ("port = 70000", "70000"),
        ("tls = \"on\"", "unknown variant `on`"),
        ("drain_timeout = \"soon\"", "expected a time"),
        ("port", "chat-server config default"),
    ] {
        let error = with_file(text, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.contains("chat.toml"), "{text}: {error}");
    }
    let mut options = options(&[]);
    options.config = Some("/nonexistent/chat.toml".into());
    let error = Config::resolve(&options).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the configuration"), "{error}");
}

#[test]
fn times_are_read_with_their_unit() {
    assert_eq!(parse_time("5s"), Ok(Duration::from_secs(5)));
    assert_eq!(parse_time("5"), Ok(Duration::from_secs(5)));
    assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
    for text in ["", "s", "5m", "-1s", "1.5s", "99999999999999999999"] {
        assert!(parse_time(text).is_err(), "{text:?}");
    }
}

#[test]
fn sizes_are_read_with_their_unit() {
    assert_eq!(parse_size("0"), Ok(0));
    assert_eq!(parse_size("1000"), Ok(1_000));
    assert_eq!(parse_size("64KiB"), Ok(64 * 1_024));
    assert_eq!(parse_size("2GiB"), Ok(2 << 30));
    for text in ["", "GiB", "1GB", "-1", "1.5GiB", "99999999TiB"] {
        assert!(parse_size(text).is_err(), "{text:?}");
    }
    let config = with_file("copies_quota = \"2MiB\"\ncopies_days = 3", &["--copies-days", "2"]);
    assert_eq!(config.unwrap().copies, CopyLimits::new(2 << 20, 2));
}

#[test]
fn config_show_tells_the_source_of_each_value() {
    let folder = folder_with("logs = \"elsewhere\"");
    let path = folder.path().join("chat.toml");
    let line = ["chat-server", "config", "show", "--port", "9300", "--config"];
    let matches = Cli::command()
        .try_get_matches_from(line.iter().map(AsRef::as_ref).chain([path.as_os_str()]))
        .unwrap();
    let cli = Cli::from_arg_matches(&matches).unwrap();
    let Some(Action::Config { options, .. }) = cli.subcommand else { panic!("not config") };
    let shown = show(&options, matches.subcommand_matches("config").unwrap()).unwrap();
    let source_of = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(source_of("port"), ["9300", "flag"]);
    assert_eq!(source_of("logs"), ["elsewhere", "file"]);
    assert_eq!(source_of("bind"), ["127.0.0.1", "default"]);
}

/// Goal: the help says of `--metrics-bind` what the server does: health stays on the port of everybody.
#[test]
fn the_help_says_where_health_is_answered() {
    let command = Cli::command();
    let argument = command.get_arguments().find(|argument| argument.get_id() == "metrics_bind");
    let help = argument.unwrap().get_help().unwrap().to_string();
    assert!(help.contains("health is answered on both"), "{help}");
}

/// Goal: a server that leaves the others reads what they have written, wherever it is said where that lies. Before: the option
/// did nothing where the configuration file named a Redis.
#[test]
fn who_leaves_the_others_reads_on_or_says_the_turn() {
    let file = "redis = \"redis://db:6379\"\nnode = \"n1\"";
    let config = with_file(file, &["--leave-cluster"]).unwrap();
    let Some(Leaving::ReadingOn(sharing)) = config.leaving else { panic!("it reads on") };
    assert_eq!(sharing.node.as_str(), "n1");
    assert!(config.sharing.is_none(), "it is alone in everything else");
    let words = ["--redis", "redis://db:6379", "--node", "n1", "--leave-cluster"];
    assert!(matches!(with_file("", &words).unwrap().leaving, Some(Leaving::ReadingOn(_))));
    let config = with_file("", &["--leave-cluster=40"]).unwrap();
    assert!(matches!(config.leaving, Some(Leaving::AtTurn(40))));
    let config = with_file("", &["--leave-cluster"]).unwrap();
    assert!(matches!(config.leaving, Some(Leaving::HasLeft)), "if it has not, its start says so");
    let error = with_file(file, &["--leave-cluster=40"]).unwrap_err();
    assert!(matches!(error, ConfigError::LeavesTwice { turn: 40 }), "{error}");
    assert!(with_file(file, &[]).unwrap().sharing.is_some());
}
