//! What can be read of the log of a file that cannot be opened, and whether a part is missing.

use crate::engine::redb::keyed::Change;
use crate::engine::redb::log::location::Location;
use crate::engine::redb::log::{location, whole_entries};

/// What is readable of the log of a damaged file.
pub(in crate::engine::redb) struct Readable {
    pub(in crate::engine::redb) changes: Vec<Change>,
    /// Whether no entry is known to be missing after the last commit. A missing entry may have
    /// ended any session.
    pub(in crate::engine::redb) is_complete: bool,
}

/// Every readable change in the log of a damaged file of a length: the changes of the whole entries
/// after `checkpointed`. A record counts only if no entry after its own is missing. If
/// `checkpointed` is unknown, only removals count, because an entry of an earlier round may hold a
/// session that ended long ago.
pub(in crate::engine::redb) fn readable_changes(
    read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    file_len: u64,
    checkpointed: Option<u64>,
) -> Readable {
    let mut sectors = [[0; location::SECTOR]; 2];
    let mut is_read = true;
    for (sector, offset) in sectors.iter_mut().zip(location::OFFSETS) {
        is_read &= read(offset, sector);
    }
    let [first, second] = &sectors;
    let area = match Location::from_sectors(first, second) {
        Ok(Some(area)) => area,
        // A sector that cannot be read, or two that are damaged, may have led to a log.
        without => {
            return Readable { changes: Vec::new(), is_complete: is_read && without.is_ok() };
        }
    };
    // Where nothing can be read, there may have been an entry.
    let mut bytes = vec![0; usize::try_from(area.capacity.min(file_len)).unwrap_or(0)];
    for (number, sector) in bytes.chunks_mut(location::SECTOR).enumerate() {
        is_read &= read(area.start + (number * location::SECTOR) as u64, sector);
    }
    let all = whole_entries(&bytes, &area.salt, &(0..=u64::MAX));
    // The log ends the file. It has moved away if there is more, or if others' bytes stand there.
    // It is cut off if there is less.
    let has_left = file_len != area.end()
        || !is_read
        || (all.is_empty() && bytes.iter().any(|byte| *byte != 0));
    let mut readable = Readable { changes: Vec::new(), is_complete: !has_left };
    let mut last = checkpointed;
    for (number, (_, found)) in all {
        if checkpointed.is_some_and(|checkpointed| number <= checkpointed) {
            continue;
        }
        if last.is_some_and(|last| !found.follows(last)) {
            readable.is_complete = false;
            readable.changes.retain(|(_, record)| record.is_none());
        }
        last = checkpointed.and(Some(number));
        readable.changes.extend(found.changes().unwrap_or_default());
    }
    // The last entries may be those that are missing.
    let counts = checkpointed.is_some() && !has_left;
    readable.changes.retain(|(_, record)| counts || record.is_none());
    readable
}
