//! The changes committed since the last snapshot was taken, by key. Readers ask the overlay before
//! the snapshot.
//!
//! Invariant: a change stays in the overlay from its acknowledgement until a snapshot that holds it
//! is published, and while it is only in memory. All changes of a group enter at once. So no reader
//! sees one of them and, later, another key as it was before.
//!
//! Without the index by user, a login under a limit would scan all changes.

use std::collections::HashMap;

use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::keyed::{BuildKeyHasher, Changes, Keys, shard_number, shard_of};
use crate::key::SessionKey;
use crate::record::Record;
use crate::session::user::UserKey;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::time::clock::Timestamp;

/// As many as a `u64` has bits.
const SHARDS: usize = u64::BITS as usize;
/// The most bytes of changes that are only in memory. A full log takes somewhat less.
const ROOM: usize = 12 * 1024 * 1024;
/// If this many bytes of changes are only in memory, they are written early. They fit into one
/// entry of most logs.
const MUCH: usize = 1024 * 1024;
/// The bytes of a change besides its record's tail.
const ENTRY: usize = (size_of::<(SessionKey, Changed)>() + size_of::<SessionKey>()) * 3 / 2;

#[derive(Debug)]
pub(in crate::engine::redb) struct Overlay {
    shards: [RwLock<Shard>; SHARDS],
    /// Lock order: after a shard's lock, or without one.
    by_user: RwLock<HashMap<UserKey, Keys>>,
    /// The number of changes that were examined.
    #[cfg(test)]
    pub(in crate::engine::redb) looks: std::sync::atomic::AtomicU64,
    bytes: AtomicUsize,
    /// The bytes of changes that are only in memory.
    volatile_bytes: AtomicUsize,
}

type Shard = HashMap<SessionKey, Changed, BuildKeyHasher>;

/// The state that a commit left under a key.
#[derive(Clone, Debug)]
struct Changed {
    record: Option<Record>,
    /// Whether neither the log nor a durable commit has the change.
    volatile: bool,
}

