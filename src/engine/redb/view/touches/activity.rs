//! What readers must see of a session's activity beyond its record: the touch that is not on the
//! disk yet, and what calls that wait have announced.

use crate::engine::redb::view::extend::Extension;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::OwnTimeouts;

/// The activity of a call that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub(super) key: SessionKey,
    pub(super) extension: Extension,
    pub(super) number: u64,
    /// Whether the session was found live at the call's moment. Otherwise only the file has its
    /// record, and is being read.
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
        announced
            .sort_unstable_by_key(|announced| (!announced.is_live, announced.extension.moment.now));
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
    /// its moment. If the record is expired at the caller's `moment`, and a save that waits lets it
    /// live longer, it gets the own timeouts of that save.
    #[inline]
    pub(in crate::engine::redb) fn touch(
        &self,
        record: &mut Record,
        moment: impl FnOnce() -> Moment,
    ) {
        self.touch_decided(record);
        if let Some(announced) = &self.announced {
            touch_announced(record, announced, moment());
        }
    }
}

#[cold]
fn touch_announced(record: &mut Record, announced: &[Announced], moment: Moment) {
    let mut saved = Vec::new();
    for Announced { extension, is_live, .. } in announced {
        if !is_live {
            lengthen(record, &saved, extension.moment);
        }
        if *is_live || !record.is_expired(extension.moment) {
            record.touch(extension.at);
            saved.extend(extension.save.map(|save| save.own_timeouts));
        }
    }
    lengthen(record, &saved, moment);
}

/// Gives a record that is expired at `moment` those of the `saved` own timeouts by which it ends
/// latest, unless it ends later by its present ones.
#[cold]
pub(in crate::engine::redb) fn lengthen(
    record: &mut Record,
    saved: &[OwnTimeouts],
    moment: Moment,
) {
    for own_timeouts in saved.iter().copied() {
        let (created_at, last_active) = (record.created_at(), record.last_active());
        let deadline = own_timeouts.deadline(created_at, last_active, &moment.timeouts);
        if record.is_expired(moment) && deadline > record.deadline(&moment.timeouts) {
            record.set_own_timeouts(own_timeouts);
        }
    }
}
