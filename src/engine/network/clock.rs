//! An estimate of the server's clock, without a request for each reading.
//!
//! Invariant: the time follows the server's clock within half a round trip of the last comparison.
//! It goes back only with a jump of that clock; after a smaller step back it stands still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::network::deadline::Since;
use crate::time::clock::{Clock as _, SystemClock, Timestamp};

/// The greatest age of a comparison of the clocks, with two flushes in this time.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// The least jump of the server's clock that counts as one.
const JUMP_MS: u64 = 5_000;

/// The difference between the server's clock and this process's monotonic clock.
#[derive(Debug)]
pub(crate) struct ServerClock {
    start: Since,
    /// One lock, so that no reading by an old offset outlives a jump.
    estimate: Mutex<Estimate>,
    jumps: AtomicU64,
}

#[derive(Debug, Default)]
struct Estimate {
    /// Added to the milliseconds since the start, this gives the server's time.
    offset_ms: i64,
    /// The latest time that was returned since the last jump back.
    latest: u64,
    /// When the clocks were compared, in milliseconds since the start.
    compared_at: Option<u64>,
    /// What the wall clock showed then, less the milliseconds since the start.
    wall_offset_ms: i64,
}

/// One comparison: the server's time, and the times of the request and of the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    asked_ms: u64,
    answered_ms: u64,
    server: Timestamp,
    /// What the wall clock showed before the request, less the milliseconds since the start.
    wall_offset_ms: i64,
}

impl ServerClock {
    pub(crate) fn new() -> Self {
        Self { start: Since::now(), estimate: Mutex::default(), jumps: AtomicU64::new(0) }
    }