impl Overlay {
    pub(in crate::engine::redb) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            by_user: RwLock::default(),
            #[cfg(test)]
            looks: std::sync::atomic::AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            volatile_bytes: AtomicUsize::new(0),
        }
    }

    pub(in crate::engine::redb) fn is_empty(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    /// Whether changes of this [`weight`] fit into memory beside the present ones. If they do not,
    /// a snapshot is due first.
    pub(in crate::engine::redb) fn has_room_for(&self, added: usize) -> bool {
        self.bytes.load(Ordering::Acquire).saturating_add(added) <= ROOM
    }

    /// Whether any acknowledged change is only in memory.
    pub(in crate::engine::redb) fn is_volatile(&self) -> bool {
        self.volatile_bytes.load(Ordering::Acquire) > 0
    }

    /// Whether so many changes are only in memory that they should be written early.
    pub(in crate::engine::redb) fn is_much_volatile(&self) -> bool {
        self.volatile_bytes.load(Ordering::Acquire) >= MUCH
    }

    /// The state that a commit left under this key; the outer `None` if the snapshot has the same
    /// state.
    pub(in crate::engine::redb) fn get(&self, key: &SessionKey) -> Option<Option<Record>> {
        if self.is_empty() {
            return None;
        }
        self.count_looks(1);
        shard_of(&self.shards, key).read().get(key).map(|changed| changed.record.clone())
    }

    /// Whether a changed session exists; `None` if it was not changed.
    pub(in crate::engine::redb) fn contains(&self, key: &SessionKey) -> Option<bool> {
        if self.is_empty() {
            return None;
        }
        self.count_looks(1);
        shard_of(&self.shards, key).read().get(key).map(|changed| changed.record.is_some())
    }

    /// The keys of the user's sessions in the overlay.
    pub(in crate::engine::redb) fn keys_of(&self, user: &UserKey) -> Vec<SessionKey> {
        if self.is_empty() {
            return Vec::new();
        }
        let by_user = self.by_user.read();
        let keys: Vec<_> = by_user.get(user).into_iter().flatten().copied().collect();
        self.count_looks(keys.len());
        keys
    }

    /// Counts, for tests, the changes that a call examines.
    fn count_looks(&self, number: usize) {
        #[cfg(test)]
        self.looks.fetch_add(number as u64, std::sync::atomic::Ordering::Relaxed);
        let _ = number;
    }

    /// Adds the changes of a committed group, which are only in memory if `volatile`. If the group
    /// has `cleared` the store, only these changes remain.
    pub(in crate::engine::redb) fn add(&self, changes: &Changes, cleared: bool, volatile: bool) {
        // A bit for each shard: most groups change one session.
        let mut wanted = if cleared { u64::MAX } else { 0 };
        for key in changes.keys() {
            wanted |= 1 << shard_number::<SHARDS>(key);
        }
        // All locks are held until every change is in.
        let is_wanted = |number: usize| wanted & (1 << number) != 0;
        let shards = self.shards.iter().enumerate().filter(|(number, _)| is_wanted(*number));
        let mut open: Vec<_> = shards.map(|(_, shard)| shard.write()).collect();
        for shard in open.iter_mut().filter(|_| cleared) {
            for (key, changed) in shard.iter_mut() {
                let nothing = Changed { record: None, volatile };
                self.account(key, Some(changed), Some(&nothing));
                *changed = nothing;
            }
        }
        for (key, record) in changes {
            let before = wanted & ((1 << shard_number::<SHARDS>(key)) - 1);
            if let Some(shard) = open.get_mut(before.count_ones() as usize) {
                let changed = Changed { record: record.clone(), volatile };
                self.account(key, shard.get(key), Some(&changed));
                shard.insert(*key, changed);
            }
        }
    }

    /// Adds the changes in the log of a reopened file. Changes that are only in memory are newer,
    /// and stay.
    pub(in crate::engine::redb) fn add_logged(&self, logged: &Changes) {
        let volatile = self.volatile();
        let older = logged.iter().filter(|(key, _)| !volatile.contains_key(key));
        let older = older.map(|(key, record)| (*key, record.clone())).collect();
        self.add(&older, false, false);
    }

    /// Updates the byte counts and the index by user for a change, whose shard is locked. The new
    /// change is counted before the old one is subtracted, so a non-empty overlay never seems
    /// empty.
    fn account(&self, key: &SessionKey, before: Option<&Changed>, after: Option<&Changed>) {
        if let Some(changed) = after {
            self.bytes.fetch_add(changed.weight(), Ordering::AcqRel);
            self.volatile_bytes.fetch_add(changed.volatile_weight(), Ordering::AcqRel);
        }
        if let Some(changed) = before {
            self.bytes.fetch_sub(changed.weight(), Ordering::AcqRel);
            self.volatile_bytes.fetch_sub(changed.volatile_weight(), Ordering::AcqRel);
        }
        let user = |changed: Option<&Changed>| changed?.record.as_ref()?.user();
        let (before, after) = (user(before), user(after));
        if before == after {
            return;
        }
        let mut by_user = self.by_user.write();
        if let Some(user) = before
            && let Some(keys) = by_user.get_mut(&user)
        {
            keys.remove(key);
            if keys.is_empty() {
                by_user.remove(&user);
            }
        }
        if let Some(user) = after {
            by_user.entry(user).or_default().insert(*key);
        }
    }

    /// The changes that are only in memory.
    pub(in crate::engine::redb) fn volatile(&self) -> Changes {
        let mut volatile = Changes::default();
        for shard in &self.shards {
            let shard = shard.read();
            self.count_looks(shard.len());
            let changes = shard.iter().filter(|(_, changed)| changed.volatile);
            volatile.extend(changes.map(|(key, changed)| (*key, changed.record.clone())));
        }
        volatile
    }

    /// Marks all changes as written to the disk.
    pub(in crate::engine::redb) fn harden(&self) {
        for shard in &self.shards {
            for changed in shard.write().values_mut().filter(|changed| changed.volatile) {
                changed.volatile = false;
                self.volatile_bytes.fetch_sub(changed.weight(), Ordering::AcqRel);
            }
        }
    }

    /// The changes of these keys.
    pub(in crate::engine::redb) fn of<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k SessionKey>,
    ) -> Changes {
        keys.into_iter().filter_map(|key| Some((*key, self.get(key)?))).collect()
    }

    /// Every change.
    pub(in crate::engine::redb) fn all(&self) -> Changes {
        let mut all = Changes::default();
        self.for_each(|key, record| {
            all.insert(*key, record.cloned());
        });
        all
    }

    /// A snapshot with these changes is published: drops the keys that have not changed since.
    pub(in crate::engine::redb) fn drop_published(&self, shown: &Changes) {
        for (key, record) in shown {
            let mut shard = shard_of(&self.shards, key).write();
            // The snapshot holds an equal change, whichever commit left it.
            let is_shown = |changed: &Changed| !changed.volatile && changed.record == *record;
            if shard.get(key).is_some_and(is_shown)
                && let Some(changed) = shard.remove(key)
            {
                self.account(key, Some(&changed), None);
            }
        }
    }

    /// The passed index entries of the sessions in the overlay.
    pub(in crate::engine::redb) fn passed(&self, now: Timestamp) -> Vec<IndexEntry> {
        let mut passed = Vec::new();
        self.for_each(|key, record| {
            let deadline = record.map(Record::index_deadline).filter(|deadline| *deadline <= now);
            passed.extend(deadline.map(|deadline| (deadline.as_millis(), *key)));
        });
        passed
    }

    /// Visits every change.
    pub(in crate::engine::redb) fn for_each(
        &self,
        mut visit: impl FnMut(&SessionKey, Option<&Record>),
    ) {
        for shard in &self.shards {
            let shard = shard.read();
            self.count_looks(shard.len());
            for (key, changed) in shard.iter() {
                visit(key, changed.record.as_ref());
            }
        }
    }

    /// Called when a snapshot with every change is published, and on the disk.
    pub(in crate::engine::redb) fn clear(&self) {
        self.retain(|_, _| false);
    }

    /// Called when a snapshot is published that has every change except these and those only in
    /// memory.
    pub(in crate::engine::redb) fn clear_durable_but(&self, changes: &Changes) {
        self.retain(|key, changed| changed.volatile || changes.contains_key(key));
    }

    fn retain(&self, kept: impl Fn(&SessionKey, &Changed) -> bool) {
        for shard in &self.shards {
            shard.write().retain(|key, changed| {
                let kept = kept(key, changed);
                if !kept {
                    self.account(key, Some(changed), None);
                }
                kept
            });
        }
    }
}

impl Changed {
    fn weight(&self) -> usize {
        weight(self.record.as_ref())
    }

    fn volatile_weight(&self) -> usize {
        if self.volatile { self.weight() } else { 0 }
    }
}

/// The bytes that a change takes in memory.
pub(in crate::engine::redb) fn weight(record: Option<&Record>) -> usize {
    ENTRY + record.map_or(0, Record::tail_len)
}

#[cfg(test)]
mod tests;
