//! How the commands about files are written. Names with spaces stand in quotes.

use std::path::PathBuf;

use chat_protocol::name::{ALL, RoomName, UserName};

use super::{SlashCommand, SlashRow};
use crate::input::{self, Input, InputError};
use crate::words;
use chat_device::recipient::Recipient;

/// The word that parts the keywords from those who may find the file.
const FOR: &str = "for";

/// The word that removes what is partly here.
const CLEAN: &str = "clean";

/// How long a copy is kept if nothing is said: a week away.
const KEPT_DAYS_DEFAULT: u64 = 7;

/// What is asked for about files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileCommand {
    /// Puts a file into the shared folder and on the list.
    Share {
        /// The file as it was typed.
        path: PathBuf,
        /// The words that find it.
        words: Vec<String>,
        /// Who may; everybody when absent.
        audience: Option<Recipient>,
    },
    /// Takes a file off the list.
    Unshare {
        /// Its name in the shared folder.
        name: String,
    },
    /// Leaves an encrypted copy of a shared file at the server.
    Keep {
        /// Its name in the shared folder.
        name: String,
        /// For how long.
        days: u64,
    },
    /// Shows files that have these words, or all that I may fetch.
    Find {
        /// The words.
        words: Vec<String>,
    },
    /// Fetches a file of the list that was shown last.
    Get {
        /// Its number there.
        n: u32,
        /// The folder where it goes.
        folder: Option<PathBuf>,
    },
    /// Offers a file to one person.
    Send {
        /// The file as it was typed.
        path: PathBuf,
        /// To whom.
        to: UserName,
    },
    /// Takes what somebody offers; the newest when absent.
    Accept {
        /// Its number.
        n: Option<u32>,
    },
    /// Says no to what somebody offers.
    Decline {
        /// Its number.
        n: Option<u32>,
    },
    /// Shows what is on its way, what waits for my word, and what is partly here.
    Transfers,
    /// Removes what is partly here and on its way no more.
    CleanTransfers,
    /// Stops a transfer; what is here stays.
    Cancel {
        /// Its number.
        n: u32,
    },
}

fn command(command: FileCommand) -> Input {
    Input::Slash(SlashCommand::File(command))
}

/// `/share FILE WORDS… [for WHOM]`.
pub(super) fn share(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let mut words = words::split(rest)?;
    if words.is_empty() {
        row.needs("a file, and words that find it", "")?;
    }
    let path = PathBuf::from(words.remove(0));
    let mut audience = None;
    if let [.., last, whom] = words.as_slice()
        && last.eq_ignore_ascii_case(FOR)
    {
        audience = Some(recipient(whom)?);
        words.truncate(words.len() - 2);
    }
    if words.is_empty() {
        row.needs("words that find the file", "")?;
    }
    Ok(command(FileCommand::Share { path, words, audience }))
}

/// `#room`, `ALL`, or the name of a user.
fn recipient(whom: &str) -> Result<Recipient, InputError> {
    if let Some(name) = whom.strip_prefix('#') {
        let room = RoomName::new(name);
        let place = whom.to_owned();
        return room.map(Recipient::Room).map_err(|source| InputError::BadPlace { place, source });
    }
    if whom.eq_ignore_ascii_case(ALL) || whom.eq_ignore_ascii_case("everybody") {
        return Ok(Recipient::All);
    }
    input::user(whom).map(Recipient::User)
}

/// `/unshare FILE`.
pub(super) fn unshare(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let name = one(row, "the name of a shared file", rest)?;
    Ok(command(FileCommand::Unshare { name }))
}

/// `/keep FILE [DAYS]`.
pub(super) fn keep(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let mut words = words::split(row.needs("the name of a shared file", rest)?)?.into_iter();
    let name = words.next().unwrap_or_default();
    let days = match words.next() {
        Some(days) => number(row, Some(days))?.into(),
        None => KEPT_DAYS_DEFAULT,
    };
    surplus(row, words.next())?;
    Ok(command(FileCommand::Keep { name, days }))
}

/// `/find WORDS`.
pub(super) fn find(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let words = words::split(row.needs("words", rest)?)?;
    Ok(command(FileCommand::Find { words }))
}

/// `/files [WORDS]`.
pub(super) fn files(_: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    Ok(command(FileCommand::Find { words: words::split(rest)? }))
}

/// `/get N [FOLDER]`.
pub(super) fn get(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let mut words = words::split(rest)?.into_iter();
    let n = number(row, words.next())?;
    let folder = words.next().map(PathBuf::from);
    surplus(row, words.next())?;
    Ok(command(FileCommand::Get { n, folder }))
}

