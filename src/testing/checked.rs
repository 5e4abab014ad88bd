//! A redb engine that cannot go without its tables having been compared with one another.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::check::{Checked, Inspect};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::outcome::{EngineStats, Insert, Rekey, Removed, Replace, Sweep, Visit};
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::options::RedbOptions;
use crate::engine::waker::Waker;
use crate::error::Result;
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// A [`RedbEngine`] for tests: when it is closed or dropped it compares `sessions` with `expiry`
/// and `users`, opens the file once more to compare them as they were left, and panics if they
/// disagree.
///
/// # Panics
///
/// On closing and on dropping, unless the thread is panicking already.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
/// use sessile::engine::RedbOptions;
/// use sessile::testing::CheckedRedbEngine;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let engine = CheckedRedbEngine::open_with(path, &RedbOptions::new())?;
/// let store: SessionStore = SessionStore::builder().engine(engine).build()?;
/// store.create_for_user("ann", Default::default())?;
/// drop(store); // compares the tables
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CheckedRedbEngine {
    inner: RedbEngine,
    /// Dropped after the engine, so that it finds what that left.
    file: File,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    options: RedbOptions,
    checked: AtomicBool,
}

impl CheckedRedbEngine {
    /// Opens a file; creates it if it is missing or empty.
    ///
    /// # Errors
    ///
    /// As for [`RedbEngine::open_with`].
    pub fn open_with(path: impl AsRef<Path>, options: &RedbOptions) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let inner = RedbEngine::open_with(&path, options)?;
        let file = File { path, options: options.clone(), checked: AtomicBool::new(false) };
        Ok(Self { inner, file })
    }
}

fn compare(engine: &RedbEngine) {
    let found = engine.disagreements().expect("a sound file can be read");
    assert!(found.is_empty(), "the tables disagree: {found:#?}");
}

impl File {
    /// Looks at the file once, after its engine has let go of it.
    fn check(&self) {
        if !self.checked.swap(true, Ordering::AcqRel) && !std::thread::panicking() {
            let engine = RedbEngine::open_with(&self.path, &self.options);
            compare(&engine.expect("a file that was let go of can be opened"));
        }
    }
}

impl Drop for CheckedRedbEngine {
    fn drop(&mut self) {
        if !self.file.checked.load(Ordering::Acquire) && !std::thread::panicking() {
            compare(&self.inner);
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.check();
    }
}

impl Engine for CheckedRedbEngine {
    fn insert(&self, key: &SessionKey, record: Record, limits: Limits) -> Result<Insert> {
        self.inner.insert(key, record, limits)
    }
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.inner.load(key)
    }
    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Replace> {
        self.inner.replace(key, expected_revision, record, limits)
    }
    fn rekey(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Rekey> {
        self.inner.rekey(old, new, expected_revision, record, limits)
    }
    fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<bool> {
        self.inner.touch(key, at)
    }
    fn remove(&self, key: &SessionKey) -> Result<Option<Removed>> {
        self.inner.remove(key)
    }
    fn remove_user(&self, user: &UserKey) -> Result<Vec<Removed>> {
        self.inner.remove_user(user)
    }
    fn remove_others(&self, keep: &SessionKey) -> Result<Option<Vec<Removed>>> {
        self.inner.remove_others(keep)
    }
    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        self.inner.scan_user(user, visit)
    }
    fn for_each(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.inner.for_each(visit)
    }
    fn remove_expired(&self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Result<Sweep> {
        self.inner.remove_expired(now, defaults, limit)
    }
    fn reindex(&self, defaults: &Timeouts) -> Result<()> {
        self.inner.reindex(defaults)
    }
    fn count(&self, now: Timestamp, defaults: &Timeouts) -> Result<u64> {
        self.inner.count(now, defaults)
    }
    fn check(&self, defaults: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        self.inner.check(defaults, inspect)
    }
    fn clear(&self) -> Result<()> {
        self.inner.clear()
    }
    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner.load_meta(name)
    }
    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        self.inner.store_meta(name, value)
    }
    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }
    fn set_waker(&self, waker: Waker) {
        self.inner.set_waker(waker);
    }
    fn run_background_work(&self) -> Result<()> {
        self.inner.run_background_work()
    }
    fn close(&self) -> Result<()> {
        if !self.file.checked.load(Ordering::Acquire) {
            compare(&self.inner);
        }
        let closed = self.inner.close();
        self.file.check();
        closed
    }
    fn stats(&self) -> Result<EngineStats> {
        self.inner.stats()
    }
}
