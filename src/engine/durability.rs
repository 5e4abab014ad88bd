//! When an acknowledged write is on the disk.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::time::millis;

/// What a write has survived once it returned `Ok`.
///
/// | | killed process | power loss | cost of a commit |
/// |---|---|---|---|
/// | `Immediate` | survives | survives | one sync |
/// | `TwoPhase` | survives | survives, even a disk that tears the commit apart on purpose | two syncs |
/// | `Deferred` | survives within the interval | survives within the interval | none |
///
/// Whatever the level, a crash leaves the last durable commit or a later one, complete: never a
/// mixture.
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
    /// A write returns once it is on the disk, with one sync for each commit. The default: a
    /// logout that was acknowledged stays one.
    #[default]
    Immediate,
    /// As `Immediate`, without the log: each commit is a durable one of redb, in two phases and two
    /// syncs. Choose it where one attacker can choose content, read the file and cut the power. The
    /// salt that tells an entry of the log from content that imitates one is in the file, so that
    /// attacker could forge an entry. After a crash it takes longer to open.
    TwoPhase,
    /// A write returns at once and is on the disk within the interval, with the next
    /// [`flush`](crate::SessionStore::flush), or on closing. A crash loses the last interval,
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
