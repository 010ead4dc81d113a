//! Which variables of the environment count.

use std::env;

use clap::Command;

/// The command without the variables that are empty: one that is empty counts as not set, which is how
/// files of variables and containers switch one off.
pub(super) fn without_empty(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let value = argument.get_env().and_then(env::var_os);
        if value.is_some_and(|value| value.is_empty()) {
            return argument.env(None::<&'static str>);
        }
        argument
    });
    command.mut_subcommands(without_empty)
}
