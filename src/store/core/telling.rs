//! The events of the store's steps. Without an observer, each call costs one pointer check.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::outcome::{Ended, EngineStats};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserId;
use crate::store::core::StoreCore;
use crate::store::core::failing::Task;
use crate::store::events::dispatch::{Beginning, Events};
use crate::store::events::{EndReason, Event, MaintenanceTask};

/// The work of an engine that observers have been told of. It never decreases, because two threads
/// may bring their numbers here in another order than they asked for them.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    reopenings: u64,
    checkpoints: u64,
}

impl StoreCore {
    fn heard(&self) -> Option<&Events> {
        self.events.as_deref().filter(|events| events.is_heard())
    }

    /// Called before the commit that creates a session under this key.
    pub(crate) fn begin(&self, key: SessionKey) -> Option<Beginning<'_>> {
        self.heard().map(|events| events.begin(key))
    }

    pub(crate) fn tell_created(
        &self,
        beginning: Option<Beginning<'_>>,
        key: SessionKey,
        record: &Record,
    ) {
        if let Some(beginning) = beginning {
            beginning.created(Event::Created { key, user: record.user_id() });
        }
    }

    pub(crate) fn tell_regenerated(
        &self,
        beginning: Option<Beginning<'_>>,
        old: SessionKey,
        new: SessionKey,
        user: Option<&UserId>,
    ) {
        if let Some(beginning) = beginning {
            beginning.regenerated(old, Event::Regenerated { old, new, user: user.cloned() });
        }
    }

    /// Returns how many of the sessions were live. Those that were expired are told as such,
    /// whatever the reason.
    pub(crate) fn tell_ended(&self, ended: &[Ended], reason: EndReason) -> u64 {
        if let Some(events) = self.heard() {
            ended.iter().for_each(|ended| events.end(ended, reason));
        }
        Ended::count_live(ended)
    }

    #[inline]
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if let Some(events) = self.heard() {
            events.tell(&event());
        }
    }

    /// Returns the error for a save that came after another one, and tells the observers.
    pub(crate) fn conflict(&self, key: SessionKey) -> Error {
        self.tell(|| Event::Conflict { key });
        Error::Conflict { key }
    }

    /// Counts a damaged record.
    #[cold]
    pub(crate) fn note_damage(&self, key: SessionKey) {
        self.counters.damaged_records.fetch_add(1, Ordering::Relaxed);
        self.tell(|| Event::DamagedRecord { key });
    }

    /// Records that changes may have been in memory only for longer than promised.
    pub(crate) fn note_missed_promise(&self, promised: Duration, waited: Duration) {
        self.counters.missed_promises.fetch_add(1, Ordering::Relaxed);
        self.tell(|| Event::PromiseMissed { promised, waited });
    }

    /// How many touches, and flushes of deferred commits, the engine has written later than
    /// promised.
    pub(crate) fn late_writes(&self) -> Result<u64> {
        let stats = self.engine.stats()?;
        Ok(stats.late_touches.saturating_add(stats.late_flushes))
    }

    /// Called before a new watcher is added, which must not be told of earlier work of the engine.
    /// Tells the other observers of it now; without any, it only marks the work as told.
    #[cfg(feature = "admin")]
    pub(crate) fn note_engine_for_a_new_watcher(&self) {
        if self.heard().is_some() {
            self.note_engine();
        } else if let Ok(now) = self.engine.stats() {
            self.counters.engine_seen.lock().advance(&now);
        }
    }

    /// Tells the observers what the engine has done since the last call, by its statistics.
    pub(crate) fn note_engine(&self) {
        let Some(events) = self.heard() else { return };
        let Ok(now) = self.engine.stats() else { return };
        let (reopenings, checkpoints) = self.counters.engine_seen.lock().advance(&now);
        for _ in 0..reopenings {
            events.tell(&Event::Reopened);
        }
        for _ in 0..checkpoints {
            events.tell(&Event::Checkpoint);
        }
        events.gauges(&now);
    }

    /// Reports the duration of a background task.
    pub(crate) fn note_time(&self, task: Task, time: Duration) {
        if let Some(events) = self.heard() {
            events.took(task.into(), time);
        }
    }
}

impl Seen {
    /// Returns the reopenings and the checkpoints that nobody has been told of, and takes them as
    /// told.
    fn advance(&mut self, now: &EngineStats) -> (u64, u64) {
        let new = |seen: &mut u64, now: u64| {
            let new = now.saturating_sub(*seen);
            *seen = now.max(*seen);
            new
        };
        (new(&mut self.reopenings, now.reopenings), new(&mut self.checkpoints, now.checkpoints))
    }
}

impl From<Task> for MaintenanceTask {
    fn from(task: Task) -> Self {
        match task {
            Task::Flush => Self::Flush,
            Task::Sweep => Self::Sweep,
            Task::Work => Self::Engine,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use parking_lot::Mutex;

    use super::*;
    use crate::engine::contract::Engine;
    use crate::engine::memory::MemoryEngine;
    use crate::store::SessionStore;

    type Meanwhile = Box<dyn FnOnce() + Send>;

    /// An engine that reports checkpoints, and lets another thread by while one waits for them.
    struct Busy {
        inner: MemoryEngine,
        checkpoints: Arc<AtomicU64>,
        meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    }

    impl fmt::Debug for Busy {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.debug_struct("Busy").finish_non_exhaustive()
        }
    }

    impl Engine for Busy {
        fn stats(&self) -> Result<EngineStats> {
            let checkpoints = self.checkpoints.load(Ordering::SeqCst);
            let stats = EngineStats { checkpoints, ..self.inner.stats()? };
            let meanwhile = self.meanwhile.lock().take();
            if let Some(meanwhile) = meanwhile {
                meanwhile();
            }
            Ok(stats)
        }

        crate::forward_engine!(inner, but stats);
    }

    #[test]
    fn a_checkpoint_is_told_once_if_two_threads_ask_for_the_engines_numbers_at_once() {
        let (checkpoints, told) = (Arc::new(AtomicU64::new(5)), Arc::new(AtomicU64::new(0)));
        let meanwhile = Arc::new(Mutex::new(None));
        let engine = Busy {
            inner: MemoryEngine::new(),
            checkpoints: Arc::clone(&checkpoints),
            meanwhile: Arc::clone(&meanwhile),
        };
        let to = Arc::clone(&told);
        let observer = move |event: &Event| {
            to.fetch_add(u64::from(matches!(event, Event::Checkpoint)), Ordering::SeqCst);
        };
        let builder = SessionStore::<u32>::builder().engine(engine).manual_maintenance();
        let store = builder.observer(observer).build().unwrap();
        store.core().note_engine();
        assert_eq!(told.load(Ordering::SeqCst), 5);
        let other: SessionStore<u32> = store.clone();
        let next: Meanwhile = Box::new(move || {
            checkpoints.store(6, Ordering::SeqCst);
            other.core().note_engine();
        });
        *meanwhile.lock() = Some(next);
        store.core().note_engine();
        store.core().note_engine();
        assert_eq!(told.load(Ordering::SeqCst), 6);
    }
}
