//! The timeouts by which a sweep may delete: the store's own, or longer ones on record.
//!
//! Invariant: a session that is live under the timeouts on record is not swept for shorter ones
//! before those are adopted. This file knows no engine; the store's core carries out its decisions.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::time::clock::Timestamp;
use crate::time::ticks;
use crate::time::timeouts::Timeouts;

/// Shorter timeouts than those on record, until they are adopted; `None` from then on.
#[derive(Debug, Default)]
pub(crate) struct Adoption(Mutex<Option<Pending>>);

#[derive(Clone, Copy, Debug)]
struct Pending {
    on_record: Timeouts,
    /// The longer of each timeout. A session expired under these is expired under both pairs.
    lenient: Timeouts,
    due: Due,
    /// The number of sweep steps that have begun to go by the lenient timeouts. Each may move index
    /// entries past the store's own deadlines.
    begun_steps: u64,
    /// How many of those steps have ended.
    lenient_steps: u64,
    /// How many had ended before the index was last rebuilt.
    restored_steps: u64,
    /// When a create found the store full and no session to sweep.
    full_at: Option<Timestamp>,
}

/// How long a full store looks for no room again, in milliseconds. Each look makes a pass over all
/// sessions, to rebuild the index.
const PAUSE: u64 = 10_000;

/// When a store has been open for one sweep interval.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// By the clock that the program gave to the store.
    ByClock(Timestamp),
    /// By the monotonic clock. The date of a machine or a server may be set while the store is
    /// open, often just after the start.
    ByTicks(Instant),
}

impl Due {
    fn has_come(self, now: Timestamp) -> bool {
        match self {
            Self::ByClock(due) => now >= due,
            Self::ByTicks(due) => ticks::now() >= due,
        }
    }
}

/// The caller of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweeper {
    Caller,
    Thread,
}

/// The timeouts by which a sweep deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweeping {
    /// The store's own timeouts.
    Own,
    /// These timeouts. The index must be rebuilt afterwards.
    Lenient(Timeouts),
    /// The store's own timeouts, after their adoption.
    AfterAdoption,
}

impl Adoption {
    /// The store's `own` timeouts wait for one `interval` before they replace those on record. With
    /// `opened_at`, by the program's own clock, this clock measures the interval.
    pub(crate) fn pending(
        own: &Timeouts,
        on_record: Timeouts,
        opened_at: Option<Timestamp>,
        interval: Duration,
    ) -> Self {
        let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let due = match opened_at {
            Some(opened_at) => Due::ByClock(opened_at.saturating_add(millis)),
            None => Due::ByTicks(ticks::now() + interval),
        };
        let lenient = own.longer_of_each(&on_record);
        let (begun_steps, lenient_steps, restored_steps) = (0, 0, 0);
        Self(Mutex::new(Some(Pending {
            on_record,
            lenient,
            due,
            begun_steps,
            lenient_steps,
            restored_steps,
            full_at: None,
        })))
    }

    /// The timeouts on record, while shorter ones wait.
    pub(crate) fn on_record(&self) -> Option<Timeouts> {
        self.0.lock().map(|pending| pending.on_record)
    }

    /// The timeouts by which every deletion must go now, while shorter ones wait.
    pub(crate) fn lenient(&self) -> Option<Timeouts> {
        self.0.lock().map(|pending| pending.lenient)
    }

    /// Decides the timeouts of a sweep that begins now. The thread's first sweep comes after one
    /// interval, so each of its sweeps may adopt.
    pub(crate) fn decide(&self, now: Timestamp, sweeper: Sweeper) -> Sweeping {
        let Some(pending) = *self.0.lock() else { return Sweeping::Own };
        let waited = match sweeper {
            Sweeper::Caller => pending.due.has_come(now),
            Sweeper::Thread => true,
        };
        match waited {
            true => Sweeping::AfterAdoption,
            false => Sweeping::Lenient(pending.lenient),
        }
    }

