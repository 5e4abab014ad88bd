//! Seeded workloads, crashed at every operation.

use std::time::Instant;

use super::recording::Recording;
use super::{share, share_of};

/// How many states a test tries; the long campaign is told by the environment.
fn states(default: u64) -> u64 {
    number("SESSILE_CRASH_STATES").map_or(default / share(), |states| states / 3)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// One workload after another, each at all of its operations, until there have been enough states.
fn campaign(name: &str, default: u64, crash: impl Fn(&Recording, u64, u64, &str)) {
    let first = number("SESSILE_CRASH_SEED").unwrap_or(1);
    let (enough, mut tried, mut seed) = (states(default), 0, first);
    #[allow(clippy::disallowed_methods, reason = "said, not judged by")]
    let began = Instant::now();
    while tried < enough {
        let recording = Recording::seeded(seed, 40);
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

/// The process is killed while it gives the log back, before the file is cut: that there is no log
/// any more is not on the disk yet when the next one opens the file and writes a header that tells
/// of all of its length.
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
