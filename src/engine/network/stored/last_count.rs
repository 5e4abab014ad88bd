//! The last count of a store's records on its server, and whether it still shows room for another.
//!
//! Invariant: [`LastCount::shows_room`] is true only if no number of hosts can have reached the
//! limit since the count.

use std::time::Duration;

use parking_lot::Mutex;

use crate::engine::network::deadline::Since;
use crate::time::clock::{Clock as _, SystemClock, Timestamp};

/// The distance from the limit on the number of records that counts as near: more than the inserts
/// in progress at any time.
pub(crate) const NEAR: u64 = 1_000;

/// More records than all hosts together can insert in a millisecond: each insert waits until the
/// server has stored it durably. 32 threads insert 10,000 a second on 2 cores
/// (`bash tests/servers/run --bench`).
const A_MILLISECOND: u64 = 200;

/// When a number was asked for, by both clocks of this machine. While it is suspended, the
/// monotonic one stands still, and the other hosts go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    since: Since,
    wall: Timestamp,
}

impl Asked {
    pub(crate) fn now() -> Self {
        Self { since: Since::now(), wall: wall() }
    }

    /// The time since then, by the clock that shows more. A wall clock that is set ahead makes a
    /// count old, which costs another count.
    fn elapsed(self) -> Duration {
        let by_wall = wall().as_millis().saturating_sub(self.wall.as_millis());
        self.since.elapsed().max(Duration::from_millis(by_wall))
    }
}

fn wall() -> Timestamp {
    Timestamp::from_system_time(SystemClock.now()).unwrap_or_default()
}

/// A number of records, and when it was counted.
#[derive(Clone, Copy, Debug)]
struct Count {
    stored: u64,
    asked: Asked,
}

/// The last count, if there was one.
#[derive(Debug, Default)]
pub(crate) struct LastCount(Mutex<Option<Count>>);

impl LastCount {
    /// Notes a number that was asked for at a moment: the server may have counted at once, and
    /// answered later.
    pub(crate) fn note(&self, stored: u64, asked: Asked) {
        *self.0.lock() = Some(Count { stored, asked });
    }

    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }

    /// The number and its age.
    fn get(&self) -> Option<(u64, Duration)> {
        let count = *self.0.lock();
        count.map(|count| (count.stored, count.asked.elapsed()))
    }

    /// Whether the limit was far at the last count, and is still out of reach.
    pub(crate) fn shows_room(&self, max_sessions: u64) -> bool {
        self.get().is_some_and(|(stored, age)| has_room(stored, age, max_sessions))
    }

    /// Whether the limit was near at the last count, whose age does not matter.
    pub(crate) fn was_near(&self, max_sessions: u64) -> bool {
        self.get().is_some_and(|(stored, _)| is_near(stored, max_sessions))
    }

    /// Whether the count is younger than this.
    pub(crate) fn is_younger_than(&self, age: Duration) -> bool {
        self.get().is_some_and(|(_, this)| this < age)
    }
}

/// Whether an insert needs the lock of the limit.
pub(crate) fn is_near(stored: u64, max_sessions: u64) -> bool {
    stored.saturating_add(NEAR) > max_sessions
}

/// Whether a count of this age shows that the limit is out of reach.
fn has_room(stored: u64, age: Duration, max_sessions: u64) -> bool {
    // The millisecond that has begun counts as a whole one.
    let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let inserted = millis.saturating_mul(A_MILLISECOND);
    !is_near(stored.saturating_add(inserted), max_sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_shows_room_until_all_hosts_could_have_filled_it() {
        let millis = Duration::from_millis;
        for (stored, age, max, room) in [
            (0, 0, 10_000_000, true),
            (9_000_000, 4_989, 10_000_000, true),
            (9_000_000, 4_995, 10_000_000, false),
            (0, 44_000, 10_000_000, true),
            (0, 50_000, 10_000_000, false),
            (0, 0, 1_200, true),
            (0, 1, 1_200, false),
            (1, 0, 1_200, false),
            (0, 0, 1_000, false),
            (u64::MAX, 0, u64::MAX - 1, false),
            (0, u64::MAX, 10_000_000, false),
        ] {
            assert_eq!(has_room(stored, millis(age), max), room, "{stored} {age} {max}");
        }
    }

    #[test]
    fn a_count_from_before_the_machine_slept_is_as_old_as_the_wall_clock_says() {
        let last = LastCount::default();
        let before = wall().as_millis() - 3_600_000;
        last.note(5, Asked { wall: Timestamp::from_millis(before), ..Asked::now() });
        assert!(!last.shows_room(10_000_000) && !last.is_younger_than(Duration::from_secs(3_000)));
        let ahead = wall().as_millis() + 3_600_000;
        let long_ago = Since::ago(Duration::from_secs(60));
        last.note(5, Asked { since: long_ago, wall: Timestamp::from_millis(ahead) });
        assert!(!last.shows_room(10_000_000), "a wall clock that was set back makes none younger");
    }

    #[test]
    fn no_count_and_a_forgotten_one_show_no_room() {
        let last = LastCount::default();
        assert!(!last.shows_room(10_000_000));
        last.note(5, Asked::now());
        assert!(last.shows_room(10_000_000) && !last.was_near(10_000_000) && last.was_near(1_004));
        last.forget();
        assert!(!last.shows_room(10_000_000) && !last.was_near(0));
    }
}
