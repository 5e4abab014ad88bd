//! What has been committed since the last snapshot was taken, by key, for readers to look at first.
//!
//! Invariant: a change is in here from the moment it is acknowledged until a snapshot that holds it
//! has been published, and for as long as it is in memory alone. All changes of a batch come in at
//! once, so that nobody sees one of them and, later, another one's key as it was before.

use std::collections::HashMap;

use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::keyed::{BuildKeyHasher, Changes, shard_number, shard_of};
use crate::key::SessionKey;
use crate::record::Record;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::time::clock::Timestamp;

const SHARDS: usize = 64;
/// Somewhat more than what a full log takes.
const ROOM: usize = 12 * 1024 * 1024;
/// So much that is in memory alone fits into one entry of most logs, and is written before its time.
const MUCH: usize = 1024 * 1024;
/// What a change takes besides its record's tail.
const ENTRY: usize = size_of::<(SessionKey, Changed)>() * 3 / 2;

#[derive(Debug)]
pub(in crate::engine::redb) struct Overlay {
    shards: [RwLock<Shard>; SHARDS],
    bytes: AtomicUsize,
    /// Of them what is in memory alone.
    volatile_bytes: AtomicUsize,
}

type Shard = HashMap<SessionKey, Changed, BuildKeyHasher>;

/// What a commit has left under a key.
#[derive(Clone, Debug)]
struct Changed {
    record: Option<Record>,
    /// Whether it is in memory alone: neither the log has it, nor a commit on the disk.
    volatile: bool,
}

impl Overlay {
    pub(in crate::engine::redb) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            bytes: AtomicUsize::new(0),
            volatile_bytes: AtomicUsize::new(0),
        }
    }

    pub(in crate::engine::redb) fn is_empty(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    /// Whether it takes enough memory for a snapshot to be due.
    pub(in crate::engine::redb) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) >= ROOM
    }

    /// Whether anything acknowledged is in memory alone.
    pub(in crate::engine::redb) fn is_volatile(&self) -> bool {
        self.volatile_bytes.load(Ordering::Acquire) > 0
    }

    /// Whether so much is that it ought to be written before its time.
    pub(in crate::engine::redb) fn is_much_volatile(&self) -> bool {
        self.volatile_bytes.load(Ordering::Acquire) >= MUCH
    }

    /// What a commit has left under this key; the outer `None` if the snapshot knows better.
    pub(in crate::engine::redb) fn get(&self, key: &SessionKey) -> Option<Option<Record>> {
        if self.is_empty() {
            return None;
        }
        shard_of(&self.shards, key).read().get(key).map(|changed| changed.record.clone())
    }

    /// Whether the session is there, as far as it was changed.
    pub(in crate::engine::redb) fn contains(&self, key: &SessionKey) -> Option<bool> {
        if self.is_empty() {
            return None;
        }
        shard_of(&self.shards, key).read().get(key).map(|changed| changed.record.is_some())
    }

    /// A batch is committed, in memory alone if it is `volatile`. One that has `cleared` the store
    /// leaves nothing but its changes.
    pub(in crate::engine::redb) fn add(&self, changes: &Changes, cleared: bool, volatile: bool) {
        let mut by_shard: [Vec<_>; SHARDS] = std::array::from_fn(|_| Vec::new());
        for (key, record) in changes {
            if let Some(shard) = by_shard.get_mut(shard_number::<SHARDS>(key)) {
                shard.push((key, record));
            }
        }
        let mut open = Vec::new();
        for (shard, changes) in self.shards.iter().zip(by_shard) {
            if cleared || !changes.is_empty() {
                open.push((shard.write(), changes));
            }
        }
        // Every lock is held until all of it is in.
        for (shard, changes) in &mut open {
            for changed in shard.values_mut().filter(|_| cleared) {
                self.leave(changed);
                *changed = Changed { record: None, volatile };
                self.come(changed);
            }
            for (key, record) in changes {
                let changed = Changed { record: (*record).clone(), volatile };
                self.come(&changed);
                if let Some(before) = shard.insert(**key, changed) {
                    self.leave(&before);
                }
            }
        }
    }

    /// What the log of a file says that was reopened; what is in memory alone is newer, and stays.
    pub(in crate::engine::redb) fn add_logged(&self, logged: &Changes) {
        let volatile = self.volatile();
        let older = logged.iter().filter(|(key, _)| !volatile.contains_key(key));
        let older = older.map(|(key, record)| (*key, record.clone())).collect();
        self.add(&older, false, false);
    }

    fn come(&self, changed: &Changed) {
        self.bytes.fetch_add(changed.weight(), Ordering::AcqRel);
        if changed.volatile {
            self.volatile_bytes.fetch_add(changed.weight(), Ordering::AcqRel);
        }
    }

    fn leave(&self, changed: &Changed) {
        self.bytes.fetch_sub(changed.weight(), Ordering::AcqRel);
        if changed.volatile {
            self.volatile_bytes.fetch_sub(changed.weight(), Ordering::AcqRel);
        }
    }

    /// What is in memory alone.
    pub(in crate::engine::redb) fn volatile(&self) -> Changes {
        let mut volatile = Changes::default();
        for shard in &self.shards {
            let shard = shard.read();
            let changes = shard.iter().filter(|(_, changed)| changed.volatile);
            volatile.extend(changes.map(|(key, changed)| (*key, changed.record.clone())));
        }
        volatile
    }

    /// What was in memory alone is on the disk as well.
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

    /// A snapshot with these changes is published. What has been changed again since then stays.
    pub(in crate::engine::redb) fn drop_published(&self, shown: &Changes) {
        for (key, record) in shown {
            let mut shard = shard_of(&self.shards, key).write();
            // One that is the same is what the snapshot says, whichever change left it.
            let is_shown = |changed: &Changed| !changed.volatile && changed.record == *record;
            if shard.get(key).is_some_and(is_shown)
                && let Some(changed) = shard.remove(key)
            {
                self.leave(&changed);
            }
        }
    }

    /// The index entries, which have passed, of sessions in here.
    pub(in crate::engine::redb) fn passed(&self, now: Timestamp) -> Vec<IndexEntry> {
        let mut passed = Vec::new();
        self.for_each(|key, record| {
            let deadline = record.map(Record::index_deadline).filter(|deadline| *deadline <= now);
            passed.extend(deadline.map(|deadline| (deadline.as_millis(), *key)));
        });
        passed
    }

    /// Looks at every change.
    pub(in crate::engine::redb) fn for_each(
        &self,
        mut visit: impl FnMut(&SessionKey, Option<&Record>),
    ) {
        for shard in &self.shards {
            for (key, changed) in shard.read().iter() {
                visit(key, changed.record.as_ref());
            }
        }
    }

    /// A snapshot with every change is published, and on the disk.
    pub(in crate::engine::redb) fn clear(&self) {
        self.retain(|_, _| false);
    }

    /// A snapshot with every change is published, in memory.
    pub(in crate::engine::redb) fn clear_durable(&self) {
        self.retain(|_, changed| changed.volatile);
    }

    /// A snapshot with every change is published but with these, and with what is in memory alone.
    pub(in crate::engine::redb) fn clear_durable_but(&self, changes: &Changes) {
        self.retain(|key, changed| changed.volatile || changes.contains_key(key));
    }

    fn retain(&self, kept: impl Fn(&SessionKey, &Changed) -> bool) {
        for shard in &self.shards {
            shard.write().retain(|key, changed| {
                let kept = kept(key, changed);
                if !kept {
                    self.leave(changed);
                }
                kept
            });
        }
    }
}

