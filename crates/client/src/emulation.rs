//! `--emulate`: what the command line says, for the emulator.

use chat_emulator::{Emulation, EmulatorError, Ended, Options};

use crate::config::{Common, Verbosity, logs};
use crate::exit::ExitStatus;
use crate::signals::interrupted;
use crate::start::{Failure, crypto_trace};

/// Runs the clients and shows the report.
pub async fn run(common: &Common, emulation: &Emulation) -> Result<ExitStatus, Failure> {
    let options = Options {
        servers: common.servers.clone(),
        trust: common.trust.clone(),
        accept_server: common.accept_server.clone(),
        invite: common.invite.clone(),
        home: common.home.clone(),
        logs: logs::written(common.logs.clone(), true),
        key_bits: common.key_bits,
        trace: crypto_trace(common)?,
        is_quiet: common.verbosity == Verbosity::Quiet,
        json: common.json,
    };
    let ended = Box::pin(chat_emulator::run(&options, emulation, &async || interrupted().await));
    match ended.await {
        Ok(Ended::Well) => Ok(ExitStatus::Ok),
        Ok(Ended::WithFaults) => Ok(ExitStatus::ReportFailed),
        Ok(Ended::Interrupted) => Ok(ExitStatus::Interrupted),
        Err(EmulatorError::Start(error)) => Err(error.into()),
        Err(EmulatorError::Log(error)) => Err(error.into()),
        Err(EmulatorError::Io(error)) => Err(error.into()),
        Err(error) => {
            Err(Failure::Other { status: exit_status(&error), reason: error.to_string() })
        }
    }
}

fn exit_status(error: &EmulatorError) -> ExitStatus {
    use crate::exit::HasExit as _;
    match error {
        EmulatorError::Wrong(_) => ExitStatus::Usage,
        EmulatorError::Start(error) | EmulatorError::SignIn { error, .. } => error.exit_status(),
        EmulatorError::Late(_) => ExitStatus::TimedOut,
        EmulatorError::Storage(_) | EmulatorError::Log(_) => ExitStatus::Storage,
        EmulatorError::Stopped(_) | EmulatorError::Io(_) => ExitStatus::Failure,
    }
}
