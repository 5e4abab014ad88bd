//! What a crash or a failing disk leaves, judged by what the calls promised and by nothing else.
//!
//! A workload runs once on a simulated disk, call by call beside a model; then it is crashed at its
//! operations, one state after the other, and each state is opened and compared with the model.
//!
//! A debug build tries a share of the cases, so that `cargo test` ends soon; all of them are tried
//! by `SESSILE_ALL_CASES=1 cargo test --test integration crash::`.
//!
//! `SESSILE_CRASH_STATES=1000000 cargo test --release --test integration crash::campaign --
//! --nocapture` tries a million states, and prints how many, from which seed and in what time;
//! `SESSILE_CRASH_SEED` chooses the first workload.
//!
//! What is not a test of its own is shared with the fuzz targets, which are no tests.

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

/// Which share of its cases a test tries: one in so many in a debug build, so that a plain
/// `cargo test` ends soon; all of them where the build is optimised or `SESSILE_ALL_CASES` is set.
#[cfg(test)]
pub(crate) fn share() -> u64 {
    let all = !cfg!(debug_assertions) || std::env::var_os("SESSILE_ALL_CASES").is_some();
    if all { 1 } else { 8 }
}

/// These operations, or the share of them that this build tries; which ones depends on `turn`.
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
