//! What our own verification of a file finds, and what it leaves to redb's.

use std::cell::Cell;
use std::io;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;
use crate::engine::durability::Durability;
use crate::engine::redb::pages::PAGE;
use crate::engine::redb::pages::verify::{Verdict, verify};

const BLOCK: u64 = PAGE as u64;

/// This many sessions have too many pages for one thread to verify alone.
const MANY: u64 = 1_500;

/// A closed store with some sessions.
fn store(sessions: u64) -> Vec<u8> {
    let disk = SimulatedDisk::new();
    let deferred = Durability::Deferred { interval: Duration::from_secs(3600) };
    let engine = RedbEngine::open_on(&disk, &RedbOptions::new().durability(deferred)).unwrap();
    let parts = Parts {
        user: None,
        csrf_token: None,
        own_timeouts: OwnTimeouts::default(),
        revision: 1,
        created_at: Timestamp::from_millis(1),
        last_active: Timestamp::from_millis(1),
        content_version: 0,
        content: &[7; 1_000],
    };
    for number in 0..sessions {
        let record = Record::new(&parts, &Timeouts::default()).unwrap();
        assert_eq!(
            engine.insert(&key(number), record, Moment::BEGINNING, Limits::NONE).unwrap(),
            Insert::Done(vec![])
        );
    }
    engine.close().unwrap();
    disk.store_bytes()
}

pub(in crate::engine::redb) fn in_memory(bytes: &[u8]) -> InMemoryBackend {
    let file = InMemoryBackend::new();
    file.set_len(bytes.len() as u64).unwrap();
    file.write(0, bytes).unwrap();
    file
}

pub(in crate::engine::redb) fn verdict(file: &dyn StorageBackend) -> Verdict {
    verify(file, file.len().unwrap(), &|_| true)
}

/// A file that counts its reads, and fails one of them.
#[derive(Debug)]
struct Counted {
    file: InMemoryBackend,
    reads: AtomicU64,
    fails_at: u64,
}

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.reads.fetch_add(1, Ordering::SeqCst) {
            number if number == self.fails_at => Err(io::Error::other("unreadable")),
            _ => self.file.read(offset, out),
        }
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }
}

#[test]
fn a_file_is_sound_only_where_redb_finds_it_so_whichever_page_is_damaged() {
    for (sessions, step, pages) in [(60, 1, 20), (MANY, 13, 300)] {
        let bytes = store(sessions);
        let Verdict::Sound { live } = verdict(&in_memory(&bytes)) else { panic!("it is sound") };
        let blocks = bytes.len() as u64 / BLOCK;
        assert!(live > pages * BLOCK && live < (blocks - 1) * BLOCK, "{live} of {blocks}");
        let (mut sound, mut damaged) = (0, 0);
        for block in (1..blocks).step_by(step) {
            let file = in_memory(&bytes);
            // The number of pairs or children.
            let mut count = [0; 1];
            file.read(block * BLOCK + 2, &mut count).unwrap();
            file.write(block * BLOCK + 2, &[count[0] ^ 1]).unwrap();
            let is_sound = verdict(&file) == Verdict::Sound { live };
            let mut builder = redb::Builder::new();
            let opened = builder.set_check_integrity_on_open(true).create_with_backend(file);
            assert_eq!(is_sound, opened.is_ok(), "block {block}: {opened:?}");
            *(if is_sound { &mut sound } else { &mut damaged }) += 1;
        }
        assert!(sound > 0 && damaged > 20, "{sound} and {damaged}");
    }
}

#[test]
fn a_page_that_cannot_be_read_is_left_to_redb() {
    let bytes = store(MANY);
    let counted = |fails_at| {
        let file = Counted { file: in_memory(&bytes), reads: AtomicU64::new(0), fails_at };
        (verdict(&file), file.reads.into_inner())
    };
    let (sound, reads) = counted(u64::MAX);
    assert!(matches!(sound, Verdict::Sound { .. }) && reads > 300, "{sound:?}, {reads}");
    for fails_at in [0, 1, 2, 50, reads / 2, reads - 1] {
        assert_eq!(counted(fails_at).0, Verdict::Open, "{fails_at}");
    }
}

#[test]
fn a_file_that_does_not_say_what_is_in_use_is_left_to_redb() {
    /// Flags, the length of a region's header in pages, and that of a region.
    const CHANGES: [(u64, u8); 3] = [(9, 4), (16, 1), (22, 0x18)];
    let bytes = store(MANY);
    for (offset, bits) in CHANGES {
        let file = in_memory(&bytes);
        file.write(offset, &[bytes[offset as usize] ^ bits]).unwrap();
        assert_eq!(verdict(&file), Verdict::Open, "byte {offset}");
    }
    assert_eq!(verdict(&in_memory(&[])), Verdict::Open);
    assert_eq!(verdict(&in_memory(&bytes[..PAGE])), Verdict::Open);
}

#[test]
fn whoever_is_told_how_much_is_done_can_call_it_off_each_time() {
    let file = in_memory(&store(MANY));
    let len = file.len().unwrap();
    let told = |off_at: usize| {
        let told = Cell::new(Vec::new());
        let verdict = verify(&file, len, &|done| {
            let mut all = told.take();
            all.push(done);
            let goes_on = all.len() <= off_at;
            told.set(all);
            goes_on
        });
        (verdict, told.take())
    };
    let (verdict, all) = told(usize::MAX);
    assert!(matches!(verdict, Verdict::Sound { .. }));
    assert!(all[0] == 0.0 && all.len() > 1 && all.is_sorted(), "{all:?}");
    assert!(all.iter().all(|done| (0.0..1.0).contains(done)), "{all:?}");
    for off_at in 0..2 {
        let (verdict, all) = told(off_at);
        assert_eq!((verdict, all.len()), (Verdict::CalledOff, off_at + 1));
    }
    // Whether this thread reports again depends on how many parts the other threads leave it.
    let mut later = (0..100).map(|_| told(2)).filter(|(_, all)| all.len() > 2);
    let (verdict, all) = later.next().expect("the others left nothing, 100 times");
    assert_eq!((verdict, all.len()), (Verdict::CalledOff, 3));
}

#[test]
fn a_file_that_was_not_closed_is_verified_even_without_the_option() {
    const FLAGS: usize = 9;
    const OPEN: u8 = 2;
    let mut bytes = store(60);
    bytes[FLAGS] |= OPEN;
    let open = |bytes: &[u8]| {
        let options = RedbOptions::new().verify_on_open(false);
        RedbEngine::open_on(&SimulatedDisk::with_store(bytes), &options)
    };
    assert!(open(&bytes).is_ok());
    let mut damaged = 0;
    for block in 1..bytes.len() / PAGE {
        let mut bytes = bytes.clone();
        bytes[block * PAGE + 2] ^= 1;
        if verdict(&in_memory(&bytes)) == Verdict::Open {
            let opened = open(&bytes);
            assert!(matches!(opened, Err(Error::DamagedFile { .. })), "block {block}: {opened:?}");
            damaged += 1;
        }
    }
    assert!(damaged > 20, "{damaged}");
}
