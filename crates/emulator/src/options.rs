//! What the emulator is asked for.

use std::path::PathBuf;
use std::time::Duration;

use chat_device::server_url::{ServerUrl, Trust};
use chat_oplog::CryptoTrace;

/// Where the clients are at home, and which server they talk to.
#[derive(Debug, Clone)]
pub struct Options {
    /// At least one address of the one server. The clients are dealt round over them; the next is tried when one cannot
    /// be reached.
    pub servers: Vec<ServerUrl>,
    /// The authorities that vouch for the server's certificate.
    pub trust: Trust,
    /// The six words of the server, where they are known.
    pub accept_server: Option<String>,
    /// A code for new accounts.
    pub invite: Option<String>,
    /// Folder for the keys of the clients.
    pub home: PathBuf,
    /// Folder for the operation logs.
    pub logs: PathBuf,
    /// Size of new keys.
    pub key_bits: u32,
    /// Where the story of the encryption goes, if it is wanted.
    pub trace: Option<CryptoTrace>,
    /// Nothing is said on standard error but errors.
    pub is_quiet: bool,
    /// The report is one JSON object.
    pub json: bool,
}

/// What the emulator does.
#[derive(Debug, Clone, PartialEq)]
pub struct Emulation {
    /// Number of clients.
    pub clients: u32,
    /// File with the lines.
    pub messages: PathBuf,
    /// When it ends.
    pub extent: Extent,
    /// Messages per second of all clients together; `None`: as fast as they are answered.
    pub rate: Option<f64>,
    /// Makes the choice of lines repeatable; `None`: choose one and report it.
    pub seed: Option<u64>,
    /// File for the report as a page.
    pub html: Option<PathBuf>,
    /// File for the report as a table.
    pub csv: Option<PathBuf>,
    /// So many lost messages are no fault.
    pub lost_max: u64,
    /// Open rooms beside the lobby.
    pub rooms: u32,
    /// Percent of operations that share or fetch a small file.
    pub files: u32,
    /// Percent of the clients that leave and return.
    pub churn: u32,
    /// Percent of the clients that are away for part of the run.
    pub offline: u32,
    /// Limit of the 99th percentiles.
    pub p99_max: Option<Duration>,
    /// Texts go to the lobby, to everybody who is there.
    pub in_lobby: bool,
}
/// When the emulator stops sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// After so many messages of each client.
    PerClient(u32),
    /// After this time.
    Duration(Duration),
}
