//! The line between two days, for a screen whose times have no dates.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Notices when another day has begun.
#[derive(Debug)]
pub struct Days {
    zone: TimeZone,
    today: Option<Date>,
}

impl Days {
    /// From the next look on, in this zone.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, today: None }
    }

    /// The line that is due before what is shown at this time (Unix time in milliseconds): nothing on the same
    /// day, nor at the first look.
    pub fn line(&mut self, unix_ms: u64) -> Option<String> {
        let at = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
        let date = at.to_zoned(self.zone.clone()).date();
        let before = self.today.replace(date)?;
        (before != date).then(|| date.strftime("── %A, %d %B %Y ──").to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_where_the_day_changes() {
        let mut days = Days::new(TimeZone::UTC);
        let midnight = 1_700_006_400_000;
        assert_eq!(days.line(midnight - 2_000), None, "the first look");
        assert_eq!(days.line(midnight - 1), None);
        let line = days.line(midnight).unwrap();
        assert_eq!(line, "── Wednesday, 15 November 2023 ──");
        assert_eq!(days.line(midnight + 1), None, "once");
    }
}
