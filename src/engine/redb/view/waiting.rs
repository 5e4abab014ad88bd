//! Measures how long touches and deferred commits have been only in memory, and counts those
//! written later than promised.
//!
//! Invariant: a session's wait starts with its first touch that no commit has included; later
//! touches do not shorten it. A wait ends on the disk: a touch that a deferred commit includes
//! waits on until a flush has written that commit. Waits are measured with the monotonic clock,
//! which knows no dates.

use std::time::{Duration, Instant};

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::time::ticks;

/// Milliseconds since the buffer was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) struct Tick(u64);

impl Tick {
    /// The milliseconds from this tick to `later`, at most 49 days of them; none if `later` is
    /// earlier, as for a touch that came after the caller had asked for the time.
    fn until(self, later: Self) -> u32 {
        u32::try_from(later.0.saturating_sub(self.0)).unwrap_or(u32::MAX)
    }

    fn after(self, millis: u32) -> Self {
        Self(self.0.saturating_add(millis.into()))
    }

    #[cfg(test)]
    pub(super) const fn at(millis: u64) -> Self {
        Self(millis)
    }
}

/// The waiting time of a pending touch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    since: Tick,
    next: Next,
}

/// The first touch after those that a commit is writing.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// No commit is writing the touches.
    NotTaken,
    /// No touch came since a commit took the earlier ones.
    NoneSince,
    /// It came so many milliseconds after the wait began. A whole tick would make each touch
    /// larger.
    After(u32),
}

impl Waiting {
    pub(super) const fn since(since: Tick) -> Self {
        Self { since, next: Next::NotTaken }
    }

    /// Notes that the session was touched once more.
    pub(super) fn again(&mut self, now: impl FnOnce() -> Tick) {
        if matches!(self.next, Next::NoneSince) {
            self.next = Next::After(self.since.until(now()));
        }
    }

    /// Notes that a commit includes the touches so far. If it fails, a later commit includes them.
    pub(super) const fn take_along(&mut self) {
        self.next = Next::NoneSince;
    }

    /// Notes that a commit has written the earlier touches, and that later ones are left.
    pub(super) fn written(&mut self, now: Tick) {
        let since = match self.next {
            Next::After(millis) => self.since.after(millis),
            _ => now,
        };
        *self = Self::since(since);
    }

    pub(super) const fn started(&self) -> Tick {
        self.since
    }

    pub(super) fn millis(&self, now: Tick) -> u32 {
        self.since.until(now)
    }
}

/// The most touches in deferred commits whose waits are measured, 2 MiB of them.
const MOST_DEFERRED: usize = 262_144;

/// The deferred commits since the last flush, and the record of flushes that came late.
#[derive(Debug, Default)]
struct Deferred {
    /// When the first of them was made.
    since: Option<Tick>,
    /// When the waits of the touches in them started.
    touches: Vec<Tick>,
    /// How long they may wait, in milliseconds.
    promised: u32,
    late: u64,
    /// The longest delay beyond the promise, in milliseconds.
    latest: u32,
}

/// The clock of a buffer, and its record of touches and deferred commits that were written late.
#[derive(Debug)]
pub(super) struct Lateness {
    started: Instant,
    /// How long a touch may wait, in milliseconds; the largest number until a time is promised.
    promised: AtomicU32,
    late: AtomicU64,
    /// The longest delay beyond the promise, in milliseconds.
    latest: AtomicU32,
    deferred: Mutex<Deferred>,
}

