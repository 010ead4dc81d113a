//! A token bucket. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come in each `per`; at least 1.
    pub tokens: u64,
    /// See `tokens`.
    pub per: Duration,
    /// What a full bucket holds; at least 1.
    pub burst: u64,
}

impl Rate {
    /// So many each second, and so many at once.
    pub const fn per_second(tokens: u64, burst: u64) -> Self {
        Self { tokens, per: Duration::from_secs(1), burst }
    }

    /// So many in each such time, all of them at once if one likes.
    pub const fn each(tokens: u64, per: Duration) -> Self {
        Self { tokens, per, burst: tokens }
    }

    /// How long so many tokens take to come.
    pub fn time_of(&self, tokens: u64) -> Duration {
        let nanos = self.per.as_nanos().saturating_mul(u128::from(tokens));
        let nanos = nanos / u128::from(self.tokens.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// One bucket: full when it is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// When it will be full again; what lacks until then is what was taken.
    full_at: Option<Instant>,
}

impl Bucket {
    fn lacks(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
    }

    /// Takes so many tokens, or says how long to wait until there are as many. More than a full bucket
    /// holds are taken from a full one.
    pub fn take(&mut self, rate: &Rate, now: Instant, tokens: u64) -> Result<(), Duration> {
        let lacks = self.lacks(now) + rate.time_of(tokens.min(rate.burst));
        let wait = lacks.saturating_sub(rate.time_of(rate.burst));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.spend(rate, now, tokens);
        Ok(())
    }

    /// Takes tokens for what has been done already; there may be less than none afterwards.
    pub fn spend(&mut self, rate: &Rate, now: Instant, tokens: u64) {
        self.full_at = Some(now + self.lacks(now) + rate.time_of(tokens));
    }

    /// How long to wait until there is a token.
    pub fn wait(&self, rate: &Rate, now: Instant) -> Duration {
        (self.lacks(now) + rate.time_of(1)).saturating_sub(rate.time_of(rate.burst))
    }

    /// Whether nothing lacks: as good as a new one.
    pub fn is_full(&self, now: Instant) -> bool {
        self.lacks(now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, rate: &Rate, now: Instant) -> u64 {
        let mut taken = 0;
        while taken < 100_000 && bucket.take(rate, now, 1).is_ok() {
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_and_then_so_many_a_second() {
        let rate = Rate::per_second(64, 1_024);
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(taken(&mut bucket, &rate, start), 1_024);
        let later = start + Duration::from_secs(3);
        assert_eq!(taken(&mut bucket, &rate, later), 3 * 64);
        // Whoever waits as long as was said, is let through.
        let wait = bucket.take(&rate, later, 1).unwrap_err();
        assert!(wait <= Duration::from_secs(1) / 64, "{wait:?}");
        assert_eq!(bucket.take(&rate, later + wait, 1), Ok(()));
        // Whoever asks slower than that is never put off.
        let step = Duration::from_millis(16);
        let later = later + wait;
        assert!((1..100).all(|n| bucket.take(&rate, later + step * n, 1).is_ok()));
        let much_later = later + Duration::from_hours(24);
        assert!(bucket.is_full(much_later));
        assert_eq!(taken(&mut bucket, &rate, much_later), 1_024);
    }

    #[test]
    fn what_was_spent_too_much_is_waited_for() {
        let rate = Rate::per_second(4, 64);
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert_eq!(bucket.wait(&rate, now), Duration::ZERO);
        bucket.spend(&rate, now, 64 + 8);
        assert_eq!(bucket.wait(&rate, now), Duration::from_millis(2_250));
        assert_eq!(bucket.wait(&rate, now + Duration::from_secs(3)), Duration::ZERO);
        // One thing larger than a full bucket is not impossible.
        let full = now + Duration::from_mins(1);
        assert_eq!(bucket.take(&rate, full, 1_000), Ok(()));
        assert!(bucket.take(&rate, full, 1).is_err());
    }

    #[test]
    fn a_month_is_counted_without_loss() {
        let month = Rate::each(64, Duration::from_hours(30 * 24));
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(taken(&mut bucket, &month, start), 64);
        let wait = bucket.take(&month, start, 1).unwrap_err();
        assert_eq!(wait, Duration::from_hours(30 * 24) / 64);
    }
}
