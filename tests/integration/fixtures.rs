//! The engines that the suites run on, each in its own place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sessile::engine::{Engine, RedbOptions};
use sessile::testing::{CheckedRedbEngine, EngineFixture, MemoryFixture, SimulatedDisk};
use sessile::{Durability, RedbEngine};
use tempfile::TempDir;

/// A redb file in its own folder. Its engines compare their tables when they are dropped.
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

/// Makes one test for each engine of a function that takes a fixture.
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

/// The variable that names a file carried between machines. The ids and users in it are listed
/// beside it.
const CARRIED: &str = "SESSILE_CARRIED";

/// Opens the file, checks everything that was ever stored in it, and adds something of every kind.
/// Leaves the file closed, and beside it a copy as a killed process would leave it.
fn visit(path: &std::path::Path) {
    let (list, left) = (path.with_extension("ids"), path.with_extension("left"));
    let told = std::fs::read_to_string(&list).unwrap_or_default();
    for file in [path, left.as_path()].into_iter().filter(|file| file.exists()) {
        let store = sessile::SessionStore::<sessile::Attributes>::open(file).unwrap();
        assert!(store.check().unwrap().is_sound());
        for line in told.lines() {
            let (id, user) = line.split_once(' ').unwrap();
            let id = sessile::SessionId::parse(id).unwrap();
            let session = store.read(&id).unwrap().unwrap_or_else(|| panic!("{line}"));
            assert_eq!(session.user().unwrap(), &sessile::UserId::from(user));
            assert_eq!(session.content().get::<f64>("number").unwrap(), Some(-0.1));
            assert_eq!(session.content().get::<u64>("large").unwrap(), Some(u64::MAX));
        }
        store.close().unwrap();
    }
    let store = sessile::SessionStore::<sessile::Attributes>::open(path).unwrap();
    let mut content = sessile::Attributes::new();
    content.set("number", -0.1).unwrap();
    content.set("large", u64::MAX).unwrap();
    let user = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let session = store.create_for_user(user.as_str(), content).unwrap();
    assert!(store.extend_lifetime(session.id()).unwrap());
    store.flush().unwrap();
    // With a log.
    std::fs::copy(path, &left).unwrap();
    store.close().unwrap();
    std::fs::write(&list, format!("{told}{} {user}\n", session.id().encode())).unwrap();
}

#[test]
fn a_file_is_carried_between_machines() {
    match std::env::var_os(CARRIED) {
        Some(path) => visit(std::path::Path::new(&path)),
        None => {
            let folder = tempfile::tempdir().unwrap();
            (0..3).for_each(|_| visit(&folder.path().join("sessions.redb")));
        }
    }
}
