//! An engine that counts the calls of another.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::engine::contract::Engine;
use crate::error::Result;

/// Counts the calls of another engine, by name: to see what a call of the store costs where every
/// call of the engine is a round trip.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use sessile::SessionStore;
/// use sessile::engine::MemoryEngine;
/// use sessile::testing::CountingEngine;
///
/// let engine = Arc::new(CountingEngine::new(MemoryEngine::new()));
/// let builder = SessionStore::<u32>::builder().engine(engine.clone()).manual_maintenance();
/// let store = builder.build()?;
/// let session = store.create(1)?;
///
/// engine.take();
/// store.read_and_extend(session.id())?;
/// assert_eq!(engine.take(), [("extend", 1)]);
/// # Ok::<(), sessile::Error>(())
/// ```
#[derive(Debug)]
pub struct CountingEngine<E> {
    inner: E,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl<E: Engine> CountingEngine<E> {
    /// Nothing is counted yet.
    pub fn new(inner: E) -> Self {
        Self { inner, calls: Mutex::new(BTreeMap::new()) }
    }

    /// The calls since this was last asked, by name, and how often each was made. Those that cannot
    /// fail, which tell of the engine and no more, are not among them.
    pub fn take(&self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut *self.calls.lock()).into_iter().collect()
    }

    fn count(&self, call: &'static str) -> Result<()> {
        *self.calls.lock().entry(call).or_default() += 1;
        Ok(())
    }
}

impl<E: Engine> Engine for CountingEngine<E> {
    crate::forward_engine!(inner, each count);
}
