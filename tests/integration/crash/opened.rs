//! Stores on a simulated disk, opened so that a seed repeats a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessile::engine::RedbOptions;
use sessile::testing::{ManualClock, RandomSource, SimulatedDisk};
use sessile::{Durability, RedbEngine, Result, SessionStore, Source, Timeouts};

use super::Choices;
use super::oracle::{ABSOLUTE, Content, INACTIVITY, START};

pub(super) type Store = SessionStore<Content>;

/// Ids from a seed.
#[derive(Debug)]
struct Seeded(AtomicU64);

impl RandomSource for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Source> {
        for part in bytes.chunks_mut(8) {
            let mut choices = Choices(self.0.fetch_add(1, Ordering::Relaxed));
            part.copy_from_slice(&choices.next().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// The options of the engines: a small cache, everything verified.
pub(super) fn options(durability: Durability) -> RedbOptions {
    RedbOptions::new().durability(durability).cache_size(1024 * 1024)
}

/// A store on an engine, at a time at which none of its sessions has expired.
pub(super) fn store_on(engine: Arc<RedbEngine>, clock: ManualClock, seed: u64) -> Result<Store> {
    let (inactivity, absolute) =
        (Duration::from_millis(INACTIVITY), Duration::from_millis(ABSOLUTE));
    Store::builder()
        .engine(engine)
        .clock(clock)
        .timeouts(Timeouts::new(inactivity, absolute).unwrap())
        .random_source(Seeded(AtomicU64::new(seed << 20)))
        .manual_maintenance()
        .build()
}

pub(super) fn beginning_of_time() -> ManualClock {
    let clock = ManualClock::new();
    clock.set_millis(START);
    clock
}

/// An open store, and another one on the same engine that sees expired sessions too.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) engine: Arc<RedbEngine>,
    pub(super) store: Store,
    pub(super) everything: Store,
}

impl Opened {
    pub(super) fn on(
        disk: &SimulatedDisk,
        durability: Durability,
        clock: &ManualClock,
    ) -> Result<Self> {
        Self::drawing_from(disk.operations() + 1, disk, durability, clock)
    }

    /// As `on`, with ids that no store opened by `on` draws.
    pub(super) fn again(
        disk: &SimulatedDisk,
        durability: Durability,
        clock: &ManualClock,
    ) -> Result<Self> {
        Self::drawing_from(1 << 40, disk, durability, clock)
    }

    /// Different seeds, up to 2^43, give different ids.
    pub(super) fn drawing_from(
        seed: u64,
        disk: &SimulatedDisk,
        durability: Durability,
        clock: &ManualClock,
    ) -> Result<Self> {
        Self::with(seed, disk, &options(durability), clock)
    }

    pub(super) fn with(
        seed: u64,
        disk: &SimulatedDisk,
        options: &RedbOptions,
        clock: &ManualClock,
    ) -> Result<Self> {
        let engine = Arc::new(RedbEngine::open_on(disk, options)?);
        Ok(Self {
            store: store_on(Arc::clone(&engine), clock.clone(), seed)?,
            everything: store_on(Arc::clone(&engine), beginning_of_time(), seed + (1 << 30))?,
            engine,
        })
    }
}
