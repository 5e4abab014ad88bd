//! The memory use of a bad record, and of a store that holds far more than its cache.
//!
//! This is a separate binary, because it counts every allocation of its process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sessile::{Error, SessionId, SessionStore};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The count covers the process, so only one test at a time may use it.
static ALONE: Mutex<()> = Mutex::new(());

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The peak of the bytes in use while `act` runs, above those before.
fn peak_of(act: impl FnOnce()) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    act();
    MEMORY.peak_usage().saturating_sub(before)
}

/// Replaces a session's record by one with this content and a right checksum.
fn forge(path: &Path, id: &SessionId, content: &[u8]) {
    const SESSIONS: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sessions");
    let key = id.key();
    let database = Database::open(path).unwrap();
    let read = database.begin_read().unwrap().open_table(SESSIONS).unwrap();
    // The header, and the kind and the shape before the bytes of bincode.
    let mut record = read.get(key.as_bytes()).unwrap().unwrap().value()[..60 + 17].to_vec();
    drop(read);
    record[56..60].copy_from_slice(&(17 + content.len() as u32).to_le_bytes());
    record.extend(content);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), &record);
    record.extend(checksum.to_le_bytes());
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(SESSIONS).unwrap();
    table.insert(key.as_bytes(), record.as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
}

/// Reads a session as a `C`, which must be refused, and returns the peak of the memory.
fn refused_within<C: Serialize + DeserializeOwned + std::fmt::Debug>(
    path: &Path,
    id: &SessionId,
) -> usize {
    let store = SessionStore::<C>::builder().manual_maintenance().open(path).unwrap();
    // The first read brings the page into the cache, which must not count here.
    assert!(store.read(id).is_err());
    peak_of(|| {
        let read = store.read(id);
        assert!(matches!(read, Err(Error::ContentMismatch { .. })), "{read:?}");
    })
}

/// A type that claims more elements of itself at every level.
#[derive(Debug, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[test]
fn a_bad_record_takes_no_more_memory_than_a_good_one_may() {
    type Nested = std::collections::HashMap<String, Vec<Option<String>>>;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = SessionStore::<u8>::open(&path).unwrap();
    let id = store.create(0).unwrap().id().clone();
    store.close().unwrap();
    let nested = [251, 0xFF, 0xFF].repeat(60);
    let bad: [&[u8]; 6] = [
        // 2^62 bytes, characters, or elements.
        &[253, 0, 0, 0, 0, 0, 0, 0, 0x40, 7],
        // A billion.
        &[252, 0x00, 0xCA, 0x9A, 0x3B],
        &[252, 0x00, 0xCA, 0x9A, 0x3B, 252, 0x00, 0xCA, 0x9A, 0x3B],
        // As many as 64 KiB may hold, and then none.
        &[251, 0xFF, 0xFF],
        &[251, 0xFF, 0xFF, 251, 0xFF, 0xFF, 251, 0xFF, 0xFF],
        &nested,
    ];
    for content in bad {
        forge(&path, &id, content);
        // A text is read from the record in place, and a unit takes no room.
        for (name, peak) in [
            ("String", refused_within::<String>(&path, &id)),
            ("Vec<()>", refused_within::<Vec<((), ())>>(&path, &id)),
            ("Attributes", refused_within::<sessile::Attributes>(&path, &id)),
        ] {
            assert!(peak <= 16 * KIB, "{name} of {content:?}: {peak} bytes");
        }
        // No list allocates for more elements than there are bytes; a map rounds up.
        for (name, peak) in [
            ("Vec<u8>", refused_within::<Vec<u8>>(&path, &id)),
            ("Vec<u128>", refused_within::<Vec<u128>>(&path, &id)),
            ("Vec<Vec<String>>", refused_within::<Vec<Vec<String>>>(&path, &id)),
            ("HashMap", refused_within::<Nested>(&path, &id)),
            ("Tree", refused_within::<Tree>(&path, &id)),
        ] {
            assert!(peak <= 2 * MIB, "{name} of {content:?}: {peak} bytes");
        }
    }
}

/// Tells a child process to fill the store at this path.
const FILL: &str = "SESSILE_TEST_FILL";
const SAYS: &str = "bytes at most: ";
const CACHE: usize = 8 * MIB;
const THREADS: usize = 4;
const SESSIONS: usize = 8_000;
const CONTENT: usize = 16 * KIB;

/// The peak of the resident memory of this process (VmHWM), in bytes.
fn high_water_mark() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * KIB
}

/// The child's part: makes every call of a store, on far more data than fits into its cache.
fn fill(path: &Path) {
    let before = high_water_mark();
    let store = SessionStore::<String>::builder()
        .cache_size(CACHE)
        .touch_interval(Duration::from_secs(3_600))
        .open(path)
        .unwrap();
    let ids: Vec<SessionId> = thread::scope(|scope| {
        let store = &store;
        let threads: Vec<_> =
            (0..THREADS as u64).map(|user| scope.spawn(move || fill_for(store, user))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(store.for_each(|_, _| ()).unwrap(), SESSIONS as u64);
    assert_eq!(store.sessions_of(1_u64).unwrap().len(), SESSIONS / THREADS);
    assert_eq!(store.clean_up_expired().unwrap(), 0);
    for id in ids.iter().step_by(3) {
        assert!(store.destroy(id).unwrap());
    }
    store.close().unwrap();
    let store = SessionStore::<String>::builder().cache_size(CACHE).open(path).unwrap();
    assert!(store.len().unwrap() > SESSIONS as u64 / 2);
    println!("{SAYS}{}", high_water_mark() - before);
}

/// One thread's share: it creates, reads and extends its sessions, and changes some of them.
fn fill_for(store: &SessionStore<String>, user: u64) -> Vec<SessionId> {
    let create = |_| store.create_for_user(user, "x".repeat(CONTENT)).unwrap().id().clone();
    let ids: Vec<SessionId> = (0..SESSIONS / THREADS).map(create).collect();
    for id in &ids {
        let session = store.read_and_extend(id).unwrap().unwrap();
        assert_eq!(session.content().len(), CONTENT);
    }
    for id in ids.iter().step_by(4) {
        store.modify(id, |session| session.content_mut().insert(0, 'y')).unwrap();
    }
    ids
}

#[test]
fn the_memory_of_a_store_stays_under_its_cache_and_its_buffers() {
    if let Some(path) = std::env::var_os(FILL) {
        return fill(Path::new(&path));
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("sessions.redb");
    let test = "the_memory_of_a_store_stays_under_its_cache_and_its_buffers";
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", test, "--nocapture"]).env(FILL, &path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, bytes) = text.split_once(SAYS).unwrap_or_else(|| panic!("the child failed: {text}"));
    let bytes: usize = bytes.lines().next().unwrap().parse().unwrap();
    let file = std::fs::metadata(&path).unwrap().len() as usize;
    println!("{} MiB in memory for a file of {} MiB", bytes / MIB, file / MIB);
    // A full touch buffer takes 13 MiB. A group of operations takes 4 MiB twice: once encoded and
    // once as pages. The rest is for the allocator and four stacks.
    let bound = CACHE + 13 * MIB + 2 * 4 * MIB + 40 * MIB;
    assert!(file > 2 * bound, "the file is too small to show anything");
    assert!(bytes < bound, "{bytes} bytes, and {bound} are allowed");
}
