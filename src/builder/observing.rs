//! The observers of a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::Builder;
use crate::store::events::dispatch::Events;
use crate::store::events::{Event, Observer, Observers, built_in};

/// The observers that a builder has been given.
#[derive(Default)]
pub(super) struct Observing {
    named: Observers,
    /// Whether opening recovered the file.
    recovered: Arc<AtomicBool>,
}

impl Observing {
    /// Returns the dispatcher of events of a store with this content name, if there may be
    /// observers.
    pub(super) fn events(&self, store: Option<&str>) -> Option<Box<Events>> {
        let mut observers = built_in(store);
        observers.extend(self.named.iter().cloned());
        // A client of the admin socket may watch events later.
        let may_come = cfg!(feature = "admin");
        (may_come || !observers.is_empty()).then(|| {
            let events = Events::new(observers, store);
            events.describe();
            Box::new(events)
        })
    }

    /// Reports a recovery of the file, once the store is open.
    pub(super) fn tell_of_opening(&self, events: Option<&Events>) {
        if let Some(events) = events.filter(|_| self.recovered.load(Ordering::Acquire)) {
            events.tell(&Event::Recovered);
        }
    }
}

impl<C: Serialize + DeserializeOwned> Builder<C> {
    /// Adds an observer of sessions that begin, are renewed and end, and of conflicts, damaged
    /// records and failures in the background: see [`Observer`]. May be called for several; each
    /// receives every event. Default: no observer, which costs nothing.
    ///
    /// With the feature `metrics` the store also reports to the program's recorder. With a
    /// [`content_name`](Self::content_name), each metric has it as the label `store`. No label
    /// names a session or a user:
    ///
    /// - Counters: `sessile.sessions.created`, `.regenerated` and `.ended` (by `reason`),
    ///   `sessile.conflicts`, `sessile.records.damaged`, `sessile.maintenance.failures` (by
    ///   `task`), `sessile.promises.missed`, `sessile.checkpoints`, `sessile.file.reopenings`,
    ///   `sessile.clears`.
    /// - Gauges, once each `sweep_interval`: `sessile.records.stored`, `sessile.file.size` (bytes),
    ///   `sessile.touches.pending`. With `manual_maintenance`, `flush` and `clean_up_expired` set
    ///   the gauges, and report `Checkpoint` and `Reopened`.
    /// - Histogram, empty with `manual_maintenance`: `sessile.maintenance.duration` (seconds, by
    ///   `task`: `flush`, `sweep`, and `engine` for the engine's background work, such as a
    ///   checkpoint).
    ///
    /// # Examples
    ///
    /// ```
    /// use sessile::{Event, SessionStore};
    ///
    /// let builder = SessionStore::<u32>::builder();
    /// let store = builder.observer(|event: &Event| eprintln!("{event}")).in_memory()?;
    /// # Ok::<(), sessile::Error>(())
    /// ```
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observing.named.push(Arc::new(observer));
        self
    }

    /// Notes whether opening recovers the file.
    pub(super) fn noting_recovery(mut self) -> Self {
        if !self.observing.named.is_empty() || !built_in(None).is_empty() {
            let recovered = Arc::clone(&self.observing.recovered);
            self.redb = self.redb.noting_recovery(recovered);
        }
        self
    }
}
