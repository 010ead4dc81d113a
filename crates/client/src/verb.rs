//! What can be asked for: one variant for each subcommand, which carries its arguments, one arm that does it, and one
//! example. What is done is in a file below.

use std::io::{self, Write as _};
use std::path::PathBuf;

use chat_manual::Examples;
use chat_protocol::name::RoomName;
use clap::Subcommand;
use clap_complete::Shell;

use crate::config::Common;
use crate::config::arguments::{write_completions, write_man};
use crate::config::names;
use crate::exit::{self, ExitStatus};
use crate::start::{Failure, connected};
use crate::task::{CATCH_UP_MAX, Task, note, print_json, print_line, print_lines};
use crate::{agent_host, story};

pub mod account;
pub mod complete;
pub mod configuration;
pub mod doctor;
pub mod files;
pub mod history;
pub mod identity;
mod list;
pub mod listen;
pub mod membership;
pub mod passwd;
pub mod proof;
pub mod rooms;
pub mod run;
pub mod send;
pub mod servers;
pub mod transfers;
pub mod users;
pub mod verify_server;
pub mod whoami;

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Verb {
    /// Send one message and wait until it is stored
    Send(send::SendOf),
    /// Print what was missed, then what arrives
    Listen(listen::ListenOf),
    /// Run a command on the server's or on a user's machine; exits with its status
    Run(run::RunOf),
    /// Show my name, device, key and server
    Whoami,
    /// Be in a room
    Join(membership::JoinOf),
    /// Be in a room no more
    Leave {
        /// The room, with or without its #
        #[arg(value_parser = names::room)]
        room: RoomName,
    },
    /// Look whether this machine can talk to its servers: configuration, home, server, certificate, clock
    Doctor,
    /// Show who is there
    Users,
    /// Show the rooms: those I am in, and the open ones
    Rooms,
    /// Find shared files that have all these words
    Find {
        /// The words
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Show the files that I may fetch, mine among them
    Files,
    /// Share the files that DIR/keyword.txt names, until stopped
    Share(files::ShareOf),
    /// Fetch a file that somebody shares; goes on where it stopped
    Get(files::GetOf),
    /// Show the files of which a part is here, in the folder of --downloads; connects to nobody
    Transfers {
        /// What to do with them
        #[command(subcommand)]
        action: Option<transfers::Action>,
    },
    /// Change the password of the account and of this machine's key file
    Passwd {
        /// File whose first line is the new password
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// My account as a whole: delete it
    #[command(subcommand)]
    Account(account::AccountVerb),
    /// Show the servers that are pinned, and which certificate at which address
    Servers {
        /// What to do with one of them
        #[command(subcommand)]
        action: Option<servers::Action>,
    },
    /// Keys and devices.
    #[command(flatten)]
    Identity(identity::IdentityVerb),
    /// Let others run commands on this machine, as far as a policy allows
    ///
    /// It goes on when its terminal is closed: SIGHUP makes it read the policy again. Ctrl-C, SIGTERM and
    /// SIGQUIT end it.
    Agent(agent_host::AgentOf),
    /// Show what was said, from this machine's own history; connects to nobody
    History(history::HistoryOf),
    /// Find messages that have all these words, in any case; connects to nobody
    Search {
        /// The words
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// Check who signed a message and who has confirmed it; connects to nobody
    Proof(proof::ProofOf),
    /// Tell one message's story from the logs of the server and the clients
    Story {
        /// Message id, or at least its first eight characters
        id: String,
    },
    /// The configuration: what holds, and changing it; connects to nobody
    #[command(subcommand)]
    Config(configuration::ConfigVerb),
    /// Print the manual page
    Man,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print names that the home knows, for the completion of a shell
    #[command(hide = true)]
    Complete(complete::CompleteOf),
    /// List the exit codes
    #[command(name = "exit-codes", hide = true, before_help = exit::table(), help_template = "{before-help}")]
    ExitCodes,
}

impl Verb {
    /// Does it.
    pub fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        match self {
            Self::Send(send) => connected(send.run(common)),
            Self::Listen(listen) => connected(listen.run(common)),
            Self::Run(run) => connected(run.run(common)),
            Self::Whoami => connected(whoami::whoami(common)),
            Self::Join(of) => connected(membership::join(common, of)),
            Self::Leave { room } => connected(membership::leave(common, room)),
            Self::Doctor => connected(doctor::doctor(common)),
            Self::Users => connected(users::users(common)),
            Self::Rooms => connected(rooms::rooms(common)),
            Self::Find { words } => connected(files::find(common, words)),
            Self::Files => connected(files::find(common, &[])),
            Self::Share(share) => connected(share.run(common)),
            Self::Get(get) => connected(get.run(common)),
            Self::Transfers { action } => transfers::transfers(common, action.as_ref()),
            Self::Passwd { new_password_file } => {
                connected(passwd::passwd(common, new_password_file.as_deref()))
            }
            Self::Account(verb) => connected(account::account(common, verb)),
            Self::Servers { action } => servers::servers(common, action.as_ref()),
            Self::Identity(verb) => connected(verb.run(common)),
            Self::Agent(agent) => agent.run(common),
            Self::History(of) => of.run(common),
            Self::Search { words } => history::search(common, words),
            Self::Proof(of) => of.run(common),
            Self::Story { id } => story::tell(common, id),
            Self::Config(verb) => verb.run(common),
            Self::Man => print(write_man),
            Self::Completions { shell } => print(|page| {
                write_completions(*shell, page);
                Ok(())
            }),
            Self::Complete(of) => of.run(),
            Self::ExitCodes => print(|page| page.write_all(exit::table().as_bytes())),
        }
    }

    /// Whether it signs in and must not ask for the name.
    pub(crate) fn needs_name(&self) -> bool {
        match self {
            Self::Agent(agent) => !agent.check,
            Self::Proof(of) => of.verify.is_none(),
            Self::Identity(verb) => !verb.is_about_server(),
            Self::Transfers { .. }
            | Self::Servers { .. }
            | Self::Story { .. }
            | Self::Config(_)
            | Self::Doctor
            | Self::Man
            | Self::Completions { .. }
            | Self::Complete(_)
            | Self::ExitCodes => false,
            _ => true,
        }
    }
}

/// How each command is used, by the words that lead to it: for its help and for the manual page. Each line is a command
/// line that works; a test reads them all.
pub(crate) const EXAMPLES: &Examples = &[
    (
        "",
        "\
chat-client --user alice                                  # talk
chat-client --user alice send bob \"hello\"                 # one message; `-` reads standard input
chat-client --user alice listen --for 10s --json          # what was missed, then what comes
chat-client --user alice run server -- uname -a           # a command on the server's machine
chat-client --user alice share /srv/public                # the files that keyword.txt names there
chat-client --user bob find plan                          # who shares what; get alice plan.pdf
chat-client --user alice search lunch friday              # in what was said, without a connection
chat-client --user web1 agent --policy policy.toml        # this machine accepts commands
chat-client --emulate 20 --messages messages.txt          # prove that nothing is lost",
    ),
    (
        "send",
        "\
chat-client --user alice send bob \"see you at six\"
chat-client --user alice send '#ops' \"the backup is done\"
df -h | chat-client --user web1 send alice -",
    ),
    (
        "listen",
        "\
chat-client --user alice listen --for 10s --json
chat-client --user alice listen --count 1",
    ),
    (
        "run",
        "\
chat-client --user alice run server -- uname -a
chat-client --user alice run --timeout 30s web1 -- systemctl status nginx",
    ),
    ("whoami", "chat-client --user alice whoami"),
    ("join", "chat-client --user alice join '#ops' --create"),
    ("leave", "chat-client --user alice leave '#ops'"),
    ("doctor", "chat-client --server wss://chat.example.org:9000 doctor"),
    ("users", "chat-client --user alice users --json"),
    ("rooms", "chat-client --user alice rooms"),
    ("find", "chat-client --user bob find plan budget"),
    ("files", "chat-client --user alice files"),
    (
        "share",
        "\
chat-client --user alice share /srv/public
chat-client --user alice share /srv/crew --to '#crew' --keep 7",
    ),
    (
        "get",
        "\
chat-client --user bob get alice plan.pdf
chat-client --user bob get alice plans/2026.pdf -o /tmp --wait",
    ),
    (
        "transfers",
        "\
chat-client transfers --downloads /tmp
chat-client transfers clean",
    ),
    ("transfers clean", "chat-client transfers clean --downloads /tmp"),
    (
        "passwd",
        "\
chat-client --user alice passwd
chat-client --user alice --password-file old passwd --new-password-file new",
    ),
    ("account", "chat-client --user alice account delete"),
    ("account delete", "chat-client --user alice account delete alice"),
    (
        "servers",
        "\
chat-client servers
chat-client servers forget wss://chat.example.org:9000",
    ),
    ("servers forget", "chat-client servers forget wss://chat.example.org:9000"),
    (
        "verify",
        "\
chat-client --user alice verify bob
chat-client --server wss://chat.example.org:9000 verify",
    ),
    ("trust", "chat-client --user alice trust bob"),
    ("distrust", "chat-client --user alice distrust bob"),
    (
        "devices",
        "\
chat-client --user alice devices
chat-client --user alice devices bob",
    ),
    ("devices revoke", "chat-client --user alice devices revoke 2"),
    ("key", "chat-client --user alice key rotate"),
    ("key rotate", "chat-client --user alice key rotate"),
    (
        "agent",
        "\
chat-client --user web1 agent --policy policy.toml
chat-client agent --check --policy policy.toml",
    ),
    (
        "history",
        "\
chat-client --user alice history bob --count 50
chat-client --user alice history '#ops' --json",
    ),
    ("search", "chat-client --user alice search lunch friday"),
    (
        "proof",
        "\
chat-client --user alice proof AZ8Rm0vUcUuTf1lD9wqYbQ --export proof.json
chat-client proof --verify proof.json",
    ),
    ("story", "chat-client story AZ8Rm0vU"),
    (
        "config",
        "\
chat-client config show --origin
chat-client config edit",
    ),
    ("config show", "chat-client -P work config show --origin"),
    ("config edit", "chat-client config edit"),
    ("man", "chat-client man | man -l -"),
    ("completions", "chat-client completions bash"),
];

/// Prints a page in one piece.
fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<ExitStatus, Failure> {
    let mut page = Vec::new();
    write(&mut page)?;
    let mut output = io::stdout().lock();
    output.write_all(&page)?;
    output.flush()?;
    Ok(ExitStatus::Ok)
}
