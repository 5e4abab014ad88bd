//! The write-ahead log of a real file, damaged at the offsets of docs/internals/format.md.

use std::fs;
use std::path::PathBuf;

use sessile::{Error, SessionId, SessionStore, salvage};

const SECTOR: usize = 512;
/// The offsets of the two sectors that locate the log.
const SECTORS: [usize; 2] = [2_048, 2_560];
const MAGIC: &[u8] = b"sess-log";

/// The file of a killed process. Its last sessions are only in the log, each in one entry.
struct Killed {
    folder: tempfile::TempDir,
    ids: Vec<SessionId>,
    bytes: Vec<u8>,
    /// The offset of each entry, and the end of the last one.
    entries: Vec<usize>,
}

impl Killed {
    fn after(sessions: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let store = SessionStore::<String>::open(&path).unwrap();
        let create = |number| store.create(format!("session {number}")).unwrap().id().clone();
        let ids = (0..sessions).map(create).collect();
        let bytes = fs::read(&path).unwrap();
        let entries = entries(&bytes);
        assert_eq!(entries.len(), sessions + 1, "each is an entry of its own");
        Self { folder, ids, bytes, entries }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("killed.redb")
    }

    /// Opens the file with some bytes changed.
    fn open(&self, change: impl FnOnce(&mut [u8])) -> sessile::Result<SessionStore<String>> {
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        fs::write(self.path(), bytes).unwrap();
        SessionStore::open(self.path())
    }