/// `/send FILE USER`.
pub(super) fn send(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let mut words = words::split(rest)?.into_iter();
    let what = "a file and a user";
    let path = PathBuf::from(row.needs(what, words.next().as_deref().unwrap_or_default())?);
    let to = input::user(row.needs(what, words.next().as_deref().unwrap_or_default())?)?;
    surplus(row, words.next())?;
    Ok(command(FileCommand::Send { path, to }))
}

/// `/accept [N]`, `/decline [N]`.
pub(super) fn answer(
    row: &'static SlashRow,
    rest: &str,
    answer: fn(Option<u32>) -> FileCommand,
) -> Result<Input, InputError> {
    let n = if rest.is_empty() { None } else { Some(number(row, Some(rest.to_owned()))?) };
    Ok(command(answer(n)))
}

/// `/cancel N`.
pub(super) fn cancel(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    Ok(command(FileCommand::Cancel { n: number(row, Some(rest.to_owned()))? }))
}

/// `/transfers [clean]`.
pub(super) fn transfers(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    if rest.eq_ignore_ascii_case(CLEAN) {
        return Ok(command(FileCommand::CleanTransfers));
    }
    row.alone(rest, SlashCommand::File(FileCommand::Transfers))
}

fn number(row: &'static SlashRow, word: Option<String>) -> Result<u32, InputError> {
    let word = word.unwrap_or_default();
    let n = row.needs("a number from the list", &word)?.parse();
    n.map_err(|_| InputError::NotANumber { command: row.name, word, usage: row.usage })
}

fn one(row: &'static SlashRow, what: &'static str, rest: &str) -> Result<String, InputError> {
    let mut words = words::split(row.needs(what, rest)?)?.into_iter();
    let word = words.next().unwrap_or_default();
    surplus(row, words.next())?;
    Ok(word)
}

fn surplus(row: &'static SlashRow, word: Option<String>) -> Result<(), InputError> {
    match word {
        Some(rest) => Err(InputError::Surplus { command: row.name, rest, usage: row.usage }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<FileCommand, String> {
        match input::parse(line) {
            Ok(Input::Slash(SlashCommand::File(command))) => Ok(command),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn files_words_and_audiences_are_told_apart() {
        let share = |path: &str, words: &[&str], audience| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            Ok(FileCommand::Share { path: path.into(), words, audience })
        };
        let ops = Some(Recipient::Room(RoomName::new("ops").unwrap()));
        assert_eq!(
            read("/share plan.pdf plan budget"),
            share("plan.pdf", &["plan", "budget"], None)
        );
        assert_eq!(read("/share 'a b.txt' x for #ops"), share("a b.txt", &["x"], ops));
        let all = Some(Recipient::All);
        assert_eq!(read("/share f for for everybody"), share("f", &["for"], all));
        assert!(read("/share f for #ops").unwrap_err().contains("words"));
        assert!(read("/share f").is_err());
    }

    #[test]
    fn numbers_and_names_are_read() {
        let folder = Some(PathBuf::from("/tmp/x y"));
        assert_eq!(read("/get 3 '/tmp/x y'"), Ok(FileCommand::Get { n: 3, folder }));
        assert_eq!(read("/get 3"), Ok(FileCommand::Get { n: 3, folder: None }));
        assert!(read("/get plan.pdf").unwrap_err().contains("number"));
        let to = UserName::new("bob").unwrap();
        assert_eq!(read("/send a.txt bob"), Ok(FileCommand::Send { path: "a.txt".into(), to }));
        assert!(read("/send a.txt").is_err());
        assert!(read("/send a.txt bob carol").is_err());
        assert_eq!(read("/accept"), Ok(FileCommand::Accept { n: None }));
        assert_eq!(read("/decline 2"), Ok(FileCommand::Decline { n: Some(2) }));
        assert_eq!(read("/files"), Ok(FileCommand::Find { words: Vec::new() }));
        assert!(read("/find").is_err());
        assert_eq!(read("/keep a.txt 3"), Ok(FileCommand::Keep { name: "a.txt".into(), days: 3 }));
        assert_eq!(read("/keep a.txt"), Ok(FileCommand::Keep { name: "a.txt".into(), days: 7 }));
        assert_eq!(read("/cancel 1"), Ok(FileCommand::Cancel { n: 1 }));
        assert_eq!(read("/transfers"), Ok(FileCommand::Transfers));
        assert_eq!(read("/transfers clean"), Ok(FileCommand::CleanTransfers));
        assert!(read("/transfers cleen").is_err());
        assert_eq!(read("/unshare 'a b'"), Ok(FileCommand::Unshare { name: "a b".into() }));
    }
}
