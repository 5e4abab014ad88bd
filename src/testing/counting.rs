//! An engine that counts the calls of another engine.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::engine::contract::Engine;
use crate::error::Result;

/// Counts the calls of another engine, by name. So a test sees the cost of a call of the store
/// where every engine call is a round trip.
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
    /// An engine whose counts start at zero.
    pub fn new(inner: E) -> Self {
        Self { inner, calls: Mutex::new(BTreeMap::new()) }
    }

    /// The calls since the last `take`, by name, with their numbers. Calls that cannot fail, and
    /// only describe the engine, are not counted.
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
