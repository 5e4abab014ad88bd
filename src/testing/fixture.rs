//! The source of the engines in a test. The next engine opens the records of the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::contract::Engine;
use crate::engine::memory::MemoryEngine;
use crate::error::{Error, Result};

/// A place that holds records for the length of one test, and the engines on it.
///
/// A test opens one engine at a time: the next after the last was closed or dropped.
///
/// # Examples
///
/// See [`engine_conformance!`](crate::testing::engine_conformance).
pub trait EngineFixture {
    /// The engine under test.
    type Engine: Engine;

    /// A new, empty place.
    fn new() -> Self;

    /// Opens an engine on the records that earlier engines stored here.
    ///
    /// # Panics
    ///
    /// If the engine cannot be opened.
    fn open(&self) -> Self::Engine;

    /// All stored bytes, so that a test can search them for secrets. Empty if nothing outlives the
    /// process.
    fn stored_bytes(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// One [`MemoryEngine`]. Every [`open`](EngineFixture::open) returns a new handle of it; closing
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

/// The engine of a [`MemoryFixture`]; its records outlive it.
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
    fn ensure_open(&self, _call: &'static str) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }
}

impl Engine for MemoryHandle {
    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        Ok(())
    }

    crate::forward_engine!(inner, each ensure_open, but close);
}
