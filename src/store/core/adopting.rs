//! Adopts shorter timeouts: rebuilds the engine's index by them, and puts them on record.

use crate::error::Result;
use crate::store::core::{StoreCore, meta};

impl StoreCore {
    /// Puts the store's timeouts on record, if others are there. Sweeps then go by the store's own.
    /// Returns `false` if `goes_on` ended the pass over all sessions before that.
    pub(crate) fn adopt_timeouts(&self, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        self.ensure_open()?;
        self.note_timeouts(Some(goes_on))
    }

    /// Without `goes_on`, the index is known to be right.
    pub(super) fn note_timeouts(&self, goes_on: Option<&dyn Fn() -> bool>) -> Result<bool> {
        let Some(steps) = self.adoption.lenient_steps() else { return Ok(true) };
        // A step that made room may have moved index entries since the store was opened.
        if let Some(goes_on) = goes_on
            && !self.engine.reindex(&self.timeouts, goes_on)?
        {
            return Ok(false);
        }
        self.engine.store_meta(meta::TIMEOUTS, &self.timeouts.to_bytes())?;
        match self.adoption.done() {
            // Another step has moved entries since.
            Some(later) if later != steps => self.reindex().map(|()| true),
            _ => Ok(true),
        }
    }

    pub(super) fn reindex(&self) -> Result<()> {
        self.engine.reindex(&self.timeouts, &|| true).map(drop)
    }

    /// Ends the wait for an adoption if another store on the engine, or another host, has adopted
    /// the same timeouts. Returns `false` if `goes_on` ended the pass over all sessions before
    /// that.
    pub(super) fn follow_an_adoption(&self, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        if self.adoption.lenient().is_none() {
            return Ok(true);
        }
        match self.engine.load_meta(meta::TIMEOUTS)? {
            Some(on_record) if on_record == self.timeouts.to_bytes() => {
                self.note_timeouts(Some(goes_on))
            }
            _ => Ok(true),
        }
    }
}
