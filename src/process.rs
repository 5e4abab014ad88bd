//! Which process this is: still the one that opened a store, or a fork of it.
//!
//! Invariant: it takes no lock and waits for nobody. In a forked process a lock may be held by a
//! thread that does not exist there, so this is asked before any.

use crate::error::{Error, Result};

/// The process that opened a store.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    id: u32,
    /// Counts forks in this process, which is a hundred times cheaper than asking for its number.
    /// `None` where no counter could be had.
    #[cfg(unix)]
    forks: Option<forkguard::atfork::Guard>,
}

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        Self {
            id: std::process::id(),
            #[cfg(unix)]
            forks: forkguard::atfork::Guard::try_new().ok(),
        }
    }

    /// Whether this is the process still; two instructions where forks are counted. A process that
    /// was made by the bare system call is seen by [`is_same_by_id`](Self::is_same_by_id) alone.
    #[inline]
    pub(crate) fn is_same(&self) -> bool {
        #[cfg(unix)]
        if let Some(forks) = &self.forks {
            return !forks.clone().detected_fork();
        }
        self.is_same_by_id()
    }

    /// The same, by a system call.
    pub(crate) fn is_same_by_id(&self) -> bool {
        std::process::id() == self.id
    }

    /// Refuses in any other process.
    #[inline]
    pub(crate) fn ensure_same(&self) -> Result<()> {
        if self.is_same() { Ok(()) } else { Err(self.forked()) }
    }

    #[cold]
    pub(crate) const fn forked(&self) -> Error {
        Error::Forked { opened_by: self.id }
    }

    /// Another process, as far as anybody can tell.
    #[cfg(test)]
    pub(crate) fn pretended() -> Self {
        Self {
            id: std::process::id().wrapping_add(1),
            #[cfg(unix)]
            forks: None,
        }
    }
}
