//! A sweep of more than one step, and a store that grows and shrinks.

use std::time::Duration;

use sessile::testing::SimulatedDisk;

use super::oracle::INACTIVITY;
use super::recording::Recording;
use super::workload::Step;
use super::world::World;
use super::{DURABILITIES, share_of};

/// More than two steps of a sweep.
const EXPIRED: u32 = 2_100;
/// The number of tried operations, besides the last.
const SAMPLES: u64 = 64;

fn check(recording: &Recording, what: &str) {
    let (first, last) = (recording.opened, recording.disk.operations());
    for sample in share_of(0..=SAMPLES, 0) {
        let operation = first + (last - first) * sample / SAMPLES;
        recording.check_power_loss(operation, sample, &what);
        recording.check_kill(operation, sample, &what);
    }
}

/// Crashes at every operation next to a change of the file's length: while the log moves, and while
/// it is removed.
fn check_changes_of_length(recording: &Recording, what: &str) {
    const BESIDE: u64 = 8;
    let (first, last) = (recording.opened, recording.disk.operations());
    let bytes: Vec<_> = (0..=last).map(|operation| recording.disk.bytes_at(operation)).collect();
    let mut tried = 0;
    for operation in share_of(first..=last, 0) {
        let beside = &bytes[operation.saturating_sub(BESIDE) as usize..];
        let beside = &beside[..beside.len().min(2 * BESIDE as usize)];
        if beside.iter().all(|len| *len == beside[0]) {
            continue;
        }
        for seed in 0..4 {
            recording.check_power_loss(operation, operation + seed, &what);
        }
        recording.check_kill(operation, operation, &what);
        tried += 1;
    }
    assert!(tried > 0, "the length never changes");
}

#[test]
fn a_crash_in_any_step_of_a_sweep_leaves_each_session_whole_or_gone() {
    // Filled quickly, and then swept with the default durability.
    let mut world = World::on(SimulatedDisk::new(), DURABILITIES[2]);
    for tag in 0..EXPIRED {
        assert!(
            world.call(Step::CreateForUser { user: (tag % 3) as u8, tag: 16 * tag }).result.is_ok()
        );
    }
    world.durability = DURABILITIES[0];
    assert!(world.call(Step::Reopen).result.is_ok());
    world.clock.advance(Duration::from_millis(INACTIVITY));
    for tag in EXPIRED..EXPIRED + 5 {
        assert!(world.call(Step::Create { tag: 16 * tag }).result.is_ok());
    }
    let recording = Recording::of(world, [Step::Sweep, Step::Reopen]);
    check(&recording, "a sweep");
}

#[test]
fn a_crash_while_the_file_grows_or_shrinks_keeps_everything_acknowledged() {
    let world = World::on(SimulatedDisk::new(), DURABILITIES[0]);
    let before = world.opened.as_ref().unwrap().store.stats().unwrap().file_bytes;
    // The tags of the largest contents.
    let grow = (0..150).map(|number| Step::CreateForUser { user: 0, tag: 16 * number + 3 });
    let shrink =
        [Step::DestroyAllOf { user: 0 }, Step::Flush, Step::Reopen, Step::Create { tag: 1 }];
    let recording = Recording::of(world, grow.chain(shrink));
    let after_growing = recording.disk.bytes_at(recording.calls[149].ended);
    let at_the_end = recording.disk.bytes_at(recording.disk.operations());
    assert!(Some(after_growing) > before && at_the_end < after_growing);
    check(&recording, "growth");
    check_changes_of_length(&recording, "growth");
}
