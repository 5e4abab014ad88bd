//! A mostly empty file, compacted when it is opened, and crashed meanwhile.

use std::sync::{Arc, LazyLock};

use sessile::engine::{Engine, RedbOptions};
use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Error, RedbEngine, Result, SessionId, SessionStore};

use super::share_of;

/// The number of operations of the compaction that are tried.
const SAMPLES: u64 = 24;
const SAMPLES_OF_FAULTS: u64 = 6;

fn opened(disk: &SimulatedDisk) -> Result<(Arc<RedbEngine>, SessionStore<Vec<u8>>)> {
    let options = RedbOptions::new().cache_size(4 * 1024 * 1024);
    let engine = Arc::new(RedbEngine::open_on(disk, &options)?);
    let builder = SessionStore::<Vec<u8>>::builder().engine(Arc::clone(&engine));
    Ok((engine, builder.manual_maintenance().build()?))
}

/// Sessions by their ids, with their contents.
type Kept = Vec<(SessionId, Vec<u8>)>;

/// A closed store most of whose sessions have ended. The live ones are at the end of the file.
fn mostly_empty() -> (SimulatedDisk, &'static Kept) {
    static MADE: LazyLock<(SimulatedDisk, Kept)> = LazyLock::new(|| {
        let disk = SimulatedDisk::new();
        let (_engine, store) = opened(&disk).unwrap();
        let content = |number: usize| vec![number as u8; 20_000];
        let mut kept: Kept = (0..1_200)
            .map(|number| (store.create(content(number)).unwrap().id().clone(), content(number)))
            .collect();
        for (id, _) in kept.drain(..1_180) {
            assert!(store.destroy(&id).unwrap());
        }
        store.close().unwrap();
        (disk, kept)
    });
    let (disk, kept) = &*MADE;
    (disk.after_kill(disk.operations(), 0), kept)
}

fn assert_kept(store: &SessionStore<Vec<u8>>, kept: &[(SessionId, Vec<u8>)], operation: u64) {
    for (id, content) in kept {
        let session = store.read(id).unwrap().unwrap();
        assert_eq!(session.content(), content, "operation {operation}");
    }
    assert_eq!(store.len().unwrap(), kept.len() as u64, "operation {operation}");
}

#[test]
fn a_disk_too_full_to_make_the_file_smaller_keeps_the_store_open() {
    let (disk, kept) = mostly_empty();
    drop(opened(&disk).unwrap());
    let operations = disk.operations();

    let mut not_compacted = 0;
    for sample in 0..SAMPLES_OF_FAULTS {
        let (disk, _) = mostly_empty();
        let operation = operations * sample / SAMPLES_OF_FAULTS;
        let before = disk.bytes_at(disk.operations());
        disk.fail_once(DiskFault::Full, operation);
        let (engine, store) = match opened(&disk) {
            Ok(opened) => opened,
            // Opening has its own writes, before and after the compaction.
            Err(Error::StorageFull { .. }) => opened(&disk).unwrap(),
            Err(error) => panic!("operation {operation}: {error}"),
        };
        // Ids differ between runs, and with them the number of operations of an opening.
        disk.repair();
        not_compacted += u32::from(engine.stats().unwrap().file_bytes.unwrap() > before / 2);
        assert_kept(&store, kept, operation);
        store.destroy(store.create(vec![1]).unwrap().id()).unwrap();
        assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
    }
    assert!(not_compacted > 0, "no fault struck the compaction");
}

#[test]
fn a_crash_while_the_file_is_compacted_leaves_every_session() {
    let (disk, kept) = mostly_empty();

    let first = disk.operations();
    let before = disk.bytes_at(first);
    let (engine, store) = opened(&disk).unwrap();
    let last = disk.operations();
    store.close().unwrap();
    drop(engine);
    assert!(disk.bytes_at(last) < before / 2, "it was not compacted");

    for sample in share_of(0..=SAMPLES, 0) {
        let operation = first + (last - first) * sample / SAMPLES;
        for crashed in
            [disk.after_power_loss(operation, sample), disk.after_kill(operation, sample)]
        {
            let (engine, store) = opened(&crashed).unwrap();
            assert_kept(&store, kept, operation);
            assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
        }
    }
}
