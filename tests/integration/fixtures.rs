//! The engines that the suites run on, each in a place of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sessile::engine::{Engine, RedbOptions};
use sessile::testing::{CheckedRedbEngine, EngineFixture, MemoryFixture, SimulatedDisk};
use sessile::{Durability, RedbEngine};
use tempfile::TempDir;

/// A redb file in a folder of its own. Its engines compare their tables when they go.
pub(crate) struct Redb<D = Immediate> {
    folder: TempDir,
    durability: std::marker::PhantomData<D>,
}

pub(crate) trait AtDurability {
    const DURABILITY: Durability;
}

pub(crate) struct Immediate;
pub(crate) struct TwoPhase;
pub(crate) struct Deferred;

impl AtDurability for Immediate {
    const DURABILITY: Durability = Durability::Immediate;
}
impl AtDurability for TwoPhase {
    const DURABILITY: Durability = Durability::TwoPhase;
}
impl AtDurability for Deferred {
    const DURABILITY: Durability = Durability::Deferred { interval: Duration::from_secs(60) };
}

impl<D> Redb<D> {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("sessions.redb")
    }
}

impl<D: AtDurability> EngineFixture for Redb<D> {
    type Engine = CheckedRedbEngine;

    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), durability: std::marker::PhantomData }
    }

    fn open(&self) -> CheckedRedbEngine {
        let options = RedbOptions::new().durability(D::DURABILITY);
        CheckedRedbEngine::open_with(self.path(), &options).unwrap()
    }

    fn stored_bytes(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }
}

/// A redb file on a disk in memory, which is fast.
pub(crate) struct OnSimulatedDisk<D = Immediate> {
    disk: SimulatedDisk,
    durability: std::marker::PhantomData<D>,
}

impl<D: AtDurability> EngineFixture for OnSimulatedDisk<D> {
    type Engine = RedbEngine;

    fn new() -> Self {
        Self { disk: SimulatedDisk::new(), durability: std::marker::PhantomData }
    }

    fn open(&self) -> RedbEngine {
        let options = RedbOptions::new().durability(D::DURABILITY).cache_size(1024 * 1024);
        RedbEngine::open_on(&self.disk, &options).unwrap()
    }

    fn stored_bytes(&self) -> Vec<u8> {
        self.disk.store_bytes()
    }
}

/// Another fixture's engine as `Box<dyn Engine>`.
pub(crate) struct Boxed<F>(F);

impl<F: EngineFixture> EngineFixture for Boxed<F> {
    type Engine = Box<dyn Engine>;

    fn new() -> Self {
        Self(F::new())
    }
    fn open(&self) -> Box<dyn Engine> {
        Box::new(self.0.open())
    }
    fn stored_bytes(&self) -> Vec<u8> {
        self.0.stored_bytes()
    }
}

/// Another fixture's engine as `Arc<E>`.
pub(crate) struct Shared<F>(F);

impl<F: EngineFixture> EngineFixture for Shared<F> {
    type Engine = Arc<F::Engine>;

    fn new() -> Self {
        Self(F::new())
    }
    fn open(&self) -> Arc<F::Engine> {
        Arc::new(self.0.open())
    }
    fn stored_bytes(&self) -> Vec<u8> {
        self.0.stored_bytes()
    }
}

pub(crate) type Memory = MemoryFixture;

/// Makes tests of a function that takes a fixture: one for each engine.
macro_rules! on_every_engine {
    ($($case:ident)*) => {
        mod memory {
            $(#[test] fn $case() { super::$case::<crate::fixtures::Memory>(); })*
        }
        mod redb {
            $(#[test] fn $case() { super::$case::<crate::fixtures::Redb>(); })*
        }
        mod redb_deferred {
            $(#[test] fn $case() { super::$case::<crate::fixtures::Redb<crate::fixtures::Deferred>>(); })*
        }
    };
}

pub(crate) use on_every_engine;
