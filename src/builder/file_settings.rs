//! The settings of a file: durability, memory, and what opening does.
//!
//! Invariant: a store that has no file takes none of them; naming one there is an error.

use std::time::Duration;

use crate::builder::Builder;
use crate::engine::durability::Durability;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::recovery::Recovery;
use crate::error::{Error, Result};

/// Settings of a store in a file. With an engine of one's own, in memory or on a server, each of
/// them is [`Error::InvalidSetting`].
impl<C> Builder<C> {
    /// When an acknowledged write is on the disk. Default: [`Durability::Immediate`].
    pub fn durability(self, durability: Durability) -> Self {
        self.of_file("durability", |redb| redb.durability(durability))
    }

    /// Memory for hot records and for pages of the file, in bytes; at least 1 MiB.
    ///
    /// Default: 1/32 of the memory that the machine or the container has, from 64 MiB to 512 MiB;
    /// 64 MiB where the system does not say (anywhere but on Linux). It is a bound, and a small
    /// store stays far below it. Three quarters hold records: 64 MiB keep about 100,000 sessions of
    /// 256 bytes at hand, 512 MiB about 800,000. A read beyond them costs a look into the file.
    pub fn cache_size(self, bytes: usize) -> Self {
        self.of_file("cache_size", |redb| redb.cache_size(bytes))
    }

    /// Whether three quarters of [`cache_size`](Self::cache_size) hold records that are ready to
    /// use. Default: `true`; a read that finds its record there walks no tree and checks no
    /// checksum. With `false` all of it holds pages, which suits sessions that are rarely read
    /// twice.
    pub fn record_cache(self, keep: bool) -> Self {
        self.of_file("record_cache", |redb| redb.record_cache(keep))
    }

    /// How long [`open`](Self::open) waits for a file that another process holds, as when a program
    /// is started while the one before it is still closing. Default: not at all; then, and once the
    /// time is over, it is [`Error::AlreadyOpen`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use sessile::SessionStore;
    /// let wait = std::time::Duration::from_secs(5);
    /// let builder = SessionStore::<u32>::builder().open_timeout(wait);
    /// ```
    pub fn open_timeout(self, timeout: Duration) -> Self {
        Self { open_timeout: timeout, ..self.of_file("open_timeout", |redb| redb) }
    }

    /// Whether opening verifies every page in use. Default: `true`; it costs about as much as
    /// reading them once, on eight threads. A file that was not closed is verified either way; with
    /// [`Durability::TwoPhase`] that takes reading it twice, on one thread.
    ///
    /// # Security
    ///
    /// Without it a file that was damaged after it was closed may give wrong data, or end the
    /// process.
    pub fn verify_on_open(self, verify: bool) -> Self {
        self.of_file("verify_on_open", |redb| redb.verify_on_open(verify))
    }

    /// Whether opening gives back the space of a file that is mostly empty: longer than 16 MiB and
    /// than three times what its sessions need, as one mass deletion can leave it. Default: `true`,
    /// since nobody else has the file then, and a file that is compact stays as it is. Compacting
    /// costs about as much as writing the live sessions once; with `false` opening never takes that
    /// long, and the file keeps its size, as it does without
    /// [`verify_on_open`](Self::verify_on_open).
    pub fn compact_on_open(self, compact: bool) -> Self {
        self.of_file("compact_on_open", |redb| redb.compact_on_open(compact))
    }

    /// What to call while the file of a store that was not closed, because its process was killed
    /// or the power was cut, is recovered: to show progress where there are millions of sessions,
    /// or to call it off. Default: nothing.
    ///
    /// It is called by the thread that opens, a few times, with a growing
    /// [`progress`](Recovery::progress); not at all for a file that was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::SessionStore;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("sessions.redb");
    /// let store = SessionStore::<u32>::builder()
    ///     .on_recovery(|recovery| eprintln!("recovering: {:.0} %", recovery.progress() * 100.0))
    ///     .open(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_recovery(self, callback: impl Fn(&mut Recovery) + Send + Sync + 'static) -> Self {
        self.of_file("on_recovery", |redb| redb.on_recovery(callback))
    }

    fn of_file(self, setting: &'static str, set: impl FnOnce(RedbOptions) -> RedbOptions) -> Self {
        let of_file = self.of_file.or(Some(setting));
        Self { redb: set(self.redb), of_file, ..self }
    }

    /// Whether none of these was named, for a store that has no file.
    pub(super) fn check_without_file(&self) -> Result<()> {
        self.of_file.map_or(Ok(()), |setting| {
            Err(Error::setting(
                setting,
                "is for a file that the builder opens, and would do nothing here; leave it out, or \
                 give it to the engine",
            ))
        })
    }
}
