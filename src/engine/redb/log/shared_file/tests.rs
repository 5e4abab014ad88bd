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
    let place = |file: &_| on(file, 0, 0).log.lock().location.map(|location| location.database_len);
    for number in 0..4 * 6 * 6 * 6 {
        let torn = if number & 1 == 0 { 0 } else { 40 };
        let gives_back = number & 2 == 0;
        let file = Arc::new(InMemoryBackend::new());
        file.set_len(64 * 1024).unwrap();
        assert!(on(&file, 9, 0).append(&mut entry(), 1).unwrap());
        for change in 0..3 {
            let before = place(&file);
            // The new place, two sectors and their copy take four writes, and an entry one more.
            let disk = on(&file, number / 4 / 6_usize.pow(change) % 6, torn);
            let len = (17 + u64::from(change)) * PAGE;
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
    let old = disk.log.lock().location.unwrap();
    let before = disk.read_log().unwrap().unwrap().0;
    disk.set_database_len(old.database_len + PAGE).unwrap();
    let new = disk.log.lock().location.unwrap();
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
            assert!(on(&file, 0, 0).log.lock().location.is_none());
        }
    }
}

/// redb's part has grown over the log's first place, and a closed file ends where that place did.
#[test]
fn the_copy_of_an_earlier_place_at_the_end_of_the_file_is_no_lost_log() {
    let file = Arc::new(InMemoryBackend::new());
    file.set_len(64 * 1024).unwrap();
    for log in 0..3 {
        let disk = on(&file, usize::MAX, 0);
        assert!(disk.append(&mut entry(), 1).unwrap());
        let place = disk.log.lock().location.unwrap();
        assert_eq!(place.moves, 2 * log);
        disk.restart();
        disk.set_database_len(place.end()).unwrap();
        disk.release_on_close();
        disk.give_back_released().unwrap();
        assert_eq!(file.len().unwrap(), place.end());
        let mut last = [0; location::SECTOR];
        file.read(place.copy_offset(), &mut last).unwrap();
        assert_eq!(last, place.to_sector());
    }
    assert!(on(&file, 0, 0).log.lock().location.is_none());
}

#[test]
fn a_log_that_nobody_needs_goes_where_the_database_ends() {
    let disk = disk();
    assert!(disk.append(&mut entry(), 1).unwrap());
    disk.restart();
    disk.set_database_len(64 * 1024 + PAGE).unwrap();
    assert_eq!(disk.log.lock().location.unwrap().start, 64 * 1024 + PAGE);
}

#[test]
fn what_a_crash_left_different_is_equal_after_the_first_entry() {
    let damages: [fn(&InMemoryBackend); 3] = [
        |file| file.write(location::OFFSETS[0], &[7; 30]).unwrap(),
        |file| file.write(location::OFFSETS[1], &[0; location::SECTOR]).unwrap(),
        |file| file.set_len(file.len().unwrap() + 10 * PAGE).unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let file = Arc::new(InMemoryBackend::new());
        file.set_len(64 * 1024).unwrap();
        assert!(on(&file, usize::MAX, 0).append(&mut entry(), 1).unwrap());
        damage(&file);
        let disk = on(&file, usize::MAX, 0);
        let location = disk.log.lock().location.unwrap();
        disk.resume([Span { start: 0, len: entry().len() }]);
        assert!(disk.append(&mut entry(), 2).unwrap());
        drop(disk);
        assert_eq!(file.len().unwrap(), location.end(), "{number}");
        for offset in [location::OFFSETS[0], location::OFFSETS[1], location.copy_offset()] {
            let mut sector = [0; location::SECTOR];
            file.read(offset, &mut sector).unwrap();
            assert_eq!(sector, location.to_sector(), "{number}, {offset}");
        }
    }
}

#[test]
fn a_log_whose_sectors_are_lost_is_not_taken_for_none_wherever_it_has_moved() {
    let file = Arc::new(InMemoryBackend::new());
    file.set_len(64 * 1024).unwrap();
    assert!(on(&file, usize::MAX, 0).append(&mut entry(), 1).unwrap());
    for len in [17 * PAGE, 8 * PAGE] {
        on(&file, usize::MAX, 0).set_database_len(len).unwrap();
        let lost = Arc::new(InMemoryBackend::new());
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read(0, &mut bytes).unwrap();
        bytes[2_048..3_072].fill(0);
        lost.set_len(bytes.len() as u64).unwrap();
        lost.write(0, &bytes).unwrap();
        let opened =
            SharedFile::open(Box::new(failing(&lost, 0, 0)), Arc::default(), SyncFailed::default());
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

/// A full disk grows a file without blocks, and refuses what is then written there.
#[test]
fn a_log_that_finds_no_room_leaves_the_file_as_long_as_it_was() {
    let file = Arc::new(InMemoryBackend::new());
    file.set_len(64 * 1024).unwrap();
    for torn in [0, 40, 9_000].into_iter().cycle().take(50) {
        let disk = on(&file, 0, torn);
        disk.append(&mut entry(), 1).unwrap_err();
        assert_eq!(file.len().unwrap(), 64 * 1024);
        assert_eq!(disk.database_len().unwrap(), 64 * 1024);
    }
    assert!(on(&file, 9, 0).append(&mut entry(), 1).unwrap());
    assert_eq!(file.len().unwrap(), 2 * 64 * 1024);
}
