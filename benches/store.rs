//! Times each operation of a store in a file, at two sizes of the population.
//!
//! `cargo bench --bench store`. Every benchmark checks its results: a wrong result ends the run.
//! Durable operations sync to the disk that holds the target folder.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};
use sessile::testing::{encode_and_read_back, encode_content};
use sessile::{Durability, Session, SessionId, SessionOptions, SessionStore};

const SIZES: [usize; 2] = [10_000, 100_000];

/// 256 bytes when encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Content {
    name: String,
    roles: Vec<String>,
    visits: u64,
    notes: String,
}

fn content(number: usize) -> Content {
    Content {
        name: format!("user number {number:08}"),
        roles: vec!["reader".into(), "writer".into()],
        visits: number as u64 + 1_000_000,
        notes: "n".repeat(214),
    }
}

/// A store of a given size in its own file, and some of its ids.
struct Population {
    _folder: tempfile::TempDir,
    path: PathBuf,
    ids: Vec<SessionId>,
}

impl Population {
    fn new(size: usize) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("sessions.redb");
        let store = SessionStore::<Content>::builder()
            .durability(Durability::Deferred { interval: Duration::from_secs(1) })
            .open(&path)
            .unwrap();
        let create = |number| store.create(content(number)).unwrap().id().clone();
        let ids = (0..size).map(create).collect();
        store.close().unwrap();
        Self { _folder: folder, path, ids }
    }

    fn open(&self) -> SessionStore<Content> {
        open(&self.path)
    }
}

fn open(path: &Path) -> SessionStore<Content> {
    SessionStore::<Content>::builder().manual_maintenance().open(path).unwrap()
}

/// Iterates over the ids in a random order, which no cache predicts.
fn random_order(ids: &[SessionId]) -> impl FnMut() -> (usize, SessionId) + '_ {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let index = (state % ids.len() as u64) as usize;
        (index, ids[index].clone())
    }
}

fn reads(criterion: &mut Criterion) {
    for size in SIZES {
        let population = Population::new(size);
        let store = population.open();
        let id = |operation| format!("{operation}/redb/{size}");

        let mut next = random_order(&population.ids);
        criterion.bench_function(&id("read"), |bencher| {
            bencher.iter_batched(
                &mut next,
                |(number, id)| {
                    let session = store.read(&id).unwrap().unwrap();
                    assert_eq!(session.content().visits, number as u64 + 1_000_000);
                    session
                },
                BatchSize::SmallInput,
            );
        });
        criterion.bench_function(&id("read_unknown"), |bencher| {
            let unknown = SessionId::generate().unwrap();
            bencher.iter(|| assert!(store.read(black_box(&unknown)).unwrap().is_none()));
        });
        criterion.bench_function(&id("read_and_extend"), |bencher| {
            bencher.iter_batched(
                &mut next,
                |(number, id)| {
                    let session = store.read_and_extend(&id).unwrap().unwrap();
                    assert_eq!(session.content().visits, number as u64 + 1_000_000);
                    session
                },
                BatchSize::SmallInput,
            );
        });
        criterion.bench_function(&id("extend"), |bencher| {
            bencher.iter_batched(
                &mut next,
                |(_, id)| assert!(store.extend_lifetime(&id).unwrap()),
                BatchSize::SmallInput,
            );
        });
    }
}

fn writes(criterion: &mut Criterion) {
    for size in SIZES {
        let population = Population::new(size);
        let store = population.open();
        let id = |operation| format!("{operation}/redb/{size}");

        criterion.bench_function(&id("create"), |bencher| {
            bencher.iter_batched(
                || content(7),
                |content| store.create(content).unwrap(),
                BatchSize::SmallInput,
            );
        });
        let mut next = random_order(&population.ids);
        criterion.bench_function(&id("update"), |bencher| {
            bencher.iter_batched(
                || store.read(&next().1).unwrap().unwrap(),
                |mut session: Session<Content>| {
                    session.content_mut().roles.reverse();
                    store.update(&mut session).unwrap();
                    session
                },
                BatchSize::PerIteration,
            );
        });
        criterion.bench_function(&id("destroy"), |bencher| {
            bencher.iter_batched(
                || store.create(content(7)).unwrap(),
                |session| assert!(store.destroy(session.id()).unwrap()),
                BatchSize::PerIteration,
            );
        });
        criterion.bench_function(&id("sweep_1000"), |bencher| {
            bencher.iter_batched(
                || create_expired(&store, 1_000),
                |()| assert_eq!(store.clean_up_expired().unwrap(), 1_000),
                BatchSize::PerIteration,
            );
        });
    }
}

/// Creates expired sessions on many threads, which share commits.
fn create_expired(store: &SessionStore<Content>, count: usize) {
    const THREADS: usize = 50;
    let expired = SessionOptions::new().inactivity(Duration::from_millis(1));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..count / THREADS {
                    store.create_with(content(number), &expired).unwrap();
                }
            });
        }
    });
    // After this the last of them has expired.
    std::thread::sleep(Duration::from_millis(2));
}

fn opening(criterion: &mut Criterion) {
    for size in SIZES {
        let population = Population::new(size);
        criterion.bench_function(&format!("open/redb/{size}"), |bencher| {
            bencher.iter_batched(|| (), |()| population.open(), BatchSize::PerIteration);
        });
        assert_eq!(population.open().len().unwrap(), size as u64);
    }
}

/// Times a backup and a create during a backup, and prints how much the file grows.
fn backups(criterion: &mut Criterion) {
    for size in SIZES {
        let population = Population::new(size);
        let store = population.open();
        let copy = population.path.with_extension("backup");
        let back_up = || {
            let report = store.backup(&copy).unwrap();
            assert!(report.sessions >= size as u64);
            std::fs::remove_file(&copy).unwrap();
        };
        criterion.bench_function(&format!("backup/redb/{size}"), |bencher| bencher.iter(back_up));

        let length = || std::fs::metadata(&population.path).unwrap().len() / 1024;
        let (before, stop) = (length(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    back_up();
                }
            });
            criterion.bench_function(&format!("create_during_backup/redb/{size}"), |bencher| {
                bencher.iter_batched(
                    || content(7),
                    |content| store.create(content).unwrap(),
                    BatchSize::SmallInput,
                );
            });
            stop.store(true, Ordering::Relaxed);
        });
        let created = store.len().unwrap() - size as u64;
        println!("the file grew from {before} to {} KiB, with {created} sessions more", length());
    }
}

/// What a save pays for its check: the difference of the two lines.
fn encoding(criterion: &mut Criterion) {
    let content = content(7);
    assert_eq!(encode_content(&content).unwrap().len(), 256);
    criterion.bench_function("encode/256", |bencher| {
        bencher.iter(|| encode_content(black_box(&content)).unwrap());
    });
    criterion.bench_function("encode_and_read_back/256", |bencher| {
        bencher.iter(|| encode_and_read_back(black_box(&content)).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = reads, writes, opening, backups, encoding
}
criterion_main!(benches);
