//! Touches that are not on the disk yet: for each key, the latest moment of activity.
//!
//! Invariant: a touch leaves the buffer only after readers see a commit that holds it, or after its
//! record is gone. With `Deferred` that commit may be only in memory, and reaches the disk like any
//! other. A sweep and a touch of one session both take its shard's lock. A sweep that finds
//! activity spares the session. A touch of a condemned session goes through the queue, and so does
//! every touch once the engine closes.
//!
//! No caller may be told that a session is gone which then is extended or saved. So a call that
//! waits, in the queue of an open engine or for the file, announces its activity for as long, and a
//! save also the session's own timeouts. Readers see that; nothing writes it, since the call may
//! still be refused.

pub(in crate::engine::redb) mod activity;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::engine::redb::keyed::{BuildKeyHasher, shard_of};
use crate::engine::redb::view::extend::Extension;
use crate::engine::redb::view::touches::activity::{Activity, Announced};
use crate::engine::redb::view::waiting::{Lateness, Tick, Waiting};
use crate::key::SessionKey;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::time::clock::Timestamp;

/// The most pending touches, about 13 MiB. A touch without room goes through the queue, and is here
/// while it waits: one for each waiting thread.
pub(in crate::engine::redb) const CAPACITY: usize = 262_144;
const SHARDS: usize = 64;

#[derive(Debug)]
pub(in crate::engine::redb) struct TouchBuffer {
    shards: [Mutex<Shard>; SHARDS],
    len: AtomicUsize,
    pub(super) lateness: Lateness,
}

/// For each key, the latest moment of activity.
pub(in crate::engine::redb) type Touches = HashMap<SessionKey, Timestamp, BuildKeyHasher>;

#[derive(Debug, Default)]
struct Shard {
    touches: HashMap<SessionKey, Touch, BuildKeyHasher>,
    condemned: HashSet<SessionKey, BuildKeyHasher>,
    /// The activity of calls that wait: seldom any, and at most one for each waiting thread.
    announced: Vec<Announced>,
    /// How many announcements there were.
    announcements: u64,
    is_closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Touch {
    at: Timestamp,
    waiting: Waiting,
}

/// The state of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(in crate::engine::redb) struct Pending {
    pub(in crate::engine::redb) touches: usize,
    /// How long the oldest pending touch has waited.
    pub(in crate::engine::redb) oldest: Option<Duration>,
    /// How many touches were committed later than promised, and the longest delay beyond the
    /// promise, that of a pending touch included.
    pub(in crate::engine::redb) late: (u64, Duration),
    /// How many flushes wrote deferred commits later than promised, and the longest delay of such a
    /// commit beyond the promise.
    pub(in crate::engine::redb) late_flushes: (u64, Duration),
}

/// Activity that readers see until this is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub(in crate::engine::redb) struct Announcement<'b> {
    buffer: &'b TouchBuffer,
    key: SessionKey,
    number: u64,
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        self.buffer.shard(&self.key).lock().announced.retain(|it| it.number != self.number);
        self.buffer.len.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The result of checking a session and keeping the touch decided on.
#[derive(Debug)]
pub(in crate::engine::redb) enum Touched<'b, T> {
    /// The check's answer. If the check decided on a touch, the touch is kept, or announced.
    Done(T, Option<Announcement<'b>>),
    /// The buffer has no room for the touch, which is not kept.
    Full,
    /// A sweep or a removal is about to end the session, or the engine closes.
    Condemned,
}

