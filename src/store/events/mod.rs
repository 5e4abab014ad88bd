//! The events of a store: sessions that begin, are renewed and end, and failures that an operator
//! must know of.
//!
//! Invariant: an event is reported after its commit, in a thread that holds no lock of the store.
//! It never holds an id, content or a CSRF token. This folder knows no store and no engine.

pub(crate) mod causes;
pub(crate) mod dispatch;
#[cfg(feature = "metrics")]
mod measured;
#[cfg(feature = "tracing")]
mod traced;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::key::SessionKey;
use crate::session::user::UserId;
use crate::store::events::causes::WithCauses;
use crate::time::millis;
use crate::time::timeouts::Timeouts;

/// An observer receives the events of a store; see [`Builder::observer`](crate::Builder::observer).
/// A closure that takes an `&Event` is an observer, and so is an `Arc` of one, which several stores
/// can share.
///
/// A store reports changes made through its own handles. On a server, it does not report those of
/// other hosts. With [`manual_maintenance`](crate::Builder::manual_maintenance), the engine's own
/// work (`Checkpoint`, `Reopened`) is reported by `flush` and `clean_up_expired`.
///
/// # Durability
///
/// An event is lost if the process is killed, or the power is cut, between a commit and its event.
/// It may also be lost if the call failed with
/// [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown). On a server, `Ended` may be lost if the
/// connection broke and the store repeated a request. After a restart, look up whatever must not be
/// missed: [`SessionStore::sessions_of`](crate::SessionStore::sessions_of).
///
/// # Concurrency
///
/// The thread that made the change, or a maintenance thread, calls the observer after the commit
/// with no lock held, so the observer may use the store. Of a session that ends while another
/// thread tells its beginning, that thread tells the end. Several threads may call the observer at
/// once. The caller waits only for the observer itself.
///
/// An observer must not wait for [`close`](crate::SessionStore::close) or for the drop of the last
/// handle, nor for a lock that is held meanwhile: both wait for the maintenance threads, which call
/// observers. While an observer blocks the thread that flushes, that thread writes no touch and no
/// deferred commit.
///
/// For one session, a store reports `Created` before `Regenerated` and that before `Ended`, also if
/// other threads renew and end it. Other events have no order to these, nor have those that two
/// stores on one engine report to a shared observer.
///
/// A panic of the observer is caught and counted in
/// [`Stats::observer_panics`](crate::Stats::observer_panics); the call that caused the event
/// returns as if there had been none.
///
/// An observer that holds a handle of its own store keeps that store open. Hold it weakly, or drop
/// the handle before the end.
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
    /// Called with each event.
    fn observe(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync + 'static> Observer for F {
    fn observe(&self, event: &Event) {
        self(event);
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: &Event) {
        (**self).observe(event);
    }
}

/// An event in a store.
///
/// `Display` writes one line without line breaks, for a log. It shows no user, and an error with
/// its causes. It serializes to its name in `event`, such as `"ended"`, and its fields; durations
/// are in milliseconds, and an error is one text with its causes.
///
/// # Security
///
/// An event names sessions by their keys, which give nobody a login. It holds no id, no content and
/// no CSRF token. Users are personal data.
///
/// # Examples
///
/// See [`Observer`].
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A session was created.
    Created {
        /// The session's key.
        key: SessionKey,
        /// The session's user, if it has one.
        user: Option<UserId>,
    },
    /// A session was saved under a new id; the old id is dead.
    Regenerated {
        /// The session's old key.
        old: SessionKey,
        /// The session's new key.
        new: SessionKey,
        /// The session's user, if it has one.
        user: Option<UserId>,
    },
    /// A session has ended. Of a session that expired, this is told when its record is removed.
    Ended {
        /// The session's key.
        key: SessionKey,
        /// The session's user, if it had one that could be read.
        user: Option<UserId>,
        /// The reason.
        reason: EndReason,
    },
    /// Every session has ended at once, by [`clear`](crate::SessionStore::clear). No `Ended`
    /// follows for each. A session that is created meanwhile may be reported before or after this.
    Cleared,
    /// A save was refused, because another caller had saved the session since it was read. `modify`
    /// tries again.
    Conflict {
        /// The session's key.
        key: SessionKey,
    },
    /// A damaged record was read: its bytes are not those that were written.
    DamagedRecord {
        /// The key of the record.
        key: SessionKey,
    },
    /// A background task failed. It is tried again.
    MaintenanceFailed {
        /// The task that failed.
        task: MaintenanceTask,
        /// Its error.
        #[serde(serialize_with = "causes::serialize")]
        error: Error,
    },
    /// A background task that had failed has succeeded again.
    MaintenanceRecovered {
        /// The task that had failed.
        task: MaintenanceTask,
    },
    /// The file had not been closed, and was recovered when it was opened.
    Recovered,
    /// The file was reopened after an I/O error, and the store goes on.
    Reopened,
    /// A checkpoint has moved the log's entries into the database.
    Checkpoint,
    /// Touches, or deferred commits, were in memory only for longer than promised: for `waited`
    /// plus one commit at most. Raised before a flush that begins late, during a flush that takes
    /// longer than promised, or after a flush that wrote them late.
    PromiseMissed {
        /// How long they may be in memory only.
        #[serde(rename = "promised_ms", serialize_with = "millis::serialize")]
        promised: Duration,
        /// The longest time that they may have been there when the flush began late, or when it had
        /// written them; or how long the flush has taken so far.
        #[serde(rename = "waited_ms", serialize_with = "millis::serialize")]
        waited: Duration,
    },
    /// The store was opened with shorter timeouts than those on record. Sweeps keep to the longer
    /// ones until the shorter ones are [adopted](crate::SessionStore::adopt_shorter_timeouts).
    LongerTimeoutsOnRecord {
        /// The timeouts on record.
        on_record: Timeouts,
    },
}

/// The reason why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// The session itself was ended: by `destroy`, `destroy_key`, `destroy_of`, or the tool's
    /// `revoke`.
    Destroyed,
    /// All sessions of its user were ended.
    AllOfUser,
    /// All other sessions of its user were ended.
    Others,
    /// The session had expired when a sweep or another call removed its record; or a sweep removed
    /// its damaged record.
    Expired,
    /// The user had the most sessions allowed, and this one was the least recently active.
    OverUserLimit,
}

impl EndReason {
    /// Returns one word, for a log line or a label.
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

/// A background task of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MaintenanceTask {
    /// Writes touches and deferred commits.
    Flush,
    /// Deletes expired sessions.
    Sweep,
    /// Runs the engine's background work, such as a checkpoint.
    Engine,
}

impl MaintenanceTask {
    /// Returns one word, for a log line or a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Sweep => "sweep",
            Self::Engine => "engine",
        }
    }
}

/// Writes the [`name`](EndReason::name).
impl fmt::Display for EndReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Writes the [`name`](MaintenanceTask::name).
impl fmt::Display for MaintenanceTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
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
                    "maintenance failed ({}), and is tried again: {}",
                    task.name(),
                    WithCauses(error)
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
                "changes were in memory alone for up to {} ms, and {} ms were promised",
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

/// The observers of a store, in the order in which they are called.
pub(crate) type Observers = Vec<Arc<dyn Observer>>;

/// The observers that features of this crate add to a program's own, for a store with this content
/// name. None is called by this.
#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
pub(crate) fn built_in(store: Option<&str>) -> Observers {
    vec![
        #[cfg(feature = "tracing")]
        Arc::new(traced::Traced),
        #[cfg(feature = "metrics")]
        Arc::new(measured::Measured::of(store)),
    ]
}
