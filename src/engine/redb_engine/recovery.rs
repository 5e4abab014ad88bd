//! What a caller sees of the recovery of a file that was not closed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{RepairSession, StorageBackend};

/// The recovery of a file, as [`Builder::on_recovery`](crate::Builder::on_recovery)'s callback sees
/// it.
///
/// # Examples
///
/// ```
/// use sessile::SessionStore;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions.redb");
/// let builder = SessionStore::<u32>::builder();
/// let store = builder.on_recovery(|recovery| recovery.abort()).open(path)?; // it is a new file
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recovery {
    progress: f64,
    aborted: bool,
}

impl Recovery {
    /// How much is done, from 0.0 to 1.0; an estimate, in a few coarse steps.
    #[must_use]
    pub const fn progress(&self) -> f64 {
        self.progress
    }

    /// Calls the recovery off: opening fails with
    /// [`Error::RecoveryAborted`](crate::Error::RecoveryAborted), nothing in the file is lost, and
    /// the next opening begins anew.
    pub const fn abort(&mut self) {
        self.aborted = true;
    }
}

type Callback = dyn Fn(&mut Recovery) + Send + Sync;

/// What to call, if anything.
#[derive(Clone, Default)]
pub(super) struct OnRecovery(Option<Arc<Callback>>);

impl OnRecovery {
    pub(super) fn new(callback: impl Fn(&mut Recovery) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(callback)))
    }

    /// The callback for redb, which also calls it when it verifies a file that was closed. `is_called`
    /// is set while it runs: a panic then is the caller's own.
    pub(super) fn for_file(
        &self,
        file: &dyn StorageBackend,
        is_called: Arc<AtomicBool>,
    ) -> impl Fn(&mut RepairSession) + use<> {
        let callback = match was_closed(file) {
            true => None,
            false => self.0.clone(),
        };
        move |session| {
            let Some(callback) = &callback else { return };
            let mut recovery = Recovery { progress: session.progress(), aborted: false };
            is_called.store(true, Ordering::Relaxed);
            callback(&mut recovery);
            is_called.store(false, Ordering::Relaxed);
            if recovery.aborted {
                session.abort();
            }
        }
    }
}

impl fmt::Debug for OnRecovery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

/// Whether redb's header says so. What cannot be read is left to redb to fail on.
fn was_closed(file: &dyn StorageBackend) -> bool {
    /// Behind the magic number; its second bit is set for as long as the file is open.
    const FLAGS: usize = 9;
    const OPEN: u8 = 2;
    let mut header = [0; FLAGS + 1];
    file.read(0, &mut header).is_err() || header.last().is_some_and(|flags| flags & OPEN == 0)
}