    /// How many of the sessions are there, from the first on. No other session may be there.
    fn there(&self, store: &SessionStore<String>) -> usize {
        let found: Vec<bool> =
            self.ids.iter().map(|id| store.read(id).unwrap().is_some()).collect();
        let count = found.iter().take_while(|there| **there).count();
        assert_eq!(found.iter().filter(|there| **there).count(), count, "{found:?}");
        assert_eq!(store.len().unwrap(), count as u64);
        count
    }
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The entries are numbered from 1, in a log that was never emptied.
fn entries(bytes: &[u8]) -> Vec<usize> {
    assert_eq!(&bytes[SECTORS[0]..][..MAGIC.len()], MAGIC);
    let start = number_at(bytes, SECTORS[0] + 24) as usize;
    let first = number_at(bytes, start + 16);
    let mut found = vec![start];
    let mut at = start;
    while number_at(bytes, at + 16) == first + found.len() as u64 - 1 {
        let len = u32::from_le_bytes(bytes[at + 24..at + 28].try_into().unwrap()) as usize;
        at += (28 + len).next_multiple_of(SECTOR);
        found.push(at);
    }
    found
}

fn is_damaged_log(opened: sessile::Result<SessionStore<String>>, says: &str) {
    match opened {
        Err(Error::DamagedFile { source, path }) => {
            assert!(source.to_string().contains(says), "{source}");
            assert!(path.ends_with("killed.redb"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_is_whole_is_replayed() {
    let killed = Killed::after(5);
    assert_eq!(killed.there(&killed.open(|_| ()).unwrap()), 5);
}

#[test]
fn a_damaged_entry_in_the_middle_of_the_log_is_a_damaged_file() {
    let killed = Killed::after(5);
    for entry in 0..4 {
        let (start, end) = (killed.entries[entry], killed.entries[entry + 1]);
        // In the digest, the number, the length, the changes, the padding.
        for at in [start, start + 16, start + 24, start + 40, end - 1] {
            is_damaged_log(killed.open(|bytes| bytes[at] ^= 1), "write-ahead log is damaged");
        }
        let zeroed = killed.open(|bytes| bytes[start..end].fill(0));
        is_damaged_log(zeroed, "write-ahead log is damaged");
    }
}

#[test]
fn a_damaged_last_entry_is_taken_for_one_that_was_torn() {
    // Damage to the last entry and a torn entry look the same, as docs/durability.md states.
    let killed = Killed::after(5);
    let (start, end) = (killed.entries[4], killed.entries[5]);
    for at in [start, start + 16, start + 24, start + 40, end - 1] {
        assert_eq!(killed.there(&killed.open(|bytes| bytes[at] ^= 1).unwrap()), 4);
    }
    // Another entry is written in its place, and is found there after the next crash.
    let store = killed.open(|bytes| bytes[start] ^= 1).unwrap();
    let id = store.create("after it".into()).unwrap().id().clone();
    let again = killed.folder.path().join("again.redb");
    fs::copy(killed.path(), &again).unwrap();
    drop(store);
    let store = SessionStore::<String>::open(&again).unwrap();
    assert!(store.read(&id).unwrap().is_some());
    assert_eq!(store.len().unwrap(), 5);
}

#[test]
fn one_of_the_sectors_that_lead_to_the_log_is_enough_and_none_is_a_damaged_file() {
    let killed = Killed::after(3);
    let damage = |bytes: &mut [u8], sector: usize| bytes[SECTORS[sector] + 30] ^= 1;
    for sector in [0, 1] {
        assert_eq!(killed.there(&killed.open(|bytes| damage(bytes, sector)).unwrap()), 3);
    }
    let both = killed.open(|bytes| [0, 1].into_iter().for_each(|sector| damage(bytes, sector)));
    is_damaged_log(both, "the place of the write-ahead log is damaged");
}

/// A store of which a session has ended in the log alone, as a killed process leaves it.
struct Ended {
    folder: tempfile::TempDir,
    stays: Vec<SessionId>,
    ended: SessionId,
    bytes: Vec<u8>,
}

impl Ended {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let store = SessionStore::<String>::open(&path).unwrap();
        let create = |number| store.create(format!("session {number}")).unwrap().id().clone();
        let mut stays: Vec<_> = (0..5).map(create).collect();
        let ended = stays.swap_remove(2);
        store.close().unwrap();
        let store = SessionStore::<String>::open(&path).unwrap();
        assert!(store.destroy(&ended).unwrap());
        let bytes = fs::read(&path).unwrap();
        Self { folder, stays, ended, bytes }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("killed.redb")
    }

    fn write(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        fs::write(self.path(), bytes).unwrap();
    }

    /// How many of the sessions that have not ended are kept. The other one never is.
    fn kept(&self) -> usize {
        let new = self.folder.path().join("new.redb");
        let _ = fs::remove_file(&new);
        let report = salvage(self.path(), &new).unwrap();
        let store = SessionStore::<String>::open(&new).unwrap();
        assert!(store.read(&self.ended).unwrap().is_none(), "a logout is not undone: {report:?}");
        let kept = self.stays.iter().filter(|id| store.read(id).unwrap().is_some()).count();
        assert_eq!(report.kept, kept as u64);
        kept
    }
}

#[test]
fn a_log_whose_sectors_are_lost_is_a_damaged_file_and_undoes_no_logout() {
    let file = Ended::new();
    let zero = |bytes: &mut [u8], sector: usize| bytes[SECTORS[sector]..][..SECTOR].fill(0);
    let flip = |bytes: &mut [u8], sector: usize| bytes[SECTORS[sector] + 30] ^= 1;
    type Damage<'d> = &'d dyn Fn(&mut [u8]);
    let damages: [Damage<'_>; 4] = [
        &|bytes| [0, 1].into_iter().for_each(|sector| zero(bytes, sector)),
        &|bytes| [0, 1].into_iter().for_each(|sector| flip(bytes, sector)),
        &|bytes| (zero(bytes, 0), flip(bytes, 1)).0,
        &|bytes| (flip(bytes, 0), zero(bytes, 1)).0,
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        file.write(|bytes| damage(bytes));
        let before = fs::read(file.path()).unwrap();
        let opened = SessionStore::<String>::open(file.path());
        is_damaged_log(opened, "the place of the write-ahead log is damaged");
        assert!(fs::read(file.path()).unwrap() == before, "{number}: nothing was written");
        assert_eq!(file.kept(), 0, "{number}");
    }
}

#[test]
fn sectors_that_a_crash_left_different_are_equal_after_the_next_write() {
    let file = Ended::new();
    for sector in [0, 1] {
        file.write(|bytes| bytes[SECTORS[sector] + 30] ^= 1);
        let store = SessionStore::<String>::open(file.path()).unwrap();
        store.create("after it".into()).unwrap();
        let bytes = fs::read(file.path()).unwrap();
        let [first, second] = SECTORS.map(|at| &bytes[at..at + SECTOR]);
        assert!(first == second && first.starts_with(MAGIC), "{sector}");
        assert_eq!(first, &bytes[bytes.len() - SECTOR..], "{sector}: the copy at the log's end");
    }
}

/// A disk that is full while the file grows, and a kill while it shrinks, leave this.
#[test]
fn a_file_that_goes_on_behind_its_log_is_opened_and_salvaged_whole() {
    let file = Ended::new();
    let start = number_at(&file.bytes, SECTORS[0] + 24) as usize;
    let log = file.bytes[start..].to_vec();
    for tail in [vec![0; 50 * 4_096], log.clone(), [log, vec![0; 4_096]].concat()] {
        file.write(|bytes| bytes.extend(&tail));
        assert_eq!(file.kept(), file.stays.len());
        let store = SessionStore::<String>::open(file.path()).unwrap();
        assert_eq!(store.len().unwrap(), file.stays.len() as u64);
        // The next write cuts the file.
        store.create("after it".into()).unwrap();
        assert_eq!(fs::read(file.path()).unwrap().len(), file.bytes.len());
    }
}

#[test]
fn a_torn_first_entry_of_a_log_costs_a_salvage_nothing() {
    let file = Ended::new();
    let start = number_at(&file.bytes, SECTORS[0] + 24) as usize;
    for (at, len) in [(0, 28), (16, 512)] {
        // The session has not ended, because its end was never acknowledged.
        file.write(|bytes| bytes[start + at..start + len].fill(0));
        let new = file.folder.path().join("new.redb");
        let _ = fs::remove_file(&new);
        assert_eq!(salvage(file.path(), &new).unwrap().kept, file.stays.len() as u64 + 1);
    }
}