impl Lateness {
    pub(super) fn new() -> Self {
        Self {
            started: ticks::now(),
            promised: AtomicU32::new(u32::MAX),
            late: AtomicU64::new(0),
            latest: AtomicU32::new(0),
            deferred: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Tick {
        Tick(ticks::now().duration_since(self.started).as_millis() as u64)
    }

    pub(super) fn promise(&self, interval: Duration) {
        let millis = millis_of(interval);
        if self.promised.load(Ordering::Relaxed) != millis {
            self.promised.store(millis, Ordering::Relaxed);
        }
    }

    /// How long a touch that has waited this many milliseconds can wait without being almost late,
    /// which is after three quarters of the promised time.
    pub(super) fn left(&self, waited: Option<u32>) -> Duration {
        let promised = self.promised.load(Ordering::Relaxed);
        let left = waited.map_or(0, |waited| (promised - promised / 4).saturating_sub(waited));
        Duration::from_millis(left.into())
    }

    /// Records a written touch that waited this many milliseconds.
    pub(super) fn note(&self, waited: u32) {
        let late_by = waited.saturating_sub(self.promised.load(Ordering::Relaxed));
        if late_by > 0 {
            self.late.fetch_add(1, Ordering::Relaxed);
            self.latest.fetch_max(late_by, Ordering::Relaxed);
        }
    }

    /// How many touches were late, and the longest delay beyond the promise. One that still waits
    /// has `waited` so far.
    pub(super) fn told(&self, waited: Option<u32>) -> (u64, Duration) {
        let promised = self.promised.load(Ordering::Relaxed);
        let present = waited.map_or(0, |waited| waited.saturating_sub(promised));
        let latest = self.latest.load(Ordering::Relaxed).max(present);
        (self.late.load(Ordering::Relaxed), Duration::from_millis(latest.into()))
    }

    /// How late the oldest touch or deferred commit is now. The oldest touch that no commit has
    /// included has `waited` so long.
    pub(super) fn late_by(&self, waited: Option<u32>) -> Duration {
        let promised = self.promised.load(Ordering::Relaxed);
        let now = self.now();
        let deferred = self.deferred.lock();
        let waits = deferred.touches.iter().map(|since| since.until(now)).chain(waited);
        let touch = waits.max().map_or(0, |waited| waited.saturating_sub(promised));
        Duration::from_millis(touch.max(deferred.late_by(now)).into())
    }

    /// Records a deferred commit, which may be only in memory for `interval`.
    pub(super) fn defer(&self, interval: Duration) {
        let mut deferred = self.deferred.lock();
        deferred.promised = millis_of(interval);
        deferred.since.get_or_insert_with(|| self.now());
    }

    /// Records touches that the last deferred commit includes, by the start of their waits.
    pub(super) fn defer_touches(&self, since: &[Tick]) {
        let mut deferred = self.deferred.lock();
        let room = MOST_DEFERRED.saturating_sub(deferred.touches.len());
        deferred.touches.extend(since.iter().take(room));
    }

    /// Records that every deferred commit is on the disk.
    pub(super) fn flushed(&self) {
        let now = self.now();
        let touches = {
            let mut deferred = self.deferred.lock();
            let late_by = deferred.late_by(now);
            deferred.since = None;
            deferred.late += u64::from(late_by > 0);
            deferred.latest = deferred.latest.max(late_by);
            std::mem::take(&mut deferred.touches)
        };
        touches.iter().for_each(|since| self.note(since.until(now)));
    }

    /// How many flushes were late, and the longest delay of a deferred commit beyond the promise,
    /// the present delay included.
    pub(super) fn deferred_told(&self) -> (u64, Duration) {
        let now = self.now();
        let deferred = self.deferred.lock();
        let latest = deferred.latest.max(deferred.late_by(now));
        (deferred.late, Duration::from_millis(latest.into()))
    }
}

impl Deferred {
    /// How long the first of the commits has waited beyond the promise, in milliseconds.
    fn late_by(&self, now: Tick) -> u32 {
        self.since.map_or(0, |since| since.until(now).saturating_sub(self.promised))
    }
}

fn millis_of(interval: Duration) -> u32 {
    u32::try_from(interval.as_millis()).unwrap_or(u32::MAX)
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
        // The commit failed; the next one includes all of them.
        waiting.take_along();
        assert_eq!(waiting.millis(Tick::at(30)), 20);
        waiting.again(|| Tick::at(40));
        waiting.written(Tick::at(50));
        assert_eq!(waiting.millis(Tick::at(50)), 10);
    }

    #[test]
    fn a_wait_of_weeks_does_not_seem_short() {
        const DAY: u64 = 24 * 60 * 60 * 1_000;
        let mut waiting = Waiting::since(Tick::at(100 * DAY));
        for days in [12, 13, 24, 25, 49] {
            assert_eq!(u64::from(waiting.millis(Tick::at((100 + days) * DAY))), days * DAY);
        }
        assert_eq!(waiting.millis(Tick::at(200 * DAY)), u32::MAX, "the most that is told");
        assert_eq!(waiting.millis(Tick::at(99 * DAY)), 0, "the touch came after that");
        waiting.take_along();
        waiting.again(|| Tick::at(120 * DAY));
        waiting.written(Tick::at(140 * DAY));
        assert_eq!(u64::from(waiting.millis(Tick::at(140 * DAY))), 20 * DAY);
    }

    #[test]
    fn a_touch_takes_no_more_memory_for_its_wait() {
        assert!(size_of::<Waiting>() <= 16);
    }

    #[test]
    fn what_is_later_than_promised_is_counted_with_the_most_that_it_was_late() {
        let lateness = Lateness::new();
        lateness.note(1_000_000);
        assert_eq!(lateness.told(None), (0, Duration::ZERO), "nothing was promised yet");
        lateness.promise(Duration::from_secs(1));
        for waited in [0, 1_000, 1_001, 1_500, 1_200] {
            lateness.note(waited);
        }
        assert_eq!(lateness.told(Some(1_500)), (3, Duration::from_millis(500)));
        assert_eq!(lateness.told(Some(1_800)), (3, Duration::from_millis(800)), "it still waits");
        let late_by = [None, Some(900), Some(1_100)].map(|waited| lateness.late_by(waited));
        assert_eq!(late_by, [0, 0, 100].map(Duration::from_millis));
    }

    #[test]
    fn a_deferred_commit_and_the_touches_in_it_wait_until_a_flush_has_written_them() {
        let lateness = Lateness::new();
        lateness.promise(Duration::from_millis(1));
        let start = lateness.now();
        lateness.defer(Duration::from_millis(1));
        lateness.defer_touches(&[start, start]);
        std::thread::sleep(Duration::from_millis(30));
        // A later commit makes the first no younger.
        lateness.defer(Duration::from_millis(1));
        let (flushes, latest) = lateness.deferred_told();
        assert!(flushes == 0 && latest >= Duration::from_millis(28), "{latest:?} so far");
        assert!(lateness.late_by(None) >= Duration::from_millis(28));
        assert_eq!(lateness.told(None).0, 0, "they are not written yet");
        lateness.flushed();
        lateness.flushed();
        let (flushes, latest) = lateness.deferred_told();
        assert!(flushes == 1 && latest >= Duration::from_millis(28), "{flushes}, {latest:?}");
        assert_eq!(lateness.told(None).0, 2);
        assert_eq!(lateness.late_by(None), Duration::ZERO, "nothing is late any more");
        lateness.defer(Duration::from_secs(3_600));
        lateness.defer_touches(&[start]);
        assert!(lateness.late_by(None) >= Duration::from_millis(28), "the touch is late");
        lateness.flushed();
        assert_eq!(lateness.deferred_told().0, 1, "this one was in time");
    }
}
