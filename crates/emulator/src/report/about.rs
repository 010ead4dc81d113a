//! What was measured: when, where, and with which programs.

use jiff::Timestamp;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// When the first message was sent.
    pub at: Timestamp,
    /// The addresses of the server.
    pub server: String,
    /// The version of the server, as its metrics say; nothing where they were not read.
    pub server_version: Option<String>,
    /// The machine of the clients: system, processor and cores.
    pub machine: String,
    /// The room of the texts, with its sign.
    pub room: String,
    /// People who were online and got the lines for everybody.
    pub others: u64,
    /// It was ended before everything was sent.
    pub was_interrupted: bool,
}

impl Default for About {
    fn default() -> Self {
        Self {
            at: Timestamp::UNIX_EPOCH,
            server: String::new(),
            server_version: None,
            machine: String::new(),
            room: String::new(),
            others: 0,
            was_interrupted: false,
        }
    }
}

/// This machine, as its system calls itself.
pub fn machine() -> String {
    let system = rustix::system::uname();
    let word = |word: &std::ffi::CStr| word.to_string_lossy().into_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = chat_protocol::spoken::counted(cores, "core");
    format!(
        "{} {} {}, {cores}",
        word(system.sysname()),
        word(system.release()),
        word(system.machine())
    )
}
