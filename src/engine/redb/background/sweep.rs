//! The sessions that a sweep examines next.
//!
//! Invariant: the sweep finds every session whose index entry has passed, in the snapshot or in the
//! overlay. A position in one snapshot's index is valid for that snapshot only.

use crate::engine::redb::background::step_size::StepSize;
use crate::engine::redb::database::schema::IndexEntry;
use crate::engine::redb::database::snapshot::Snapshot;
use crate::engine::redb::database::tables::is_stray;
use crate::engine::redb::view::View;
use crate::error::Result;
use crate::key::SessionKey;
use crate::sync::Mutex;
use crate::time::clock::Timestamp;

/// The sweep's position and the size of its steps.
pub(in crate::engine::redb) struct SweepPosition {
    pub(in crate::engine::redb) step_size: StepSize,
    /// The snapshot's number, and the last entry of its index that the sweep is done with.
    last: Mutex<Option<(u64, IndexEntry)>>,
}

/// The sessions of one step.
pub(in crate::engine::redb) struct Candidates {
    snapshot: u64,
    entries: Vec<IndexEntry>,
}

impl SweepPosition {
    pub(in crate::engine::redb) const fn new() -> Self {
        Self { step_size: StepSize::new(), last: Mutex::new(None) }
    }

    /// Up to `limit` sessions whose index entries have passed, earliest first.
    pub(in crate::engine::redb) fn passed(
        &self,
        view: &View,
        now: Timestamp,
        limit: usize,
    ) -> Result<Candidates> {
        // The overlay is read before the snapshot: a change that leaves the overlay meanwhile is in
        // the snapshot.
        let mut entries = view.overlay.passed(now);
        view.with_snapshot(|snapshot| {
            let after = self.position_in(snapshot);
            let mut unchanged = 0;
            for entry in snapshot.passed(after.as_ref(), now)? {
                let entry = entry?;
                if view.overlay.contains(&entry.1).is_none() {
                    entries.push(entry);
                    unchanged += 1;
                }
                if unchanged == limit {
                    break;
                }
            }
            entries.sort_unstable();
            entries.dedup();
            entries.truncate(limit);
            Ok(Candidates { snapshot: snapshot.commit(), entries })
        })
    }

    fn position_in(&self, snapshot: &Snapshot) -> Option<IndexEntry> {
        let (commit, entry) = (*self.last.lock())?;
        (commit == snapshot.commit()).then_some(entry)
    }

    /// Moves the position past these sessions, which have been examined, but not past one that was
    /// `spared`.
    pub(in crate::engine::redb) fn done(&self, passed: &Candidates, spared: &[SessionKey]) {
        let is_done = |(_, key): &&IndexEntry| !spared.contains(key);
        let last = passed.entries.iter().take_while(is_done).last();
        let reached = last.map(|entry| (passed.snapshot, *entry));
        let mut last = self.last.lock();
        *last = (*last).max(reached);
    }
}

impl Candidates {
    pub(in crate::engine::redb) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keeps the first `looked_at` sessions; the others are left to a later step.
    pub(in crate::engine::redb) fn retain(&mut self, looked_at: usize) {
        self.entries.truncate(looked_at);
    }

    pub(in crate::engine::redb) fn keys(&self) -> Vec<SessionKey> {
        self.entries.iter().map(|(_, key)| *key).collect()
    }

    /// The stray entries among those of the `unmoved` sessions: the session's own entry has not
    /// passed. The other `unmoved` sessions were written or removed meanwhile.
    pub(in crate::engine::redb) fn stray(
        &self,
        view: &View,
        unmoved: &[SessionKey],
    ) -> Result<Vec<IndexEntry>> {
        let mut stray = Vec::new();
        for (deadline, key) in self.entries.iter().filter(|(_, key)| unmoved.contains(key)) {
            let is_stray = view.with_snapshot(|snapshot| {
                Ok(snapshot.commit() == self.snapshot
                    && is_stray(snapshot.get(key)?.as_ref(), *deadline))
            })?;
            if is_stray {
                stray.push((*deadline, *key));
            }
        }
        Ok(stray)
    }
}
