//! Tells the process that opened a store from a fork of it.
//!
//! Invariant: this file takes no lock and waits for nobody. In a forked process, a lock may be held
//! by a thread that does not exist there. So this check comes before any lock.

use crate::error::{Error, Result};

/// The process that opened a store.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    id: u32,
    /// Counts the forks of this process. Reading the counter is a hundred times cheaper than asking
    /// for the process id. `None` if the counter could not be set up.
    #[cfg(unix)]
    forks: Option<forkguard::atfork::Guard>,
}

impl Process {
    /// The current process.
    pub(crate) fn this() -> Self {
        Self {
            id: std::process::id(),
            #[cfg(unix)]
            forks: forkguard::atfork::Guard::try_new().ok(),
        }
    }

    /// Whether the current process is the one that opened the store. Costs two instructions if
    /// forks are counted. Only [`is_same_by_id`](Self::is_same_by_id) detects a process made by the
    /// bare system call.
    #[inline]
    pub(crate) fn is_same(&self) -> bool {
        #[cfg(unix)]
        if let Some(forks) = &self.forks {
            return !forks.clone().detected_fork();
        }
        self.is_same_by_id()
    }

    /// As [`is_same`](Self::is_same), but asks the system for the process id.
    pub(crate) fn is_same_by_id(&self) -> bool {
        std::process::id() == self.id
    }

    /// Fails in any other process.
    #[inline]
    pub(crate) fn ensure_same(&self) -> Result<()> {
        if self.is_same() { Ok(()) } else { Err(self.forked()) }
    }

    #[cold]
    pub(crate) const fn forked(&self) -> Error {
        Error::Forked { opened_by: self.id }
    }

    /// A process that is not the current one, for tests.
    #[cfg(test)]
    pub(crate) fn pretended() -> Self {
        Self {
            id: std::process::id().wrapping_add(1),
            #[cfg(unix)]
            forks: None,
        }
    }
}
