//! The binary: the helper of the agent, the command line, one mode, an exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use chat_client::config::{Config, ConfigError, Verbosity};
use chat_client::exit::ExitStatus;
use chat_client::start::Failure;
use chat_client::{diagnostics, task};
use chat_protocol::sanitise;

fn main() -> ExitCode {
    // A command is run by this binary started again; nothing of the client may be alive in it.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == chat_exec::helper::SUBCOMMAND) {
        return chat_exec::helper::main(arguments);
    }
    let config = match Config::from_environment() {
        Ok(config) => config,
        Err(ConfigError::Arguments(error)) => {
            if error.exit_code() != 0 && is_json_wanted() {
                let text = error.to_string();
                let reason = text.split("\n\n").next().unwrap_or_default();
                tell(ExitStatus::Usage, None, reason.trim_start_matches("error: "));
            }
            error.exit()
        }
        Err(error) => {
            complain(&error);
            if is_json_wanted() {
                tell(ExitStatus::Usage, None, &error.to_string());
            }
            return ExitStatus::Usage.into();
        }
    };
    diagnostics::start(config.common.verbosity);
    if config.common.verbosity > Verbosity::Quiet {
        for warning in &config.warnings {
            writeln!(io::stderr(), "warning: {}", sanitise::text(warning)).ok();
        }
    }
    let is_json = config.common.json;
    match config.mode.run(&config.common) {
        Ok(status) => {
            if is_json {
                tell(status, None, status.meaning());
            }
            status.into()
        }
        // Whoever read our output wants no more of it.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitStatus::Ok.into()
        }
        Err(failure) => {
            complain(&failure);
            let status = failure.exit_status();
            if is_json {
                tell(status, failure.code(), &failure.to_string());
            }
            status.into()
        }
    }
}

/// Whether the command line asks for JSON, where it could not be read as a whole.
fn is_json_wanted() -> bool {
    std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json")
}

/// The last line for programs. An output that takes nothing changes nothing: the exit code says it too.
fn tell(status: ExitStatus, code: Option<&str>, reason: &str) {
    task::print_json(status.event(code, reason).into_iter().collect()).ok();
}

fn complain(error: &dyn std::error::Error) {
    // With a closed standard error there is nobody to tell; the exit code still says it.
    // Some errors quote what a server or somebody else has said.
    writeln!(io::stderr(), "error: {}", sanitise::text(&error.to_string())).ok();
}
