//! What a screen has shown of the messages of the storm.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::ensure;

/// How a message of the storm begins; a number follows.
pub(crate) const STORM: &str = "storm";

/// Numbers that are named when they are wrong.
const NAMED_MAX: usize = 10;

/// Whether the messages with the numbers below `sent` stand on the screen, each once and whole.
pub(crate) fn check(text: &str, sent: usize) -> anyhow::Result<()> {
    let said = format!("bob: {STORM} ");
    let (mut shown, mut torn) = (BTreeMap::<usize, usize>::new(), Vec::new());
    for line in text.split('\n') {
        let Some((_, rest)) = line.trim_end_matches('\r').split_once(&said) else { continue };
        match rest.parse() {
            Ok(number) => *shown.entry(number).or_default() += 1,
            Err(_) => torn.push(line.escape_debug().to_string()),
        }
    }
    let missing: Vec<usize> = (0..sent).filter(|number| !shown.contains_key(number)).collect();
    let doubled: Vec<usize> =
        shown.iter().filter(|(_, times)| **times > 1).map(|(number, _)| *number).collect();
    ensure!(
        missing.is_empty() && doubled.is_empty() && torn.is_empty(),
        "of {sent} messages {} are not shown {:?}, {} more than once {:?}, {} torn {:?}",
        missing.len(),
        few(&missing),
        doubled.len(),
        few(&doubled),
        torn.len(),
        few(&torn)
    );
    Ok(())
}

/// The rows of the log that are seen now: what stands beside and below it changes by itself.
pub(crate) fn log_of(picture: &str) -> Vec<&str> {
    picture.lines().filter_map(|row| row.split('│').nth(1)).collect()
}

/// Whether the messages of the storm that are seen now follow each other, none twice and none left out.
pub(crate) fn check_picture(picture: &str) -> anyhow::Result<()> {
    shown_now(picture).map(drop)
}

/// The messages of the storm that are seen now, which follow each other; nothing where none is seen.
pub(crate) fn shown_now(picture: &str) -> anyhow::Result<Option<Range<usize>>> {
    let said = format!("bob: {STORM} ");
    let number = |row: &str| -> Option<usize> {
        let (_, rest) = row.split_once(&said)?;
        rest.split([' ', '│']).next()?.parse().ok()
    };
    let numbers: Vec<usize> = picture.lines().filter_map(number).collect();
    let follows = |pair: &[usize]| matches!(pair, [one, next] if *next == one + 1);
    ensure!(numbers.windows(2).all(follows), "the rows show {numbers:?}:\n{picture}");
    let (first, last) = (numbers.first(), numbers.last());
    Ok(first.zip(last).map(|(first, last)| *first..*last + 1))
}

fn few<T>(all: &[T]) -> &[T] {
    all.get(..NAMED_MAX.min(all.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_do_not_follow_each_other_are_told() {
        let picture = |numbers: &[usize]| -> String {
            let row = |number: &usize| format!("2 #lobby │22:13 bob: storm {number}      │● bob\n");
            numbers.iter().map(row).collect()
        };
        assert!(check_picture(&picture(&[7, 8, 9])).is_ok());
        assert_eq!(shown_now(&picture(&[7, 8, 9])).unwrap(), Some(7..10));
        assert_eq!(shown_now("nothing of it").unwrap(), None);
        for numbers in [&[7, 9][..], &[7, 7], &[8, 7]] {
            assert!(check_picture(&picture(numbers)).is_err(), "{numbers:?}");
        }
    }

    #[test]
    fn a_message_that_is_missing_doubled_or_torn_is_told() {
        let good = "\r\x1b[K10:00:00 #lobby bob: storm 0\r\nalice> ab\r\x1b[K10 bob: storm 1\r\n";
        assert!(check(good, 2).is_ok());
        for (text, part) in [
            (good.replace("storm 0", "strm 0"), "1 are not shown [0]"),
            (good.repeat(2), "2 more than once [0, 1]"),
            (good.replace("storm 1\r", "storm 1alice>\r"), "1 torn"),
        ] {
            let told = check(&text, 2).expect_err(part).to_string();
            assert!(told.contains(part), "{told}");
        }
    }
}
