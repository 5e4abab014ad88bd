//! The write-ahead log: a commit is on the disk once its changes are, in one write and one sync.
//!
//! redb writes a dozen pages all over the file for every durable commit. The log takes the changes
//! themselves, one entry a commit, one behind the other, at the end of the same file; redb keeps
//! the commit in memory, and writes it with many others once the log is full. What a crash finds in
//! the log is applied again when the file is opened.
//!
//! Invariant: the entries' numbers follow one another without a gap, the first one follows the
//! number of redb's last durable commit, and an entry is whole or it is the last. So applying the
//! entries in their order to that commit gives what was acknowledged, and they fit no other.

pub(in crate::engine::redb) mod backlog;
pub(in crate::engine::redb) mod entry;
pub(in crate::engine::redb) mod head;
pub(in crate::engine::redb) mod location;
pub(in crate::engine::redb) mod ring;
pub(in crate::engine::redb) mod shared_file;

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::engine::redb::keyed::{Change, Changes};
use crate::engine::redb::log::backlog::Backlog;
use crate::engine::redb::log::entry::{Entry, ReadEntry};
use crate::engine::redb::log::location::Location;
use crate::engine::redb::log::ring::Span;
pub(in crate::engine::redb) use crate::engine::redb::log::shared_file::SharedFile;
use crate::engine::redb::storage::StorageFile;
use crate::record::Record;

const PAGE: usize = 4_096;

/// An entry in the middle of the log cannot be read, though later ones can.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the write-ahead log is damaged: entry {number} cannot be read, and later ones can")]
pub(in crate::engine::redb) struct DamagedLog {
    number: u64,
}

/// The log of an open file.
#[derive(Debug)]
pub(in crate::engine::redb) struct WriteAheadLog {
    disk: Arc<SharedFile>,
    /// The number of the last entry, or of redb's last commit if there is none since.
    last: u64,
    /// The number of redb's last commit on the disk.
    checkpointed: u64,
    /// The number of the checkpoint under way, and whether no entry has come since it began.
    checkpoint: Option<Checkpoint>,
    backlog: Backlog,
}

/// Whether a checkpoint ought to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::redb) enum Due {
    No,
    /// While it is under way there must be room for others.
    Soon,
    /// There is hardly any left.
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
    /// The log as the last process left it, and what it says that the database does not hold. It
    /// is read and nothing more: a full disk does not stand in the way.
    ///
    /// `checkpointed` is the number of the database's last commit, and `page_cache_bytes` is what
    /// the database has for pages.
    pub(in crate::engine::redb) fn recover(
        disk: Arc<SharedFile>,
        checkpointed: u64,
        page_cache_bytes: usize,
    ) -> io::Result<(Self, Changes)> {
        // Numbers go on from here; no store comes so far.
        if checkpointed > u64::MAX / 2 {
            return Err(damaged(DamagedLog { number: checkpointed }));
        }
        let entries = match disk.read_log()? {
            Some((bytes, salt)) => entries_after(checkpointed, &bytes, &salt)?,
            None => Vec::new(),
        };
        disk.resume(entries.iter().map(|entry| entry.span));
        // A log that comes to be later goes on from the number of the one before.
        let last = entries.last().map_or(checkpointed, |entry| entry.number);
        let logged = entries.iter().flat_map(|entry| &entry.changes).map(backlog::weight).sum();
        let backlog = Backlog::new(page_cache_bytes, logged);
        let log = Self { disk, last, checkpointed, checkpoint: None, backlog };
        Ok((log, last_of(entries.into_iter().flat_map(|entry| entry.changes))?))
    }

    /// The bytes of the whole file.
    /// How much of the file is redb's.
    pub(in crate::engine::redb) fn database_len(&self) -> io::Result<u64> {
        self.disk.database_len()
    }

    pub(in crate::engine::redb) fn file(&self) -> &dyn StorageFile {
        self.disk.inner()
    }

    /// Whether the log holds what redb does not hold on the disk.
    pub(in crate::engine::redb) const fn is_in_use(&self) -> bool {
        self.last != self.checkpointed
    }

    /// Writes an entry and syncs it; `false`, and nothing is written, if there is no room for it.
    /// After an error the log's end is not known, and the file must be opened anew.
    pub(in crate::engine::redb) fn append(
        &mut self,
        changes: impl Iterator<Item = Change>,
    ) -> io::Result<bool> {
        let mut weight = 0;
        let changes = changes.inspect(|change| weight += backlog::weight(change));
        let Some(entry) = Entry::of(changes) else { return Ok(false) };
        // With no checkpoint under way, one is due, and the entry comes into it.
        if self.checkpoint.is_some() && !self.backlog.has_room_for(weight) {
            return Ok(false);
        }
        let follows_checkpoint = self.checkpoint.is_some_and(|checkpoint| checkpoint.is_last);
        let written =
            self.disk.append(entry.following_checkpoint(follows_checkpoint), self.last + 1)?;
        if written {
            self.last += 1;
            self.backlog.add(weight);
            if let Some(checkpoint) = &mut self.checkpoint {
                checkpoint.is_last = false;
            }
        }
        Ok(written)
    }

    /// Whether redb ought to take over what the log holds, so that room for more comes in time.
    pub(in crate::engine::redb) fn checkpoint_due(&self) -> Due {
        if self.checkpoint.is_some() {
            return Due::No;
        }
        match (self.is_filled(4), self.is_filled(6)) {
            (false, _) => Due::No,
            (true, false) => Due::Soon,
            (true, true) => Due::Now,
        }
    }

    /// Whether, but for a checkpoint under way, one would be due.
    pub(in crate::engine::redb) fn is_half_full(&self) -> bool {
        self.is_filled(4)
    }

    /// Whether nobody may have come to the checkpoint that is due.
    pub(in crate::engine::redb) fn is_over_half_full(&self) -> bool {
        self.is_filled(5)
    }

    /// Whether so many eighths of it are in use.
    fn is_filled(&self, eighths: u32) -> bool {
        let (used, capacity) = self.disk.used();
        used * 8 >= capacity * u64::from(eighths) || self.backlog.is_filled(eighths as usize)
    }

    /// A durable commit begins that will hold every entry so far and nothing else; others may come
    /// meanwhile. Its number.
    pub(in crate::engine::redb) fn begin_checkpoint(&mut self) -> u64 {
        self.last += 1;
        self.checkpoint = Some(Checkpoint { number: self.last, is_last: true });
        self.backlog.clear();
        self.disk.begin_checkpoint();
        self.last
    }

    /// It is on the disk: the room of what it holds is free.
    pub(in crate::engine::redb) fn end_checkpoint(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take() {
            self.checkpointed = checkpoint.number;
            self.disk.end_checkpoint();
        }
    }

    /// The number for a durable commit that holds everything: the next one, so that no later entry
    /// follows what was there before it.
    pub(in crate::engine::redb) const fn next_number(&self) -> u64 {
        self.last + 1
    }

    /// A durable commit with the next number holds everything: the log begins again.
    pub(in crate::engine::redb) fn restart(&mut self) {
        self.last += 1;
        self.checkpointed = self.last;
        self.backlog.clear();
        self.disk.restart();
    }

    /// The database is about to be closed for good; if the log is not in use, the file gives back
    /// its room.
    pub(in crate::engine::redb) fn release_on_close(&self) {
        if !self.is_in_use() {
            self.disk.release_on_close();
        }
    }
}