impl Changed {
    fn weight(&self) -> usize {
        ENTRY + self.record.as_ref().map_or(0, Record::tail_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Parts;
    use crate::time::timeouts::{OwnTimeouts, Timeouts};

    fn key(number: u8) -> SessionKey {
        SessionKey::from_bytes([number; 16])
    }

    fn record(revision: u64) -> Option<Record> {
        let parts = Parts {
            user: None,
            csrf_token: None,
            own_timeouts: OwnTimeouts::default(),
            revision,
            created_at: Timestamp::from_millis(0),
            last_active: Timestamp::from_millis(0),
            content_version: 0,
            content: &[0; 100],
        };
        Record::new(&parts, &Timeouts::default()).ok()
    }

    fn changes(of: impl IntoIterator<Item = (u8, Option<Record>)>) -> Changes {
        of.into_iter().map(|(number, record)| (key(number), record)).collect()
    }

    #[test]
    fn what_is_in_memory_alone_stays_until_it_is_on_the_disk() {
        let overlay = Overlay::new();
        overlay.add(&changes([(1, record(1)), (2, None)]), false, true);
        overlay.add(&changes([(3, record(1))]), false, false);
        assert_eq!(overlay.volatile(), changes([(1, record(1)), (2, None)]));
        overlay.drop_published(&changes([(1, record(1)), (3, record(1))]));
        overlay.clear_durable();
        assert_eq!(overlay.all(), changes([(1, record(1)), (2, None)]));
        overlay.harden();
        assert!(!overlay.is_volatile() && overlay.volatile().is_empty());
        overlay.drop_published(&changes([(1, record(1))]));
        assert_eq!(overlay.all(), changes([(2, None)]));
        overlay.clear();
        assert!(overlay.is_empty());
    }

    #[test]
    fn what_a_log_says_does_not_hide_what_is_in_memory_alone() {
        let overlay = Overlay::new();
        overlay.add(&changes([(1, None)]), false, true);
        let logged = changes([(1, record(1)), (2, record(1))]);
        overlay.add_logged(&logged);
        overlay.clear_durable_but(&logged);
        assert_eq!(overlay.all(), changes([(1, None), (2, record(1))]));
        assert_eq!(overlay.volatile(), changes([(1, None)]));
    }

    #[test]
    fn what_comes_again_is_counted_once_whichever_way() {
        let overlay = Overlay::new();
        for (number, volatile) in [true, false, true, true].into_iter().enumerate() {
            overlay.add(&changes([(1, record(number as u64))]), false, volatile);
            assert_eq!(overlay.is_volatile(), volatile);
        }
        overlay.add(&Changes::default(), true, false);
        assert_eq!(overlay.all(), changes([(1, None)]));
        assert!(!overlay.is_volatile() && !overlay.is_empty());
        overlay.clear();
        assert!(overlay.is_empty());
    }
}
