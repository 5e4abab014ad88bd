//! Extends a session: checks it and keeps its touch, in one step.
//!
//! Invariant: a touch is kept only for a session that was live, at the moment of the call, when the
//! touch was kept. Extensions, sweeps and removals of a session all take the lock of its shard of
//! the touch buffer. That lock comes before the locks of overlay and cache, and is not held during
//! I/O. If only the file has the record, the lock is released, the file is read, and the session is
//! looked up again. The record that was read counts unless a newer snapshot has been published.
//!
//! An example. A login ends one of ann's sessions, and all of them take no touch until its sync is
//! over. An extension of another one waits in the queue; its touch is kept, and taken back if the
//! extension fails. A reader that comes meanwhile finds the session live by that touch.

use crate::engine::redb::view::View;
use crate::engine::redb::view::touches::{Receipt, Touched};
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::time::clock::Timestamp;
use crate::time::moment::Moment;

/// A touch, kept if the session is live at `moment` and has the given revision, if any.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::redb) struct Extension {
    pub(in crate::engine::redb) moment: Moment,
    pub(in crate::engine::redb) at: Timestamp,
    pub(in crate::engine::redb) revision: Option<u64>,
}

/// The result of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Extended {
    /// The session, with its touch. The receipt takes the touch back.
    Live(Record, Option<Receipt>),
    /// The session does not exist, or is expired.
    Missing,
    /// The session has another revision. It was not touched.
    Stale,
    /// A removal is running, the engine closes, or there is no room for the touch: the commit
    /// queue decides. Until then readers see the touch, which the receipt takes back. A closing
    /// engine keeps none.
    Undecided(Option<Receipt>),
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
    /// Touches a live session. Every reader sees the touch at once.
    pub(in crate::engine::redb) fn extend(
        &self,
        key: &SessionKey,
        extension: Extension,
    ) -> Result<Extended> {
        self.extend_by::<false, false>(key, extension)
    }

    /// Shows readers the touch of a live session whose save is about to be decided.
    pub(in crate::engine::redb) fn announce_save(
        &self,
        key: &SessionKey,
        extension: Extension,
    ) -> Result<Extended> {
        self.extend_by::<false, true>(key, extension)
    }

    /// Shows readers the touch of a live session while the commit queue decides.
    #[cold]
    fn announce(&self, key: &SessionKey, extension: Extension) -> Result<Extended> {
        self.extend_by::<true, true>(key, extension)
    }

    fn extend_by<const QUEUES: bool, const ANNOUNCES: bool>(
        &self,
        key: &SessionKey,
        extension: Extension,
    ) -> Result<Extended> {
        let mut from_file = None;
        // Repeated only if a newer snapshot was published while the file was read.
        loop {
            let mut latest = None;
            let look = |pending| {
                latest = self.latest(key, from_file.as_ref());
                match &mut latest {
                    Some(Some(record)) => extension.judge(record, pending),
                    Some(None) => (None, Judged::Missing),
                    None => (None, Judged::Unknown),
                }
            };
            let looked = match (QUEUES, ANNOUNCES) {
                (true, _) => self.touches.announce_if(key, look),
                (false, true) => self.touches.announce_save_if(key, look),
                (false, false) => self.touches.touch_if(key, look),
            };
            match looked {
                Touched::Done(Judged::Live, receipt) if QUEUES => {
                    return Ok(Extended::Undecided(receipt));
                }
                Touched::Done(Judged::Live, receipt) => {
                    let live = |record| Extended::Live(record, receipt);
                    return Ok(latest.flatten().map_or(Extended::Missing, live));
                }
                Touched::Done(Judged::Missing, _) => return Ok(Extended::Missing),
                Touched::Done(Judged::Stale, _) => return Ok(Extended::Stale),
                Touched::Done(Judged::Unknown, _) => {
                    from_file = Some(self.load_from_snapshot(key)?);
                }
                Touched::Full | Touched::Condemned if QUEUES => {
                    return Ok(Extended::Undecided(None));
                }
                Touched::Full | Touched::Condemned => return self.announce(key, extension),
            }
        }
    }

    /// The record last committed under a key; the outer `None` if `from_file` is missing or a newer
    /// snapshot has been published.
    fn latest(&self, key: &SessionKey, from_file: Option<&FromFile>) -> Option<Option<Record>> {
        if let Some(found) = self.in_one_opening(|| self.get_in_memory(key)) {
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
    fn judge(self, record: &mut Record, pending: Option<Timestamp>) -> (Option<Timestamp>, Judged) {
        if let Some(pending) = pending {
            record.touch(pending);
        }
        if record.is_expired(self.moment) {
            return (None, Judged::Missing);
        }
        if self.revision.is_some_and(|revision| revision != record.revision()) {
            return (None, Judged::Stale);
        }
        // A touch that is not later than the record's last activity need not be written. It is kept
        // if the buffer holds an earlier touch, because that one may be taken back.
        let kept = pending.is_some() || self.at > record.last_active();
        record.touch(self.at);
        (kept.then_some(self.at), Judged::Live)
    }
}
