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
    /// The latest touch that was decided on.
    pub(in crate::engine::redb) pending: Option<Timestamp>,
    /// What calls that wait have announced, and may not happen: first of a live session, then of
    /// one that may have expired before, each the earliest first.
    announced: Option<Box<[Announced]>>,
}

impl Activity {
    #[inline]
    pub(super) fn of(
        key: &SessionKey,
        pending: Option<Timestamp>,
        announced: &[Announced],
    ) -> Self {
        let mut activity = Self { pending, announced: None };
        if !announced.is_empty() {
            activity.add(key, announced);
        }
        activity
    }

    #[cold]
    fn add(&mut self, key: &SessionKey, announced: &[Announced]) {
        let of_session = announced.iter().filter(|announced| announced.key == *key);
        let mut announced: Vec<_> = of_session.copied().collect();
        announced.sort_unstable_by_key(|announced| (!announced.is_live, announced.at));
        self.announced = Some(announced.into());
    }

    /// Brings a record to the activity that was decided on, and to nothing that is only announced.
    #[inline]
    pub(in crate::engine::redb) fn touch_decided(&self, record: &mut Record) {
        if let Some(at) = self.pending {
            record.touch(at);
        }
    }

    /// Brings a record to this activity. Presumed activity counts only if the session is live at
    /// its moment, by the `timeouts` of sessions without their own.
    #[inline]
    pub(in crate::engine::redb) fn touch(
        &self,
        record: &mut Record,
        timeouts: impl FnOnce() -> Timeouts,
    ) {
        self.touch_decided(record);
        if let Some(announced) = &self.announced {
            touch_while_live(record, announced, timeouts());
        }
    }
}

#[cold]
fn touch_while_live(record: &mut Record, announced: &[Announced], timeouts: Timeouts) {
    for Announced { at: now, is_live, .. } in announced.iter().copied() {
        if is_live || !record.is_expired(Moment { now, timeouts }) {
            record.touch(now);
        }
    }
}
