//! Where the log is after its moves, some of which fail half way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;
use crate::key::SessionKey;

/// A file that can be reopened. After `writes` writes, each further write fails half way.
#[derive(Debug)]
struct Failing {
    file: Arc<InMemoryBackend>,
    writes: AtomicUsize,
    /// How many bytes of the failing write are written.
    torn: usize,
}

impl StorageFile for Failing {}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let left = self.writes.load(Ordering::Relaxed);
        self.writes.store(left.saturating_sub(1), Ordering::Relaxed);
        let (whole, torn) = (data, data.get(..self.torn).unwrap_or(data));
        self.file.write(offset, if left > 0 { whole } else { torn })?;
        if left > 0 { Ok(()) } else { Err(io::Error::other("no more writes")) }
    }
}

fn failing(file: &Arc<InMemoryBackend>, writes: usize, torn: usize) -> Failing {
    Failing { file: Arc::clone(file), writes: AtomicUsize::new(writes), torn }
}

fn on(file: &Arc<InMemoryBackend>, writes: usize, torn: usize) -> SharedFile {
    SharedFile::open(Box::new(failing(file, writes, torn)), Arc::default(), SyncFailed::default())
        .unwrap()
}

/// Makes three changes, each of which fails at any of its writes or not at all: the log moves, is
/// given back or moves again, and moves once more or is added.
#[test]
fn no_changes_that_fail_half_way_leave_the_word_to_an_older_place() {
    let place = |file: &_| on(file, 0, 0).log.lock().area.map(|area| area.database_len);
    for number in 0..256 {
        let torn = if number & 1 == 0 { 0 } else { 40 };
        let gives_back = number & 2 == 0;
        let file = Arc::new(InMemoryBackend::new());
        file.set_len(64 * 1024).unwrap();
        assert!(on(&file, 9, 0).append(&mut entry(), 1).unwrap());
        for change in 0..3 {
            let before = place(&file);
            // The new place and two sectors take three writes, and an entry one more.
            let disk = on(&file, (number >> (2 + 2 * change)) & 3, torn);
            let len = (17 + change as u64) * PAGE;
            let (wanted, result) = if change == 1 && gives_back {
                disk.release_on_close();
                (None, disk.give_back_released())
            } else if before.is_some() {
                (Some(len), disk.set_database_len(len))
            } else {
                (Some(file.len().unwrap()), disk.append(&mut entry(), 1).map(drop))
            };
            drop(disk);
            let found = place(&file);
            let failed = result.is_err() && found == before;
            assert!(failed || found == wanted, "{number}, {change}: {found:?}");
        }
    }
}

fn disk() -> SharedFile {
    let file = Arc::new(InMemoryBackend::new());
    file.set_len(64 * 1024).unwrap();
    on(&file, usize::MAX, 0)
}

fn entry() -> Entry {
    Entry::of_bytes(&[(SessionKey::from_bytes([1; 16]), Some(vec![2; 9_000]))]).unwrap()
}

#[test]
fn a_log_in_use_never_moves_onto_itself() {
    let disk = disk();
    assert!(disk.append(&mut entry(), 1).unwrap());
    let old = disk.log.lock().area.unwrap();
    let before = disk.read_log().unwrap().unwrap().0;
    disk.set_database_len(old.database_len + PAGE).unwrap();
    let new = disk.log.lock().area.unwrap();
    assert!(new.start >= old.end(), "a crash on the route finds the old one whole");
    assert_eq!(disk.database_len().unwrap(), old.database_len + PAGE);
    let after = disk.read_log().unwrap().unwrap().0;
    assert_eq!(after[..9_728], before[..9_728]);
}

#[test]
fn a_log_that_is_given_back_does_not_move_before() {
    for writes in 0..3 {
        let file = Arc::new(InMemoryBackend::new());
        file.set_len(64 * 1024).unwrap();
        let disk = on(&file, 9, 0);
        assert!(disk.append(&mut entry(), 1).unwrap());
        disk.restart();
        disk.release_on_close();
        let disk = SharedFile { inner: Box::new(failing(&file, writes, 0)), ..disk };
        // Only the two sectors are written.
        assert_eq!(disk.set_database_len(32 * 1024).is_ok(), writes == 2);
        assert!(disk.give_back_released().is_ok());
        if writes == 2 {
            assert_eq!(file.len().unwrap(), 32 * 1024);
            assert!(on(&file, 0, 0).log.lock().area.is_none());
        }
    }
}

#[test]
fn a_log_that_nobody_needs_goes_where_the_database_ends() {
    let disk = disk();
    assert!(disk.append(&mut entry(), 1).unwrap());
    disk.restart();
    disk.set_database_len(64 * 1024 + PAGE).unwrap();
    assert_eq!(disk.log.lock().area.unwrap().start, 64 * 1024 + PAGE);
}
