//! What was opened for a store, and has to go before it: the door of `admin/`, for one.
//!
//! It knows none of them: each closes itself when it is dropped.

use parking_lot::Mutex;

#[cfg(all(feature = "admin", unix))]
use crate::error::{Error, Result};
#[cfg(all(feature = "admin", unix))]
use crate::store::core::StoreCore;

/// Each by the name of the call that opened it.
#[derive(Default)]
pub(crate) struct Guests(Mutex<Vec<(&'static str, Box<dyn Send>)>>);

impl Guests {
    /// Opens something that is there once, and keeps it until the store goes.
    #[cfg(all(feature = "admin", unix))]
    pub(crate) fn keep(
        &self,
        core: &StoreCore,
        name: &'static str,
        open: impl FnOnce() -> Result<Box<dyn Send>>,
    ) -> Result<()> {
        let mut guests = self.0.lock();
        // Whoever closes the store has closed them by now, or will do so once this is done.
        core.ensure_open()?;
        if guests.iter().any(|(there, _)| *there == name) {
            return Err(Error::setting(name, "was called before: it is open already"));
        }
        guests.push((name, open()?));
        Ok(())
    }

    /// Closes them all.
    pub(crate) fn close(&self) {
        let guests = std::mem::take(&mut *self.0.lock());
        drop(guests);
    }

    /// Closes them all, where nobody else can have the lock.
    pub(crate) fn close_alone(&mut self) {
        drop(std::mem::take(self.0.get_mut()));
    }

    /// In a forked process: what they are is the other process's.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(std::mem::take(self.0.get_mut()));
    }
}
