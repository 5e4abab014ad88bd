//! The monotonic clock: how long something takes or has waited, whatever becomes of the date.
//!
//! It is the one home of [`Instant::now`]. Deadlines of sessions have nothing to do with it.

use std::time::Instant;

/// The moment now.
#[allow(clippy::disallowed_methods, reason = "the one home of the monotonic clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
