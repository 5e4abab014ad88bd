//! How long touches have been in memory alone, and how many were written later than promised.
//!
//! Invariant: a touch waits from the first one of its session that no commit has taken along; those
//! that follow make it no younger. It goes by the monotonic clock, and knows no dates.

use std::time::{Duration, Instant};

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::time::ticks;

/// Milliseconds since the buffer was made, which come round after 24 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) struct Tick(u32);

impl Tick {
    const MASK: u32 = 0x7fff_ffff;

    /// From here to `later`.
    const fn until(self, later: Self) -> u32 {
        later.0.wrapping_sub(self.0) & Self::MASK
    }

    #[cfg(test)]
    pub(super) const fn at(millis: u32) -> Self {
        Self(millis & Self::MASK)
    }
}

/// What a pending touch knows of its own waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    since: Tick,
    next: Next,
}

/// The first touch that is not in the commit which takes the ones before it along.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// No commit is about to.
    NotTaken,
    /// There was none since.
    NoneSince,
    At(Tick),
}

impl Waiting {
    pub(super) const fn since(since: Tick) -> Self {
        Self { since, next: Next::NotTaken }
    }

    /// The session was touched once more.
    pub(super) fn again(&mut self, now: impl FnOnce() -> Tick) {
        if matches!(self.next, Next::NoneSince) {
            self.next = Next::At(now());
        }
    }

    /// A commit takes along what was touched so far. If it fails, a later one does.
    pub(super) const fn take_along(&mut self) {
        self.next = Next::NoneSince;
    }

    /// A commit is on the disk, and later touches are left.
    pub(super) const fn written(&mut self, now: Tick) {
        let since = match self.next {
            Next::At(next) => next,
            _ => now,
        };
        *self = Self::since(since);
    }

    pub(super) const fn millis(&self, now: Tick) -> u32 {
        self.since.until(now)
    }
}

/// The clock of a buffer, and its account of touches that were written late.
#[derive(Debug)]
pub(super) struct Lateness {
    started: Instant,
    /// How long a touch may wait, in milliseconds; the largest number as long as nobody said.
    promised: AtomicU32,
    late: AtomicU64,
    /// By how much the latest of them was late, in milliseconds.
    latest: AtomicU32,
}

impl Lateness {
    pub(super) fn new() -> Self {
        Self {
            started: ticks::now(),
            promised: AtomicU32::new(u32::MAX),
            late: AtomicU64::new(0),
            latest: AtomicU32::new(0),
        }
    }

    pub(super) fn now(&self) -> Tick {
        let millis = ticks::now().duration_since(self.started).as_millis();
        Tick(u32::try_from(millis & u128::from(Tick::MASK)).unwrap_or_default())
    }

    pub(super) fn promise(&self, interval: Duration) {
        let millis = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        if self.promised.load(Ordering::Relaxed) != millis {
            self.promised.store(millis, Ordering::Relaxed);
        }
    }

    /// A touch that has waited so long is on the disk.
    pub(super) fn note(&self, waited: u32) {
        let late_by = waited.saturating_sub(self.promised.load(Ordering::Relaxed));
        if late_by > 0 {
            self.late.fetch_add(1, Ordering::Relaxed);
            self.latest.fetch_max(late_by, Ordering::Relaxed);
        }
    }

    /// How many were late, and by how much the latest.
    pub(super) fn told(&self) -> (u64, Duration) {
        let latest = self.latest.load(Ordering::Relaxed);
        (self.late.load(Ordering::Relaxed), Duration::from_millis(latest.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touch_waits_from_the_first_that_no_commit_took_along() {
        let mut waiting = Waiting::since(Tick::at(10));
        waiting.again(|| panic!("nobody asks the clock"));
        assert_eq!(waiting.millis(Tick::at(110)), 100);
        waiting.take_along();
        waiting.again(|| Tick::at(120));
        waiting.again(|| panic!("there was a first one"));
        assert_eq!(waiting.millis(Tick::at(130)), 120, "it is not written yet");
        waiting.written(Tick::at(150));
        assert_eq!(waiting.millis(Tick::at(170)), 50);
    }

    #[test]
    fn a_commit_that_fails_makes_no_touch_younger() {
        let mut waiting = Waiting::since(Tick::at(10));
        waiting.take_along();
        waiting.again(|| Tick::at(20));
        // The commit failed; the next one takes all of them along.
        waiting.take_along();
        assert_eq!(waiting.millis(Tick::at(30)), 20);
        waiting.again(|| Tick::at(40));
        waiting.written(Tick::at(50));
        assert_eq!(waiting.millis(Tick::at(50)), 10);
    }

    #[test]
    fn the_clock_may_come_round() {
        let waiting = Waiting::since(Tick::at(Tick::MASK - 4));
        assert_eq!(waiting.millis(Tick::at(5)), 10);
    }

    #[test]
    fn what_is_later_than_promised_is_counted_with_the_most_that_it_was_late() {
        let lateness = Lateness::new();
        lateness.note(1_000_000);
        assert_eq!(lateness.told(), (0, Duration::ZERO), "nothing was promised yet");
        lateness.promise(Duration::from_secs(1));
        for waited in [0, 1_000, 1_001, 1_500, 1_200] {
            lateness.note(waited);
        }
        assert_eq!(lateness.told(), (3, Duration::from_millis(500)));
    }
}
