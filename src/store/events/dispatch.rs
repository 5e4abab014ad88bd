//! Reports events to observers: after the commit, with no lock held, and in order for each session.
//!
//! Invariant: a session's end is reported after its beginning. Keys are drawn at random, so each
//! key begins once and ends once, unless an operator copies an ended session in again. From before
//! the commit of a beginning until its last observer has returned, another thread that ends the key
//! leaves its event to the thread that reports the beginning. If several threads try to begin one
//! key, any of them may get the event: those that fail hand it on. No thread waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::caught::caught;
use crate::engine::outcome::{Ended, EngineStats};
use crate::key::SessionKey;
#[cfg(feature = "metrics")]
use crate::store::events::measured::Measured;
use crate::store::events::{EndReason, Event, MaintenanceTask, Observer, Observers};

#[derive(Default)]
struct Watchers {
    #[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "the door needs it"))]
    next: u64,
    there: Arc<Vec<(u64, Arc<dyn Observer>)>>,
}

/// The observers of one store, and the events that wait for a beginning.
pub(crate) struct Events {
    observers: Observers,
    /// Observers that can be removed, each with a number.
    watchers: RwLock<Watchers>,
    watching: AtomicUsize,
    beginning: Mutex<Begun>,
    panics: AtomicU64,
    #[cfg(feature = "metrics")]
    measured: Measured,
}

/// Keys whose beginning is not told yet.
#[derive(Default)]
struct Begun {
    next: u64,
    /// One or a few for each thread, so a list is searched faster than a map.
    untold: Vec<Untold>,
}

struct Untold {
    /// Two callers may try to begin one key.
    number: u64,
    key: SessionKey,
    /// The event that ends the key, if it has ended.
    ended: Option<Telling>,
}

/// An event, with the number of the beginning that it tells, if it tells one.
struct Telling {
    event: Event,
    begins: Option<u64>,
}

/// A key that is about to begin. Its beginning is then told; a drop means that it never began.
#[must_use]
pub(crate) struct Beginning<'a> {
    events: Option<&'a Events>,
    number: u64,
}

impl Events {
    /// The events of a store with this content name.
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
    pub(crate) fn new(observers: Observers, store: Option<&str>) -> Self {
        Self {
            observers,
            watchers: RwLock::default(),
            watching: AtomicUsize::new(0),
            beginning: Mutex::default(),
            panics: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            measured: Measured::of(store),
        }
    }

    /// Adds an observer, and returns the number that removes it.
    #[cfg(feature = "admin")]
    pub(crate) fn add_watcher(&self, watcher: Arc<dyn Observer>) -> u64 {
        let mut watchers = self.watchers.write();
        let number = watchers.next;
        watchers.next += 1;
        Arc::make_mut(&mut watchers.there).push((number, watcher));
        self.watching.store(watchers.there.len(), Ordering::Relaxed);
        number
    }

    #[cfg(feature = "admin")]
    pub(crate) fn remove_watcher(&self, number: u64) {
        let mut watchers = self.watchers.write();
        Arc::make_mut(&mut watchers.there).retain(|(there, _)| *there != number);
        self.watching.store(watchers.there.len(), Ordering::Relaxed);
    }

    /// Whether there is any observer.
    pub(crate) fn is_heard(&self) -> bool {
        !self.observers.is_empty() || self.watching.load(Ordering::Relaxed) > 0
    }

