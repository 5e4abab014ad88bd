//! Extends a session: checks it and keeps its touch, in one step.
//!
//! Invariant: a touch is kept only for a session that was live, at the moment of the call, when the
//! touch was kept. Extensions, sweeps and removals of a session all take the lock of its shard of
//! the touch buffer. That lock comes before the locks of overlay and cache, and is not held during
//! I/O. If only the file has the record, the lock is released, the file is read, and the session is
//! looked up again. The record that was read counts unless a newer snapshot has been published. A
//! call that waits announces its activity first, and a save the session's own timeouts: for the
//! file as presumed, in the queue as that of a live session.
//!
//! An example. A login ends one of ann's sessions, and all of them take no touch until its sync is
//! over. An extension of another one waits in the queue, announced. A reader that comes meanwhile
//! finds the session live by that activity, and not any more if the extension fails.

use crate::engine::redb::view::View;
use crate::engine::redb::view::touches::activity::Activity;
use crate::engine::redb::view::touches::{Announcement, Touched};
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;
use crate::time::timeouts::OwnTimeouts;

/// A touch, kept if the session is live at `moment`.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Extension {
    pub(in crate::engine::redb) moment: Moment,
    pub(in crate::engine::redb) at: Timestamp,
    /// The save that the touch comes with, if any.
    pub(in crate::engine::redb) save: Option<Save>,
}

/// What others must know of a save of a session.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Save {
    pub(in crate::engine::redb) expected_revision: u64,
    /// The session's own timeouts from now on.
    pub(in crate::engine::redb) own_timeouts: OwnTimeouts,
}

/// The result of an extension.
#[derive(Debug)]
pub(in crate::engine::redb) enum Extended<'v> {
    /// The session, with its touch.
    Live(Record),
    /// The session does not exist, or is expired.
    Missing,
    /// The session has another revision. It was not touched.
    Stale,
    /// The commit queue decides: it is a save, a removal is running, the engine closes, or there is
    /// no room for the touch. Until then readers see what is announced. A closing engine announces
    /// nothing.
    Undecided(Option<Announcement<'v>>),
}

/// What a look at the latest record shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Live,
    Missing,
    Stale,
    /// Only the file has the record.
    Unknown,
}

/// The record that a snapshot holds under a key, and the snapshot's number.
type FromFile = (Option<Record>, u64);

impl View {
    /// Touches a live session. Every reader sees the touch at once. While the file is read, the
    /// activity is `presumed`; the caller drops that once the extension is decided.
    pub(in crate::engine::redb) fn extend<'v>(
        &'v self,
        key: &SessionKey,
        extension: Extension,
        presumed: &mut Option<Announcement<'v>>,
    ) -> Result<Extended<'v>> {
        self.extend_by::<false>(key, extension, presumed)
    }

    /// Announces the activity of a live session to readers, while the commit queue decides.
    pub(in crate::engine::redb) fn announce<'v>(
        &'v self,
        key: &SessionKey,
        extension: Extension,
        presumed: &mut Option<Announcement<'v>>,
    ) -> Result<Extended<'v>> {
        self.extend_by::<true>(key, extension, presumed)
    }

    fn extend_by<'v, const QUEUES: bool>(
        &'v self,
        key: &SessionKey,
        extension: Extension,
        presumed: &mut Option<Announcement<'v>>,
    ) -> Result<Extended<'v>> {
        let mut from_file = None;
        // Repeated only if a newer snapshot was published while the file was read.
        loop {
            let mut latest = None;
            let look = |activity: &Activity| {
                latest = self.latest(key, from_file.as_ref());
                match &mut latest {
                    Some(Some(record)) => extension.judge(record, activity),
                    Some(None) => (None, Judged::Missing),
                    None => (None, Judged::Unknown),
                }
            };
            let looked = match QUEUES {
                true => self.touches.announce_if(key, extension, look),
                false => self.touches.touch_if(key, look),
            };
            match looked {
                Touched::Done(Judged::Live, announced) if QUEUES => {
                    return Ok(Extended::Undecided(announced));
                }
                Touched::Done(Judged::Live, _) => {
                    return Ok(latest.flatten().map_or(Extended::Missing, Extended::Live));
                }
                Touched::Done(Judged::Missing, _) => return Ok(Extended::Missing),
                Touched::Done(Judged::Stale, _) => return Ok(Extended::Stale),
                Touched::Done(Judged::Unknown, _) => {
                    presumed.get_or_insert_with(|| self.touches.presume(key, extension));
                    from_file = Some(self.load_from_snapshot(key)?);
                }
                Touched::Full | Touched::Condemned if QUEUES => {
                    return Ok(Extended::Undecided(None));
                }
                Touched::Full | Touched::Condemned => {
                    return self.announce(key, extension, presumed);
                }
            }
        }
    }

    /// The record last committed under a key; the outer `None` if `from_file` is missing or a newer
    /// snapshot has been published.
    fn latest(&self, key: &SessionKey, from_file: Option<&FromFile>) -> Option<Option<Record>> {
        if let Some(found) = self.get_in_memory(key) {
            return Some(found);
        }
        // The overlay is checked before the snapshot: a change that left the overlay is in a
        // snapshot.
        let (record, commit) = from_file?;
        self.is_last(*commit).then(|| record.clone())
    }
}

impl Extension {
    /// Checks a record, and touches it if its session is live. Returns the touch to keep, if any.
    fn judge(self, record: &mut Record, activity: &Activity) -> (Option<Timestamp>, Judged) {
        let stored = record.last_active();
        activity.touch(record, || self.moment);
        if record.is_expired(self.moment) {
            return (None, Judged::Missing);
        }
        if self.save.is_some_and(|save| save.expected_revision != record.revision()) {
            return (None, Judged::Stale);
        }
        record.touch(self.at);
        // A touch that is not later than the stored activity need not be written. A save may let
        // the session live longer all the same.
        let counts = self.save.is_some() || self.at > stored;
        (counts.then_some(self.at), Judged::Live)
    }
}
