//! A mostly empty file, made smaller when it is opened, and crashed meanwhile.

use std::sync::Arc;

use sessile::engine::RedbOptions;
use sessile::testing::SimulatedDisk;
use sessile::{RedbEngine, SessionId, SessionStore};

/// How many points of the compaction are tried.
const SAMPLES: u64 = 24;

fn opened(disk: &SimulatedDisk) -> (Arc<RedbEngine>, SessionStore<Vec<u8>>) {
    let options = RedbOptions::new().cache_size(4 * 1024 * 1024);
    let engine = Arc::new(RedbEngine::open_on(disk, &options).unwrap());
    let builder = SessionStore::<Vec<u8>>::builder().engine(Arc::clone(&engine));
    (engine, builder.manual_maintenance().build().unwrap())
}

#[test]
fn a_crash_while_the_file_is_compacted_leaves_every_session() {
    let disk = SimulatedDisk::new();
    let (engine, store) = opened(&disk);
    let content = |number: usize| vec![number as u8; 20_000];
    let ids: Vec<SessionId> =
        (0..1_200).map(|number| store.create(content(number)).unwrap().id().clone()).collect();
    // Those that stay are at the end of the file.
    let (ended, kept) = ids.split_at(1_180);
    for id in ended {
        assert!(store.destroy(id).unwrap());
    }
    store.close().unwrap();
    drop(engine);

    let first = disk.operations();
    let before = disk.bytes_at(first);
    let (engine, store) = opened(&disk);
    let last = disk.operations();
    store.close().unwrap();
    drop(engine);
    assert!(disk.bytes_at(last) < before / 2, "it was not compacted");

    for sample in 0..=SAMPLES {
        let operation = first + (last - first) * sample / SAMPLES;
        for crashed in
            [disk.after_power_loss(operation, sample), disk.after_kill(operation, sample)]
        {
            let (engine, store) = opened(&crashed);
            for (number, id) in ids.iter().enumerate().skip(ended.len()) {
                let session = store.read(id).unwrap().unwrap();
                assert_eq!(*session.content(), content(number), "crashed at {operation}");
            }
            assert_eq!(store.len().unwrap(), kept.len() as u64, "crashed at {operation}");
            assert_eq!(engine.disagreements().unwrap(), Vec::<String>::new());
        }
    }
}