impl TouchBuffer {
    pub(in crate::engine::redb) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            len: AtomicUsize::new(0),
            lateness: Lateness::new(),
        }
    }

    pub(in crate::engine::redb) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Sets the time within which the store has promised to write a touch to the disk.
    pub(in crate::engine::redb) fn promise(&self, interval: Duration) {
        self.lateness.promise(interval);
    }

    /// The state of the buffer. This visits every pending touch.
    pub(in crate::engine::redb) fn told(&self) -> Pending {
        let oldest = (self.len() > 0).then(|| self.oldest(self.lateness.now())).flatten();
        let (late, late_flushes) = (self.lateness.told(oldest), self.lateness.deferred_told());
        let oldest = oldest.map(|millis| Duration::from_millis(millis.into()));
        Pending { touches: self.len(), oldest, late, late_flushes }
    }

    /// How late the oldest pending touch or deferred commit is by now. This visits every pending
    /// touch.
    pub(in crate::engine::redb) fn late_by(&self) -> Duration {
        let oldest = (self.len() > 0).then(|| self.oldest(self.lateness.now())).flatten();
        self.lateness.late_by(oldest)
    }

    /// How long the oldest pending touch can wait without being almost late.
    pub(in crate::engine::redb) fn left(&self) -> Duration {
        self.lateness.left(self.oldest(self.lateness.now()))
    }

    fn oldest(&self, now: Tick) -> Option<u32> {
        let of_shard = |shard: &Mutex<Shard>| {
            shard.lock().touches.values().map(|touch| touch.waiting.millis(now)).max()
        };
        self.shards.iter().filter_map(of_shard).max()
    }

    /// Checks a session with its activity, and keeps the later of its pending touch and the one
    /// that the check decides on. This is one step: no removal or sweep comes in between.
    #[inline]
    pub(in crate::engine::redb) fn touch_if<T>(
        &self,
        key: &SessionKey,
        look: impl FnOnce(&Activity) -> (Option<Timestamp>, T),
    ) -> Touched<'_, T> {
        let mut shard = self.shard(key).lock();
        if shard.is_closed || shard.condemned.contains(key) {
            return Touched::Condemned;
        }
        let Shard { touches, announced, .. } = &mut *shard;
        let pending = touches.get_mut(key);
        let latest = pending.as_ref().map(|touch| touch.at);
        let (touch, answer) = look(&Activity::of(key, latest, announced));
        let Some(at) = touch else { return Touched::Done(answer, None) };
        match pending {
            Some(pending) => {
                pending.at = pending.at.max(at);
                pending.waiting.again(|| self.lateness.now());
            }
            None if self.len() >= CAPACITY => return Touched::Full,
            None => {
                let waiting = Waiting::since(self.lateness.now());
                touches.insert(*key, Touch { at, waiting });
                self.len.fetch_add(1, Ordering::AcqRel);
            }
        }
        Touched::Done(answer, None)
    }

    /// As [`touch_if`](Self::touch_if), but announces the extension, and keeps no touch. It needs
    /// no room, and a condemned session takes it, too. A closed buffer does not.
    pub(in crate::engine::redb) fn announce_if<T>(
        &self,
        key: &SessionKey,
        extension: Extension,
        look: impl FnOnce(&Activity) -> (Option<Timestamp>, T),
    ) -> Touched<'_, T> {
        let mut shard = self.shard(key).lock();
        if shard.is_closed {
            return Touched::Condemned;
        }
        let (touch, answer) = look(&shard.activity(key));
        Touched::Done(answer, touch.map(|_| self.announce(&mut shard, key, extension, true)))
    }

    /// Announces the activity of a session whose record has to be read from the file.
    pub(in crate::engine::redb) fn presume(
        &self,
        key: &SessionKey,
        extension: Extension,
    ) -> Announcement<'_> {
        self.announce(&mut self.shard(key).lock(), key, extension, false)
    }

    fn announce(
        &self,
        shard: &mut Shard,
        key: &SessionKey,
        extension: Extension,
        is_live: bool,
    ) -> Announcement<'_> {
        shard.announcements += 1;
        let number = shard.announcements;
        shard.announced.push(Announced { key: *key, extension, number, is_live });
        self.len.fetch_add(1, Ordering::AcqRel);
        Announcement { buffer: self, key: *key, number }
    }

    /// What readers must see of a session's activity.
    pub(in crate::engine::redb) fn activity(&self, key: &SessionKey) -> Activity {
        match self.len() {
            0 => Activity::default(),
            _ => self.shard(key).lock().activity(key),
        }
    }

    /// Has `expired` decide, given the session's activity, whether the session ends. If it ends,
    /// its touches are refused until a [`Condemned`] that holds the key is dropped.
    pub(in crate::engine::redb) fn condemn_if(
        &self,
        key: &SessionKey,
        expired: impl FnOnce(&Activity) -> bool,
    ) -> bool {
        let mut shard = self.shard(key).lock();
        let expired = expired(&shard.activity(key));
        if expired {
            shard.condemned.insert(*key);
        }
        expired
    }

    fn release(&self, keys: &[SessionKey]) {
        for key in keys {
            self.shard(key).lock().condemned.remove(key);
        }
    }

    /// Refuses every later touch. The pending ones stay, and the caller writes them.
    pub(in crate::engine::redb) fn close(&self) {
        self.shards.iter().for_each(|shard| shard.lock().is_closed = true);
    }

    /// Every pending touch, for commits that will include them. They are in key order, which is the
    /// order of their pages.
    pub(in crate::engine::redb) fn take_along(&self) -> Vec<(SessionKey, Timestamp)> {
        let mut touches = Vec::with_capacity(self.len());
        for shard in &self.shards {
            touches.extend(shard.lock().touches.iter_mut().map(|(key, touch)| {
                touch.waiting.take_along();
                (*key, touch.at)
            }));
        }
        touches.sort_unstable();
        touches
    }

    /// Drops these touches, which a published commit holds; later touches stay. If the commit is
    /// `deferred`, their waits go on until [`Lateness::flushed`].
    pub(in crate::engine::redb) fn drop_written(&self, touches: &Touches, deferred: bool) {
        if touches.is_empty() {
            return;
        }
        let now = self.lateness.now();
        let mut waiting = Vec::new();
        for (key, written) in touches {
            let mut shard = self.shard(key).lock();
            let Some(pending) = shard.touches.get_mut(key) else { continue };
            match deferred {
                true => waiting.push(pending.waiting.started()),
                false => self.lateness.note(pending.waiting.millis(now)),
            }
            if pending.at <= *written {
                self.remove(&mut shard, key);
            } else {
                pending.waiting.written(now);
            }
        }
        if deferred {
            self.lateness.defer_touches(&waiting);
        }
    }

    /// Drops the touch of a record that is gone.
    pub(in crate::engine::redb) fn forget(&self, key: &SessionKey) {
        self.remove(&mut self.shard(key).lock(), key);
    }

    /// Forgets the touches of every record that is `absent`.
    pub(in crate::engine::redb) fn forget_absent(&self, absent: impl Fn(&SessionKey) -> bool) {
        for shard in &self.shards {
            let keys: Vec<_> = shard.lock().touches.keys().copied().collect();
            keys.iter().filter(|key| absent(key)).for_each(|key| self.forget(key));
        }
    }

    fn remove(&self, shard: &mut Shard, key: &SessionKey) {
        if shard.touches.remove(key).is_some() {
            self.len.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn shard(&self, key: &SessionKey) -> &Mutex<Shard> {
        shard_of(&self.shards, key)
    }
}

impl Shard {
    fn activity(&self, key: &SessionKey) -> Activity {
        Activity::of(key, self.touches.get(key).map(|touch| touch.at), &self.announced)
    }
}

/// The sessions that a group has condemned. They are released when the group is over, committed or
/// not.
#[derive(Debug)]
pub(in crate::engine::redb) struct Condemned<'b> {
    buffer: &'b TouchBuffer,
    keys: Vec<SessionKey>,
}

impl<'b> Condemned<'b> {
    pub(in crate::engine::redb) const fn new(buffer: &'b TouchBuffer) -> Self {
        Self { buffer, keys: Vec::new() }
    }

    pub(in crate::engine::redb) fn push(&mut self, key: SessionKey) {
        self.keys.push(key);
    }
}

impl Drop for Condemned<'_> {
    fn drop(&mut self) {
        self.buffer.release(&self.keys);
    }
}

#[cfg(test)]
mod tests;
