//! The write-ahead log: a commit is durable after one write and one sync.
//!
//! For one durable commit, redb writes a dozen pages all over the file: the path in each table, the
//! tree of tables, the free pages, the header. The log appends only the changes, one entry a
//! commit, at the end of the same file. A checkpoint copies them to redb's tables in the
//! background. After a crash the entries are read back when the file is opened.
//!
//! Invariant: the entries' numbers have no gap, and the first one follows redb's last durable
//! commit. An entry is whole, or it is the last one and torn. So the entries apply to that commit
//! and no other, and applying them in order gives the acknowledged state.

pub(in crate::engine::redb) mod backlog;
pub(in crate::engine::redb) mod entry;
pub(in crate::engine::redb) mod head;
pub(in crate::engine::redb) mod location;
pub(in crate::engine::redb) mod place;
pub(in crate::engine::redb) mod readable;
pub(in crate::engine::redb) mod ring;
pub(in crate::engine::redb) mod shared_file;

use std::io;
use std::sync::Arc;

use crate::engine::redb::keyed::{Change, Changes};
use crate::engine::redb::log::backlog::Backlog;
pub(in crate::engine::redb) use crate::engine::redb::log::entry::Entry;
use crate::engine::redb::log::entry::whole_entries;
use crate::engine::redb::log::ring::Span;
pub(in crate::engine::redb) use crate::engine::redb::log::shared_file::SharedFile;
use crate::engine::redb::storage::StorageFile;
use crate::record::Record;

const PAGE: usize = 4_096;
/// The eighths of the room in use when a checkpoint should begin, when no thread seems to have
/// started the due checkpoint, and when the committing thread runs it.
const DUE: u32 = 4;
const OVERDUE: u32 = 5;
const URGENT: u32 = 6;

/// An entry in the middle of the log is damaged: later entries are whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the write-ahead log is damaged: entry {number} cannot be read, and later ones can")]
pub(in crate::engine::redb) struct DamagedLog {
    number: u64,
}

/// The log of an open file.
#[derive(Debug)]
pub(in crate::engine::redb) struct WriteAheadLog {
    disk: Arc<SharedFile>,
    /// The number of the last entry, or of redb's last durable commit if no entry came after it.
    last: u64,
    /// The number of redb's last durable commit.
    checkpointed: u64,
    /// The running checkpoint.
    checkpoint: Option<Checkpoint>,
    backlog: Backlog,
}

/// Whether a checkpoint should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Due {
    No,
    /// Half of the room is used; the other half is for commits during the checkpoint.
    Soon,
    /// Hardly any room is left.
    Now,
}

