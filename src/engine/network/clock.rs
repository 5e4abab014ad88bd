//! An estimate of the server's clock, without a request for each reading.
//!
//! Invariant: the time never goes back, and follows the server's clock within half a round trip of
//! the last comparison.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::network::deadline::Since;
use crate::time::clock::Timestamp;

/// The greatest age of a comparison of the clocks, if a flush comes twice in this time.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// The least jump of the server's clock that counts as one.
const JUMP_MS: u64 = 5_000;

/// The difference between the server's clock and this process's monotonic clock.
#[derive(Debug)]
pub(crate) struct ServerClock {
    start: Since,
    /// Added to the milliseconds since the start, this gives the server's time.
    offset_ms: AtomicI64,
    /// The latest time that was returned.
    latest: AtomicU64,
    /// When the clocks were compared, in milliseconds since the start.
    compared_at: AtomicU64,
    jumps: AtomicU64,
}

/// One comparison: the server's time, and the times of the request and of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    asked_ms: u64,
    answered_ms: u64,
    server: Timestamp,
}

impl ServerClock {
    pub(crate) fn new() -> Self {
        Self {
            start: Since::now(),
            offset_ms: AtomicI64::new(0),
            latest: AtomicU64::new(0),
            compared_at: AtomicU64::new(0),
            jumps: AtomicU64::new(0),
        }
    }

    /// Returns the time on the server.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(self.elapsed_ms())
    }

    fn at(&self, elapsed_ms: u64) -> Timestamp {
        let now = elapsed_ms.saturating_add_signed(self.offset_ms.load(Ordering::Acquire));
        Timestamp::from_millis(self.latest.fetch_max(now, Ordering::AcqRel).max(now))
    }

    /// Asks the server for its time, and records when the request and the answer happened.
    pub(crate) fn compare<E>(
        &self,
        ask: impl FnOnce() -> Result<Timestamp, E>,
    ) -> Result<Comparison, E> {
        let asked_ms = self.elapsed_ms();
        let server = ask()?;
        Ok(Comparison { asked_ms, answered_ms: self.elapsed_ms(), server })
    }

    /// Uses the comparison with the shortest round trip, which is the most exact.
    pub(crate) fn adopt(&self, comparisons: &[Comparison]) {
        let best =
            comparisons.iter().min_by_key(|one| one.answered_ms.saturating_sub(one.asked_ms));
        let Some(best) = best else { return };
        let between = best.asked_ms + best.answered_ms.saturating_sub(best.asked_ms) / 2;
        let offset = best.server.as_millis() as i64 - between as i64;
        let before = self.offset_ms.swap(offset, Ordering::AcqRel);
        let is_first = self.compared_at.swap(best.answered_ms.max(1), Ordering::AcqRel) == 0;
        if !is_first && offset.abs_diff(before) > JUMP_MS {
            self.jumps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the clocks must be compared again.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_at(self.elapsed_ms())
    }

    fn is_due_at(&self, elapsed_ms: u64) -> bool {
        let since = elapsed_ms.saturating_sub(self.compared_at.load(Ordering::Acquire));
        since >= INTERVAL.as_millis() as u64 / 2
    }

    /// How often the server's clock differed by more than five seconds from the expected time.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(asked_ms: u64, answered_ms: u64, server: u64) -> Comparison {
        Comparison { asked_ms, answered_ms, server: Timestamp::from_millis(server) }
    }

    #[test]
    fn the_quickest_comparison_counts_and_the_middle_of_it_is_the_servers_time() {
        let clock = ServerClock::new();
        clock.adopt(&[comparison(0, 900, 77), comparison(1_000, 1_010, 5_000_005)]);
        assert_eq!(clock.at(1_005).as_millis(), 5_000_005);
        assert_eq!(clock.at(2_005).as_millis(), 5_001_005);
        assert_eq!(clock.jumps(), 0, "the first comparison is no jump");
    }

    #[test]
    fn a_comparison_is_no_older_than_a_minute_where_a_flush_comes_each_half_of_one() {
        let clock = ServerClock::new();
        let compare = |at| clock.adopt(&[comparison(at, at + 3, 1_000_000 + at)]);
        compare(1_000);
        let (mut last, mut most) = (1_000, 0);
        // A flush is never early, but may be late.
        for flush in (1..20).map(|number: u64| 1_000 + number * 30_000 + number % 7) {
            if clock.is_due_at(flush) {
                most = most.max(flush - last);
                last = flush;
                compare(flush);
            }
        }
        assert!(most <= 60_000 + 7 && last > 500_000, "{most} {last}");
        assert!(!clock.is_due_at(last + 20_000), "one who flushes often asks no more often");
    }

    #[test]
    fn time_never_goes_back_and_a_jump_is_counted() {
        let clock = ServerClock::new();
        clock.adopt(&[comparison(0, 0, 1_000_000)]);
        assert_eq!(clock.at(10).as_millis(), 1_000_010);
        clock.adopt(&[comparison(20, 20, 990_000)]);
        assert_eq!(clock.at(20).as_millis(), 1_000_010, "it stands until the server has caught up");
        assert_eq!(clock.jumps(), 1);
        assert_eq!(clock.at(20_000).as_millis(), 1_009_980);
        clock.adopt(&[comparison(30, 30, 991_000)]);
        assert_eq!(clock.jumps(), 1, "a drift is no jump");
    }
}
