//! Remembers a failed sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a sync has failed. A backend and the engine that opened it share this flag.
#[derive(Clone, Debug, Default)]
pub(in crate::engine::redb) struct SyncFailed(Arc<AtomicBool>);

impl SyncFailed {
    pub(in crate::engine::redb) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(in crate::engine::redb) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}