/// What can be read of the log of a file that cannot be opened: the changes of every whole entry
/// after `checkpointed`. Where that is not known, only what was removed, because an entry of an earlier
/// round may say of a session what has been over for long.
pub(in crate::engine::redb) fn readable_changes(
    read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    checkpointed: Option<u64>,
) -> Vec<Change> {
    let mut sectors = [[0; location::SECTOR]; 2];
    for (sector, offset) in sectors.iter_mut().zip(location::OFFSETS) {
        read(offset, sector);
    }
    let [first, second] = &sectors;
    let Ok(Some(area)) = Location::from_sectors(first, second) else { return Vec::new() };
    let mut bytes = vec![0; usize::try_from(area.capacity).unwrap_or(0)];
    // A log that is cut is read as far as it goes.
    for (number, sector) in bytes.chunks_mut(location::SECTOR).enumerate() {
        read(area.start + (number * location::SECTOR) as u64, sector);
    }
    let mut changes = Vec::new();
    let numbers = checkpointed.map_or(0, |checkpointed| checkpointed.saturating_add(1))..=u64::MAX;
    for (_, found) in whole_entries(&bytes, &area.salt, &numbers).into_values() {
        changes.extend(found.changes().unwrap_or_default());
    }
    changes.retain(|(_, record)| checkpointed.is_some() || record.is_none());
    changes
}

/// Of several changes of a key, the last. A record that cannot be read is an error.
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

/// An entry that redb does not hold on the disk.
struct Needed {
    number: u64,
    span: Span,
    changes: Vec<Change>,
}

/// The entries after `checkpointed`, in their order.
fn entries_after(checkpointed: u64, log: &[u8], salt: &[u8; 16]) -> io::Result<Vec<Needed>> {
    let mut entries = Vec::new();
    let mut last = checkpointed;
    // One sector an entry is the least, and a commit may have a number before each.
    let sectors = (log.len() / location::SECTOR) as u64;
    let numbers = checkpointed + 1..=checkpointed + 2 + 2 * sectors;
    for (number, (start, found)) in whole_entries(log, salt, &numbers) {
        // One that was being written when the power went is not whole, and the last. A later one
        // means that it was acknowledged, and is damaged.
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

/// Every whole entry of these numbers, by its number: where it stands, and what it is.
fn whole_entries<'a>(
    log: &'a [u8],
    salt: &[u8; 16],
    numbers: &RangeInclusive<u64>,
) -> BTreeMap<u64, (usize, ReadEntry<'a>)> {
    let mut entries = BTreeMap::new();
    let mut rest = log;
    while !rest.is_empty() {
        let found = ReadEntry::at_start_of(rest, salt, numbers);
        let len = found.as_ref().map_or(location::SECTOR, |found| found.len);
        if let Some(found) = found {
            entries.insert(found.number, (log.len() - rest.len(), found));
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    entries
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
        Entry::of([change].into_iter()).unwrap().numbered(number, &SALT)
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
    fn an_entry_after_a_checkpoint_does_without_it_and_with_it_and_no_other_entry_does() {
        let change = (SessionKey::from_bytes([7; 16]), None);
        let after_checkpoint = Entry::of([change].into_iter()).unwrap().following_checkpoint(true);
        let log = [entry(5), after_checkpoint.numbered(7, &SALT), entry(8)].concat();
        let numbers =
            |checkpointed| after(checkpointed, &log).iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!((numbers(4), numbers(6)), (vec![5, 7, 8], vec![7, 8]));
        let log = [entry(5), entry(7)].concat();
        assert!(entries_after(4, &log, &SALT).is_err(), "a commit of more than entries is missing");
        assert_eq!(after(6, &log).len(), 1);
    }
}