    /// Describes the metrics to the program's recorder, once for each store.
    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self))]
    pub(crate) fn describe(&self) {
        #[cfg(feature = "metrics")]
        self.caught(crate::store::events::measured::describe);
    }

    /// Reports the engine's current gauges.
    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self, unused_variables))]
    pub(crate) fn gauges(&self, stats: &EngineStats) {
        #[cfg(feature = "metrics")]
        self.caught(|| self.measured.gauges(stats));
    }

    /// Reports the duration of a background task.
    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self, unused_variables))]
    pub(crate) fn took(&self, task: MaintenanceTask, time: Duration) {
        #[cfg(feature = "metrics")]
        self.caught(|| self.measured.took(task, time));
    }

    /// Calls the program's own code, such as a recorder, and counts its panic.
    fn caught(&self, tell: impl FnOnce()) {
        if caught(tell).is_none() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Called before the commit that creates a session under this key.
    pub(crate) fn begin(&self, key: SessionKey) -> Beginning<'_> {
        let mut beginning = self.beginning.lock();
        let number = beginning.next;
        beginning.next += 1;
        beginning.untold.push(Untold { number, key, ended: None });
        Beginning { events: Some(self), number }
    }

    /// Called after the commit that ended a session for a reason, or removed an expired one.
    pub(crate) fn end(&self, ended: &Ended, reason: EndReason) {
        let user = ended.user.as_ref().and_then(|user| user.to_id());
        let reason = if ended.expired { EndReason::Expired } else { reason };
        let event = Event::Ended { key: ended.key, user, reason };
        self.end_as(ended.key, Telling { event, begins: None });
    }

    /// Ends a key by an event, which may also begin another key.
    fn end_as(&self, key: SessionKey, end: Telling) {
        let mut beginning = self.beginning.lock();
        let mut untold = beginning.untold.iter_mut();
        if let Some(untold) = untold.find(|untold| untold.key == key && untold.ended.is_none()) {
            untold.ended = Some(end);
            return;
        }
        drop(beginning);
        self.tell_with_what_follows(end);
    }

    /// Tells an event, and then the end of the session that it began, if that end has come
    /// meanwhile.
    fn tell_with_what_follows(&self, telling: Telling) {
        let mut next = Some(telling);
        while let Some(Telling { event, begins }) = next {
            self.tell(&event);
            let untold = begins.and_then(|number| self.take(number));
            next = untold.and_then(|untold| untold.ended);
        }
    }

    /// Takes a key from those whose beginning is not told.
    fn take(&self, number: u64) -> Option<Untold> {
        let mut beginning = self.beginning.lock();
        let place = beginning.untold.iter().position(|untold| untold.number == number)?;
        Some(beginning.untold.swap_remove(place))
    }

    /// Tells an event that has no order to others.
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
            events.tell_with_what_follows(Telling { event, begins: Some(self.number) });
        }
    }

    /// The session is stored, in place of the one under its old key.
    pub(crate) fn regenerated(mut self, old: SessionKey, event: Event) {
        if let Some(events) = self.events.take() {
            events.end_as(old, Telling { event, begins: Some(self.number) });
        }
    }
}

impl Drop for Beginning<'_> {
    /// The creation failed or its outcome is unknown. If another thread has reported an end for the
    /// key, that event is passed on.
    fn drop(&mut self) {
        let Some(events) = self.events else { return };
        if let Some(Untold { key, ended: Some(end), .. }) = events.take(self.number) {
            events.end_as(key, end);
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
    use std::panic::resume_unwind;

    use super::*;
    use crate::caught::tests::PanicsAgain;

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
        (told, Events::new(vec![Arc::new(observer)], None))
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
        // Other threads renew the session and end it before its beginning is told.
        let second = events.begin(key(2));
        second.regenerated(key(1), regenerated(key(1), key(2)));
        events.end(&Ended::damaged(&key(2)), EndReason::Destroyed);
        assert!(told.lock().is_empty());
        first.created(created(key(1)));
        assert_eq!(*told.lock(), ["created", "regenerated", "ended"]);
        assert!(events.beginning.lock().untold.is_empty(), "nothing is kept");
    }

    #[test]
    fn an_end_is_told_after_the_beginning_if_two_callers_begin_one_key() {
        for refused_is_first in [true, false] {
            let (told, events) = telling();
            let two = (events.begin(key(1)), events.begin(key(1)));
            let (refused, done) = if refused_is_first { two } else { (two.1, two.0) };
            events.end(&Ended::damaged(&key(1)), EndReason::Destroyed);
            drop(refused);
            assert!(told.lock().is_empty(), "it is not told to have begun yet");
            done.created(created(key(1)));
            assert_eq!(*told.lock(), ["created", "ended"]);
            assert!(events.beginning.lock().untold.is_empty());
        }
    }

    #[test]
    fn an_end_is_told_once_if_two_callers_begin_one_key_and_the_refused_one_is_slow() {
        let (told, events) = telling();
        let (refused, done) = (events.begin(key(1)), events.begin(key(1)));
        events.end(&Ended::damaged(&key(1)), EndReason::Destroyed);
        done.created(created(key(1)));
        drop(refused);
        assert_eq!(*told.lock(), ["created", "ended"]);
        assert!(events.beginning.lock().untold.is_empty());
    }

    #[test]
    fn what_is_not_known_to_have_begun_is_told_to_have_ended_if_it_has() {
        let (told, events) = telling();
        drop(events.begin(key(1)));
        assert!(told.lock().is_empty());
        let unknown = events.begin(key(1));
        events.end(&Ended::damaged(&key(1)), EndReason::Destroyed);
        drop(unknown);
        assert_eq!(*told.lock(), ["ended"]);
        assert!(events.beginning.lock().untold.is_empty());
    }

    #[test]
    fn a_panic_is_counted_and_the_next_observer_is_told() {
        let (told, quiet) = telling();
        let mut observers: Observers = vec![
            Arc::new(|_: &Event| resume_unwind(Box::new(()))),
            Arc::new(|_: &Event| resume_unwind(Box::new(PanicsAgain))),
        ];
        observers.extend(quiet.observers);
        let events = Events::new(observers, None);
        events.tell(&Event::Cleared);
        assert_eq!((events.panics(), told.lock().len()), (2, 1));
    }
}
