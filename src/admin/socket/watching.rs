//! Events on their way to a client that watches.
//!
//! Invariant: a client that is slow loses events, is told how many, and makes nobody wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::admin::socket::protocol::EventText;
use crate::store::core::StoreCore;
use crate::store::events::{Event, Observer};

/// How many events wait for a client.
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

/// A client's view of what happens, until it is dropped.
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
        let number = core.events.as_ref().map(|events| events.add_watcher(Arc::new(sender)));
        Self { core, number, events, missed }
    }

    /// The next event, or none for a while.
    pub(super) fn next(&self, wait: Duration) -> Option<EventText> {
        self.events.recv_timeout(wait).ok()
    }

    /// How many were not told since this was asked last.
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
