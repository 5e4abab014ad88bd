//! What this process last wrote where every commit leaves a trace: the file's first sectors, its
//! length, the last entry of the log. By these it sees that somebody else has written to the file.
//!
//! Invariant: whatever changes these goes through here, so that a look at them and a change never
//! meet half way. Once somebody else has been seen, nothing more is written.

use std::io;

// Not the engine's: redb calls in here with locks of its own held.
use parking_lot::Mutex;

use crate::engine::redb::storage::StorageFile;

/// redb's header, and the two sectors that lead to the log.
const LEN: usize = 3_072;
/// An entry's digest and its number.
const ENTRY: usize = 24;

/// Somebody else has written to the open file: a copy was put over it, for instance.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("somebody else has written to the open file")]
pub(in crate::engine::redb) struct Overwritten;

#[derive(Debug, Default)]
pub(in crate::engine::redb) struct Head(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Empty until the file was first looked at.
    bytes: Vec<u8>,
    /// What they were before a write that failed, which may have written any part. Empty if none.
    bytes_before: Vec<u8>,
    len: u64,
    /// Another length that it may have, after a change that failed.
    other_len: Option<u64>,
    /// Where the log's last entry begins, and with what.
    entry: Option<(u64, [u8; ENTRY])>,
    is_overwritten: bool,
}

impl Head {
    /// Learns what a file begins with that was just opened, or that it begins with what it did when
    /// it was open before.
    pub(in crate::engine::redb) fn learn(&self, file: &dyn StorageFile) -> io::Result<()> {
        let mut known = self.0.lock();
        known.compare(file)?;
        let len = file.len()?;
        // Nothing so short is a store.
        if len >= LEN as u64 {
            let mut bytes = vec![0; LEN];
            file.read(0, &mut bytes)?;
            *known = Known { bytes, len, entry: known.entry, ..Known::default() };
        }
        Ok(())
    }

    /// Looks whether the file is as it was left. Where it cannot be read nothing can be told.
    pub(in crate::engine::redb) fn ensure_as_left(&self, file: &dyn StorageFile) -> io::Result<()> {
        self.0.lock().compare(file)
    }

    /// Whether somebody else was seen to write to it.
    pub(in crate::engine::redb) fn ensure_not_overwritten(&self) -> io::Result<()> {
        self.0.lock().ensure_not_overwritten()
    }

    /// Writes, and remembers what it has written here.
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
        known.other_len = set.is_err().then_some(known.len);
        known.len = len;
        set
    }

    /// The log's last entry begins there with this.
    pub(in crate::engine::redb) fn note_entry(&self, offset: u64, entry: &[u8]) {
        self.0.lock().entry = entry.first_chunk().map(|bytes| (offset, *bytes));
    }

    /// The log moves, or is given back: where its last entry stood there may be anything.
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

    fn is_as_left(&self, file: &dyn StorageFile) -> bool {
        let is_len = |len| len == self.len || Some(len) == self.other_len;
        if !file.len().map_or(true, is_len) {
            return false;
        }
        let mut bytes = [0; LEN];
        let same = match file.read(0, &mut bytes) {
            Ok(()) => bytes == *self.bytes || self.may_be_after_failure(&bytes),
            Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        };
        let Some((offset, entry)) = self.entry.filter(|_| same) else { return same };
        let mut bytes = [0; ENTRY];
        match file.read(offset, &mut bytes) {
            Ok(()) => bytes == entry,
            Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
        }
    }

    fn may_be_after_failure(&self, bytes: &[u8]) -> bool {
        self.bytes_before.len() == bytes.len()
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
}
