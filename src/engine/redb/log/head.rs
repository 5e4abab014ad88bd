//! The bytes that this process last wrote in three places: the file's first sectors, its length,
//! and the start of the log's last entry. Every commit changes one of them, so a comparison shows
//! whether somebody else has written to the file.
//!
//! Invariant: no comparison sees half a change. The first sectors and the length change only
//! through this module. The last entry is forgotten before a new one may overwrite it. Once another
//! writer was seen, nothing more is written.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

// Not `crate::sync`'s mutex: redb calls this module while it holds its own locks.
use parking_lot::Mutex;

use crate::engine::redb::error::Overwritten;
use crate::engine::redb::storage::StorageFile;

/// redb's header, and the two sectors that locate the log.
const LEN: usize = 3_072;
/// redb's header. It names the roots of the trees, so every durable commit changes it.
const HEADER: usize = 320;
/// An entry's digest and its number.
const ENTRY: usize = 24;

#[derive(Debug, Default)]
pub(in crate::engine::redb) struct Head(Mutex<Known>, Reads);

/// redb's reads of pages.
#[derive(Debug, Default)]
struct Reads {
    done: AtomicU64,
    /// How many of them came before the last look at the header.
    seen: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    /// Empty until the file is first read.
    bytes: Vec<u8>,
    /// The bytes before a failed write, any part of which may be in the file. Empty if no write
    /// failed.
    bytes_before: Vec<u8>,
    len: u64,
    /// The length before changes of length that failed; the file may have it still.
    other_len: Option<u64>,
    /// The offset of the log's last entry, and its first bytes.
    entry: Option<(u64, [u8; ENTRY])>,
    is_overwritten: bool,
}

impl Head {
    /// Reads the first sectors of a newly opened file. If the file was open before, they must be
    /// unchanged.
    pub(in crate::engine::redb) fn learn(&self, file: &dyn StorageFile) -> io::Result<()> {
        let mut known = self.0.lock();
        known.compare(file)?;
        let len = file.len()?;
        // A shorter file is no store.
        if len >= LEN as u64 {
            let mut bytes = vec![0; LEN];
            file.read(0, &mut bytes)?;
            *known = Known { bytes, len, entry: known.entry, ..Known::default() };
        }
        Ok(())
    }

    /// Compares the file with the bytes last written. A file that cannot be read counts as
    /// unchanged.
    pub(in crate::engine::redb) fn ensure_as_left(&self, file: &dyn StorageFile) -> io::Result<()> {
        self.0.lock().compare(file)
    }

    /// Called after each read of pages: a look at the header that counts a read comes later.
    pub(in crate::engine::redb) fn note_read(&self) {
        self.1.done.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether pages were read since the last look at the header.
    pub(in crate::engine::redb) fn has_unseen_reads(&self) -> bool {
        self.1.done.load(Ordering::Acquire) != self.1.seen.load(Ordering::Acquire)
    }

    /// Compares redb's header, after pages were read. With the same header, a copy of the file has
    /// the same pages.
    pub(in crate::engine::redb) fn ensure_pages_as_left(
        &self,
        file: &dyn StorageFile,
    ) -> io::Result<()> {
        let done = self.1.done.load(Ordering::Acquire);
        self.0.lock().compare_header(file)?;
        self.1.seen.fetch_max(done, Ordering::AcqRel);
        Ok(())
    }

    /// Returns an error once another writer was seen.
    pub(in crate::engine::redb) fn ensure_not_overwritten(&self) -> io::Result<()> {
        self.0.lock().ensure_not_overwritten()
    }

    /// Writes, and remembers the bytes written to the first sectors.
    pub(in crate::engine::redb) fn write(
        &self,
        file: &dyn StorageFile,
        offset: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let Some(offset_here) = usize::try_from(offset).ok().filter(|offset| *offset < LEN) else {
            self.ensure_not_overwritten()?;
            return file.write(offset, data);
        };
        let mut known = self.0.lock();
        known.ensure_not_overwritten()?;
        let before = known.bytes.clone();
        if let Some(place) = known.bytes.get_mut(offset_here..) {
            for (to, from) in place.iter_mut().zip(data) {
                *to = *from;
            }
        }
        let written = file.write(offset, data);
        if written.is_err() && known.bytes_before.is_empty() {
            known.bytes_before = before;
        }
        written
    }

    pub(in crate::engine::redb) fn set_len(
        &self,
        file: &dyn StorageFile,
        len: u64,
    ) -> io::Result<()> {
        let mut known = self.0.lock();
        known.ensure_not_overwritten()?;
        let set = file.set_len(len);
        known.other_len = match set {
            Ok(()) => None,
            Err(_) => known.other_len.or(Some(known.len)),
        };
        known.len = len;
        set
    }

    /// Remembers the start of the log's last entry.
    pub(in crate::engine::redb) fn note_entry(&self, offset: u64, entry: &[u8]) {
        self.0.lock().entry = entry.first_chunk().map(|bytes| (offset, *bytes));
    }

    /// Called before a new entry is written here. If the new entry overlaps the last one, the last
    /// one is no longer compared.
    pub(in crate::engine::redb) fn give_away(&self, place: std::ops::Range<u64>) {
        let mut known = self.0.lock();
        known.entry = known.entry.filter(|(offset, bytes)| {
            *offset >= place.end || offset.saturating_add(bytes.len() as u64) <= place.start
        });
    }

    /// Forgets the last entry, when the log moves or gives its room back: its old place may then
    /// hold anything.
    pub(in crate::engine::redb) fn forget_entry(&self) {
        self.0.lock().entry = None;
    }
}

impl Known {
    fn ensure_not_overwritten(&self) -> io::Result<()> {
        match self.is_overwritten {
            true => Err(io::Error::other(Overwritten)),
            false => Ok(()),
        }
    }

