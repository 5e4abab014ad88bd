//! Who is told what happens in a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::Builder;
use crate::store::events::dispatch::Events;
use crate::store::events::{Event, Observer, Observers, built_in};

/// What a builder knows of its observers.
#[derive(Default)]
pub(super) struct Observing {
    named: Observers,
    /// Whether opening the file has recovered it.
    recovered: Arc<AtomicBool>,
}

impl Observing {
    /// What tells them, if there are any.
    pub(super) fn events(&self) -> Option<Box<Events>> {
        let mut observers = built_in();
        observers.extend(self.named.iter().cloned());
        // Whoever comes through the door may watch, and comes later.
        let may_come = cfg!(all(feature = "admin", unix));
        (may_come || !observers.is_empty()).then(|| Box::new(Events::new(observers)))
    }

    /// What opening has found, once the store is there.
    pub(super) fn tell_of_opening(&self, events: Option<&Events>) {
        if let Some(events) = events.filter(|_| self.recovered.load(Ordering::Acquire)) {
            events.tell(&Event::Recovered);
        }
    }
}

impl<C: Serialize + DeserializeOwned> Builder<C> {
    /// Tells an observer of the sessions that begin, are renewed and end, of conflicts, damaged
    /// records and failures in the background: see [`Observer`]. May be called for several; each is
    /// told everything. Default: nobody is told, which costs nothing.
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

    /// Notes it if opening recovers the file.
    pub(super) fn noting_recovery(mut self) -> Self {
        if !self.observing.named.is_empty() || !built_in().is_empty() {
            let recovered = Arc::clone(&self.observing.recovered);
            self.redb = self.redb.noting_recovery(recovered);
        }
        self
    }
}