    /// Returns the time on the server.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(self.elapsed_ms())
    }

    fn at(&self, elapsed_ms: u64) -> Timestamp {
        let mut estimate = self.estimate.lock();
        let now = elapsed_ms.saturating_add_signed(estimate.offset_ms);
        estimate.latest = estimate.latest.max(now);
        Timestamp::from_millis(estimate.latest)
    }

    /// Asks the server for its time, and records when the request and the answer happened.
    pub(crate) fn compare<E>(
        &self,
        ask: impl FnOnce() -> Result<Timestamp, E>,
    ) -> Result<Comparison, E> {
        let wall_offset_ms = self.wall_offset_ms();
        let asked_ms = self.elapsed_ms();
        let server = ask()?;
        Ok(Comparison { asked_ms, answered_ms: self.elapsed_ms(), server, wall_offset_ms })
    }

    /// Uses the comparison with the shortest round trip, which is the most exact, unless a later
    /// one is in use.
    pub(crate) fn adopt(&self, comparisons: &[Comparison]) {
        let best =
            comparisons.iter().min_by_key(|one| one.answered_ms.saturating_sub(one.asked_ms));
        let Some(best) = best else { return };
        let between = best.asked_ms + best.answered_ms.saturating_sub(best.asked_ms) / 2;
        let offset = best.server.as_millis() as i64 - between as i64;
        let mut estimate = self.estimate.lock();
        if estimate.compared_at.is_some_and(|at| at > best.answered_ms) {
            return;
        }
        let before = estimate.compared_at.map(|_| estimate.offset_ms);
        estimate.offset_ms = offset;
        estimate.compared_at = Some(best.answered_ms);
        estimate.wall_offset_ms = best.wall_offset_ms;
        if before.is_some_and(|before| before.abs_diff(offset) > JUMP_MS) {
            self.jumps.fetch_add(1, Ordering::Relaxed);
            // After a jump, time may go back: readings before the jump no longer bound it.
            estimate.latest = 0;
        }
    }

    /// Whether the clocks must be compared again.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due_at(self.elapsed_ms()) || self.has_slept()
    }

    fn is_due_at(&self, elapsed_ms: u64) -> bool {
        let compared_at = self.estimate.lock().compared_at.unwrap_or(0);
        let since = elapsed_ms.saturating_sub(compared_at);
        since >= INTERVAL.as_millis() as u64 / 2
    }

    /// Whether this machine may have been suspended since the last comparison. The monotonic clock
    /// stands still meanwhile, and the wall clock does not.
    pub(crate) fn has_slept(&self) -> bool {
        self.has_slept_by(self.wall_offset_ms())
    }

    fn has_slept_by(&self, wall_offset_ms: i64) -> bool {
        let estimate = self.estimate.lock();
        let moved = wall_offset_ms.abs_diff(estimate.wall_offset_ms);
        estimate.compared_at.is_some() && moved > JUMP_MS
    }

    /// Acts as if this machine had been suspended for an hour.
    #[cfg(test)]
    #[cfg(feature = "mongodb")]
    pub(crate) fn be_suspended(&self) {
        self.estimate.lock().wall_offset_ms -= 3_600_000;
    }

    /// How often the server's clock differed by more than five seconds from the expected time.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    fn wall_offset_ms(&self) -> i64 {
        let wall = Timestamp::from_system_time(SystemClock.now()).unwrap_or_default();
        wall.as_millis() as i64 - self.elapsed_ms() as i64
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(asked_ms: u64, answered_ms: u64, server: u64) -> Comparison {
        let server = Timestamp::from_millis(server);
        Comparison { asked_ms, answered_ms, server, wall_offset_ms: 0 }
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
    fn a_small_step_back_is_held_back_and_a_jump_is_followed_and_counted() {
        let clock = ServerClock::new();
        clock.adopt(&[comparison(0, 0, 1_000_000)]);
        assert_eq!(clock.at(10).as_millis(), 1_000_010);
        clock.adopt(&[comparison(20, 20, 996_000)]);
        assert_eq!(clock.at(20).as_millis(), 1_000_010, "it stands until the server has caught up");
        assert_eq!(clock.at(20_000).as_millis(), 1_015_980);
        assert_eq!(clock.jumps(), 0, "a drift is no jump");
        clock.adopt(&[comparison(20_010, 20_010, 1_006_010)]);
        assert_eq!((clock.at(20_010).as_millis(), clock.jumps()), (1_006_010, 1));
        clock.adopt(&[comparison(20_020, 20_020, 1_026_020)]);
        assert_eq!((clock.at(20_020).as_millis(), clock.jumps()), (1_026_020, 2));
    }

    #[test]
    fn a_clock_that_was_far_ahead_for_a_minute_does_not_stop_time_for_as_long() {
        const MONTH: u64 = 30 * 24 * 3_600_000;
        let clock = ServerClock::new();
        clock.adopt(&[comparison(0, 0, 1_000_000)]);
        clock.adopt(&[comparison(30_000, 30_000, 1_030_000 + MONTH)]);
        assert_eq!(clock.at(59_000).as_millis(), 1_059_000 + MONTH);
        clock.adopt(&[comparison(60_000, 60_000, 1_060_000)]);
        assert_eq!(clock.at(60_010).as_millis(), 1_060_010);
        assert_eq!(clock.at(60_000).as_millis(), 1_060_010, "and does not go back again");
        assert_eq!(clock.at(90_000).as_millis(), 1_090_000);
    }

    #[test]
    fn a_comparison_that_is_older_than_the_adopted_one_counts_for_nothing() {
        let clock = ServerClock::new();
        clock.adopt(&[comparison(1_000, 1_010, 1_000_000)]);
        clock.adopt(&[comparison(500, 510, 9_000_000)]);
        assert_eq!((clock.at(1_005).as_millis(), clock.jumps()), (1_000_000, 0));
    }

    #[test]
    fn a_machine_that_was_suspended_compares_again_and_once() {
        let clock = ServerClock::new();
        let compare = |at, wall_offset_ms| {
            clock.adopt(&[Comparison { wall_offset_ms, ..comparison(at, at, 1_000_000 + at) }]);
        };
        assert!(!clock.has_slept_by(9_000_000), "there is nothing to compare again yet");
        compare(0, 7_000_000);
        assert!(!clock.has_slept_by(7_000_000));
        assert!(!clock.has_slept_by(7_004_000) && !clock.has_slept_by(6_996_000), "a small step");
        assert!(clock.has_slept_by(7_060_000), "it slept for a minute");
        assert!(clock.has_slept_by(6_940_000), "the wall clock was set, which may hide a sleep");
        compare(10, 7_060_000);
        assert!(!clock.has_slept_by(7_060_000));
    }

    #[test]
    fn a_machine_that_is_suspended_during_a_comparison_compares_again() {
        let clock = ServerClock::new();
        let wall = clock.wall_offset_ms();
        let awake = clock.compare(|| Ok::<_, ()>(Timestamp::from_millis(1_000_000))).unwrap();
        assert!(awake.wall_offset_ms.abs_diff(wall) < 60_000);
        // It fell asleep after the request.
        clock.adopt(&[Comparison { wall_offset_ms: awake.wall_offset_ms - 600_000, ..awake }]);
        assert!(clock.has_slept() && clock.is_due());
    }
}
