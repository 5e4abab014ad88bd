//! What a caller sees of the recovery of a file that was not closed.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use redb::RepairSession;

/// The recovery of a file, passed to [`Builder::on_recovery`](crate::Builder::on_recovery)'s
/// callback.
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
    /// The completed fraction, from 0.0 to 1.0; an estimate, in a few coarse steps.
    #[must_use]
    pub const fn progress(&self) -> f64 {
        self.progress
    }

    /// Stops the recovery: opening fails with
    /// [`Error::RecoveryAborted`](crate::Error::RecoveryAborted), the file loses nothing, and the
    /// next opening starts over.
    pub const fn abort(&mut self) {
        self.aborted = true;
    }
}

type Callback = dyn Fn(&mut Recovery) + Send + Sync;

/// The callback, if there is one.
#[derive(Clone, Default)]
pub(in crate::engine::redb) struct OnRecovery(Option<Arc<Callback>>);

impl OnRecovery {
    pub(in crate::engine::redb) fn new(
        callback: impl Fn(&mut Recovery) + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(callback)))
    }

    /// Calls the callback, if there is one.
    pub(in crate::engine::redb) fn call(&self, recovery: &mut Recovery) {
        if let Some(callback) = &self.0 {
            callback(recovery);
        }
    }

    /// The watch of one opening; it calls nothing if the file was closed.
    pub(in crate::engine::redb) fn watch(&self, was_closed: bool) -> Rc<Watch> {
        let callback = if was_closed { None } else { self.0.clone() };
        Rc::new(Watch { callback, furthest: Cell::new(0.0), is_called: Cell::new(false) })
    }
}

/// One opening of a file, as reported to the callback.
pub(in crate::engine::redb) struct Watch {
    callback: Option<Arc<Callback>>,
    furthest: Cell<f64>,
    is_called: Cell<bool>,
}

impl Watch {
    /// Reports the progress, and returns whether to continue. The progress never decreases, though
    /// redb may start over after our own verification.
    pub(in crate::engine::redb) fn goes_on(&self, progress: f64) -> bool {
        let Some(callback) = &self.callback else { return true };
        self.furthest.set(self.furthest.get().max(progress));
        let mut recovery = Recovery { progress: self.furthest.get(), aborted: false };
        self.is_called.set(true);
        callback(&mut recovery);
        self.is_called.set(false);
        !recovery.aborted
    }

    /// Whether the callback runs, or has panicked; such a panic is the caller's own.
    pub(in crate::engine::redb) fn is_called(&self) -> bool {
        self.is_called.get()
    }

    /// The callback for redb, which also calls it when it verifies a file that was closed.
    pub(in crate::engine::redb) fn for_redb(self: Rc<Self>) -> impl Fn(&mut RepairSession) + use<> {
        move |session| {
            if !self.goes_on(session.progress()) {
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
