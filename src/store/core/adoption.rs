//! The timeouts by which a sweep may delete: the store's own, or longer ones on record.
//!
//! Invariant: what is live under the timeouts on record is not swept for shorter ones before those
//! are adopted. It knows no engine; the store's core does what is decided here.

use std::time::Duration;

use parking_lot::Mutex;

use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// Shorter timeouts than those on record, until they are adopted; empty from then on.
#[derive(Debug, Default)]
pub(crate) struct Adoption(Mutex<Option<Pending>>);

#[derive(Clone, Copy, Debug)]
struct Pending {
    on_record: Timeouts,
    /// Under these a session is expired only if it is under both.
    lenient: Timeouts,
    due: Timestamp,
    /// Whether the background thread has come by, which it does after one sweep interval.
    thread_came: bool,
    /// How many steps of a sweep went by the lenient timeouts, and so may have moved index entries
    /// past the store's own deadlines.
    lenient_steps: u64,
}

/// Whose sweep it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweeper {
    Caller,
    Thread,
}

/// What a sweep is to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweeping {
    /// The store's own timeouts.
    Own,
    /// These, and the index has to be made right afterwards.
    Lenient(Timeouts),
    /// The store's own, once they are adopted.
    AfterAdoption,
}

impl Adoption {
    /// The timeouts `own` wait for one `interval` before they replace those on record.
    pub(crate) fn pending(
        own: &Timeouts,
        on_record: Timeouts,
        opened_at: Timestamp,
        interval: Duration,
    ) -> Self {
        let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        Self(Mutex::new(Some(Pending {
            on_record,
            lenient: own.longer_of_each(&on_record),
            due: opened_at.saturating_add(millis),
            thread_came: false,
            lenient_steps: 0,
        })))
    }

    /// The timeouts on record, while shorter ones wait.
    pub(crate) fn on_record(&self) -> Option<Timeouts> {
        self.0.lock().map(|pending| pending.on_record)
    }

    /// The timeouts by which every deletion goes now.
    pub(crate) fn lenient(&self) -> Option<Timeouts> {
        self.0.lock().map(|pending| pending.lenient)
    }

    /// The timeouts of a sweep that begins now. The thread's first one comes after one interval,
    /// which is when its successor, and nobody before it, may adopt.
    pub(crate) fn decide(&self, now: Timestamp, sweeper: Sweeper) -> Sweeping {
        let mut state = self.0.lock();
        let Some(pending) = state.as_mut() else { return Sweeping::Own };
        let waited = match sweeper {
            Sweeper::Caller => now >= pending.due,
            Sweeper::Thread => std::mem::replace(&mut pending.thread_came, true),
        };
        match waited {
            true => Sweeping::AfterAdoption,
            false => Sweeping::Lenient(pending.lenient),
        }
    }

    /// Whether the store has been open for a whole interval, and nobody has adopted them.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.0.lock().is_some_and(|pending| now >= pending.due)
    }

    /// A step that began by lenient timeouts has ended. Whether they were given up meanwhile: then
    /// nobody else makes right what the step has moved.
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

    /// How many such steps have ended; `None` once the store's own timeouts are adopted.
    pub(crate) fn lenient_steps(&self) -> Option<u64> {
        self.0.lock().map(|pending| pending.lenient_steps)
    }

    /// From now on every sweep goes by the store's own timeouts. Answers
    /// [`lenient_steps`](Self::lenient_steps) for the last time.
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
    fn a_caller_waits_for_one_interval_and_the_thread_for_its_second_round() {
        let at = Timestamp::from_millis;
        let pending = || {
            let interval = Duration::from_millis(10);
            Adoption::pending(&pair(1, 200), pair(10, 100), at(5), interval)
        };
        let lenient = Sweeping::Lenient(pair(10, 200));
        let caller = pending();
        assert_eq!(caller.decide(at(14), Sweeper::Caller), lenient);
        assert_eq!(caller.decide(at(15), Sweeper::Caller), Sweeping::AfterAdoption);
        let thread = pending();
        assert_eq!(thread.decide(at(1_000), Sweeper::Thread), lenient);
        assert_eq!(thread.decide(at(1_000), Sweeper::Thread), Sweeping::AfterAdoption);
        assert!(!pending().is_due(at(14)) && pending().is_due(at(15)));
        assert!(!thread.ends_lenient_step());
        assert_eq!((thread.lenient_steps(), thread.done()), (Some(1), Some(1)));
        assert!(thread.ends_lenient_step());
        assert_eq!((thread.lenient_steps(), thread.done()), (None, None));
        assert!(!thread.is_due(at(1_000)));
        assert_eq!(thread.decide(at(0), Sweeper::Thread), Sweeping::Own);
        assert_eq!(thread.on_record(), None);
    }
}
