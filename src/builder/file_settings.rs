//! The settings of a file: durability, memory, and the steps of opening.
//!
//! Invariant: a store without a file takes none of them; setting one there is an error.

use std::time::Duration;

use crate::builder::Builder;
use crate::engine::durability::Durability;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::recovery::Recovery;
use crate::error::{Error, Result};

/// Settings of a store in a file. For a store in memory, on a server or on your own engine, each of
/// them is [`Error::InvalidSetting`].
impl<C> Builder<C> {
    /// Sets when an acknowledged write is on the disk. Default: [`Durability::Immediate`].
    pub fn durability(self, durability: Durability) -> Self {
        self.of_file("durability", |redb| redb.durability(durability))
    }

    /// Sets the memory for hot records and for pages of the file, in bytes; at least 1 MiB.
    ///
    /// Default: 1/32 of the memory of the machine or container, from 64 MiB to 512 MiB; 64 MiB if
    /// the system does not report its memory (only Linux does; in a container, by control groups
    /// of version 2). It is an upper bound for the records and pages, and a small store stays far
    /// below it. The process also has the filter of ids, the writes under way, and what its
    /// allocator has not given back: leave room in a container for as much again. Three quarters
    /// hold records: 64 MiB hold about 100,000 sessions of 256 bytes, 512 MiB about 800,000. A read
    /// of any other session reads the file.
    pub fn cache_size(self, bytes: usize) -> Self {
        self.of_file("cache_size", |redb| redb.cache_size(bytes))
    }

    /// Sets whether three quarters of [`cache_size`](Self::cache_size) hold records ready for use.
    /// Default: `true`; a read that finds its record there walks no tree and checks no checksum.
    /// With `false` the whole cache holds pages, which suits sessions that are rarely read twice.
    pub fn record_cache(self, keep: bool) -> Self {
        self.of_file("record_cache", |redb| redb.record_cache(keep))
    }

    /// Sets how long [`open`](Self::open) waits for a file that another process has open, such as
    /// an earlier start of the program that is still closing. Default: no wait. After the wait,
    /// opening fails with [`Error::AlreadyOpen`].
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

    /// Sets whether opening verifies every page in use. Default: `true`; it costs about as much as
    /// one read of these pages, on eight threads. A file that was not closed is always verified;
    /// with [`Durability::TwoPhase`] that takes two reads, on one thread.
    ///
    /// # Security
    ///
    /// Without this check, a file that was damaged after it was closed may return wrong data, or
    /// end the process.
    pub fn verify_on_open(self, verify: bool) -> Self {
        self.of_file("verify_on_open", |redb| redb.verify_on_open(verify))
    }

    /// Sets whether opening returns the unused space of a file that is mostly empty: longer than 16
    /// MiB and than three times the size of its sessions, as after a mass deletion. Default:
    /// `true`, because nobody else has the file at that time. A compact file stays as it is.
    /// Compacting costs about as much as writing the live sessions once. With `false`, or without
    /// [`verify_on_open`](Self::verify_on_open), opening never takes that long and the file keeps
    /// its size. `true` is refused without `verify_on_open`, because an unverified file may be
    /// damaged.
    pub fn compact_on_open(self, compact: bool) -> Self {
        self.of_file("compact_on_open", |redb| redb.compact_on_open(compact))
    }

    /// Sets a callback for the recovery of a file that was not closed, because its process was
    /// killed or the power was cut: to show progress with millions of sessions, or to abort.
    /// Default: none.
    ///
    /// The opening thread calls it a few times, with a growing [`progress`](Recovery::progress);
    /// never for a file that was closed.
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

    /// Checks that none of these settings was set, for a store without a file.
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
