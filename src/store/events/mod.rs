//! What a store tells of: sessions that begin, are renewed and end, and what an operator has to
//! know.
//!
//! Invariant: an event is told after its commit, in a thread that holds no lock of the store. It
//! never holds an id, content or a CSRF token. It knows no store and no engine.

pub(crate) mod dispatch;
#[cfg(feature = "metrics")]
mod measured;
#[cfg(feature = "tracing")]
mod traced;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::key::SessionKey;
use crate::session::user::UserId;
use crate::time::timeouts::Timeouts;

/// Is told what happens in a store; see [`Builder::observer`](crate::Builder::observer). A closure
/// that takes an `&Event` is one.
///
/// A store tells of what is done through its own handles: on a server, not of what other hosts do.
///
/// # Durability
///
/// A process that is killed, or a power cut, between a commit and its event keeps that event from
/// being told. So may a call that was answered with
/// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown). What must never be missed is looked up
/// after a restart: [`SessionStore::sessions_of`](crate::SessionStore::sessions_of).
///
/// # Concurrency
///
/// It is called by the thread that made the change, or by a maintenance thread, after the commit
/// and with no lock held: it may use the store. Several threads may call it at once. What makes the
/// caller wait is its own time alone.
///
/// Of one session, `Created` is told before `Regenerated`, and that before `Ended`, also where
/// other threads renew and end it. The other events stand in no order to these.
///
/// A panic in it is caught, and counted in
/// [`Stats::observer_panics`](crate::Stats::observer_panics); the call that it was told of is
/// answered as if there had been none.
///
/// An observer that holds a handle of its own store keeps that store open: hold it weakly, or let
/// go of it before the end.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc;
/// use sessile::{Event, SessionStore};
///
/// let (told, events) = mpsc::channel();
/// let builder = SessionStore::<u32>::builder();
/// let store = builder.observer(move |event: &Event| drop(told.send(event.clone()))).in_memory()?;
/// let session = store.create_for_user("ann", 1)?;
/// assert!(matches!(events.recv(), Ok(Event::Created { key, .. }) if key == session.key()));
/// # Ok::<(), sessile::Error>(())
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Something has happened.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

/// What has happened in a store.
///
/// `Display` is one line without line breaks, for a log; users do not stand in it.
///
/// # Security
///
/// It names sessions by their keys, which give nobody a login, and holds no id, no content and no
/// CSRF token. Users are personal data.
///
/// # Examples
///
/// See [`Observer`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A session was created.
    Created {
        /// Its key.
        key: SessionKey,
        /// Its user, if it has one.
        user: Option<UserId>,
    },
    /// A session was saved under a new id; the old one is dead.
    Regenerated {
        /// The key it had.
        old: SessionKey,
        /// The key it has.
        new: SessionKey,
        /// Its user, if it has one.
        user: Option<UserId>,
    },
    /// A session has ended.
    Ended {
        /// Its key.
        key: SessionKey,
        /// Its user, if it had one that could be read.
        user: Option<UserId>,
        /// Why.
        reason: EndReason,
    },
    /// Every session has ended at once, by [`clear`](crate::SessionStore::clear). They are not told
    /// one by one. A session that is created meanwhile may be told of before or after this.
    Cleared,
    /// A save was refused, since somebody else had saved the session meanwhile. `modify` tries
    /// again.
    Conflict {
        /// The session's key.
        key: SessionKey,
    },
    /// A record was met that is not what was written.
    DamagedRecord {
        /// The key it is stored under.
        key: SessionKey,
    },
    /// Work in the background failed. It is tried again.
    MaintenanceFailed {
        /// What failed.
        task: MaintenanceTask,
        /// With what.
        error: Error,
    },
    /// Work in the background that had failed has gone well again.
    MaintenanceRecovered {
        /// What had failed.
        task: MaintenanceTask,
    },
    /// The file had not been closed, and was recovered as it was opened.
    Recovered,
    /// The file was opened again after an I/O error, and the store goes on.
    Reopened,
    /// The database has taken over what its log held.
    Checkpoint,
    /// Touches, or deferred commits, were longer in memory alone than was promised: by the time
    /// given, and one commit, at most.
    PromiseMissed {
        /// How long they may be in memory alone.
        promised: Duration,
        /// How long the longest may have been there when the write began.
        waited: Duration,
    },
    /// The store was opened with shorter timeouts than those on record. Sweeps delete nothing for
    /// them until they are [adopted](crate::SessionStore::adopt_shorter_timeouts).
    LongerTimeoutsOnRecord {
        /// Those on record.
        on_record: Timeouts,
    },
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// It was ended itself: `destroy`, `destroy_key`, `destroy_of`, or the tool's `revoke`.
    Destroyed,
    /// All sessions of its user were ended.
    AllOfUser,
    /// All other sessions of its user were ended.
    Others,
    /// It expired, and a sweep has deleted it; or its record was damaged, and a sweep came by.
    Expired,
    /// Its user had as many sessions as they may, and it was the least recently active.
    OverUserLimit,
}

impl EndReason {
    /// One word, for a log line or a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destroyed => "destroyed",
            Self::AllOfUser => "all_of_user",
            Self::Others => "others",
            Self::Expired => "expired",
            Self::OverUserLimit => "over_user_limit",
        }
    }
}

/// What a store does in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MaintenanceTask {
    /// Writes touches and deferred commits.
    Flush,
    /// Deletes what is expired.
    Sweep,
    /// What the engine asked for: a checkpoint, for one.
    Engine,
}

impl MaintenanceTask {
    /// One word, for a log line or a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Sweep => "sweep",
            Self::Engine => "engine",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { key, .. } => write!(formatter, "session {key} was created"),
            Self::Regenerated { old, new, .. } => {
                write!(formatter, "session {old} was given a new id, and is {new}")
            }
            Self::Ended { key, reason, .. } => {
                write!(formatter, "session {key} has ended: {}", reason.name())
            }
            Self::Cleared => formatter.write_str("every session has ended"),
            Self::Conflict { key } => {
                write!(formatter, "session {key} was saved by somebody else meanwhile")
            }
            Self::DamagedRecord { key } => write!(formatter, "the record of {key} is damaged"),
            Self::MaintenanceFailed { task, error } => {
                write!(
                    formatter,
                    "maintenance failed ({}), and is tried again: {error}",
                    task.name()
                )
            }
            Self::MaintenanceRecovered { task } => {
                write!(formatter, "maintenance goes well again ({})", task.name())
            }
            Self::Recovered => formatter.write_str("the file was not closed, and was recovered"),
            Self::Reopened => formatter.write_str("the file was opened again after an error"),
            Self::Checkpoint => formatter.write_str("a checkpoint has emptied the log"),
            Self::PromiseMissed { promised, waited } => write!(
                formatter,
                "touches were in memory alone for up to {} ms, and {} ms were promised",
                waited.as_millis(),
                promised.as_millis()
            ),
            Self::LongerTimeoutsOnRecord { on_record } => write!(
                formatter,
                "longer timeouts are on record, {} s and {} s: nothing is swept for shorter ones \
                 before they are adopted",
                on_record.inactivity().as_secs(),
                on_record.absolute().as_secs()
            ),
        }
    }
}

/// The observers of a store, in the order in which they are told.
pub(crate) type Observers = Vec<Arc<dyn Observer>>;

/// What the features of this crate add to the observers that a program names.
pub(crate) fn built_in() -> Observers {
    vec![
        #[cfg(feature = "tracing")]
        Arc::new(traced::Traced),
        #[cfg(feature = "metrics")]
        Arc::new(measured::Measured::new()),
    ]
}
