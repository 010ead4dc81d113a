//! `run`: what is asked of another machine.

use std::time::Duration;

use chat_protocol::name::{SERVER, UserName};
use chat_text::input::CommandTooLong;
use clap::Args;

use super::{ConfigError, arguments, user};

/// The words behind `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Ask even if the same command could still start there: the server says that it refused it, or no answer came
    #[arg(long)]
    pub again: bool,
    /// End the command after this time, and wait no longer for it: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    pub timeout: Option<Duration>,
    /// What stands on standard input is not for the command, which gets none
    #[arg(short, long)]
    pub no_input: bool,
    /// `server`, or a user whose client runs as an agent
    pub target: String,
    /// The program and its arguments, after `--`
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// One command on another machine.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOf {
    /// `server` or a user.
    pub target: UserName,
    /// Program and arguments; not empty, within the limits of the protocol.
    pub argv: Vec<String>,
    /// Also while the same words could still start there, after a refusal by the server or without an answer.
    pub again: bool,
    /// How long it may run, and is waited for.
    pub timeout: Option<Duration>,
    /// Whatever stands on standard input is not meant for it.
    pub no_input: bool,
}

impl RunArguments {
    pub(super) fn read(self) -> Result<RunOf, ConfigError> {
        let Self { again, timeout, no_input, target, command: argv } = self;
        CommandTooLong::check(&argv)?;
        let target = match target {
            name if name.eq_ignore_ascii_case(SERVER) => UserName::server(),
            name => user("run", &name)?,
        };
        Ok(RunOf { target, argv, again, timeout, no_input })
    }
}
