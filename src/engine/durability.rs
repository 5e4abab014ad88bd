//! When an acknowledged write is on the disk.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::time::millis;

/// Which crashes a write survives once it returned `Ok`.
///
/// | | killed process | power loss | cost of a commit |
/// |---|---|---|---|
/// | `Immediate` | survives | survives | one sync |
/// | `TwoPhase` | survives | survives, even a disk that tears the commit apart on purpose | two syncs |
/// | `Deferred` | survives within the interval | survives within the interval | none |
///
/// With every level, a crash leaves the last durable commit or a later one, complete and never
/// mixed with another.
///
/// In configuration files it is `"immediate"`, `"two_phase"` or `{ "deferred": { "interval_ms": 200
/// } }`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use sessile::{Durability, SessionStore};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// // A cart that may lose its last 200 ms, for writes at the speed of memory.
/// let store: SessionStore = SessionStore::builder()
///     .durability(Durability::Deferred { interval: Duration::from_millis(200) })
///     .open(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// A write returns once it is on the disk, with one sync for each commit. The default: an
    /// acknowledged logout survives a crash.
    #[default]
    Immediate,
    /// As `Immediate`, but without the log: each commit is a durable, two-phase commit of redb,
    /// with two syncs. Choose it if one attacker can choose content, read the file and cut the
    /// power. The salt that tells a log entry from content that imitates one is in the file, so
    /// that attacker could forge an entry. Opening after a crash takes longer.
    TwoPhase,
    /// A write returns at once and is on the disk within the interval, after the next
    /// [`flush`](crate::SessionStore::flush), or after closing. A crash loses the last interval,
    /// logouts included.
    Deferred {
        /// The longest time that a write stays in memory: 1 ms to 1 hour.
        #[serde(rename = "interval_ms", with = "millis")]
        interval: Duration,
    },
}

impl Durability {
    pub(crate) fn check(self) -> Result<()> {
        const RANGE: std::ops::RangeInclusive<Duration> =
            Duration::from_millis(1)..=Duration::from_secs(3_600);
        match self {
            Self::Deferred { interval } if !RANGE.contains(&interval) => {
                Err(Error::setting("durability", "needs an interval from 1 ms to 1 hour"))
            }
            _ => Ok(()),
        }
    }
}
