//! The moment by which one call distinguishes live sessions from expired ones.
//!
//! Invariant: a moment is a value. The store takes the time once, after the caller's own code has
//! run; an engine decides by that moment, in the step that makes the change. It is in `time/`,
//! because `Record::is_expired` takes it and `record/` knows no engine.

use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// A time, and the timeouts of sessions without their own; one call distinguishes live sessions
/// from expired ones by them.
///
/// # Examples
///
/// ```
/// use sessile::Timeouts;
/// use sessile::engine::{Moment, Timestamp};
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let moment = Moment { now, timeouts: Timeouts::default() };
/// assert!(Moment::BEGINNING.now < moment.now);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The current time.
    pub now: Timestamp,
    /// The timeouts of sessions without their own.
    pub timeouts: Timeouts,
}

impl Moment {
    /// Before anything could expire: every record that lasts at all is live, whatever its deadline.
    /// For code that copies or inspects records.
    pub const BEGINNING: Self =
        Self { now: Timestamp::from_millis(0), timeouts: Timeouts::ENDLESS };
}
