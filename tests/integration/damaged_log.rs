//! The write-ahead log of a real file, damaged at the offsets of docs/internals/format.md.

use std::fs;
use std::path::PathBuf;

use sessile::{Error, SessionId, SessionStore};

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
