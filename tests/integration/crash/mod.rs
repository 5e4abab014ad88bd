//! The states after a crash or a disk failure, checked against the guarantees of the calls alone.
//!
//! A workload runs once on a simulated disk, call by call beside a model. Then it is crashed at its
//! operations, one state after the other, and each state is opened and compared with the model. A
//! second crash hits the opening. The store must have every acknowledged change, and an unfinished
//! one whole or not at all. No touch may be later than it was, the indexes must agree, and new
//! writes must succeed. A failure names workload, operation and seed.
//!
//! A debug build tries a share of the cases, so that `cargo test` stays fast. All of them:
//! `SESSILE_ALL_CASES=1 cargo test --test integration crash::`.
//!
//! `SESSILE_CRASH_STATES=1000000 cargo test --release --test integration crash::campaign --
//! --nocapture` tries a million states, and prints their number, the seeds and the time;
//! `SESSILE_CRASH_SEED` chooses the first workload.
//!
//! All modules without tests are shared with the fuzz targets.

#[cfg(test)]
mod campaign;
#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod creation;
pub(crate) mod damaged;
pub(crate) mod failing;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod killed;
mod opened;
mod oracle;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod sweeps;
#[cfg(test)]
mod sync_faults;
#[cfg(test)]
mod triples;
pub(crate) mod workload;
mod world;

use std::time::Duration;

use sessile::Durability;

/// The share of its cases that a test tries: one in so many in a debug build, so that a plain
/// `cargo test` stays fast; all of them in an optimised build or with `SESSILE_ALL_CASES`.
#[cfg(test)]
pub(crate) fn share() -> u64 {
    let all = crate::child::all_cases();
    if all { 1 } else { 8 }
}

/// These operations, or the share of them that this build tries; `turn` chooses the share.
#[cfg(test)]
pub(crate) fn share_of(
    operations: std::ops::RangeInclusive<u64>,
    turn: u64,
) -> impl Iterator<Item = u64> {
    operations.skip((turn % share()) as usize).step_by(share() as usize)
}

pub(crate) const DURABILITIES: [Durability; 3] = [
    Durability::Immediate,
    Durability::TwoPhase,
    Durability::Deferred { interval: Duration::from_secs(3_600) },
];

/// SplitMix64, for choices and for ids: a seed gives the same run on every machine.
#[derive(Debug)]
struct Choices(u64);

impl Choices {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
