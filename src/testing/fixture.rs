//! Where the engines of a test come from, and how one is opened again on what the last one kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::check::{Checked, Inspect};
use crate::engine::contract::Engine;
use crate::engine::limits::Limits;
use crate::engine::memory::MemoryEngine;
use crate::engine::outcome::{EngineStats, Insert, Rekey, Removed, Replace, Sweep, Visit};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::time::clock::Timestamp;
use crate::time::timeouts::Timeouts;

/// A place that holds records for the length of one test, and the engines on it.
///
/// A test opens one engine at a time: the next one after the last was closed or dropped.
///
/// # Examples
///
/// See [`engine_conformance!`](crate::testing::engine_conformance).
pub trait EngineFixture {
    /// The engine under test.
    type Engine: Engine;

    /// A new place, with nothing in it.
    fn new() -> Self;

    /// An engine on what the engines before it stored here.
    ///
    /// # Panics
    ///
    /// If there is none to be had.
    fn open(&self) -> Self::Engine;

    /// Everything that is stored here, byte by byte, so that a test can search it for what must
    /// not be there. Empty where nothing outlives the process.
    fn stored_bytes(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// One [`MemoryEngine`], of which every [`open`](EngineFixture::open) gives a new handle: closing
/// the handle leaves the records for the next one.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
/// use sessile::testing::{EngineFixture, MemoryFixture};
///
/// let fixture = MemoryFixture::new();
/// let store: SessionStore = SessionStore::builder().engine(fixture.open()).build()?;
/// let session = store.create(Default::default())?;
/// store.close()?;
///
/// let store: SessionStore = SessionStore::builder().engine(fixture.open()).build()?;
/// assert!(store.read(session.id())?.is_some());
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryFixture {
    engine: Arc<MemoryEngine>,
}

impl EngineFixture for MemoryFixture {
    type Engine = MemoryHandle;

    fn new() -> Self {
        Self { engine: Arc::new(MemoryEngine::new()) }
    }

    fn open(&self) -> MemoryHandle {
        MemoryHandle { inner: Arc::clone(&self.engine), closed: AtomicBool::new(false) }
    }
}

/// The engine of a [`MemoryFixture`]; what it holds outlives it.
///
/// # Examples
///
/// See [`MemoryFixture`].
#[derive(Debug)]
pub struct MemoryHandle {
    inner: Arc<MemoryEngine>,
    closed: AtomicBool,
}

impl MemoryHandle {
    fn inner(&self) -> Result<&MemoryEngine> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(&self.inner),
        }
    }
}

impl Engine for MemoryHandle {
    fn insert(&self, key: &SessionKey, record: Record, limits: Limits) -> Result<Insert> {
        self.inner()?.insert(key, record, limits)
    }
    fn load(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.inner()?.load(key)
    }
    fn replace(
        &self,
        key: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Replace> {
        self.inner()?.replace(key, expected_revision, record, limits)
    }
    fn rekey(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        expected_revision: u64,
        record: Record,
        limits: Limits,
    ) -> Result<Rekey> {
        self.inner()?.rekey(old, new, expected_revision, record, limits)
    }
    fn touch(&self, key: &SessionKey, at: Timestamp) -> Result<bool> {
        self.inner()?.touch(key, at)
    }
    fn remove(&self, key: &SessionKey) -> Result<Option<Removed>> {
        self.inner()?.remove(key)
    }
    fn remove_user(&self, user: &UserKey) -> Result<Vec<Removed>> {
        self.inner()?.remove_user(user)
    }
    fn remove_others(&self, keep: &SessionKey) -> Result<Option<Vec<Removed>>> {
        self.inner()?.remove_others(keep)
    }
    fn scan_user(&self, user: &UserKey, visit: &mut Visit<'_>) -> Result<()> {
        self.inner()?.scan_user(user, visit)
    }
    fn for_each(&self, visit: &mut Visit<'_>) -> Result<()> {
        self.inner()?.for_each(visit)
    }
    fn remove_expired(&self, now: Timestamp, defaults: &Timeouts, limit: usize) -> Result<Sweep> {
        self.inner()?.remove_expired(now, defaults, limit)
    }
    fn reindex(&self, defaults: &Timeouts) -> Result<()> {
        self.inner()?.reindex(defaults)
    }
    fn count(&self, now: Timestamp, defaults: &Timeouts) -> Result<u64> {
        self.inner()?.count(now, defaults)
    }
    fn check(&self, defaults: &Timeouts, inspect: &mut Inspect<'_>) -> Result<Checked> {
        self.inner()?.check(defaults, inspect)
    }
    fn clear(&self) -> Result<()> {
        self.inner()?.clear()
    }
    fn load_meta(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.inner()?.load_meta(name)
    }
    fn store_meta(&self, name: &str, value: &[u8]) -> Result<()> {
        self.inner()?.store_meta(name, value)
    }
    fn flush(&self) -> Result<()> {
        self.inner()?.flush()
    }
    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }
    fn stats(&self) -> Result<EngineStats> {
        self.inner()?.stats()
    }
}
