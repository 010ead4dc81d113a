//! The command line as clap reads it; [`super::Config`] is what the rest of the client sees.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chat_manual::{COMMON, Section};
use chat_protocol::id::KeyId;
use chat_protocol::name::{SERVER, UserName};
use clap::builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgAction, Args, Command, CommandFactory as _, FromArgMatches as _, Parser};
use clap_complete::Shell;

use super::completion;
use super::names;
use super::ui::Ui;
use crate::exit;
use crate::verb::identity::IdentityVerb;
use crate::verb::{EXAMPLES, Verb};
use chat_device::server_url::ServerUrl;
use chat_text::show::presence::Presence;
use chat_text::slash;

/// Largest number that every JSON reader keeps exact; a seed is printed in the report.
const SEED_MAX: u64 = (1 << 53) - 1;
/// One client needs a socket and a log file; beyond this the machine measures itself.
const EMULATED_CLIENTS_MAX: i64 = 10_000;

/// A client is in half of them, and the server lets it be in a hundred.
const EMULATED_ROOMS_MAX: i64 = 100;

const AFTER_HELP: &str = "\
The password comes from --password-file, else from CHAT_PASSWORD, else from a prompt.
With NO_COLOR nothing is coloured; VISUAL or EDITOR names the editor, RUST_LOG what is logged, SSL_CERT_FILE the
authorities that the system believes about certificates.
`chat-client COMMAND --help` shows the options and examples of a command, `chat-client help exit-codes` the exit codes.";

/// Talk to people and to machines over a hub you do not have to trust.
#[derive(Debug, Parser)]
#[command(name = "chat-client", version, after_help = AFTER_HELP, arg_required_else_help = false)]
pub struct Arguments {
    /// Without one: the interactive client, or the emulator with `--emulate`.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The emulator.
    #[command(flatten)]
    pub emulator: EmulatorArguments,
    /// Where, who, and how to speak.
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Where, who, and how to speak; accepted before and after the verb.
#[derive(Debug, Args)]
#[command(next_help_heading = COMMON)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that a person may give")]
pub struct CommonArguments {
    /// Address of the server; several, repeated or with commas between, where it consists of several
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CHAT_SERVER",
        value_delimiter = ',',
        default_value = "ws://127.0.0.1:9000"
    )]
    pub server: Vec<String>,
    /// The file of configuration [default: ~/.config/chat/config.toml, or as XDG says]
    #[arg(long, global = true, value_name = "FILE", env = "CHAT_CONFIG")]
    pub config: Option<PathBuf>,
    /// A profile of that file, whose values come before the others
    #[arg(short = 'P', long, global = true, value_name = "NAME", env = "CHAT_PROFILE")]
    pub profile: Option<String>,
    /// My name
    #[arg(long, global = true, value_name = "NAME", env = "CHAT_USER", value_parser = names::account)]
    pub user: Option<UserName>,
    /// File whose first line is the password
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Make the account if the name is new, without asking
    #[arg(long, global = true)]
    pub register: bool,
    /// Code for a new account, where the server asks for one; or one of `chat-server user reset`, with which
    /// I enter under my name with a new password and new keys
    #[arg(long, global = true, value_name = "CODE", env = "CHAT_INVITE", hide_env_values = true)]
    pub invite: Option<String>,
    /// Put another device of the account out, by its signing key: to come in with a new machine where the
    /// account has as many devices as it may
    #[arg(long, global = true, value_name = "KEY", value_parser = parse_key)]
    pub revoke: Option<KeyId>,
    /// Take a new password that is easy to guess: for tests
    #[arg(long, global = true, env = "CHAT_WEAK_PASSWORD", value_parser = BoolishValueParser::new())]
    pub weak_password: bool,
    /// Folder for keys, known servers and unsent messages [default: ~/.local/share/chat, or as XDG says]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Folder for the operation logs [default: logs, where it is there, else ~/.local/state/chat/logs, or as
    /// XDG says; the emulator: logs]
    #[arg(long, global = true, value_name = "DIR")]
    pub logs: Option<PathBuf>,
    /// Errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Tell of the connection on standard error; twice: of every operation
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// One JSON object per line on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Interactive: use the whole screen, with a list of conversations; F1 lists the keys. So it is by itself
    /// where input and output are a terminal that can show it
    #[arg(long, global = true, conflicts_with = "json")]
    pub tui: bool,
    /// Interactive: one line after the other, also for screen readers. So it is by itself where TERM=dumb
    #[arg(long, global = true, conflicts_with_all = ["json", "tui"])]
    pub line: bool,
    /// Interactive: one record per line, its fields parted by tabs: kind, time, conversation, who, id, text
    #[arg(long, global = true, conflicts_with_all = ["json", "tui", "line"])]
    pub plain: bool,
    /// Interactive: what to use where no flag says it
    #[arg(long, global = true, value_name = "WHICH", env = "CHAT_UI", value_enum)]
    pub ui: Option<Ui>,
    /// Full screen: leave the mouse to the terminal, for its own way to select and copy; as /set mouse off
    #[arg(long, global = true)]
    pub no_mouse: bool,
    /// Full screen: nothing is faint; as /theme contrast
    #[arg(long, global = true)]
    pub high_contrast: bool,
    /// Interactive: whose coming and going is shown; /set presence changes it
    #[arg(long, global = true, value_parser = presence(), value_name = "WHOSE", default_value = "all")]
    pub presence: Presence,
    /// Lines from a pipe: end at the first that fails, each waiting for the answer of the one before
    #[arg(long, global = true)]
    pub stop_on_error: bool,
    /// Size of new keys: 2048, 3072 or 4096 [default: 3072, emulated clients 2048]
    #[arg(long, global = true, value_name = "BITS")]
    pub key_bits: Option<u32>,
    /// Tell for each message what is signed, wrapped and verified; on standard error or in a file
    #[arg(long, global = true, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = "-")]
    pub trace_crypto: Option<PathBuf>,
    /// Folder for files that are fetched
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub downloads: PathBuf,
    /// Interactive: the folder of what is shared, with its keyword.txt
    #[arg(long, global = true, value_name = "DIR")]
    pub shared: Option<PathBuf>,
    /// Take files that these people offer without asking
    #[arg(long, global = true, value_name = "NAME", value_delimiter = ',', value_parser = names::user)]
    pub accept_from: Vec<UserName>,
    /// Trust the certificates of this PEM file instead of the system's
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Accept the server with these six words, as `chat-server fingerprint` prints them, and no other
    #[arg(long, global = true, value_name = "WORDS")]
    pub accept_server: Option<String>,
    /// DANGEROUS: accept any certificate, and no TLS beyond this machine
    #[arg(long, global = true)]
    pub insecure: bool,
}

