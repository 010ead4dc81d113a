//! How a command line is read, and what help and manual page say.

use super::*;
use chat_text::words;

#[test]
fn the_definition_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn times_have_units() {
    for (text, ms) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)] {
        assert_eq!(duration(text), Ok(Duration::from_millis(ms)));
    }
    for text in ["", "10", "s", "-1s", "1.5s", "0s", "10 s", "99999999999999999999h"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn the_server_is_verified_by_its_name_by_a_bare_flag_or_without() {
    let parse = |words: &[&str]| {
        let (arguments, _) = Arguments::read(["chat-client"].iter().chain(words).copied())?;
        assert!(
            matches!(&arguments.verb, Some(Verb::Identity(IdentityVerb::Verify { name, .. })) if name.is_server())
        );
        Ok::<_, clap::Error>(arguments.common.server)
    };
    let (here, there) = ("ws://127.0.0.1:9000", "wss://chat.example.org");
    for words in [&["verify"][..], &["verify", "server"], &["verify", "--server"]] {
        assert_eq!(parse(words).unwrap(), [here], "{words:?}");
    }
    for words in [
        &["verify", "--server", there][..],
        &["--server", there, "verify", "--server"],
        &["--server", there, "verify", "--server", "--json"],
        &["verify", "server", "--server", there],
    ] {
        assert_eq!(parse(words).unwrap(), [there], "{words:?}");
    }
    assert!(Arguments::read(["chat-client", "users", "--server"]).is_err());
    let run = Arguments::read(["chat-client", "run", "server", "--", "verify", "--server"]);
    let Some(Verb::Run(run)) = run.unwrap().0.verb else { panic!("a command") };
    assert_eq!(run.argv, ["verify", "--server"]);
}

/// Goal: every command shows how it is used, then its own options, then what all have, once; and what
/// it shows works.
#[test]
fn the_help_of_each_command_has_examples_that_are_understood() {
    fn look(command: &mut Command, path: &str) {
        let help = command.render_help().to_string();
        assert!(help.contains("Examples:\n  "), "{path}: no example\n{help}");
        assert_eq!(help.matches("\nCommon options:\n").count(), 1, "{path}: {help}");
        let common = help.split_once("\nCommon options:\n").map(|(_, common)| common);
        assert!(common.is_some_and(|common| common.contains("--user <NAME>")), "{help}");
        assert_eq!(help.matches(" --user <NAME>").count(), 1, "{path}: {help}");
        for sub in command.get_subcommands_mut() {
            if !sub.is_hide_set() && sub.get_name() != "help" {
                let path = format!("{path} {}", sub.get_name());
                look(sub, &path);
            }
        }
    }
    let mut command = command();
    command.build();
    look(&mut command, "chat-client");
    for (path, lines) in EXAMPLES {
        for line in lines.lines() {
            let line = line.split(" # ").next().unwrap_or_default();
            let words = words::split(line).unwrap();
            let at = words.iter().position(|word| word == "chat-client");
            let words = words.into_iter().skip(at.unwrap());
            let words: Vec<_> = words.take_while(|word| word != "|").collect();
            let read = Arguments::read(&words);
            assert!(read.is_ok(), "{line}: {:?}", read.err());
            assert!(words.join(" ").contains(path), "{line} is no example of {path}");
        }
    }
}

#[test]
fn help_shows_examples_and_exit_codes_have_a_page() {
    let help = command().render_help().to_string();
    assert!(help.contains("run server -- uname -a"), "{help}");
    let error = Arguments::try_parse_from(["chat-client", "help", "exit-codes"]).unwrap_err();
    assert_eq!(error.exit_code(), 0);
    assert!(error.to_string().contains("124  timed out"), "{error}");
}

#[test]
fn manual_and_completions_know_the_verbs() {
    let mut page = Vec::new();
    write_man(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    for part in ["emulate", ".SH \"SLASH COMMANDS\"", "/grant USER", "EXIT STATUS", "timed out"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("(1)"), "a page that nobody made: {page}");
    let mut script = Vec::new();
    write_completions(Shell::Bash, &mut script);
    assert!(String::from_utf8(script).unwrap().contains("listen"));
}
