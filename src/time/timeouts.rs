//! The two timeouts of a session, and the rule that turns them into its deadline.
//!
//! Only this file computes a deadline in Rust; the engines on servers restate the rule in the
//! server's language, and tests compare the two. Values are valid by construction.

mod form;

use std::time::Duration;

use crate::error::Result;
use crate::error::timeouts::InvalidTimeouts;
use crate::time::clock::Timestamp;
use crate::time::timeouts::form::Seconds;

/// How long a session lives: after its last activity, and in total.
///
/// A session's deadline is the earlier of `last_active + inactivity` and `created_at + absolute`,
/// and the session is expired once `now >= deadline`. Both timeouts are stored in whole
/// milliseconds; a finer [`Duration`] is cut off. Less than a millisecond is refused.
///
/// The default is 15 minutes of inactivity and 7 days in total. The two timeouts are those of OWASP
/// ASVS 5.0, 7.3.1 (inactivity) and 7.3.2 (absolute lifetime). A store's timeouts apply to every
/// session without its own timeouts, as soon as the store is opened with them.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sessile::Timeouts;
///
/// let timeouts = Timeouts::new(Duration::from_secs(30 * 60), Duration::from_secs(24 * 60 * 60))?;
/// assert_eq!(timeouts.inactivity(), Duration::from_secs(1_800));
///
/// // In a configuration file: seconds, checked in the same way.
/// let timeouts: Timeouts = toml::from_str("inactivity = 1800\nabsolute = 86400")?;
/// assert_eq!(timeouts.absolute(), Duration::from_secs(86_400));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    inactivity_ms: u64,
    absolute_ms: u64,
}

const DEFAULT_INACTIVITY_S: i64 = 15 * 60;
const DEFAULT_ABSOLUTE_S: i64 = 7 * 24 * 60 * 60;

impl Timeouts {
    /// The environment variable for the inactivity timeout, in seconds.
    pub const INACTIVITY_VARIABLE: &'static str = "SESSILE_INACTIVITY_SECONDS";
    /// The environment variable for the absolute timeout, in seconds.
    pub const ABSOLUTE_VARIABLE: &'static str = "SESSILE_ABSOLUTE_SECONDS";

    /// Makes timeouts of an inactivity and an absolute timeout.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTimeouts`](crate::Error::InvalidTimeouts) if the inactivity timeout is
    /// greater than the absolute one, or if one of them is shorter than a millisecond or does not
    /// fit 64 bits of milliseconds.
    pub fn new(inactivity: Duration, absolute: Duration) -> Result<Self> {
        Ok(Self::checked(millis(inactivity)?, millis(absolute)?)?)
    }

    /// Makes timeouts of signed seconds, as in configuration files.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTimeouts`](crate::Error::InvalidTimeouts), with a separate variant for a
    /// negative inactivity timeout, a negative absolute timeout, a timeout of zero, and an
    /// inactivity timeout greater than the absolute one; and as for [`new`](Self::new).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::Timeouts;
    ///
    /// assert_eq!(Timeouts::from_seconds(900, 604_800)?, Timeouts::default());
    /// assert!(Timeouts::from_seconds(61, 60).is_err());
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn from_seconds(inactivity: i64, absolute: i64) -> Result<Self> {
        Ok(Seconds { inactivity: inactivity.into(), absolute: absolute.into() }.try_into()?)
    }

    /// Reads timeouts from the environment:
    /// [`SESSILE_INACTIVITY_SECONDS`](Self::INACTIVITY_VARIABLE) and
    /// [`SESSILE_ABSOLUTE_SECONDS`](Self::ABSOLUTE_VARIABLE). A variable that is not set means the
    /// default.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTimeouts`](crate::Error::InvalidTimeouts) as for
    /// [`from_seconds`](Self::from_seconds), and for a value that is not a whole number.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{SessionStore, Timeouts};
    ///
    /// let store: SessionStore =
    ///     SessionStore::builder().timeouts(Timeouts::from_env()?).in_memory()?;
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn from_env() -> Result<Self> {
        let seconds = |variable, default| match std::env::var_os(variable) {
            None => Ok(default),
            Some(text) => text
                .to_str()
                .and_then(|text| text.trim().parse().ok())
                .ok_or(InvalidTimeouts::NotANumber { variable }),
        };
        Self::from_seconds(
            seconds(Self::INACTIVITY_VARIABLE, DEFAULT_INACTIVITY_S)?,
            seconds(Self::ABSOLUTE_VARIABLE, DEFAULT_ABSOLUTE_S)?,
        )
    }

