//! Time: the source of the current moment, and the stored number of milliseconds.
//!
//! Only this file reads the system clock. It knows nothing of sessions.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// Provides the current time. The store calls it once for every operation.
///
/// Every deadline is a wall-clock time, because sessions outlive the process: a monotonic clock
/// starts from zero at every boot. If the clock jumps backwards, no session is extended, since
/// `last_active` never decreases. If it jumps forwards, sessions end early, and swept sessions stay
/// deleted.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sessile::{Clock, SessionStore};
///
/// /// A clock corrected by what a time server said at start-up.
/// #[derive(Debug)]
/// struct Corrected(Duration);
///
/// impl Clock for Corrected {
///     fn now(&self) -> SystemTime {
///         SystemTime::now() + self.0
///     }
/// }
///
/// let store: SessionStore =
///     SessionStore::builder().clock(Corrected(Duration::from_millis(20))).in_memory()?;
/// # Ok::<(), sessile::Error>(())
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The current time. Many threads call this at once; it should not block.
    fn now(&self) -> SystemTime;
}

/// The operating system's clock: the default of a store in a file or in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one home of the system clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl<T: Clock + ?Sized> Clock for std::sync::Arc<T> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// A moment in milliseconds since 1970-01-01 00:00:00 UTC, the stored form of times.
///
/// Engines compare timestamps; programs get [`SystemTime`]. Parts of a millisecond are cut off.
///
/// # Examples
///
/// ```
/// use sessile::engine::Timestamp;
///
/// let start = Timestamp::from_millis(1_000);
/// assert!(start < Timestamp::from_millis(1_001));
/// assert_eq!(start.as_millis(), 1_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// As the number of milliseconds since 1970.
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Timestamp {
    /// Makes a timestamp of a number of milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns the number of milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Converts a clock's time.
    ///
    /// # Errors
    ///
    /// [`Error::ClockOutOfRange`] for a time before 1970 or past 2^64 milliseconds.
    pub fn from_system_time(time: SystemTime) -> Result<Self> {
        let since_epoch = time.duration_since(UNIX_EPOCH).map_err(|_| Error::ClockOutOfRange)?;
        let millis = u64::try_from(since_epoch.as_millis()).map_err(|_| Error::ClockOutOfRange)?;
        Ok(Self(millis))
    }

    /// Converts to the standard library's type; a moment that this cannot represent becomes the end
    /// of 9999.
    #[must_use]
    pub fn to_system_time(self) -> SystemTime {
        const END_OF_9999: Duration = Duration::from_secs(253_402_300_799);
        UNIX_EPOCH
            .checked_add(Duration::from_millis(self.0))
            .unwrap_or_else(|| UNIX_EPOCH + END_OF_9999)
    }

    pub(crate) const fn saturating_add(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    pub(crate) const fn checked_add(self, millis: u64) -> Option<Self> {
        match self.0.checked_add(millis) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

/// As [`Timestamp::from_system_time`].
impl TryFrom<SystemTime> for Timestamp {
    type Error = Error;

    fn try_from(time: SystemTime) -> Result<Self> {
        Self::from_system_time(time)
    }
}

/// As [`Timestamp::to_system_time`].
impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_system_time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_is_refused() {
        let before = UNIX_EPOCH - Duration::from_millis(1);
        assert!(matches!(Timestamp::from_system_time(before), Err(Error::ClockOutOfRange)));
        assert_eq!(Timestamp::from_system_time(UNIX_EPOCH).unwrap(), Timestamp::from_millis(0));
    }

    #[cfg(not(windows))]
    #[test]
    fn a_time_past_64_bits_of_milliseconds_is_refused() {
        let limit = Duration::from_millis(u64::MAX);
        let last = UNIX_EPOCH.checked_add(limit).unwrap();
        assert_eq!(Timestamp::from_system_time(last).unwrap().as_millis(), u64::MAX);
        let past = last + Duration::from_millis(1);
        assert!(matches!(Timestamp::from_system_time(past), Err(Error::ClockOutOfRange)));
    }

    /// It ends in the year 30828, where the tenths of a microsecond since 1601 are past 63 bits.
    #[cfg(windows)]
    #[test]
    fn the_clock_of_windows_is_followed_to_its_end() {
        let since_1970 = Duration::from_millis(910_692_730_085_477);
        let last = Timestamp::from_system_time(UNIX_EPOCH + since_1970).unwrap();
        assert_eq!(last.to_system_time(), UNIX_EPOCH + since_1970);
        let past = Timestamp::from_millis(last.as_millis() + 1);
        assert!(past.to_system_time() < last.to_system_time(), "the end of 9999");
    }

    #[test]
    fn parts_of_a_millisecond_are_cut_off() {
        let time = UNIX_EPOCH + Duration::from_nanos(1_999_999);
        assert_eq!(Timestamp::from_system_time(time).unwrap().as_millis(), 1);
    }
}
