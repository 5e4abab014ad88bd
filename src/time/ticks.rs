//! The monotonic clock, which measures durations independently of the date.
//!
//! Only this file and `engine/network/deadline.rs` call [`Instant::now`]. The deadlines of sessions
//! do not use it.

use std::time::Instant;

/// The current moment.
#[allow(clippy::disallowed_methods, reason = "the one home of the monotonic clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
