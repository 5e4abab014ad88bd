//! Telling observers: after the commit, with no lock held, and in order for one session.
//!
//! Invariant: the end of a session is told after its beginning was. Keys are drawn at random and
//! never come twice, so a key begins once and ends once. While a beginning is on its way, between
//! its commit and its last observer, whoever ends that key leaves the end to the thread that tells
//! the beginning. Nobody waits.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::engine::outcome::{Ended, EngineStats};
use crate::key::SessionKey;
use crate::store::events::{EndReason, Event, MaintenanceTask, Observer, Observers};

#[derive(Default)]
struct Watchers {
    #[cfg_attr(not(all(feature = "admin", unix)), allow(dead_code, reason = "the door needs it"))]
    next: u64,
    there: Arc<Vec<(u64, Arc<dyn Observer>)>>,
}

/// The observers of one store, and what is on its way to them.
pub(crate) struct Events {
    observers: Observers,
    /// Observers that come and go, each under its number.
    watchers: RwLock<Watchers>,
    watching: AtomicUsize,
    /// Keys that may have begun and were not told of yet, each with the event that ends it.
    beginning: Mutex<HashMap<SessionKey, Option<Event>>>,
    panics: AtomicU64,
}

/// A key that is about to begin; its beginning is told, or it is taken back.
#[must_use]
pub(crate) struct Beginning<'a> {
    events: Option<&'a Events>,
    key: SessionKey,
}

impl Events {
    pub(crate) fn new(observers: Observers) -> Self {
        Self {
            observers,
            watchers: RwLock::default(),
            watching: AtomicUsize::new(0),
            beginning: Mutex::default(),
            panics: AtomicU64::new(0),
        }
    }

    /// Tells one more from now on, until it is removed by the number that is answered.
    #[cfg(all(feature = "admin", unix))]
    pub(crate) fn add_watcher(&self, watcher: Arc<dyn Observer>) -> u64 {
        let mut watchers = self.watchers.write();
        let number = watchers.next;
        watchers.next += 1;
        Arc::make_mut(&mut watchers.there).push((number, watcher));
        self.watching.store(watchers.there.len(), Ordering::Relaxed);
        number
    }

    #[cfg(all(feature = "admin", unix))]
    pub(crate) fn remove_watcher(&self, number: u64) {
        let mut watchers = self.watchers.write();
        Arc::make_mut(&mut watchers.there).retain(|(there, _)| *there != number);
        self.watching.store(watchers.there.len(), Ordering::Relaxed);
    }

    /// Whether there is anybody to tell.
    pub(crate) fn is_heard(&self) -> bool {
        !self.observers.is_empty() || self.watching.load(Ordering::Relaxed) > 0
    }

    /// What an engine holds at present.
    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self, unused_variables))]
    pub(crate) fn gauges(&self, stats: &EngineStats) {
        #[cfg(feature = "metrics")]
        self.caught(|| crate::store::events::measured::gauges(stats));
    }

    /// How long a background task took.
    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self, unused_variables))]
    pub(crate) fn took(&self, task: MaintenanceTask, time: Duration) {
        #[cfg(feature = "metrics")]
        self.caught(|| crate::store::events::measured::took(task, time));
    }

    /// Calls the program's own code, a recorder's for one, and counts its panic.
    fn caught(&self, tell: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(tell)).is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Before the commit that begins a key.
    pub(crate) fn begin(&self, key: SessionKey) -> Beginning<'_> {
        self.beginning.lock().insert(key, None);
        Beginning { events: Some(self), key }
    }

    /// After the commit that ended a key.
    pub(crate) fn end(&self, ended: &Ended, reason: EndReason) {
        let user = ended.user.as_ref().and_then(|user| user.to_id());
        self.end_as(ended.key, Event::Ended { key: ended.key, user, reason });
    }

    /// The end of a key, with what begins by the same commit.
    fn end_as(&self, key: SessionKey, event: Event) {
        if let Some(waiting) = self.beginning.lock().get_mut(&key) {
            *waiting = Some(event);
            return;
        }
        self.tell_with_what_follows(event);
    }

    /// Tells an event, and the end that came meanwhile of what it began.
    fn tell_with_what_follows(&self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            self.tell(&event);
            next = match event {
                Event::Created { key, .. } | Event::Regenerated { new: key, .. } => {
                    self.beginning.lock().remove(&key).flatten()
                }
                _ => None,
            };
        }
    }

    /// Tells what stands in no order to anything.
    pub(crate) fn tell(&self, event: &Event) {
        let watchers = Arc::clone(&self.watchers.read().there);
        let watchers = watchers.iter().map(|(_, watcher)| watcher);
        for observer in self.observers.iter().chain(watchers) {
            self.caught(|| observer.observe(event));
        }
    }
}