/// The emulator's flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Emulator")]
pub struct EmulatorArguments {
    /// Start so many clients that send random lines of a file, and report
    #[arg(long, value_name = "CLIENTS", value_parser = clap::value_parser!(u32).range(1..=EMULATED_CLIENTS_MAX))]
    pub emulate: Option<u32>,
    /// The lines
    #[arg(long, value_name = "FILE", requires = "emulate", default_value = "messages.txt")]
    pub messages: PathBuf,
    /// Messages of each client [default: 50]
    #[arg(long, value_name = "N", requires = "emulate", conflicts_with = "duration",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub per_client: Option<u32>,
    /// Send for this time: 30s, 2m
    #[arg(long, value_name = "TIME", requires = "emulate", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Messages per second, all clients together [default: as fast as they are answered]
    #[arg(long, value_name = "R", requires = "emulate", value_parser = rate)]
    pub rate: Option<f64>,
    /// Say the texts in the lobby, to everybody there, and not in a room of the clients' own
    #[arg(long, requires = "emulate")]
    pub lobby: bool,
    /// So many open rooms beside that of all; each client is in about half of them, in one alone all
    #[arg(long, value_name = "N", requires = "emulate",
          value_parser = clap::value_parser!(u32).range(1..=EMULATED_ROOMS_MAX))]
    pub rooms: Option<u32>,
    /// Percent of the clients that drop their connection during the run and come back; with --rooms
    /// they also leave a room and join it again
    #[arg(long, value_name = "PERCENT", requires = "emulate",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub churn: Option<u32>,
    /// Percent of the clients that are away for part of the run
    #[arg(long, value_name = "PERCENT", requires = "emulate",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub offline: Option<u32>,
    /// So many percent of the operations share a small file, or find and fetch one of somebody else
    #[arg(long, value_name = "PERCENT", requires = "emulate",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub files: Option<u32>,
    /// Makes the choice of lines repeatable [default: a random one, shown in the report]
    #[arg(long, value_name = "S", requires = "emulate",
          value_parser = clap::value_parser!(u64).range(..=SEED_MAX))]
    pub seed: Option<u64>,
    /// Write the report as one page
    #[arg(long, value_name = "FILE", requires = "emulate")]
    pub html: Option<PathBuf>,
    /// Fail when a 99th percentile (stored or delivered) is above this
    #[arg(long, value_name = "MS", requires = "emulate",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_p99: Option<u64>,
    /// Write the report as a table of comma-separated values
    #[arg(long, value_name = "FILE", requires = "emulate")]
    pub csv: Option<PathBuf>,
    /// Fail only when more messages than this are lost [default: 0]
    #[arg(long, value_name = "N", requires = "emulate")]
    pub max_lost: Option<u64>,
}

/// Flags that say how one talks: a verb would take them and do nothing.
const OF_CHAT: [&str; 7] =
    ["tui", "line", "plain", "ui", "no_mouse", "high_contrast", "stop_on_error"];

