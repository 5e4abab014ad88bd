//! The reasons why a pair of timeouts is refused.

use std::time::Duration;

/// The reason why a pair of timeouts was refused. Give other timeouts.
///
/// # Examples
///
/// ```
/// use sessile::{Error, InvalidTimeouts, Timeouts};
///
/// let refused = Timeouts::from_seconds(-1, 60);
/// assert!(matches!(
///     refused,
///     Err(Error::InvalidTimeouts(InvalidTimeouts::NegativeInactivity { seconds: -1 }))
/// ));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTimeouts {
    /// The inactivity timeout is below zero.
    #[error("the inactivity timeout is {seconds} s; it must not be negative")]
    NegativeInactivity {
        /// The given timeout.
        seconds: i64,
    },
    /// The absolute timeout is below zero.
    #[error("the absolute timeout is {seconds} s; it must not be negative")]
    NegativeAbsolute {
        /// The given timeout.
        seconds: i64,
    },
    /// A timeout is shorter than a millisecond, the unit of timeouts: every session would end as it
    /// begins.
    #[error(
        "a timeout of {timeout:?} would end every session as it begins; give at least a \
         millisecond, or leave the timeout out for the default"
    )]
    Zero {
        /// The timeout.
        timeout: Duration,
    },
    /// The inactivity timeout is longer than the absolute timeout, which would always end the
    /// session first.
    #[error(
        "the inactivity timeout ({inactivity:?}) is greater than the absolute timeout \
         ({absolute:?}); make it at most as long"
    )]
    InactivityExceedsAbsolute {
        /// The inactivity timeout.
        inactivity: Duration,
        /// The absolute timeout.
        absolute: Duration,
    },
    /// The timeout, or the deadline that results from it, does not fit 64 bits of milliseconds.
    #[error(
        "a timeout of {timeout:?} ends past the last moment that can be stored; make it shorter"
    )]
    PastTheEndOfTime {
        /// The timeout.
        timeout: Duration,
    },
    /// The absolute timeout of a session, counted from its creation, is over already: a save under
    /// it would end the session. Create a new session in its place, or give a longer timeout.
    #[error(
        "an absolute timeout of {timeout:?}, counted from the session's creation, is over already; \
         create a new session, or give a longer timeout"
    )]
    AlreadyOver {
        /// The timeout.
        timeout: Duration,
    },
    /// An environment variable does not hold a whole number of seconds.
    #[error("the environment variable {variable} must be a whole number of seconds")]
    NotANumber {
        /// The variable.
        variable: &'static str,
    },
}