impl Beginning<'_> {
    /// The session is stored.
    pub(crate) fn created(mut self, event: Event) {
        if let Some(events) = self.events.take() {
            events.tell_with_what_follows(event);
        }
    }

    /// The session is stored, in place of the one under an earlier key.
    pub(crate) fn regenerated(mut self, old: SessionKey, event: Event) {
        if let Some(events) = self.events.take() {
            events.end_as(old, event);
        }
    }
}

impl Drop for Beginning<'_> {
    /// Nothing began, as far as is known. Somebody who ended it all the same knows better.
    fn drop(&mut self) {
        if let Some(events) = self.events {
            let waiting = events.beginning.lock().remove(&self.key).flatten();
            if let Some(event) = waiting {
                events.tell_with_what_follows(event);
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Events")
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> SessionKey {
        SessionKey::from_bytes([number; 16])
    }

    fn telling() -> (Arc<Mutex<Vec<String>>>, Events) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let observer = move |event: &Event| {
            to.lock().push(
                match event {
                    Event::Created { .. } => "created",
                    Event::Regenerated { .. } => "regenerated",
                    Event::Ended { .. } => "ended",
                    _ => "other",
                }
                .to_owned(),
            );
        };
        (told, Events::new(vec![Arc::new(observer)]))
    }

    fn created(key: SessionKey) -> Event {
        Event::Created { key, user: None }
    }

    fn regenerated(old: SessionKey, new: SessionKey) -> Event {
        Event::Regenerated { old, new, user: None }
    }

    #[test]
    fn an_end_that_overtakes_its_beginning_is_told_after_it() {
        let (told, events) = telling();
        let first = events.begin(key(1));
        // Other threads have renewed it and ended it, before it is told that it began.
        let second = events.begin(key(2));
        second.regenerated(key(1), regenerated(key(1), key(2)));
        events.end(&Ended { key: key(2), user: None }, EndReason::Destroyed);
        assert!(told.lock().is_empty());
        first.created(created(key(1)));
        assert_eq!(*told.lock(), ["created", "regenerated", "ended"]);
        assert!(events.beginning.lock().is_empty(), "nothing is kept");
    }

    #[test]
    fn what_is_not_known_to_have_begun_is_told_to_have_ended_if_it_has() {
        let (told, events) = telling();
        drop(events.begin(key(1)));
        assert!(told.lock().is_empty());
        let unknown = events.begin(key(1));
        events.end(&Ended { key: key(1), user: None }, EndReason::Destroyed);
        drop(unknown);
        assert_eq!(*told.lock(), ["ended"]);
        assert!(events.beginning.lock().is_empty());
    }

    #[test]
    fn a_panic_is_counted_and_the_next_observer_is_told() {
        let (told, quiet) = telling();
        let mut observers: Observers =
            vec![Arc::new(|_: &Event| std::panic::resume_unwind(Box::new(())))];
        observers.extend(quiet.observers);
        let events = Events::new(observers);
        events.tell(&Event::Cleared);
        assert_eq!((events.panics(), told.lock().len()), (1, 1));
    }
}
