//! The first start on a machine that knows nothing: which server, and then what somebody new should know.

use std::io;

use chat_device::client::Client;
use chat_device::home::KnownServers;
use chat_device::server_url::{ServerUrl, Trust};
use chat_protocol::name::UserName;

use crate::config::file::Origin;
use crate::config::{Common, save};
use crate::prompt::TerminalPrompt;
use crate::start::Failure;

/// What somebody new types.
const HELP: [&str; 5] = [
    "  hello                  to everybody in the room that the prompt names, at first the lobby",
    "  bob*see you at six     to bob alone",
    "  /join ops              go to a room; /rooms and /users show what and who there is",
    "  /verify bob            compare keys, so that nobody stands between you",
    "  /help                  all commands; Ctrl-D or /quit leaves",
];

/// Asks for the server where nobody has ever said one: no name and no address on this machine. A first start that did not
/// come to its end left a home behind; what it met is offered again. Nothing where it is no first start.
pub(crate) fn begun(common: &Common) -> Result<Option<Common>, Failure> {
    let is_default = |key: &str| {
        let shown = common.configured.shown.iter().find(|shown| shown.key == key);
        shown.is_some_and(|shown| shown.origin == Origin::Default)
    };
    let is_first = common.user.is_none()
        && is_default("server")
        && common.configured.path.as_ref().is_some_and(|path| !path.exists())
        && TerminalPrompt::is_possible();
    let (true, [usual, ..]) = (is_first, &common.servers[..]) else { return Ok(None) };
    TerminalPrompt::say("This is the first start here. Enter takes what stands in brackets.");
    let met = met(common);
    let server = asked(met.as_ref().unwrap_or(usual), common.trust == Trust::Anybody)?;
    Ok(Some(Common { servers: vec![server], ..common.clone() }))
}

/// A server that the home knows; a home that cannot be read says so when it is needed.
fn met(common: &Common) -> Option<ServerUrl> {
    let known = KnownServers::load(&common.home).ok()?.all();
    known.iter().find_map(|(url, _)| url.parse().ok())
}

/// An address that is not encrypted is taken where that was asked for.
fn asked(usual: &ServerUrl, is_insecure: bool) -> io::Result<ServerUrl> {
    loop {
        let typed = TerminalPrompt::ask(&format!("Address of the server [{usual}]: "))?;
        if typed.is_empty() {
            return Ok(usual.clone());
        }
        match typed.parse::<ServerUrl>() {
            Ok(url) if is_insecure || url.is_secure() || url.is_loopback() => return Ok(url),
            Ok(url) => {
                TerminalPrompt::say(&format!("{url} is not encrypted: write it with wss://."));
            }
            Err(error) => TerminalPrompt::say(&format!("This is no address: {error}.")),
        }
    }
}

/// Says what somebody new types at a prompt. The full screen has a welcome of its own.
pub(crate) fn help() {
    TerminalPrompt::say("What you type here:");
    for line in HELP {
        TerminalPrompt::say(line);
    }
}

/// Keeps who and where for the next start; returns what somebody new should know of it, and of their key.
pub(crate) async fn ended(common: &Common, user: &UserName, client: &Client) -> Vec<String> {
    let mut says = Vec::new();
    if let (Some(path), [server, ..]) = (common.configured.path.as_deref(), &common.servers[..]) {
        says.push(match save::first(path, user, server) {
            Ok(()) => format!("Your name and server are kept in {}.", path.display()),
            Err(error) => format!("Your name and server are not kept: {error}."),
        });
    }
    if let Some(words) = client.own_words().await {
        says.push("The words of your key, for whoever wants to know it is you:".to_owned());
        says.push(format!("  {words}"));
    }
    says
}