    /// Whether the store has been open for a whole interval without an adoption.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.0.lock().is_some_and(|pending| pending.due.has_come(now))
    }

    /// Records the beginning of a step. Returns whether it goes by lenient timeouts.
    pub(crate) fn begins_step(&self) -> bool {
        match self.0.lock().as_mut() {
            Some(pending) => {
                pending.begun_steps += 1;
                true
            }
            None => false,
        }
    }

    /// Records the end of a step that began with lenient timeouts. Returns whether the store's own
    /// were adopted meanwhile: the caller must then rebuild the index, since nobody else does.
    #[must_use]
    pub(crate) fn ends_lenient_step(&self) -> bool {
        match self.0.lock().as_mut() {
            Some(pending) => {
                pending.lenient_steps += 1;
                false
            }
            None => true,
        }
    }

    /// The number of lenient steps that have ended; `None` once the store's own timeouts are
    /// adopted.
    pub(crate) fn lenient_steps(&self) -> Option<u64> {
        self.0.lock().map(|pending| pending.lenient_steps)
    }

    /// Records that the index was rebuilt after this number of lenient steps.
    pub(crate) fn restored(&self, steps: u64) {
        if let Some(pending) = self.0.lock().as_mut() {
            pending.restored_steps = pending.restored_steps.max(steps);
        }
    }

    /// Whether no step of this store moves an index entry, or has moved one since the index was
    /// rebuilt.
    pub(crate) fn is_restored(&self) -> bool {
        self.0.lock().is_none_or(|pending| pending.begun_steps == pending.restored_steps)
    }

    /// Records that a full store had no session to sweep.
    pub(crate) fn note_full(&self, now: Timestamp) {
        if let Some(pending) = self.0.lock().as_mut() {
            pending.full_at = Some(now);
        }
    }

    /// Whether a full store had no session to sweep a short time ago.
    pub(crate) fn was_full(&self, now: Timestamp) -> bool {
        let full_at = self.0.lock().and_then(|pending| pending.full_at);
        full_at.is_some_and(|at| now >= at && now < at.saturating_add(PAUSE))
    }

    /// Makes every later sweep go by the store's own timeouts. Returns the last value of
    /// [`lenient_steps`](Self::lenient_steps).
    pub(crate) fn done(&self) -> Option<u64> {
        self.0.lock().take().map(|pending| pending.lenient_steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(inactivity: i64, absolute: i64) -> Timeouts {
        Timeouts::from_seconds(inactivity, absolute).unwrap()
    }

    #[test]
    fn a_caller_waits_for_one_interval_and_the_thread_has_waited_at_its_first_round() {
        let at = Timestamp::from_millis;
        let pending = || {
            let interval = Duration::from_millis(10);
            Adoption::pending(&pair(1, 200), pair(10, 100), Some(at(5)), interval)
        };
        let lenient = Sweeping::Lenient(pair(10, 200));
        let caller = pending();
        assert_eq!(caller.decide(at(14), Sweeper::Caller), lenient);
        assert_eq!(caller.decide(at(15), Sweeper::Caller), Sweeping::AfterAdoption);
        let thread = pending();
        assert_eq!(thread.decide(at(5), Sweeper::Thread), Sweeping::AfterAdoption);
        assert!(!pending().is_due(at(14)) && pending().is_due(at(15)));
        assert!(!thread.ends_lenient_step());
        assert_eq!((thread.lenient_steps(), thread.done()), (Some(1), Some(1)));
        assert!(thread.ends_lenient_step());
        assert_eq!((thread.lenient_steps(), thread.done()), (None, None));
        assert!(!thread.is_due(at(1_000)));
        assert_eq!(thread.decide(at(0), Sweeper::Thread), Sweeping::Own);
        assert_eq!(thread.on_record(), None);
    }

    #[test]
    fn the_index_is_not_right_while_a_step_moves_its_entries() {
        let adoption = Adoption::pending(&pair(1, 200), pair(10, 100), None, Duration::ZERO);
        assert!(adoption.is_restored() && adoption.begins_step());
        let ended = adoption.lenient_steps().unwrap();
        adoption.restored(ended);
        assert!(!adoption.is_restored(), "a step is under way");
        assert!(!adoption.ends_lenient_step() && !adoption.is_restored());
        adoption.restored(ended);
        assert!(!adoption.is_restored(), "it was rebuilt before the step's end");
        adoption.restored(adoption.lenient_steps().unwrap());
        assert!(adoption.is_restored());
        assert!(adoption.done().is_some() && !adoption.begins_step());
    }

    #[test]
    fn a_date_that_is_set_is_no_interval_where_the_machine_measures_it() {
        let own = pair(1, 200);
        let waiting = |interval| Adoption::pending(&own, pair(10, 100), None, interval);
        let day = waiting(Duration::from_secs(86_400));
        let late = Timestamp::from_millis(u64::MAX);
        assert_eq!(day.decide(late, Sweeper::Caller), Sweeping::Lenient(pair(10, 200)));
        assert!(!day.is_due(late));
        let now = waiting(Duration::ZERO);
        let early = Timestamp::from_millis(0);
        assert_eq!(now.decide(early, Sweeper::Caller), Sweeping::AfterAdoption);
        assert!(now.is_due(early));
    }
}
