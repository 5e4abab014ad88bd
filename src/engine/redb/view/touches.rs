//! Touches that are not on the disk yet: for each key, the latest moment of activity.
//!
//! Invariant: a touch leaves the buffer only after readers see a commit that holds it, or after its
//! record is gone. With `Deferred` that commit may be only in memory, and reaches the disk like any
//! other. A sweep and a touch of one session both take its shard's lock. A sweep that finds a touch
//! spares the session. A touch of a condemned session goes through the queue, and so does every
//! touch once the engine closes. Readers see a touch that waits in the queue of an open engine: no
//! caller may be told that a session is gone which then is extended. A flush writes no such touch
//! before its commit is decided, since the queue may refuse it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::engine::redb::keyed::{BuildKeyHasher, shard_of};
use crate::engine::redb::view::waiting::{Lateness, Tick, Waiting};
use crate::key::SessionKey;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::time::clock::Timestamp;

/// The most pending touches, about 13 MiB. A touch without room goes through the queue, and is here
/// while it waits: one for each waiting thread.
pub(in crate::engine::redb) const CAPACITY: usize = 262_144;
const SHARDS: usize = 64;
const CLOSED: u64 = u64::MAX;

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
    /// The touches that are undecided, as the queue may refuse what they announce.
    announced: HashMap<SessionKey, Announced, BuildKeyHasher>,
    /// The number of the last touch; [`CLOSED`] refuses every later one.
    turn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Touch {
    at: Timestamp,
    /// The number of the session's last touch, by which a thread recognises its own touch.
    turn: u64,
    waiting: Waiting,
}

/// A touch that readers see and no flush writes: the commit that it announces includes it.
#[derive(Clone, Copy, Debug)]
struct Announced {
    turn: u64,
    /// The pending touch without it.
    decided: Option<Timestamp>,
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

/// The change that a touch made in the buffer, so that it can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) struct Receipt {
    before: Option<Timestamp>,
    turn: u64,
}

/// The result of checking a session and keeping the touch decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Touched<T> {
    /// The check's answer. If the check decided on a touch, the touch is kept.
    Done(T, Option<Receipt>),
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

    /// Checks a session with its pending touch, and keeps the later of that touch and the one that
    /// the check decides on. This is one step: no removal or sweep comes in between.
    pub(in crate::engine::redb) fn touch_if<T>(
        &self,
        key: &SessionKey,
        look: impl FnOnce(Option<Timestamp>) -> (Option<Timestamp>, T),
    ) -> Touched<T> {
        self.touch::<false, false, T>(key, look)
    }

    /// As [`touch_if`](Self::touch_if), for a touch that announces a save.
    /// [`settle`](Self::settle) follows.
    pub(in crate::engine::redb) fn announce_save_if<T>(
        &self,
        key: &SessionKey,
        look: impl FnOnce(Option<Timestamp>) -> (Option<Timestamp>, T),
    ) -> Touched<T> {
        self.touch::<false, true, T>(key, look)
    }

    /// As [`announce_save_if`](Self::announce_save_if), for a touch that needs no room: a condemned
    /// session takes it, too. A closed buffer does not.
    pub(in crate::engine::redb) fn announce_if<T>(
        &self,
        key: &SessionKey,
        look: impl FnOnce(Option<Timestamp>) -> (Option<Timestamp>, T),
    ) -> Touched<T> {
        self.touch::<true, true, T>(key, look)
    }

    fn touch<const QUEUES: bool, const ANNOUNCES: bool, T>(
        &self,
        key: &SessionKey,
        look: impl FnOnce(Option<Timestamp>) -> (Option<Timestamp>, T),
    ) -> Touched<T> {
        let mut shard = self.shard(key).lock();
        let shard = &mut *shard;
        if !QUEUES && shard.condemned.contains(key) {
            return Touched::Condemned;
        }
        let Some(turn) = shard.turn.checked_add(1) else { return Touched::Condemned };
        shard.turn = turn;
        match shard.touches.entry(*key) {
            Entry::Occupied(mut pending) => {
                let pending = pending.get_mut();
                let before = pending.at;
                let (touch, answer) = look(Some(before));
                let Some(at) = touch else { return Touched::Done(answer, None) };
                if ANNOUNCES {
                    let decided = pending.decided(shard.announced.get(key));
                    shard.announced.insert(*key, Announced { turn, decided });
                }
                (pending.at, pending.turn) = (at.max(before), turn);
                pending.waiting.again(|| self.lateness.now());
                Touched::Done(answer, Some(Receipt { before: Some(before), turn }))
            }
            Entry::Vacant(place) => {
                let (touch, answer) = look(None);
                let Some(at) = touch else { return Touched::Done(answer, None) };
                if !QUEUES && self.len() >= CAPACITY {
                    return Touched::Full;
                }
                if ANNOUNCES {
                    shard.announced.insert(*key, Announced { turn, decided: None });
                }
                place.insert(Touch { at, turn, waiting: Waiting::since(self.lateness.now()) });
                self.len.fetch_add(1, Ordering::AcqRel);
                Touched::Done(answer, Some(Receipt { before: None, turn }))
            }
        }
    }

    /// Ends the announcement of a touch. If it was not committed, takes it back; other threads'
    /// touches, earlier or later, stay.
    pub(in crate::engine::redb) fn settle(
        &self,
        key: &SessionKey,
        receipt: Receipt,
        committed: bool,
    ) {
        let mut shard = self.shard(key).lock();
        if shard.announced.get(key).is_some_and(|it| it.turn == receipt.turn) {
            shard.announced.remove(key);
        }
        if committed {
            return;
        }
        let Some(touch) = shard.touches.get_mut(key).filter(|it| it.turn == receipt.turn) else {
            return;
        };
        match receipt.before {
            Some(before) => touch.at = before,
            None => self.remove(&mut shard, key),
        }
    }

    pub(in crate::engine::redb) fn pending(&self, key: &SessionKey) -> Option<Timestamp> {
        if self.len() == 0 {
            return None;
        }
        self.shard(key).lock().touches.get(key).map(|touch| touch.at)
    }

    /// Has `expired` decide, given the session's pending touch, whether the session ends. If it
    /// ends, its touches are refused until a [`Condemned`] that holds the key is dropped.
    pub(in crate::engine::redb) fn condemn_if(
        &self,
        key: &SessionKey,
        expired: impl FnOnce(Option<Timestamp>) -> bool,
    ) -> bool {
        let mut shard = self.shard(key).lock();
        let expired = expired(shard.touches.get(key).map(|touch| touch.at));
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
        self.shards.iter().for_each(|shard| shard.lock().turn = CLOSED);
    }

    /// Every pending touch that is decided, for commits that will include them. They are in key
    /// order, which is the order of their pages.
    pub(in crate::engine::redb) fn take_along(&self) -> Vec<(SessionKey, Timestamp)> {
        let mut touches = Vec::with_capacity(self.len());
        for shard in &self.shards {
            let shard = &mut *shard.lock();
            touches.extend(shard.touches.iter_mut().filter_map(|(key, touch)| {
                let at = touch.decided(shard.announced.get(key))?;
                touch.waiting.take_along();
                Some((*key, at))
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

impl Touch {
    /// The latest moment that a flush may write.
    fn decided(&self, announced: Option<&Announced>) -> Option<Timestamp> {
        match announced {
            Some(announced) if announced.turn == self.turn => announced.decided,
            _ => Some(self.at),
        }
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