    /// How long a session lives after its last activity.
    #[must_use]
    pub const fn inactivity(&self) -> Duration {
        Duration::from_millis(self.inactivity_ms)
    }

    /// How long a session lives in total.
    #[must_use]
    pub const fn absolute(&self) -> Duration {
        Duration::from_millis(self.absolute_ms)
    }

    /// Whether any session's deadline is earlier under `self` than under `before`.
    pub(crate) const fn is_shorter_than(&self, before: &Self) -> bool {
        self.inactivity_ms < before.inactivity_ms || self.absolute_ms < before.absolute_ms
    }

    /// The inactivity and the absolute timeout, in milliseconds.
    #[cfg(any(feature = "mongodb", feature = "mysql", feature = "postgres", feature = "redis"))]
    pub(crate) const fn as_millis(&self) -> (u64, u64) {
        (self.inactivity_ms, self.absolute_ms)
    }

    /// The longer inactivity and the longer absolute timeout of both: a session that is expired
    /// under these is expired under either.
    pub(crate) fn longer_of_each(&self, other: &Self) -> Self {
        Self {
            inactivity_ms: self.inactivity_ms.max(other.inactivity_ms),
            absolute_ms: self.absolute_ms.max(other.absolute_ms),
        }
    }

    /// The stored form of the timeouts under which an engine's index was made: two 64-bit
    /// little-endian numbers of milliseconds.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (inactivity, absolute) = bytes.split_at_mut(8);
        inactivity.copy_from_slice(&self.inactivity_ms.to_le_bytes());
        absolute.copy_from_slice(&self.absolute_ms.to_le_bytes());
        bytes
    }

    /// Timeouts under which a session ends only by its own timeouts.
    pub(crate) const ENDLESS: Self = Self { inactivity_ms: u64::MAX, absolute_ms: u64::MAX };

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (inactivity, absolute) = bytes.split_first_chunk()?;
        Some(Self {
            inactivity_ms: u64::from_le_bytes(*inactivity),
            absolute_ms: u64::from_le_bytes(absolute.try_into().ok()?),
        })
    }

    fn checked(inactivity_ms: u64, absolute_ms: u64) -> Result<Self, InvalidTimeouts> {
        if inactivity_ms == 0 || absolute_ms == 0 {
            return Err(InvalidTimeouts::Zero { timeout: Duration::ZERO });
        }
        if inactivity_ms > absolute_ms {
            return Err(InvalidTimeouts::InactivityExceedsAbsolute {
                inactivity: Duration::from_millis(inactivity_ms),
                absolute: Duration::from_millis(absolute_ms),
            });
        }
        Ok(Self { inactivity_ms, absolute_ms })
    }
}

impl Default for Timeouts {
    /// 15 minutes of inactivity, 7 days in total.
    fn default() -> Self {
        Self {
            inactivity_ms: DEFAULT_INACTIVITY_S.unsigned_abs() * 1_000,
            absolute_ms: DEFAULT_ABSOLUTE_S.unsigned_abs() * 1_000,
        }
    }
}

/// One session's own timeouts, which replace the store's, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnTimeouts {
    pub(crate) inactivity_ms: Option<u64>,
    pub(crate) absolute_ms: Option<u64>,
}

impl OwnTimeouts {
    pub(crate) fn new(inactivity: Option<Duration>, absolute: Option<Duration>) -> Result<Self> {
        Ok(Self {
            inactivity_ms: inactivity.map(millis).transpose()?,
            absolute_ms: absolute.map(millis).transpose()?,
        })
    }

    /// The definition of a deadline, for every engine and every method.
    pub(crate) fn deadline(
        &self,
        created_at: Timestamp,
        last_active: Timestamp,
        defaults: &Timeouts,
    ) -> Timestamp {
        let inactivity = self.inactivity_ms.unwrap_or(defaults.inactivity_ms);
        let absolute = self.absolute_ms.unwrap_or(defaults.absolute_ms);
        last_active.saturating_add(inactivity).min(created_at.saturating_add(absolute))
    }

    /// Refuses timeouts that contradict each other, or that end past the last storable moment.
    pub(crate) fn check_at_creation(&self, now: Timestamp, defaults: &Timeouts) -> Result<()> {
        let inactivity = self.inactivity_ms.unwrap_or(defaults.inactivity_ms);
        let absolute = self.absolute_ms.unwrap_or(defaults.absolute_ms);
        Timeouts::checked(inactivity, absolute)?;
        if now.checked_add(absolute).is_none() {
            let timeout = Duration::from_millis(absolute);
            return Err(InvalidTimeouts::PastTheEndOfTime { timeout }.into());
        }
        Ok(())
    }
}

