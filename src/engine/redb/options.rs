//! The settings of a redb file: defaults, ranges and effects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::durability::Durability;
use crate::engine::redb::memory;
use crate::engine::redb::recovery::{OnRecovery, Recovery};
use crate::error::{Error, Result};

/// Settings for [`RedbEngine::open_with`](crate::engine::RedbEngine::open_with).
///
/// A program that opens a [`SessionStore`](crate::SessionStore) finds the same settings on its
/// [`Builder`](crate::Builder).
///
/// # Examples
///
/// ```
/// use sessile::engine::{RedbEngine, RedbOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let engine = RedbEngine::open_with(path, &RedbOptions::new().cache_size(8 * 1024 * 1024))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `open_with` gets them"]
pub struct RedbOptions {
    pub(crate) durability: Durability,
    pub(in crate::engine::redb) cache_size: usize,
    pub(in crate::engine::redb) verify_on_open: bool,
    /// `None`: if the file is verified.
    compact_on_open: Option<bool>,
    pub(in crate::engine::redb) create_missing: bool,
    pub(in crate::engine::redb) on_recovery: OnRecovery,
    record_cache: bool,
}

const MIN_CACHE_SIZE: usize = 1024 * 1024;

impl RedbOptions {
    /// [`Durability::Immediate`], a cache sized by the machine's memory (see
    /// [`Builder::cache_size`](crate::Builder::cache_size)), verification and compaction on open.
    pub fn new() -> Self {
        Self {
            durability: Durability::default(),
            cache_size: memory::default_cache_size(),
            verify_on_open: true,
            compact_on_open: None,
            create_missing: true,
            on_recovery: OnRecovery::default(),
            record_cache: true,
        }
    }

    /// When an acknowledged write is on the disk.
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Memory for hot records and for pages of the file, in bytes. At least 1 MiB.
    pub fn cache_size(self, bytes: usize) -> Self {
        Self { cache_size: bytes, ..self }
    }

    /// The default size of the cache on this machine, in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::engine::RedbOptions;
    ///
    /// let mib = RedbOptions::default_cache_size() / 1024 / 1024;
    /// assert!((64..=512).contains(&mib));
    /// ```
    #[must_use]
    pub fn default_cache_size() -> usize {
        memory::default_cache_size()
    }

    /// Whether opening verifies every page of the file.
    pub fn verify_on_open(self, verify: bool) -> Self {
        Self { verify_on_open: verify, ..self }
    }

    /// Whether opening shrinks a mostly empty file; see
    /// [`Builder::compact_on_open`](crate::Builder::compact_on_open).
    pub fn compact_on_open(self, compact: bool) -> Self {
        Self { compact_on_open: Some(compact), ..self }
    }

    /// Whether a missing or empty file is created. Default: `true`.
    pub fn create_missing(self, create: bool) -> Self {
        Self { create_missing: create, ..self }
    }

    /// The callback during the recovery of a file that was not closed; see
    /// [`Builder::on_recovery`](crate::Builder::on_recovery).
    pub fn on_recovery(self, callback: impl Fn(&mut Recovery) + Send + Sync + 'static) -> Self {
        Self { on_recovery: OnRecovery::new(callback), ..self }
    }

    /// Sets `recovered` if the file is recovered, and still calls the present callback.
    pub(crate) fn noting_recovery(self, recovered: Arc<AtomicBool>) -> Self {
        let named = self.on_recovery.clone();
        self.on_recovery(move |recovery| {
            recovered.store(true, Ordering::Release);
            named.call(recovery);
        })
    }

    /// The options for reopening the file after a failed write, unnoticed by the caller.
    pub(in crate::engine::redb) fn for_reopening(&self) -> Self {
        Self { compact_on_open: Some(false), on_recovery: OnRecovery::default(), ..self.clone() }
    }

    /// Whether three quarters of the cache hold decoded records instead of pages.
    pub fn record_cache(self, keep: bool) -> Self {
        Self { record_cache: keep, ..self }
    }

    /// An unverified file may be damaged, and compaction must not move damage.
    pub(in crate::engine::redb) fn compacts(&self) -> bool {
        self.verify_on_open && self.compact_on_open != Some(false)
    }

    pub(in crate::engine::redb) const fn keeps_records(&self) -> bool {
        self.record_cache
    }

    pub(in crate::engine::redb) const fn record_cache_bytes(&self) -> usize {
        if self.record_cache { self.cache_size / 4 * 3 } else { 0 }
    }

    pub(in crate::engine::redb) const fn page_cache_bytes(&self) -> usize {
        self.cache_size - self.record_cache_bytes()
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.durability.check()?;
        if self.cache_size < MIN_CACHE_SIZE {
            return Err(Error::setting("cache_size", "must be at least 1 MiB"));
        }
        if self.compact_on_open == Some(true) && !self.verify_on_open {
            return Err(Error::setting(
                "compact_on_open",
                "would do nothing without `verify_on_open`; leave one of them out",
            ));
        }
        Ok(())
    }
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self::new()
    }
}
