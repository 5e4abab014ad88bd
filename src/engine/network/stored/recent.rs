//! The latest known activity of sessions, so that an extension that is not due only reads.
//!
//! Invariant: an entry decides which request is sent, and nothing else. The record that a request
//! returns decides the rest, so an entry that is missing, old or overwritten costs time alone.

use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;

use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;

/// The number of slots, 1.8 MB in all. Keys share slots; a slot has the key noted last.
const SLOTS: usize = 32 * 1024;

type Slot = Mutex<Option<(SessionKey, Activity)>>;

/// What decides when the next touch of a session is due.
#[derive(Clone, Copy, Debug)]
struct Activity {
    last: Timestamp,
    /// The session's own inactivity timeout, in milliseconds.
    own_inactivity: Option<u64>,
}

pub(crate) struct Recent {
    slots: Box<[Slot]>,
}

impl fmt::Debug for Recent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recent").finish_non_exhaustive()
    }
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Mutex::new(None)).collect() }
    }

    pub(crate) fn note(&self, key: &SessionKey, record: &Record) {
        if let Some(slot) = self.slot(key) {
            *slot.lock() = Some((*key, Activity::of(record)));
        }
    }

    /// Whether a touch of the session may be due.
    pub(crate) fn may_be_due(
        &self,
        key: &SessionKey,
        moment: Moment,
        resolution: Duration,
    ) -> bool {
        let known = self.slot(key).and_then(|slot| *slot.lock());
        known.is_none_or(|(other, activity)| other != *key || activity.is_due(moment, resolution))
    }

    /// Keys are digests, so any bytes of one are uniformly distributed.
    fn slot(&self, key: &SessionKey) -> Option<&Slot> {
        let bytes = key.as_bytes().first_chunk().copied().unwrap_or_default();
        self.slots.get(u32::from_le_bytes(bytes) as usize % SLOTS)
    }
}

/// Whether a touch of the record is due, by the rule that every server's request has.
pub(crate) fn is_due(record: &Record, moment: Moment, resolution: Duration) -> bool {
    Activity::of(record).is_due(moment, resolution)
}

impl Activity {
    fn of(record: &Record) -> Self {
        let own_inactivity = record.own_timeouts().inactivity_ms;
        Self { last: record.last_active(), own_inactivity }
    }

    fn is_due(self, moment: Moment, resolution: Duration) -> bool {
        let (default, _) = moment.timeouts.as_millis();
        let resolution = u64::try_from(resolution.as_millis()).unwrap_or(u64::MAX);
        let least = resolution.min(self.own_inactivity.unwrap_or(default) / 10);
        let since = moment.now.as_millis().checked_sub(self.last.as_millis());
        since.is_some_and(|since| since > 0 && since >= least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::timeouts::Timeouts;

    fn moment(millis: u64) -> Moment {
        let timeouts = Timeouts::new(Duration::from_secs(20), Duration::from_secs(90)).unwrap();
        Moment { now: Timestamp::from_millis(millis), timeouts }
    }

    fn at(last: u64, own_inactivity: Option<u64>) -> Activity {
        Activity { last: Timestamp::from_millis(last), own_inactivity }
    }

    #[test]
    fn a_touch_is_due_after_the_resolution_or_a_tenth_of_the_timeout() {
        let due = |now, resolution| {
            at(1_000, None).is_due(moment(now), Duration::from_millis(resolution))
        };
        assert!(!due(1_000, 0) && due(1_001, 0), "nothing has passed, and a moment has");
        assert!(!due(999, 0), "another host's clock was ahead");
        assert!(!due(1_499, 500) && due(1_500, 500));
        assert!(!due(2_999, 60_000) && due(3_000, 60_000));
        let own = at(1_000, Some(5_000));
        let due = |now| own.is_due(moment(now), Duration::from_secs(60));
        assert!(!due(1_499) && due(1_500), "a tenth of the session's own timeout");
    }

    #[test]
    fn what_is_not_known_may_be_due() {
        let recent = Recent::new();
        let key =
            |last| SessionKey::from_bytes([7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        let due =
            |key: &SessionKey, now| recent.may_be_due(key, moment(now), Duration::from_secs(1));
        assert!(due(&key(1), 1_000));
        *recent.slot(&key(1)).unwrap().lock() = Some((key(1), at(1_000, None)));
        assert!(!due(&key(1), 1_999) && due(&key(1), 2_000));
        assert!(due(&key(2), 1_999), "a session with the same slot");
    }
}