impl Arguments {
    /// Reads the words of a command line, the program's name first. Returns also the name of the verb, if there is
    /// one.
    ///
    /// `verify --server` with no address after it means the server and not its address: another way
    /// to say `verify server`. For every other verb it stays the mistake that it is.
    pub fn read(
        words: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<(Self, String), clap::Error> {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        parsed(&words).or_else(|error| match named_by_flag(words).map(|words| parsed(&words)) {
            Some(Ok((read, name)))
                if matches!(read.verb, Some(Verb::Identity(IdentityVerb::Verify { .. }))) =>
            {
                Ok((read, name))
            }
            _ => Err(error),
        })
    }
}

/// The definition, with examples in the help of each command.
fn command() -> Command {
    chat_manual::with_examples(Arguments::command(), EXAMPLES)
}

fn parsed(words: &[OsString]) -> Result<(Arguments, String), clap::Error> {
    let mut command = chat_manual::with_usage(chat_manual::without_empty(command()));
    let matches = command.try_get_matches_from_mut(words)?;
    let name = matches.subcommand_name().unwrap_or_default().to_owned();
    let read = Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((read, name))
}

/// A flag of these words that says how one talks, and the verb beside it, which talks with nobody. For the words as they
/// were typed: the file of configuration speaks for all that is started.
pub(super) fn idle_flag(words: &[OsString]) -> Option<(String, String)> {
    let matches = matched(words).ok()?;
    let verb = matches.subcommand_name()?.to_owned();
    let is_given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let flag = OF_CHAT.into_iter().find(is_given)?;
    Some((flag.replace('_', "-"), verb))
}

/// What a command line comes to, before it is checked.
pub(super) fn matched(words: &[OsString]) -> Result<clap::ArgMatches, clap::Error> {
    let read =
        |words: &[OsString]| chat_manual::without_empty(command()).try_get_matches_from(words);
    read(words).or_else(|error| {
        let mended = named_by_flag(words.to_vec()).and_then(|words| read(&words).ok());
        mended.filter(|matches| matches.subcommand_name() == Some("verify")).ok_or(error)
    })
}

/// Whether an option takes this value.
///
/// # Errors
/// Why not, in one sentence.
pub(super) fn check_option(flag: &str, value: &str) -> Result<(), String> {
    if flag == "--server" {
        value.parse::<ServerUrl>().map_err(|error| error.to_string())?;
    }
    let words = ["chat-client".to_owned(), format!("{flag}={value}")];
    let refused = command().try_get_matches_from(words).err();
    refused.map_or(Ok(()), |error| {
        let text = error.to_string();
        let choices = |line: &str| {
            Some(line.trim().strip_prefix("[possible values: ")?.strip_suffix(']')?.to_owned())
        };
        if let Some(choices) = text.lines().find_map(choices) {
            return Err(format!("it is one of {choices}; got {value:?}"));
        }
        let first = text.lines().next().unwrap_or_default();
        let reason = first
            .rsplit_once(": ")
            .map_or(first, |_| first.split_once("': ").map_or(first, |(_, reason)| reason));
        Err(reason.trim_start_matches("error: ").to_owned())
    })
}

/// The words with the name of the server in the place of the first `--server` without a value.
fn named_by_flag(mut words: Vec<OsString>) -> Option<Vec<OsString>> {
    let is_value = |word: &OsString| !word.as_encoded_bytes().starts_with(b"-");
    let is_bare = |at: &usize| {
        words.get(*at).is_some_and(|word| word == "--server")
            && !words.get(at + 1).is_some_and(is_value)
    };
    let bare = (0..words.len()).find(is_bare)?;
    *words.get_mut(bare)? = SERVER.into();
    Some(words)
}

/// The manual page, in roff.
pub fn write_man(output: &mut impl io::Write) -> io::Result<()> {
    let slash = Section { heading: "SLASH COMMANDS", rows: slash::manual() };
    let codes = Section { heading: "EXIT STATUS", rows: exit::manual() };
    let password =
        "the password, where --password-file names none; it is asked for where neither does";
    let environment = Section {
        heading: "ENVIRONMENT",
        rows: vec![("CHAT_PASSWORD".to_owned(), password.to_owned())],
    };
    chat_manual::page(Arguments::command(), EXAMPLES, &[slash, codes, environment], output)
}

/// The completion script of a shell.
pub fn write_completions(shell: Shell, output: &mut impl io::Write) {
    completion::write(shell, Arguments::command(), output);
}

/// `500ms`, `10s`, `2m`, `1h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("expected a time such as 500ms, 10s, 2m or 1h, got {text:?}");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(unit_ms) {
        Some(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err(wrong()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err(format!("expected messages per second above 0, got {text:?}")),
    }
}

/// Reads the id of a key.
fn parse_key(text: &str) -> Result<KeyId, String> {
    KeyId::parse(text).map_err(|_| format!("a key has 22 characters, as in /devices; got {text:?}"))
}

/// The choices of `--presence`.
fn presence() -> impl TypedValueParser<Value = Presence> {
    let choices = Presence::CHOICES.map(|(_, name, whose)| PossibleValue::new(name).help(whose));
    PossibleValuesParser::new(choices).map(|word| Presence::parse(&word).unwrap_or_default())
}

#[cfg(test)]
mod tests;
