//! The binary: the helper of the agent, the command line, one mode, an exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use chat_client::config::{Config, ConfigError, Mode, Verbosity, arguments};
use chat_client::exit::{self, ExitStatus};
use chat_client::start::Failure;
use chat_client::story::Story;
use chat_client::{agent_host, chat, diagnostics, emulation, oneshot};

/// A thread that waits for a person's input cannot be ended; everything else is done by now.
const RUNTIME_END_TIMEOUT: Duration = Duration::from_millis(100);

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
            writeln!(io::stderr(), "warning: {warning}").ok();
        }
    }
    let is_json = config.common.json;
    match act(&config) {
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
    oneshot::print_json(status.event(code, reason).into_iter().collect()).ok();
}

fn complain(error: &dyn std::error::Error) {
    // With a closed standard error there is nobody to tell; the exit code still says it.
    writeln!(io::stderr(), "error: {error}").ok();
}

/// The modes that need no server, and then those that do.
fn act(config: &Config) -> Result<ExitStatus, Failure> {
    let mut page = Vec::new();
    match &config.mode {
        Mode::Man => arguments::write_man(&mut page)?,
        Mode::Completions(shell) => arguments::write_completions(*shell, &mut page),
        Mode::ExitCodes => page = exit::table().into(),
        Mode::Story { id, folders } => {
            let story = Story::read(folders, id).map_err(|error| Failure::Other {
                status: ExitStatus::Failure,
                reason: error.to_string(),
            })?;
            page =
                if config.common.json { story.to_json_lines() } else { story.to_string() }.into();
        }
        Mode::History { place, count, before } => {
            return oneshot::history::history(&config.common, place, *count, *before);
        }
        Mode::Search { words } => return oneshot::history::search(&config.common, words),
        Mode::Proof(of) => return oneshot::proof::proof(&config.common, of),
        Mode::CheckPolicy { policy } => {
            return agent_host::check(&config.common, policy.as_deref());
        }
        Mode::Transfers { clean } => return oneshot::transfers::transfers(&config.common, *clean),
        Mode::Servers { forget } => {
            return oneshot::servers::servers(&config.common, forget.as_ref());
        }
        _ => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let done = runtime.block_on(connected(config));
            runtime.shutdown_timeout(RUNTIME_END_TIMEOUT);
            return done;
        }
    }
    let mut output = io::stdout().lock();
    output.write_all(&page)?;
    output.flush()?;
    Ok(ExitStatus::Ok)
}

async fn connected(config: &Config) -> Result<ExitStatus, Failure> {
    let common = &config.common;
    match &config.mode {
        Mode::Send { to, text, veil } => {
            Box::pin(oneshot::send::send(common, to, text, *veil)).await
        }
        Mode::Listen { count, limit } => {
            Box::pin(oneshot::listen::listen(common, *count, *limit)).await
        }
        Mode::Run(asked) => Box::pin(oneshot::run::run(common, asked)).await,
        Mode::Rooms => Box::pin(oneshot::rooms::rooms(common)).await,
        Mode::Find { words } => Box::pin(oneshot::files::find(common, words)).await,
        Mode::Share { folder, audience, keep_days } => {
            Box::pin(oneshot::files::share(common, folder, audience, *keep_days)).await
        }
        Mode::Get { owner, name, output, waits } => {
            let output = output.as_deref();
            Box::pin(oneshot::files::get(common, owner, name, output, *waits)).await
        }
        Mode::Users => Box::pin(oneshot::users::users(common)).await,
        Mode::VerifyServer => Box::pin(oneshot::verify_server::verify(common)).await,
        Mode::Passwd { new } => Box::pin(oneshot::passwd::passwd(common, new.clone())).await,
        Mode::Account(verb) => Box::pin(oneshot::account::account(common, verb)).await,
        Mode::Identity(what) => Box::pin(oneshot::identity::identity(common, what)).await,
        Mode::Agent { policy } => Box::pin(agent_host::serve(common, policy.as_deref())).await,
        Mode::Emulate(asked) => Box::pin(emulation::run(common, asked)).await,
        _ => Box::pin(chat::chat(common)).await,
    }
}
