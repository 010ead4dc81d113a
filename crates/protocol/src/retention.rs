//! How long a room's messages are kept, as people write it: `90d`, `12h`, `30m`, `2s`, `off`.

use thiserror::Error;

/// Shortest time that can be set: less than a second is shorter than a message takes.
pub const KEEP_MS_MIN: u64 = 1_000;

/// Longest time that can be set: a hundred years. Whoever wants more says `off`.
pub const KEEP_MS_MAX: u64 = 100 * 365 * DAY_MS;

/// What a hub says of a room that its operator has deleted: shorter than any room can be set to.
pub const DELETED_KEEP_MS: u64 = 1;

const DAY_MS: u64 = 24 * HOUR_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const SECOND_MS: u64 = 1_000;

/// Units from the largest to the smallest, with their length in milliseconds.
const UNITS: [(char, u64); 4] = [('d', DAY_MS), ('h', HOUR_MS), ('m', MINUTE_MS), ('s', SECOND_MS)];

/// Not a time to keep messages for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected a time from 1s to 36500d as 90d, 12h, 30m or 45s, or off; got {0:?}")]
pub struct BadKeepTime(pub String);

/// Whether the time is one that can be set; 0 keeps everything.
pub fn is_keep_time(keep_ms: u64) -> bool {
    keep_ms == 0 || (KEEP_MS_MIN..=KEEP_MS_MAX).contains(&keep_ms)
}

/// Reads a time in milliseconds; `off` is 0: everything is kept.
pub fn parse(text: &str) -> Result<u64, BadKeepTime> {
    let bad = || BadKeepTime(text.to_owned());
    if text.eq_ignore_ascii_case("off") {
        return Ok(0);
    }
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(bad)?;
    let digits = text.strip_suffix(unit.0).ok_or_else(bad)?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| is_plain).ok_or_else(bad)?;
    count.checked_mul(unit.1).filter(|ms| *ms > 0 && is_keep_time(*ms)).ok_or_else(bad)
}

/// Writes a time in the largest unit that says it exactly.
pub fn format(keep_ms: u64) -> String {
    if keep_ms == 0 {
        return "off".to_owned();
    }
    let unit = UNITS.iter().find(|(_, ms)| keep_ms.is_multiple_of(*ms));
    unit.map_or_else(|| format!("{keep_ms}ms"), |(unit, ms)| format!("{}{unit}", keep_ms / ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, ms, written) in [
            ("off", 0, "off"),
            ("OFF", 0, "off"),
            ("2s", 2_000, "2s"),
            ("90m", 5_400_000, "90m"),
            ("24h", DAY_MS, "1d"),
            ("90d", 90 * DAY_MS, "90d"),
            ("36500d", KEEP_MS_MAX, "36500d"),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
            assert_eq!(format(ms), written);
            assert_eq!(parse(&format(ms)), Ok(ms));
        }
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1.5d",
            "90",
            "36501d",
            "99999999999999999999d",
            "1d2h",
            "1é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
