//! Concurrent threads: commits that hold calls of several threads, checked thread by thread.

use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;

use sessile::testing::SimulatedDisk;

use super::opened::{Opened, beginning_of_time};
use super::oracle::{Found, Touches, disagreement, look};
use super::recording::Recording;
use super::workload::Step;
use super::world::World;
use super::{Choices, DURABILITIES};

const THREADS: u32 = 3;
/// No thread makes so many writes.
const TAGS: u32 = 1_600;

fn of_thread(found: &HashMap<u32, Found>, thread: u32) -> HashMap<u32, Found> {
    let mine = |tag: u32| tag / TAGS == thread;
    found.iter().filter(|(tag, _)| mine(**tag)).map(|(tag, found)| (*tag, found.clone())).collect()
}

/// Each thread has its own users and sessions, and is answered as if it were alone.
fn record(seed: u64) -> Vec<Recording> {
    let durability = DURABILITIES[(seed % 3) as usize];
    let (disk, clock) = (SimulatedDisk::new(), beginning_of_time());
    let opened = Opened::on(&disk, durability, &clock).unwrap();
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (disk, clock, opened) = (disk.clone(), clock.clone(), opened.clone());
                let barrier = &barrier;
                scope.spawn(move || {
                    let world = World::with(disk, durability, clock, opened);
                    let mut choices = Choices(seed * 10 + u64::from(thread));
                    let user = 10 * thread as u8;
                    let steps: Vec<_> = (0..15)
                        .map(|tag| {
                            Step::of_one_thread(&mut choices, thread * TAGS + 16 + tag, user)
                        })
                        .collect();
                    barrier.wait();
                    Recording::of(world, steps)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn power_loss_among_group_commits_keeps_everything_acknowledged_to_each_thread() {
    let mut states = 0;
    for seed in 1..=12 {
        let recordings = record(seed);
        let disk = &recordings[0].disk;
        let opened = recordings.iter().map(|recording| recording.opened).min().unwrap();
        for operation in opened..=disk.operations() {
            let crashed = disk.after_power_loss(operation, seed * 1_000 + operation);
            let durability = recordings[0].durability;
            let opened = Opened::on(&crashed, durability, &beginning_of_time()).unwrap();
            let found = look(&opened.store).unwrap();
            let mut sessions = 0;
            for (thread, recording) in recordings.iter().enumerate() {
                let mine = of_thread(&found, thread as u32);
                sessions += mine.len();
                let reasons: Vec<_> = recording
                    .candidates(operation)
                    .iter()
                    .map(|candidate| disagreement(&mine, candidate.rows(), &[], Touches::Durable))
                    .collect();
                let crash = format!("seed {seed}, power lost at {operation}, thread {thread}");
                assert!(reasons.contains(&None), "{crash}: {reasons:#?}");
            }
            assert_eq!(sessions, found.len());
            assert_eq!(opened.engine.disagreements().unwrap(), Vec::<String>::new());
            states += 1;
        }
    }
    println!("{states} states");
}
