//! What has been committed since the last snapshot was taken, by key, for readers to look at first.
//!
//! Invariant: a change is in here from the moment it is acknowledged until a snapshot that holds it
//! has been published. All changes of a batch come in at once, so that nobody sees one of them and,
//! later, another one's key as it was before.

use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::keyed::{Changes, shard_number, shard_of};
use crate::key::SessionKey;
use crate::record::Record;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::time::clock::Timestamp;

const SHARDS: usize = 64;
/// Somewhat more than what a full log takes.
const ROOM: usize = 12 * 1024 * 1024;
/// What a change takes besides its record's tail.
const ENTRY: usize = size_of::<(SessionKey, Option<Record>)>() * 3 / 2;

#[derive(Debug)]
pub(in crate::engine::redb) struct Overlay {
    shards: [RwLock<Changes>; SHARDS],
    bytes: AtomicUsize,
}

impl Overlay {
    pub(in crate::engine::redb) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| RwLock::default()), bytes: AtomicUsize::new(0) }
    }

    pub(in crate::engine::redb) fn is_empty(&self) -> bool {
        self.bytes.load(Ordering::Acquire) == 0
    }

    /// Whether it takes enough memory for a snapshot to be due.
    pub(in crate::engine::redb) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) >= ROOM
    }

    /// What a commit has left under this key; the outer `None` if the snapshot knows better.
    pub(in crate::engine::redb) fn get(&self, key: &SessionKey) -> Option<Option<Record>> {
        if self.is_empty() {
            return None;
        }
        shard_of(&self.shards, key).read().get(key).cloned()
    }

    /// Whether the session is there, as far as it was changed.
    pub(in crate::engine::redb) fn contains(&self, key: &SessionKey) -> Option<bool> {
        if self.is_empty() {
            return None;
        }
        shard_of(&self.shards, key).read().get(key).map(Option::is_some)
    }

    /// A batch is committed. One that has `cleared` the store leaves nothing but its changes.
    pub(in crate::engine::redb) fn add(&self, changes: &Changes, cleared: bool) {
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
            for record in shard.values_mut().filter(|_| cleared) {
                self.bytes.fetch_sub(weight(record.take().as_ref()) - ENTRY, Ordering::AcqRel);
            }
            for (key, record) in changes {
                self.bytes.fetch_add(weight(record.as_ref()), Ordering::AcqRel);
                if let Some(before) = shard.insert(**key, (*record).clone()) {
                    self.bytes.fetch_sub(weight(before.as_ref()), Ordering::AcqRel);
                }
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
            if shard.get(key) == Some(record) {
                shard.remove(key);
                self.bytes.fetch_sub(weight(record.as_ref()), Ordering::AcqRel);
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
            for (key, record) in shard.read().iter() {
                visit(key, record.as_ref());
            }
        }
    }

    /// A snapshot with every change is published.
    pub(in crate::engine::redb) fn clear(&self) {
        self.retain(&Changes::default());
    }

    /// A snapshot with every change but these is published.
    pub(in crate::engine::redb) fn retain(&self, changes: &Changes) {
        for shard in &self.shards {
            shard.write().retain(|key, record| {
                let kept = changes.contains_key(key);
                if !kept {
                    self.bytes.fetch_sub(weight(record.as_ref()), Ordering::AcqRel);
                }
                kept
            });
        }
    }
}

fn weight(record: Option<&Record>) -> usize {
    ENTRY + record.map_or(0, Record::tail_len)
}