    fn compare(&mut self, file: &dyn StorageFile) -> io::Result<()> {
        self.ensure_not_overwritten()?;
        if self.bytes.is_empty() {
            return Ok(());
        }
        if self.is_as_left(file) {
            return Ok(());
        }
        self.is_overwritten = true;
        self.ensure_not_overwritten()
    }

    fn compare_header(&mut self, file: &dyn StorageFile) -> io::Result<()> {
        self.ensure_not_overwritten()?;
        let mut bytes = [0; HEADER];
        self.is_overwritten = match file.read(0, &mut bytes) {
            Ok(()) => !self.bytes.is_empty() && !self.begins_with(&bytes),
            Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        };
        self.ensure_not_overwritten()
    }

    fn is_as_left(&self, file: &dyn StorageFile) -> bool {
        let is_len = |len| len == self.len || Some(len) == self.other_len;
        if !file.len().map_or(true, is_len) {
            return false;
        }
        let mut bytes = [0; LEN];
        let same = match file.read(0, &mut bytes) {
            Ok(()) => self.begins_with(&bytes),
            Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        };
        let Some((offset, entry)) = self.entry.filter(|_| same) else { return same };
        let mut bytes = [0; ENTRY];
        match file.read(offset, &mut bytes) {
            Ok(()) => bytes == entry,
            Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        }
    }

    /// Whether the file's first bytes are as last written, or as a failed write may have left them.
    fn begins_with(&self, bytes: &[u8]) -> bool {
        self.bytes.starts_with(bytes)
            || self.bytes_before.len() == self.bytes.len()
                && bytes
                    .iter()
                    .zip(self.bytes.iter().zip(&self.bytes_before))
                    .all(|(byte, (now, before))| byte == now || byte == before)
    }
}

#[cfg(test)]
mod tests {
    use redb::StorageBackend;

    use super::*;
    use crate::engine::redb::storage::os_file::OsFile;

    fn file() -> (OsFile, Head) {
        let file = OsFile::new(tempfile::tempfile().unwrap()).unwrap();
        let head = Head::default();
        file.set_len(10_000).unwrap();
        head.learn(&file).unwrap();
        (file, head)
    }

    fn is_overwritten(head: &Head, file: &dyn StorageFile) -> bool {
        let Err(error) = head.ensure_as_left(file) else { return false };
        error.get_ref().is_some_and(|cause| cause.is::<Overwritten>())
    }

    #[test]
    fn what_goes_through_here_is_as_left() {
        let (file, head) = file();
        head.write(&file, 0, &[1; 320]).unwrap();
        head.write(&file, 2_048, &[2; 512]).unwrap();
        head.write(&file, LEN as u64 - 10, &[3; 100]).unwrap();
        head.write(&file, 5_000, &[4; 100]).unwrap();
        head.note_entry(5_000, &[4; 100]);
        head.set_len(&file, 20_000).unwrap();
        assert!(!is_overwritten(&head, &file));
        head.learn(&file).unwrap();
        head.give_away(4_000..5_000);
        head.give_away(5_024..6_000);
        assert!(head.0.lock().entry.is_some(), "nothing is written over it");
        head.give_away(5_023..5_024);
        file.write(5_023, &[6]).unwrap();
        assert!(!is_overwritten(&head, &file), "a new entry is on its way there");
        head.note_entry(5_000, &[5; 100]);
        head.forget_entry();
        file.write(5_000, &[5; 100]).unwrap();
        assert!(!is_overwritten(&head, &file), "what is no trace of a commit is not looked at");
    }

    #[test]
    fn what_somebody_else_writes_there_is_seen_and_nothing_more_is_written() {
        let changes: [&dyn Fn(&OsFile); 5] = [
            &|file| file.write(100, &[9]).unwrap(),
            &|file| file.write(LEN as u64 - 1, &[9]).unwrap(),
            &|file| file.write(5_000, &[9]).unwrap(),
            &|file| file.set_len(9_999).unwrap(),
            &|file| file.set_len(100).unwrap(),
        ];
        for (number, change) in changes.iter().enumerate() {
            let (file, head) = file();
            head.write(&file, 5_000, &[4; 100]).unwrap();
            head.note_entry(5_000, &[4; 100]);
            change(&file);
            assert!(is_overwritten(&head, &file), "{number}");
            let before = file.len().unwrap();
            assert!(head.write(&file, 6_000, &[7; 10]).is_err());
            assert!(head.write(&file, 0, &[7; 10]).is_err());
            assert!(head.set_len(&file, 30_000).is_err());
            assert_eq!(file.len().unwrap(), before, "{number}");
            assert!(head.learn(&file).is_err(), "nor is it opened again: {number}");
        }
    }

    /// Changes no length while there is no room.
    #[derive(Debug)]
    struct Full(OsFile);

    impl StorageFile for Full {}

    impl StorageBackend for Full {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    #[test]
    fn a_length_that_failed_to_change_twice_is_no_trace_of_another_writer() {
        let (file, head) = file();
        let full = Full(file);
        assert!(head.set_len(&full, 20_000).is_err());
        assert!(head.set_len(&full, 30_000).is_err());
        assert!(!is_overwritten(&head, &full));
        let file = full.0;
        head.set_len(&file, 30_000).unwrap();
        assert!(!is_overwritten(&head, &file));
        file.set_len(10_000).unwrap();
        assert!(is_overwritten(&head, &file), "the change has succeeded since");
    }
}
