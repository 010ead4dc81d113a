//! How `/history`, `/search` and `/receipts` are written.

use chat_protocol::id::MessageId;
use chat_protocol::name::{ALL, RoomName};

use super::{SlashCommand, SlashRow, first_word};
use crate::input::{self, Input, InputError};
use chat_device::history::read::SHOWN_DEFAULT;
use chat_device::recipient::Recipient;

/// `/history [WHERE] [N]`, `/history more` and `/history before ID [N]`. A single number is a count, not a name.
pub(super) fn parse_history(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (first, rest) = first_word(rest);
    if first.eq_ignore_ascii_case("more") && rest.is_empty() {
        return Ok(Input::Slash(SlashCommand::HistoryMore));
    }
    let (second, surplus) = first_word(rest);
    // Nobody who is called so has a count that reads as an id.
    if let Ok(id) = MessageId::parse(second)
        && first.eq_ignore_ascii_case("before")
    {
        let (count, surplus) = first_word(surplus);
        let Ok(count) = (if count.is_empty() { Ok(SHOWN_DEFAULT) } else { count.parse() }) else {
            return row.alone(count, SlashCommand::HistoryMore);
        };
        return row.alone(surplus, SlashCommand::HistoryBefore { id, count });
    }
    let (place, count) = match (first, second) {
        ("", _) => (None, None),
        (one, "") if one.parse::<usize>().is_ok() => (None, one.parse().ok()),
        (place, "") => (Some(place), None),
        (place, count) => {
            let Ok(count) = count.parse() else {
                return row.alone(rest, SlashCommand::HistoryMore);
            };
            (Some(place), Some(count))
        }
    };
    let place = place.map(parse_place).transpose()?;
    row.alone(surplus, SlashCommand::History { place, count: count.unwrap_or(SHOWN_DEFAULT) })
}

/// `/grant USER last N` and `/grant USER all`.
pub(super) fn parse_grant(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (name, rest) = first_word(rest);
    let to = input::user(row.needs("a user, and how much: last N, or all", name)?)?;
    let (how, rest) = first_word(rest);
    if how.eq_ignore_ascii_case("all") {
        return row.alone(rest, SlashCommand::Grant { to, last: None });
    }
    let (count, surplus) = first_word(rest);
    let last = count.parse().ok().filter(|count| *count > 0 && how.eq_ignore_ascii_case("last"));
    if last.is_none() {
        row.needs("how much: last N, or all", "")?;
    }
    row.alone(surplus, SlashCommand::Grant { to, last })
}

/// `#room`, `ALL`, or the name of a user.
fn parse_place(place: &str) -> Result<Recipient, InputError> {
    if let Some(name) = place.strip_prefix('#') {
        return RoomName::new(name)
            .map(Recipient::Room)
            .map_err(|source| InputError::BadPlace { place: place.to_owned(), source });
    }
    if place.eq_ignore_ascii_case(ALL) {
        return Ok(Recipient::All);
    }
    input::user(place).map(Recipient::User)
}

/// `/search WORDS`.
pub(super) fn parse_search(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let words = row.needs("words", rest.trim())?.split_whitespace();
    Ok(Input::Slash(SlashCommand::Search { words: words.map(str::to_owned).collect() }))
}

/// `/receipts [ID|last]`.
pub(super) fn parse_receipts(row: &'static SlashRow, rest: &str) -> Result<Input, InputError> {
    let (word, surplus) = first_word(rest);
    let id = match word {
        word if word.is_empty() || word.eq_ignore_ascii_case("last") => None,
        id => Some(MessageId::parse(id).map_err(|_| InputError::NotAnId { id: id.to_owned() })?),
    };
    row.alone(surplus, SlashCommand::Receipts { id })
}

#[cfg(test)]
mod tests {
    use chat_protocol::name::UserName;

    use super::*;

    fn history(line: &str) -> (Option<Recipient>, usize) {
        match input::parse(line).unwrap() {
            Input::Slash(SlashCommand::History { place, count }) => (place, count),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn where_and_how_many_may_both_be_left_out() {
        let bob = Recipient::User(UserName::new("bob").unwrap());
        let room = Recipient::Room(RoomName::new("ops").unwrap());
        assert_eq!(history("/history"), (None, SHOWN_DEFAULT));
        assert_eq!(history("/history 5"), (None, 5));
        assert_eq!(history("/history bob"), (Some(bob.clone()), SHOWN_DEFAULT));
        assert_eq!(history("/history bob 7"), (Some(bob), 7));
        assert_eq!(history("/history #ops 7"), (Some(room), 7));
        assert_eq!(history("/history all 7"), (Some(Recipient::All), 7));
        let more = Input::Slash(SlashCommand::HistoryMore);
        assert_eq!(input::parse("/history MORE"), Ok(more));
        let id = MessageId::new(5, [1; 10]);
        for (line, count) in [("", SHOWN_DEFAULT), (" 7", 7)] {
            let before = Input::Slash(SlashCommand::HistoryBefore { id, count });
            assert_eq!(input::parse(&format!("/history before {id}{line}")), Ok(before));
        }
        assert!(input::parse(&format!("/history before {id} x")).is_err());
        assert!(input::parse(&format!("/history before {id} 7 8")).is_err());
        for line in ["/history bob x", "/history bob 7 8", "/history #a/b", "/history b:b 1"] {
            assert!(input::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn receipts_are_of_the_last_message_or_of_an_id() {
        let id = MessageId::new(5, [1; 10]);
        let of = |line: &str| match input::parse(line).unwrap() {
            Input::Slash(SlashCommand::Receipts { id }) => id,
            other => panic!("{other:?}"),
        };
        assert_eq!((of("/receipts"), of("/receipts last")), (None, None));
        assert_eq!(of(&format!("/receipts {id}")), Some(id));
        let error = input::parse("/receipts yesterday").unwrap_err().to_string();
        assert!(error.contains("not the id of a message"), "{error}");
        assert!(input::parse("/search  ").is_err());
    }
}
