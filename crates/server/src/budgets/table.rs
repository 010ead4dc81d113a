//! The table of budgets: each with its name, its default, for whom it is counted, what happens beyond it,
//! and why it has this value. Name, key of the configuration and label of the metric are one word.

use std::{fmt, time::Duration};

use super::bucket::Rate;

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many in a time, and so many at once.
    Rate(Rate),
    /// So many at a time.
    Count(u64),
    /// So many bytes.
    Bytes(u64),
    /// One part in so many.
    Part(u64),
    /// So many in a hundred.
    Percent(u64),
}

/// What somebody beyond it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the hub reads no further from this connection until there is room.
    Waits,
    /// `RETRY`: the same again later.
    Retry,
    /// `E_TOO_MANY`.
    Refused,
    /// Another of the same gives way.
    GivesWay,
    /// `E_MAILBOX_FULL`.
    MailboxFull,
    /// `E_STORAGE_FULL`.
    StorageFull,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waits => "waits",
            Self::Retry => "again",
            Self::Refused => "no",
            Self::GivesWay => "one that rests gives way",
            Self::MailboxFull => "E_MAILBOX_FULL",
            Self::StorageFull => "E_STORAGE_FULL",
        })
    }
}

/// One budget.
#[derive(Debug)]
pub struct Row {
    /// Which.
    pub budget: Budget,
    /// Its name.
    pub name: &'static str,
    /// Unless the configuration says otherwise.
    pub default: Amount,
    /// For whom it is counted.
    pub per: &'static str,
    /// What happens beyond it.
    pub answer: Answer,
    /// Why it has this value.
    pub why: &'static str,
}

