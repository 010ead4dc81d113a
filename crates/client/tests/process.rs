//! The binary by itself, without a server.

use std::process::{Command, Output};

fn chat_client(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-client"));
    for variable in ["CHAT_USER", "CHAT_SERVER", "CHAT_PASSWORD"] {
        command.env_remove(variable);
    }
    command.args(arguments).output().expect("the binary starts")
}

#[test]
fn it_says_what_it_is_and_how_it_is_used() {
    let version = chat_client(&["--version"]);
    assert!(version.status.success());
    let expected = format!("chat-client {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
    let help = chat_client(&["--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: chat-client"));
}

#[test]
fn a_wrong_command_line_is_exit_2_with_the_reason_on_standard_error() {
    for wrong in [&["--no-such-flag"][..], &["--user", "a b", "users"], &["--emulate", "none"]] {
        let refused = chat_client(wrong);
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert!(refused.stdout.is_empty(), "{wrong:?}");
        assert!(!refused.stderr.is_empty(), "{wrong:?}");
    }
}
