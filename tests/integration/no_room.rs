//! An engine whose file is opened again, since a checkpoint finds no room.

use std::sync::atomic::{AtomicBool, Ordering};

use sessile::testing::{DiskFault, SimulatedDisk};
use sessile::{Engine, RedbEngine, Result};

/// A store on a disk, whose checkpoints find no room once it is told so.
#[derive(Debug)]
pub(crate) struct NoRoom {
    pub(crate) inner: RedbEngine,
    pub(crate) disk: SimulatedDisk,
    pub(crate) fails: AtomicBool,
}

impl Engine for NoRoom {
    fn run_background_work(&self) -> Result<()> {
        if !self.fails.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.disk.fail_once(DiskFault::Full, 0);
        let done = self.inner.run_background_work();
        self.disk.repair();
        done
    }

    sessile::forward_engine!(inner, but run_background_work);
}
