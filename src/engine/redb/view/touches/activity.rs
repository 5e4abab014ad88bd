//! What readers must see of a session's activity beyond its record: the touch that is not on the
//! disk yet, and what calls that wait have announced.

use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::Timeouts;

/// The activity of a call that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub(super) key: SessionKey,
    pub(super) at: Timestamp,
    pub(super) number: u64,
    /// Whether the session was found live at that moment. Otherwise only the file has its record,
    /// and is being read.
    pub(super) is_live: bool,
}

/// A session's activity beyond its record.
#[derive(Debug, Default)]
pub(in crate::engine::redb) struct Activity {
    /// The latest touch, or activity announced of a live session.
    pub(in crate::engine::redb) latest: Option<Timestamp>,
    /// Activity announced of a session that may have expired before, the earliest first.
    presumed: Option<Box<[Timestamp]>>,
}

impl Activity {
    #[inline]
    pub(super) fn of(key: &SessionKey, touch: Option<Timestamp>, announced: &[Announced]) -> Self {
        let mut activity = Self { latest: touch, presumed: None };
        if !announced.is_empty() {
            activity.add(key, announced);
        }
        activity
    }

    #[cold]
    fn add(&mut self, key: &SessionKey, announced: &[Announced]) {
        let mut presumed = Vec::new();
        for announced in announced.iter().filter(|announced| announced.key == *key) {
            match announced.is_live {
                true => self.latest = self.latest.max(Some(announced.at)),
                false => presumed.push(announced.at),
            }
        }
        presumed.sort_unstable();
        self.presumed = Some(presumed.into());
    }

    /// Brings a record to this activity. Presumed activity counts only if the session is live at
    /// its moment, by the `timeouts` of sessions without their own.
    #[inline]
    pub(in crate::engine::redb) fn touch(
        &self,
        record: &mut Record,
        timeouts: impl FnOnce() -> Timeouts,
    ) {
        if let Some(at) = self.latest {
            record.touch(at);
        }
        if let Some(presumed) = &self.presumed {
            touch_while_live(record, presumed, timeouts());
        }
    }
}

#[cold]
fn touch_while_live(record: &mut Record, presumed: &[Timestamp], timeouts: Timeouts) {
    for now in presumed.iter().copied() {
        if !record.is_expired(Moment { now, timeouts }) {
            record.touch(now);
        }
    }
}
