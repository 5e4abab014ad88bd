//! Seeded workloads, crashed at every operation.

use std::time::Instant;

use sessile::testing::SimulatedDisk;

use super::recording::Recording;
use super::{share, share_of};

/// The number of states that a test tries; the environment sets it for the long campaign.
fn states(default: u64) -> u64 {
    number("SESSILE_CRASH_STATES").map_or(default / share(), |states| states / 3)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs one workload after another, each crashed at all of its operations, until enough states were
/// tried.
fn campaign(name: &str, default: u64, crash: impl Fn(&Recording, u64, u64, &str)) {
    campaign_on(SimulatedDisk::new, name, default, crash);
}

/// As `campaign`, on disks of another kind.
fn campaign_on(
    disk: fn() -> SimulatedDisk,
    name: &str,
    default: u64,
    crash: impl Fn(&Recording, u64, u64, &str),
) {
    let first = number("SESSILE_CRASH_SEED").unwrap_or(1);
    let (enough, mut tried, mut seed) = (states(default), 0, first);
    #[allow(clippy::disallowed_methods, reason = "said, not judged by")]
    let began = Instant::now();
    while tried < enough {
        let recording = Recording::seeded_on(disk(), seed, 40);
        for operation in share_of(recording.opened..=recording.disk.operations(), seed) {
            let what = format!("workload {seed}");
            crash(&recording, operation, seed.wrapping_mul(1_000_003) + operation, &what);
            tried += 1;
        }
        seed += 1;
    }
    println!("{name}: {tried} states, workloads {first}..{seed}, {:.1?}", began.elapsed());
}

#[test]
fn power_loss_at_any_operation_keeps_everything_acknowledged() {
    campaign("power loss", 6_000, |recording, operation, seed, what| {
        recording.check_power_loss(operation, seed, &what);
    });
}

/// So every system other than Linux syncs the log.
#[test]
fn power_loss_where_a_sync_is_of_the_whole_file_keeps_everything_acknowledged() {
    let disk = SimulatedDisk::syncing_whole_files;
    campaign_on(disk, "power loss, whole syncs", 1_200, |recording, operation, seed, what| {
        match operation % 4 {
            0 => recording.check_kill(operation, seed, &what),
            1 => recording.check_twice(operation, seed, &what),
            _ => recording.check_power_loss(operation, seed, &what),
        }
    });
}

#[test]
fn a_kill_at_any_operation_keeps_everything_acknowledged() {
    campaign("kill", 3_000, |recording, operation, seed, what| {
        recording.check_kill(operation, seed, &what);
    });
}

#[test]
fn a_second_crash_during_recovery_keeps_everything_acknowledged() {
    campaign("second crash", 2_000, |recording, operation, seed, what| {
        recording.check_twice(operation, seed, &what);
    });
}

/// The process is killed while it removes the log, before the file is cut. The zeroed sectors are
/// not on the disk yet when the next process opens the file and writes a header with the full
/// length.
#[test]
fn what_a_killed_process_had_not_synced_is_on_the_disk_before_its_recovery_writes() {
    let recording = Recording::seeded(30, 40);
    let disk = &recording.disk;
    let shrinks = |at: &u64| disk.bytes_at(at + 2) < disk.bytes_at(at - 1);
    let mut kills = 0;
    for operation in (recording.opened..=disk.operations()).filter(shrinks) {
        recording.check_recovery(operation, 30 * 1_000_003 + operation, &"workload 30");
        kills += 1;
    }
    assert!(kills >= 6, "{kills}");
}