macro_rules! budgets {
    ($($(#[$doc:meta])* $budget:ident = $name:literal, $default:expr, per $per:literal,
        $answer:ident, $why:literal;)*) => {
        /// What is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Budget { $($(#[$doc])* $budget,)* }

        impl Budget {
            /// Its place in the table.
            #[expect(clippy::as_conversions, reason = "the number of a variant, from 0")]
            pub const fn place(self) -> usize {
                self as usize
            }
        }

        /// Every budget.
        pub const TABLE: &[Row] = &[$(Row {
            budget: Budget::$budget,
            name: $name,
            default: $default,
            per: $per,
            answer: Answer::$answer,
            why: $why,
        },)*];
    };
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const MONTH: Duration = Duration::from_hours(30 * 24);

budgets! {
    /// Sessions of an account at once; those of agents, and data connections, each apart.
    Connections = "connections", Amount::Count(20), per "account",
        GivesWay, "a few devices with a chat, an agent and some tasks each";
    /// Sign-ins of an account.
    SignIns = "sign_ins", Amount::Rate(Rate::per_second(2, 60)), per "account",
        Retry, "every device of an account comes back at once after a restart";
    /// Bundles that an account publishes.
    Bundles = "bundles", Amount::Rate(Rate::each(6, Duration::from_mins(1))), per "account",
        Retry, "each makes everybody in its rooms fetch it and make a new key";
    /// New signing keys of an account.
    SigningKeys = "signing_keys", Amount::Rate(Rate::each(64, MONTH)), per "account",
        Refused, "kept for ever; 32 devices need one in 90 days each";
    /// Links of membership chains.
    Links = "links", Amount::Rate(Rate::per_second(1, 100)), per "account",
        Retry, "kept for ever and fetched by everybody in the room";
    /// Epochs.
    Keys = "keys", Amount::Rate(Rate::per_second(1, 10)), per "account and conversation",
        Retry, "each is a wrapped key for every device of the conversation";
    /// Bytes of an epoch that is coming in.
    UploadBytes = "upload_bytes", Amount::Bytes(8 * MIB), per "account",
        Retry, "two of the largest epochs at once";
    /// Bytes of all epochs that are coming in.
    AllUploadBytes = "all_upload_bytes", Amount::Bytes(64 * MIB), per "server",
        Retry, "the oldest upload of the account that holds most is cut, never the newcomer's";
    /// Bytes of answers to questions.
    AnswerBytes = "answer_bytes", Amount::Rate(Rate::per_second(4 * MIB, 64 * MIB)), per "account",
        Waits, "one question costs its sender a hundredth of the answer";
    /// Questions about the list of shared files, and reminders.
    ListQuestions = "list_questions", Amount::Rate(Rate::per_second(64, 1_024)), per "account",
        Retry, "whoever lists 10,000 files and tells them all asks 630 times, in pages";
    /// Links of an account that are brought back to a hub that has lost them; what is beyond it is taken from
    /// its links.
    RemindedLinks = "reminded_links", Amount::Rate(Rate::each(2_048, DAY)), per "account that signed",
        Retry, "what an admin of a large room has signed since a backup; beyond it as fast as `links`";
    /// People without an account whom an account brings back into rooms.
    RemindedStrangers = "reminded_strangers", Amount::Rate(Rate::each(16, DAY)), per "account",
        Retry, "keys are free: whoever makes some up would fill a room with people who do not exist";
    /// People without an account whom an account has brought back into one room and who are there.
    StrangersByOne = "strangers_by_one", Amount::Count(16), per "account and room",
        Refused, "more than a small team loses with a backup; of a large one each member brings some";
    /// Rooms that an account makes, those of it included that are brought back to a hub that has lost them.
    RoomsMade = "rooms_made", Amount::Rate(Rate::each(100, MONTH)), per "account",
        Refused, "a room keeps its name and its chain for ever";
    /// Rooms that an account has made or joined.
    Rooms = "rooms", Amount::Count(100), per "account",
        Refused, "each is a log to catch up with at every sign-in";
    /// Rooms that an account is in, those to which others admitted it included.
    Places = "places", Amount::Count(1_000), per "account",
        Refused, "being admitted takes nothing from what one may join";
    /// Rooms to which one person has admitted another.
    PlacesByOne = "places_by_one", Amount::Count(32), per "pair of accounts",
        Refused, "nobody is filled up by one other person";
    /// Messages.
    Messages = "messages", Amount::Rate(Rate::per_second(50, 1_000)), per "account",
        Waits, "faster than anybody types; a program that sends a file of lines waits";
    /// Bytes of messages, and of the lines and wraps of keys.
    MessageBytes = "message_bytes", Amount::Rate(Rate::per_second(512 * KIB, 4 * MIB)), per "account",
        Waits, "twenty letters of the largest size, or a key for the largest room; with more than 1 MiB/s the disk keeps \
        others waiting";
    /// What agents report.
    Reports = "reports", Amount::Rate(Rate::per_second(500, 1_000)), per "account",
        Waits, "pieces of output, and what became of commands";
    /// Bytes of what agents report.
    ReportBytes = "report_bytes", Amount::Rate(Rate::per_second(4 * MIB, 16 * MIB)), per "account",
        Waits, "output of a command; what is larger goes as a file, which the server does not store";
    /// What one sender may take of what is left of a mailbox.
    MailboxPart = "mailbox_part", Amount::Part(8), per "sender and recipient",
        MailboxFull, "no one person fills the mailbox of another";
    /// Receipts that wait for somebody who is away.
    ReceiptBytes = "receipt_bytes", Amount::Bytes(16 * MIB), per "recipient",
        MailboxFull, "a part of their own, so that they take no room from messages";
    /// Bytes that are kept of what an account has sent.
    KeptBytes = "kept_bytes", Amount::Bytes(2048 * MIB), per "account",
        Refused, "years of letters; counted at the start and once a day";
    /// What of the disk may be used before new work is refused.
    Disk = "disk", Amount::Percent(95), per "server",
        StorageFull, "revocations, removals and keys go on to its end. With 2 GiB free it does not count";
    /// New accounts in an hour.
    SignUpsHour = "sign_ups_hour", Amount::Rate(Rate::each(10, HOUR)), per "address (/64)",
        Refused, "an office; a /48 has ten times that. Loopback is exempt";
    /// New accounts in an hour with a code, where one is needed.
    InvitedHour = "invited_hour", Amount::Rate(Rate::each(100, HOUR)), per "address (/64)",
        Refused, "a class with one code; whoever types wrong ones is stopped, too. Loopback is exempt";
    /// New accounts in a day.
    SignUpsDay = "sign_ups_day", Amount::Rate(Rate::each(1_000, DAY)), per "address (/64)",
        Refused, "also where the hours are lifted. Loopback is exempt";
    /// Sign-ins that wait for their password to be hashed.
    HashQueue = "hash_queue", Amount::Count(32), per "server",
        Retry, "half a second of work for each core";
    /// The same from one address.
    HashQueueByOne = "hash_queue_by_one", Amount::Count(4), per "address (/64)",
        Retry, "nobody alone fills the queue. Loopback is exempt";
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(Rate { tokens, per, burst }) => {
                let per = match per.as_secs() {
                    1 => "s".to_owned(),
                    60 => "m".to_owned(),
                    3_600 => "h".to_owned(),
                    86_400 => "d".to_owned(),
                    seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
                    seconds => format!("{seconds}s"),
                };
                write!(f, "{tokens}/{per}")?;
                if burst == tokens { Ok(()) } else { write!(f, "+{burst}") }
            }
            Self::Count(count) => write!(f, "{count}"),
            Self::Bytes(bytes) => write!(f, "{bytes}B"),
            Self::Part(part) => write!(f, "1/{part}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// Reads an amount of the same kind as `like`: `50/s+1000`, `6/m`, `64/30d`, `20`, `8388608B`, `1/8`, `95%`.
pub(super) fn parse(text: &str, like: &Amount) -> Option<Amount> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    match like {
        Amount::Count(_) => number(text).map(Amount::Count),
        Amount::Bytes(_) => number(text.strip_suffix('B').unwrap_or(text)).map(Amount::Bytes),
        Amount::Part(_) => number(text.strip_prefix("1/")?).map(Amount::Part),
        Amount::Percent(_) => {
            number(text.strip_suffix('%')?).filter(|percent| *percent <= 100).map(Amount::Percent)
        }
        Amount::Rate(_) => {
            let (tokens, rest) = text.split_once('/')?;
            let (per, burst) = match rest.split_once('+') {
                Some((per, burst)) => (per, number(burst)?),
                None => (rest, number(tokens)?),
            };
            let unit = per.chars().last()?;
            let count = per.strip_suffix(unit)?;
            let count = if count.is_empty() { 1 } else { number(count)? };
            let seconds: u64 = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return None,
            };
            let per = Duration::from_secs(count.checked_mul(seconds)?);
            Some(Amount::Rate(Rate { tokens: number(tokens)?, per, burst }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_its_place_and_reads_what_it_writes() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.budget.place(), at, "{}", row.name);
            assert_eq!(parse(&row.default.to_string(), &row.default), Some(row.default));
            assert!(row.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", row.name);
        }
        let rate = Amount::Rate(Rate::per_second(1, 1));
        for wrong in ["", "0/s", "1/", "1/y", "1/s+0", "x/s", "1", "1/0s"] {
            assert_eq!(parse(wrong, &rate), None, "{wrong}");
        }
        assert_eq!(parse("101%", &Amount::Percent(1)), None);
    }

    #[test]
    fn the_page_for_operators_has_every_budget_as_it_is() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md");
        let page = std::fs::read_to_string(page).unwrap();
        for Row { name, default, per, answer, why, .. } in TABLE {
            let line = format!("| `{name}` | {default} | {per} | {answer} | {why} |");
            assert!(page.lines().any(|shown| shown == line), "OPERATIONS.md lacks: {line}");
        }
    }
}
