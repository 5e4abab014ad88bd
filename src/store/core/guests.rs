//! Objects that were opened for a store and must be dropped before it, such as the admin socket.
//!
//! This file knows none of their types: each closes itself when it is dropped.

use parking_lot::Mutex;

#[cfg(feature = "admin")]
use crate::error::{Error, Result};
#[cfg(feature = "admin")]
use crate::store::core::StoreCore;

/// The objects, each with the name of the method that opened it.
#[derive(Default)]
pub(crate) struct Guests(Mutex<Vec<(&'static str, Box<dyn Send>)>>);

impl Guests {
    /// Opens an object that may exist once only, and keeps it until the store closes.
    #[cfg(feature = "admin")]
    pub(crate) fn keep(
        &self,
        core: &StoreCore,
        name: &'static str,
        open: impl FnOnce() -> Result<Box<dyn Send>>,
    ) -> Result<()> {
        let mut guests = self.0.lock();
        // Checked under the lock: a closing store either has closed its guests by now, or closes
        // this one later.
        core.ensure_open()?;
        if guests.iter().any(|(there, _)| *there == name) {
            return Err(Error::setting(name, "has been called already, and is open"));
        }
        guests.push((name, open()?));
        Ok(())
    }

    /// Closes all objects.
    pub(crate) fn close(&self) {
        let guests = std::mem::take(&mut *self.0.lock());
        drop(guests);
    }

    /// Closes all objects, without the lock: no other handle exists.
    pub(crate) fn close_alone(&mut self) {
        drop(std::mem::take(self.0.get_mut()));
    }

    /// In a forked process: the objects belong to the other process, so they are not dropped.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(std::mem::take(self.0.get_mut()));
    }
}
