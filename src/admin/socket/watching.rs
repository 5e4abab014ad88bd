//! The queue of events for a client that watches.
//!
//! Invariant: a slow client loses events and learns how many; it never blocks the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::admin::socket::protocol::EventText;
use crate::store::core::StoreCore;
use crate::store::events::{Event, Observer};

/// The most events in the queue of a client.
const WAITING: usize = 1_000;

struct Sender {
    to: SyncSender<EventText>,
    missed: Arc<AtomicU64>,
}

impl Observer for Sender {
    fn observe(&self, event: &Event) {
        if self.to.try_send(EventText::of(event)).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A client's subscription to events. Dropping it ends the subscription.
pub(super) struct Watching<'a> {
    core: &'a StoreCore,
    number: Option<u64>,
    events: Receiver<EventText>,
    missed: Arc<AtomicU64>,
}

impl<'a> Watching<'a> {
    pub(super) fn begin(core: &'a StoreCore) -> Self {
        let (to, events) = sync_channel(WAITING);
        let missed = Arc::<AtomicU64>::default();
        let sender = Sender { to, missed: Arc::clone(&missed) };
        core.note_engine_for_a_new_watcher();
        let number = core.events.as_ref().map(|events| events.add_watcher(Arc::new(sender)));
        Self { core, number, events, missed }
    }

    /// The next event; `None` if none comes within the interval.
    pub(super) fn next(&self, wait: Duration) -> Option<EventText> {
        self.events.recv_timeout(wait).ok()
    }

    /// The number of events lost since the last call.
    pub(super) fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        if let (Some(events), Some(number)) = (&self.core.events, self.number) {
            events.remove_watcher(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::contract::Engine;
    use crate::engine::memory::MemoryEngine;
    use crate::engine::outcome::EngineStats;
    use crate::error::Result;
    use crate::store::SessionStore;

    /// An engine that reports checkpoints.
    #[derive(Debug)]
    struct Busy {
        inner: MemoryEngine,
        checkpoints: Arc<AtomicU64>,
    }

    impl Engine for Busy {
        fn stats(&self) -> Result<EngineStats> {
            let checkpoints = self.checkpoints.load(Ordering::SeqCst);
            Ok(EngineStats { checkpoints, ..self.inner.stats()? })
        }

        crate::forward_engine!(inner, but stats);
    }

    #[test]
    fn who_begins_to_watch_is_told_of_nothing_that_an_engine_did_before() {
        let checkpoints = Arc::new(AtomicU64::new(7));
        let engine = Busy { inner: MemoryEngine::new(), checkpoints: Arc::clone(&checkpoints) };
        let builder = SessionStore::<u32>::builder().engine(engine).manual_maintenance();
        let store = builder.build().unwrap();
        let core = store.shared_core();
        let told = |watching: &Watching<'_>| watching.events.try_iter().count();
        let first = Watching::begin(&core);
        core.note_engine();
        assert_eq!(told(&first), 0);
        checkpoints.store(8, Ordering::SeqCst);
        let second = Watching::begin(&core);
        core.note_engine();
        assert_eq!((told(&first), told(&second)), (1, 0));
        drop((first, second));
        checkpoints.store(9, Ordering::SeqCst);
        let third = Watching::begin(&core);
        core.note_engine();
        assert_eq!(told(&third), 0);
    }
}