fn millis(timeout: Duration) -> Result<u64, InvalidTimeouts> {
    match u64::try_from(timeout.as_millis()) {
        Ok(0) => Err(InvalidTimeouts::Zero { timeout }),
        Ok(millis) => Ok(millis),
        Err(_) => Err(InvalidTimeouts::PastTheEndOfTime { timeout }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadline(own: OwnTimeouts, created_at: u64, last_active: u64) -> u64 {
        let defaults = Timeouts::from_seconds(10, 100).unwrap();
        let at = Timestamp::from_millis;
        own.deadline(at(created_at), at(last_active), &defaults).as_millis()
    }

    #[test]
    fn the_deadline_is_the_earlier_of_the_two_timeouts() {
        let none = OwnTimeouts::default();
        assert_eq!(deadline(none, 0, 0), 10_000);
        assert_eq!(deadline(none, 0, 89_999), 99_999);
        assert_eq!(deadline(none, 0, 99_000), 100_000);
    }

    #[test]
    fn each_own_timeout_replaces_its_default_alone() {
        let inactivity = OwnTimeouts { inactivity_ms: Some(5), absolute_ms: None };
        assert_eq!(deadline(inactivity, 0, 0), 5);
        let absolute = OwnTimeouts { inactivity_ms: None, absolute_ms: Some(7) };
        assert_eq!(deadline(absolute, 0, 0), 7);
    }

    #[test]
    fn the_sum_stops_at_the_end_of_time() {
        let none = OwnTimeouts::default();
        assert_eq!(deadline(none, u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_sum_past_the_end_of_time_is_refused_at_creation() {
        let defaults = Timeouts::from_seconds(10, 100).unwrap();
        let own = OwnTimeouts::default();
        let last = Timestamp::from_millis(u64::MAX - 100_000);
        assert!(own.check_at_creation(last, &defaults).is_ok());
        let past = Timestamp::from_millis(u64::MAX - 99_999);
        assert!(matches!(
            own.check_at_creation(past, &defaults),
            Err(crate::error::Error::InvalidTimeouts(InvalidTimeouts::PastTheEndOfTime { .. }))
        ));
    }

    #[test]
    fn the_default_is_fifteen_minutes_and_seven_days_wherever_nothing_is_said() {
        let default = Timeouts { inactivity_ms: 900_000, absolute_ms: 604_800_000 };
        assert_eq!(Timeouts::default(), default);
        assert_eq!(toml::from_str::<Timeouts>("").unwrap(), default);
    }

    #[test]
    fn timeouts_are_shorter_if_one_of_the_two_is() {
        let pair = |inactivity_ms, absolute_ms| Timeouts { inactivity_ms, absolute_ms };
        let before = pair(10, 100);
        for shorter in [pair(9, 100), pair(10, 99), pair(9, 200), pair(20, 99), pair(9, 99)] {
            assert!(shorter.is_shorter_than(&before), "{shorter:?}");
        }
        for longer in [before, pair(11, 100), pair(10, 101), pair(11, 101)] {
            assert!(!longer.is_shorter_than(&before), "{longer:?}");
        }
    }

    #[test]
    fn the_stored_form_is_two_counts_of_milliseconds_little_endian() {
        let timeouts = Timeouts { inactivity_ms: 0x0102, absolute_ms: 0x0304 };
        let bytes = [2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0];
        assert_eq!(timeouts.to_bytes(), bytes);
        assert_eq!(Timeouts::from_bytes(&bytes), Some(timeouts));
        for wrong in [&[][..], &bytes[..15], &[0; 17]] {
            assert_eq!(Timeouts::from_bytes(wrong), None, "{} bytes", wrong.len());
        }
    }

    #[test]
    fn an_inactivity_as_long_as_the_absolute_timeout_is_allowed() {
        assert!(Timeouts::from_seconds(60, 60).is_ok());
        assert!(Timeouts::from_seconds(61, 60).is_err());
    }

    #[test]
    fn each_impossible_pair_has_its_own_message() {
        let text = |inactivity, absolute| {
            Timeouts::from_seconds(inactivity, absolute).unwrap_err().to_string()
        };
        assert!(text(-1, 60).contains("inactivity timeout is -1 s"));
        assert!(text(1, -60).contains("absolute timeout is -60 s"));
        assert!(text(61, 60).contains("greater than the absolute timeout"));
        assert!(text(1, i64::MAX).contains("last moment"));
    }
}
