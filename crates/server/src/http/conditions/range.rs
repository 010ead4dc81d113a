//! One range of bytes (RFC 9110, section 14).

use super::Verdict;

/// Decides on the value of `Range` for a file of `length` bytes. What is no range, and more than one
/// range, is answered with everything, as the RFC allows.
pub(super) fn decide(value: &str, length: u64) -> Verdict {
    match parse(value) {
        None => Verdict::Whole,
        Some(Asked::Last(count)) => part(length.saturating_sub(count), length),
        Some(Asked::From { first, last }) => {
            // No end reaches behind the file, so this cannot overflow there.
            let end = last.map_or(length, |last| last.saturating_add(1).min(length));
            part(first, end)
        }
    }
}

fn part(start: u64, end: u64) -> Verdict {
    match end.checked_sub(start) {
        None | Some(0) => Verdict::Unsatisfiable,
        Some(length) => Verdict::Part { start, length },
    }
}

enum Asked {
    /// So many bytes at the end.
    Last(u64),
    /// From the first to the last, inclusive, or to the end.
    From { first: u64, last: Option<u64> },
}

fn parse(value: &str) -> Option<Asked> {
    let (unit, ranges) = value.split_once('=')?;
    let (first, last) = ranges.trim().split_once('-')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    match (first, last) {
        ("", last) => number(last).map(Asked::Last),
        (first, "") => number(first).map(|first| Asked::From { first, last: None }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Asked::From { first, last: Some(last) })
        }
    }
}

/// Digits only; `None` else. What is above the largest number is above every file too.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_hundred_bytes() {
        use Verdict::{Part, Unsatisfiable, Whole};
        let cases = [
            ("bytes=0-", Part { start: 0, length: 100 }),
            ("bytes=0-0", Part { start: 0, length: 1 }),
            ("bytes=0-99", Part { start: 0, length: 100 }),
            ("bytes=0-100", Part { start: 0, length: 100 }),
            ("bytes=90-1000", Part { start: 90, length: 10 }),
            ("bytes=99-", Part { start: 99, length: 1 }),
            ("bytes=-1", Part { start: 99, length: 1 }),
            ("bytes=-1000", Part { start: 0, length: 100 }),
            ("Bytes=1-2", Part { start: 1, length: 2 }),
            ("bytes=0-99999999999999999999999", Part { start: 0, length: 100 }),
            ("bytes=-18446744073709551616", Part { start: 0, length: 100 }),
            ("bytes=100-", Unsatisfiable),
            ("bytes=100-200", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=18446744073709551615-18446744073709551615", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=5-4", Whole),
            ("bytes=0-1,5-6", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("bytes=--5", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=a-b", Whole),
            ("bytes=0x1-2", Whole),
            ("bytes 0-1", Whole),
            ("lines=0-1", Whole),
            ("", Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(decide(value, 100), expected, "{value}");
        }
    }

    #[test]
    fn an_empty_file_has_no_part() {
        for value in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            assert_eq!(decide(value, 0), Verdict::Unsatisfiable, "{value}");
        }
    }
}