impl Due {
    pub(in crate::engine::redb) const fn of(number: u8) -> Self {
        match number {
            0 => Self::No,
            1 => Self::Soon,
            _ => Self::Now,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    number: u64,
    is_last: bool,
}

impl WriteAheadLog {
    /// Reads the log that the last process left, and returns it with the changes that the database
    /// lacks. It writes nothing, so it works on a full disk.
    ///
    /// `checkpointed` is the number of the database's last durable commit. `page_cache_bytes` is
    /// the size of the database's page cache.
    pub(in crate::engine::redb) fn recover(
        disk: Arc<SharedFile>,
        checkpointed: u64,
        page_cache_bytes: usize,
    ) -> io::Result<(Self, Changes)> {
        // Numbers continue from here. No store reaches so large a number.
        if checkpointed > u64::MAX / 2 {
            return Err(damaged(DamagedLog { number: checkpointed }));
        }
        let entries = match disk.read_log()? {
            Some((bytes, salt)) => entries_after(checkpointed, &bytes, &salt)?,
            None => Vec::new(),
        };
        disk.resume(entries.iter().map(|entry| entry.span));
        // A log that is added later continues from this number.
        let last = entries.last().map_or(checkpointed, |entry| entry.number);
        let changes = entries.iter().flat_map(|entry| &entry.changes);
        let logged = changes.map(|(_, record)| backlog::weight(record.is_some())).sum();
        let backlog = Backlog::new(page_cache_bytes, logged);
        let log = Self { disk, last, checkpointed, checkpoint: None, backlog };
        Ok((log, last_of(entries.into_iter().flat_map(|entry| entry.changes))?))
    }

    /// The length of redb's part of the file.
    pub(in crate::engine::redb) fn database_len(&self) -> io::Result<u64> {
        self.disk.database_len()
    }

    pub(in crate::engine::redb) fn file(&self) -> &dyn StorageFile {
        self.disk.inner()
    }

    /// The number of redb's last durable commit.
    pub(in crate::engine::redb) const fn checkpointed(&self) -> u64 {
        self.checkpointed
    }

    /// Whether the file holds the commit with this number, as an entry or in the tables.
    pub(in crate::engine::redb) const fn holds(&self, number: u64) -> bool {
        number <= self.last
    }

    /// Whether the log holds changes that redb's part of the file lacks.
    pub(in crate::engine::redb) const fn is_in_use(&self) -> bool {
        self.last != self.checkpointed
    }

    /// Whether there is room for an entry. If no checkpoint runs, the weight does not matter,
    /// because the next one includes this entry.
    pub(in crate::engine::redb) fn has_room_for(&self, entry: &Entry) -> bool {
        (self.checkpoint.is_none() || self.backlog.has_room_for(entry.weight()))
            && self.disk.has_room_for(entry.len())
    }

    /// Writes an entry and syncs it. If the log has just moved and has no room left, writes nothing
    /// and returns `false`. After an error the log's end is unknown, and the file must be reopened.
    pub(in crate::engine::redb) fn append(&mut self, entry: &mut Entry) -> io::Result<bool> {
        let follows_checkpoint = self.checkpoint.is_some_and(|checkpoint| checkpoint.is_last);
        let written =
            self.disk.append(entry.following_checkpoint(follows_checkpoint), self.last + 1)?;
        if written {
            self.last += 1;
            self.backlog.add(entry.weight());
            if let Some(checkpoint) = &mut self.checkpoint {
                checkpoint.is_last = false;
            }
        }
        Ok(written)
    }

    /// Whether a checkpoint should begin now, so that the log does not fill up.
    pub(in crate::engine::redb) fn checkpoint_due(&self) -> Due {
        if self.checkpoint.is_some() {
            return Due::No;
        }
        match (self.is_filled(DUE), self.is_filled(URGENT)) {
            (false, _) => Due::No,
            (true, false) => Due::Soon,
            (true, true) => Due::Now,
        }
    }

    /// Whether a checkpoint would be due if none were running.
    pub(in crate::engine::redb) fn is_half_full(&self) -> bool {
        self.is_filled(DUE)
    }

    /// Whether the room that is left should go to other commits than those of many touches.
    pub(in crate::engine::redb) fn is_nearly_full(&self) -> bool {
        self.is_filled(URGENT)
    }

    /// Whether the due checkpoint seems to have been started by no thread.
    pub(in crate::engine::redb) fn is_over_half_full(&self) -> bool {
        self.is_filled(OVERDUE)
    }

    /// Whether this many eighths of the room, in bytes or in weight, are in use.
    fn is_filled(&self, eighths: u32) -> bool {
        let (used, capacity) = self.disk.used();
        used * 8 >= capacity * u64::from(eighths) || self.backlog.is_filled(eighths as usize)
    }

    /// Begins a checkpoint and returns its number. It will hold every entry so far and nothing
    /// else. Other entries may be added meanwhile.
    pub(in crate::engine::redb) fn begin_checkpoint(&mut self) -> u64 {
        self.last += 1;
        self.checkpoint = Some(Checkpoint { number: self.last, is_last: true });
        self.backlog.clear();
        self.disk.begin_checkpoint();
        self.last
    }

    /// Ends the checkpoint, which is on the disk: the room of its entries is free.
    pub(in crate::engine::redb) fn end_checkpoint(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take() {
            self.checkpointed = checkpoint.number;
            self.disk.end_checkpoint();
        }
    }

    /// The number for a durable commit that holds everything. The commit takes the next number, so
    /// that no later entry follows the entries before it.
    pub(in crate::engine::redb) const fn next_number(&self) -> u64 {
        self.last + 1
    }

    /// Restarts the log after a durable commit with the next number, which holds everything.
    pub(in crate::engine::redb) fn restart(&mut self) {
        self.last += 1;
        self.checkpointed = self.last;
        self.backlog.clear();
        self.disk.restart();
    }

    /// Called before the database closes for good. Closing gives the log's room back if the log is
    /// not in use.
    pub(in crate::engine::redb) fn release_on_close(&self) {
        if !self.is_in_use() {
            self.disk.release_on_close();
        }
    }
}

/// The last change of each key. A record that cannot be read is an error.
pub(in crate::engine::redb) fn last_of(
    changes: impl IntoIterator<Item = Change>,
) -> io::Result<Changes> {
    let mut last = Changes::default();
    for (key, record) in changes {
        let record = record.map(|bytes| Record::decode(&key, &bytes)).transpose();
        last.insert(key, record.map_err(damaged)?);
    }
    Ok(last)
}

/// An entry whose changes redb's part of the file lacks.
struct Needed {
    number: u64,
    span: Span,
    changes: Vec<Change>,
}

/// The entries after `checkpointed`, in order.
fn entries_after(checkpointed: u64, log: &[u8], salt: &[u8; 16]) -> io::Result<Vec<Needed>> {
    let mut entries = Vec::new();
    let mut last = checkpointed;
    // Numbers never restart while a log lives, so no stale entry has a higher number.
    let mut all = whole_entries(log, salt, Some(checkpointed));
    for (number, (start, found)) in all.split_off(&checkpointed.saturating_add(1)) {
        // An entry that was being written at a power failure is torn, and it is the last. If a
        // later entry is whole, the torn one was acknowledged and then damaged.
        let damage = || damaged(DamagedLog { number: last + 1 });
        if !found.follows(last) {
            return Err(damage());
        }
        let span = Span { start: start as u64, len: found.len as u64 };
        entries.push(Needed { number, span, changes: found.changes().ok_or_else(damage)? });
        last = number;
    }
    Ok(entries)
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SessionKey;

    const SALT: [u8; 16] = [9; 16];

    fn entry(number: u64) -> Vec<u8> {
        let change = (SessionKey::from_bytes([number as u8; 16]), Some(vec![1; 600]));
        Entry::of_bytes(&[change]).unwrap().numbered(number, &SALT).to_vec()
    }

    fn after(checkpointed: u64, log: &[u8]) -> Vec<(u64, u64)> {
        let entries = entries_after(checkpointed, log, &SALT).unwrap();
        entries.iter().map(|entry| (entry.number, entry.span.start)).collect()
    }

    #[test]
    fn entries_are_read_in_their_order_up_to_the_last_wherever_they_stand() {
        let len = entry(5).len() as u64;
        let log = [entry(7), entry(3), entry(5), entry(6), vec![0; 512]].concat();
        assert_eq!(after(4, &log), [(5, 2 * len), (6, 3 * len), (7, 0)]);
        assert_eq!(after(6, &log), [(7, 0)]);
        assert!(after(7, &log).is_empty(), "all of an earlier round");
    }

    #[test]
    fn a_torn_last_entry_was_never_acknowledged() {
        let mut log = [entry(5), entry(6)].concat();
        let len = log.len();
        log[len - 600..].fill(0);
        assert_eq!(after(4, &log), [(5, 0)]);
    }

    #[test]
    fn damage_with_later_entries_anywhere_is_an_error_and_not_the_end() {
        for order in [[5, 6, 7], [7, 5, 6]] {
            let place = order.iter().position(|number| *number == 5).unwrap();
            let mut log = order.map(entry).concat();
            log[place * entry(5).len() + 40] ^= 1;
            let error = entries_after(4, &log, &SALT).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn an_entry_far_ahead_of_the_tables_is_an_error() {
        for number in [6, 50, 5_000, u64::MAX] {
            let error = entries_after(4, &entry(number), &SALT).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn an_entry_after_a_checkpoint_does_without_it_and_with_it_and_no_other_entry_does() {
        let change = (SessionKey::from_bytes([7; 16]), None);
        let mut after_checkpoint = Entry::of_bytes(&[change]).unwrap();
        let after_checkpoint = after_checkpoint.following_checkpoint(true).numbered(7, &SALT);
        let log = [entry(5), after_checkpoint.to_vec(), entry(8)].concat();
        let numbers =
            |checkpointed| after(checkpointed, &log).iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!((numbers(4), numbers(6)), (vec![5, 7, 8], vec![7, 8]));
        let log = [entry(5), entry(7)].concat();
        assert!(entries_after(4, &log, &SALT).is_err(), "a commit of more than entries is missing");
        assert_eq!(after(6, &log).len(), 1);
    }
}
